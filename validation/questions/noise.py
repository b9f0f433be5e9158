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
    n_bins : int
        The cost of raw counts.
    pvalue : float
        Probability of a cost at least this large if the method has the noise of raw counts.
    limit : float or None
        The smallest possible cost, if it is known: the number of parameters of the true model.
    """

    cost: float
    error: float
    n_bins: int
    pvalue: float
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """Cost divided by the cost of raw counts."""
        return self.cost / self.n_bins

    @property
    def efficiency(self) -> float | None:
        """The limit divided by the cost; None if the limit is not known."""
        return None if self.limit is None or not self.cost > 0 else self.limit / self.cost


def measure_noise(replicates: Replicates, limit: float | None = None) -> Noise:
    """Measure the noise cost, and test whether it is larger than that of raw counts.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method. If they contain observed counts, the cost of these is subtracted
        replicate by replicate.
    limit : float, optional
        Number of parameters of the true model.

    Notes
    -----
    q_r = |d_r − d̄|² R/(R − 1) has the expectation tr C = Σ Var(μ̂)/λ. The error is the standard
    error of its mean. Student's test is applied to the mean of q_r − n_bins, or, with observed
    counts, to the mean of q_r minus the same quantity of the raw counts.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> expected, rng = np.full(axes.shape, 100.0), np.random.default_rng(1)
    >>> raw = measure_noise(Replicates(axes, expected, rng.poisson(expected, (99, *axes.shape))))
    >>> bool(abs(raw.ratio - 1) < 3 * raw.error / raw.n_bins)
    True
    """
    squares = scatter(replicates.deviations)
    number, n_bins = len(squares), replicates.weight.size
    if replicates.counts is None:
        raw = np.full(number, float(n_bins))
    else:
        counts = np.asarray(replicates.counts, float)[:, replicates.used]
        raw = scatter(counts / np.sqrt(replicates.weight))
    excess = (squares - raw).mean()
    if abs(excess) < ROUNDING * n_bins:
        excess = 0.0
    width = (squares - raw).std(ddof=1) / np.sqrt(number)
    t = excess / width if excess and width > 0 else np.inf * excess if excess else 0.0
    return Noise(
        float(squares.mean()),
        float(squares.std(ddof=1) / np.sqrt(number)),
        n_bins,
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
