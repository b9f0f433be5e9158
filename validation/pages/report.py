"""The report: results and figures in one HTML page that opens anywhere."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from simbg.validation.figures.leaderboard import leaderboard_figure
from simbg.validation.figures.rendering import slug, write_pictures
from simbg.validation.figures.style import encode
from simbg.validation.leaderboard.table import leaderboard, write_leaderboard
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.pages.junit import write_junit
from simbg.validation.pages.summary import key_numbers, write_summary
from simbg.validation.suite.convergence import TARGETS
from simbg.validation.suite.results import versions, write_results
from simbg.validation.suite.suite import self_check_lines

__all__ = ["commit", "write_report_page", "write_reports"]

ROOT = Path(__file__).resolve().parents[2]
# Changes since the baseline that stand open.
N_CHANGES = 8


@dataclass(frozen=True)
class _Part:
    """One method in one scenario, as the page has it."""

    method: str
    status: str
    short: str
    counts: str
    notable: list
    results: tuple
    picture: object


def write_reports(folder, suite, pictures):
    """Write all there is of a run: page, summary, results, JUnit XML, figures, leaderboard."""
    write_results(folder / "results.jsonl", suite.results)
    write_junit(folder / "junit.xml", suite)
    write_summary(folder / "summary.md", suite)
    write_report_page(folder / "index.html", suite, pictures)
    write_pictures(folder, pictures)
    if suite.replicates:
        write_leaderboard(folder, suite.outcomes, suite.seed, suite.replicates)


def write_report_page(path, suite, pictures):
    """Write the page: one file, which loads nothing.

    Parameters
    ----------
    path : path-like
    suite : Suite
    pictures : Pictures
        From `simbg.validation.figures.rendering.render`.
    """
    write_page(
        path,
        "report.html",
        **_about(suite),
        pictures=pictures,
        parts=_parts(suite.outcomes, pictures),
        slug=slug,
        size=_size,
        hours=lambda value: f"{value:.3g}" if math.isfinite(value) else "never",
        seed=suite.seed,
        versions=versions(),
        commit=commit(),
        stamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def commit():
    """The commit of the sources that run, if they are those of a repository; else ""."""
    try:
        top, head, changed = (
            subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10
            ).stdout.strip()
            for words in (
                ("rev-parse", "--show-toplevel"),
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no", "--", "simbg", "validation"),
            )
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    # An environment in another project's repository is none of its sources.
    if not top or Path(top).resolve() != ROOT:
        return ""
    return head + (", with changes" if changed else "")


def _about(suite):
    """What the page says of the run."""
    return {
        "status": Status.OK if suite.good else Status.FAIL,
        "sound": suite.sound,
        "verdict": suite.text,
        "budget": BUDGET,
        "numbers": key_numbers(suite.outcomes),
        "scenarios": suite.scenarios,
        "methods": suite.methods,
        "metrics": METRICS,
        "changes": suite.changes,
        "n_changes": N_CHANGES,
        "convergence": _convergence(suite.outcomes),
        "targets": TARGETS,
        "leaderboard": _leaderboard(suite.outcomes) if suite.replicates else None,
        "self_check": None if suite.self_check is None else _self_check(*suite.self_check),
        "response": None if suite.response is None else _response(suite.response),
    }


def _parts(outcomes, pictures):
    """(scenario, method) → what stands there."""
    parts = {}
    for outcome in outcomes:
        key = outcome.scenario.name, outcome.method
        counts = Counter(result.status for result in outcome.results)
        worst = Status.worst(counts)
        # A reason is given once, with the metrics that it holds for.
        reasons = {}
        for result in outcome.results:
            if result.status.fails:
                reasons.setdefault((result.status, result.reason), []).append(result.metric)
        parts[key] = _Part(
            outcome.method,
            worst,
            f"{worst.mark} {worst.cell(counts[worst])}",
            ", ".join(f"{counts[status]} {status.phrase}" for status in Status if counts[status]),
            [(status, metrics, reason) for (status, reason), metrics in reasons.items()],
            outcome.results,
            pictures.maps.get(key),
        )
    return parts


def _convergence(outcomes):
    """Scenario → curves of its methods."""
    curves = {}
    for outcome in outcomes:
        if outcome.convergence:
            curves.setdefault(outcome.scenario.name, []).append(outcome.convergence)
    return curves


def _self_check(found, clean):
    *_, about, summary = self_check_lines(found, clean)
    return {"found": found, "summary": summary, "clean": about}


def _leaderboard(outcomes):
    """Ranks, rows of the table, methods that are not here, and the figure."""
    points = {}
    for outcome in outcomes:
        if (s := outcome.score) and s.noise_cost > 0:
            # Relative, as the accuracy: √(b / N), and N = E[Q] / accuracy².
            scale = s.accuracy / math.sqrt(s.noise_cost + s.floor)
            limit = math.sqrt(2 * s.floor_error) * scale
            floor = math.sqrt(max(s.floor, 0.0)) * scale
            points.setdefault(outcome.method, []).append((floor, limit, s.noise_cost))
    return leaderboard(outcomes) | {"png": encode(leaderboard_figure(points))}


def _response(response):
    """Rows (flux, smallest adequate radius)."""
    rows = [(flux, response.adequate(flux)) for flux in response.fluxes]
    return {"rows": rows, "psf": response.psf}


def _size(result):
    """Deviation from the ideal in standard errors, where that is a test."""
    if not math.isfinite(result.limit):
        return ""
    size = (result.value - result.ideal) / result.error if result.error else math.nan
    return "" if not math.isfinite(size) else f"{size:+.1f}"
