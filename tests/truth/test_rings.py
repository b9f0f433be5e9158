"""Rates averaged over rings, and the BKG_2D files that hold them."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from simbg.axes import MEV_PER_TEV, Axes
from simbg.io.bkg_2d import write_bkg_2d
from simbg.io.cubes import read_model
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.rings import ring_average, ring_solid_angle

ENERGY = np.geomspace(0.1, 100, 4)
OFFSET = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 3.5])
TRUTH = GaussianTruth(index=2.6, event_rate=3.0, sigma=(1.0, 1.8), peak=(0.9, -0.5))


def events_of(rate, offset=OFFSET):
    return rate * MEV_PER_TEV * np.diff(ENERGY)[:, None] * ring_solid_angle(offset)


def test_rings_hold_all_events():
    """To 40 deg, 22 σ: the exact bin integrals of the truth are another calculation."""
    offset, edge = np.linspace(0, 40, 21), np.array([-60.0, 60.0])
    events = events_of(ring_average(TRUTH, ENERGY, offset, zenith=30.0), offset)
    expected = TRUTH.integrate(Axes(ENERGY, edge, edge), zenith=30.0)[:, 0, 0]
    assert_allclose(events.sum(axis=1), expected, rtol=1e-12)


def test_quadrature_has_converged():
    """For the narrowest width that is promised: a ring is the sum of four."""
    truth = GaussianTruth(sigma=(0.5, 0.5), peak=(0.9, -0.5))
    fine = np.linspace(0.0, 3.5, 29)
    events = events_of(ring_average(truth, ENERGY, fine), fine)
    coarse = events_of(ring_average(truth, ENERGY, fine[::4]), fine[::4])
    assert_allclose(events.reshape(3, 7, 4).sum(axis=2), coarse, rtol=1e-12)


def test_rings_count_drawn_events():
    """χ² of 15 bins of a million events; 38 is its 1e-3 quantile, and the seed is fixed."""
    energy, *angles = TRUTH.sample(1_000_000, np.random.default_rng(1))
    theta = np.rad2deg(np.arccos(np.prod(np.cos(np.deg2rad(angles)), axis=0)))
    counts = np.histogram2d(energy, theta, (ENERGY, OFFSET))[0]
    expected = events_of(ring_average(TRUTH, ENERGY, OFFSET)) / TRUTH.total_rate() * 1e6
    assert expected.min() > 10
    assert np.sum((counts - expected) ** 2 / expected) < 38
    # Control: a peak at the centre instead.
    other = GaussianTruth(index=2.6, event_rate=3.0, sigma=(1.0, 1.8))
    wrong = events_of(ring_average(other, ENERGY, OFFSET)) / TRUTH.total_rate() * 1e6
    assert np.sum((counts - wrong) ** 2 / wrong) > 1e4


def test_solid_angle_of_small_rings():
    """π Δθ² to the 1e-9 that is the next order; differences of cosines lose that."""
    edges = np.array([0.0, 1e-4, 2e-4])
    expected = np.pi * np.deg2rad(1e-4) ** 2 * np.array([1.0, 3.0])
    assert_allclose(ring_solid_angle(edges), expected, rtol=1e-11)


def test_bkg_2d_is_as_gadf_has_it(tmp_path):
    rate = ring_average(TRUTH, ENERGY, OFFSET)
    write_bkg_2d(tmp_path / "bkg.fits", ENERGY, OFFSET, rate, {"DEADC": 0.9})
    with fits.open(tmp_path / "bkg.fits") as file:
        file.verify("exception")
        hdu = file["BACKGROUND"]
        names = ["ENERG_LO", "ENERG_HI", "THETA_LO", "THETA_HI", "BKG"]
        assert hdu.columns.names == names
        assert hdu.columns.units == ["TeV", "TeV", "deg", "deg", "s-1 MeV-1 sr-1"]
        assert hdu.header["HDUCLAS4"] == "BKG_2D"
        assert hdu.header["TDIM5"].replace(" ", "") == "(3,5)"
        assert hdu.header["DEADC"] == 0.9
        assert np.array_equal(hdu.data["BKG"][0], rate.T)


def test_bkg_2d_is_read_again(tmp_path):
    """`read_model` keeps the whole to 0.1 %, as it says."""
    rate = ring_average(TRUTH, ENERGY, OFFSET)
    write_bkg_2d(tmp_path / "bkg.fits.gz", ENERGY, OFFSET, rate)
    cube = read_model(tmp_path / "bkg.fits.gz")
    assert cube.clock == "ontime"
    assert_allclose(cube.spectrum, events_of(rate).sum(axis=1), rtol=1e-3)


def test_bkg_2d_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(5, 3\), expected \(3, 5\)"):
        write_bkg_2d(tmp_path / "bkg.fits", ENERGY, OFFSET, ring_average(TRUTH, ENERGY, OFFSET).T)
    assert not (tmp_path / "bkg.fits").exists()
