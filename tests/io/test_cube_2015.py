"""2015's tables and images of cubes, as astropy and 2015's published files have them."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube, write_cube

# Values pass one or two multiplications in double precision on their way.
ROUNDING = 4e-16
# A header has 16 digits of each number; energies pass a logarithm besides.
WCS_ROUNDING = 2e-14


def edges(hdu, name):
    return np.append(hdu.data[f"{name}_LO"][0], hdu.data[f"{name}_HI"][0][-1])


@pytest.mark.parametrize("energy_unit", ["MeV", "TeV"])
def test_table_has_the_layout_of_2015(tmp_path, cube, energy_unit):
    write_cube(tmp_path / "cube.fits.gz", cube, "table", energy_unit)
    scale = {"MeV": 1, "TeV": 1e6}[energy_unit]
    rate_unit = f"1 / (s sr {energy_unit})"
    with fits.open(tmp_path / "cube.fits.gz") as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "COUNTS", "LIVETIME", "BACKGROUND"]
        for name, column, unit, values in (
            ("COUNTS", "COUNTS", None, cube.counts),
            ("LIVETIME", "LIVETIME", "s", cube.livetime),
            ("BACKGROUND", "Bgd", rate_unit, cube.rate * scale),
        ):
            hdu = file[name]
            assert hdu.columns.names == [
                *("DETX_LO", "DETX_HI", "DETY_LO", "DETY_HI", "ENERG_LO", "ENERG_HI"),
                column,
            ]
            assert hdu.columns.units[:6] == ["deg"] * 4 + ["TeV"] * 2
            assert hdu.columns[column].unit == unit
            assert hdu.header["TDIM7"] == "(6,8,4)"  # (n_detx, n_dety, n_energy)
            assert hdu.header["TFORM7"] == "192D"
            assert_allclose(hdu.data[column][0], np.swapaxes(values, 1, 2), rtol=ROUNDING, atol=0)
            assert_array_equal(edges(hdu, "DETX"), cube.axes.fov_lon)
            assert_array_equal(edges(hdu, "DETY"), cube.axes.fov_lat)
            assert_array_equal(edges(hdu, "ENERG"), cube.axes.energy)


def published_table(path, cube):
    """A file as 2015's code wrote it: column formats, units and order by hand."""
    hdus = [fits.PrimaryHDU()]
    for name, column, unit, values in (
        ("COUNTS", "COUNTS", None, cube.counts),
        ("LIVETIME", "LIVETIME", "s", cube.livetime),
        ("BACKGROUND", "Bgd", "1 / (s sr TeV)", cube.rate * 1e6),
    ):
        columns = [
            fits.Column(f"{axis}_{end}", f"{part.size}D", axis_unit, array=part[None])
            for axis, axis_unit, edge in (
                ("DETX", "deg", cube.axes.fov_lon),
                ("DETY", "deg", cube.axes.fov_lat),
                ("ENERG", "TeV", cube.axes.energy),
            )
            for end, part in (("LO", edge[:-1]), ("HI", edge[1:]))
        ]
        data = np.swapaxes(values, 1, 2)[None]
        columns.append(
            fits.Column(column, f"{values.size}D", unit, dim=str(data.shape[:0:-1]), array=data)
        )
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
    fits.HDUList(hdus).writeto(path)


def test_published_layout_is_read(tmp_path, cube):
    published_table(tmp_path / "cube.fits", cube)
    read = read_cube(tmp_path / "cube.fits")
    assert read.axes.same_as(cube.axes)
    assert_allclose(read.rate, cube.rate, rtol=ROUNDING, atol=0)
    assert_array_equal(read.counts, cube.counts)
    assert_array_equal(read.livetime, cube.livetime)
    assert read.clock == "livetime"


def test_image_for_ds9(tmp_path, cube):
    write_cube(tmp_path / "image.fits", cube, "image")
    with fits.open(tmp_path / "image.fits") as file:
        header, data = file[0].header, file[0].data
        assert [header[f"CTYPE{i}"] for i in (1, 2, 3)] == ["DETX", "DETY", "ENERG"]
        assert header["DATAUNIT"] == "1 / (s sr MeV)"
        assert file["EBOUNDS"].columns["ENERGY"].unit == "TeV"
        assert_array_equal(file["EBOUNDS"].data["ENERGY"], cube.axes.energy)
        assert_array_equal(data, np.swapaxes(cube.rate, 1, 2))
        file.verify("exception")
    lon, lat, energy = pixels_to_world(header)
    assert_allclose(lon, cube.axes.fov_lon_center, rtol=WCS_ROUNDING, atol=WCS_ROUNDING)
    assert_allclose(lat, cube.axes.fov_lat_center, rtol=WCS_ROUNDING, atol=WCS_ROUNDING)
    # A linear axis is right at both ends of a logarithmic one, and nowhere else.
    ends = cube.axes.energy_center[[0, -1]]
    assert_allclose(energy[[0, -1]], ends, rtol=WCS_ROUNDING)
    assert energy[1] > 1.2 * cube.axes.energy_center[1]


def test_energies_of_an_image_are_right_in_its_logarithmic_axes(tmp_path, cube):
    write_cube(tmp_path / "image.fits", cube, "image")
    header = fits.getheader(tmp_path / "image.fits")
    lon, lat, energy = pixels_to_world(header, "A")
    # By the standard energies are in J, and wcslib's electronvolt is older than that of 2019.
    assert_allclose((energy * u.J).to_value("TeV"), cube.axes.energy_center, rtol=1e-7)
    ratio = cube.axes.energy_center / cube.axes.energy_center[0]
    assert_allclose(energy / energy[0], ratio, rtol=WCS_ROUNDING)
    assert_allclose(lon, cube.axes.fov_lon_center, rtol=WCS_ROUNDING, atol=WCS_ROUNDING)
    assert_allclose(lat, cube.axes.fov_lat_center, rtol=WCS_ROUNDING, atol=WCS_ROUNDING)
    wcs = WCS(header, key="A")
    assert wcs.world_axis_physical_types[2] == "em.energy"


@pytest.mark.parametrize("energy", [[1.0, 2, 3, 4, 5], [0.5, 2.5]])
def test_energies_of_other_images(tmp_path, energy):
    """Not logarithmic: no axes that would say so. One bin: a number, and no division by zero."""
    axes = Axes(energy, [-2.0, -1, 0, 1], [0.0, 0.5, 1])
    rate = np.arange(1.0, 1 + np.prod(axes.shape)).reshape(axes.shape)
    write_cube(tmp_path / "image.fits", BackgroundCube(axes, rate), "image")
    header = fits.getheader(tmp_path / "image.fits")
    found = pixels_to_world(header)[2]
    assert_allclose(found[[0, -1]], axes.energy_center[[0, -1]], rtol=WCS_ROUNDING)
    assert ("CTYPE3A" in header) == (len(energy) == 2)


def pixels_to_world(header, key=" "):
    """Coordinates of the centres of all pixels along each axis, as astropy has them."""
    wcs = WCS(header, key=key)
    shape = wcs.array_shape[::-1]
    # One at a time, the others away from 0: a rotation or a swap would show.
    return [
        np.broadcast_to(
            wcs.pixel_to_world_values(*(np.arange(n) if i == j else 1 for j in range(3)))[i], n
        )
        for i, n in enumerate(shape)
    ]


def test_image_of_uneven_pixels_is_refused(tmp_path, cube):
    uneven = cube.axes.fov_lon.copy()
    uneven[1] += 0.1
    with pytest.raises(ValueError, match="DETX"):
        write_cube(
            tmp_path / "image.fits", replace(cube, axes=replace(cube.axes, fov_lon=uneven)), "image"
        )


def test_standard_binning_survives(tmp_path):
    axes = edition2015_axes()
    write_cube(tmp_path / "c.fits.gz", BackgroundCube(axes, np.ones(axes.shape)), "table")
    read = read_cube(tmp_path / "c.fits.gz").axes
    assert_array_equal(read.energy, axes.energy)
    assert_array_equal(read.fov_lon, axes.fov_lon)
