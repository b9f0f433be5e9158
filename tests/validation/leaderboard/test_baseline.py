"""The baseline of any method: what is worse is named, and what is unchanged is silent."""

import json
import math
import os
import re
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.candidates import InMemory
from support.faults import killed_at_step
from support.odd_methods import Tunable
from support.outcomes import scored

from simbg.cli.main import main
from simbg.simulation.library import SCENARIOS
from simbg.validation.commands import suite as command
from simbg.validation.commands.validate import validate
from simbg.validation.figures.rendering import Pictures
from simbg.validation.leaderboard.baseline import Accuracies, Baseline
from simbg.validation.suite.baseline import Losses

TEXT = Path(__file__).parents[3] / "validation" / "GATE.md"
NIGHT, SOURCE = SCENARIOS["night"], SCENARIOS["source-ignored"]


def outcome(accuracy, method="mine", scenario=NIGHT):
    one = scored(method, accuracy, accuracy / 50, scenario.name, stores=4)
    one.scenario = scenario
    return one


def accuracies(*outcomes, seed=0):
    return Accuracies.of(outcomes, seed)


def statuses(old, new, limit=0.05):
    return [change.status for change in new.changes_since(old, limit)]


@pytest.mark.parametrize(
    ("new", "status"),
    [(0.2, "same"), (0.2099, "same"), (0.2101, "worse"), (0.1910, "same"), (0.19, "better")],
)
def test_the_limit_is_relative(new, status):
    assert statuses(accuracies(outcome(0.2)), accuracies(outcome(new))) == [status]


def test_a_cube_that_is_lost_and_one_that_is_new():
    old, new = accuracies(outcome(0.2)), accuracies(outcome(math.nan), outcome(0.3, "other"))
    assert statuses(old, new) == ["lost", "new"]
    good, lines = Baseline(Losses(), new).changes_since(Baseline(Losses(), old), 0.05)
    assert not good
    assert [line.split(" accuracy: ")[0] for line in lines] == ["night mine", "night other"]


def test_other_events_are_not_compared():
    """Another seed, another number of stores, or a scenario that was edited."""
    edited = outcome(0.9, scenario=replace(NIGHT, n_obs=9))
    fewer = outcome(0.9)
    fewer.score = replace(fewer.score, stores=3)
    old = accuracies(outcome(0.2))
    for new in (accuracies(edited), accuracies(fewer), accuracies(outcome(0.9), seed=1)):
        assert statuses(old, new) == ["new"]
        # Nothing could be compared: that is not good.
        assert not Baseline(Losses(), new).changes_since(Baseline(Losses(), old), 0.05)[0]


def test_a_bias_that_every_method_has_is_not_its_accuracy():
    assert accuracies(outcome(0.2, scenario=SOURCE)) == {}


def test_files_keep_what_was_not_run(tmp_path):
    first = accuracies(outcome(0.2), outcome(0.3, "other"))
    Baseline(Losses(), first).update(tmp_path)
    Baseline(Losses(), accuracies(outcome(0.1))).update(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["accuracies.jsonl"]
    assert Accuracies.read(tmp_path) == accuracies(outcome(0.1), outcome(0.3, "other"))
    candidates = [SimpleNamespace(name="mine", ours=False)]
    read = Baseline.read(tmp_path, [NIGHT], candidates, 0)
    assert read.accuracies == accuracies(outcome(0.1))
    with pytest.raises(ValueError, match="got seed 1, expected 0"):
        Baseline.read(tmp_path, [NIGHT], candidates, 1)


@pytest.mark.parametrize("record", ['{"schema": 1}', '{"schema": 1, "accuracy": -1}', "[]", "x"])
def test_a_foreign_file_is_refused(tmp_path, record):
    (tmp_path / "accuracies.jsonl").write_text(record + "\n")
    with pytest.raises(ValueError, match=r"accuracies\.jsonl, line 1"):
        Accuracies.read(tmp_path)


@pytest.fixture
def validated(tmp_path, monkeypatch, run):
    """`simbg validate` with a method in memory, in a small scenario."""
    monkeypatch.chdir(tmp_path)
    tiny = replace(NIGHT, name="tiny", n_obs=2, ontime=600.0)
    monkeypatch.setitem(SCENARIOS, "tiny", tiny)
    monkeypatch.setattr(command, "Candidate", InMemory)
    monkeypatch.setattr(InMemory, "check", lambda *_: None)
    monkeypatch.setattr(command, "render", lambda *_: Pictures({}, {}))
    method = ("--method", "support.odd_methods:Tunable", "--scenario", "tiny", "--jobs", 1)

    def validated(*words):
        return run("validate", *method, "--baseline", "kept", *words)

    return validated


def test_the_workflow(validated, monkeypatch):
    """First there is none; then it is made; nothing changes; and then the method is worse."""
    code, out, err = validated()
    assert (code, err.count("\n")) == (2, 1)
    assert "--update-baseline" in err
    assert validated("--update-baseline")[0] == 0
    (line,) = Path("kept/accuracies.jsonl").read_text().splitlines()
    accuracy = json.loads(line)["accuracy"]
    code, out, err = validated()
    assert (code, err) == (0, "")
    monkeypatch.setattr(Tunable, "factor", 1.6)
    code, out, err = validated()
    summary = Path("reports/summary.md").read_text()
    (said,) = [line for line in summary.splitlines() if "worse" in line and "→" in line]
    assert code == 1
    # The norm adds 60 % in quadrature to the noise, which is 1.6 times as large.
    found = [float(number) / 100 for number in re.findall(r"([\d.]+) %", said)][:2]
    assert found[0] == pytest.approx(accuracy, rel=1e-3)
    assert found[1] == pytest.approx(math.hypot(0.6, 1.6 * accuracy), rel=0.02)
    # The gate alone: a limit that it keeps.
    assert "worse than the baseline" in out
    assert "worse than the baseline" not in validated("--fail-above", "1000%")[1]
    # The file is as it was, until it is updated.
    assert Path("kept/accuracies.jsonl").read_text().splitlines() == [line]


MISTAKES = {
    "no baseline": (["--update-baseline"], "--update-baseline has no effect"),
    "no gate": (["--method", "x:X", "--fail-above", "5%"], "--fail-above has no effect"),
    "ours": (["--method", "michi", "--baseline", "b", "--fail-above", "5%"], "methods are those"),
    "no percentage": (["--baseline", "b", "--fail-above", "5"], "'5'"),
    "a negative one": (["--baseline", "b", "--fail-above=-5%"], "'-5%'"),
    "no number": (["--baseline", "b", "--fail-above", "x%"], "'x%'"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(InMemory, "check", lambda *_: None)
    monkeypatch.setattr(command, "Candidate", InMemory)
    arguments, message = MISTAKES[words]
    code, _, err = run("validate", *arguments, command=main)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not list(tmp_path.iterdir())


def test_commands_of_the_text():
    """The commands of the workflow in GATE.md are commands of simbg."""
    text = TEXT.read_text(encoding="utf-8")
    (workflow,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    commands = re.findall(r"^(?: *- run: )?simbg validate (.*--baseline.*)$", text, re.MULTILINE)
    assert len(commands) > 1
    assert any(f"simbg validate {words}" in workflow for words in commands)
    for words in commands:
        assert validate.make_context("validate", words.split()).params["baseline"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_losses_and_accuracies_are_those_of_one_run(tmp_path):
    """Also after a run that is killed at any step; the next run completes what it left."""

    def update(folder, number):
        losses = Losses({("night", "x", "mine", "norm"): (number,) * 3})
        Baseline(losses, accuracies(outcome(number))).update(folder)

    wholes = []
    for number in (0.1, 0.2):
        update(tmp_path / str(number), number)
        wholes.append({p.name: p.read_text() for p in (tmp_path / str(number)).iterdir()})
    seen, ours = [], [SimpleNamespace(name="histogram", ours=True)]
    for step in count():
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        killed_at_step(step, lambda: update(tmp_path / "new", 0.2))
        Baseline.read(tmp_path / "new", [NIGHT], ours, 0, True)
        update(tmp_path / "new", 0.2)
        assert {p.name: p.read_text() for p in (tmp_path / "new").iterdir()} == wholes[1]
        update(tmp_path / "now", 0.1)
        killed = killed_at_step(step, lambda: update(tmp_path / "now", 0.2))
        seen.append({p.name: p.read_text() for p in (tmp_path / "now").iterdir()})
        if not killed:
            break
    assert len(wholes[0]) == 2
    assert seen[0] == wholes[0]
    assert seen[-1] == wholes[1]
    assert all(one in wholes for one in seen)
