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

from simbg.cli.main import main
from simbg.simulation.library import SCENARIOS
from simbg.validation.commands import suite as command
from simbg.validation.figures.rendering import Pictures
from simbg.validation.suite import suite as runner
from simbg.validation.suite.method_in_scenario import Outcome

ESCAPE = "\x1b["


@pytest.fixture
def validated(monkeypatch, tmp_path, capsys):
    """`simbg validate` with results that are there already; exit code and what it printed."""
    outcomes = [
        Outcome(SCENARIOS["night"], method, None, tuple(r for r in RESULTS if r.method == method))
        for method in ("histogram", "default", "mine")
    ]
    monkeypatch.setattr(command, "run_suite", lambda *args, **kwargs: outcomes)
    monkeypatch.setattr(command, "render", lambda suite, executor: Pictures({}, {}))
    monkeypatch.setattr("simbg.validation.pages.report.write_report_page", lambda *args: None)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(["validate", "--scenario", "night", "--jobs", "1", "--out", "out", *words])
        return end.value.code, *capsys.readouterr()

    return run


def test_table_at_the_end(validated):
    code, out, err = validated()
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[-4].split() == ["scenario", "histogram", "default", "mine"]
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
    assert "2 fail" in document["verdict"]
    lines = Path("out/results.jsonl").read_text().splitlines()
    assert document["results"] == [json.loads(line) for line in lines]
    assert len(lines) == len(RESULTS)
    assert document["report"] == "out/index.html"


def test_quiet_says_nothing_but_the_exit_code(validated):
    assert validated("--quiet") == (1, "", "")
    # What is wrong with the usage is no result.
    code, out, err = validated("--quiet", "--seed", "x")
    assert (code, out) == (2, "")
    assert "'x' is not a valid integer" in err


def test_every_stage_of_the_suite_is_planned():
    weights = command.plan(list(SCENARIOS.values()), True, True)
    source = inspect.getsource(command) + inspect.getsource(runner)
    announced = re.findall(r'announce\(executor, "([^"]+)"\)', source)
    assert announced
    assert set(announced) == weights.keys() - SCENARIOS.keys()
    assert all(weight > 0 for weight in weights.values())


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_interrupt_while_a_slow_method_runs(tmp_path):
    """It does not wait for the method, and what that started ends with it."""
    slow = tmp_path / "slow.sh"
    slow.write_text(f'echo $$ > "{tmp_path}/started"; sleep 600 # $1\n')
    words = (
        f"['validate', '--scenario', 'night', '--command', 'sh {slow} {{output}}', '--jobs', '2']"
    )
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
    """Here between the results and the page; what was there before is not counted."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "index.html").write_text("old")
    program = """
import os, signal
from simbg.validation.commands import suite as command
from simbg.validation.pages import report
command.run_suite = lambda *args, **kwargs: []
report.write_junit = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGINT)
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
    assert done.stderr.strip() == "simbg: interrupted; kept results.jsonl in reports"
    assert (tmp_path / "reports" / "index.html").read_text() == "old"
