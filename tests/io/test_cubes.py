"""Cube files, read by others: gammapy, astropy and 2015's published files."""

import warnings
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
# 100 × 100 in a file of single precision.
SINGLE = 1e-7
# A header has 16 digits of each number; energies pass a logarithm besides.
WCS_ROUNDING = 2e-14


@pytest.fixture
def background3d():
    """gammapy's reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.irf").Background3D


def edges(hdu, name):
    return np.append(hdu.data[f"{name}_LO"][0], hdu.data[f"{name}_HI"][0][-1])


@pytest.mark.gammapy
def test_gammapy_reads_axes_unit_and_alignment(tmp_path, cube, background3d):
    write_cube(tmp_path / "cube.fits.gz", cube)
    theirs = background3d.read(tmp_path / "cube.fits.gz")
    assert theirs.axes.names == ["energy", "fov_lon", "fov_lat"]
    assert str(theirs.unit) == "1 / (MeV s sr)"
    assert theirs.fov_alignment.value == "ALTAZ"
    for axis, expected, unit in (
        ("energy", cube.axes.energy, "TeV"),
        ("fov_lon", cube.axes.fov_lon, "deg"),
        ("fov_lat", cube.axes.fov_lat, "deg"),
    ):
        # gammapy keeps logarithms of energy edges: a few roundings more.
        assert_allclose(theirs.axes[axis].edges.to_value(unit), expected, rtol=2e-15, atol=1e-15)


@pytest.mark.gammapy
def test_gammapy_finds_every_value_at_its_place_per_observation_time(tmp_path, cube, background3d):
    write_cube(tmp_path / "cube.fits", cube)
    theirs = background3d.read(tmp_path / "cube.fits")
    expected = cube.rate * cube.livetime / cube.ontime
    assert_allclose(theirs.data, expected, rtol=ROUNDING, atol=0)
    # Not by array index but by coordinate, off the middle in each direction.
    i, j, k = 2, 4, 7
    got = theirs.evaluate(
        energy=theirs.axes["energy"].center[i],
        fov_lon=theirs.axes["fov_lon"].center[j],
        fov_lat=theirs.axes["fov_lat"].center[k],
    )
    # An interpolation in logarithms: exp(log(x)).
    assert_allclose(got.to_value("s-1 MeV-1 sr-1"), expected[i, j, k], rtol=1e-13, atol=0)
    assert not np.isclose(expected[i, j, k], cube.rate[i, j, k], rtol=0.05, atol=0)


@pytest.mark.gammapy
def test_radec_alignment_arrives(tmp_path, cube, background3d):
    axes = replace(cube.axes, align="RADEC")
    write_cube(tmp_path / "cube.fits", replace(cube, axes=axes))
    assert background3d.read(tmp_path / "cube.fits").fov_alignment.value == "RADEC"
    assert read_cube(tmp_path / "cube.fits").axes.align == "RADEC"


@pytest.mark.gammapy
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_files_of_gammapy_are_read(tmp_path, cube, background3d, align):
    from gammapy.maps import MapAxis

    theirs = background3d(
        axes=[
            MapAxis.from_energy_edges(cube.axes.energy, unit="TeV"),
            MapAxis.from_edges(cube.axes.fov_lon, unit="deg", name="fov_lon"),
            MapAxis.from_edges(cube.axes.fov_lat, unit="deg", name="fov_lat"),
        ],
        data=cube.rate * 1e6,
        unit="s-1 TeV-1 sr-1",
        fov_alignment=align,
        meta={"FOVALIGN": align},
    )
    fits.HDUList([fits.PrimaryHDU(), theirs.to_table_hdu()]).writeto(tmp_path / "theirs.fits")
    ours = read_cube(tmp_path / "theirs.fits")
    assert_allclose(ours.rate, cube.rate, rtol=ROUNDING, atol=0)
    assert_allclose(ours.axes.energy, cube.axes.energy, rtol=2e-15)
    assert_allclose(ours.axes.fov_lon, cube.axes.fov_lon, atol=1e-15)
    assert (ours.clock, ours.axes.align) == ("ontime", align)


@pytest.mark.gammapy
@pytest.mark.gammapy_data
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")  # gammapy's, of 1/s/MeV/sr
def test_cta_1dc(gammapy_data, background3d):
    path = gammapy_data / "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits"
    ours, theirs = read_cube(path), background3d.read(path, hdu="BACKGROUND")
    assert ours.axes.shape == (21, 36, 36)
    assert ours.clock == "ontime"
    assert ours.axes.align == "ALTAZ"  # what the format says of a file that does not
    # gammapy takes the (DETX, DETY, ENERG) of this file for (DETY, DETX, ENERG).
    assert_array_equal(ours.rate, theirs.data.transpose(0, 2, 1))
    assert_allclose(ours.axes.energy, theirs.axes["energy"].edges.to_value("TeV"), rtol=SINGLE)
    assert_allclose(ours.axes.fov_lon, theirs.axes["fov_lon"].edges.to_value("deg"), atol=1e-6)


def gadf_hdu(cube, order, cref=True):
    """A BKG_3D made by hand, its array in this order of axes (fastest first)."""
    names = {"ENERG": ("energy", "TeV"), "DETX": ("fov_lon", "deg"), "DETY": ("fov_lat", "deg")}
    columns = []
    for name, (axis, unit) in names.items():
        values = getattr(cube.axes, axis)
        for end, part in (("LO", values[:-1]), ("HI", values[1:])):
            columns.append(fits.Column(f"{name}_{end}", f"{part.size}D", unit, array=part[None]))
    slowest_first = [list(names).index(name) for name in order[::-1]]
    data = cube.rate.transpose(slowest_first)
    dim = str(data.shape[::-1]).replace(" ", "")
    columns.append(fits.Column("BKG", f"{data.size}D", "s-1 MeV-1 sr-1", dim=dim, array=data[None]))
    hdu = fits.BinTableHDU.from_columns(columns, name="BACKGROUND")
    if cref:
        hdu.header["CREF7"] = "(" + ",".join(f"{name}_LO:{name}_HI" for name in order) + ")"
    return hdu


@pytest.mark.parametrize(
    ("order", "cref"),
    [
        (("ENERG", "DETX", "DETY"), True),
        (("ENERG", "DETX", "DETY"), False),
        (("DETX", "DETY", "ENERG"), True),
        (("DETX", "DETY", "ENERG"), False),
        (("DETY", "DETX", "ENERG"), True),
    ],
)
def test_axis_order_of_a_file_is_what_it_says_or_what_fits(tmp_path, cube, order, cref):
    gadf_hdu(cube, order, cref).writeto(tmp_path / "cube.fits")
    assert_array_equal(read_cube(tmp_path / "cube.fits").rate, cube.rate)


@pytest.mark.parametrize("order", [("ENERG", "DETX", "DETY"), ("DETX", "DETY", "ENERG")])
def test_cref_decides_where_lengths_cannot(tmp_path, order):
    edge = np.linspace(1, 4, 4)
    rate = np.arange(27.0).reshape(3, 3, 3)
    cube = BackgroundCube(Axes(edge, edge, edge), rate)
    gadf_hdu(cube, order).writeto(tmp_path / "cube.fits")
    assert_array_equal(read_cube(tmp_path / "cube.fits").rate, rate)


def test_gadf_header(tmp_path, cube):
    write_cube(tmp_path / "cube.fits", replace(cube, meta={"METHOD": "x", "N_OBS": 3}))
    header = fits.getheader(tmp_path / "cube.fits", "BACKGROUND")
    for key, value in {
        "HDUCLASS": "GADF",
        "HDUVERS": "0.3",
        "HDUCLAS1": "RESPONSE",
        "HDUCLAS2": "BKG",
        "HDUCLAS3": "FULL-ENCLOSURE",
        "HDUCLAS4": "BKG_3D",
        "FOVALIGN": "ALTAZ",
        "CREF7": "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)",
        "TTYPE7": "BKG",
        "TUNIT7": "s-1 MeV-1 sr-1",
        "TDIM7": "(4,6,8)",
        "METHOD": "x",
        "N_OBS": 3,
    }.items():
        assert header[key] == value, key


def test_gadf_needs_the_observation_time(tmp_path, cube):
    """A rate per livetime in a GADF file would be read as one per observation time."""
    with pytest.raises(ValueError, match="ontime"):
        write_cube(tmp_path / "cube.fits", replace(cube, ontime=None))
    assert not list(tmp_path.iterdir())


def test_gadf_tells_a_hole_from_an_energy_below_threshold(tmp_path, cube):
    """A pixel without exposure is no number, an energy without any is 0, in any reader."""
    rate = cube.rate.copy()
    rate[1, 2, 3] = np.nan
    rate[0] = np.nan
    write_cube(tmp_path / "cube.fits", replace(cube, rate=rate))
    written = fits.getdata(tmp_path / "cube.fits", "BACKGROUND")["BKG"][0].transpose(2, 1, 0)
    assert np.isnan(written[1, 2, 3])
    assert np.isnan(written).sum() == 1
    assert not written[0].any()
    assert np.isnan(read_cube(tmp_path / "cube.fits").rate[1, 2, 3])


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


def test_standard_binning_survives(tmp_path):
    axes = edition2015_axes()
    write_cube(tmp_path / "c.fits.gz", BackgroundCube(axes, np.ones(axes.shape)), "table")
    read = read_cube(tmp_path / "c.fits.gz").axes
    assert_array_equal(read.energy, axes.energy)
    assert_array_equal(read.fov_lon, axes.fov_lon)


def test_same_bytes_every_time(tmp_path, cube):
    for name in ("a.fits.gz", "b.fits.gz"):
        write_cube(tmp_path / name, cube)
    assert (tmp_path / "a.fits.gz").read_bytes() == (tmp_path / "b.fits.gz").read_bytes()


def test_unknown_format(tmp_path, cube):
    with pytest.raises(ValueError, match=r"got 'root', expected one of \['gadf'"):
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


def test_gadf_gives_back_the_whole_cube(cube, tmp_path):
    """Errors, counts and both clocks, bin by bin; unexposed bins are NaN again."""
    gone = np.zeros(cube.axes.shape, bool)
    gone[1, 2, 3] = True
    empty = {
        name: np.where(gone, 0.0, getattr(cube, name)) for name in ("counts", "livetime", "ontime")
    }
    cube = replace(cube, rate=np.where(gone, np.nan, cube.rate), **empty)
    write_cube(tmp_path / "c.fits", cube)
    back = read_cube(tmp_path / "c.fits").per("livetime")
    for name in ("rate", "rate_error", "counts", "livetime", "ontime"):
        # Two conversions of the clock, each right to the last bit or so.
        np.testing.assert_allclose(
            getattr(back, name)[~gone], getattr(cube, name)[~gone], rtol=1e-15, atol=0
        )
    assert np.isnan(back.rate[gone]).all()
