"""BKG_3D files, read by gammapy and written by it; what stands beside the rate."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from support.smooth_fields import expected_counts, field_axes, stack_with

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube, write_cube
from simbg.observations.stacked_counts import EventRecord
from simbg.reconstruction.spline.method import Spline

# Values pass one or two multiplications in double precision on their way.
ROUNDING = 4e-16
# 100 × 100 in a file of single precision.
SINGLE = 1e-7


@pytest.fixture
def background3d():
    """gammapy's reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.irf").Background3D


def test_what_made_a_cube_is_read_back(cube, tmp_path):
    meta = {"METHOD": "mine", "N_OBS": 3, "GROUP_ID": 27}
    replace(cube, meta={**meta, "OTHER": 1}).write(tmp_path / "cube.fits")
    assert BackgroundCube.read(tmp_path / "cube.fits").meta == meta


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
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_to_gammapy_is_what_gammapy_reads(tmp_path, cube, align, background3d):
    """With a bin that was not exposed, and energies below all thresholds."""
    rate = cube.rate.copy()
    rate[0], rate[2, 3, 4] = np.nan, np.nan
    cube = replace(cube, rate=rate, axes=replace(cube.axes, align=align))
    cube.write(tmp_path / "cube.fits")
    theirs, ours = background3d.read(tmp_path / "cube.fits"), cube.to_gammapy()
    assert type(ours) is background3d
    assert_array_equal(ours.data, theirs.data)
    assert (ours.unit, ours.fov_alignment) == (theirs.unit, theirs.fov_alignment)
    for name in ours.axes.names:
        assert_array_equal(ours.axes[name].edges, theirs.axes[name].edges)
    # By coordinate, off the middle: the rate per observation time of the bin.
    i, j, k = 1, 4, 7
    got = ours.evaluate(
        **{
            name: ours.axes[name].center[n]
            for name, n in zip(ours.axes.names, (i, j, k), strict=True)
        }
    )
    expected = cube.per("ontime").rate[i, j, k]
    assert got.to_value("s-1 MeV-1 sr-1") == pytest.approx(expected, rel=1e-13)


def test_without_gammapy_the_error_says_so(cube, monkeypatch):
    monkeypatch.setitem(sys.modules, "gammapy.irf", None)
    with pytest.raises(ImportError, match="gammapy") as error:
        cube.to_gammapy()
    assert "\n" not in str(error.value)


def test_version_of_the_format(tmp_path, cube):
    """A file without it is read as one of version 1; a newer one is an error in one line."""
    path = tmp_path / "cube.fits"
    for version in (None, 1, 2):
        write_cube(path, cube, overwrite=True)
        assert fits.getheader(path, "SUPPLEMENT")["FORMAT"] == 1
        with fits.open(path, mode="update") as file:
            del file["SUPPLEMENT"].header["FORMAT"]
            if version:
                file["SUPPLEMENT"].header["FORMAT"] = version
        if version == 2:
            with pytest.raises(ValueError, match=r"cube\.fits: SUPPLEMENT: .* 2, .* 1 ") as error:
                read_cube(path)
            assert "\n" not in str(error.value)
        else:
            assert_array_equal(read_cube(path).counts, cube.counts)


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


def spline_cube():
    """A cube of `spline` with bins without exposure and 10 % dead time."""
    axes = field_axes(5, 6, 4)
    livetime = np.full(axes.shape, 1e4)
    livetime[0] = livetime[2, :2, :2] = 0
    counts = np.random.default_rng(0).poisson(expected_counts(axes, 3e3)) * (livetime > 0)
    return Spline().estimate(stack_with(axes, counts, livetime))


def test_correlated_errors_are_read_back(tmp_path):
    cube = spline_cube()
    cube.write(tmp_path / "cube.fits.gz")
    read = BackgroundCube.read(tmp_path / "cube.fits.gz")
    assert_array_equal(read.extrapolated, cube.livetime == 0)
    assert read.meta == cube.meta
    # 10 % dead time, also in bins without exposure.
    for name in ("rate", "rate_error"):
        assert_allclose(1.1 * getattr(read, name), getattr(cube, name), rtol=1e-14)
    band = np.array([0, 0, 1, 1, 0])[:, None, None] * cube.axes.volume
    # The factor has single precision.
    assert_allclose(1.1 * read.error_of_sum(band), cube.error_of_sum(band), rtol=1e-6)
    with fits.open(tmp_path / "cube.fits.gz") as file:
        assert_array_equal(file["ERROR"].data["ERROR"][0].T, read.rate_error)


@pytest.mark.gammapy
def test_gammapy_reads_a_cube_with_correlated_errors(tmp_path, background3d):
    cube = spline_cube()
    cube.write(tmp_path / "cube.fits")
    for hdu in ("BACKGROUND", None):
        words = {} if hdu is None else {"hdu": hdu}
        theirs = background3d.read(tmp_path / "cube.fits", **words)
        assert_allclose(theirs.data, cube.per("ontime").rate, rtol=ROUNDING)


def test_a_newer_covariance_is_refused(tmp_path):
    spline_cube().write(tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits", mode="update") as file:
        file["COVARIANCE"].header["FORMAT"] = 99
    with pytest.raises(ValueError, match=r"COVARIANCE.*99"):
        BackgroundCube.read(tmp_path / "cube.fits")


# Runs -------------------------------------------------------------------------------------

MANY = EventRecord.of((20000 + k, 1000 + k, (-1) ** k * 3**39 + k) for k in range(3000)[::-1])


@pytest.mark.gammapy
def test_runs_are_read_back_and_gammapy_reads_the_file(tmp_path, cube, background3d):
    """Of thousands of runs, in a table and not in the header."""
    paths = [tmp_path / name for name in ("few.fits", "many.fits")]
    for path, record in zip(paths, (None, MANY), strict=True):
        write_cube(path, replace(cube, made_from=record))
    few, many = (read_cube(path) for path in paths)
    assert few.made_from is None
    for name in ("obs_id", "n_events", "digest"):
        assert_array_equal(getattr(many.made_from, name), getattr(MANY, name))
    with fits.open(paths[1]) as file:
        assert file["RUNS"].header["DIGEST"] == MANY.total
        assert len(file["BACKGROUND"].header) < 100
    theirs = [background3d.read(path, hdu="BACKGROUND") for path in paths]
    assert_array_equal(*(one.data for one in theirs))
    # 24 bytes a run, in blocks of FITS, and a header.
    assert paths[1].stat().st_size - paths[0].stat().st_size <= 24 * len(MANY) + 3 * 2880


def test_a_damaged_table_of_runs_is_an_error(tmp_path, cube):
    write_cube(tmp_path / "cube.fits", replace(cube, made_from=MANY))
    with fits.open(tmp_path / "cube.fits") as file:
        file["RUNS"].data["OBS_ID"][7] = 1
        file.writeto(tmp_path / "changed.fits")
    with pytest.raises(ValueError, match=f"DIGEST '{MANY.total}'"):
        read_cube(tmp_path / "changed.fits")


@pytest.mark.parametrize("column", ["COUNTS", "LIVETIME", "ONTIME", "BKG_ERR"])
@pytest.mark.parametrize("value", [-1.0, 1e308, np.inf])
def test_a_supplement_holds_what_can_be(tmp_path, column, value):
    axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
    cube = BackgroundCube(axes, *(np.ones(axes.shape) for _ in range(5)))
    write_cube(tmp_path / "cube.fits", cube)
    with fits.open(tmp_path / "cube.fits", mode="update") as file:
        file["SUPPLEMENT"].data[column][0, 0, 0, 0] = value
    expected = rf"cube\.fits: SUPPLEMENT: {column}: got 1 of 8 .*expected 0 to"
    with pytest.raises(ValueError, match=expected):
        read_cube(tmp_path / "cube.fits")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_edges_that_are_not_finite_are_refused(tmp_path, cube, value):
    write_cube(tmp_path / "cube.fits", cube)
    with fits.open(tmp_path / "cube.fits", mode="update") as file:
        file[1].data["DETX_LO"][0, 1] = value
    with pytest.raises(ValueError, match=r"cube\.fits: BACKGROUND: DETX: got 1 of .* finite"):
        read_cube(tmp_path / "cube.fits")
