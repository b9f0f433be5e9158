"""Statistics of counts and of fits, with their exact moments.

Sources are in STATISTICS.md beside this file.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import optimize, special, stats

__all__ = [
    "deviance",
    "deviance_moments",
    "deviance_z",
    "fit_index",
    "fit_width",
    "heldout_deviance",
    "max_pvalue",
    "poisson_coverage",
    "sigmas",
    "two_sample_z",
]

# Above this mean the asymptotic moments are right to 1e-6; below they are summed.
MU_SUMMED = 400.0
# Below this mean two counts in a bin do not matter.
MU_TINY = 1e-4
# An index outside of this is no spectrum, but one bin and its neighbour.
INDEX_RANGE = -10.0, 20.0


def sigmas(false_alarm_rate):
    """How many standard deviations a two-sided test at this false-alarm rate allows."""
    return float(stats.norm.isf(0.5 * false_alarm_rate))


def deviance(counts, expected):
    """Poisson deviance of each bin, 2 [μ − n + n ln(n / μ)] (Baker & Cousins 1984, Cash 1979).

    Examples
    --------
    >>> deviance(np.array([3.0, 0.0]), np.array([3.0, 2.0]))
    array([0., 4.])
    """
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    return 2 * (expected - counts + special.xlogy(counts, counts) - special.xlogy(counts, expected))


def heldout_deviance(predicted, counts):
    """How badly a cube predicts counts that it was not made from; needs no truth.

    Its mean is that of the truth's own deviance plus twice the Kullback–Leibler distance.
    Bins where the cube predicts nothing would make it infinite: they are left out, and the
    share of the counts in them is told apart.

    Returns
    -------
    deviance, missed : float
    """
    filled = predicted > 0
    missed = counts[~filled].sum() / max(counts.sum(), 1)
    return float(deviance(counts[filled], predicted[filled]).sum()), float(missed)


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


def fit_index(counts, energy, exposure=None):
    """Maximum-likelihood index of a power law from binned counts, its norm left free.

    Bins hold ∝ exposure · ∫E^−Γ dE; conditional on their sum the counts are
    multinomial, and the score is Σ n_k (ln E)_k = N ⟨ln E⟩.

    Parameters
    ----------
    counts : array_like, shape (n_energy,)
        Counts, or expected counts; not negative.
    energy : array_like, shape (n_energy + 1,)
        Edges.
    exposure : array_like, shape (n_energy,), optional

    Returns
    -------
    index, error : float
        NaN where fewer than two bins hold counts.

    Examples
    --------
    >>> edges = np.geomspace(0.1, 100, 11)
    >>> counts = -np.diff(edges**-1.7)
    >>> index, _ = fit_index(counts, edges)
    >>> float(round(index, 9))
    2.7
    """
    counts = np.asarray(counts, float)
    log_edges = np.log(np.asarray(energy, float))
    weight = np.ones(counts.size) if exposure is None else np.asarray(exposure, float)
    used = weight > 0
    if np.count_nonzero(counts[used]) < 2:
        return np.nan, np.nan

    n, log_edges = counts[used], (log_edges[:-1][used], log_edges[1:][used])
    log_weight = np.log(weight[used])

    def mean_logs(index):
        """Shares of the bins, and the mean ln E in each."""
        share = special.softmax(_log_integrals(1 - index, *log_edges) + log_weight)
        return share, _mean_log(1 - index, *log_edges)

    def score(index):
        share, mean = mean_logs(index)
        return n @ (share @ mean - mean)

    # It falls with the index: this is an exponential family.
    low, high = INDEX_RANGE
    if score(low) <= 0 or score(high) >= 0:
        index = low if score(low) <= 0 else high
    else:
        index = optimize.brentq(score, low, high, xtol=1e-13)
    # Fisher information of a multinomial: N Var(mean ln E).
    share, mean = mean_logs(index)
    information = n.sum() * (share @ (mean - share @ mean) ** 2)
    return float(index), float(1 / np.sqrt(information))


def fit_width(image, fov_lon, fov_lat):
    """Maximum-likelihood width of a centred normal, cut off at the edges of the field.

    Both directions have the same width; rows and columns of the image are
    sufficient, since the normal factorises.

    Parameters
    ----------
    image : array_like, shape (n_fov_lon, n_fov_lat)
        Counts, or expected counts.
    fov_lon, fov_lat : array_like
        Edges in deg.

    Returns
    -------
    width, error : float
        deg; NaN with less than one count, or when the image is flatter than any normal.
    """
    image = np.asarray(image, float)
    sides = ((image.sum(axis=1), np.asarray(fov_lon)), (image.sum(axis=0), np.asarray(fov_lat)))
    if not image.sum() >= 1:
        return np.nan, np.nan

    def cost(log_width):
        return -sum(n @ _log_normal_bins(edges, np.exp(log_width)) for n, edges in sides)

    def score(log_width):
        return sum(n @ _width_slopes(edges, np.exp(log_width)) for n, edges in sides)

    half = min(np.ptp(edges) for _, edges in sides) / 2
    bounds = np.log([0.02 * half, 20 * half])
    best = optimize.minimize_scalar(
        cost, bounds=bounds, method="bounded", options={"xatol": 1e-7}
    ).x
    if min(best - bounds[0], bounds[1] - best) < 1e-3:
        return np.nan, np.nan
    # A minimum is found to the square root of the precision, a root of its slope to the whole.
    bracket = best - 1e-4, best + 1e-4
    if score(bracket[0]) > 0 > score(bracket[1]):
        best = optimize.brentq(score, *bracket, xtol=1e-14)
    width = np.exp(best)
    information = sum(
        n.sum() * (np.exp(_log_normal_bins(edges, width)) @ _width_slopes(edges, width) ** 2)
        for n, edges in sides
    )
    return float(width), float(width / np.sqrt(information))


def _log_integrals(power, low, high):
    """ln ∫ E^(power − 1) dE of bins between ln E ``low`` and ``high``, up to a common constant."""
    width = high - low
    scaled = power * width
    # (e^x − 1) / x, smooth through zero
    ratio = np.where(
        np.abs(scaled) < 1e-8, 1 + scaled / 2, np.expm1(scaled) / np.where(scaled == 0, 1, scaled)
    )
    return power * (low - low[0]) + np.log(width * ratio)


def _mean_log(power, low, high):
    """Mean ln E in bins where E^(power − 1) dE is the density."""
    x = power * (high - low)
    small = np.abs(x) < 1e-3
    wide = np.where(small, 1.0, x)
    part = np.where(small, 0.5 + x / 12 - x**3 / 720, 0.5 + 0.5 / np.tanh(wide / 2) - 1 / wide)
    return low + (high - low) * part


def _log_normal_bins(edges, width):
    """ln of the share of each bin of a centred normal inside the edges."""
    share = np.diff(special.ndtr(np.asarray(edges) / width))
    return np.log(np.maximum(share, 1e-300)) - np.log(share.sum())


def _width_slopes(edges, width):
    """d/d ln width of `_log_normal_bins`."""
    z = np.asarray(edges) / width
    share = np.diff(special.ndtr(z))
    change = -np.diff(z * np.exp(-0.5 * z**2)) / np.sqrt(2 * np.pi)
    # Where there is no share, `_log_normal_bins` is constant.
    slopes = np.divide(change, share, out=np.zeros_like(share), where=share > 1e-300)
    return slopes - change.sum() / share.sum()


def deviance_moments(expected):
    """Mean and variance of the deviance of a Poisson variable, by interpolation of exact sums."""
    grid, mean, variance = _moment_table()
    log_mu = np.log(np.maximum(expected, MU_TINY))
    small = expected < MU_TINY
    large = expected > MU_SUMMED
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
        probability = stats.poisson.pmf(n, mu)
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


def max_pvalue(largest, toys):
    """ln of the p-value of a largest significance among sorted toys of it.

    Within the toys, their rank; in the last 5 %, an exponential in −ln of the normal's tail,
    which is how the largest of many normals falls off (slope 1), with the slope that they have.
    """
    n = toys.size
    start = toys[int(0.95 * n)]
    if largest <= start:
        above = n - np.searchsorted(toys, largest, side="left")
        return float(np.log((above + 0.5) / (n + 1)))
    depth = -special.log_ndtr(-toys[toys > start]) + special.log_ndtr(-start)
    further = -special.log_ndtr(-largest) + special.log_ndtr(-start)
    return float(np.log(np.mean(toys > start)) - further / depth.mean())
