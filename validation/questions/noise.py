"""Noise: what the scatter of a cube costs, in comparison with raw counts and with the limit."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.validation.questions.replicates import Replicates

__all__ = ["measure_noise"]

# A difference of sums, in relation to the number of bins, that is no difference.
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
        Probability of such a cost for a method that is not noisier than raw counts.
    limit : float or None
        The cost of the best fit, if it is known: the number of parameters of the true family.
    """

    cost: float
    error: float
    n_bins: int
    pvalue: float
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """Cost in units of that of raw counts."""
        return self.cost / self.n_bins

    @property
    def efficiency(self) -> float | None:
        """The limit divided by the cost; None if the limit is not known."""
        return None if self.limit is None or not self.cost > 0 else self.limit / self.cost


def measure_noise(replicates: Replicates, limit: float | None = None) -> Noise:
    """The noise cost, and a one-sided test against raw counts.

    Parameters
    ----------
    replicates : Replicates
        Of a method. If it has counts, raw counts are compared draw by draw.
    limit : float, optional
        Number of parameters of the true family.

    Notes
    -----
    q_r = |d_r − d̄|² R/(R − 1) has the mean tr C = Σ Var(μ̂)/λ. The error is the standard error of
    its mean. The test is Student's, of the mean of q_r − n_bins, or of q_r − q_r(raw counts).

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
        d_r.
    """
    number = len(deviations)
    return np.sum((deviations - deviations.mean(axis=0)) ** 2, axis=1) * number / (number - 1)
