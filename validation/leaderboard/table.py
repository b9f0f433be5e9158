"""The table of the leaderboard: a row a method and scenario, in words and numbers."""

import math

from simbg.validation.leaderboard.ranking import APART, Rank, verdict, with_error
from simbg.validation.metrics.status import Status

__all__ = ["leaderboard"]

ABOUT = (
    "Every method rebuilt the same {stores} stores of each scenario, in a process of its own. "
    "Accuracy is the relative rms error of the rate, weighted with the true counts: the geometric "
    "mean over scenarios, of which one without a cube counts as 100 % or more. Ranks are those "
    "that a method may have: one more than are better by more than {apart:g} standard errors, and "
    "at most as many as are not worse by as much."
)
CLONE = "no release that pip finds; it installs from a clone of its repository"
# Public methods that are not in the table, and why.
ABSENT = dict.fromkeys(("pybkgmodel", "gammapy-tools"), CLONE)
ABSENT["gammapy-tools"] += ", with gammapy 1.1 and VERITAS's V2DL3"
# Heading → field of the score, factor, and unit; None for a number without its error.
COLUMNS = {
    "norm bias": ("norm", 100, " %"),
    "index bias": ("index", 1, ""),
    "noise cost p_eff": ("noise_cost", 1, ""),
    "floor": ("floor", 1, ""),
    "efficiency": ("efficiency", 1, None),
    "accuracy": ("accuracy", 100, " %"),
    "hours for 1 %": ("hours", 1, None),
    "empty-field width": ("significance_width", 1, ""),
    "time / s": ("seconds", 1, None),
    "memory / MB": ("megabytes", 1, None),
}


def leaderboard(outcomes):
    """All that the leaderboard says.

    Returns
    -------
    content : dict
        ``about`` in words; ``ranks`` and ``lines``, which say them; ``columns``, the headings;
        ``rows``, each with its ``outcome``, ``verdict``, ``texts`` and ``numbers`` by heading,
        and ``why`` in words; ``known``, what methods say of themselves: method → {topic or
        metric: what}; ``absent``.
    """
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    known = {}
    for outcome in scored:
        if outcome.score.known:
            known.setdefault(outcome.method, {}).update(outcome.score.known)
    stores = max((outcome.score.stores for outcome in scored), default=0)
    ranks = Rank.ranked(scored)
    return {
        "about": ABOUT.format(stores=stores, apart=APART),
        "ranks": ranks,
        "lines": [f"{r.label:>5s}  {r.method:24s} accuracy {r.text}; {r.counts}" for r in ranks],
        "columns": list(COLUMNS),
        "rows": [_row(outcome) for outcome in scored],
        "known": known,
        "absent": ABSENT,
    }


def _row(outcome):
    score = outcome.score
    numbers = {heading: getattr(score, field) for heading, (field, *_) in COLUMNS.items()}
    # A bias is as large on either side.
    numbers |= {heading: abs(numbers[heading]) for heading in ("norm bias", "index bias")}
    texts = {heading: _cell(score, *column) for heading, column in COLUMNS.items()}
    row = {"outcome": outcome, "verdict": verdict(outcome), "why": _why(outcome)}
    return row | {"texts": texts, "numbers": numbers}


def _why(outcome):
    """What fails, and what is known of it, in words."""
    known = outcome.score.known or {}
    if outcome.score.reason:
        return outcome.score.reason
    failed = [r for r in outcome.results if r.status in (Status.FAIL, Status.ERROR)]
    words = [r.metric + (f" ({known[r.metric]})" if r.metric in known else "") for r in failed]
    reasons = dict.fromkeys(r.reason for r in outcome.results if r.status == Status.KNOWN)
    return "; ".join([*words, *(f"known: {reason}" for reason in reasons)])


def _cell(score, field, factor, unit):
    value = getattr(score, field)
    if unit is not None:
        return with_error(factor * value, factor * getattr(score, f"{field}_error"), unit)
    if field == "hours" and value == math.inf:
        return "never"
    # Three digits, and no exponent before a million.
    text = f"{float(f'{value:.3g}'):g}" if math.isfinite(value) else "–"
    return f"≥ {text}" if field == "hours" and score.at_least and text != "–" else text
