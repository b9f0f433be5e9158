"""A model for each run: through files, gammapy's DataStore, and behind masks."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal
from support.gammapy_rule import integrals_of_gammapy

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_cube
from simbg.io.gadf.store import GadfStore
from simbg.models.pipeline import reconstruct_store
from simbg.models.runs import runs_of
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.spline.method import Spline
from simbg.reconstruction.zenith_groups import ZenithGroups
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS

SCENARIO = replace(SCENARIOS["source"], name="per run", n_obs=8)
MASKS = "icrs\ncircle(83.0, -40.0, 0.4)\ncircle(84.1, -39.3, 0.75)\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of wobbled runs on two sources, and models of them behind masks."""
    folder = tmp_path_factory.mktemp("runs")
    Experiment.of(SCENARIO, 3).write(folder / "store")
    (folder / "masks.reg").write_text(MASKS)
    selection = Selection(
        exclude=("none", str(folder / "masks.reg")), sources="mask", group_by="runs:4"
    )
    reconstruct_store(
        folder / "store", folder / "models", "gadf", "histogram", selection, per_run=True
    )
    return folder, selection


def test_correlated_errors_and_extrapolated_bins_are_kept(tmp_path):
    """A norm and a dead time do not change relative errors; below threshold there is no model."""
    scenario = replace(SCENARIOS["night"], n_obs=2, alt_range=(60.0, 70.0), energy_threshold=0.3)
    Experiment.of(scenario, 5).write(tmp_path / "store")
    method, selection = "spline", Selection(exclude=("none",))
    selection = replace(selection, group_by="runs:2")
    arguments = tmp_path / "store", tmp_path / "models", "gadf", method, selection
    (group,) = reconstruct_store(*arguments, per_run=True).groups
    assert "effective parameters" in group.fit
    store = GadfStore(tmp_path / "store")
    runs = store.observations()
    group = read_cube(tmp_path / "models" / f"bg_cube_model_group{group.group_id}_gadf.fits.gz")
    assert group.extrapolated[0].all()
    models = Spline().fit(runs, group.axes)
    for run in runs:
        number, model = run.obs_id, models.at(run)
        assert model.extrapolated[0].all()
        cube = read_cube(tmp_path / "models" / f"bg_run_{number:06d}.fits.gz")
        known = np.isfinite(cube.rate) & (cube.rate > 0)
        # Energies below the thresholds of all runs have no model of a run.
        assert_array_equal(known, ~model.extrapolated)
        assert_array_equal(cube.extrapolated, np.zeros(known.shape, bool))
        band = np.where(known, cube.axes.volume, 0.0)
        relative = [c.error_of_sum(band) / np.nansum(band * c.rate) for c in (cube, model)]
        # Factors of covariances are written in single precision.
        assert_allclose(*relative, rtol=1e-6)
        assert cube.error_of_sum(band) > np.sqrt(np.nansum((band * cube.rate_error) ** 2))


def test_masks_of_a_file_are_those_of_the_scenario(made):
    folder, selection = made
    runs = runs_of(GadfStore(folder / "store"), selection)
    assert runs.n_skipped == 0
    assert set(runs.group_id) == {0, 1}
    for run in runs.observations:
        assert run.excluded == SCENARIO.regions
        assert not any(region.contains(*run.events().sky).any() for region in run.excluded)


def test_models_predict_what_was_counted(made):
    """Norms are fitted: in bins above threshold predictions are the counts, sources left out."""
    folder, _ = made
    norms = Table.read(folder / "models" / "bg_run_norms.ecsv")
    assert len(norms) == 8
    # Runs of one rate, each of thousands of events, against the model of four.
    assert np.all(np.abs(norms["NORM"] - 1) < 6 * norms["NORM_ERR"])
    for row in norms:
        cube = read_cube(folder / "models" / f"bg_run_{row['OBS_ID']:06d}.fits.gz")
        assert_allclose(row["NORM"] * row["N_PRED"], row["N_EVENTS"], rtol=1e-12)
        assert cube.clock == "ontime"
        assert_allclose(cube.livetime.max() / cube.ontime.max(), 0.91, rtol=1e-12)


def test_written_rate_is_the_true_one(made):
    """Per second of observation time, all runs together: unbiased, though sources shine."""
    folder, _ = made
    table = SCENARIO.table(3)
    expected = predicted = 0.0
    for obs_id, zenith in zip(table["OBS_ID"], table["ZEN_PNT"], strict=True):
        cube = read_cube(folder / "models" / f"bg_run_{obs_id:06d}.fits.gz")
        truth = SCENARIO.truth.integrate(cube.axes, zenith) * 0.91
        expected += truth[np.isfinite(cube.rate)].sum()
        predicted += np.nansum(cube.event_rate)
    n_events = expected * 1680
    assert abs(predicted / expected - 1) < 5 / np.sqrt(n_events)


def test_a_model_is_the_interpolated_one_times_its_norm(tmp_path):
    """Below a run's own threshold nothing was measured: neither rate nor exposure."""
    table = SCENARIO.table(3)
    table["SAFE_ENERGY_LO"][2] = 0.5
    Experiment(SCENARIO, table, 3).write(tmp_path / "s")
    selection = Selection(exclude=("none",), group_by="runs:4")
    reconstruct_store(tmp_path / "s", tmp_path / "m", "gadf", "histogram", selection, per_run=True)
    runs = runs_of(GadfStore(tmp_path / "s"), selection)
    run, axes = runs.observations[2], edition2015_axes(8)
    expected = ZenithGroups(Histogram(), runs.groups).fit(runs.observations, axes).at(run)
    cube = read_cube(tmp_path / "m" / f"bg_run_{run.obs_id:06d}.fits.gz")
    norm = Table.read(tmp_path / "m" / "bg_run_norms.ecsv")
    norm = norm["NORM"][norm["OBS_ID"] == run.obs_id][0]
    first = np.searchsorted(axes.energy, 0.5, side="right") - 1
    assert 0 < first < 10
    assert np.isnan(cube.rate[:first]).all()
    assert not cube.livetime[:first].any()
    assert_allclose(cube.rate[first:], norm * 0.91 * expected.rate[first:], rtol=1e-13)
    assert_allclose(cube.rate_error[first:], norm * 0.91 * expected.rate_error[first:], rtol=1e-13)
    assert_allclose(cube.livetime[first:].max(), run.livetime, rtol=1e-13)


class Constant:
    """A method with a model of each run of its own: its zenith, everywhere."""

    name = "constant"

    def reconstruct(self, observations, axes):
        return BackgroundCube(axes, np.full(axes.shape, 1e-6))

    def fit(self, observations, axes):
        assert len(observations) == 3
        self.axes = axes
        return self

    def at(self, observation):
        return BackgroundCube(self.axes, np.full(self.axes.shape, 90 - observation.alt))


def test_a_method_that_models_runs_itself(tmp_path):
    Experiment.of(SCENARIO, 3, 3).write(tmp_path / "s")
    reconstruct_store(
        *(tmp_path / "s", tmp_path / "m", "gadf", f"{__name__}:Constant"),
        Selection(exclude=("none",)),
        per_run=True,
    )
    norms = Table.read(tmp_path / "m" / "bg_run_norms.ecsv")
    for obs_id, zenith in zip(
        *(SCENARIO.table(3, 3)[n] for n in ("OBS_ID", "ZEN_PNT")), strict=True
    ):
        cube = read_cube(tmp_path / "m" / f"bg_run_{obs_id:06d}.fits.gz")
        norm = norms["NORM"][norms["OBS_ID"] == obs_id][0]
        assert np.nanmax(cube.rate) == pytest.approx(0.91 * norm * zenith, rel=1e-12)


@pytest.mark.gammapy
def test_gammapy_gives_each_observation_its_background(made):
    data = pytest.importorskip("gammapy.data")
    folder, _ = made
    store = data.DataStore.from_dir(folder / "models")
    observations = store.get_observations(required_irf=["aeff", "bkg"])
    assert len(observations) == 8
    norms = Table.read(folder / "models" / "bg_run_norms.ecsv")
    for observation in observations:
        background = observation.bkg
        assert background.fov_alignment.value == "ALTAZ"
        seconds = observation.gti.time_sum.to_value("s")
        ours = read_cube(folder / "models" / f"bg_run_{observation.obs_id:06d}.fits.gz")
        theirs = integrals_of_gammapy(background, ours.axes)
        row = norms[norms["OBS_ID"] == observation.obs_id][0]
        # Without masks the field holds more events than outside of them, but no source.
        assert row["N_EVENTS"] < theirs.sum() * seconds < 1.3 * row["N_EVENTS"]
        measured = np.nansum(ours.event_rate, axis=(1, 2))
        assert_allclose(theirs.sum(axis=(1, 2)), measured, rtol=0.01)
        # The right way round: the truth's peak lies at (0.3, -0.5) deg.
        image = theirs.sum(axis=0)
        assert np.average(ours.axes.fov_lon_center, weights=image.sum(axis=1)) > 0
        assert np.average(ours.axes.fov_lat_center, weights=image.sum(axis=0)) < 0


def test_models_replace_those_of_the_store(made):
    folder, _ = made
    with fits.open(folder / "models" / "hdu-index.fits.gz") as file:
        index = Table(file[1].data)
    kinds = [kind.strip() for kind in index["HDU_TYPE"]]
    assert kinds.count("bkg") == kinds.count("events") == kinds.count("gti") == 8
    for row in index:
        assert (folder / "models" / row["FILE_DIR"].strip() / row["FILE_NAME"].strip()).is_file()
    # Models from a folder of models need the store, and not that folder.
    given = folder / "models", folder / "again", "gadf", "histogram"
    axes = Axes.regular((0.2, 20, 2), (2.0, 4))
    reconstruct_store(*given, Selection(exclude=("none",)), per_run=True, axes=axes)
    again = Table.read(folder / "again" / "hdu-index.fits.gz")
    assert not any("models" in name for name in again["FILE_DIR"])
    for row in again:
        assert (folder / "again" / row["FILE_DIR"].strip() / row["FILE_NAME"].strip()).is_file()


def test_a_scheme_without_sky_is_refused(tmp_path):
    Experiment.of(SCENARIO, 3, 2).write(tmp_path / "s", "hess")
    for how in ({"per_run": True}, {"selection": Selection(sources="mask")}):
        with pytest.raises(ValueError, match="2015, which has no sky positions"):
            reconstruct_store(tmp_path / "s", tmp_path / "m", **how)
    assert not (tmp_path / "m").exists()


def test_incomplete_runs_are_named_and_skipped_only_when_asked(tmp_path, caplog):
    Experiment.of(SCENARIO, 3, 3).write(tmp_path / "s")
    (tmp_path / "s" / "data" / "simbg_obs_000002.fits.gz").unlink()
    selection = Selection(exclude=("none",))
    with pytest.raises((ValueError, FileNotFoundError), match="simbg_obs_000002"):
        reconstruct_store(tmp_path / "s", tmp_path / "m", selection=selection)
    assert not (tmp_path / "m").exists()
    reconstruct_store(
        tmp_path / "s", tmp_path / "m", selection=replace(selection, skip_incomplete=True)
    )
    assert "run 2 skipped" in caplog.text
    assert "1 of 3 runs skipped" in caplog.text


def test_covariates_are_columns_of_the_observation_table(tmp_path):
    """MUONEFF and the azimuth arrive at the method; a column that is not there is refused."""
    Experiment.of(replace(SCENARIOS["night"], n_obs=3), 6).write(tmp_path / "store")
    store = GadfStore(tmp_path / "store")
    selection = Selection(exclude=("none",), covariates=("MUONEFF", "azimuth"))
    for run, row in zip(selection.observations(store), store.table, strict=True):
        assert run.covariates == {"MUONEFF": row["MUONEFF"], "azimuth": row["AZ_PNT"]}
    lower = replace(selection, covariates=("muoneff", "Azimuth"))
    assert lower.observations(store)[0].covariates.keys() == {"MUONEFF", "azimuth"}
    for wrong in ("MUON", "DATE-OBS"):
        with pytest.raises(ValueError, match=f"{wrong}.*MUONEFF"):
            replace(selection, covariates=(wrong,)).observations(store)
    # A method of zenith groups cannot use them.
    given = tmp_path / "store", tmp_path / "models", "gadf", "histogram", selection
    with pytest.raises(ValueError, match=r"MUONEFF.*histogram"):
        reconstruct_store(*given, per_run=True)


def test_models_of_runs_need_no_groups(tmp_path):
    """With `spline` a run outside of all groups has a model, too, with GROUP_ID −1."""
    scenario = replace(SCENARIOS["night"], n_obs=4, az_range=(100.0, 260.0))
    Experiment.of(scenario, 7).write(tmp_path / "store")
    altitudes = np.sort(GadfStore(tmp_path / "store").table["ALT_PNT"])
    groups = Groups((altitudes[1] - 0.01, 90), (-90, 270))
    selection = Selection(exclude=("none",), groups=groups)
    arguments = tmp_path / "store", tmp_path / "models", "gadf", "spline", selection
    reconstruct_store(*arguments, per_run=True, axes=edition2015_axes(4))
    norms = Table.read(tmp_path / "models" / "bg_run_norms.ecsv")
    assert sorted(norms["GROUP_ID"].tolist()) == [-1, 0, 0, 0]
