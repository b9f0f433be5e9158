"""Statistics of Poisson counts, with their exact moments; STATISTICS.md has the references."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

__all__ = [
    "chi2_z",
    "deviance",
    "deviance_moments",
    "deviance_z",
    "poisson_coverage",
    "sigmas",
    "two_sample_chi2",
]

# Above this mean the asymptotic moments are accurate to 1e-6; below it they are exact sums.
MU_SUMMED = 400.0
# Below this mean the probability of two counts in a bin is negligible.
MU_TINY = 1e-4
# ln p below which p underflows, and the smallest ln p of a too small χ² (447 σ).
UNDERFLOW, SMALLEST = -600.0, -1e5


def sigmas(false_alarm_rate: float) -> float:
    """Number of standard deviations that a two-sided test with this false-alarm rate allows.

    Parameters
    ----------
    false_alarm_rate : float
        Probability that a normal variable is further from its mean.

    Returns
    -------
    sigmas : float
        Positive.
    """
    return float(-special.ndtri(0.5 * false_alarm_rate))


def deviance(counts: ArrayLike, expected: ArrayLike) -> np.ndarray:
    """Poisson deviance of each bin.

    Parameters
    ----------
    counts, expected : array_like
        Counts n and expected counts μ, of the same shape.

    Returns
    -------
    deviance : ndarray
        2 [μ − n + n ln(n / μ)] in each bin.

    Notes
    -----
    See Cash (1979, doi:10.1086/156922) and Baker & Cousins (1984,
    doi:10.1016/0167-5087(84)90016-4).

    Examples
    --------
    >>> deviance(np.array([3.0, 0.0]), np.array([3.0, 2.0]))
    array([0., 4.])
    """
    return 2 * special.kl_div(counts, expected)


def deviance_z(counts: ArrayLike, expected: ArrayLike) -> float:
    """Total deviance, standardised with its exact mean and variance.

    Parameters
    ----------
    counts, expected : array_like
        Counts and expected counts, of the same shape.

    Returns
    -------
    z : float
        (ΣD − ΣE[D]) / √ΣVar[D]; infinite if a bin with expectation 0 contains counts.

    Notes
    -----
    For many bins z is nearly normal with mean 0 and width 1, also at low counts (Kaastra 2017,
    doi:10.1051/0004-6361/201629319).
    """
    counts, expected = np.ravel(counts), np.ravel(expected)
    used = expected > 0
    if np.any(counts[~used] > 0):
        return np.inf
    mean, variance = deviance_moments(expected[used])
    excess = deviance(counts[used], expected[used]).sum() - mean.sum()
    return float(excess / np.sqrt(variance.sum()))


def two_sample_chi2(
    counts_a: ArrayLike, counts_b: ArrayLike, exposure_fraction: ArrayLike, least: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """χ² of each bin of two sets of counts that both have Poisson noise, and its variance.

    Parameters
    ----------
    counts_a, counts_b : array_like
        Counts of both, of the same shape.
    exposure_fraction : array_like
        Exposure of b over the exposure of both, in each bin.
    least : float
        Bins with a smaller variance n p q are left out.

    Returns
    -------
    chi2, variance : ndarray, shape (n_used,)
        Over the bins with a variance; χ² is infinite if a bin without exposure contains counts.

    Notes
    -----
    Given their sum n, the counts of b are binomial with p = ``exposure_fraction``. The χ² of a
    bin, (b − np)² / (npq) with q = 1 − p, has exactly the mean 1 and the variance
    2 − 6/n + 1/(npq).
    """
    b, p = np.asarray(counts_b, float), np.asarray(exposure_fraction, float)
    total = np.asarray(counts_a, float) + b
    variance = total * p * (1 - p)
    used = variance > least * (1 - 1e-9)
    if np.any((total > 0) & ~(variance > 0) & (b != total * p)):
        return np.array([np.inf]), np.array([2.0])
    n, npq = total[used], variance[used]
    chi2 = (b[used] - n * p[used]) ** 2 / npq
    # Two counts of one event have no variance; rounding must not make it negative.
    return chi2, np.maximum(2 - 6 / n + 1 / npq, 0.0)


def deviance_moments(expected: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the deviance of a Poisson variable.

    Parameters
    ----------
    expected : array_like
        Expected counts.

    Returns
    -------
    mean, variance : ndarray, shape of ``expected``
        Interpolated in a table of exact sums between 1e-4 and 400 counts; series elsewhere.

    Notes
    -----
    See Kaastra (2017, doi:10.1051/0004-6361/201629319) and Bonamente (2020, arXiv:1912.05444).
    """
    grid, mean, variance = _moment_table()
    mu = np.asarray(expected, float)
    log_mu = np.log(np.maximum(mu, MU_TINY))
    small, large = mu < MU_TINY, mu > MU_SUMMED
    e, v = (np.interp(log_mu, grid, table) for table in (mean, variance))
    # Large μ: the asymptotic series E = 1 + 1/(6μ) + 1/(6μ²), Var = 2 + 2/(3μ) + ... Small μ: the
    # probabilities of 0 and 1 counts.
    e = np.where(large, 1 + 1 / (6 * np.maximum(mu, 1.0)), e)
    v = np.where(large, 2 + 2 / (3 * np.maximum(mu, 1.0)), v)
    zero, one = 2 * mu, 2 * (mu - 1 - np.log(np.maximum(mu, 1e-300)))
    tiny_mean = (1 - mu) * zero + mu * one
    tiny_var = (1 - mu) * zero**2 + mu * one**2 - tiny_mean**2
    return np.where(small, tiny_mean, e), np.where(small, tiny_var, v)


@cache
def _moment_table():
    grid = np.linspace(np.log(MU_TINY), np.log(MU_SUMMED * 1.01), 2000)
    mean, variance = np.empty_like(grid), np.empty_like(grid)
    for i, mu in enumerate(np.exp(grid)):
        n = np.arange(int(mu + 12 * np.sqrt(mu) + 30))
        # The same as scipy.stats.poisson.pmf, to the last bit, without its slow checks.
        probability = np.exp(special.xlogy(n, mu) - special.gammaln(n + 1) - mu)
        value = deviance(n, mu)
        mean[i] = probability @ value
        variance[i] = probability @ (value - mean[i]) ** 2
    return grid, mean, variance


def poisson_coverage(expected: ArrayLike, factor: float) -> np.ndarray:
    """Exact probability that |n − λ| ≤ factor · √n for Poisson counts n.

    Parameters
    ----------
    expected : array_like
        Expected counts λ.
    factor : float
        Half width of the interval in units of √n.

    Returns
    -------
    coverage : ndarray, shape of ``expected``
        Probabilities.
    """
    expected = np.asarray(expected, float)
    # The ends of the interval, |n − λ| = c√n, are at √n = ±c/2 + √(λ + c²/4).
    root = np.sqrt(expected + 0.25 * factor**2)
    low, high = (root - 0.5 * factor) ** 2, (root + 0.5 * factor) ** 2
    below = np.ceil(low) - 1
    under = np.where(below >= 0, special.pdtr(np.maximum(below, 0), expected), 0.0)
    return special.pdtr(np.floor(high), expected) - under


def chi2_z(chi2: float, mean: float, variance: float) -> float:
    """Normal deviate of a gamma-distributed number with this mean and variance.

    Parameters
    ----------
    chi2 : float
        The number.
    mean, variance : float
        Its mean and variance under the null hypothesis.

    Returns
    -------
    z : float
        Positive if ``chi2`` is above its median.
    """
    shape, scale = mean**2 / variance, variance / mean
    # The same as scipy.stats.gamma, to the last bit, in a hundredth of the time.
    x = max(chi2 / scale, 0.0)
    with np.errstate(divide="ignore"):
        upper, lower = np.log(special.gammaincc(shape, x)), np.log(special.gammainc(shape, x))
    if upper < UNDERFLOW:
        # ln of the first term of the continued fraction of the incomplete gamma function.
        upper = shape * np.log(x) - x - special.gammaln(shape) - np.log(x + 1 - shape)
    if upper < np.log(0.5):
        return deviate(upper)
    return -deviate(max(lower, SMALLEST))


def deviate(log_p: float) -> float:
    """Normal deviate z with the upper tail probability p.

    Parameters
    ----------
    log_p : float
        ln p.

    Returns
    -------
    z : float
        Positive for p < 0.5.
    """
    return float(-special.ndtri_exp(min(log_p, -1e-12)))
