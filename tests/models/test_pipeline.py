"""The whole way from a store to models, against selections and counts made by other means."""

import hashlib
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import edition2015_axes
from simbg.cli.edition2015 import main as make_bg_cube_models
from simbg.io.cubes import read_cube
from simbg.models.pipeline import GroupSummary, Summary, reconstruct_store
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.observations.store import RunList
from simbg.parallel.executors import workers
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.pointing import Site, Tracking
from simbg.truth.gaussian import GaussianTruth

SCENARIO = replace(
    SCENARIOS["night"],
    name="pipeline test",
    truth=GaussianTruth(event_rate=1.0),
    n_obs=12,
    alt_range=(15.0, 90.0),
)
EVERYWHERE = Selection(exclude=("none",))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "store"
    Experiment.of(SCENARIO, 8).write(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory, store):
    folder = tmp_path_factory.mktemp("made") / "models"
    models = reconstruct_store(store, folder, method="default", selection=EVERYWHERE)
    return folder, models.groups


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def group_of(alt, az):
    """2015's group, the slow way."""
    edges = [0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90]
    i_alt = max(i for i in range(14) if edges[i] <= alt)
    return 2 * i_alt + (90 <= az % 360 < 270)


def events_of(folder, obs_id):
    return Table.read(folder / "data" / f"simbg_obs_{obs_id:06d}.fits.gz", hdu="EVENTS")


def test_all_files_of_2015_and_gadf(models):
    folder, summaries = models
    kinds = ("table", "image", "gadf")
    expected = {f"bg_cube_model_group{s.group_id}_{k}.fits.gz" for s in summaries for k in kinds}
    expected |= {"bg_observation_table.fits.gz", "bg_observation_table_grouped.fits.gz"}
    assert {path.name for path in folder.iterdir()} == expected | {"bg_observation_groups.ecsv"}


def test_observation_tables(models, store):
    folder, _ = models
    listed = Table.read(store / "obs-index.fits.gz")
    table = Table.read(folder / "bg_observation_table.fits.gz")
    grouped = Table.read(folder / "bg_observation_table_grouped.fits.gz")
    assert table.colnames == listed.colnames
    assert grouped.colnames == [*listed.colnames, "GROUP_ID"]
    for name in listed.colnames:
        assert_array_equal(table[name], listed[name])
        assert_array_equal(grouped[name], listed[name])
    expected = [group_of(row["ALT_PNT"], row["AZ_PNT"]) for row in listed]
    assert grouped["GROUP_ID"].tolist() == expected
    # Azimuths are wrapped for grouping only.
    assert grouped["AZ_PNT"].min() >= 0
    assert len(set(expected)) > 5


def test_group_definitions(models):
    groups = Table.read(models[0] / "bg_observation_groups.ecsv")
    assert groups.colnames == ["GROUP_ID", "ALT_MIN", "ALT_MAX", "AZ_MIN", "AZ_MAX"]
    assert groups["ALT_MIN"].unit == groups["AZ_MAX"].unit == u.deg
    assert len(groups) == 28
    assert tuple(groups[27]) == (27, 72, 90, 90, 270)
    assert tuple(groups[2]) == (2, 20, 23, -90, 90)


def test_summaries_are_what_the_files_say(models, store):
    folder, summaries = models
    grouped = Table.read(folder / "bg_observation_table_grouped.fits.gz")
    assert [s.group_id for s in summaries] == sorted(set(grouped["GROUP_ID"]))
    for summary in summaries:
        rows = grouped[grouped["GROUP_ID"] == summary.group_id]
        cube = read_cube(folder / f"bg_cube_model_group{summary.group_id}_table.fits.gz")
        assert summary.n_obs == len(rows)
        assert summary.livetime == pytest.approx(rows["LIVETIME"].sum(), rel=1e-14)
        assert_allclose(cube.livetime, summary.livetime, rtol=1e-14)
        assert summary.n_events == cube.counts.sum()
        n_events = sum(len(events_of(store, obs_id)) for obs_id in rows["OBS_ID"])
        assert 0.5 * n_events < summary.n_events < n_events
        assert cube.axes.same_as(edition2015_axes(len(rows)))


def test_three_formats_hold_one_cube(models):
    folder, summaries = models
    name = f"bg_cube_model_group{summaries[0].group_id}"
    table, image, gadf = (
        read_cube(folder / f"{name}_{kind}.fits.gz") for kind in ("table", "image", "gadf")
    )
    assert_array_equal(table.rate, image.rate)
    # Per observation time: 9 % dead time. One multiplication and one division.
    assert_allclose(gadf.rate, table.rate * 0.91, rtol=1e-15)
    header = fits.getheader(folder / f"{name}_gadf.fits.gz", "BACKGROUND")
    assert header["GROUP_ID"] == summaries[0].group_id
    assert header["METHOD"] == "default"


@pytest.mark.parametrize("method", ["default", "michi", "histogram"])
def test_same_bytes_with_any_executor(tmp_path, store, method):
    found = {}
    for jobs in (None, 2, 3):
        if jobs is None:
            reconstruct_store(store, tmp_path / "0", method=method, selection=EVERYWHERE)
        else:
            with workers(jobs) as executor:
                reconstruct_store(
                    store,
                    tmp_path / str(jobs),
                    method=method,
                    selection=EVERYWHERE,
                    executor=executor,
                )
        found[jobs] = digests(tmp_path / str(jobs or 0))
    assert found[None] == found[2] == found[3]


def test_michi_starts_at_the_lowest_threshold_of_the_group(tmp_path):
    table = SCENARIO.table(8)[:3]
    table["ALT_PNT"] = 80.0
    table["AZ_PNT"] = 180.0
    table["SAFE_ENERGY_LO"] = [0.7, 0.5, 0.9]
    Experiment(SCENARIO, table, 8).write(tmp_path / "store")
    reconstruct_store(tmp_path / "store", tmp_path / "m", method="michi", selection=EVERYWHERE)
    with fits.open(tmp_path / "m" / "bg_cube_model_group27_table.fits.gz") as file:
        assert file["BACKGROUND"].data["ENERG_LO"][0, 0] == pytest.approx(0.5, rel=1e-15)
        assert file["BACKGROUND"].data["ENERG_HI"][0, -1] == pytest.approx(80, rel=1e-15)
        assert file["BACKGROUND"].columns["Bgd"].unit == "1 / (s sr MeV)"


def test_scheme_is_found_or_named(tmp_path, store):
    assert open_store(store).scheme == "gadf"
    assert open_store(store, "GADF").scheme == "gadf"
    with pytest.raises(ValueError, match="got 'cta', expected auto, gadf or hess"):
        open_store(store, "cta")
    with pytest.raises(FileNotFoundError, match=r"expected runinfo\.fits"):
        open_store(store, "hess")


def test_selection_by_number(store):
    runs = runs_of(open_store(store), replace(EVERYWHERE, obs_ids=(7, 2, 2)))
    assert runs.table["OBS_ID"].tolist() == [2, 7]
    assert [run.obs_id for run in runs.observations] == [2, 7]


def test_selection_near_a_source(tmp_path, store):
    listed = Table.read(store / "obs-index.fits.gz")
    ra, dec = listed["RA_PNT"][4], listed["DEC_PNT"][4]
    (tmp_path / "s.reg").write_text(f"icrs\ncircle({ra}d,{dec}d,0.5d)\n")
    selection = Selection(exclude=("none", str(tmp_path / "s.reg")))
    table = runs_of(open_store(store), selection).table
    pointing = SkyCoord(listed["RA_PNT"], listed["DEC_PNT"], unit="deg")
    far = pointing.separation(pointing[4]).deg > 3 + 2 * 0.5
    assert not far[4]
    assert table["OBS_ID"].tolist() == listed["OBS_ID"][far].tolist()


def test_runs_outside_of_all_groups_are_left_out(tmp_path, store, caplog):
    selection = replace(EVERYWHERE, groups=Groups((20, 40, 65), (0, 200)))
    summaries = reconstruct_store(
        store, tmp_path / "m", method="histogram", selection=selection
    ).groups
    listed = Table.read(store / "obs-index.fits.gz")
    alt, az = listed["ALT_PNT"], listed["AZ_PNT"]
    inside = (alt >= 20) & (alt < 65) & (az < 200)
    assert 0 < sum(s.n_obs for s in summaries) == inside.sum() < 12
    assert f"{12 - inside.sum()} runs are outside of all groups" in caplog.text
    assert len(Table.read(tmp_path / "m" / "bg_observation_table.fits.gz")) == 12
    grouped = Table.read(tmp_path / "m" / "bg_observation_table_grouped.fits.gz")
    assert len(grouped) == inside.sum()


def test_no_run_in_a_group(tmp_path, store):
    selection = replace(EVERYWHERE, groups=Groups((0, 1), (0, 1)))
    with pytest.raises(ValueError, match=r"got 12 runs .*group"):
        reconstruct_store(store, tmp_path / "m", method="histogram", selection=selection)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_obs", [60, 250])
def test_quick_look_takes_100_runs_evenly(n_obs):
    class Store:
        path, names = "store", {name: name for name in ("RA", "DEC", "ALT", "AZ")}
        table = Table(
            {
                "OBS_ID": np.arange(n_obs),
                "RA": np.zeros(n_obs),
                "DEC": np.full(n_obs, -89.0),
                "ALT": np.linspace(1, 89, n_obs),
                "AZ": np.full(n_obs, 100.0),
            }
        )
        runs = RunList(dict(table.columns))
        run_ids = frozenset(range(n_obs))

        def at_rows(self, rows, energy_threshold=None):
            found = map(self.runs.row, rows)
            return [Observation(r["OBS_ID"], None, 9, 10, alt=r["ALT"], az=100) for r in found]

    runs = runs_of(Store(), replace(EVERYWHERE, test=True))
    taken = runs.table["OBS_ID"]
    assert len(taken) == min(n_obs, 100)
    assert (taken[0], taken[-1]) == (0, n_obs - 1)
    assert set(np.diff(taken)) <= {1, 2, 3}
    assert_array_equal(runs.group_id, runs.table["ALT"] >= 45)


# What follows needs the public H.E.S.S. runs.


@pytest.fixture(scope="module")
def hess_models(tmp_path_factory):
    """Made by the command of 2015; skipped where there is no data."""
    folder = Path(os.environ.get("GAMMAPY_DATA", "")) / "hess-dl3-dr1"
    if not os.environ.get("GAMMAPY_DATA") or not folder.is_dir():
        pytest.skip("GAMMAPY_DATA is not set to a folder")
    out = tmp_path_factory.mktemp("hess") / "models"
    with pytest.raises(SystemExit) as end:
        make_bg_cube_models([str(folder), "GADF", str(out), "-l", "error"])
    assert end.value.code == 0
    return folder, out


def groups_with_runs(out):
    grouped = Table.read(out / "bg_observation_table_grouped.fits.gz")
    return {int(group): grouped[grouped["GROUP_ID"] == group] for group in set(grouped["GROUP_ID"])}


@pytest.mark.gammapy_data
def test_hess_groups(hess_models):
    data, out = hess_models
    listed = Table.read(data / "obs-index.fits.gz")
    kept = Table.read(out / "bg_observation_table.fits.gz")
    assert 15 < len(kept) < len(listed) == 79
    for group, rows in groups_with_runs(out).items():
        assert [group_of(row["ALT_PNT"], row["AZ_PNT"]) for row in rows] == [group] * len(rows)
    # Targets that everybody knows: 2015's rule keeps no run within 3 deg.
    pointing = SkyCoord(kept["RA_PNT"], kept["DEC_PNT"])
    for target in ((83.633, 22.0145), (329.717, -30.2256), (258.113, -39.687), (228.529, -59.157)):
        assert pointing.separation(SkyCoord(*target, unit="deg")).deg.min() > 3
    crab = SkyCoord(listed["RA_PNT"], listed["DEC_PNT"]).separation(
        SkyCoord(83.633, 22.0145, unit="deg")
    )
    assert crab.deg.min() < 3


@pytest.mark.gammapy_data
def test_hess_counts_of_one_run_by_astropy_alone(hess_models):
    data, out = hess_models
    group, rows = next((g, rows) for g, rows in groups_with_runs(out).items() if len(rows) == 1)
    with fits.open(data / "data" / f"hess_dl3_dr1_obs_id_{rows['OBS_ID'][0]:06d}.fits.gz") as file:
        header, events = file["EVENTS"].header, Table(file["EVENTS"].data)
        threshold = file["AEFF"].header["LO_THRES"]
    time = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale="tt")
    site = EarthLocation(16.5002 * u.deg, -23.2718 * u.deg, 1835 * u.m)
    altaz = AltAz(obstime=time + events["TIME"] * u.s, location=site)
    event = SkyCoord(events["RA"], events["DEC"], unit="deg").transform_to(altaz)
    pointing = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg").transform_to(altaz)
    alt, alt0, turn = event.alt.rad, pointing.alt.rad, (pointing.az - event.az).rad
    # Longitude grows with decreasing azimuth.
    lon = np.arctan2(
        np.cos(alt) * np.sin(turn),
        np.cos(alt) * np.cos(alt0) * np.cos(turn) + np.sin(alt) * np.sin(alt0),
    )
    lat = np.arcsin(np.sin(alt) * np.cos(alt0) - np.cos(alt) * np.sin(alt0) * np.cos(turn))
    cube = read_cube(out / f"bg_cube_model_group{group}_table.fits.gz")
    keep = events["ENERGY"] >= threshold
    sample = np.array([events["ENERGY"], np.rad2deg(lon), np.rad2deg(lat)]).T[keep]
    edges = (cube.axes.energy, cube.axes.fov_lon, cube.axes.fov_lat)
    counts, _ = np.histogramdd(sample, edges)
    assert counts.sum() > 1000
    # Within 0.1 arcsec of an edge lie about 1e-4 of all events: they may move to the next bin.
    assert np.abs(counts - cube.counts).sum() <= 4
    # The control: any flip or swap moves most of them.
    for wrong in (counts[:, ::-1], counts[:, :, ::-1], counts.swapaxes(1, 2)):
        assert np.abs(wrong - cube.counts).sum() > 0.2 * counts.sum()


@pytest.mark.gammapy_data
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
def test_hess_counts_of_all_groups(hess_models):
    data, out = hess_models
    for group, rows in groups_with_runs(out).items():
        cube = read_cube(out / f"bg_cube_model_group{group}_table.fits.gz")
        assert cube.axes.same_as(edition2015_axes(len(rows)))
        counts = 0
        for obs_id in rows["OBS_ID"]:
            with fits.open(data / "data" / f"hess_dl3_dr1_obs_id_{obs_id:06d}.fits.gz") as file:
                header, events = file["EVENTS"].header, Table(file["EVENTS"].data)
                threshold = file["AEFF"].header["LO_THRES"]
                gti = list(zip(file["GTI"].data["START"], file["GTI"].data["STOP"], strict=True))
            site = Site(header["GEOLON"], header["GEOLAT"], header["ALTITUDE"])
            zero = header["MJDREFI"] + header["MJDREFF"]
            tracking = Tracking(header["RA_PNT"], header["DEC_PNT"], site, zero)
            place = tracking.sky_to_fov(events["RA"], events["DEC"], events["TIME"])
            keep = events["ENERGY"] >= threshold
            good = np.zeros(len(events), bool)
            for start, stop in gti:
                good |= (events["TIME"] >= start) & (events["TIME"] <= stop)
            keep &= good
            for values, edges in zip(
                (events["ENERGY"], *place),
                (cube.axes.energy, cube.axes.fov_lon, cube.axes.fov_lat),
                strict=True,
            ):
                keep = keep & (values >= edges[0]) & (values < edges[-1])
            counts += keep.sum()
        # Thresholds in the index are of single precision: an event may lie between.
        assert abs(cube.counts.sum() - counts) <= len(rows)
        assert counts > 1000
        assert cube.livetime.max() == pytest.approx(rows["LIVETIME"].sum(), rel=1e-6)


@pytest.mark.gammapy
@pytest.mark.gammapy_data
def test_hess_models_in_gammapy_and_astropy(hess_models):
    _, out = hess_models
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        background3d = pytest.importorskip("gammapy.irf").Background3D
    paths = sorted(out.glob("*_gadf.fits.gz"))
    assert len(paths) == len(groups_with_runs(out))
    for path in paths:
        theirs, ours = background3d.read(path), read_cube(path)
        assert_array_equal(theirs.data, ours.rate)
        assert theirs.fov_alignment.value == "ALTAZ"
        table = read_cube(str(path).replace("gadf", "table"))
        share = theirs.data.max() / table.rate.max()
        assert 0.88 < share < 0.98  # dead time
    for path in out.glob("*.fits.gz"):
        with fits.open(path) as file:
            file.verify("exception")


def run_2015(*arguments):
    with pytest.raises(SystemExit) as end:
        make_bg_cube_models([str(argument) for argument in arguments])
    return end.value.code


@pytest.mark.gammapy_data
def test_hess_test_michi_and_overwrite(hess_models, tmp_path, capsys):
    data, _ = hess_models
    out = tmp_path / "models"
    arguments = (data, "gadf", out, "--test", "-l", "error")
    assert run_2015(*arguments) == 0
    groups = Table.read(out / "bg_observation_groups.ecsv")
    assert [tuple(row) for row in groups] == [(0, 0, 45, 90, 270), (1, 45, 90, 90, 270)]
    first = digests(out)
    assert run_2015(*arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert digests(out) == first
    assert run_2015(*arguments, "--overwrite", "--method", "michi") == 0
    second = digests(out)
    assert second.keys() == first.keys()
    for group, rows in groups_with_runs(out).items():
        cube = read_cube(out / f"bg_cube_model_group{group}_table.fits.gz")
        assert cube.axes.energy[0] == pytest.approx(rows["SAFE_ENERGY_LO"].min(), rel=1e-12)
        assert (
            second[f"bg_cube_model_group{group}_table.fits.gz"]
            != first[f"bg_cube_model_group{group}_table.fits.gz"]
        )
    assert run_2015(*arguments, "--overwrite") == 0
    assert digests(out) == first


def test_a_method_that_raises_is_named_in_one_line(tmp_path, store):
    for name, text in (("Raises", "RuntimeError: no such thing"), ("Exits", "SystemExit: 3")):
        with pytest.raises(ValueError, match=f"^method 'foreign': {text}$"):
            reconstruct_store(store, tmp_path / "m", method=f"support.odd_methods:{name}")
    assert not (tmp_path / "m").exists()


def test_empty_bins_are_a_warning():
    """Of the model with most of them; a summary of filled models has none."""
    groups = [GroupSummary(k, 1, 9, 1.0, empty=e) for k, e in enumerate((0.0, 0.25, 0.75))]
    warning = Summary(tuple(groups), {}, 0, 0).warning
    assert "2 of 3 models" in warning
    assert "75%" in warning
    assert Summary(tuple(groups[:1]), {}, 0, 0).warning == ""
