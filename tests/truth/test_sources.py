"""Gamma-ray sources: numbers, energies and places of events, against formulas and astropy."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import chi2, kstest, norm, poisson, rayleigh

from simbg.io.gadf.writer import GadfWriter
from simbg.truth.sources import GammaSource

# A right source fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
# Far from the equator: a missing cos(Dec) is a factor of two.
SOURCE = GammaSource("s", 83.6, -58.0, flux=4e-11, index=2.4, energy_range=(0.2, 50.0))
INDICES = (0.0, 1.0, 1.5, 2.4, 4.0)


def spectrum(source, low, high):
    """Events per second between two energies, by quadrature in ln E."""
    low, high = np.clip([low, high], *source.energy_range)
    log_rate = quad(
        lambda x: source.flux * np.exp(x * (1 - source.index)), *np.log([low, high]), epsrel=1e-12
    )
    return GadfWriter.EFFECTIVE_AREA * log_rate[0]


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("band", [(0.0, np.inf), (0.5, 3.0), (0.1, 0.3), (30.0, 80.0)])
def test_event_rate_is_the_integral_of_the_spectrum(index, band):
    source = replace(SOURCE, index=index)
    # Quadrature and differences of powers both reach 1e-12.
    assert_allclose(source.event_rate(*band), spectrum(source, *band), rtol=1e-10)


def test_event_rates_of_many_bins():
    edges = np.array([0.05, 0.1, 0.3, 1.0, 7.0, 50.0, 80.0])
    rates = SOURCE.event_rate(edges[:-1], edges[1:])
    assert rates.shape == (6,)
    assert (rates[0], rates[-1]) == (0, 0)
    assert_allclose(rates.sum(), SOURCE.event_rate(), rtol=1e-12)


def test_crab_nebula():
    """The default flux is the Crab's: 2.26e-11 cm-2 s-1 above 1 TeV (A&A 457, 899)."""
    crab = GammaSource("Crab", 83.63, 22.01, energy_range=(1.0, 1e4))
    # Its index is rather 2.6, and it cuts off.
    assert crab.event_rate() / GadfWriter.EFFECTIVE_AREA == pytest.approx(2.26e-11, rel=0.15)


def test_numbers_of_events_are_poisson():
    livetimes = np.linspace(300, 4000, 500)
    rng = np.random.default_rng(1)
    numbers = np.array([SOURCE.draw(livetime, rng)[0].size for livetime in livetimes])
    expected = spectrum(SOURCE, 0, np.inf) * livetimes
    statistic = np.sum((numbers - expected) ** 2 / expected)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], numbers.size)
    assert low < statistic < high
    tail = poisson.cdf(numbers.sum(), expected.sum())
    assert FALSE_ALARM / 2 < tail < 1 - FALSE_ALARM / 2


@pytest.mark.parametrize("index", INDICES)
def test_energies_follow_the_spectrum(index):
    source = replace(SOURCE, index=index)
    livetime = 20_000 / source.event_rate()
    energy = np.sort(source.draw(livetime, np.random.default_rng(2))[0])
    assert energy[0] >= 0.2
    assert energy[-1] <= 50 * (1 + 1e-12)  # rounding of a power
    # The cumulative on a grid of 0.01 in ln E: straight in between to 1e-5, KS sees 1e-2.
    grid = np.geomspace(0.2, 50, 551)
    parts = [0.0, *(spectrum(source, *pair) for pair in pairwise(grid))]
    share = np.interp(np.log(energy), np.log(grid), np.cumsum(parts) / np.sum(parts))
    assert kstest(share, "uniform").pvalue > FALSE_ALARM


def test_control_another_index_is_seen():
    energy = SOURCE.draw(20_000 / SOURCE.event_rate(), np.random.default_rng(2))[0]
    low, high = (e**-1.5 for e in SOURCE.energy_range)
    share = (energy**-1.5 - low) / (high - low)
    assert kstest(share, "uniform").pvalue < FALSE_ALARM


def drawn(source, n_events=40_000, seed=3):
    """Distances and position angles of events, deg, by astropy."""
    _, ra, dec = source.draw(n_events / source.event_rate(), np.random.default_rng(seed))
    center, events = SkyCoord(source.ra, source.dec, unit="deg"), SkyCoord(ra, dec, unit="deg")
    return center.separation(events).deg, center.position_angle(events).deg


@pytest.mark.parametrize(("extension", "psf"), [(0.0, 0.08), (0.3, 0.4), (0.25, 0.0)])
@pytest.mark.parametrize("place", [(83.6, -58.0), (0.01, 0.0), (200.0, 89.9)])
def test_events_are_a_gaussian_about_the_source(extension, psf, place):
    source = replace(SOURCE, ra=place[0], dec=place[1], extension=extension, psf=psf)
    distance, angle = drawn(source)
    sigma = np.hypot(extension, psf)
    assert source.width == sigma
    assert kstest(distance, "rayleigh", args=(0, sigma)).pvalue > FALSE_ALARM
    assert kstest(angle / 360, "uniform").pvalue > FALSE_ALARM
    # The control: 3 % more width.
    assert kstest(distance, "rayleigh", args=(0, 1.03 * sigma)).pvalue < FALSE_ALARM


def test_energies_do_not_go_with_places():
    energy, _, dec = SOURCE.draw(40_000 / SOURCE.event_rate(), np.random.default_rng(5))
    correlation = np.corrcoef(np.log(energy), np.abs(dec - SOURCE.dec))[0, 1]
    # Of independent values it is normal, of width 1/√n.
    assert abs(correlation) * np.sqrt(energy.size) < norm.isf(FALSE_ALARM / 2)


def in_plane(source, ra, dec):
    """Places about a source, deg to the east and north."""
    return (ra - source.ra) * np.cos(np.deg2rad(dec)), dec - source.dec


def test_points_stand_for_events():
    """Both against the integral of a gaussian over pixels, events by χ²."""
    source = replace(SOURCE, extension=0.2, psf=0.1)
    sigma, n_events = source.width, 100_000
    _, *events = source.draw(n_events / source.event_rate(), np.random.default_rng(7))
    ra, dec, weight = source.points()
    edges = np.linspace(-2.5, 2.5, 8) * sigma, np.linspace(-2, 3, 6) * sigma
    exact = np.outer(*(np.diff(norm.cdf(edge / sigma)) for edge in edges))
    image, *_ = np.histogram2d(*in_plane(source, ra, dec), edges, weights=weight)
    # 5,760 points, about 150 a pixel, of which those at its border come and go: a tenth.
    assert np.abs(image / exact - 1).max() < 0.1
    assert image.sum() == pytest.approx(exact.sum(), rel=0.01)
    counts, *_ = np.histogram2d(*in_plane(source, *events), edges)
    expected = exact * events[0].size
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], exact.size)
    assert low < np.sum((counts - expected) ** 2 / expected) < high


def test_points_follow_the_radial_distribution():
    source = replace(SOURCE, psf=0.3)
    ra, dec, weight = source.points()
    assert weight.sum() == pytest.approx(1, rel=1e-12)
    assert weight.min() > 0
    distance = SkyCoord(source.ra, source.dec, unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
    # Between rings, which lie in the middle of their share, the sum is the cumulative.
    for n in (10, 60, 110, 179):
        edge = n * 7.4 / 180
        inside = weight[distance.deg < edge * 0.3].sum()
        assert inside == pytest.approx(rayleigh.cdf(edge) / rayleigh.cdf(7.4), rel=1e-10)
    lon, lat = in_plane(source, ra, dec)
    # The field is curved: tan(Dec) σ²/2 moves the mean Dec by 0.0013 deg.
    assert abs(np.average(lon, weights=weight)) < 1e-4
    assert abs(np.average(lat, weights=weight)) < 0.002
    for values in (lon, lat):
        # Rings of 0.04 σ, and what a plane is at 1 deg.
        assert np.average(values**2, weights=weight) == pytest.approx(0.09, rel=2e-3)


def test_no_flux_no_events():
    energy, ra, dec = replace(SOURCE, flux=0.0).draw(1e5, np.random.default_rng(0))
    assert energy.shape == ra.shape == dec.shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ra": -1.0},
        {"ra": np.nan},
        {"dec": 91.0},
        {"flux": -1e-12},
        {"flux": np.nan},
        {"index": np.inf},
        {"energy_range": (0.0, 1.0)},
        {"energy_range": (2.0, 1.0)},
        {"energy_range": (2.0, np.inf)},
        {"extension": -0.1},
        {"psf": 0.0},
        {"psf": 12.0},
        {"psf": np.nan},
    ],
    ids=str,
)
def test_impossible_sources_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=re.escape(f"source s: {name}: got {value}, expected ")):
        replace(SOURCE, **wrong)
