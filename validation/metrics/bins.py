"""Metrics of single bins: pulls, coverage of stated errors, counts, and what is lost in all."""

from functools import lru_cache
from zlib import crc32

import numpy as np
from scipy import special

from simbg.validation.metrics.cube_pair import MIN_COUNTS, N_CACHED
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import chi2_z, deviance_z, deviate, poisson_coverage

__all__ = ["pit_values"]

# A scatter is measured from this many bins on; a coverage, where its count of bins scatters by
# this much, and so is about normal.
N_BINS, N_MISSED = 10, 3.0
# Standard errors that a normal covers in 68 and in 95 % of the cases.
ONE_SIGMA, TWO_SIGMA = 1.0, 1.959964
KAASTRA = "Cash 1979; moments as in Kaastra 2017, arXiv:1707.09202"
COVERAGE = "exact coverage of √n errors of Poisson counts"


@metric("errors", "mean of (m − λ) / σ")
def pull_mean(cubes):
    """Mean of the pulls of bins that expect 10 counts or more."""
    return (cubes.pulls.mean(), cubes.pulls.size**-0.5) if cubes.pulls.size else ()


@metric("errors", "(n − λ)² − n has mean 0 and variance 2 λ²", ideal=1.0)
def pull_width(cubes):
    """Width of the deviations from the truth in units of the stated errors, bins of 1 count on.

    (n − λ)² − n has mean zero and variance 2 λ² for Poisson n, whatever λ: n bins have the
    moments of a χ² of n degrees of freedom, whose tails the error allows for.
    """
    variance = cubes.stated_variance
    used = cubes.expected >= 1
    n = np.count_nonzero(used)
    if variance is None or n < N_BINS:
        return ()
    excess = (cubes.predicted - cubes.expected)[used] ** 2 - variance[used]
    half = np.mean(excess / cubes.expected[used]) / 2
    z = chi2_z(n * (1 + 2 * half), n, 2 * n)
    return 1 + half, half / z if z * half > 0 else np.sqrt(0.5 / n)


@metric("errors", COVERAGE, ideal=special.erf(ONE_SIGMA / np.sqrt(2)))
def coverage_68(cubes):
    """Share of the bins with 10 counts or more whose stated error covers the truth."""
    return _coverage(cubes, ONE_SIGMA)


@metric("errors", COVERAGE, ideal=special.erf(TWO_SIGMA / np.sqrt(2)))
def coverage_95(cubes):
    """As coverage_68, with 1.96 stated errors."""
    return _coverage(cubes, TWO_SIGMA)


@metric("counts", KAASTRA, unit="σ", title="counts, bin by bin")
def count_deviance(cubes):
    """Standardised deviance of the counts in all bins, exact moments at low counts."""
    if cubes.reco.counts is None or not cubes.expected.any():
        return ()
    return deviance_z(cubes.reco.counts[cubes.used], cubes.expected[cubes.used]), 1.0


@metric("counts", "randomised probability integral transform, Kolmogorov–Smirnov", unit="σ")
def pit(cubes):
    """Uniformity of the randomised probability integral transform of the counts, as σ.

    U = F(n − 1) + v P(n), v uniform, is uniform at any expectation; Kolmogorov–Smirnov over all
    bins that expect 0.01 counts or more.
    """
    u = pit_values(cubes)
    if u.size < N_BINS:
        return ()
    # As scipy.stats.kstest has it for many bins, bit by bit, in a tenth of the time.
    u, steps = np.sort(u), np.arange(u.size + 1) / u.size
    distance = max((steps[1:] - u).max(), (u - steps[:-1]).max())
    pvalue = special.kolmogorov(np.sqrt(u.size) * distance)
    return deviate(np.log(max(pvalue, 1e-300))), 1.0


@metric("quality", "Σ λ where m = 0, over Σ λ")
def zero_mass(cubes):
    """Share of the true events in bins where the rebuilt rate is zero."""
    empty = cubes.used & (cubes.predicted <= 0)
    return cubes.expected[empty].sum() / (cubes.expected.sum() or np.nan), np.nan


@metric("quality", "Σ (m − λ)² / λ, twice the Kullback–Leibler distance to second order")
def lost_information(cubes):
    """Q = Σ (m − λ)² / λ, what a fit to test counts of this exposure would lose (in 2 ln L)."""
    used = cubes.expected > 0
    excess = (cubes.predicted - cubes.expected)[used]
    return np.sum(excess**2 / cubes.expected[used]), np.nan


def pit_values(cubes):
    """Randomised probability integral transform of the counts of bins that expect 0.01 or more."""
    used = cubes.used & (cubes.expected >= 0.01)
    if cubes.reco.counts is None:
        return np.empty(0)
    n, expected = cubes.reco.counts[used], cubes.expected[used]
    # Other counts, other v: a seed that replicates share would tie their results together.
    v = np.random.default_rng(crc32(np.asarray(n, float))).random(n.size)
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
    if spread < N_MISSED:
        return np.nan, np.nan, ideal.mean()
    inside = np.abs(cubes.predicted - cubes.expected)[used] <= factor * np.sqrt(variance[used])
    return inside.mean(), spread / ideal.size, ideal.mean()


@lru_cache(maxsize=2 * N_CACHED)
def _exact_coverage(truth, factor):
    """Exact coverage by Poisson counts with √n errors, of the bins that expect enough."""
    counts = np.nan_to_num(truth.cube.counts)
    return poisson_coverage(counts[counts >= MIN_COUNTS], factor)
