"""The ranking of methods: scores over all scenarios, and the ranks that their errors allow."""

import math
from dataclasses import dataclass, replace

from scipy import special

from simbg.validation.metrics.status import Status

__all__ = ["Rank"]

# A method is as good in a scenario as its worst metric.
VERDICTS = (Status.ERROR, Status.FAIL, Status.KNOWN, Status.OK)
# Two methods are apart if their scores are, by so many standard errors of a normal.
APART = 2.0
# What is nearer to the truth is so by rounding, and its logarithm says nothing.
EXACT = 1e-12


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
    verdicts : dict of Status to int
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

    @classmethod
    def ranked(cls, outcomes):
        """All methods that have a score, the best first: list of Rank."""
        by_method, worst = {}, {}
        for outcome in outcomes:
            if (score := outcome.score) is not None:
                by_method.setdefault(outcome.method, []).append(outcome)
                accuracy = score.accuracy if math.isfinite(score.accuracy) else 0.0
                worst[score.scenario] = max(1.0, accuracy, worst.get(score.scenario, 1.0))
        ranks = [_rank(method, scored, worst) for method, scored in by_method.items()]
        ranks.sort(key=lambda rank: rank.score)
        best = [1 + sum(other.is_better_than(rank) for other in ranks) for rank in ranks]
        last = [len(ranks) - sum(rank.is_better_than(other) for other in ranks) for rank in ranks]
        return [replace(r, best=b, worst=w) for r, b, w in zip(ranks, best, last, strict=True)]

    @property
    def accuracy(self):
        """Relative rms error of the rate, geometric mean over scenarios."""
        return math.exp(self.score)

    @property
    def text(self):
        """Accuracy and its error in words."""
        return with_error(100 * self.accuracy, 100 * self.accuracy * self.error, " %")

    @property
    def label(self):
        """The ranks in words."""
        return f"{self.best}" if self.best == self.worst else f"{self.best}–{self.worst}"

    def is_better_than(self, other):
        """Whether it is better by more than both errors; False where one is not known."""
        return other.score - self.score > Rank.limit(self, other)

    @staticmethod
    def limit(*ranks):
        """What a sum or difference of scores may be by their errors alone, in 95.4 of 100.

        Errors are added as if methods had no events in common; they have, so it is too large
        rather than too small. Few stores know their scatter badly: Student's t, with degrees of
        freedom as Welch (1947) has them.
        """
        from scipy import stats  # here, since it takes as long to load as all of astropy

        variances = [rank.error**2 for rank in ranks]
        freedom = _freedom(variances, [rank.freedom for rank in ranks])
        return float(stats.t.isf(special.ndtr(-APART), freedom)) * math.sqrt(sum(variances))

    @property
    def counts(self):
        """Scenarios of each status in words."""
        shown = [status for status in reversed(VERDICTS) if self.verdicts[status]]
        return ", ".join(f"{self.verdicts[status]} {status.phrase}" for status in shown)


def verdict(outcome):
    """The status of a method in a scenario."""
    if outcome.score.reason:
        return Status.ERROR  # if only with another store
    return Status.worst([Status.OK, *(result.status for result in outcome.results)])


def with_error(value, error, unit=""):
    """A value to the second digit of its error."""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.3g}{unit}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}{unit}"


def _rank(method, outcomes, worst):
    """The rank of a method by its scores, not yet held against others."""
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
    return Rank(method, sum(logs) / len(logs), error, _freedom(variances, freedoms), counts)


def _freedom(variances, freedoms):
    unsure = sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / unsure if unsure else math.inf
