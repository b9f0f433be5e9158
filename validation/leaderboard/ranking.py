"""The ranking: mean scores over all scenarios, and the ranks that their errors allow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from scipy import special

from simbg.validation.metrics.metric import with_error
from simbg.validation.metrics.status import Status
from simbg.validation.suite.method_in_scenario import Outcome
from simbg.validation.suite.suite import Suite

__all__ = ["Rank"]

# The verdict on a method in a scenario is the worst status of its metrics.
VERDICTS = (
    *(Status.ERROR, Status.FAIL, Status.KNOWN, Status.WARNING, Status.UNDECIDED, Status.OK),
)
# Number of standard errors, of a normal distribution, from which on two scores differ.
APART = 2.0
# Smallest relative accuracy. Smaller values are rounding errors.
EXACT = 1e-12


@dataclass(frozen=True)
class Rank:
    """Score and ranks of a method over all scenarios.

    Parameters
    ----------
    method : str
        Name of the method.
    score, error : float
        Mean of ln(relative accuracy) over all scenarios, and its standard error. Without a cube the
        accuracy of a scenario is 1, that of a rate of zero, or that of the worst method if larger.
    freedom : float
        Degrees of freedom of the error.
    verdicts : dict of Status to int
        Number of scenarios with each status.
    best, worst : int
        First and last rank that the errors allow.
    bias : str
        Whether the method is unbiased, in words.
    """

    method: str
    score: float
    error: float
    freedom: float
    verdicts: dict[Status, int]
    best: int = 0
    worst: int = 0
    bias: str = ""

    @classmethod
    def ranked(cls, outcomes: Iterable[Outcome]) -> list[Self]:
        """Rank all methods that have a score.

        Parameters
        ----------
        outcomes : iterable of Outcome
            Outcomes of all scenarios and methods.

        Returns
        -------
        ranks : list of Rank
            The best method first.

        Notes
        -----
        The range of ranks of a method is that of Mogstad et al. (2024, doi:10.1093/restud/rdad006):
        1 plus the number of methods that are significantly better, to the number of those that are
        not significantly worse.
        """
        by_method: dict[str, list[Outcome]] = {}
        worst: dict[str, float] = {}
        for outcome in outcomes:
            if (score := outcome.score) is not None:
                by_method.setdefault(outcome.method, []).append(outcome)
                accuracy = score.accuracy if math.isfinite(score.accuracy) else 0.0
                worst[score.scenario] = max(1.0, accuracy, worst.get(score.scenario, 1.0))
        ranks = [
            replace(cls(*_rank(method, scored, worst)), bias=Suite(scored, 0).verdicts[0].word)
            for method, scored in by_method.items()
        ]
        ranks.sort(key=lambda rank: rank.score)
        best = [1 + sum(other.is_better_than(rank) for other in ranks) for rank in ranks]
        last = [len(ranks) - sum(rank.is_better_than(other) for other in ranks) for rank in ranks]
        return [replace(r, best=b, worst=w) for r, b, w in zip(ranks, best, last, strict=True)]

    @property
    def accuracy(self) -> float:
        """Relative rms error of the rate: geometric mean over scenarios."""
        return math.exp(self.score)

    @property
    def text(self) -> str:
        """Accuracy and its error, in percent."""
        return with_error(100 * self.accuracy, 100 * self.accuracy * self.error, " %")

    @property
    def label(self) -> str:
        """The range of ranks."""
        return f"{self.best}" if self.best == self.worst else f"{self.best}–{self.worst}"

    def is_better_than(self, other: "Rank") -> bool:
        """Whether this score is better by more than the errors allow.

        Parameters
        ----------
        other : Rank
            Another method.

        Returns
        -------
        better : bool
            False if an error is not known.
        """
        return other.score - self.score > Rank.limit(self, other)

    @staticmethod
    def limit(*ranks: "Rank") -> float:
        """Largest sum or difference of scores that their errors explain, at a level of 95.4 %.

        Parameters
        ----------
        *ranks : Rank
            The scores.

        Returns
        -------
        limit : float
            In units of ln(accuracy).

        Notes
        -----
        The quantile is that of Student's t with the degrees of freedom of Welch (1947,
        doi:10.1093/biomet/34.1-2.28), since the scatter is estimated from few stores. Errors are
        added as if they were independent. Since methods see the same events, the result is
        rather too large.
        """
        from scipy import stats  # imported here, since it is as slow to load as astropy

        variances = [rank.error**2 for rank in ranks]
        freedom = _freedom(variances, [rank.freedom for rank in ranks])
        return float(stats.t.isf(special.ndtr(-APART), freedom)) * math.sqrt(sum(variances))

    @property
    def counts(self) -> str:
        """Number of scenarios with each status, in words."""
        shown = [status for status in reversed(VERDICTS) if self.verdicts[status]]
        return ", ".join(status.counted(self.verdicts[status]) for status in shown)


def verdict(outcome: Outcome) -> Status:
    """The status of a method in a scenario."""
    if outcome.score.reason:
        return Status.ERROR  # even if only one store failed
    return Status.worst([Status.OK, *(result.status for result in outcome.results)])


def _rank(method, outcomes, worst):
    """Name, score, error, degrees of freedom and verdicts of a method."""
    logs, variances, freedoms = [], [], []
    for score in (outcome.score for outcome in outcomes):
        if not math.isfinite(score.accuracy):
            logs.append(math.log(worst[score.scenario]))
            continue
        accuracy = max(score.accuracy, EXACT)
        logs.append(math.log(accuracy))
        variances.append((score.accuracy_error / accuracy / len(outcomes)) ** 2)
        freedoms.append(max(score.stores - 1, 1))
    verdicts = [verdict(outcome) for outcome in outcomes]
    counts = {status: verdicts.count(status) for status in VERDICTS}
    error = math.sqrt(sum(variances))
    return method, sum(logs) / len(logs), error, _freedom(variances, freedoms), counts


def _freedom(variances, freedoms):
    scatter = sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / scatter if scatter else math.inf
