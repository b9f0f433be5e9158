"""Objects of gammapy in and out: observations, backgrounds, and models for observations."""

import warnings
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from support.gammapy_rule import integrals_of_gammapy

import simbg
from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import write_bkg_2d
from simbg.reconstruction.histogram import Histogram

pytestmark = [
    pytest.mark.gammapy,
    pytest.mark.filterwarnings("ignore::Warning:gammapy"),
    pytest.mark.filterwarnings("ignore:.*Pydantic:DeprecationWarning"),
]
AXES = Axes([0.2, 0.5, 1, 3, 100], np.linspace(-3, 3, 13), np.linspace(-2, 2, 9))
# Times as gammapy has them: days in two numbers.
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def gammapy_data_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.data")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "store"
    simbg.simulate("source", seed=2, n_obs=4).write(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(store, gammapy_data_module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_store = gammapy_data_module.DataStore.from_dir(store)
        return data_store.get_observations(required_irf=["aeff"])


@pytest.fixture
def mask(theirs):
    """A mask about the first pointing, as an image of gammapy."""
    from gammapy.maps import WcsGeom, WcsNDMap

    center = theirs[0].pointing.fixed_icrs
    geom = WcsGeom.create(skydir=center, width=4, binsz=0.05, frame="galactic", proj="TAN")
    return WcsNDMap(geom, data=geom.separation(center).deg > 0.7)


def test_observations_of_gammapy_are_those_of_the_store(store, theirs):
    for our, their in zip(simbg.open_store(store), theirs, strict=True):
        other = simbg.reconstruct([their], AXES)
        expected = simbg.reconstruct([our], AXES)
        assert_array_equal(other.counts, expected.counts)
        assert_allclose(other.rate, expected.rate, rtol=ROUNDING)
        assert_allclose(other.ontime, expected.ontime, rtol=ROUNDING)


def test_own_bins_and_mask_from_python_and_the_shell(store, theirs, mask, tmp_path):
    """The same numbers of gammapy's observations and of the store, from Python and the command."""
    from simbg.cli.main import main

    mask.write(tmp_path / "mask.fits.gz")
    unmasked = simbg.reconstruct(theirs, AXES)
    cubes = [
        simbg.reconstruct(theirs, AXES, exclude=mask),
        simbg.reconstruct(simbg.open_store(store), AXES, exclude=tmp_path / "mask.fits.gz"),
    ]
    with pytest.raises(SystemExit) as end:
        main(
            [
                *("reconstruct", str(store), str(tmp_path / "out"), "--group-by", "runs:4"),
                *("--exclude", "none", "--exclude", str(tmp_path / "mask.fits.gz"), "--jobs", "1"),
                *("--sources", "mask", "--energy", "0.2,0.5,1,3,100", "--fov", "3:12,2:8"),
            ]
        )
    assert end.value.code == 0
    path = tmp_path / "out/bg_cube_model_group0_gadf.fits.gz"
    cubes.append(BackgroundCube.read(path).per("livetime"))
    assert cubes[0].counts.sum() < 0.97 * unmasked.counts.sum()
    for cube in cubes[1:]:
        assert_array_equal(cube.counts, cubes[0].counts)
        assert_allclose(cube.rate, cubes[0].rate, rtol=ROUNDING)
    # gammapy's own reader, and its object.
    from gammapy.irf import Background3D

    read = BackgroundCube.from_gammapy(Background3D.read(path))
    made = BackgroundCube.from_gammapy(cubes[-1].to_gammapy())
    for other in (read, made):
        assert other.axes.same_as(AXES)
        known = cubes[-1].livetime > 0
        assert_allclose(other.rate[known], cubes[-1].per("ontime").rate[known], rtol=1e-12, atol=0)


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_from_gammapy_is_what_is_read(tmp_path, cube, align):
    from gammapy.irf import Background3D

    cube = replace(cube.per("ontime"), axes=replace(cube.axes, align=align))
    cube.write(tmp_path / "cube.fits")
    other = BackgroundCube.from_gammapy(Background3D.read(tmp_path / "cube.fits"))
    assert (other.clock, other.axes.align) == ("ontime", align)
    assert other.axes.same_as(cube.axes)
    assert_allclose(other.rate, cube.rate, rtol=1e-12, atol=0)


def test_a_reversed_longitude_is_turned_round(cube):
    from gammapy.irf import Background3D, FoVAlignment

    theirs = cube.to_gammapy()
    reverse = Background3D(
        theirs.axes, theirs.data, theirs.unit, fov_alignment=FoVAlignment.REVERSE_LON_RADEC
    )
    other = BackgroundCube.from_gammapy(reverse)
    assert other.axes.align == "RADEC"
    assert_allclose(other.axes.fov_lon, -cube.axes.fov_lon[::-1], atol=1e-12)
    assert_allclose(other.rate[:, ::-1], cube.per("ontime").rate, rtol=1e-12, atol=0)


def test_a_file_without_alignment_is_altaz(tmp_path, cube, caplog):
    """GADF says ALTAZ, gammapy takes RADEC."""
    from gammapy.irf import Background3D

    cube.write(tmp_path / "cube.fits")
    with fits.open(tmp_path / "cube.fits", mode="update") as file:
        del file["BACKGROUND"].header["FOVALIGN"]
    theirs = Background3D.read(tmp_path / "cube.fits")
    assert theirs.fov_alignment.value == "RADEC"
    assert BackgroundCube.from_gammapy(theirs).axes.align == "ALTAZ"
    assert "FOVALIGN" in caplog.text


def test_rings_of_gammapy(tmp_path):
    """The cube of a Background2D is the one of its file; both have the rate of the ring."""
    from gammapy.irf import Background2D

    rate = 1e-6 * np.array([[9.0, 8, 6, 3], [5, 5, 4, 2]])
    write_bkg_2d(tmp_path / "rings.fits", [0.1, 1, 10], [0, 0.5, 1, 2, 4], rate)
    theirs = Background2D.read(tmp_path / "rings.fits")
    ours, read = BackgroundCube.from_gammapy(theirs), BackgroundCube.read(tmp_path / "rings.fits")
    assert ours.axes.same_as(read.axes)
    assert_allclose(ours.rate, read.rate, rtol=1e-12, atol=0)
    middle = ours.axes.shape[1] // 2
    assert_allclose(ours.rate[:, middle, middle], rate[:, 0], rtol=1e-12)


@pytest.mark.parametrize("wrong", [3, "text", None])
def test_what_is_no_background(wrong):
    with pytest.raises(ValueError, match="from_gammapy: got type"):
        BackgroundCube.from_gammapy(wrong)


def test_one_cube_for_all(theirs):
    cube = simbg.reconstruct(theirs, AXES)
    attached = simbg.attach(theirs, cube, fill=False)
    assert [one.obs_id for one in attached] == [one.obs_id for one in theirs]
    assert all(one.bkg is None for one in theirs)  # not changed
    for one in attached:
        assert_array_equal(one.bkg.data, cube.to_gammapy().data)


def test_models_of_off_runs_for_others(theirs):
    """The model at each zenith angle, times the norm of the run: its own predicted counts."""
    from simbg.io.gammapy_objects import observation_of

    off, on = list(theirs)[:3], list(theirs)[3:]
    ours = [observation_of(one) for one in off]
    groups = simbg.Groups.by_exposure(ours, "runs", 3)
    models = simbg.ZenithGroups(Histogram(), groups).fit(ours, AXES)
    (one,) = simbg.attach(on, models, fill=False)
    run = observation_of(on[0])
    counts = simbg.reconstruct(on, AXES).counts
    first = np.searchsorted(AXES.energy, run.energy_threshold)
    predicted = BackgroundCube.from_gammapy(one.bkg).event_rate * run.ontime
    known = np.isfinite(models.at(run).rate)
    known[:first] = False
    assert predicted[known].sum() == pytest.approx(counts[known].sum(), rel=1e-9)
    (plain,) = simbg.attach(on, models, norm=False, fill=False)
    expected = models.at(run).per("ontime")
    got = BackgroundCube.from_gammapy(plain.bkg).rate
    assert_allclose(got[known], expected.rate[known], rtol=1e-12, atol=0)


def test_models_by_number_and_of_a_folder(theirs, store, tmp_path):
    from gammapy.irf import Background3D

    from simbg.models.pipeline import reconstruct_store
    from simbg.models.selection import Selection

    selection = Selection(exclude="none", group_by="runs:4")
    reconstruct_store(store, tmp_path / "out", selection=selection, per_run=True, axes=AXES)
    attached = simbg.attach(theirs, tmp_path / "out")
    numbers = [one.obs_id for one in theirs]
    paths = [tmp_path / f"out/bg_run_{n:06d}.fits.gz" for n in numbers]
    cubes = {n: BackgroundCube.read(path) for n, path in zip(numbers, paths, strict=True)}
    for one, other, path in zip(attached, simbg.attach(theirs, cubes), paths, strict=True):
        assert_array_equal(one.bkg.data, other.bkg.data)
        assert_allclose(one.bkg.data, Background3D.read(path).data, rtol=1e-9)
    del cubes[numbers[-1]]
    with pytest.raises(ValueError, match="got models of type int"):
        simbg.attach(theirs, dict.fromkeys(numbers, 3))
    with pytest.raises(ValueError, match=f"attach: .* none of {numbers[-1]}"):
        simbg.attach(theirs, cubes)
    with pytest.raises(ValueError, match="attach: got models of type int"):
        simbg.attach(theirs, 3)
    with pytest.raises(ValueError, match="attach: got Observation, expected"):
        simbg.attach(simbg.open_store(store)[:2], cubes)


def test_old_files_of_hess_keep_the_frame_of_the_model(theirs):
    """gammapy would take a model for such a run as RADEC-aligned and reversed."""
    (one,) = [one.copy(in_memory=True) for one in list(theirs)[:1]]
    optional = {"CREATOR": "SASH FITS::EventListWriter", "HDUVERS": "0.2"}
    one._meta = one.meta.model_copy(update={"optional": optional})
    cube = simbg.reconstruct([one], AXES)
    one.bkg = cube.to_gammapy()
    assert one.bkg.fov_alignment.value == "REVERSE_LON_RADEC"
    (attached,) = simbg.attach([one], cube)
    assert attached.bkg.fov_alignment.value == "ALTAZ"
    assert one.meta.optional == optional


def test_filters_of_gammapy_apply(theirs):
    """Half of the time: the events and the time of the half."""
    one = theirs[0]
    middle = one.tstart + 0.5 * (one.gti.time_stop[-1] - one.tstart)
    first = one.select_time([one.tstart, middle])
    whole, half = simbg.reconstruct([one], AXES), simbg.reconstruct([first], AXES)
    assert half.ontime.max() == pytest.approx(whole.ontime.max() / 2, rel=1e-6)
    in_half = simbg.reconstruct([first], AXES).counts.sum()
    assert abs(in_half - whole.counts.sum() / 2) < 5 * np.sqrt(whole.counts.sum() / 4)
    assert u.Quantity(first.observation_time_duration).to_value("s") < one.gti.time_sum.to_value(
        "s"
    )


def test_empty_bins_do_not_change_predicted_counts(theirs):
    """gammapy's map of a flat model: with holes it loses counts, filled it does not."""
    from gammapy.irf import Background3D

    axes = Axes(np.geomspace(0.2, 50, 9), np.linspace(-3, 3, 31), np.linspace(-3, 3, 31))
    rng = np.random.default_rng(0)
    time = np.full(axes.shape, 1e4)
    counts = rng.poisson(np.broadcast_to(4 * axes.energy_center[:, None, None] ** -0.3, axes.shape))
    counts[5] = 0  # an energy without events
    cube = BackgroundCube(
        axes, counts / time / axes.volume, counts=counts, livetime=time, ontime=time
    )
    (one,) = simbg.attach(theirs[:1], cube)
    assert isinstance(one.bkg, Background3D)
    assert (one.bkg.data > 0).all()
    got = integrals_of_gammapy(one.bkg, axes)
    some = counts.sum(axis=(1, 2)) > 0
    assert_allclose(got.sum(axis=(1, 2))[some], cube.spectrum[some], rtol=0.01)
    inner = np.ix_(some, abs(axes.fov_lon_center) < 2, abs(axes.fov_lat_center) < 2)
    whole = cube.event_rate[inner].sum(axis=(1, 2))
    assert_allclose(got[inner].sum(axis=(1, 2)), whole, rtol=0.05)
    (holes,) = simbg.attach(theirs[:1], cube, fill=False)
    lost = integrals_of_gammapy(holes.bkg, axes)[inner].sum(axis=(1, 2))
    assert np.all(np.abs(lost / whole - 1) > 0.05)


@pytest.mark.parametrize("mean", [0.3, 3.0, 300.0])
def test_the_field_within_a_sharp_edge_keeps_its_events(theirs, mean):
    """Events within 2 deg of axes to 3 deg; the sum within 1.5 deg stays, for few and many."""
    edges = np.linspace(-3, 3, 25)
    axes = Axes(np.geomspace(0.5, 5, 4), edges, edges)
    rng = np.random.default_rng(1)
    counts = rng.poisson(np.where(axes.offset < 2, mean, 0.0), axes.shape)
    time = np.full(axes.shape, 1e4)
    cube = BackgroundCube(axes, counts / time / axes.volume, None, counts, time, time)
    (one,) = simbg.attach(theirs[:1], cube)
    assert (one.bkg.data > 0).all()
    got = integrals_of_gammapy(one.bkg, axes)
    assert_allclose(got.sum(axis=(1, 2)), cube.spectrum, rtol=0.01)
    inner = axes.offset < 1.5
    assert_allclose(got[:, inner].sum(), cube.image[inner].sum(), rtol=0.06)
