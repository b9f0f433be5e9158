"""The report: results and figures in one HTML page that needs no other files."""

import math
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simbg.reconstruction.registry import METHODS
from simbg.validation.figures.rendering import Pictures, draw, slug, write_pictures
from simbg.validation.figures.suite import leaderboard_figure
from simbg.validation.leaderboard.table import leaderboard
from simbg.validation.metrics.metric import BUDGET, rounded, with_error
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.pages.html import write_page
from simbg.validation.pages.junit import write_junit
from simbg.validation.pages.report.answers import (
    QUESTIONS,
    allowed_values,
    answers_of,
    criteria_text,
    meanings_of,
)
from simbg.validation.pages.report.leaderboard import write_leaderboard
from simbg.validation.pages.report.summary import write_summary
from simbg.validation.suite.method_in_scenario import SIMULATION
from simbg.validation.suite.results import Result
from simbg.validation.suite.suite import Suite

__all__ = ["commit", "write_report_page", "write_reports"]

ROOT = Path(__file__).resolve().parents[3]


def write_reports(folder: Path, suite: Suite, pictures: Pictures) -> None:
    """Write all files of a run: page, summary, results, JUnit XML, figures, leaderboard.

    Parameters
    ----------
    folder : Path
        Folder of the report.
    suite : Suite
        The run.
    pictures : Pictures
        From `simbg.validation.figures.rendering.render`.
    """
    Result.write(folder / "results.jsonl", suite.results)
    write_junit(folder / "junit.xml", suite)
    write_summary(folder / "summary.md", suite)
    write_report_page(folder / "index.html", suite, pictures)
    write_pictures(folder, pictures)
    if suite.stores:
        write_leaderboard(folder, suite.outcomes, suite.seed, suite.stores, suite.replayed)


def write_report_page(path: Path, suite: Suite, pictures: Pictures) -> None:
    """Write the page, one file that does not load other files.

    Parameters
    ----------
    path : Path
        The file.
    suite : Suite
        The run.
    pictures : Pictures
        From `simbg.validation.figures.rendering.render`.
    """

    history = [method for method in suite.methods if method in suite.history]
    parts = {(o.scenario.name, o.method): _part(o, pictures) for o in suite.outcomes}
    write_page(
        path,
        "report.html",
        suite=suite,
        pictures=pictures,
        has_files=any(picture.png for picture in pictures.all),
        status=suite.status,
        parts=parts,
        questions=QUESTIONS,
        meanings=meanings_of(part["words"] for part in parts.values()),
        allowed=allowed_values,
        asked={method: _asked(parts, method) for method in suite.methods},
        simulation=SIMULATION,
        events_agree=not any(r.status.fails for r in suite.results if r.method == SIMULATION),
        about=_about,
        methods=[method for method in suite.methods if method not in history],
        current=[v for v in suite.verdicts if v.method not in history],
        measured=_measured(suite),
        **_history(suite, history),
        leaderboard=_leaderboard(suite) if suite.stores else None,
        metrics=METRICS,
        budget=BUDGET,
        slug=slug,
        size=_size,
        rounded=rounded,
        with_error=with_error,
        hours=lambda value: f"{value:.3g}" if math.isfinite(value) else "never",
        commit=commit(),
        stamp=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def commit(root: Path = ROOT) -> str:
    """The commit of the running sources; empty if they are not in a repository of this project."""
    # Sources installed inside another repository are not part of it.
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
    return head + (", with local changes" if changed else "")


def _part(outcome, pictures):
    """Content of the page for one method in one scenario."""
    counts = Counter(result.status for result in outcome.results)
    worst = Status.worst(counts)
    # Each reason is given once, with all metrics that have it.
    reasons: dict[tuple[Status, str], list[str]] = {}
    for result in outcome.results:
        if result.status.fails:
            reasons.setdefault((result.status, result.reason), []).append(result.metric)
    return {
        "status": worst,
        "short": f"{Status.marks(counts)} {worst.cell(counts[worst])}",
        "counts": criteria_text(counts),
        "words": answers_of(outcome.results),
        "notable": [(status, metrics, reason) for (status, reason), metrics in reasons.items()],
        "answers": sorted(filter(_is_tested, outcome.results), key=_importance),
        "folded": outcome.method == SIMULATION,
        "descriptions": [r for r in outcome.results if not _is_tested(r)],
        "picture": pictures.maps.get((outcome.scenario.name, outcome.method)),
    }


def _measured(suite):
    """Method → names of the scenarios in which its convergence was measured."""
    found: dict[str, list[str]] = {method: [] for method in suite.methods}
    for outcome in suite.outcomes:
        if outcome.convergence:
            found[outcome.method].append(outcome.scenario.name)
    return found


def _history(suite, history):
    """What the page says about methods that were run for their history."""
    results = [r for r in suite.results if r.method in history]
    names = {r.scenario for r in results}
    return {
        "history": history,
        "told": [v for v in suite.verdicts if v.method in history],
        "history_scenarios": {n: s for n, s in suite.scenarios.items() if n in names},
        "history_holds": not {Status.FAIL, Status.ERROR} & {r.status for r in results},
    }


def _asked(parts, method):
    """The questions that a method answers in any scenario; the first one if there is none."""
    asked = {
        question for (_, m), part in parts.items() if m == method for question in part["words"]
    }
    return [question for question in QUESTIONS if question in asked] or ["bias"]


def _about(method):
    """What a method does, in a clause."""
    if method not in METHODS:
        return "a method of the user"
    text = METHODS[method].__doc__.splitlines()[0].replace("`", "").rstrip(".")
    return text[0].lower() + text[1:]


def _importance(result):
    """Order of the answers: failures first, then the questions, then the tests of single runs."""
    questions = ["bias", "accuracy", "flux", "noise", "honesty", "arrival"]
    number = questions.index(result.metric) if result.metric in questions else len(questions)
    return not result.status.fails, number


def _is_tested(result):
    """Whether a result answers a question, or has a criterion."""
    kind = METRICS[result.metric].kind if result.metric in METRICS else ""
    return result.status is not Status.INFO or kind == "question"


def _leaderboard(suite):
    """Content of the leaderboard, with its figure."""
    scores: dict[str, list[Any]] = {}
    for outcome in suite.outcomes:
        if outcome.score and outcome.score.noise_cost > 0:
            scores.setdefault(outcome.method, []).append(outcome.score)
    content = leaderboard(suite.outcomes, suite.seed, suite.replayed)
    picture = draw(False, leaderboard_figure, (scores,), "leaderboard")
    return content | {"picture": picture}


def _size(result):
    """Deviation from the ideal in standard errors, if it is known."""
    size = (result.value - result.ideal) / (result.error or math.nan)
    return f"{size:+.1f}" if math.isfinite(size) else ""
