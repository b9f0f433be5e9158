"""Noise: the scatter of a cube, compared with that of raw counts and with the statistical limit."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.validation.questions.replicates import Replicates

__all__ = ["measure_noise"]

# Differences of sums below this, relative to the number of bins, are attributed to rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Noise:
    """The noise cost of a method, Σ Var(μ̂)/λ.

    Parameters
    ----------
    cost, error : float
        The cost and its standard error. Raw counts cost 1 for each bin, a maximum-likelihood fit
        of p parameters costs p, and the truth costs 0.
    raw : float
        The cost of raw counts: 1 for each bin, and more for bins of which a part is exposed.
    pvalue : float
        Probability of a cost at least this large if the method has the largest allowed noise.
    limit : float or None
        The smallest possible cost, if it is known: the number of parameters of the true model.
    """

    cost: float
    error: float
    raw: float
    pvalue: float
    limit: float | None = None

    def __str__(self) -> str:
        return f"{self.ratio:.3g} ± {self.error / self.raw:.1g} times the variance of raw counts"

    @property
    def ratio(self) -> float:
        """Cost divided by the cost of raw counts."""
        return self.cost / self.raw

    @property
    def efficiency(self) -> float | None:
        """The limit divided by the cost; None if the limit is not known."""
        return None if self.limit is None or not self.cost > 0 else self.limit / self.cost


def measure_noise(
    replicates: Replicates,
    limit: float | None = None,
    raw: float | None = None,
    allowed: float = 1.0,
) -> Noise:
    """Measure the noise cost, and test whether it is larger than that of raw counts.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method. If they contain observed counts, the cost of these is subtracted
        replicate by replicate.
    limit : float, optional
        Number of parameters of the true model.
    raw : float, optional
        The cost of raw counts, by default 1 for each bin.
    allowed : float
        The largest cost that is allowed, divided by that of raw counts.

    Notes
    -----
    q_r = |d_r − d̄|² R/(R − 1) has the expectation tr C = Σ Var(μ̂)/λ. The error is the standard
    error of its mean. Student's test is applied to the mean of q_r − a raw with the allowed factor
    a, or, with observed counts, to the mean of q_r minus a times this quantity of the raw counts.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> expected, rng = np.full(axes.shape, 100.0), np.random.default_rng(1)
    >>> raw = measure_noise(Replicates(axes, expected, rng.poisson(expected, (99, *axes.shape))))
    >>> bool(abs(raw.ratio - 1) < 3 * raw.error / raw.raw)
    True
    """
    squares = scatter(replicates.deviations)
    number = len(squares)
    raw = float(replicates.weight.size) if raw is None else raw
    of_counts = np.full(number, raw)
    if replicates.counts is not None:
        counts = np.asarray(replicates.counts, float)[:, replicates.used]
        of_counts = scatter(counts / np.sqrt(replicates.weight))
    differences = squares - allowed * of_counts
    excess = differences.mean()
    if abs(excess) < ROUNDING * raw:
        excess = 0.0
    width = differences.std(ddof=1) / np.sqrt(number)
    t = excess / width if excess and width > 0 else np.inf * excess if excess else 0.0
    return Noise(
        float(squares.mean()),
        float(squares.std(ddof=1) / np.sqrt(number)),
        raw,
        float(special.stdtr(number - 1, -t)),
        limit,
    )


def scatter(deviations: np.ndarray) -> np.ndarray:
    """|d_r − d̄|² R/(R − 1) of each replicate, whose mean is the sum of the variances.

    Parameters
    ----------
    deviations : ndarray, shape (R, n)
        Deviations d_r.
    """
    number = len(deviations)
    return np.sum((deviations - deviations.mean(axis=0)) ** 2, axis=1) * number / (number - 1)
