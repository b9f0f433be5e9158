"""What `simbg validate` says at the end: a table, or one JSON document."""

import json
from pathlib import Path

import click

from simbg.validation.metrics.status import Status

__all__ = ["result_document", "result_table"]


def result_table(results):
    """A row a scenario and a column a method, with the worst status; lines to be echoed.

    Parameters
    ----------
    results : sequence of Result

    Returns
    -------
    lines : list of str
        With colours, which `click.echo` takes away where they do not belong.
    """
    scenarios = list(dict.fromkeys(result.scenario for result in results))
    methods = list(dict.fromkeys(result.method for result in results))
    found = {}
    for result in results:
        found.setdefault((result.scenario, result.method), []).append(result.status)
    rows = [[("scenario", {}), *((method, {}) for method in methods)]]
    rows += [[(s, {}), *(_cell(found.get((s, m), [])) for m in methods)] for s in scenarios]
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


def result_document(out, suite):
    """All results as one JSON document.

    Parameters
    ----------
    out : Path
        Folder with the ``results.jsonl`` that was written; the records are those.
    suite : Suite
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
