"""The picture of a cube: of any file, of the right numbers, the same bytes every time."""

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes
from simbg.cli.main import main
from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import write_bkg_2d
from simbg.io.cubes import write_cube
from simbg.radial import RadialModel
from simbg.validation.figures.one_cube import cube_figure, plot_file, radial_figure

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.parametrize("kind", ["table", "image", "BKG_2D"])
def test_any_file_becomes_a_picture(tmp_path, cube, kind):
    path = tmp_path / "some.fits"
    if kind == "BKG_2D":
        energy = np.geomspace(0.1, 50, 7)
        rate = 1e-4 * energy[:-1, None] ** -2.7 * np.array([1.0, 0.7, 0.2])
        write_bkg_2d(path, energy, [0.0, 0.5, 1.0, 2.0], rate)
    else:
        write_cube(path, cube, kind)
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


def axes_called(figure, title):
    return next(axes for axes in figure.axes if axes.get_title("left") == title)


def drawn(axes):
    """Name → (x, y, ends of the errors) of all points with errors."""
    points = {}
    for bars in axes.containers:
        line, _, errors = bars.lines
        ends = errors[0].get_segments() if errors else []
        points[bars.get_label()] = *line.get_data(), np.array(ends)
    return points


def spans(cube, *bins):
    return ["{:.3g} to {:.3g} TeV".format(*cube.axes.energy[k : k + 2]) for k in bins]


def test_images_are_the_rates_at_their_places(cube):
    """Nothing is transposed, and the image lies between the edges."""
    images = [axes.images[0] for axes in cube_figure(cube).axes if axes.images]
    for image, k, span in zip(images, (1, 2), spans(cube, 1, 2), strict=True):
        assert_array_equal(image.get_array(), cube.rate[k].T)
        assert image.origin == "lower"
        assert image.get_extent() == [-3.0, 2.0, -1.0, 4.0]
        assert image.axes.get_title("left") == span


def test_spectra_are_means_over_circles(cube):
    """The field does not reach (2, 2) deg: half-way to its corner is looked at instead."""
    points = drawn(axes_called(cube_figure(cube), "spectra"))
    x, y = cube.axes.fov_lon_center[:, None], cube.axes.fov_lat_center
    insides = [np.hypot(x - a, y - b) <= 0.75 for a, b in ((0, 0), (1, 2))]
    insides.append(np.full(cube.axes.shape[1:], True))
    names = ["(0, 0)", "(1, 2)", "whole field"]
    assert all(part in name for part, name in zip(names, points, strict=True))
    for inside, (energy, rate, ends) in zip(insides, points.values(), strict=True):
        weight = np.where(inside, cube.axes.solid_angle, 0)
        assert_allclose(energy, cube.axes.energy_center)
        assert_allclose(rate, (cube.rate * weight).sum((1, 2)) / weight.sum(), rtol=1e-12)
        error = np.sqrt(((cube.rate_error * weight) ** 2).sum((1, 2))) / weight.sum()
        assert_allclose(np.ptp(ends[..., 1], axis=1), 2 * error, rtol=1e-9)


def test_every_axis_has_a_unit(cube):
    figure = cube_figure(cube)
    assert len(figure.axes) == 2 * 2 + 2  # images with a bar each, spectra, profiles
    for number, axes in enumerate(figure.axes):
        labels = axes.get_xlabel(), axes.get_ylabel()
        # The first image says what is to the left of all.
        assert all(
            any(unit in x for unit in ("/ deg", "/ TeV", "/ (s", "/ mean")) for x in labels if x
        )
        assert any(labels), number


def test_radial_profile(axes):
    """By hand, pixel by pixel; one without a rate is left out, and so is its solid angle."""
    rng = np.random.default_rng(3)
    rate, error = rng.random((2, *axes.shape))
    rate[1, 2, 3] = np.nan
    cube = BackgroundCube(axes, rate, error)
    profiles = axes_called(cube_figure(cube), "radial profiles")
    middle, found, ends = drawn(profiles)[spans(cube, 1)[0]]
    half = (middle[1] - middle[0]) / 2
    known = np.isfinite(rate[1])
    mean = (rate[1] * axes.solid_angle)[known].sum() / axes.solid_angle[known].sum()
    assert middle[-1] + half > axes.offset.max()
    for x, value, (low, high) in zip(middle, found, ends[..., 1], strict=True):
        top = bottom = square = 0.0
        for i, j in itertools.product(range(axes.shape[1]), range(axes.shape[2])):
            if abs(axes.offset[i, j] - x) < half and known[i, j]:
                top += rate[1, i, j] * axes.solid_angle[i, j]
                bottom += axes.solid_angle[i, j]
                square += (error[1, i, j] * axes.solid_angle[i, j]) ** 2
        assert_allclose(value, top / bottom / mean, rtol=1e-12)
        assert_allclose(high - low, 2 * np.sqrt(square) / bottom / mean, rtol=1e-9)
    without = axes_called(cube_figure(replace(cube, rate_error=None)), "radial profiles")
    assert not drawn(without)[spans(cube, 1)[0]][2].size


def test_energies_hold_something_and_differ(cube):
    def shown(cube):
        return [a.get_title("left") for a in cube_figure(cube).axes if a.images]

    assert shown(cube) == spans(cube, 1, 2)
    rate = np.repeat(cube.rate, 5, axis=0)
    long = BackgroundCube(replace(cube.axes, energy=np.geomspace(0.1, 20, 21)), rate)
    assert shown(long) == spans(long, 4, 8, 11, 15)
    rate[10:] = 0
    assert set(shown(replace(long, rate=rate))) <= set(spans(long, *range(10)))


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
    assert "exists; " in err
    assert run("there/a$x_$<b>.fits.gz", "--overwrite")[0] == 0
    code, _, err = run("there/a$x_$<b>.fits.gz", "--out", "b.jpg")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "got the ending '.jpg', expected .png or .pdf" in err
    assert run("nothing.fits")[0] == 2
    assert sorted(os.listdir()) == ["a$x_$<b>.png", "there"]


def test_colours_of_nothing_but_negative_rates(cube):
    """They span the rates, not up to an arbitrary 1."""
    figure = cube_figure(replace(cube, rate=-cube.rate))
    assert figure.axes[0].images[0].get_clim() == (-cube.rate[0].max(), 0)


def test_rings_are_drawn_as_rings():
    """A disc at each energy with the rates of the rings; rings without a rate have no curve."""
    energy, offset = np.geomspace(0.1, 50, 7), np.array([0.0, 0.5, 1.0, 2.0])
    rate = 1e-4 * energy[:-1, None] ** -2.7 * np.array([1.0, 0.7, 0.0])
    figure = radial_figure(RadialModel(energy, offset, rate))
    spectra = drawn(axes_called(figure, "spectra"))
    assert len(spectra) == 2
    for (x, y, _), ring in zip(spectra.values(), (0, 1), strict=True):
        assert_allclose(x, np.sqrt(energy[1:] * energy[:-1]))
        assert_allclose(y, rate[:, ring])
    discs = [axes for axes in figure.axes if "fov_lon" in axes.get_xlabel()]
    assert len(discs) == 4
    (mesh,) = discs[0].collections
    corners = mesh.get_coordinates()
    assert_allclose(np.hypot(*np.moveaxis(corners, -1, 0)), np.tile(offset[:, None], 181))
    shown = np.asarray(mesh.get_array())
    assert any(np.allclose(shown, row[:, None]) for row in rate)
