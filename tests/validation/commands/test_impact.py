"""``simbg impact``."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.pages import Page

from simbg.axes import Axes
from simbg.io.bkg_2d import write_bkg_2d
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.impact.impact import HOURS
from simbg.validation.impact.sources import SHAPES
from simbg.verbs import reconstruct

AXES = Axes.regular(energy=(0.3, 20, 8), fov=(2.5, 20))
NIGHT = SCENARIOS["night"]
TRUE = NIGHT.truth.cube(AXES, livetime=3600)


@pytest.fixture
def files(tmp_path):
    slope = 1 + 0.1 * AXES.fov_lon_center[:, None]
    for name, rate in {"true": TRUE.rate, "model": TRUE.rate * slope}.items():
        cube = replace(TRUE, rate=rate, ontime=TRUE.livetime)
        cube.write(tmp_path / f"{name}.fits")
    return tmp_path / "model.fits", tmp_path / "true.fits"


def test_truth(run, files, tmp_path):
    model, true = files
    code, out, _ = run("impact", model, "--truth", true, "--json")
    assert code == 0
    document = json.loads(out)
    (worst,) = (
        max(abs(p["bias_crab"]) for p in document["places"] if p["source"] == "disc 0.5 deg"),
    )
    assert 0.001 < worst < 0.1
    perfect = json.loads(run("impact", true, "--truth", true, "--json")[1])
    assert max(abs(p["sqrt_ts"]) for p in perfect["places"]) < 1e-3
    false = {
        row["source"]: (row["model"], row["chance"]) for row in perfect["false_sources"]["numbers"]
    }
    assert false["point"][0] == pytest.approx(false["point"][1], rel=1e-3)


def test_requirement_decides_on_the_exit_code(run, files, tmp_path):
    model, true = files
    assert run("impact", model, "--truth", true, "--require", "flux:90%")[0] == 0
    strict = "--require", "flux:0.01%", "--out", tmp_path / "page"
    code, out, _ = run("impact", model, "--truth", true, *strict)
    assert (code, "0.01%" in out) == (1, True)
    assert out.splitlines()[-1][1:] in Page(tmp_path / "page" / "index.html").words


def test_other_bins_are_compared_in_common_ones(run, files, tmp_path):
    model, _ = files
    fine = NIGHT.truth.cube(Axes.regular(energy=(0.3, 20, 16), fov=(2.5, 40)), livetime=3600)
    replace(fine, ontime=fine.livetime).write(tmp_path / "fine.fits")
    code, out, err = run("impact", model, "--truth", tmp_path / "fine.fits")
    assert (code, "disc 0.5 deg" in out) == (0, True)
    assert "bins" in err


def test_held_out_data(run, tmp_path):
    """Runs of the model are left out; the biases agree with the data within their errors."""
    experiment = Experiment.of(NIGHT, 3)
    experiment.write(tmp_path / "store")
    cube = reconstruct(experiment.observations()[:4], method="spline", axes=AXES)
    cube.write(tmp_path / "model.fits")
    model, options = tmp_path / "model.fits", ("--data", tmp_path / "store", "--exclude", "none")
    code, out, err = run("impact", model, *options, "--json")
    assert (code, f"4 of {NIGHT.n_obs} runs" in err) == (0, True)
    document = json.loads(out)
    hours = document["hours_of_data"]
    used = [p for p in document["places"] if p["source"] == "disc 0.5 deg"]
    pulls = [
        p["bias_crab"] / np.hypot(p["noise_crab_in_one_hour"] / hours**0.5, p["scatter_crab"])
        for p in used
    ]
    # The largest of 24 correlated places: 4.1 σ once in 1000.
    assert np.max(np.abs(pulls)) < 4.1
    whole = reconstruct(experiment.observations(), method="spline", axes=AXES)
    whole.write(tmp_path / "whole.fits")
    code, _, err = run("impact", tmp_path / "whole.fits", *options)
    assert (code, "cross-validate" in err) == (2, True)


def test_models_of_other_libraries(run, tmp_path):
    """Rates per observation time without livetime; in rings, where the field ends with them."""
    experiment = Experiment.of(NIGHT, 2)
    experiment.write(tmp_path / "store")
    replace(TRUE, livetime=None, ontime=None, clock="ontime").write(tmp_path / "model.fits")
    center = np.hypot(AXES.fov_lon_center[10:], AXES.fov_lat_center[10])
    rings = TRUE.rate[:, 10:, 10], np.append(0.0, center[:-1] + 0.125), 2.5
    write_bkg_2d(tmp_path / "rings.fits", AXES.energy, [*rings[1], rings[2]], rings[0])
    options = "--data", tmp_path / "store", "--exclude", "none", "--json"
    found = [
        json.loads(run("impact", tmp_path / f"{n}.fits", *options)[1]) for n in ("model", "rings")
    ]
    # They are the same but for the rates between the centres of rings.
    assert all(document["empty_bins"] == 0 for document in found)
    pulls = [
        p["bias_crab"] / (p["noise_crab_in_one_hour"] / document["hours_of_data"] ** 0.5)
        for document in found
        for p in document["places"]
        if p["source"] == "disc 0.5 deg"
    ]
    assert np.max(np.abs(pulls)) < 4.1


def test_requirement_that_data_cannot_decide(run, tmp_path):
    """A perfect model, data of one run: 0.1 % of the Crab is neither shown nor excluded."""
    experiment = Experiment.of(NIGHT, 4)
    experiment.write(tmp_path / "store")
    slope = replace(TRUE, rate=TRUE.rate * np.exp(AXES.fov_lon_center)[:, None])
    for name, cube in {"good": TRUE, "bad": slope}.items():
        replace(cube, ontime=cube.livetime).write(tmp_path / f"{name}.fits")
    options = "--data", tmp_path / "store", "--exclude", "none", "--require", "flux:0.1%@20,0.5"
    code, out, _ = run("impact", tmp_path / "good.fits", *options)
    assert (code, "not decided" in out, "20 h" in out) == (0, True, True)
    code, bad, _ = run("impact", tmp_path / "bad.fits", *options)
    assert code == 1
    # Only an error that is clear is compared with the statistical error of some hours.
    assert [bool(re.search(r"\d h\b", text.splitlines()[0])) for text in (out, bad)] == [
        False,
        True,
    ]


def test_bad_usage_is_one_line(run, files, tmp_path):
    model, true = files
    for arguments in (
        (model,),
        (model, "--truth", true, "--data", tmp_path),
        (model, "--truth", tmp_path / "nothing.fits"),
        (model, "--truth", true, "--energy", "5:2"),
        (model, "--truth", true, "--hours", "nan"),
        (model, "--truth", true, "--index", "nan"),
        (model, "--truth", true, "--energy", "1000:2000"),
        (model, "--truth", true, "--require", "1%"),
        (model, "--truth", true, "--require", "flux:1"),
        (model, "--truth", true, "--out", true),
        (model, "--truth", true, "--out", tmp_path),
        (model, "--truth", true, "--exclude", "none"),
        (model, "--truth", true, "--overwrite"),
        (model, "--truth", true, "--irf", model),
    ):
        code, out, err = run("impact", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments


def test_help_names_the_defaults_of_the_calculation(run):
    """They are written out, since the module that calculates is slow to load."""
    _, out, _ = run("impact", "--help")
    assert f"[{'|'.join(SHAPES)}]" in out
    assert f"that of --require, or {HOURS:g}]" in " ".join(out.split())
