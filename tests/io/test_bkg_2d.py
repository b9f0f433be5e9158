"""BKG_2D files, written by gammapy: rings become the pixels of a cube."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from simbg.io.bkg_2d import write_bkg_2d
from simbg.io.cubes import read_cube, read_model


@pytest.fixture(scope="module")
def irf():
    """gammapy's responses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.irf")


RING_ENERGY = np.geomspace(0.1, 10, 4)
RINGS = np.array([0.0, 0.5, 1.0, 2.0, 2.75, 4.0])
PROFILE = 1e-6 * np.array([[9.0, 8, 6, 3, 1], [5, 5, 4, 2, 2], [1, 1, 2, 3, 0]])


def write_rings(path, irf, energy=RING_ENERGY, rings=RINGS, profile=PROFILE):
    from gammapy.maps import MapAxis

    axes = [
        MapAxis.from_energy_edges(energy, unit="TeV"),
        MapAxis.from_edges(rings, unit="deg", name="offset"),
    ]
    background = irf.Background2D(axes=axes, data=profile, unit="s-1 MeV-1 sr-1")
    fits.HDUList([fits.PrimaryHDU(), background.to_table_hdu()]).writeto(path)


@pytest.mark.gammapy
def test_rings_of_gammapy_are_read(tmp_path, irf):
    write_rings(tmp_path / "rings.fits", irf)
    cube = read_model(tmp_path / "rings.fits")
    assert cube.clock == "ontime"
    assert cube.axes.shape == (3, 64, 64)
    assert_allclose(cube.axes.energy, RING_ENERGY, rtol=1e-14)
    # A pixel that lies in one ring has its rate; offsets on the sphere, of all four corners.
    lon, lat = (np.deg2rad(e) for e in (cube.axes.fov_lon, cube.axes.fov_lat))
    corner = np.rad2deg(np.arccos(np.cos(lon)[:, None] * np.cos(lat)))
    ring = np.searchsorted(RINGS, corner, side="right") - 1
    corners = np.array([ring[i : 64 + i, j : 64 + j] for i in (0, 1) for j in (0, 1)])
    pure = (corners == corners[0]).all(axis=0)
    assert pure.sum() > 2500
    profile = np.pad(PROFILE, ((0, 0), (0, 1)))
    expected = profile[:, corners[0]]
    # Values of gammapy's in single or double precision: a rounding.
    assert_allclose(cube.rate[:, pure], expected[:, pure], rtol=1e-12, atol=0)
    # Others lie between.
    around = profile[:, corners]
    assert np.all(cube.rate <= around.max(axis=1) * (1 + 1e-12))


@pytest.mark.gammapy
def test_rings_keep_their_events(tmp_path, irf):
    """Σ rate · 2π (cos θ₁ − cos θ₂) · ΔE; 256 places a pixel leave less than 0.1 %."""
    write_rings(tmp_path / "rings.fits", irf)
    cube = read_model(tmp_path / "rings.fits")
    sr = -2 * np.pi * np.diff(np.cos(np.deg2rad(RINGS)))
    expected = PROFILE @ sr * np.diff(RING_ENERGY) * 1e6
    assert_allclose(cube.spectrum, expected, rtol=1e-3)


@pytest.mark.gammapy
def test_as_many_rings_as_energies(tmp_path, irf):
    """Where no length tells the axes apart: the energy is the fastest, unless it is said."""
    write_rings(tmp_path / "a.fits", irf, rings=RINGS[:4], profile=PROFILE[:, :3])
    first = read_model(tmp_path / "a.fits")
    center = np.array(first.axes.shape[1:]) // 2
    assert_allclose(first.rate[:, center[0], center[1]], PROFILE[:, 0], rtol=1e-12)
    with fits.open(tmp_path / "a.fits") as file:
        column = file[1].columns.names.index("BKG") + 1
        file[1].header[f"CREF{column}"] = "(THETA_LO:THETA_HI,ENERG_LO:ENERG_HI)"
        file.writeto(tmp_path / "b.fits")
    second = read_model(tmp_path / "b.fits")
    assert_allclose(second.rate[:, center[0], center[1]], PROFILE[0, :3], rtol=1e-12)


@pytest.mark.gammapy
def test_unknown_rings_are_dark(tmp_path, irf):
    profile = PROFILE.copy()
    profile[1, 0] = np.nan
    write_rings(tmp_path / "rings.fits", irf, profile=profile)
    middle = read_model(tmp_path / "rings.fits").rate[1, 32]
    assert middle[32] == 0 < middle[40]


def test_what_is_no_bkg_2d_is_refused(tmp_path):
    columns = [
        fits.Column(name, "2D", unit, array=[[1.0, 2.0]])
        for name, unit in (("THETA_LO", "deg"), ("THETA_HI", "deg"), ("BKG", "s-1 MeV-1 sr-1"))
    ]
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="BKG")])
    hdus.writeto(tmp_path / "rings.fits")
    with pytest.raises(ValueError, match=r"rings\.fits.*THETA_LO.*expected .*ENERG_LO"):
        read_model(tmp_path / "rings.fits")


@pytest.mark.gammapy
def test_rings_are_no_cube(tmp_path, irf):
    write_rings(tmp_path / "rings.fits", irf)
    with pytest.raises(ValueError, match=r"rings\.fits.*BKG_2D.*simbg truth"):
        read_cube(tmp_path / "rings.fits")


@pytest.mark.parametrize("rings", [[-0.5, 1, 2], [0, 2, 1], [0, 1, 1e308]])
def test_offsets_that_are_none_are_refused(tmp_path, rings):
    write_bkg_2d(tmp_path / "rings.fits", [1, 2, 5], rings, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"rings\.fits.*THETA.*expected"):
        read_model(tmp_path / "rings.fits")


def test_infinite_rates_are_refused(tmp_path):
    rate = np.array([[1.0, np.inf], [1.0, 1.0]])
    write_bkg_2d(tmp_path / "rings.fits", [1, 2, 5], [0, 1, 2], rate)
    with pytest.raises(ValueError, match=r"rings\.fits.*BKG: got 1 of 4 .*expected finite"):
        read_model(tmp_path / "rings.fits")
