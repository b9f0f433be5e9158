"""Several methods on the same held-out runs, and the models that a store itself carries."""

import json
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.testing import assert_allclose
from support.pages import Page

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.gadf.store import GadfStore
from simbg.models.pipeline import reconstruct_store
from simbg.models.radec_field import aligned_with_radec
from simbg.models.selection import Selection
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.cross_validation.cross_validate import compare_methods
from simbg.validation.cross_validation.published import PublishedModels
from simbg.validation.cross_validation.ranking import compared, table_of
from simbg.validation.pages import cross_validation as page

AXES = Axes(np.geomspace(0.2, 20, 5), np.linspace(-2, 2, 9), np.linspace(-2, 2, 8))
SELECTION = Selection(exclude=("none",), sources="mask", group_by="runs:4")
METHODS = ["spline", "published", "spline:groups", "histogram"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Runs on a target with the models that `simbg reconstruct --per-run` made of them."""
    folder = tmp_path_factory.mktemp("compared")
    truth = replace(SCENARIOS["zenith"].truth.base, event_rate=4.0)
    scenario = replace(SCENARIOS["source"], sources=(), regions=(), truth=truth, n_obs=12)
    Experiment.of(scenario, 4).write(folder / "store")
    arguments = folder / "store", folder / "models", "gadf", "spline", SELECTION
    reconstruct_store(*arguments, per_run=True, axes=AXES)
    return folder / "models"


@pytest.fixture(scope="module")
def results(store):
    return compare_methods(store, SELECTION, METHODS, axes=AXES)


def test_all_methods_have_the_same_runs_and_events(results):
    assert [result.method for result in results] == METHODS
    counts = [[(run.obs_id, run.n_events) for run in result.runs] for result in results]
    assert all(one == counts[0] for one in counts)
    assert len(results[0].runs) == 12


def test_raw_counts_predict_worse_and_own_runs_better(results):
    """The models of the store were made of the tested runs; a histogram has the noise of bins."""
    rows = {row["method"]: row for row in compared(results)}
    assert rows["spline"]["excess_per_run"] == 0
    assert rows["histogram"]["excess_per_run"] > 5 * rows["histogram"]["excess_error"] > 0
    # Models from all runs, with the tested ones, are better by about their parameters.
    assert -30 < rows["published"]["excess_per_run"] < 0
    lines = table_of(results).splitlines()
    assert len(lines) == 2 + len(METHODS)
    # A difference is the mean over runs of deviances that anyone can add up.
    deviances = [np.array([run.deviance for run in results[n].runs]) for n in (0, 3)]
    assert_allclose(rows["histogram"]["excess_per_run"], np.mean(deviances[1] - deviances[0]))


def test_models_of_a_store_are_read_as_they_are(store):
    """Unchanged over the same axes; interpolated in a part of the field, nearly."""
    opened = GadfStore(store)
    run = opened.observations()[0]
    given = BackgroundCube.read(store / f"bg_run_{run.obs_id:06d}.fits.gz").per("livetime")
    assert_allclose(PublishedModels(opened, AXES).at(run).rate, given.rate, rtol=1e-12)
    part = Axes(AXES.energy, AXES.fov_lon[2:-2], AXES.fov_lat[2:-2])
    found = PublishedModels(opened, part).at(run)
    # A power law in ln E instead of means over wide bins: a factor of each energy.
    ratio = found.rate / given.rate[:, 2:-2, 2:-2]
    assert_allclose(ratio / ratio.mean(axis=(1, 2), keepdims=True), 1, rtol=0.06)


def test_models_aligned_with_radec_are_turned_back(store):
    """A steep gradient in altitude, which in the other field turns during the run."""
    opened = GadfStore(store)
    run = opened.observations()[1].read()
    fine = Axes(np.geomspace(0.2, 20, 5), *[np.linspace(-3, 3, 41)] * 2)
    rate = np.exp(0.3 * fine.fov_lat_center) * np.ones(fine.shape) * 1e-6
    rate *= np.exp(0.1 * fine.fov_lon_center[:, None])
    full = np.full(fine.shape, run.livetime)
    cube = BackgroundCube(fine, rate, livetime=full, ontime=1.1 * full)
    turned = aligned_with_radec(cube, run)
    path = store / f"bg_run_{run.obs_id:06d}.fits.gz"
    before = path.read_bytes()
    try:
        turned.write(path, overwrite=True)
        found = PublishedModels(opened, AXES).at(run)
    finally:
        path.write_bytes(before)
    true = np.exp(0.3 * AXES.fov_lat_center + 0.1 * AXES.fov_lon_center[:, None]) * 1e-6
    # Within the track the field turns by a few degrees, which the mean over the track smears.
    assert_allclose(found.rate[0, 1:-1, 1:-1], true[1:-1, 1:-1], rtol=0.04)


def test_the_other_field_is_that_of_astropy(store):
    """Through `at`: a peak at one place of the RADEC-aligned field, seen at its sky position."""
    opened = GadfStore(store)
    run = opened.observations()[2].read()
    events = run.load()
    middle = np.array([events.gti.mean()])
    lon, lat = 0.9, -0.7
    ra, dec = events.pointing.fov_to_sky(np.array([lon]), np.array([lat]), middle)
    center = SkyCoord(events.pointing.ra, events.pointing.dec, unit="deg")
    offset = SkyCoord(ra, dec, unit="deg").transform_to(center.skyoffset_frame())
    place = -offset.lon.wrap_at(180 * u.deg).deg[0], offset.lat.deg[0]
    fine = Axes(np.geomspace(0.2, 20, 5), *[np.linspace(-3, 3, 61)] * 2, align="RADEC")
    distance = np.hypot(fine.fov_lon_center[:, None] - place[0], fine.fov_lat_center - place[1])
    rate = (1e-9 + 1e-6 * np.exp(-0.5 * (distance / 0.2) ** 2)) * np.ones(fine.shape)
    full = np.full(fine.shape, run.livetime)
    path = store / f"bg_run_{run.obs_id:06d}.fits.gz"
    before = path.read_bytes()
    try:
        cube = BackgroundCube(fine, rate, livetime=full, ontime=1.1 * full)
        cube.write(path, overwrite=True)
        image = PublishedModels(opened, AXES).at(run).rate[1]
    finally:
        path.write_bytes(before)
    x, y = (
        c[i]
        for c, i in zip(
            (AXES.fov_lon_center, AXES.fov_lat_center),
            np.unravel_index(image.argmax(), image.shape),
            strict=True,
        )
    )
    assert abs(x - lon) < 0.3
    assert abs(y - lat) < 0.3


def test_runs_of_a_night_are_in_one_fold(store):
    (result,) = compare_methods(store, SELECTION, ["histogram"], axes=AXES, split="night")
    folds = {}
    for run in result.runs:
        folds.setdefault(int(run.mjd + 16.5 / 360 - 0.5), set()).add(run.fold)
    assert all(len(one) == 1 for one in folds.values())
    assert len({run.fold for run in result.runs}) == 5


def test_the_command_writes_a_page_and_json(store, run, tmp_path):
    words = ["cross-validate", store, "--exclude", "none", "--jobs", 1, "--out", tmp_path]
    words += ["--energy", "0.2:20:4", "--fov", "2:8", "--json", "--group-by", "runs:4"]
    code, out, err = run(*words, "--method", "spline", "--method", "published")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert [one["method"] for one in document["models"]] == ["spline", "published"]
    assert document["models"][1]["summary"]["excess_error"] > 0
    page = Page(tmp_path / "index.html")
    assert "published" in page.words
    assert "nan" not in page.words.lower()


def test_requirements_decide_the_exit_code(store, run, tmp_path):
    """Each limit by the name of its number; a mean z is limited on both sides of 0."""
    words = ["cross-validate", store, "--exclude", "none", "--jobs", 1, "--out", tmp_path]
    words += ["--method", "histogram", "--fov", "2:8", "--group-by", "runs:4", "--energy"]
    words += ["0.2:20:2", "--json"]
    limits = {"deviance_per_event": 0.01, "image_z_mean": 30, "image_z_width": 30}
    code, out, _ = run(*words, *(x for n, v in limits.items() for x in ("--require", f"{n}={v}")))
    (model,) = json.loads(out)["models"]
    assert (code, model["good"], len(model["missed"])) == (1, False, 1)
    assert "deviance_per_event" in model["missed"][0]
    z = model["summary"]["image_z_mean"]
    assert run(*words, "--require", f"image_z_mean={abs(z) * 1.01}")[0] == 0
    for wrong in ("image_z", "image_z=1", "image_z_mean", "image_z_mean=x", "image_z_mean=nan"):
        code, _, err = run(*words, "--require", wrong)
        assert (code, err.count("\n")) == (2, 1)
        assert "image_z" in err


def test_tables_and_page_are_replaced_together(store, run, tmp_path, monkeypatch):
    words = ["cross-validate", store, "--exclude", "none", "--jobs", 1, "--out", tmp_path]
    words += ["--method", "histogram", "--fov", "2:8", "--group-by", "runs:4", "--energy"]

    def content():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    run(*words, "0.2:20:2")
    before = content()
    with monkeypatch.context() as patch:
        patch.setattr(page, "write_cross_validation", Mock(side_effect=OSError("disk full")))
        code, _, err = run(*words, "0.4:20:2")
    assert (code, content()) == (2, before), err
    run(*words, "0.4:20:2")
    after = content()
    assert after.keys() == before.keys()
    assert all(after[path] != before[path] for path in before)


def test_a_store_without_models_is_refused(tmp_path):
    Experiment.of(replace(SCENARIOS["night"], n_obs=6), 5).write(tmp_path / "store")
    with pytest.raises(ValueError, match=r"run [0-9]+.*bkg"):
        compare_methods(tmp_path / "store", SELECTION, ["published"], axes=AXES)


HIGH = Axes(np.geomspace(30, 90, 3), AXES.fov_lon, AXES.fov_lat)


@pytest.mark.parametrize(
    ("methods", "options", "named"),
    [
        (["spline:match:groups"], {}, "spline:match"),
        (["histogram"], {"split": "week"}, "week"),
        (["published"], {"axes": HIGH}, "bg_run_.*30 to 90 TeV"),
    ],
    ids=["name", "split", "axes"],
)
def test_wrong_requests_are_refused(store, methods, options, named):
    with pytest.raises(ValueError, match=named):
        compare_methods(store, SELECTION, methods, **{"axes": AXES} | options)


def test_covariates_that_no_method_uses_are_refused(store):
    selection = replace(SELECTION, covariates=("MUONEFF",))
    with pytest.raises(ValueError, match=r"MUONEFF.*histogram"):
        compare_methods(store, selection, ["histogram", "spline:groups", "published"], axes=AXES)


def test_the_table_of_runs_lists_their_times(store, results):
    """Time and azimuth of mid-run, for the figures, against the table of observations."""
    table = Table.read(store / "obs-index.fits.gz")
    middle = 0.5 * (table["TSTART"] + table["TSTOP"]) / 86400 + 55197 + 66.184 / 86400
    by_id = dict(zip(table["OBS_ID"].tolist(), middle.tolist(), strict=True))
    for run in results[0].runs:
        assert abs(run.mjd - by_id[run.obs_id]) < 1e-4
