"""The leaderboard: all methods in one table, as Markdown, JSON and lines."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace

from scipy import stats

from simbg.io.safe_files import new_file
from simbg.validation.metrics.status import Status
from simbg.validation.suite.results import versions

__all__ = ["ABSENT", "Rank", "leaderboard_lines", "ranking", "write_leaderboard"]

SCHEMA = 2
# A method is as good in a scenario as its worst metric.
VERDICTS = (Status.ERROR, Status.FAIL, Status.KNOWN, Status.OK)
# Two methods are apart if their scores are, by so many standard errors of a normal.
APART = 2.0
# What is nearer to the truth is so by rounding, and its logarithm says nothing.
EXACT = 1e-12
ABOUT = (
    "Every method rebuilt the same {stores} stores of each scenario, in a process of its own. "
    "Accuracy is the relative rms error of the rate, weighted with the true counts: the geometric "
    "mean over scenarios, of which one without a cube counts as 100 % or more. Ranks are those "
    "that a method may have: one more than are better by more than {apart:g} standard errors, and "
    "at most as many as are not worse by as much."
)
# Public methods that are not on the bench, and why.
ABSENT = {
    "pybkgmodel": "no release that pip finds; it installs from a clone of its repository",
    "gammapy-tools": "no release that pip finds; it installs from a clone of its repository, "
    "with gammapy 1.1 and VERITAS's V2DL3",
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
    method : str
    score, error : float
        Mean ln of the relative accuracy over all scenarios, and its standard error. A scenario
        without a cube counts 1, which is what a rate of zero everywhere has, or what the worst
        method has there if that is more.
    freedom : float
        Degrees of freedom of the error.
    verdicts : dict of str to int
        Scenarios of each status.
    best, worst : int
        The ranks that it may have, given the errors.
    """

    method: str
    score: float
    error: float
    freedom: float
    verdicts: dict
    best: int = 0
    worst: int = 0

    @property
    def accuracy(self):
        """Relative rms error of the rate, geometric mean over scenarios."""
        return math.exp(self.score)

    @property
    def text(self):
        """Accuracy and its error in words."""
        return _with_error(100 * self.accuracy, 100 * self.accuracy * self.error, " %")

    @property
    def label(self):
        """The ranks in words."""
        return f"{self.best}" if self.best == self.worst else f"{self.best}–{self.worst}"


def ranking(outcomes):
    """All methods that have a standing, the best score first.

    Returns
    -------
    ranks : list of Rank
    """
    worst = _worst(outcomes)
    scored = [_scored(method, rows, worst) for method, rows in _by_method(outcomes).items()]
    scored.sort(key=lambda rank: rank.score)
    return [
        replace(
            rank,
            best=1 + sum(apart(other, rank) for other in scored),
            worst=len(scored) - sum(apart(rank, other) for other in scored),
        )
        for rank in scored
    ]


def apart(one, other):
    """Whether the first of two ranks is better than the other by more than their errors."""
    # False where an error is not known.
    return other.score - one.score > limit(one, other)


def limit(*ranks):
    """What a sum or difference of scores may be by their errors alone, in 95.4 of 100.

    Errors are added as if methods had no events in common; they have, so it is too large rather
    than too small. Few stores know their scatter badly: Student's t, with degrees of freedom as
    Welch (1947) has them.
    """
    variances = [rank.error**2 for rank in ranks]
    unsure = sum(v**2 / rank.freedom for v, rank in zip(variances, ranks, strict=True))
    freedom = sum(variances) ** 2 / unsure if unsure else math.inf
    return float(stats.t.isf(stats.norm.sf(APART), freedom)) * math.sqrt(sum(variances))


def _worst(outcomes):
    """What a scenario without a cube counts: 1, or the worst accuracy there if that is more."""
    worst = {}
    for standing in (outcome.standing for outcome in outcomes if outcome.standing is not None):
        accuracy = standing.accuracy if math.isfinite(standing.accuracy) else 0.0
        worst[standing.scenario] = max(1.0, accuracy, worst.get(standing.scenario, 1.0))
    return worst


def _scored(method, rows, worst):
    score, variances, unsure = 0.0, 0.0, 0.0
    for standing in (outcome.standing for outcome in rows):
        if math.isfinite(standing.accuracy):
            accuracy = max(standing.accuracy, EXACT)
            variance = (standing.accuracy_error / accuracy / len(rows)) ** 2
            variances += variance
            unsure += variance**2 / max(standing.stores - 1, 1)
        else:
            accuracy = worst[standing.scenario]
        score += math.log(accuracy) / len(rows)
    freedom = variances**2 / unsure if unsure else math.inf
    verdicts = [_verdict(outcome) for outcome in rows]
    counts = {status: verdicts.count(status) for status in VERDICTS}
    return Rank(method, score, math.sqrt(variances), freedom, counts)


def leaderboard_lines(outcomes):
    """The ranks in words, a line each."""
    return [
        f"{rank.label:>5s}  {rank.method:24s} accuracy {rank.text}; {_counts(rank.verdicts)}"
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
        temporary.write_text(_markdown(ranks, shown), encoding="utf-8")


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
    if outcome.standing.reason:
        return outcome.standing.reason
    failed = [r for r in outcome.results if r.status in (Status.FAIL, Status.ERROR)]
    words = [r.metric + (f" ({known[r.metric]})" if r.metric in known else "") for r in failed]
    reasons = {r.reason: r.metric for r in outcome.results if r.status == Status.KNOWN}
    words += [f"known: {reason}" for reason in reasons]
    return "; ".join(words)


def about(outcomes):
    """What the tables are, in words."""
    stores = max((o.standing.stores for o in outcomes if o.standing), default=0)
    return ABOUT.format(stores=stores, apart=APART)


def said(outcomes):
    """What methods say of themselves: method → {topic or metric: what}."""
    found = {}
    for outcome in outcomes:
        if outcome.standing is not None and outcome.standing.known:
            found.setdefault(outcome.method, {}).update(outcome.standing.known)
    return found


def _by_method(outcomes):
    found = {}
    for outcome in outcomes:
        if outcome.standing is not None:
            found.setdefault(outcome.method, []).append(outcome)
    return found


def _verdict(outcome):
    if outcome.standing.reason:
        return Status.ERROR  # if only with another store
    return Status.worst([Status.OK, *(result.status for result in outcome.results)])


def _counts(verdicts):
    return ", ".join(f"{verdicts[s]} {s.phrase}" for s in reversed(VERDICTS) if verdicts[s])


def _markdown(ranks, shown):
    lines = [
        "# Leaderboard",
        "",
        about(shown),
        "",
        "| rank | method | accuracy | scenarios |",
        "|---:|---|---:|---|",
    ]
    lines += [f"| {r.label} | {r.method} | {r.text} | {_counts(r.verdicts)} |" for r in ranks]
    lines += [f"| – | {name} | – | not here: {reason} |" for name, reason in ABSENT.items()]
    heads = ["scenario", "method", "verdict", *COLUMNS, "why"]
    lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for outcome, verdict, texts, _ in rows(shown):
        cells = [outcome.scenario.name, outcome.method, verdict, *texts.values(), why(outcome)]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    for method, known in said(shown).items():
        lines += ["", f"What is known of {method}:", ""]
        lines += [f"- {topic}: {reason}" for topic, reason in known.items()]
    return "\n".join([*lines, ""])


def _hours(standing):
    if standing.hours == math.inf:
        return "never"
    limit = standing.at_least and math.isfinite(standing.hours)
    return ("≥ " if limit else "") + _number(standing.hours)


def _number(value):
    # Three digits, and no exponent before a million.
    return "–" if not math.isfinite(value) else f"{float(f'{value:.3g}'):g}"


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
