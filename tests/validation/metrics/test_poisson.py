"""Statistics of counts against exact sums."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from simbg.validation.metrics.poisson import (
    deviance,
    deviance_z,
    poisson_coverage,
    sigmas,
    two_sample_chi2,
)

# Of each statistical test, two-sided; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6
Z = sigmas(FALSE_ALARM)


def moments(mu):
    """Mean and variance of the deviance of one bin, as `deviance_z` has them: from two counts."""
    z = [deviance_z(np.array([n]), np.array([mu])) for n in (0, 1)]
    values = [float(deviance(n, mu)) for n in (0, 1)]
    spread = (values[1] - values[0]) / (z[1] - z[0])
    return values[0] - z[0] * spread, spread**2


def brute_moments(mu):
    """The same, summed over counts."""
    n = np.arange(int(mu + 40 * np.sqrt(mu) + 60))
    probability, value = stats.poisson.pmf(n, mu), deviance(n, mu)
    mean = probability @ value
    return mean, probability @ (value - mean) ** 2


def test_sigmas():
    assert_allclose(sigmas(2 * stats.norm.sf([3.94])[0]), 3.94)
    assert_allclose(sigmas(8e-5), 3.94, atol=0.01)  # the reference figure


# Deviance ---------------------------------------------------------------------------------


def test_deviance_by_hand():
    assert_allclose(deviance([0, 3, 5], [2.0, 3.0, 4.0]), [4.0, 0.0, 2 * (5 * np.log(1.25) - 1)])


@pytest.mark.parametrize(
    ("mu", "mean", "variance"),
    [
        (0.01, 0.092, 0.52),
        (0.1, 0.474, 0.86),
        (1, 1.147, 1.36),
        (5, 1.047, 2.27),
        (10, 1.019, 2.09),
    ],
)
def test_moments_of_the_reference_figures(mu, mean, variance):
    assert_allclose(moments(mu), (mean, variance), atol=0.006)  # of figures with two decimals


@pytest.mark.parametrize("mu", [1e-7, 3e-5, 0.99e-4, 1.01e-4, 0.01, 0.37, 2.2, 50, 399, 401, 3000])
def test_moments_are_exact(mu):
    """Below 1e-4, where two counts are left out, to a few μ; above 400 to 1/μ²."""
    assert_allclose(moments(mu), brute_moments(mu), rtol=5e-4)


def test_chi2_would_be_wrong_where_bins_are_poor():
    """The control of the two above: at μ = 0.01 a χ² of one degree has mean 1 and variance 2."""
    assert not np.allclose(moments(0.01), (1, 2), rtol=0.5)


def test_deviance_z_finds_what_it_is_for():
    rng = np.random.default_rng(31)
    expected = 0.02 * rng.random(20_000)
    clean, wrong = rng.poisson(expected), rng.poisson(3 * expected)
    assert abs(deviance_z(clean, expected)) < Z
    assert deviance_z(wrong, expected) > 2 * Z


def test_counts_where_none_are_expected():
    assert deviance_z(np.array([1, 4]), np.array([0.0, 4.0])) == np.inf
    assert np.isfinite(deviance_z(np.array([0, 4]), np.array([0.0, 4.0])))


# Two samples ------------------------------------------------------------------------------


def two_sample_z(*samples):
    """Σ (χ² − 1) over bins, divided by its standard deviation."""
    chi2, variance = two_sample_chi2(*samples)
    return (chi2 - 1).sum() / np.sqrt(variance.sum())


def test_two_sample_moments_are_exact():
    """χ² of a binomial number: brute sums over its values, for several sums and shares."""
    for n, p in ((1, 0.3), (2, 0.5), (7, 0.9), (60, 0.21)):
        k = np.arange(n + 1)
        probability = stats.binom.pmf(k, n, p)
        z = np.array([two_sample_z(n - i, i, np.array([p])[0]) for i in k])
        assert_allclose(probability @ z, 0, atol=1e-9)
        # A single count split evenly has the same χ² either way: it cannot scatter.
        if (n, p) != (1, 0.5):
            assert_allclose(probability @ z**2, 1, rtol=1e-9)


def test_two_sample_null_and_control():
    """500 nulls: mean and mean square of z, each at its own rate. Means from 0.001 to 30."""
    rng = np.random.default_rng(77)
    mean = np.geomspace(1e-3, 30, 3000)
    share = np.full(mean.size, 0.25)
    z = np.array(
        [
            two_sample_z(rng.poisson(0.75 * mean), rng.poisson(0.25 * mean), share)
            for _ in range(500)
        ]
    )
    assert abs(z.mean()) < Z / np.sqrt(500)
    assert abs(np.mean(z**2) - 1) < Z * np.std(z**2) / np.sqrt(500)
    tilted = mean * np.where(np.arange(mean.size) % 2, 1.5, 0.5)
    assert two_sample_z(rng.poisson(0.75 * mean), rng.poisson(0.25 * tilted), share) > Z


def test_two_sample_counts_without_exposure():
    assert two_sample_z([3, 5], [1, 5], np.array([0.0, 0.5])) == np.inf
    assert two_sample_z([3, 5], [0, 2], np.array([0.0, 0.5])) < np.inf


# Coverage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.959964, 3.0])
def test_poisson_coverage_against_sums(factor):
    for mean in (0.2, 1.0, 3.7, 10.0, 10.5, 81.0, 1234.5):
        n = np.arange(int(mean + 30 * np.sqrt(mean) + 40))
        covered = np.abs(n - mean) <= factor * np.sqrt(n)
        brute = stats.poisson.pmf(n, mean)[covered].sum()
        assert_allclose(poisson_coverage(mean, factor), brute, rtol=1e-9, err_msg=str(mean))


def test_coverage_of_many_counts_is_a_normals():
    # Four decimals, and counts are 1e-4 of a standard deviation apart
    assert_allclose(poisson_coverage(1e8, 1.0), 0.6827, atol=1e-4)
