"""The picture of a cube: of any file, of the right numbers, the same bytes every time."""

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes
from simbg.cli.main import main
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube, write_cube
from simbg.io.tables import one_row_hdu
from simbg.validation.figures.plot_cube import (
    choose_energies,
    cube_figure,
    plot_file,
    radial_profile,
)

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF"}


def write_bkg_2d(path):
    energy, theta = np.geomspace(0.1, 50, 7), np.array([0.0, 0.5, 1.0, 2.0])
    rate = 1e-4 * energy[:-1, None] ** -2.7 * np.array([1.0, 0.7, 0.2])
    columns = [
        ("ENERG_LO", energy[:-1], "TeV"),
        ("ENERG_HI", energy[1:], "TeV"),
        ("THETA_LO", theta[:-1], "deg"),
        ("THETA_HI", theta[1:], "deg"),
        ("BKG", rate.T, "s-1 MeV-1 sr-1"),
    ]
    fits.HDUList([fits.PrimaryHDU(), one_row_hdu("BACKGROUND", columns)]).writeto(path)


@pytest.mark.parametrize("kind", ["table", "image", "BKG_2D"])
def test_any_file_becomes_a_picture(tmp_path, cube, kind):
    path = tmp_path / "some.fits"
    write_bkg_2d(path) if kind == "BKG_2D" else write_cube(path, cube, kind)
    assert plot_file(path, tmp_path / "some.png").read_bytes().startswith(MAGIC["png"])


@pytest.mark.parametrize("ending", MAGIC)
def test_same_bytes_every_time(tmp_path, cube, ending):
    path = tmp_path / "some.fits"
    write_cube(path, cube)
    made = [plot_file(path, tmp_path / f"{number}.{ending}") for number in (1, 2)]
    contents = [out.read_bytes() for out in made]
    assert contents[0].startswith(MAGIC[ending])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "name",
    [
        "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits",
        "bg_cube_model_test1.fits",
        "bg_cube_model_true.fits.gz",
    ],
)
def test_published_files(tmp_path, request, name):
    folder = request.getfixturevalue("gammapy_data" if "/" in name else "fixtures_2015")
    out = plot_file(folder / name, tmp_path / "p.png")
    assert out.stat().st_size > 50_000


def test_images_are_the_rates_at_their_places(cube):
    """Nothing is transposed, and each pixel lies between its edges."""
    figure = cube_figure(cube)
    meshes = [axis.collections[0] for axis in figure.axes if axis.get_title("left")]
    for mesh, k in zip(meshes, choose_energies(cube), strict=True):
        assert_array_equal(mesh.get_array(), cube.rate[k].T)
        corners = mesh.get_coordinates()
        assert_array_equal(corners[0, :, 0], cube.axes.fov_lon)
        assert_array_equal(corners[:, 0, 1], cube.axes.fov_lat)
        span = f"{cube.axes.energy[k]:.3g} to {cube.axes.energy[k + 1]:.3g} TeV"
        assert mesh.axes.get_title("left") == span


def test_spectra_are_the_rates_there(cube):
    """The field does not reach (2, 2) deg: half-way to its corner is looked at instead."""
    axis = next(a for a in cube_figure(cube).axes if a.get_title() == "spectra")
    center, off, mean = (line.get_ydata() for line in axis.lines)
    # Edges of the fixture: fov_lon every 5/6 deg from -3 on, fov_lat every 5/8 deg from -1 on.
    assert_array_equal(center, cube.rate[:, 3, 1])
    assert_array_equal(off, cube.rate[:, 4, 4])
    weight = cube.axes.solid_angle
    assert_allclose(mean, (cube.rate * weight).sum(axis=(1, 2)) / weight.sum(), rtol=1e-13)
    labels = axis.get_legend_handles_labels()[1]
    assert labels == ["at (0, 0) deg", "at (1, 2) deg", "mean over the field"]


def test_every_axis_has_a_unit(cube):
    figure = cube_figure(cube)
    assert len(figure.axes) == 2 * 2 + 2  # images with a bar each, spectra, profiles
    for axis in figure.axes:
        label = axis.get_ylabel()
        assert any(unit in label for unit in ("/ deg", "/ (s", "/ mean over"))
        assert axis.get_xlabel().split("/")[-1].strip() in ("deg", "TeV", "")


def test_radial_profile(axes):
    """By hand, pixel by pixel; one without a rate is left out, and so is its solid angle."""
    rng = np.random.default_rng(3)
    rate, error = rng.random((2, *axes.shape))
    rate[1, 2, 3] = np.nan
    edges, found, found_error = radial_profile(BackgroundCube(axes, rate, error), 1)
    assert edges[0] == 0
    assert edges[-1] > axes.offset.max()
    for low, high, value, its_error in zip(edges[:-1], edges[1:], found, found_error, strict=True):
        top = bottom = square = 0.0
        for i, j in itertools.product(range(axes.shape[1]), range(axes.shape[2])):
            if low <= axes.offset[i, j] < high and np.isfinite(rate[1, i, j]):
                top += rate[1, i, j] * axes.solid_angle[i, j]
                bottom += axes.solid_angle[i, j]
                square += (error[1, i, j] * axes.solid_angle[i, j]) ** 2
        expected = top / bottom if bottom else np.nan
        assert_allclose(value, expected, rtol=1e-12)
        assert_allclose(its_error, np.sqrt(square) / bottom if bottom else np.nan, rtol=1e-12)
    assert np.isnan(radial_profile(BackgroundCube(axes, rate), 1)[2]).all()


def test_energies_hold_something_and_differ(cube):
    assert list(choose_energies(cube)) == [1, 2]
    rate = np.repeat(cube.rate, 5, axis=0)
    long = BackgroundCube(replace(cube.axes, energy=np.geomspace(0.1, 20, 21)), rate)
    assert list(choose_energies(long)) == [4, 8, 11, 15]
    rate[10:] = 0
    assert max(choose_energies(replace(long, rate=rate))) < 10


@pytest.mark.parametrize(
    ("value", "shape"),
    [(0.0, (3, 2, 4)), (np.nan, (1, 1, 1)), (-1.0, (3, 2, 4)), (1e-300, (1, 1, 1))],
)
def test_odd_cubes_are_drawn(tmp_path, value, shape):
    """One bin, nothing in it, no rate, a negative one: a picture, and no warning."""
    edges = [np.arange(1.0, n + 2) for n in shape]
    cube = BackgroundCube(Axes(*edges), np.full(shape, value))
    write_cube(tmp_path / "odd.fits", cube, "table")
    assert plot_file(tmp_path / "odd.fits", tmp_path / "odd.png").is_file()


def test_command_line(tmp_path, cube, monkeypatch, capsys):
    """Beside nothing: in the working directory; refused where something is; names are text."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    write_cube("there/a$x_$<b>.fits.gz", cube)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(["plot", *words])
        return end.value.code, *capsys.readouterr()

    assert run("there/a$x_$<b>.fits.gz") == (0, "a$x_$<b>.png\n", "")
    assert sorted(os.listdir()) == ["a$x_$<b>.png", "there"]
    code, out, err = run("there/a$x_$<b>.fits.gz")
    assert (code, out) == (2, "")
    assert "exists; --overwrite replaces it" in err
    assert run("there/a$x_$<b>.fits.gz", "--overwrite")[0] == 0
    code, _, err = run("there/a$x_$<b>.fits.gz", "--out", "b.jpg")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "got a name in '.jpg', expected .png or .pdf" in err
    assert run("nothing.fits")[0] == 2
    assert sorted(os.listdir()) == ["a$x_$<b>.png", "there"]


def test_colours_of_nothing_but_negative_rates(cube):
    """They span the rates, not up to an arbitrary 1."""
    figure = cube_figure(replace(cube, rate=-cube.rate))
    mesh = figure.axes[0].collections[0]
    assert mesh.norm.vmin == -cube.rate[0].max()
    assert mesh.norm.vmax == 0


def test_rings_are_no_cube(tmp_path):
    """For what needs a cube, with the way to one."""
    write_bkg_2d(tmp_path / "rings.fits")
    with pytest.raises(ValueError, match="got a BKG_2D, expected a cube; simbg truth --from"):
        read_cube(tmp_path / "rings.fits")
