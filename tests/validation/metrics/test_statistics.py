"""Statistics against exact sums, and against fits that share no code with them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.point_source import max_pvalue
from simbg.validation.metrics.poisson import (
    deviance,
    deviance_z,
    poisson_coverage,
    sigmas,
    two_sample_z,
)

# Of each statistical test, two-sided; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6
Z = sigmas(FALSE_ALARM)
ENERGY = np.geomspace(0.1, 80, 13)


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


# Index ------------------------------------------------------------------------------------


def power_law(index, rng, n, low=0.1, high=80.0):
    q = 1 - index
    return (low**q + rng.random(n) * (high**q - low**q)) ** (1 / q)


@pytest.mark.parametrize("index", [0.4, 1.0, 1.9, 2.7, 4.2])
def test_fit_index_of_exact_contents(index):
    q = 1 - index
    content = np.diff(ENERGY**q) / q if q else np.diff(np.log(ENERGY))
    assert_allclose(fit_index(1e6 * np.abs(content), ENERGY)[0], index, rtol=1e-9)


def test_fit_index_allows_for_exposure():
    content = 1e6 * -np.diff(ENERGY**-1.7)
    exposure = np.r_[0.0, 0.2, 0.9, np.ones(9)]
    assert_allclose(fit_index(content * exposure, ENERGY, exposure)[0], 2.7, rtol=1e-9)
    assert abs(fit_index(content * exposure, ENERGY)[0] - 2.7) > 0.1


def test_fit_index_against_unbinned_likelihood():
    """Fine bins lose nothing: the same events give the same index, to a small part of its error."""
    rng = np.random.default_rng(5)
    energy = power_law(2.7, rng, 40_000)

    def slope(index):  # d ln L / dΓ = 0: ⟨ln E⟩ is its expectation
        q = 1 - index
        a, b = np.log(0.1), np.log(80)
        mean = (b * np.exp(q * b) - a * np.exp(q * a)) / (np.exp(q * b) - np.exp(q * a)) - 1 / q
        return mean - np.log(energy).mean()

    edges = np.geomspace(0.1, 80, 401)
    index, error = fit_index(np.histogram(energy, edges)[0], edges)
    assert abs(index - optimize.brentq(slope, 1.5, 5)) < 0.05 * error
    assert_allclose(error, 1.7 / np.sqrt(40_000), rtol=0.01)  # σ_Γ ≈ (Γ − 1)/√N
    assert abs(index - 2.7) < Z * error


def test_error_of_the_index_is_fishers_and_the_scatter():
    """300 fits: the pulls' mean and mean square at their own rates."""
    rng = np.random.default_rng(8)
    content = -np.diff(ENERGY**-1.7)
    content *= 2000 / content.sum()
    fits = np.array([fit_index(rng.poisson(content), ENERGY) for _ in range(300)])
    pulls = (fits[:, 0] - 2.7) / fits[:, 1]
    # A fit of 2000 events is biased by about half a percent of its error.
    assert abs(pulls.mean()) < Z / np.sqrt(300) + 0.05
    assert abs(np.mean(pulls**2) - 1) < Z * np.sqrt(2 / 300)
    step = 1e-5
    logs = [
        np.log(-np.diff(ENERGY ** (-1.7 - s)) / (0.1 ** (-1.7 - s) - 80 ** (-1.7 - s)))
        for s in (step, -step)
    ]
    information = content @ ((logs[0] - logs[1]) / (2 * step)) ** 2
    # A central difference: step² = 1e-10, and rounding by step
    assert_allclose(fit_index(content, ENERGY)[1], information**-0.5, rtol=1e-9)


@pytest.mark.parametrize("counts", [np.zeros(12), np.eye(12)[3]])
def test_fit_index_of_too_little(counts):
    assert np.isnan(fit_index(counts, ENERGY)).all()


# Width ------------------------------------------------------------------------------------

LON, LAT = np.linspace(-4, 4, 31), np.linspace(-3.2, 3.6, 25)


def normal_image(width, n):
    sides = [np.diff(stats.norm.cdf(edges / width)) for edges in (LON, LAT)]
    image = np.outer(*sides)
    return n * image / image.sum()


@pytest.mark.parametrize("width", [0.3, 1.1, 2.5, 6.0])
def test_fit_width_of_exact_contents(width):
    """Field edges cut the normal off, unevenly; the fit knows."""
    assert_allclose(fit_width(normal_image(width, 1e5), LON, LAT)[0], width, rtol=1e-5)


def test_error_of_the_width_is_the_scatter():
    """300 fits: the pulls' mean and mean square at their own rates."""
    rng = np.random.default_rng(6)
    image = normal_image(0.8, 3000)
    fits = np.array([fit_width(rng.poisson(image), LON, LAT) for _ in range(300)])
    pulls = (fits[:, 0] - 0.8) / fits[:, 1]
    assert abs(pulls.mean()) < Z / np.sqrt(300) + 0.05
    assert abs(np.mean(pulls**2) - 1) < Z * np.sqrt(2 / 300)
    # Four widths to the edge: nothing is cut off, and each event tells of σ four times, σ/√4N.
    assert_allclose(np.mean(fits[:, 1]), 0.8 / np.sqrt(4 * 3000), rtol=0.02)


def test_fit_width_of_too_little_or_too_flat():
    assert np.isnan(fit_width(np.zeros((30, 24)), LON, LAT)).all()
    assert np.isnan(fit_width(np.outer(np.diff(LON), np.diff(LAT)) * 100, LON, LAT)).all()


def test_fit_width_of_a_truth():
    """In a narrow bin of energy the exact integrals have the width that the truth states."""
    from simbg.axes import Axes

    axes = Axes([1.0, 1.001], LON, LAT)
    truth = GaussianTruth()
    image = 1e9 * truth.integrate(axes)[0]
    assert_allclose(fit_width(image, LON, LAT)[0], truth.width(1.0005), rtol=1e-4)


# Coverage and largest of many -------------------------------------------------------------


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


def test_largest_of_many_normals():
    """Against the exact p-value, 1 − (1 − 2 sf)^m, within the toys and far beyond them."""
    rng = np.random.default_rng(3)
    toys = np.sort(np.abs(rng.standard_normal((5000, 400))).max(axis=1))
    for largest in (2.2, 2.6, 3.0, 3.5, 4.5, 6.0):
        exact = -np.expm1(400 * np.log1p(-2 * stats.norm.sf(largest)))
        # 250 toys make the tail: its slope is known to 1/√250, its start to 6 %.
        further = max(0.0, np.log(0.05 / exact))
        assert abs(max_pvalue(largest, toys) - np.log(exact)) < 5 * (0.08 + 0.063 * further)


def test_largest_of_toys_is_ordered():
    toys = np.sort(np.random.default_rng(4).gumbel(3, 0.3, 2000))
    values = [max_pvalue(x, toys) for x in (0.0, 2.5, 3.0, 3.5, 4.0, 6.0, 30.0)]
    assert np.all(np.diff(values) < 0)
    assert values[0] == pytest.approx(0, abs=1e-3)  # one of 2000 toys
    assert np.isfinite(values[-1])
