"""The report: results and figures in one HTML page that opens anywhere."""

import math
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from simbg.validation.figures.leaderboard import leaderboard_figure
from simbg.validation.figures.rendering import slug, write_pictures
from simbg.validation.figures.style import encode
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.pages.junit import write_junit
from simbg.validation.pages.leaderboard import write_leaderboard
from simbg.validation.pages.summary import key_numbers, write_summary
from simbg.validation.suite.results import Result

__all__ = ["commit", "write_report_page", "write_reports"]

ROOT = Path(__file__).resolve().parents[2]


def write_reports(folder, suite, pictures):
    """Write all there is of a run: page, summary, results, JUnit XML, figures, leaderboard."""
    Result.write(folder / "results.jsonl", suite.results)
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
        suite=suite,
        pictures=pictures,
        status=Status.OK if suite.ok else Status.FAIL,
        numbers=key_numbers(suite.outcomes),
        parts={(o.scenario.name, o.method): _part(o, pictures) for o in suite.outcomes},
        leaderboard=_leaderboard(suite.outcomes) if suite.replicates else None,
        metrics=METRICS,
        budget=BUDGET,
        slug=slug,
        size=_size,
        hours=lambda value: f"{value:.3g}" if math.isfinite(value) else "never",
        commit=commit(),
        stamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def commit(root=ROOT):
    """The commit of the sources that run, if they are those of a repository; else ""."""
    # An environment in another project's repository is none of its sources.
    if not (root / ".git").exists():
        return ""
    changes = "status", "--porcelain", "--untracked-files=no", "--", "simbg", "validation"
    try:
        head, changed = (
            subprocess.check_output(["git", "-C", root, *words], text=True, timeout=10).strip()
            for words in (("rev-parse", "--short=12", "HEAD"), changes)
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + (", with changes" if changed else "")


def _part(outcome, pictures):
    """What the page has of one method in one scenario."""
    counts = Counter(result.status for result in outcome.results)
    worst = Status.worst(counts)
    # A reason is given once, with the metrics that it holds for.
    reasons = {}
    for result in outcome.results:
        if result.status.fails:
            reasons.setdefault((result.status, result.reason), []).append(result.metric)
    return {
        "status": worst,
        "short": f"{worst.mark} {worst.cell(counts[worst])}",
        "counts": ", ".join(f"{counts[s]} {s.phrase}" for s in Status if counts[s]),
        "notable": [(status, metrics, reason) for (status, reason), metrics in reasons.items()],
        "results": outcome.results,
        "picture": pictures.maps.get((outcome.scenario.name, outcome.method)),
    }


def _leaderboard(outcomes):
    """What the leaderboard says, and its figure."""
    scores = {}
    for outcome in outcomes:
        if outcome.score and outcome.score.noise_cost > 0:
            scores.setdefault(outcome.method, []).append(outcome.score)
    return leaderboard(outcomes) | {"png": encode(leaderboard_figure(scores))}


def _size(result):
    """Deviation from the ideal in standard errors, where that is a test."""
    size = (result.value - result.ideal) / (result.error or math.nan)
    return f"{size:+.1f}" if math.isfinite(result.limit) and math.isfinite(size) else ""
