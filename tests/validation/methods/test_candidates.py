"""Candidates, by the examples of METHODS.md: what a user names becomes a row of results."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.candidates import InMemory

from simbg.cli.main import main
from simbg.io.cubes import read_model, write_cube
from simbg.models.runs import open_store
from simbg.observations.exposure import stack_observations
from simbg.radial import RadialModel
from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.commands import suite as command
from simbg.validation.figures.rendering import Pictures
from simbg.validation.methods.candidates import Candidate
from simbg.validation.suite.suite import run_suite

EXAMPLES = Path(__file__).parents[2] / "support" / "examples"
TEXT = Path(__file__).parents[3] / "validation" / "METHODS.md"
# Few runs of a truth whose field widens with energy.
TINY = replace(
    SCENARIOS["night"],
    name="tiny",
    truth=GaussianTruth(index=2.5, event_rate=15.0),
    n_obs=2,
    ontime=600.0,
)


COMMAND = f"{sys.executable} mytool.py {{store}} {{output}}"
TOOL = f"{Path(sys.executable).name} mytool.py"
# Reasons, for each method that does what it may not.
BAD = {
    "support.odd_methods:Crashes": "was ended by SIGSEGV",
    "false": "ended with exit code 1",
}
SEPARABLE = "support.odd_methods:Separable"
GOOD = ("my_method:MyMethod", "half", TOOL)


def simbg(*words):
    """Run a command line; its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def pip_install(package, target):
    """Without network, by the build backend that is here."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: it is in group test")
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    words = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", target, package]
    subprocess.run(words, check=True)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(SCENARIOS, "tiny", TINY)


def run_candidates(folder, patch):
    """A leaderboard of the examples, in a user's folder, and of methods that fail."""
    shutil.copytree(EXAMPLES, folder)
    # As users have it: Python writes what it compiles beside the code.
    patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    patch.chdir(folder)
    pip_install("./package", "site")
    # As with PYTHONPATH=.:site
    patch.syspath_prepend(str(folder / "site"))
    patch.syspath_prepend(str(folder))
    methods = [*GOOD[:2], SEPARABLE, *(name for name in BAD if ":" in name)]
    words = [word for name in methods for word in ("--method", name)]
    words += ["--command", COMMAND, "--command", "false {store} {output}"]
    words += ["--scenario", "tiny", "--stores", 2, "--jobs", 2, "--seed", 0]
    # Figures have tests of their own, and take half of the time.
    patch.setattr(command, "render", lambda *_: Pictures({}, {}))
    assert simbg("leaderboard", *words, "--out", "out") == 1
    record = json.loads(Path("out", "leaderboard.json").read_text())
    return {row["method"]: row for row in record["standings"]}


@pytest.mark.slow
def test_whatever_a_method_is_and_does_it_has_a_row(tmp_path, monkeypatch):
    """Each kind of candidate, `half` from pip install on, beside methods that fail."""
    rows = run_candidates(tmp_path / "work", monkeypatch)
    assert rows.keys() == {*GOOD, SEPARABLE, *BAD}
    for name in (*GOOD, SEPARABLE):
        row = rows[name]
        assert row["reason"] == ""
        # Six standard errors of 15 000 events.
        assert abs(row["norm"]) < 6 / np.sqrt(0.8 * 15_000)
        # The field widens with energy, which one image for all cannot know.
        assert (row["verdict"] == "fail") == (name == SEPARABLE), row["why"]
        assert ("bias" in row["why"]) == (name == SEPARABLE)
        assert row["seconds"] > 0
    out = tmp_path / "work" / "out"
    table, page = (out / "leaderboard.md").read_text(), (out / "index.html").read_text()
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for name, reason in BAD.items():
        assert rows[name]["verdict"] == "error"
        assert reason in rows[name]["why"], (name, rows[name]["why"])
        escaped = name.replace("_", r"\_")  # as Markdown has it
        assert f"| tiny | {escaped} | error |" in table
        (result,) = [line for line in lines if line["method"] == name]
        assert (result["metric"], result["status"]) == ("run", "error")
        assert reason in result["reason"]
        assert name in page


def test_finished_files_are_those_of_the_store_of_the_same_seed(tmp_path, monkeypatch):
    """The store that `simbg simulate` writes has the events of `simbg validate`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "render", lambda *_: Pictures({}, {}))
    assert simbg("simulate", "store", "--scenario", "tiny", "--seed", 3) == 0
    Path("mine").mkdir()
    cube = reconstruct(Histogram(), open_store("store").observations([1, 2]))
    write_cube(Path("mine/tiny.fits"), cube)
    words = ["--method", "histogram", "--models", "mine", "--scenario", "tiny", "--seed", 3]
    simbg("validate", *words, "--jobs", 1, "--quiet")
    lines = [json.loads(line) for line in Path("reports/results.jsonl").read_text().splitlines()]
    values = {(line["method"], line["metric"]): line["value"] for line in lines}
    for metric in ("norm", "index", "width", "lost_information"):
        assert_allclose(values["mine", metric], values["histogram", metric], rtol=1e-5)  # float32


def test_examples_are_those_of_the_text():
    """METHODS.md shows parts of the files that are run here, and names them."""
    text = TEXT.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    files = [EXAMPLES / "my_method.py", EXAMPLES / "package" / "pyproject.toml"]
    for path in files:
        content = path.read_text(encoding="utf-8")
        assert any(block in content for block in blocks), path
    for name in ("my_method.py", "mytool.py", "package"):
        assert f"(../tests/support/examples/{name})" in text


@pytest.mark.parametrize("name", ["source", "drift"])
def test_the_program_and_the_library_agree(tmp_path, monkeypatch, name):
    """Counts, masks that turn with the field, thresholds, and exposure, by astropy alone."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import mytool

    scenario = replace(SCENARIOS[name], n_obs=2, energy_threshold=0.2)
    experiment = Experiment.of(scenario, 5)
    experiment.write(tmp_path / "store")
    mytool.write_bkg_3d(tmp_path / "model.fits", mytool.rate_of(tmp_path / "store"))
    cube = read_model(tmp_path / "model.fits")
    stack = stack_observations(experiment.observations(), cube.axes)
    # The program knows borders of masks to a ninth of a pixel, 100 times a run.
    seen = stack.ontime > 0.02 * stack.ontime.max()
    assert np.isfinite(cube.rate[seen]).all()
    assert np.isnan(cube.rate[cube.axes.energy[:-1] < 0.2]).all()
    counts, expected = stack.counts[seen], (stack.ontime * cube.rate * cube.axes.volume)[seen]
    assert_allclose(expected.sum(), counts.sum(), rtol=1e-3)
    assert np.mean(np.abs(expected - counts) > 0.2) < 1e-3


def test_a_method_that_fails_in_one_scenario_holds_in_the_other():
    scenarios = [replace(TINY, name="tinier", n_obs=1), TINY]
    failed, _, held, _ = run_suite(scenarios, [InMemory("support.odd_methods:NeedsRuns")], 0)
    (result,) = failed.results
    assert (result.scenario, result.status) == ("tinier", "error")
    assert result.reason == "RuntimeError: got 1 runs, expected 2"
    assert len(held.results) > 5
    assert not {result.status for result in held.results} & {"fail", "error"}


def test_a_rate_alone_becomes_files(tmp_path):
    """A method that returns no exposure, in `simbg reconstruct`: it is that of its runs."""
    store, models = tmp_path / "store", tmp_path / "models"
    assert simbg("simulate", store, "--scenario", "tiny") == 0
    method = ("--method", SEPARABLE, "--group-by", "runs:2")
    assert simbg("reconstruct", store, models, "--exclude", "none", *method) == 0
    table = TINY.table(0)
    dead = table["LIVETIME"].sum() / table["ONTIME"].sum()
    per_livetime = read_model(models / "bg_cube_model_group0_table.fits.gz")
    per_ontime = read_model(models / "bg_cube_model_group0_gadf.fits.gz")
    assert_allclose(per_ontime.rate, dead * per_livetime.rate, rtol=1e-6)  # float32
    assert_allclose(per_livetime.livetime.max(), table["LIVETIME"].sum())
    events = (per_livetime.rate * per_livetime.livetime * per_livetime.axes.volume).sum()
    assert_allclose(events, per_livetime.counts.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("mytool {store} {output}", "mytool"),
        ("/opt/bin/mytool --fast {store} {output}", "mytool --fast"),
        ("python -m mytool {store} {output}", "python -m mytool"),
        ("python mytool.py --in={store} --out={output}", "python mytool.py"),
        ("'a b' {store} {output}", "a b"),
    ],
)
def test_names_of_commands(template, name):
    assert Candidate.command(template).name == name


def test_files_of_a_command_are_found_from_its_own_folder(monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    here, rest = f"{EXAMPLES}/mytool.py", ["{store}", "{output}"]
    for template, words in {
        "python mytool.py 'no such.py' {store} {output}": ["python", here, "no such.py", *rest],
        "./mytool.py {store} {output}": [here, *rest],
        "mytool.py {store} {output}": ["mytool.py", *rest],
        "sh -c '" + 300 * "x" + "' {store} {output}": ["sh", "-c", 300 * "x", *rest],
    }.items():
        assert shlex.split(Candidate.command(template).text) == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--command", "mytool {store}"), "{output}"),
        (("--command", "mytool {output}"), "{store}"),
        (("--command", ""), "--command"),
        (("--command", "{store} {output}"), "'{store} {output}'"),
        (("--command", "nosuch {store} {output}"), "nosuch"),
        (("--command", "./nosuch {store} {output}"), "./nosuch"),
        (
            ("--command", "a {store} {output}", "--command", "a {store} {output} b"),
            "the name a",
        ),
        (("--command", "a {store} '{output}"), '"a {store} \'{output}"'),
        (("--command", "histogram {store} {output}"), "'histogram'"),
        (("--command", "per-run {store} {output}"), "'per-run'"),
        (("--method", ""), "--method"),
        (("--method", "nosuch"), "'nosuch'"),
        (("--method", "histgram"), "did you mean 'histogram'"),
        (("--method", "nosuch:Method"), "'nosuch:Method'"),
        (("--method", "support.odd_methods:NoSuch"), "'support.odd_methods:NoSuch'"),
        (("--method", "simbg.cube:BackgroundCube"), "'simbg.cube:BackgroundCube'"),
        (("--command", "a\udcff {store} {output}"), "'a\\udcff'"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "leaderboard"])
def test_bad_candidates_are_one_line(tmp_path, capsys, monkeypatch, command, words, message):
    """Before anything is simulated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simbg.validation.commands.suite.run_suite", None)
    assert simbg(command, *words, "--scenario", "tiny", "--out", "out") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "nowhere"), (".", "tiny.fits[.gz]")])
def test_folders_of_models(tmp_path, run, monkeypatch, folder, message):
    """A ranking takes none, since it draws its scenarios when it starts."""
    monkeypatch.chdir(tmp_path)
    code, _, err = run("validate", "--models", folder, "--scenario", "tiny")
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    code, _, err = run("leaderboard", "--models", folder)
    assert code == 2
    assert "--models" in err
    assert not list(tmp_path.iterdir())


def test_a_folder_may_not_be_called_as_a_method_of_ours(tmp_path):
    """Its failures would count as those that are known of ours."""
    (tmp_path / "michi").mkdir()
    with pytest.raises(ValueError, match="got 'michi'"):
        Candidate.files(tmp_path / "michi")


def test_finished_files(tmp_path, cube):
    """Either name; what cannot be read is a reason that names it."""
    candidate = Candidate.files(tmp_path)
    write_cube(tmp_path / "tiny.fits.gz", cube)
    assert_allclose(candidate.reconstruct(None, TINY).cube.rate, cube.per("ontime").rate)
    (tmp_path / "tiny.fits").write_text("no")
    done = candidate.reconstruct(None, TINY)
    assert done.cube is None
    assert f"{tmp_path}/tiny.fits" in done.reason


def test_radial_models_are_judged_inside_of_their_last_ring(tmp_path):
    """A BKG_2D says nothing of the corners outside of its rings, so they do not count."""
    offset = np.append(np.arange(0, 4, 0.25), [4, 4.5, 5, 6])
    rings = RadialModel(np.geomspace(0.1, 100, 13), offset, np.ones((12, 19)), clock="ontime")
    rings.write(tmp_path / "tiny.fits")
    cube = Candidate.files(tmp_path).reconstruct(None, TINY).cube
    assert cube.axes.fov_lon[-1] == 6 / np.sqrt(2)
    assert_allclose(cube.rate, 1, rtol=1e-12)
    # Control: the square around the rings is dark in its corners.
    around = read_model(tmp_path / "tiny.fits")
    assert around.axes.fov_lon[-1] == 6
    assert around.rate[0, 0, 0] == 0
