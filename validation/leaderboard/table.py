"""The table of the leaderboard: one row for each method and scenario."""

import math
from collections.abc import Iterable
from typing import Any

from simbg.validation.leaderboard.ranking import APART, Rank, verdict
from simbg.validation.metrics.metric import with_error
from simbg.validation.metrics.status import Status
from simbg.validation.suite.method_in_scenario import Outcome

__all__ = ["leaderboard"]

INTRODUCTION = (
    "Every method reconstructed the same {stores} stores of each scenario, in a process of its "
    "own. Accuracy is the relative rms error of the rate, weighted with the true counts: the "
    "geometric mean over scenarios, where a scenario without a cube counts as 100 % or more. A "
    "range of ranks contains all ranks that the errors allow: two methods are ordered only if "
    "their accuracies differ by more than {apart:g} standard errors. An accurate method can be "
    "biased: see the column bias."
)
DRAWN = (
    "Parameters of the scenarios and events were drawn when the ranking started, with the seed "
    "{seed}. `--seed {seed}` replays it."
)
REPLAYED = (
    "This ranking was replayed: parameters of the scenarios and events are those of the seed "
    "{seed}, which was known before the ranking. Therefore methods could know the truth."
)
CLONE = "not on PyPI; it must be installed from a clone of its repository"
# Public methods that are not in the table, and the reason.
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
# Heading of the flux error of a source, in units of the Crab.
FLUX = "flux / Crab"


def leaderboard(
    outcomes: Iterable[Outcome], seed: int = 0, replayed: bool = False
) -> dict[str, Any]:
    """The content of the leaderboard.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Outcomes of all scenarios and methods; those without a score are left out.
    seed : int
        Seed of the scenarios and events.
    replayed : bool
        Whether the user chose the seed.

    Returns
    -------
    content : dict
        ``introduction``, the explanation in words; ``origin``, whether the ranking was replayed;
        ``ranks``, a list of `Rank`, and ``lines``, the same in words; ``columns``, the headings;
        ``rows``, each with its ``outcome``, ``verdict``, ``texts`` and ``numbers`` by heading, and
        ``why``, the reason of its verdict; ``absent``, methods that are not in the table, and the
        reason.
    """
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    stores = max((outcome.score.stores for outcome in scored), default=0)
    ranks = Rank.ranked(scored)
    return {
        "introduction": INTRODUCTION.format(stores=stores, apart=APART),
        "origin": (REPLAYED if replayed else DRAWN).format(seed=seed),
        "ranks": ranks,
        "lines": [
            f"{r.label:>5s}  {r.method:24s} accuracy {r.text}; {r.bias}; {r.counts}" for r in ranks
        ],
        "columns": [*COLUMNS, FLUX],
        "rows": [_row(outcome) for outcome in scored],
        "absent": ABSENT,
    }


def _row(outcome):
    score = outcome.score
    numbers = {heading: getattr(score, field) for heading, (field, *_) in COLUMNS.items()}
    # Biases are sorted by their absolute value.
    numbers |= {heading: abs(numbers[heading]) for heading in ("norm bias", "index bias")}
    texts = {heading: _cell(score, *column) for heading, column in COLUMNS.items()}
    if outcome.flux is None:
        numbers[FLUX], texts[FLUX] = math.nan, "–"
    else:
        numbers[FLUX] = outcome.flux.value
        texts[FLUX] = with_error(100 * outcome.flux.value, 100 * outcome.flux.error, " %")
    row = {"outcome": outcome, "verdict": verdict(outcome), "why": _why(outcome)}
    return row | {"texts": texts, "numbers": numbers}


def _why(outcome):
    """The failed metrics and the known failures, in words."""
    if outcome.score.reason:
        return outcome.score.reason
    failed = [r for r in outcome.results if r.status in (Status.FAIL, Status.ERROR)]
    known = dict.fromkeys(r.reason for r in outcome.results if r.status == Status.KNOWN)
    return "; ".join([*(r.metric for r in failed), *(f"known: {reason}" for reason in known)])


def _cell(score, field, factor, unit):
    value = getattr(score, field)
    if unit is not None:
        return with_error(factor * value, factor * getattr(score, f"{field}_error"), unit)
    if field == "hours" and value == math.inf:
        return "never"
    # Three digits, without exponent below a million.
    text = f"{float(f'{value:.3g}'):g}" if math.isfinite(value) else "–"
    return f"≥ {text}" if field == "hours" and score.at_least and text != "–" else text
