"""`simbg validate`: JSON, silence, stages of the progress, and Ctrl-C."""

import inspect
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.processes import HEED, interrupt
from support.results import RESULTS

from simbg.simulation.library import SCENARIOS
from simbg.validation.commands import suite as command
from simbg.validation.figures.rendering import Pictures
from simbg.validation.suite import suite as runner
from simbg.validation.suite.method_in_scenario import Outcome

ESCAPE = "\x1b["


@pytest.fixture
def validated(monkeypatch, tmp_path, run):
    """`simbg validate` with results that are there already; exit code and what it printed."""
    outcomes = [
        Outcome(SCENARIOS["night"], method, None, tuple(r for r in RESULTS if r.method == method))
        for method in ("histogram", "default", "mine")
    ]
    monkeypatch.setattr(command, "run_suite", lambda *args, **kwargs: outcomes)
    monkeypatch.setattr(command, "render", lambda *_: Pictures({}, {}))
    monkeypatch.setattr(
        "simbg.validation.pages.report.page.write_report_page",
        lambda path, *args: path.write_text("<title>simbg validation"),
    )
    monkeypatch.chdir(tmp_path)

    def validated(*words):
        return run("validate", "--scenario", "night", "--jobs", "1", "--out", "out", *words)

    return validated


def test_table_at_the_end(validated):
    code, out, err = validated()
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[-7].split() == ["scenario", "histogram", "default", "mine"]
    assert lines[-1].endswith("out/index.html")
    assert ESCAPE not in out


@pytest.mark.parametrize("words", [["--json"], ["--quiet", "--json"]])
def test_json_is_one_document_with_the_records_that_are_kept(validated, words):
    def refuse(constant):
        raise AssertionError(constant)

    code, out, err = validated(*words)
    document = json.loads(out, parse_constant=refuse)
    assert (code, err) == (1, "")
    assert document["good"] is False
    assert "2 criteria fail" in document["verdict"]
    lines = Path("out/results.jsonl").read_text().splitlines()
    assert document["results"] == [json.loads(line) for line in lines]
    assert len(lines) == len(RESULTS)
    assert document["report"] == "out/index.html"


def test_quiet_says_nothing_but_the_exit_code(validated):
    assert validated("--quiet") == (1, "", "")
    # What is wrong with the usage is no result.
    code, out, err = validated("--quiet", "--seed", "x")
    assert (code, out) == (2, "")
    assert "'x'" in err


def test_every_stage_of_the_suite_is_planned():
    planned = command.stages(list(SCENARIOS.values()), True)
    source = inspect.getsource(command) + inspect.getsource(runner)
    announced = re.findall(r'announce\(executor, "([^"]+)"\)', source)
    assert announced
    assert planned == [*SCENARIOS, "known failures", "baseline", "figures"]
    assert set(announced) == set(planned) - SCENARIOS.keys()


def test_list(run):
    """All options at their defaults: each default is one that the option itself takes."""
    code, out, err = run("validate", "--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [*SCENARIOS, "methods:"]


def test_a_report_is_replaced_and_what_is_beside_it_stays(validated):
    assert validated()[0] == 1
    Path("out/notes.txt").write_text("mine")
    before = Path("out/index.html").stat().st_ino
    assert validated()[0] == 1
    assert Path("out/notes.txt").read_text() == "mine"
    assert Path("out/index.html").stat().st_ino != before
    assert not list(Path("out").glob(".*"))


def test_nothing_of_an_earlier_report_stays(validated):
    """Neither figures of --figures, nor tables of `simbg leaderboard`."""
    assert validated()[0] == 1
    names = {path.name for path in Path("out").iterdir()}
    Path("out/figures").mkdir()
    for name in ("figures/old--pulls.png", "leaderboard.json", "leaderboard.md"):
        Path("out", name).write_bytes(b"")
    assert validated()[0] == 1
    assert {path.name for path in Path("out").iterdir()} == names


@pytest.mark.parametrize("name", ["index.html", "summary.md"])
def test_a_file_of_something_else_is_not_replaced_unasked(validated, name):
    Path("out").mkdir()
    Path("out", name).write_text("mine")
    code, out, err = validated()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"out/{name}" in err
    assert [path.name for path in Path("out").iterdir()] == [name]
    assert Path("out", name).read_text() == "mine"
    assert validated("--overwrite")[0] == 1
    assert Path("out", name).read_text() != "mine"


def test_figures_of_something_else_are_never_replaced(validated):
    Path("out/figures").mkdir(parents=True)
    Path("out/figures/thesis.tex").write_text("mine")
    for more in ([], ["--overwrite"]):
        code, out, err = validated(*more)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "thesis.tex" in err
    assert [path.name for path in Path("out").rglob("*")] == ["figures", "thesis.tex"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_interrupt_while_a_slow_method_runs(tmp_path):
    """It does not wait for the method, and what that started ends with it."""
    slow = tmp_path / "slow.sh"
    slow.write_text(f'echo $$ > "{tmp_path}/started"; sleep 600 # $1\n')
    command = f"sh {slow} {{store}} {{output}}"
    words = ["validate", "--scenario", "night", "--command", command, "--jobs", "2"]
    started = tmp_path / "started"
    code, err, seconds = interrupt(
        f"from simbg.cli.main import main; main({words})",
        lambda: started.is_file() and started.read_text(),
        tmp_path,
    )
    assert code == 130
    assert err == "simbg: interrupted; reports is as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slow.sh", "started"]
    # A piece of work that is under way is not waited for: it would take ten minutes.
    assert seconds < 50
    deadline = time.monotonic() + 10
    while _is_there(int(started.read_text())):
        # Killed, but not yet collected by whoever it was left to.
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_there(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process")
def test_interrupt_says_what_was_kept(tmp_path):
    """Here between the results and the page: a report is written whole, or not at all."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "index.html").write_text("<title>simbg validation")
    program = """
import os, signal
from simbg.validation.commands import suite as command
from simbg.validation.pages.report import page
command.run_suite = lambda *args, **kwargs: []
page.write_junit = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGINT)
from simbg.cli.main import main
main(["validate", "--scenario", "night", "--jobs", "1"])
"""
    program = f"exec({program!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"{HEED}; {program}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.strip() == "simbg: interrupted; reports is as it was"
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["index.html"]
    assert (tmp_path / "reports" / "index.html").read_text() == "<title>simbg validation"
