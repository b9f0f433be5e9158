"""The report: results and figures in one HTML page that opens anywhere."""

from __future__ import annotations

import base64
import io
import math
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, select_autoescape

from simbg.io.files import new_file
from validation.criteria import BUDGET
from validation.metrics import METRICS, pulls
from validation.plots import compare_figure, pull_figure
from validation.results import versions

__all__ = ["figures", "verdict", "write_report"]

# The worst first: a cell of the matrix shows the worst status of its metrics.
ORDER = ("error", "fail", "known", "ok", "info")
WORDS = {
    "ok": "holds",
    "known": "known failure",
    "fail": "FAILS",
    "error": "ERROR",
    "info": "no criterion",
}


def verdict(results):
    """Whether all criteria hold, and that in words."""
    counts = {status: sum(r.status == status for r in results) for status in ORDER}
    good = not counts["fail"] and not counts["error"]
    tested = counts["ok"] + counts["known"] + counts["fail"]
    text = f"{counts['ok']} of {tested} criteria hold"
    if counts["known"]:
        text += f", {counts['known']} fail as is known and calculated"
    if not good:
        text += f", {counts['fail']} fail, {counts['error']} methods ended in an error"
    return good, text


def write_report(path, outcomes, seed, pictures):
    """Write the page.

    Parameters
    ----------
    path : path-like
    outcomes : sequence of Outcome
    seed : int
    pictures : dict
        (scenario name, method) → list of (PNG bytes, alt text), from `figures`.
    """
    results = [result for outcome in outcomes for result in outcome.results]
    scenarios = {outcome.scenario.name: outcome.scenario for outcome in outcomes}
    methods = list(dict.fromkeys(outcome.method for outcome in outcomes))
    good, text = verdict(results)
    environment = Environment(
        loader=PackageLoader("validation", "."), autoescape=select_autoescape(["html"])
    )
    environment.filters["number"] = _number
    environment.filters["size"] = _size
    page = environment.get_template("report.html").render(
        good=good,
        verdict=text,
        budget=BUDGET,
        scenarios=scenarios,
        methods=methods,
        worst={(o.scenario.name, o.method): _worst(o.results) for o in outcomes},
        results={(o.scenario.name, o.method): o.results for o in outcomes},
        pictures={
            key: [(base64.b64encode(png).decode(), alt) for png, alt in value]
            for key, value in pictures.items()
        },
        words=WORDS,
        about={name: metric.__doc__.splitlines()[0] for name, metric in METRICS.items()},
        seed=seed,
        versions=versions(),
        stamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def figures(outcome):
    """PNG images of one outcome, each with its alternative text."""
    if outcome.pair is None:
        return []
    pair = outcome.pair
    name = f"{outcome.scenario.title}, {outcome.method}"
    made = [
        (
            compare_figure(
                pair.true, pair.reco.per("livetime"), ("true", "rebuilt"), error=pair.error
            ),
            f"{name}: true and rebuilt images at two energies, their pulls, spectra and ratios",
        )
    ]
    values, _ = pulls(pair)
    if values.size:
        made.append((pull_figure(values), f"{name}: histogram of {values.size} pulls with N(0, 1)"))
    return [(_png(figure), alt) for figure, alt in made]


def _png(figure):
    buffer = io.BytesIO()
    # No software version inside: the same figure has the same bytes.
    figure.savefig(buffer, dpi=80, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _worst(results):
    return next(status for status in ORDER if any(r.status == status for r in results))


def _number(value):
    return "" if not math.isfinite(value) else f"{value:.5g}"


def _size(result):
    """Deviation from the ideal in standard errors."""
    size = (result.value - result.ideal) / result.error if result.error else math.nan
    return "" if not math.isfinite(size) else f"{size:+.1f}"
