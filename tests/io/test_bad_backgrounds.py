"""Background files with faults reported for other programs: each error names its place."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube, write_cube
from simbg.simulation.scenario import Scenario
from simbg.truth.from_file import CubeTruth
from simbg.validation.comparison.compare import compare
from simbg.validation.figures.one_cube import plot_file


@pytest.fixture
def path(tmp_path, cube):
    write_cube(tmp_path / "cube.fits", cube)
    return tmp_path / "cube.fits"


def refused(path, *words):
    """The file is refused, in one line that has its name and these words."""
    with pytest.raises(ValueError, match="expected") as error:
        read_cube(path)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in (path.name, *words)), message


@pytest.mark.parametrize(
    "unit", [None, "counts/s/MeV/sr", "ph s-1 MeV-1 sr-1", "unknown", "s-1 sr-1"]
)
def test_a_rate_needs_its_unit(path, unit):
    with fits.open(path, mode="update") as file:
        header = file["BACKGROUND"].header
        header["TUNIT7"] = unit or ""
        if unit is None:
            del header["TUNIT7"]
    refused(path, "BKG", "unit")


def test_one_table_for_several_zenith_angles(path):
    with fits.open(path) as file:
        hdu = file["BACKGROUND"]
        rows = fits.BinTableHDU(np.concatenate([hdu.data] * 3), hdu.header, name="BACKGROUND")
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(path, overwrite=True)
    refused(path, "BACKGROUND", "3 rows")


@pytest.mark.parametrize(("column", "bin"), [("ENERG_HI", 2), ("DETX_LO", 1), ("DETY_HI", 0)])
@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_bins_with_gaps_or_overlaps(path, column, bin, shift):
    """A shift by 0.3 of a bin is a fault; the rounding of single precision is none."""
    values = fits.getdata(path, "BACKGROUND")[column][0]
    width = np.diff(values)[0]
    with fits.open(path, mode="update") as file:
        file["BACKGROUND"].data[column][0] = values.astype(np.float32)
    read_cube(path)
    with fits.open(path, mode="update") as file:
        file["BACKGROUND"].data[column][0, bin] = values[bin] + shift * width
    refused(path, column[:4])


def test_a_map_of_the_sky(tmp_path):
    image = fits.ImageHDU(np.ones((5, 10, 10)), name="BACKGROUND")
    table = fits.BinTableHDU.from_columns([fits.Column("PIX", "D", array=np.ones(3))])
    table.name = "BACKGROUND"
    for hdu in (image, table):
        path = tmp_path / "map.fits"
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
        refused(path, "BACKGROUND", "table")


@pytest.mark.parametrize("value", [-1e-6, np.inf])
def test_a_truth_names_the_file_of_an_impossible_rate(path, value):
    with fits.open(path, mode="update") as file:
        file["BACKGROUND"].data["BKG"][0, 2, 1, 1] = value
    with pytest.raises(ValueError, match=r"cube\.fits.*rate.*expected"):
        CubeTruth.read(path)


def test_a_figure_names_negative_rates(path, tmp_path, caplog):
    plot_file(path, tmp_path / "cube.png")
    assert not caplog.records
    with fits.open(path, mode="update") as file:
        file["BACKGROUND"].data["BKG"][0, 2, 1, 1] *= -1
    plot_file(path, tmp_path / "other.png")
    assert "cube.fits" in caplog.text
    assert "negative" in caplog.text


def test_cubes_that_know_the_same_bins_agree(cube):
    """Without livetime nobody says that the bins without a rate had an exposure."""
    rate = cube.rate.copy()
    rate[:, 0, 0] = np.nan
    bare = BackgroundCube(cube.axes, rate)
    assert compare(bare, bare).agree
    assert not compare(BackgroundCube(cube.axes, cube.rate), bare).agree


def test_unknown_order_of_axes_is_said(tmp_path, caplog):
    edges = np.linspace(1, 4, 4)
    cube = BackgroundCube(Axes(edges, edges, edges), np.arange(27.0).reshape(3, 3, 3))
    write_cube(tmp_path / "cube.fits", replace(cube, clock="ontime"))
    read_cube(tmp_path / "cube.fits")
    assert not caplog.records
    with fits.open(tmp_path / "cube.fits", mode="update") as file:
        del file["BACKGROUND"].header["CREF7"]
    assert_allclose(read_cube(tmp_path / "cube.fits").rate, cube.rate)
    assert "cube.fits" in caplog.text
    assert "CREF" in caplog.text


def test_a_rate_that_is_too_large_to_simulate(path):
    """A rate per TeV that is given as per MeV."""
    Scenario.from_file(path)
    with fits.open(path, mode="update") as file:
        file["BACKGROUND"].data["BKG"] *= 1e12
    with pytest.raises(ValueError, match=r"cube\.fits.*events.*unit"):
        Scenario.from_file(path)
