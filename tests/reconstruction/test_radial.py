"""Radial models: the true rate in rings, the exposure of rings under masks, and files."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, qmc

import simbg
from simbg.observations.masked_exposure import unmasked_fraction_of_rings
from simbg.radial import RadialModel, ring_solid_angle
from simbg.sky.pointing import Drift, Site, Tracking, altaz_to_radec
from simbg.sky.regions import Polygon, Rectangle, circle, excluded
from simbg.truth.rings import ring_average

SITE = Site(16.5002, -23.2718, 1835.0)
GTI = [[0.0, 900.0], [1200.0, 1680.0]]
MJDREF = 56585.0
OFFSETS = np.array([0.0, 0.4, 1.0, 1.5, 2.5, 4.0])
ENERGY = np.array([0.2, 0.5, 1.0, 3.0, 50.0])


def make_pointing(kind):
    if kind == "drift":
        return Drift(70.0, 20.0, SITE, MJDREF)
    return Tracking(*map(float, altaz_to_radec(70, 20, MJDREF + 0.01, SITE)), SITE, MJDREF)


def make_regions(pointing):
    """A circle on the pointing, a box across rings and a triangle with sides across the centre."""
    ra, dec = (float(angle) for angle in pointing.radec(840.0))
    cos = np.cos(np.radians(dec))
    triangle = Polygon((ra - 1 / cos, ra + 3 / cos, ra + 1 / cos), (dec + 0.1, dec + 0.3, dec - 3))
    return circle(ra, dec, 0.3), Rectangle(ra + 2 / cos, dec + 1, 2.0, 1.0, 30.0), triangle


@pytest.mark.parametrize("kind", ["tracking", "drift"])
def test_fractions_of_rings(kind):
    """Against an even sample of each ring and of time: known to 3e-4."""
    pointing = make_pointing(kind)
    regions = make_regions(pointing)
    fractions = unmasked_fraction_of_rings(OFFSETS, pointing, GTI, regions)
    assert (fractions < 1).sum() >= 4
    cosines = np.cos(np.radians(OFFSETS))
    for k, (low, high) in enumerate(pairwise(cosines)):
        turn, height, when = qmc.Sobol(3, seed=np.random.default_rng(k)).random(1 << 16).T
        cosine = low + height * (high - low)
        sine, turn = np.sqrt(1 - cosine**2), 2 * np.pi * turn
        lat = np.degrees(np.arcsin(sine * np.sin(turn)))
        lon = np.degrees(np.arctan2(sine * np.cos(turn), cosine))
        late = 1380 * when
        time = np.where(late < 900, late, late + 300)
        outside = ~excluded(*pointing.fov_to_sky(lon, lat, time), regions)
        assert fractions[k] == pytest.approx(outside.mean(), abs=1e-3)


def test_a_circle_on_the_pointing_is_exact():
    """Its own border as an edge: 0 inside, 1 outside; else the ratio of solid angles."""
    pointing = make_pointing("tracking")
    regions = [circle(pointing.ra, pointing.dec, 0.7)]
    fractions = unmasked_fraction_of_rings(OFFSETS, pointing, GTI, regions)
    masked = ring_solid_angle([0.4, 0.7])[0] / ring_solid_angle([0.4, 1.0])[0]
    # The circle is a polygon of the same area in the tangent plane; aberration is 1e-4 of a size.
    assert_allclose(fractions, [0, 1 - masked, 1, 1, 1], atol=3e-4)


@pytest.fixture(scope="module")
def night():
    return simbg.simulate("source", seed=3, n_obs=6)


def radial_truth(night):
    """The true rate of a source-free sky in rings, per livetime, at the runs' zenith angles."""
    truth = night.scenario.truth
    runs = night.observations()
    rates = [ring_average(truth, ENERGY, OFFSETS, 90 - run.alt) for run in runs]
    return np.average(rates, axis=0, weights=[run.livetime for run in runs])


def test_rates_under_masks_are_those_of_the_truth(night):
    """With its own mask, the scenario's sources are gone. False alarms: 1e-4."""
    model = simbg.reconstruct_radial(night, energy=ENERGY, offset=OFFSETS)
    assert (model.livetime < model.livetime.max() * 0.99).any()
    expected = radial_truth(night) * model.livetime * model.volume
    used = expected > 20
    assert used.sum() > 8
    statistic = ((model.counts - expected) ** 2 / expected)[used].sum()
    assert statistic < chi2.isf(1e-4, used.sum())
    assert_allclose(model.rate[used], (model.counts / model.livetime / model.volume)[used])


def test_a_mask_changes_no_rate(night):
    """Counts and exposure lose the same part of the rings: within Poisson errors."""
    plain = [replace(run, excluded=()) for run in simbg.simulate("night", n_obs=6).observations()]
    run = plain[0]
    mask = (circle(run.ra, run.dec, 0.6), circle(run.ra + 1.5, run.dec, 0.8))
    masked = [replace(one, excluded=mask) for one in plain]
    a = simbg.reconstruct_radial(plain, energy=ENERGY, offset=OFFSETS)
    b = simbg.reconstruct_radial(masked, energy=ENERGY, offset=OFFSETS)
    assert b.counts.sum() < a.counts.sum()
    known = (b.counts > 20) & (b.livetime < a.livetime)
    assert known.sum() >= 3
    # The masked counts are a random part of all.
    part = (b.livetime / a.livetime)[known]
    error = np.sqrt(a.counts[known] * part * (1 - part))
    assert (np.abs(b.counts[known] - part * a.counts[known]) < 4.5 * error + 1e-9).all()


def test_rings_and_pixels_have_the_same_events():
    """Without masks: a ring around a square field holds all of its events."""
    night = simbg.simulate("night", n_obs=4)
    radial = simbg.reconstruct_radial(night, energy=ENERGY, offset=[0, 1, 90])
    axes = simbg.Axes(ENERGY, np.array([-60.0, 60]), np.array([-60.0, 60]))
    cube = simbg.reconstruct(night, axes)
    assert_array_equal(radial.counts.sum(axis=1), cube.counts.sum(axis=(1, 2)))
    assert_allclose(radial.livetime[:, 0], cube.livetime[:, 0, 0])


def test_rings_of_axes_are_as_wide_as_pixels():
    axes = simbg.Axes.regular((0.2, 50, 4), (2.5, 20))
    model = simbg.reconstruct_radial(simbg.simulate("night", n_obs=2), axes)
    assert_allclose(model.offset, np.linspace(0, 2.5, 11))
    assert_array_equal(model.energy, axes.energy)


def test_file_has_everything(tmp_path, night):
    model = simbg.reconstruct_radial(night, energy=ENERGY, offset=OFFSETS)
    model.write(tmp_path / "radial.fits.gz")
    again = RadialModel.read(tmp_path / "radial.fits.gz")
    assert again.clock == "ontime"
    assert again.meta["METHOD"] == "radial"
    for name in ("energy", "offset", "rate", "rate_error", "counts", "livetime", "ontime"):
        assert_allclose(getattr(again.per("livetime"), name), getattr(model, name), rtol=1e-14)
    header = fits.getheader(tmp_path / "radial.fits.gz", "BACKGROUND")
    assert (header["HDUCLAS4"], header["CREF5"]) == (
        "BKG_2D",
        "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)",
    )
    with pytest.raises(FileExistsError):
        model.write(tmp_path / "radial.fits.gz")


@pytest.mark.gammapy
@pytest.mark.filterwarnings("ignore::Warning:gammapy")
def test_gammapy_reads_what_is_written(tmp_path, night):
    irf = pytest.importorskip("gammapy.irf")
    model = simbg.reconstruct_radial(night, energy=ENERGY, offset=OFFSETS)
    model.write(tmp_path / "radial.fits")
    for theirs in (irf.Background2D.read(tmp_path / "radial.fits"), model.to_gammapy()):
        assert theirs.axes.names == ["energy", "offset"]
        assert_allclose(theirs.axes["offset"].edges.to_value("deg"), OFFSETS, atol=1e-14)
        assert_allclose(theirs.data, model.per("ontime").rate, rtol=1e-12)


def test_a_cube_is_no_radial_model(tmp_path, cube):
    cube.write(tmp_path / "cube.fits")
    with pytest.raises(ValueError, match=r"cube\.fits: .*BKG_2D"):
        RadialModel.read(tmp_path / "cube.fits")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"offset": [1, 0]}, "offset"),
        ({"offset": [0, 70]}, "60"),
        ({"energy": [3, 2]}, "energy"),
        ({"axes": 3}, "axes"),
    ],
)
def test_bad_rings(night, options, named):
    with pytest.raises(ValueError, match=named):
        simbg.reconstruct_radial(night, **options)
