"""The leaderboard: all methods in one table, as Markdown, JSON and lines."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from simbg.io.files import new_file
from validation.results import versions

__all__ = ["ABSENT", "Rank", "leaderboard_lines", "ranking", "write_leaderboard"]

SCHEMA = 1
# The worst first: a method is as good in a scenario as its worst metric.
ORDER = ("error", "fail", "known", "ok")
# Two methods are apart if their scores are, by so many standard errors.
APART = 2.0
ABOUT = (
    "Every method rebuilt the same {replicates} stores of each scenario, in a process of its own. "
    "Accuracy is the relative rms error of the rate, weighted with the true counts; a scenario "
    "without a cube counts as 100 %, and methods that differ by less than {apart:g} standard "
    "errors share a rank."
)
# Public methods that are not on the bench, and why.
ABSENT = {
    "pybkgmodel": "no release on the Python package index; it installs from its repository only",
    "gammapy-tools": "no release on the Python package index; it installs from its repository only",
}
# Of the tables: heading, and how a standing says it.
COLUMNS = {
    "norm bias": lambda s: _with_error(100 * s.norm, 100 * s.norm_error, " %"),
    "index bias": lambda s: _with_error(s.index, s.index_error),
    "noise cost p_eff": lambda s: _with_error(s.noise_cost, s.noise_cost_error),
    "floor": lambda s: _with_error(s.floor, s.floor_error),
    "efficiency": lambda s: _number(s.efficiency),
    "accuracy": lambda s: _with_error(100 * s.accuracy, 100 * s.accuracy_error, " %"),
    "hours for 1 %": lambda s: _hours(s),
    "empty-field width": lambda s: _with_error(s.significance_width, s.significance_width_error),
    "time / s": lambda s: _number(s.seconds),
    "memory / MB": lambda s: _number(s.megabytes),
}


@dataclass(frozen=True)
class Rank:
    """A method over all scenarios.

    Parameters
    ----------
    rank : int
        Methods that are not apart from the one above share its rank.
    method : str
    score, error : float
        Mean ln of the relative accuracy over all scenarios, and its error. A scenario without
        a cube counts 1, which is what a rate of zero everywhere has.
    verdicts : dict of str to int
        Scenarios of each status.
    """

    rank: int
    method: str
    score: float
    error: float
    verdicts: dict

    @property
    def accuracy(self):
        """Relative rms error of the rate, geometric mean over scenarios."""
        return math.exp(self.score)


def ranking(outcomes):
    """All methods that have a standing, the best first.

    Returns
    -------
    ranks : list of Rank
    """
    scored = []
    for method, rows in _by_method(outcomes).items():
        standings = [outcome.standing for outcome in rows]
        known = [s for s in standings if s.accuracy > 0]
        score = sum(math.log(s.accuracy) for s in known) / len(rows)
        square = sum((s.accuracy_error / s.accuracy) ** 2 for s in known)
        verdicts = [_verdict(outcome) for outcome in rows]
        counts = {status: verdicts.count(status) for status in ORDER}
        scored.append((score, math.sqrt(square) / len(rows), method, counts))
    ranks = []
    for number, (score, error, method, counts) in enumerate(sorted(scored, key=lambda s: s[0]), 1):
        above = ranks[-1] if ranks else None
        apart = above is None or score - above.score > APART * math.hypot(error, above.error)
        ranks.append(Rank(number if apart else above.rank, method, score, error, counts))
    return ranks


def leaderboard_lines(outcomes):
    """The ranks in words, a line each."""
    return [
        f"{rank.rank:2d}. {rank.method:24s} accuracy {100 * rank.accuracy:.3g} % ± "
        f"{100 * rank.accuracy * rank.error:.1g} %; {_counts(rank.verdicts)}"
        for rank in ranking(outcomes)
    ]


def write_leaderboard(folder, outcomes, seed, replicates):
    """Write leaderboard.md and leaderboard.json."""
    ranks = ranking(outcomes)
    shown = [outcome for outcome in outcomes if outcome.standing is not None]
    record = {
        "schema": SCHEMA,
        "seed": seed,
        "replicates": replicates,
        "versions": versions(),
        "ranking": [asdict(rank) for rank in ranks],
        "standings": [
            {"verdict": _verdict(outcome), **asdict(outcome.standing), "why": why(outcome)}
            for outcome in shown
        ],
        "absent": ABSENT,
    }
    with new_file(folder / "leaderboard.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(_plain(record), indent=1, allow_nan=False) + "\n")
    with new_file(folder / "leaderboard.md", overwrite=True) as temporary:
        temporary.write_text(_markdown(ranks, shown, replicates), encoding="utf-8")


def rows(outcomes):
    """What the tables show: (outcome, verdict, {heading: text}, {heading: number to sort by})."""
    made = []
    for outcome in outcomes:
        if (s := outcome.standing) is None:
            continue
        sort = dict(
            zip(
                COLUMNS,
                (
                    *(abs(s.norm), abs(s.index), s.noise_cost, s.floor, s.efficiency),
                    *(s.accuracy, s.hours, s.significance_width, s.seconds, s.megabytes),
                ),
                strict=True,
            )
        )
        texts = {heading: text(s) for heading, text in COLUMNS.items()}
        made.append((outcome, _verdict(outcome), texts, sort))
    return made


def why(outcome):
    """What fails, and what is known of it, in words."""
    known = outcome.standing.known or {}
    failed = [r for r in outcome.results if r.status in ("fail", "error")]
    if any(r.status == "error" for r in failed):
        return outcome.standing.reason or failed[0].reason
    words = [r.metric + (f" ({known[r.metric]})" if r.metric in known else "") for r in failed]
    reasons = {r.reason: r.metric for r in outcome.results if r.status == "known"}
    words += [f"known: {reason}" for reason in reasons]
    return "; ".join(words)


def _by_method(outcomes):
    found = {}
    for outcome in outcomes:
        if outcome.standing is not None:
            found.setdefault(outcome.method, []).append(outcome)
    return found


def _verdict(outcome):
    statuses = {result.status for result in outcome.results}
    return next((status for status in ORDER if status in statuses), "ok")


def _counts(verdicts):
    words = {"ok": "hold", "known": "fail as known", "fail": "fail", "error": "end in an error"}
    return ", ".join(f"{verdicts[s]} {words[s]}" for s in reversed(ORDER) if verdicts[s])


def _markdown(ranks, shown, replicates):
    lines = [
        "# Leaderboard",
        "",
        ABOUT.format(replicates=replicates, apart=APART),
        "",
        "| rank | method | accuracy | scenarios |",
        "|---:|---|---:|---|",
    ]
    lines += [
        f"| {r.rank} | {r.method} | {100 * r.accuracy:.3g} % ± {100 * r.accuracy * r.error:.1g} % "
        f"| {_counts(r.verdicts)} |"
        for r in ranks
    ]
    lines += [f"| – | {name} | – | not here: {reason} |" for name, reason in ABSENT.items()]
    heads = ["scenario", "method", "verdict", *COLUMNS, "why"]
    lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for outcome, verdict, texts, _ in rows(shown):
        cells = [outcome.scenario.name, outcome.method, verdict, *texts.values(), why(outcome)]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _hours(standing):
    if standing.hours == math.inf:
        return "never"
    return ("≥ " if standing.at_least else "") + _number(standing.hours)


def _number(value):
    return "–" if not math.isfinite(value) else f"{value:.3g}"


def _with_error(value, error, unit=""):
    """A value to the second digit of its error."""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.3g}{unit}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}{unit}"


def _plain(value):
    """JSON has no NaN and no infinity: null and a word."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "infinite" if value == math.inf else None
    return value
