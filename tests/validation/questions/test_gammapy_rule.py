import warnings

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose
from support.draws import TRUTH

from simbg.axes import MEV_PER_TEV, Axes
from simbg.validation.questions.gammapy_rule import (
    fill_missing,
    integrated_rate,
    interpolated_rate,
    rate_response,
)

AXES = Axes(np.geomspace(0.1, 50, 8), np.linspace(-3, 3, 13), np.linspace(-2.5, 2.5, 12))
# Inside and outside of the cube, and in the outer halves of its outermost bins.
ENERGY = np.r_[0.05, np.geomspace(0.101, 49, 10), 60]
LON, LAT = np.linspace(-3.3, 3.3, 23)[:, None], np.linspace(-2.49, 2.49, 17)


def sparse_rate(dtype=float):
    """Of so few counts that half of the bins are 0."""
    expected = TRUTH.integrate(AXES) * 3000
    rate = np.random.default_rng(61).poisson(expected) / AXES.volume / 3000
    assert 0.3 < np.mean(rate == 0) < 0.7
    return rate.astype(dtype)


@pytest.fixture
def theirs():
    """gammapy's Background3D of a rate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        irf, maps = pytest.importorskip("gammapy.irf"), pytest.importorskip("gammapy.maps")

    def make(rate):
        axes = [
            maps.MapAxis.from_energy_edges(AXES.energy * u.TeV, name="energy"),
            maps.MapAxis.from_edges(AXES.fov_lon * u.deg, name="fov_lon"),
            maps.MapAxis.from_edges(AXES.fov_lat * u.deg, name="fov_lat"),
        ]
        return irf.Background3D(axes=axes, data=rate.copy(), unit="s-1 MeV-1 sr-1")

    return make


@pytest.mark.gammapy
@pytest.mark.parametrize("dtype", ["<f8", ">f4"])
def test_interpolation_is_that_of_gammapy(theirs, dtype):
    rate = sparse_rate(dtype)
    places = {"fov_lon": LON[None] * u.deg, "fov_lat": LAT[None, None] * u.deg}
    with np.errstate(over="ignore"):
        expected = theirs(rate).evaluate(energy=ENERGY[:, None, None] * u.TeV, **places)
    found = interpolated_rate(rate, AXES, ENERGY[:, None, None], LON, LAT)
    assert found.max() > 1e20 * rate.max() or dtype == ">f4"
    # Logarithms of 1e-308 have the absolute precision of 1e-13.
    assert_allclose(found, expected.to_value("s-1 MeV-1 sr-1"), rtol=1e-9, atol=0)


@pytest.mark.gammapy
@pytest.mark.parametrize("dtype", ["<f8", ">f4"])
def test_integration_is_that_of_gammapy(theirs, dtype):
    rate = sparse_rate(dtype)
    lon, lat = np.broadcast_arrays(LON, LAT)
    places = {"fov_lon": lon[None] * u.deg, "fov_lat": lat[None] * u.deg}
    with np.errstate(over="ignore"):
        expected = theirs(rate).integrate_log_log(
            "energy", energy=ENERGY[:, None, None] * u.TeV, **places
        )
    found = integrated_rate(rate, AXES, ENERGY, LON, LAT)
    assert_allclose(found, expected.to_value("s-1 sr-1"), rtol=1e-9, atol=0)


@pytest.mark.gammapy
def test_missing_rates_are_filled_as_by_gammapy(theirs):
    rate = sparse_rate()
    background = theirs(rate)
    background.interp_missing_data("energy")
    found = fill_missing(rate)
    assert np.sum(found != rate) > 10
    assert_allclose(found, background.data, rtol=1e-12, atol=0)


@pytest.mark.gammapy
def test_map_is_that_of_gammapy(theirs):
    """`make_map_background_irf`: predicted counts of a map, of a cube in RADEC."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = pytest.importorskip("gammapy.maps")
        utils = pytest.importorskip("gammapy.makers.utils")
        from astropy.coordinates import SkyCoord
        from astropy.time import Time
        from gammapy.utils.coordinates import FoVICRSFrame

        pointing = SkyCoord(83.6, 22.0, unit="deg")
        energy = maps.MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=5)
        geom = maps.WcsGeom.create(skydir=pointing, width=(3, 2), binsz=0.25, axes=[energy])
        npred = utils.make_map_background_irf(
            pointing, 1000 * u.s, theirs(sparse_rate()), geom, Time("2024-01-01")
        )
        image = geom.to_image()
        places = image.get_coord().skycoord.transform_to(FoVICRSFrame(origin=pointing))
    found = integrated_rate(
        sparse_rate(), AXES, energy.edges.to_value("TeV"), places.fov_lon.deg, places.fov_lat.deg
    )
    found = found * 1000 * image.solid_angle().to_value("sr")
    # The angles of the two transformations agree to 1e-9 deg, and slopes are up to 1e3 per bin.
    assert_allclose(found, npred.data, rtol=1e-5, atol=0)


def test_power_law_is_integrated_exactly():
    rate = AXES.energy_center[:, None, None] ** -2.7 * np.ones(AXES.shape)
    energy = np.geomspace(0.3, 30, 4)
    exact = (energy[:-1] ** -1.7 - energy[1:] ** -1.7) / 1.7 * MEV_PER_TEV
    assert_allclose(integrated_rate(rate, AXES, energy, 0.3, 0.2), exact, rtol=1e-12)
    flat = AXES.energy_center[:, None, None] ** -1.0 * np.ones(AXES.shape)
    exact = np.log(energy[1:] / energy[:-1]) * MEV_PER_TEV
    assert_allclose(integrated_rate(flat, AXES, energy, 0.3, 0.2), exact, rtol=1e-9)


def test_axes_of_one_bin():
    axes = Axes([0.1, 1, 10], [-3, 3], [-3, 3])
    rate = np.array([2.0, 1.0])[:, None, None]
    assert_allclose(interpolated_rate(rate, axes, np.sqrt(0.1), 2.0, -1.0), 2.0)


def test_response_is_the_derivative():
    """Against finite differences of random changes; a norm is a factor of the result."""
    rng, maps = np.random.default_rng(62), Axes(np.geomspace(0.4, 60, 4), LON.ravel(), LAT)
    rate = TRUTH.integrate(AXES) / AXES.volume
    cells = rng.random((2, *maps.shape[1:])) < 0.5
    responses = np.array(list(rate_response(rate, AXES, maps, cells)))

    def counts(rate):
        lon, lat = maps.fov_lon_center[:, None], maps.fov_lat_center
        return np.einsum(
            "exy,cxy->ec", integrated_rate(rate, AXES, maps.energy, lon, lat), cells.astype(float)
        )

    assert_allclose(responses.sum(axis=(2, 3, 4)), counts(rate), rtol=1e-8)
    change = rng.normal(size=rate.shape)
    up, down = (counts(rate * np.exp(s * change)) for s in (1e-5, -1e-5))
    assert_allclose(np.sum(responses * change, axis=(2, 3, 4)), (up - down) / 2e-5, rtol=1e-6)
