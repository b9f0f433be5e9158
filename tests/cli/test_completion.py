"""What a shell completes on TAB."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simbg.cli.main import main
from simbg.simulation.library import SCENARIOS


def complete(monkeypatch, capsys, words):
    """What bash is given for TAB at the end of a line."""
    for name, value in (
        ("COMP_WORDS", words),
        ("COMP_CWORD", str(len(words.split(" ")) - 1)),
        ("_SIMBG_COMPLETE", "bash_complete"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    lines = capsys.readouterr().out.splitlines()
    return [line.split(",")[1] for line in lines if line]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("simbg validate --scenario ni", ["night"]),
        ("simbg validate --method hi", ["histogram"]),
        ("simbg validate --qui", ["--quiet"]),
        ("simbg simulate --scenario seed", ["seed-2015"]),
        ("simbg truth --model ni", ["night"]),
        ("simbg reconstruct --method mi", ["michi"]),
        ("simbg leaderboard --method hi", ["histogram"]),
        ("simbg pl", ["plot"]),
        ("simbg challenge s", ["score"]),
        ("simbg validate --scenario xyz", []),
    ],
)
def test_completion(monkeypatch, capsys, words, found):
    assert complete(monkeypatch, capsys, words) == found


def test_all_scenarios_are_offered(monkeypatch, capsys):
    words = "simbg validate --scenario "
    assert complete(monkeypatch, capsys, words) == list(SCENARIOS)


def test_the_guide_says_how():
    text = (Path(__file__).parents[2] / "simbg" / "GUIDE.md").read_text(encoding="utf-8")
    assert 'eval "$(_SIMBG_COMPLETE=bash_source simbg)"' in text


@pytest.mark.parametrize("words", ["simbg ", "simbg validate --scenario "])
def test_completion_loads_no_numpy(words):
    """Which takes as long as all the rest: a shell waits for this program at each TAB."""
    program = (
        "import sys; from simbg.cli.main import main\n"
        "try: main([])\nexcept SystemExit: print('numpy' in sys.modules)"
    )
    number = str(len(words.split(" ")) - 1)
    more = {"_SIMBG_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
    command, environment = [sys.executable, "-c", program], os.environ | more
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "plain," in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
