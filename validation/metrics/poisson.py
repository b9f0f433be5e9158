"""Statistics of Poisson counts, with their exact moments; STATISTICS.md has the sources."""

from functools import cache

import numpy as np
from scipy import special

__all__ = [
    "deviance",
    "deviance_moments",
    "deviance_z",
    "poisson_coverage",
    "sigmas",
    "two_sample_z",
]

# Above this mean the asymptotic moments are right to 1e-6; below they are summed.
MU_SUMMED = 400.0
# Below this mean two counts in a bin do not matter.
MU_TINY = 1e-4
# ln of p-values below which doubles underflow, and of the smallest for too little scatter (447 σ).
UNDERFLOW, SMALLEST = -600.0, -1e5


def sigmas(false_alarm_rate):
    """How many standard deviations a two-sided test at this false-alarm rate allows."""
    return float(-special.ndtri(0.5 * false_alarm_rate))


def deviance(counts, expected):
    """Poisson deviance of each bin, 2 [μ − n + n ln(n / μ)] (Baker & Cousins 1984, Cash 1979).

    Examples
    --------
    >>> deviance(np.array([3.0, 0.0]), np.array([3.0, 2.0]))
    array([0., 4.])
    """
    return 2 * special.kl_div(counts, expected)


def deviance_z(counts, expected):
    """Standardised total deviance, (ΣD − ΣE[D]) / √ΣVar[D], with exact moments at any mean.

    About N(0, 1) for many bins however few counts they hold (Kaastra 2017). Bins
    with expectation zero must be empty; with counts the result is infinite.
    """
    counts, expected = np.ravel(counts), np.ravel(expected)
    used = expected > 0
    if np.any(counts[~used] > 0):
        return np.inf
    mean, variance = deviance_moments(expected[used])
    excess = deviance(counts[used], expected[used]).sum() - mean.sum()
    return float(excess / np.sqrt(variance.sum()))


def two_sample_z(counts_a, counts_b, share_b):
    """Standardised difference of two sets of counts, bin by bin, neither taken for true.

    Given their sum n, the counts of b are binomial with p = ``share_b``, its share of the
    exposure: χ² = (b − np)² / (npq) has mean 1 and variance 2 − 6/n + 1/(npq), exactly.
    """
    total = np.asarray(counts_a, float) + counts_b
    variance = total * share_b * (1 - share_b)
    used = variance > 0
    if np.any((total > 0) & ~used & (counts_b != total * share_b)):
        return np.inf
    n, npq = total[used], variance[used]
    chi2 = (np.asarray(counts_b, float)[used] - n * np.asarray(share_b)[used]) ** 2 / npq
    return float((chi2 - 1).sum() / np.sqrt(np.sum(2 - 6 / n + 1 / npq)))


def deviance_moments(expected):
    """Mean and variance of the deviance of a Poisson variable, by interpolation of exact sums."""
    grid, mean, variance = _moment_table()
    log_mu = np.log(np.maximum(expected, MU_TINY))
    small, large = expected < MU_TINY, expected > MU_SUMMED
    e, v = (np.interp(log_mu, grid, table) for table in (mean, variance))
    # Asymptotic series: E = 1 + 1/(6μ) + 1/(6μ²), Var = 2 + 2/(3μ) + ...; for tiny μ the exact
    # limits of P(0) and P(1) alone.
    e = np.where(large, 1 + 1 / (6 * np.maximum(expected, 1.0)), e)
    v = np.where(large, 2 + 2 / (3 * np.maximum(expected, 1.0)), v)
    zero, one = 2 * expected, 2 * (expected - 1 - np.log(np.maximum(expected, 1e-300)))
    tiny_mean = (1 - expected) * zero + expected * one
    tiny_var = (1 - expected) * zero**2 + expected * one**2 - tiny_mean**2
    return np.where(small, tiny_mean, e), np.where(small, tiny_var, v)


@cache
def _moment_table():
    grid = np.linspace(np.log(MU_TINY), np.log(MU_SUMMED * 1.01), 2000)
    mean, variance = np.empty_like(grid), np.empty_like(grid)
    for i, mu in enumerate(np.exp(grid)):
        n = np.arange(int(mu + 12 * np.sqrt(mu) + 30))
        # As scipy.stats.poisson.pmf has it, bit by bit, without checks that take ten times as long.
        probability = np.exp(special.xlogy(n, mu) - special.gammaln(n + 1) - mu)
        value = deviance(n, mu)
        mean[i] = probability @ value
        variance[i] = probability @ (value - mean[i]) ** 2
    return grid, mean, variance


def poisson_coverage(expected, factor):
    """Probability that |n − λ| ≤ factor · √n for a Poisson n: exact, array of λ."""
    expected = np.asarray(expected, float)
    # |n − λ| = c√n at √n = ±c/2 + √(λ + c²/4).
    root = np.sqrt(expected + 0.25 * factor**2)
    low, high = (root - 0.5 * factor) ** 2, (root + 0.5 * factor) ** 2
    below = np.ceil(low) - 1
    under = np.where(below >= 0, special.pdtr(np.maximum(below, 0), expected), 0.0)
    return special.pdtr(np.floor(high), expected) - under


def chi2_z(chi2, mean, variance):
    """The normal deviate of a gamma variate with this mean and variance."""
    shape, scale = mean**2 / variance, variance / mean
    # As scipy.stats.gamma has it, bit by bit, in a hundredth of the time.
    x = max(chi2 / scale, 0.0)
    with np.errstate(divide="ignore"):
        upper, lower = np.log(special.gammaincc(shape, x)), np.log(special.gammainc(shape, x))
    if upper < UNDERFLOW:
        # The first term of the continued fraction of the incomplete gamma function, in logarithms.
        upper = shape * np.log(x) - x - special.gammaln(shape) - np.log(x + 1 - shape)
    if upper < np.log(0.5):
        return deviate(upper)
    return -deviate(max(lower, SMALLEST))


def deviate(log_p):
    """The normal deviate with this ln of the upper tail probability."""
    return float(-special.ndtri_exp(min(log_p, -1e-12)))
