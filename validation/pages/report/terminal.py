"""The output of `simbg validate` on a terminal: a table, or one JSON document."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from simbg.errors import printable
from simbg.validation.metrics.status import Status
from simbg.validation.suite.results import Result
from simbg.validation.suite.suite import Suite

__all__ = ["result_document", "result_table"]


def result_table(results: Sequence[Result]) -> list[str]:
    """A table with the worst status of each scenario (rows) and method (columns).

    Parameters
    ----------
    results : sequence of Result
        Results of the suite.

    Returns
    -------
    list of str
        Lines for `click.echo`, which removes the colours where they are not supported.
    """
    scenarios = list(dict.fromkeys(result.scenario for result in results))
    methods = list(dict.fromkeys(result.method for result in results))
    statuses: dict[tuple[str, str], list[Status]] = {}
    for result in results:
        statuses.setdefault((result.scenario, result.method), []).append(result.status)
    head: list[tuple[str, dict]] = [("scenario", {}), *((method, {}) for method in methods)]
    head = [(printable(text), style) for text, style in head]
    rows = [
        [(printable(s), {}), *(_cell(statuses.get((s, m), [])) for m in methods)] for s in scenarios
    ]
    rows.insert(0, head)
    widths = [max(len(text) for text, _ in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            click.style(text, **style) + " " * (width - len(text))
            for (text, style), width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _cell(statuses):
    if not statuses:
        return "–", {}
    worst = Status.worst(statuses)
    return worst.cell(statuses.count(worst)), worst.style


def result_document(out: Path | str, suite: Suite) -> str:
    """All results as one JSON document.

    Parameters
    ----------
    out : path-like
        Folder with the ``results.jsonl`` of the suite, whose records are used.
    suite : Suite
        The suite, for its verdict and its changes.

    Returns
    -------
    str
        The document.
    """
    lines = (Path(out) / "results.jsonl").read_text(encoding="utf-8").splitlines()
    document = {
        "good": bool(suite.ok),
        "verdict": suite.text,
        "report": str(Path(out) / "index.html"),
        "changes": None if suite.changes is None else list(suite.changes),
        "results": [json.loads(line) for line in lines],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
