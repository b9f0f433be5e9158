"""What `simbg validate` says at the end, and what it keeps when it is interrupted."""

from __future__ import annotations

import json
from functools import wraps
from pathlib import Path

import click

from simbg.validation.metrics.status import Status

__all__ = ["keeps_what_is_there", "plan", "result_document", "result_table"]

# Shares of the work that are no scenario, in runs of one.
FAILURES, FIGURES, BASELINE, SELF_CHECK = 6, 4, 60, 600


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
    for scenario in scenarios:
        cells = [_cell(found.get((scenario, method), [])) for method in methods]
        rows.append([(scenario, {}), *cells])
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
        "good": bool(suite.good),
        "verdict": suite.text,
        "report": str(Path(out) / "index.html"),
        "changes": None if suite.changes is None else list(suite.changes),
        "results": [json.loads(line) for line in lines],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def plan(scenarios, baseline, self_check):
    """Stages of a validation and how long each takes, roughly, to tell the time left."""
    weights = {scenario.name: scenario.n_obs for scenario in scenarios}
    weights["known failures"] = FAILURES * len(scenarios)
    weights["baseline"] = BASELINE * bool(baseline)
    weights["self-check"] = SELF_CHECK * bool(self_check)
    weights["figures"] = FIGURES * len(scenarios)
    return weights


def keeps_what_is_there(command):
    """For a command that writes files into its folder ``out``: an interrupt says which it wrote."""

    @wraps(command)
    def kept(**arguments):
        out = Path(arguments["out"])
        was_there, before = out.is_dir(), _stamps(out)
        try:
            return command(**arguments)
        except KeyboardInterrupt:
            after = _stamps(out)
            new = sorted(name for name in after if before.get(name) != after[name])
            if not new and not was_there and out.is_dir():
                out.rmdir()
            said = f"kept {', '.join(new)} in {out}" if new else f"{out} is as it was"
            raise KeyboardInterrupt(said) from None

    return kept


def _stamps(folder):
    """Relative names of the files in a folder, and when and as what each was written."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }
