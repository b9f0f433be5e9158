"""The true cube of 2015: its published files, and its formula."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes, edition2015_axes
from simbg.truth.edition2015_cube import edition2015_cube


def published(path):
    """HDUs of a 2015 table: (edges of energy, lon, lat), name → (energy, lon, lat) array."""
    arrays, edges = {}, None
    with fits.open(path) as file:
        for hdu in file[1:]:
            data = hdu.data
            edges = [
                np.append(data[f"{name}_LO"][0], data[f"{name}_HI"][0][-1])
                for name in ("ENERG", "DETX", "DETY")
            ]
            arrays[hdu.name] = np.array(data[data.names[6]][0], float).transpose(0, 2, 1)
    return edges, arrays


def edges_of(cube):
    return cube.axes.energy, cube.axes.fov_lon, cube.axes.fov_lat


@pytest.mark.gammapy_data
def test_published_true_cube(fixtures_2015):
    """Doubles through a pow and an exp: the file is met to 2e-15, 1e-12 leaves room for libm."""
    edges, arrays = published(fixtures_2015 / "bg_cube_model_true.fits.gz")
    cube = edition2015_cube(edition2015_axes(), altitude=81.0, sigma=5.0, index_counts=1.5)
    for ours, theirs in zip(edges_of(cube), edges, strict=True):
        assert_allclose(ours, theirs, rtol=1e-12)
    assert_allclose(cube.counts, arrays["COUNTS"], rtol=1e-12, atol=0)
    assert_allclose(cube.livetime, arrays["LIVETIME"], rtol=1e-12, atol=0)
    assert_allclose(cube.rate * 1e6, arrays["BACKGROUND"], rtol=1e-12, atol=0)


@pytest.mark.gammapy_data
def test_published_model_values(fixtures_2015):
    """A file of plain model values: altitude 90 deg, index 2.7, nothing divided by a volume."""
    edges, arrays = published(fixtures_2015 / "bg_cube_model_test1.fits")
    angle = np.linspace(-10, 10, 25)
    axes = Axes(np.geomspace(0.01, 100, 15), angle, angle)
    cube = edition2015_cube(axes, altitude=90.0, sigma=5.0, index_counts=2.7)
    for ours, theirs in zip(edges_of(cube), edges, strict=True):
        assert_allclose(ours, theirs, rtol=1e-12)
    assert_allclose(cube.counts, arrays["BACKGROUND"], rtol=1e-12, atol=0)


def test_formula_of_2015():
    """The fact sheet's formula, number by number, where no file is at hand."""
    axes = Axes([0.1, 0.4, 1.6, 6.4], [-3.0, -1.0, 2.0], [-1.0, 1.0, 2.0, 4.0])
    cube = edition2015_cube(axes, altitude=81.0, sigma=5.0, index_counts=1.5)
    s = np.log(2) / np.log(64)  # = 1/6
    centers = [0.2, 0.8, 3.2], [-2.0, 0.5], [0.0, 1.5, 3.0]
    for i, j, k in np.ndindex(axes.shape):
        energy, x, y = centers[0][i], centers[1][j], centers[2][k]
        width = 2.5 * (energy / 0.1) ** s
        counts = 0.95 * np.exp(-(x**2 + y**2) / width**2) * energy**-1.5
        sr = np.diff(axes.fov_lon)[j] * np.diff(axes.fov_lat)[k] * (np.pi / 180) ** 2
        assert cube.counts[i, j, k] == pytest.approx(counts, rel=1e-13)
        rate = counts / (sr * np.diff(axes.energy)[i] * 1e6)
        assert cube.rate[i, j, k] == pytest.approx(rate, rel=1e-13)
    assert_array_equal(cube.livetime, 1.0)


def test_level_of_2015():
    """Nothing falls below 1e-10 / (s sr TeV)."""
    angle = np.linspace(-60, 60, 4)
    cube = edition2015_cube(Axes([1.0, 10.0, 1e4], angle, angle), sigma=2.0)
    assert cube.rate.min() == pytest.approx(1e-16, rel=1e-12)
    assert cube.rate.max() > 1e-14
