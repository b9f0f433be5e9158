"""The report: results and figures in one HTML page that opens anywhere."""

from __future__ import annotations

import base64
import io
import math
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, select_autoescape

from simbg.io.files import new_file
from validation.convergence import TARGETS
from validation.criteria import BUDGET
from validation.leaderboard import ABSENT, COLUMNS, about, ranking, rows, said, why
from validation.metrics import METRICS, pulls
from validation.plots import (
    compare_figure,
    convergence_figure,
    leaderboard_figure,
    pull_figure,
    response_figure,
    self_check_figure,
)
from validation.replicates import SUMMARY
from validation.response import FLUXES
from validation.results import versions
from validation.runs import SUMMARY as RUN_SUMMARY

__all__ = ["figures", "self_check_lines", "to_be_shown", "verdict", "write_report"]

# The worst first: a cell of the matrix shows the worst status of its metrics.
ORDER = ("error", "fail", "known", "ok", "info")
# Scenarios of which every method is shown.
ALL_SHOWN = ("seed-2015", "realistic")
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


def self_check_lines(found, clean):
    """The self-check in words, the summary last."""
    lines = []
    for f in found:
        size = f"smallest {f.smallest:.3g}" if math.isfinite(f.smallest) else "no smaller size"
        limit = f" = {f.ratio:.2f} × limit" if math.isfinite(f.ratio) else ""
        lines.append(
            f"{'found ' if f.found else 'MISSED'} {f.name:20s} {f.full:.3g} {f.unit}: "
            f"{size}{limit}, by {f.first or '–'}"
        )
    lines.append(_clean_line(clean))
    n_found = sum(f.found for f in found)
    lines.append(
        f"{n_found} of {len(found)} defects found; "
        f"{clean.alarms} false alarms in {clean.n} clean runs"
    )
    return lines


def _clean_line(clean):
    """Whether clean runs alarm as often as is stated: neither more nor less."""
    share = [float((column < 0.05).mean()) for column in clean.pvalues.T]
    text = (
        f"clean runs below p = 5 %: {min(share):.1%} to {max(share):.1%}, metric by metric; "
        f"{clean.alarms} alarms where {clean.n * BUDGET:.1f} are stated"
    )
    if clean.consistent:
        return text + ": consistent, both sides"
    name = min(clean.tests, key=clean.tests.get)
    return text + f": NOT consistent, {name} by a binomial test (p = {clean.tests[name]:.1g})"


def write_report(
    path,
    outcomes,
    seed,
    pictures,
    changes=None,
    self_check=None,
    response=None,
    leaderboard=False,
):
    """Write the page.

    Parameters
    ----------
    path : path-like
    outcomes : sequence of Outcome
    seed : int
    pictures : dict
        (scenario name, method) → list of (PNG bytes, alt text), from `figures`.
    changes : sequence of str, optional
        What changed since the baseline.
    self_check : tuple, optional
        What `validation.selfcheck.self_check` returned.
    response : Response, optional
        What `validation.response.exclusion_response` returned.
    leaderboard : bool
        Whether to rank the methods.
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
    environment.filters["hours"] = lambda value: f"{value:.3g}" if math.isfinite(value) else "never"
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
        about={name: metric.__doc__.splitlines()[0] for name, metric in METRICS.items()}
        | SUMMARY
        | RUN_SUMMARY,
        changes=changes,
        convergence=_convergence(outcomes),
        targets=TARGETS,
        leaderboard=_leaderboard(outcomes) if leaderboard else None,
        self_check=None if self_check is None else _self_check(*self_check),
        response=None if response is None else _response(response),
        seed=seed,
        versions=versions(),
        stamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def to_be_shown(outcomes):
    """The outcomes with figures: the first method of a scenario, all in 2015's, what fails."""
    first = {}
    for outcome in outcomes:
        first.setdefault(outcome.scenario.name, outcome.method)
    return [
        outcome
        for outcome in outcomes
        if outcome.method == first[outcome.scenario.name]
        or outcome.scenario.name in ALL_SHOWN
        or any(result.status == "fail" for result in outcome.results)
    ]


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


def _convergence(outcomes):
    """For each scenario with curves: name, methods' curves, figure."""
    names = dict.fromkeys(o.scenario.name for o in outcomes if o.convergence)
    made = {}
    for name in names:
        curves = [o.convergence for o in outcomes if o.scenario.name == name and o.convergence]
        png = base64.b64encode(_png(convergence_figure(curves))).decode()
        made[name] = (curves, png)
    return made


def _self_check(found, clean):
    from validation.selfcheck import PROBES

    png = base64.b64encode(_png(self_check_figure(found, PROBES))).decode()
    return {
        "found": found,
        "summary": self_check_lines(found, clean)[-1],
        "clean": _clean_line(clean),
        "png": png,
    }


def _leaderboard(outcomes):
    """Ranks, rows of the table, methods that are not here, and the figure."""
    points = {}
    for outcome in outcomes:
        if (s := outcome.standing) and s.noise_cost > 0:
            # Relative, as the accuracy: √(b / N), and N = E[Q] / accuracy².
            scale = s.accuracy / math.sqrt(s.noise_cost + s.floor)
            limit = math.sqrt(2 * s.floor_error) * scale
            floor = math.sqrt(max(s.floor, 0.0)) * scale
            points.setdefault(outcome.method, []).append((floor, limit, s.noise_cost))
    return {
        "ranks": ranking(outcomes),
        "rows": rows(outcomes),
        "columns": list(COLUMNS),
        "why": why,
        "said": said(outcomes),
        "about": about(outcomes),
        "absent": ABSENT,
        "png": base64.b64encode(_png(leaderboard_figure(points))).decode(),
    }


def _response(response):
    """Rows (flux, smallest adequate radius) and the figure."""
    return {
        "rows": [(flux, response.adequate(flux)) for flux in FLUXES],
        "psf": response.psf,
        "png": base64.b64encode(_png(response_figure(response, FLUXES))).decode(),
    }


def _png(figure):
    buffer = io.BytesIO()
    # No software version inside: the same figure has the same bytes.
    figure.savefig(buffer, dpi=80, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _worst(results):
    return next(status for status in ORDER if any(r.status == status for r in results))


def _number(value):
    # What is zero but for rounding is zero.
    return "" if not math.isfinite(value) else f"{value if abs(value) > 1e-12 else 0:.5g}"


def _size(result):
    """Deviation from the ideal in standard errors, where that is a test."""
    if not math.isfinite(result.limit):
        return ""
    size = (result.value - result.ideal) / result.error if result.error else math.nan
    return "" if not math.isfinite(size) else f"{size:+.1f}"
