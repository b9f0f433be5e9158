"""Metrics of single bins: pulls, coverage of the stated errors, counts, and lost information.

Notes
-----
λ are the counts that the truth expects in a bin, m the counts that the reconstructed cube
predicts, n the counts from which the cube was made, and σ the standard error of m.
"""

from functools import lru_cache
from zlib import crc32

import numpy as np
from scipy import special

from simbg.validation.metrics.cube_pair import MIN_COUNTS, N_CACHED, CubePair
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import chi2_z, deviance_z, deviate, poisson_coverage

__all__ = ["pit_values"]

# Least number of bins for a scatter, and least standard deviation of the number of covered bins
# for a coverage: that number is then nearly normal.
N_BINS, LEAST_SPREAD = 10, 3.0
# Half widths of the central 68 and 95 % of a normal distribution, in standard deviations.
ONE_SIGMA, TWO_SIGMA = 1.0, 1.959964
KAASTRA = "Cash 1979; moments as in Kaastra 2017, arXiv:1707.09202"
COVERAGE = "exact coverage of √n errors of Poisson counts"


@metric("errors", "mean of (m − λ) / σ", title="mean of the pulls")
def pull_mean(cubes: CubePair) -> tuple[float, ...]:
    """Mean of the pulls (m − λ) / σ of the bins that expect 10 counts or more."""
    return (cubes.pulls.mean(), cubes.pulls.size**-0.5) if cubes.pulls.size else ()


@metric(
    "errors", "(n − λ)² − n has mean 0 and variance 2 λ²", ideal=1.0, title="width of the pulls"
)
def pull_width(cubes: CubePair) -> tuple[float, ...]:
    """Width of (m − λ) in units of the stated errors, over the bins that expect 1 count or more.

    Notes
    -----
    The value is 1 + ½ mean[((m − λ)² − V) / λ], with the stated variance V. For Poisson counts n
    with V = n, (n − λ)² − n has the mean 0 and the variance 2 λ² at any λ. The sum over N bins
    has the first two moments of a χ² of N degrees of freedom, from which the error is taken.
    """
    variance = cubes.stated_variance
    used = cubes.expected >= 1
    n = int(np.count_nonzero(used))
    if variance is None or n < N_BINS:
        return ()
    excess = (cubes.predicted - cubes.expected)[used] ** 2 - variance[used]
    half = float(np.mean(excess / cubes.expected[used])) / 2
    z = chi2_z(n * (1 + 2 * half), n, 2 * n)
    return 1 + half, half / z if z * half > 0 else np.sqrt(0.5 / n)


@metric(
    "errors",
    COVERAGE,
    ideal=special.erf(ONE_SIGMA / np.sqrt(2)),
    title="bins within 1 stated error",
)
def coverage_68(cubes: CubePair) -> tuple[float, ...]:
    """Fraction of the bins with 10 counts or more where the truth is within 1 stated error."""
    return _coverage(cubes, ONE_SIGMA)


@metric(
    "errors",
    COVERAGE,
    ideal=special.erf(TWO_SIGMA / np.sqrt(2)),
    title="bins within 1.96 stated errors",
)
def coverage_95(cubes: CubePair) -> tuple[float, ...]:
    """Fraction of the bins with 10 counts or more where the truth is within 1.96 stated errors."""
    return _coverage(cubes, TWO_SIGMA)


@metric("counts", KAASTRA, unit="σ", title="counts, bin by bin")
def count_deviance(cubes: CubePair) -> tuple[float, ...]:
    """Standardised deviance of the counts of all bins, with the exact moments at low counts."""
    if cubes.reco.counts is None or not cubes.expected.any():
        return ()
    return deviance_z(cubes.reco.counts[cubes.used], cubes.expected[cubes.used]), 1.0


@metric(
    "counts",
    "randomised probability integral transform, Kolmogorov–Smirnov",
    unit="σ",
    title="distribution of the counts",
)
def pit(cubes: CubePair) -> tuple[float, ...]:
    """Uniformity of the randomised probability integral transform of the counts, in σ.

    Notes
    -----
    U = F(n − 1) + v P(n), with a uniform random number v, is uniform for any expected counts. The
    test is that of Kolmogorov and Smirnov, over all bins that expect 0.01 counts or more.
    """
    u = pit_values(cubes)
    if u.size < N_BINS:
        return ()
    # The same result as scipy.stats.kstest for many bins, to the last bit, in a tenth of the time.
    u, steps = np.sort(u), np.arange(u.size + 1) / u.size
    distance = max((steps[1:] - u).max(), (u - steps[:-1]).max())
    pvalue = special.kolmogorov(np.sqrt(u.size) * distance)
    return deviate(np.log(max(pvalue, 1e-300))), 1.0


@metric("quality", "Σ λ where m = 0, over Σ λ", title="true events in empty bins")
def zero_mass(cubes: CubePair) -> tuple[float, ...]:
    """Fraction of the true events in bins where the reconstructed rate is zero."""
    empty = cubes.used & (cubes.predicted <= 0)
    return cubes.expected[empty].sum() / (cubes.expected.sum() or np.nan), np.nan


@metric(
    "quality",
    "Σ (m − λ)² / λ, twice the Kullback–Leibler distance to second order",
    title="lost information",
)
def lost_information(cubes: CubePair) -> tuple[float, ...]:
    """Q = Σ (m − λ)² / λ: the 2 ln L that a fit to independent counts of this exposure would lose.

    Notes
    -----
    A fit to counts of mean λ that uses m in place of λ loses 2 Σ [m − λ + λ ln(λ / m)] on average,
    twice the Kullback–Leibler divergence. Q is this to second order in m − λ.
    """
    used = cubes.expected > 0
    excess = (cubes.predicted - cubes.expected)[used]
    with np.errstate(over="ignore"):  # infinite for a true rate that is hardly above 0
        return np.sum(excess**2 / cubes.expected[used]), np.nan


def pit_values(cubes: CubePair) -> np.ndarray:
    """Randomised probability integral transform of the counts of the bins that expect 0.01 or more.

    Parameters
    ----------
    cubes : CubePair
        True and reconstructed cube.

    Returns
    -------
    values : ndarray, shape (n_bins,)
        Between 0 and 1; empty if the reconstructed cube has no counts.
    """
    used = cubes.used & (cubes.expected >= 0.01)
    if cubes.reco.counts is None:
        return np.empty(0)
    n, expected = cubes.reco.counts[used], cubes.expected[used]
    # The counts seed v. A common seed would correlate the results of replicates.
    v = np.random.default_rng(crc32(np.asarray(n, float).tobytes())).random(n.size)
    below = np.where(n > 0, special.pdtr(n - 1, expected), 0.0)
    return below + v * (special.pdtr(n, expected) - below)


def _coverage(cubes, factor):
    variance = cubes.stated_variance
    used = cubes.expected >= MIN_COUNTS
    if variance is None or not used.any():
        return ()
    counts = np.nan_to_num(cubes.true.counts)
    ideal = _exact_coverage(cubes.truth, factor)[cubes.used[counts >= MIN_COUNTS]]
    spread = np.sqrt(np.sum(ideal * (1 - ideal)))
    if spread < LEAST_SPREAD:
        return np.nan, np.nan, ideal.mean()
    inside = np.abs(cubes.predicted - cubes.expected)[used] <= factor * np.sqrt(variance[used])
    return inside.mean(), spread / ideal.size, ideal.mean()


@lru_cache(maxsize=2 * N_CACHED)
def _exact_coverage(truth, factor):
    """Exact coverage by Poisson counts with √n errors, of the bins that expect enough counts."""
    counts = np.nan_to_num(truth.cube.counts)
    return poisson_coverage(counts[counts >= MIN_COUNTS], factor)
