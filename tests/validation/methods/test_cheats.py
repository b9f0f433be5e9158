"""Cheats: those that the process of a method prevents, and those that it cannot.

METHODS.md lists the latter, in "What cannot be prevented".
"""

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simbg.axes import edition2015_axes
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.leaderboard.variation import varied_scenarios
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.suite.replicates import Setting

SEED = "987654321"
# A ranking as a process: its command line contains the scenario and the seed.
RANKING = """
import pickle, sys
from pathlib import Path
from simbg.simulation.library import SCENARIOS
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.command_line import hide_arguments
hide_arguments("leaderboard")
stores = sorted(Path(sys.argv[1]).iterdir())
scenario = SCENARIOS[sys.argv[sys.argv.index("--scenario") + 1]]
done = Candidate("support.odd_methods:Cheats").reconstruct_all(stores, scenario)
print(*(attempt.reason for attempt in done), sep="\\n")
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each cheat finds, all in one ranking."""
    folder = tmp_path_factory.mktemp("stores")
    for number in range(1, 5):
        experiment = Experiment.of(replace(SCENARIOS["night"], ontime=20.0), int(SEED), number)
        experiment.write(folder / f"isolated-{number}")
    program = tmp_path_factory.mktemp("program") / "ranking.py"
    program.write_text(RANKING)
    words = [sys.executable, program, folder, "leaderboard", "--scenario", "night"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*words, "--seed", SEED], capture_output=True, text=True, check=True, env=environment
    )
    imports, child, parents, rest = done.stdout.splitlines()
    return imports, child, parents, json.loads(rest.partition("found ")[2])


def test_a_module_that_knows_the_truth(found):
    assert found[0].startswith("forbidden access: it loads simbg.simulation")
    # Without the audit it is not found.
    assert found[3]["imports"] is None


def test_a_child_process_that_imports_the_scenarios(found):
    assert "ModuleNotFoundError" in found[1]
    assert "ModuleNotFoundError" in found[3]["child"]
    # Control, and a cheat that works: a process with an import path of its own.
    assert found[3]["own path"] == list(SCENARIOS)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the system has no /proc")
def test_the_command_line_of_a_parent(found):
    assert found[2].startswith("forbidden access: it opens /proc/")
    # Without the audit there is nothing to see, up to the process that started the ranking.
    ranking = [line for line in found[3]["parents"] if "leaderboard" in line]
    assert ranking
    shown = " ".join([*ranking, *found[3]["environment"].values()])
    assert SEED not in shown
    assert "night" not in shown


def test_an_import_path_without_a_checkout(found):
    """Nor in the folder of the process; the part of simbg that it can import is the first entry."""
    entries = [Path(entry) for entry in found[3]["path"]]
    assert not [entry for entry in entries if (entry / "pyproject.toml").is_file()]
    folder = Path(found[3]["folder"])
    assert folder.name == "3"
    assert folder.parent.name.startswith("simbg-")
    assert entries[0] == folder.parent / "library"


def test_a_store_says_neither_scenario_nor_seed(tmp_path):
    """Not in its headers, tables and regions, and not in the names of its files."""
    scenario = replace(SCENARIOS["source"], ontime=20.0)
    Experiment.of(scenario, int(SEED), 2).write(tmp_path / "store")
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = (path.name.encode() + content).lower()
        assert SEED.encode() not in text
        for word in (scenario.name, scenario.title, scenario.digest):
            assert word.lower().encode() not in text, path


def learnt(scenario, seed):
    """The metrics of the truth of the library, with Poisson noise, in a scenario."""
    axes, rng = edition2015_axes(8), np.random.default_rng(seed)
    heart = Setting.of(Experiment.of(SCENARIOS[scenario.name], seed), Histogram(), axes)
    setting = Setting.of(Experiment.of(scenario, seed), Histogram(), axes)
    cube = Histogram().estimate(heart.draw(rng)[0])
    pair = CubePair(setting.true, cube, setting.perfect.rate_error)
    return [metric(pair) for metric in CUBE_METRICS.values() if metric.shows_bias]


def largest_pull(values):
    return np.nanmax([abs(value.pull) for value in values])


@pytest.mark.parametrize("seed", range(5))
def test_a_truth_learnt_by_heart(seed):
    """It is right in the scenario of the library, and biased in a drawn one."""
    night = SCENARIOS["night"]
    (drawn,) = varied_scenarios([night], seed)
    assert largest_pull(learnt(night, seed)) < 5
    assert largest_pull(learnt(drawn, seed)) > 10
