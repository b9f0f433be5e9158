"""``--radial``: BKG_2D models of groups; they are compared and drawn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import simbg
from simbg.cube import BackgroundCube
from simbg.radial import RadialModel

RADIAL, CUBE = (f"out/bg_cube_model_group0_{kind}.fits.gz" for kind in ("radial", "gadf"))


@pytest.fixture
def models(run, place):
    options = ("--exclude", "none", "--group-by", "runs:3", "--jobs", "1", "--radial")
    bins = ("--energy", "0.2,0.5,1,100", "--fov", "2:8")
    assert run("reconstruct", place / "gadf", "out", *options, *bins)[0] == 0


def test_radial_copy_is_that_of_python(models, place):
    model, cube = RadialModel.read(RADIAL), BackgroundCube.read(CUBE)
    assert_array_equal(model.energy, cube.axes.energy)
    assert_allclose(model.offset, [0, 0.5, 1, 1.5, 2])
    assert model.meta["GROUP_ID"] == cube.meta["GROUP_ID"] == 0
    expected = simbg.reconstruct_radial(simbg.open_store(place / "gadf"), cube.axes)
    assert_array_equal(model.counts, expected.counts)
    assert_allclose(model.per("livetime").rate, expected.rate, rtol=1e-14)


def test_compare_and_plot_take_it(models, run):
    assert run("plot", RADIAL, "--out", "radial.png")[0] == 0
    code, out, _ = run("compare", RADIAL, RADIAL)
    assert (code, "agree" in out) == (0, True)
    # The cube of the same events, in the pixels within the rings: the integral is the same.
    code, out, _ = run("compare", RADIAL, CUBE)
    comparison = simbg.compare(RADIAL, CUBE)
    assert code == (0 if comparison.agree else 1)
    norm = comparison.measures["norm"]
    assert abs(norm.value - 1) < 4 * norm.error + 0.01
    assert not any("no rate" in problem for problem in comparison.problems)


def test_rings_in_pixels():
    """Inside of a ring its rate, beyond the last one NaN, across an edge in between."""
    rate = np.array([[4.0, 2.0, 1.0]])
    model = RadialModel([1, 2], [0, 1, 2, 3], rate, clock="ontime")
    edges = np.linspace(-3, 3, 13)
    image = model.cube(simbg.Axes([1, 2], edges, edges)).rate[0]
    assert image[6, 6] == 4
    assert image[8, 6] == 2
    assert np.isnan(image[0, 0])
    assert 2 < image[7, 7] < 4
    with pytest.raises(ValueError, match="energies"):
        model.cube(simbg.Axes([1, 3], edges, edges))
