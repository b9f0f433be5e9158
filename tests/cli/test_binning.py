"""``--energy``, ``--fov`` and ``--like``: the bins of models and truths."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.cube import BackgroundCube

MODEL = "out/bg_cube_model_group0_gadf.fits.gz"
COMMON = ("--exclude", "none", "--group-by", "runs:3", "--jobs", "1")
LOGARITHMIC = np.geomspace(0.2, 50, 17)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("0.2:50:16", LOGARITHMIC),
        ("200GeV:50TeV:16", LOGARITHMIC),
        ("200:50000 GeV:16", LOGARITHMIC),
        ("0.2,0.5,1,40", [0.2, 0.5, 1, 40]),
        ("200 GeV, 500 GeV, 1 TeV, 4e1 TeV", [0.2, 0.5, 1, 40]),
        ("200,500,1e3,40000GeV", [0.2, 0.5, 1, 40]),
    ],
)
def test_energies(run, place, text, edges):
    code, *_ = run("truth", "true.fits", "--energy", text, "--fov", "2.5:20,120arcmin:16")
    assert code == 0
    axes = BackgroundCube.read("true.fits").axes
    assert_allclose(axes.energy, edges, rtol=1e-14)
    assert_allclose(axes.fov_lon, np.linspace(-2.5, 2.5, 21), atol=1e-14)
    assert_allclose(axes.fov_lat, np.linspace(-2, 2, 17), atol=1e-14)


def test_models_have_the_bins_and_the_same_events(run, place):
    """From the shell and in Python; 400 fewer events would be 20 standard deviations."""
    import simbg

    options = ("--energy", "0.2,0.5,1,100", "--fov", "2:6,3:5")
    code, *_ = run("reconstruct", place / "gadf", "out", *COMMON, *options)
    assert code == 0
    cube = BackgroundCube.read(MODEL)
    axes = Axes([0.2, 0.5, 1, 100], np.linspace(-2, 2, 7), np.linspace(-3, 3, 6))
    assert cube.axes.same_as(axes)
    expected = simbg.reconstruct(simbg.open_store(place / "gadf"), axes)
    assert_allclose(cube.per("livetime").rate, expected.rate, rtol=1e-14)


def test_one_option_keeps_the_other_default(run, place):
    for name, options in (("a", ()), ("b", ("--energy", "0.2:50:4")), ("c", ("--fov", "2:6"))):
        assert run("truth", f"{name}.fits", *options)[0] == 0
    default, energy, fov = (BackgroundCube.read(f"{name}.fits").axes for name in "abc")
    assert energy.shape == (4, *default.shape[1:])
    assert fov.shape == (default.shape[0], 6, 6)


def test_like_a_file(run, place):
    assert run("truth", "true.fits", "--energy", "0.3:30:5", "--fov", "2:8")[0] == 0
    like = ("--like", "true.fits")
    assert run("reconstruct", place / "gadf", "out", *COMMON, *like)[0] == 0
    assert BackgroundCube.read(MODEL).axes.same_as(BackgroundCube.read("true.fits").axes)


@pytest.mark.parametrize(
    "options",
    [
        ("--energy", "0.2:50"),
        ("--energy", "50:0.2:4"),
        ("--energy", "0.2:50:0"),
        ("--energy", "0.2,,3"),
        ("--energy", "1,0.5"),
        ("--energy", "200 m,1 TeV"),
        ("--energy", "nan:1:4"),
        ("--fov", "2.5"),
        ("--fov", "-2:4"),
        ("--fov", "2:4,3:5,6:7"),
        ("--fov", "2TeV:4"),
        ("--fov", "200:4"),
        ("--like", "no.fits"),
        ("--like", "no.fits", "--fov", "2:4"),
    ],
)
def test_bad_bins_are_one_line(run, place, options):
    for command in (("reconstruct", place / "gadf", "out", *COMMON), ("truth", "true.fits")):
        code, _, err = run(*command, *options)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert options[0].lstrip("-") in err or "no.fits" in err
