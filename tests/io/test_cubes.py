"""Cube files of any format: there and back, and what is no cube."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube, write_cube

# Values pass one or two multiplications in double precision on their way.
ROUNDING = 4e-16


@pytest.mark.parametrize("energy_unit", ["MeV", "TeV"])
@pytest.mark.parametrize("format", ["gadf", "table", "image"])
@pytest.mark.parametrize("name", ["cube.fits", "cube.fits.gz"])
def test_round_trip(tmp_path, cube, format, energy_unit, name):
    write_cube(tmp_path / name, cube, format, energy_unit)
    read = read_cube(tmp_path / name)
    assert read.axes.same_as(cube.axes)
    assert_allclose(read.rate, cube.per(read.clock).rate, rtol=ROUNDING, atol=0)
    assert read.clock == ("ontime" if format == "gadf" else "livetime")


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
@pytest.mark.parametrize("shape", [(1, 3, 2), (3, 1, 2), (3, 2, 1), (1, 1, 1)])
def test_axes_of_one_bin(tmp_path, format, shape):
    """What a table gives as a number is an axis all the same."""
    axes = Axes(*(np.arange(1.0, n + 2) for n in shape))
    rate = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    time = np.full(shape, 10.0)
    write_cube(tmp_path / "c.fits", BackgroundCube(axes, rate, ontime=time, livetime=time), format)
    read = read_cube(tmp_path / "c.fits")
    assert read.axes.same_as(axes)
    assert_allclose(read.rate, rate, rtol=ROUNDING)


def test_same_bytes_every_time(tmp_path, cube):
    for name in ("a.fits.gz", "b.fits.gz"):
        write_cube(tmp_path / name, cube)
    assert (tmp_path / "a.fits.gz").read_bytes() == (tmp_path / "b.fits.gz").read_bytes()


def test_unknown_format(tmp_path, cube):
    with pytest.raises(ValueError, match=r"root.*gadf.*image.*table"):
        write_cube(tmp_path / "c.fits", cube, "root")


def test_existing_file_is_kept(tmp_path, cube):
    path = tmp_path / "cube.fits"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_cube(path, cube)
    assert path.read_text() == "mine"
    write_cube(path, cube, overwrite=True)
    read_cube(path)


def spoilt(change):
    """A file of a good cube, with one thing changed."""

    def write(path, cube):
        write_cube(path, cube)
        with fits.open(path) as file:
            change(file)
            file.writeto(path, overwrite=True)

    write.__name__ = change.__name__
    return write


def no_axis(file):
    file[1].columns.del_col("DETX_HI")


def wrong_unit(file):
    file[1].columns["BKG"].unit = "m"


def wrong_alignment(file):
    file[1].header["FOVALIGN"] = "CAMERA"


def falling_energies(file):
    file[1].data["ENERG_LO"][0][:] = 1


def image_only(path, cube):
    fits.PrimaryHDU(cube.rate).writeto(path)


def image_extension(path, cube):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube.rate)]).writeto(path)


def text(path, cube):
    path.write_text("no FITS")


@pytest.mark.parametrize(
    "write",
    [image_only, image_extension, text]
    + [spoilt(f) for f in (no_axis, wrong_unit, wrong_alignment, falling_energies)],
)
def test_what_is_no_cube_is_one_error_that_names_the_file(tmp_path, cube, write):
    path = tmp_path / "cube.fits"
    write(path, cube)
    with pytest.raises(ValueError, match=r"cube\.fits"):
        read_cube(path)


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
@pytest.mark.parametrize("name", ["cube.fits", "cube.fits.gz"])
def test_a_cut_file_is_an_error_wherever_it_is_cut(tmp_path, cube, format, name):
    write_cube(tmp_path / name, cube, format)
    content = (tmp_path / name).read_bytes()
    cuts = {*np.linspace(0, len(content) - 1, 25).astype(int).tolist(), len(content) - 5}
    for cut in cuts:
        (tmp_path / name).write_bytes(content[:cut])
        with pytest.raises(ValueError, match="cube"):
            read_cube(tmp_path / name)


def test_a_flipped_bit_in_a_compressed_file_is_an_error(tmp_path, cube):
    write_cube(tmp_path / "c.fits.gz", cube)
    content = bytearray((tmp_path / "c.fits.gz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "c.fits.gz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"c\.fits\.gz"):
        read_cube(tmp_path / "c.fits.gz")
