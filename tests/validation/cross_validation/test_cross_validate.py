"""Cross-validation by run: what it says of stores that are known, and of H.E.S.S.'s."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from simbg.cli.main import main
from simbg.models.selection import Selection
from simbg.parallel.executors import workers
from simbg.reconstruction import DEFAULT_METHOD
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.cross_validation.cross_validate import cross_validate
from simbg.validation.figures.cross_validation import crossval_figure
from simbg.validation.figures.style import encode

SELECTION = Selection(exclude=("none",), sources="mask", group_by="runs:8")


def make(folder, scenario, seed=2):
    Experiment.of(scenario, seed).write(folder)
    return cross_validate(folder, SELECTION)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """16 runs that differ by chance alone."""
    folder = tmp_path_factory.mktemp("flat") / "store"
    truth = replace(SCENARIOS["run-scatter"].truth, event_rate=4.0)
    scenario = replace(SCENARIOS["run-scatter"], truth=truth, run_scatter=0.0, n_obs=16)
    return folder, make(folder, scenario)


def test_a_right_model_is_normal(flat):
    """About 400 pixels and one image a run; limits are 5 standard errors."""
    summary = flat[1].summary
    n = summary["n_pixels"]
    assert n > 2000
    # Significances of a run share its norm and model: their mean is held to 10 √n.
    assert abs(summary["significance_mean"]) < 10 / n**0.5
    assert abs(summary["significance_width"] - 1) < 5 / (2 * n) ** 0.5
    assert abs(summary["image_z_mean"]) < 5 / 16**0.5
    assert abs(summary["spectrum_z_mean"]) < 5 / 16**0.5
    # Norms scatter as their counts do, and as the model's.
    assert summary["norm_scatter"] < 2 * summary["norm_scatter_poisson"]
    assert flat[1].agree
    assert "agree" in flat[1].text


def test_workers_change_nothing(flat):
    folder, alone = flat
    with workers(2) as executor:
        assert cross_validate(folder, SELECTION, executor=executor).summary == alone.summary


def test_files(flat, tmp_path):
    flat[1].write(tmp_path / "out", encode(crossval_figure(flat[1].runs)))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"crossval.md", "crossval.json", "crossval.png"}


def test_scatter_of_runs_comes_out(tmp_path):
    truth = replace(SCENARIOS["run-scatter"].truth, event_rate=4.0)
    scenario = replace(SCENARIOS["run-scatter"], truth=truth, run_scatter=0.2, n_obs=20)
    summary = make(tmp_path / "s", scenario).summary
    # 20 numbers know their scatter to 16 %.
    assert 0.1 < summary["norm_scatter_intrinsic"] < 0.33
    assert abs(summary["significance_width"] - 1) < 0.05


def test_control_a_source_in_the_runs_shows(tmp_path):
    bright = tuple(replace(s, flux=20 * s.flux) for s in SCENARIOS["source"].sources)
    scenario = replace(SCENARIOS["source-ignored"], sources=bright, n_obs=10)
    result = make(tmp_path / "s", scenario)
    assert result.agree is False
    assert result.summary["significance_width"] > 1.2


def test_runs_without_events_are_counted_and_not_judged(flat, tmp_path, caplog):
    """One without events, one whose threshold lies above all energies."""
    store = tmp_path / "store"
    shutil.copytree(flat[0], store)
    with fits.open(store / "data/simbg_obs_000002.fits.gz") as file:
        file["EVENTS"].data = file["EVENTS"].data[:0]
        file.writeto(tmp_path / "empty.fits.gz")
    (tmp_path / "empty.fits.gz").replace(store / "data/simbg_obs_000002.fits.gz")
    with fits.open(store / "obs-index.fits.gz") as file:
        file[1].data["SAFE_ENERGY_LO"][4] = 500.0
        file.writeto(tmp_path / "index.fits.gz")
    (tmp_path / "index.fits.gz").replace(store / "obs-index.fits.gz")
    result = cross_validate(store, SELECTION)
    assert result.left_out == (2, 5)
    assert len(result.runs) == 14
    assert result.summary["n_left_out"] == 2
    assert "without events or prediction | 2 |" in result.text
    assert "run 5 is not used" in caplog.text


def test_incomplete_runs_are_skipped_if_asked(flat, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(flat[0], store)
    (store / "data/simbg_obs_000002.fits.gz").unlink()
    words = ["cross-validate", str(store), "--exclude", "none", "--out", str(tmp_path / "out")]
    words += ["--group-by", "2015", "--jobs", "1", "--method", "histogram"]
    for more, code in (([], 2), (["--skip-incomplete"], 0)):
        with pytest.raises(SystemExit) as end:
            main([*words, *more])
        assert end.value.code == code
    assert "could not be read | 1 |" in capsys.readouterr().out


def test_json_is_one_document(flat, run, tmp_path):
    words = ["--exclude", "none", "--fov", "2.5:8", "--jobs", 1, "--out", tmp_path, "--json"]
    code, out, err = run("cross-validate", flat[0], *words)
    document = json.loads(out)
    assert (code, err, document["good"]) == (0, "", True)
    assert [model["method"] for model in document["models"]] == [DEFAULT_METHOD]


def test_few_pixels_do_not_alarm(flat):
    """Of one run's 150 pixels the width is known to 6 %, of all 16 runs' to 1.5 %."""
    runs = [replace(flat[1], runs=(run,)) for run in flat[1].runs]
    assert all(run.agree for run in runs)
    wide = [replace(run, significances=1.2 * run.significances) for run in flat[1].runs]
    assert not replace(flat[1], runs=tuple(wide)).agree


def test_too_few_runs(tmp_path):
    scenario = replace(SCENARIOS["night"], n_obs=3)
    with pytest.raises(ValueError, match="got 3 runs, expected 5 or more"):
        make(tmp_path / "s", scenario)


@pytest.mark.gammapy_data
def test_real_runs(gammapy_data):
    """Models of H.E.S.S. runs, sources masked, against runs that they have not seen."""
    selection = Selection(sources="mask", margin=0.5, group_by="runs:10")
    with workers(2) as executor:
        result = cross_validate(gammapy_data / "hess-dl3-dr1", selection, executor=executor)
    assert (result.n_runs, len(result.runs)) == (79, 79)
    summary = result.summary
    assert abs(summary["significance_width"] - 1) < 0.05
    assert abs(summary["significance_mean"]) < 0.1
    assert np.isfinite(summary["spectrum_z_width"])


def test_too_few_pixels_are_undecided_and_larger_bins_decide(tmp_path, run):
    """200 events a run: no pixel of 0.25 deg has 5 counts; 3 × 3 pixels do."""
    truth = replace(SCENARIOS["night"].truth, event_rate=0.12)
    Experiment.of(replace(SCENARIOS["night"], truth=truth, n_obs=10), 0).write(tmp_path / "store")
    words = ["cross-validate", tmp_path / "store", "--exclude", "none", "--jobs", 1, "--json"]
    words += ["--group-by", "runs:8", "--out", tmp_path / "out"]
    code, out, _ = run(*words)
    assert (code, json.loads(out)["models"][0]["good"]) == (0, None)
    summary = json.loads((tmp_path / "out" / DEFAULT_METHOD / "crossval.json").read_text())[
        "summary"
    ]
    assert summary["significance_width"] is None or summary["n_pixels"] < 25
    code, out, _ = run(*words, "--energy", "0.1:100:4", "--fov", "2:3")
    assert (code, json.loads(out)["models"][0]["good"]) == (0, True)
