"""Fits against exact contents, and against fits that share no code with them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.poisson import sigmas

# Of each statistical test, two-sided; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6
Z = sigmas(FALSE_ALARM)
ENERGY = np.geomspace(0.1, 80, 13)


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
    axes = Axes([1.0, 1.001], LON, LAT)
    truth = GaussianTruth()
    image = 1e9 * truth.integrate(axes)[0]
    assert_allclose(fit_width(image, LON, LAT)[0], truth.width(1.0005), rtol=1e-4)
