"""At the terminal: colours where they belong, JSON, silence, TAB, time left, and Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
import pytest

from simbg.cli.commands import main, simbg
from simbg.parallel import Inline, Watched, workers
from simbg.simulation.scenarios import SCENARIOS
from simbg.validation.commands import validate as command
from simbg.validation.figures.rendering import Pictures
from simbg.validation.pages.terminal import CELLS, plan, result_table
from simbg.validation.suite.results import Result
from simbg.validation.suite.runner import Outcome
from simbg.validation.suite.suite import WORDS

HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
ESCAPE = "\x1b["


def result(scenario, method, status, **more):
    return Result(scenario, "d", method, "norm", status=status, **more)


RESULTS = [
    result("one", "histogram", "ok"),
    result("one", "histogram", "info"),
    result("one", "default", "known", reason="smooth"),
    result("one", "default", "ok"),
    result("two <b>", "histogram", "fail"),
    result("two <b>", "histogram", "fail"),
    result("two <b>", "histogram", "known"),
    result("two <b>", "mine", "error", reason="no"),
]


# The table -------------------------------------------------------------------------------


def test_table_shows_the_worst_of_each_pair():
    lines = [click.unstyle(line) for line in result_table(RESULTS)]
    assert [re.split(r"  +", line) for line in lines] == [
        ["scenario", "histogram", "default", "mine"],
        ["one", "holds", "known failure", "–"],
        ["two <b>", "FAILS (2)", "–", "ERROR"],
    ]
    # Columns stand below each other whatever the colours.
    assert (
        len(
            {line.index(word) for line, word in zip(lines, ("hist", "holds", "FAILS"), strict=True)}
        )
        == 1
    )


def test_words_are_those_of_the_page():
    assert {status: word for status, (word, _) in CELLS.items()} == WORDS


ECHO = f"""
from types import SimpleNamespace
import click
RESULTS = [
    SimpleNamespace(scenario=s, method=m, status=t)
    for s, m, t in {[(r.scenario, r.method, r.status) for r in RESULTS]}
]
from simbg.cli.console import run
from simbg.validation.pages.terminal import result_table

@click.command()
def show():
    for line in result_table(RESULTS):
        click.echo(line)

run(show, "show")([])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_colours_on_a_terminal_only_and_not_where_nobody_wants_them():
    import pty

    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    program = [sys.executable, "-c", ECHO]
    shown = {}
    for name, more in (("terminal", {}), ("NO_COLOR", {"NO_COLOR": "1"})):
        ours, theirs = pty.openpty()
        subprocess.run(program, env=environment | more, stdout=theirs, check=True)
        os.close(theirs)
        shown[name] = read_all(ours).replace("\r\n", "\n")
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert ESCAPE in shown["terminal"]
    assert ESCAPE not in done.stdout + shown["NO_COLOR"]
    assert done.stdout == shown["NO_COLOR"] == click.unstyle(shown["terminal"])
    # The failure is red and bold, what holds is neither.
    assert "\x1b[31m\x1b[1mFAILS (2)" in shown["terminal"]
    assert "\x1b[32mholds" in shown["terminal"]


def read_all(descriptor):
    parts = []
    try:
        while part := os.read(descriptor, 4096):
            parts.append(part)
    except OSError:  # On Linux the end of a terminal that nobody writes to any more.
        pass
    os.close(descriptor)
    return b"".join(parts).decode()


# JSON and silence --------------------------------------------------------------------------


@pytest.fixture
def validated(monkeypatch, tmp_path, capsys):
    """`simbg validate` with results that are there already; exit code and what it printed."""
    outcomes = [
        Outcome(SCENARIOS["night"], method, None, tuple(r for r in RESULTS if r.method == method))
        for method in ("histogram", "default", "mine")
    ]
    monkeypatch.setattr(command, "run_suite", lambda *args, **kwargs: outcomes)
    monkeypatch.setattr(command, "render", lambda suite, executor: Pictures({}, {}))
    monkeypatch.setattr("simbg.validation.pages.report.write_page", lambda *args: None)
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


# Completion --------------------------------------------------------------------------------


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
        ("simbg validate --method baccmod-r", ["baccmod-radial"]),
        ("simbg validate --qui", ["--quiet"]),
        ("simbg simulate --scenario seed", ["seed-2015"]),
        ("simbg truth --model ni", ["night"]),
        ("simbg reconstruct --method mi", ["michi"]),
        ("simbg pl", ["plot"]),
        ("simbg validate --scenario xyz", []),
    ],
)
def test_completion(monkeypatch, capsys, words, found):
    assert complete(monkeypatch, capsys, words) == found


def test_all_scenarios_are_offered(monkeypatch, capsys):
    words = "simbg validate --scenario "
    assert complete(monkeypatch, capsys, words) == list(SCENARIOS)


def test_readme_says_how():
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert 'eval "$(_SIMBG_COMPLETE=bash_source simbg)"' in text


def test_help_has_examples():
    """Of every command: a line that begins as one would type it."""
    for name in simbg.commands:
        name, chosen, _ = simbg.resolve_command(click.Context(simbg), [name])
        text = chosen.get_help(click.Context(chosen, info_name=f"simbg {name}"))
        examples = [line for line in text.splitlines() if line.strip().startswith(f"simbg {name} ")]
        assert examples, name


# Progress ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_tells_the_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    watched = Watched(Inline(), "work", " runs", 1)
    assert list(watched.map(abs, [-1, -2, -3])) == [1, 2, 3]
    watched.bar.refresh()
    assert re.search(r"work: 100% \|.*\| 3/3 runs, 00:0\d, 00:0\d left", terminal.getvalue())


def test_stages_are_told_and_end_where_they_were_planned(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    watched = Watched(Inline(), "validate", " pieces", 1)
    watched.plan({"a": 3.0, "b": 1.0, "c": 0.0})
    seen = []
    for stage, rounds in (("a", 9), ("b", 0), ("c", 2), ("unplanned", 1)):
        watched.enter(stage)
        seen.append(watched.bar.n)
        for _ in range(rounds):
            list(watched.map(abs, range(5)))
            seen.append(watched.bar.n)
    assert seen == sorted(seen)
    assert [seen[0], seen[10], seen[11]] == [0, 3, 4]
    assert seen[1] > 0
    assert seen[9] < 3
    assert watched.bar.n == watched.bar.total == 4
    assert "validate, b" in terminal.getvalue()
    assert "left" in terminal.getvalue()


def test_no_bar_in_a_log_or_when_quiet(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(Watched(Inline(), "work", " runs", 1, quiet=True).map(abs, [1])) == [1]
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    watched = Watched(Inline(), "work", " runs", 1)
    watched.plan({"a": 1.0})
    watched.enter("a")
    assert list(watched.map(abs, [1])) == [1]
    assert sys.stderr.getvalue() == ""


def test_every_stage_of_the_suite_is_planned():
    weights = plan(list(SCENARIOS.values()), True, True)
    source = (
        Path(command.__file__).read_text() + Path(command.__file__).with_name("run.py").read_text()
    )
    announced = re.findall(r'announce\(executor, "([^"]+)"\)', source)
    assert announced
    assert set(announced) == weights.keys() - SCENARIOS.keys()
    assert all(weight > 0 for weight in weights.values())


# Ctrl-C ------------------------------------------------------------------------------------


def interrupt(program, ready, cwd, timeout=60):
    """Start a process, interrupt it and its children when it is ready: code, error, seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HEED}; {program}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + timeout
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, err.strip("\n"), time.monotonic() - start


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
        f"from simbg.cli.commands import main; main({words})",
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
from simbg.validation.commands import validate as command, report
command.run_suite = lambda *args, **kwargs: []
report.write_junit = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGINT)
from simbg.cli.commands import main
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


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_interrupted_fixtures_leave_nothing(tmp_path):
    def ready():
        return any(path.name.startswith(".simbg-") for path in tmp_path.iterdir())

    program = "from simbg.cli.commands import main; main(['fixtures', 'out'])"
    code, err, _ = interrupt(program, ready, tmp_path)
    assert (code, err) == (130, "simbg: interrupted; nothing was left half-written")
    assert not list(tmp_path.iterdir())


def _swallow(number, done):
    """Interrupted in the second piece, by something that lets nobody know."""
    done.append(number)
    if number == 1:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupt_that_is_swallowed_counts():
    before, done = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        with pytest.raises(KeyboardInterrupt), workers(1) as executor:
            list(executor.map(partial(_swallow, done=done), range(5)))
        assert done == [0, 1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
