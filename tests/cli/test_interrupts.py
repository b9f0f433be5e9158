"""Ctrl-C: nothing is left half-written."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.command_lines import left
from support.processes import HEED, interrupt

from simbg.io.cubes import write_cube
from simbg.io.files.work_places import scratch_folder
from simbg.io.safe_files import new_directory

WRITES = {
    "truth": ["truth", "out.fits", "--model", "seed-2015"],
    "compare": ["compare", "../a.fits", "../a.fits", "--out", "out", "--json", "out.json"],
    "plot": ["plot", "../a.fits"],
    "reconstruct": ["reconstruct", "../stores/gadf", "out", "--exclude", "none", "--jobs", "1"],
    "simulate": ["simulate", "out", "--scenario", "night", "--runs", "1", "--jobs", "1"],
}


@pytest.mark.parametrize("command", WRITES)
@pytest.mark.parametrize("where", ["os.replace", "pathlib.Path.write_bytes"])
def test_interrupt_while_writing(place, cube, run, monkeypatch, command, where):
    """At a moment when a file is half there, or whole but without its name."""
    write_cube("../a.fits", cube)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    # What moves whole folders does not write bytes, and pictures are written by others.
    if where == "pathlib.Path.write_bytes" and command in ("compare", "plot"):
        where = "matplotlib.figure.Figure.savefig"
    monkeypatch.setattr(where, interrupted)
    code, out, err = run(*WRITES[command])
    assert (code, out) == (130, "")
    assert err.strip() == "simbg: interrupted; nothing was left half-written"
    assert left() == []


def test_an_interrupt_removes_temporary_folders_of_its_workers(place, run, monkeypatch):
    """They have ended by then, without removing them; a folder in use stays."""

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    Path("tmp/simbg-work-dead/store").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", "tmp")
    monkeypatch.setattr("os.replace", interrupted)
    with scratch_folder() as used:
        Path("tmp/simbg-work-dead/store").mkdir(parents=True)
        assert run(*WRITES["truth"])[0] == 130
        assert list(Path("tmp").iterdir()) == [used]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
@pytest.mark.parametrize(("scheme", "jobs"), [("gadf", "2"), ("hess", "1")])
def test_interrupt_leaves_nothing(place, scheme, jobs):
    """Ctrl-C goes to all processes of the terminal: to the workers, too."""
    options = ["--runs", "2000", "--jobs", jobs, "--scheme", scheme]
    program = f"from simbg.cli.main import main; main({['simulate', 'out', *options]})"
    code, err, _ = interrupt(program, run_is_written, Path.cwd())
    assert (code, err) == (130, "simbg: interrupted; nothing was left half-written")
    assert left() == []


def run_is_written():
    """Whether a run has been written to the temporary folder."""
    begun = any(name.startswith(".simbg-") for name in left())
    return begun and any(
        name.endswith(".fits.gz") for _, _, names in os.walk(".") for name in names
    )


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a process group")
def test_interrupted_fixtures_leave_nothing(tmp_path):
    def ready():
        return any(path.name.startswith(".simbg-") for path in tmp_path.iterdir())

    program = "from simbg.cli.main import main; main(['fixtures', 'out'])"
    code, err, _ = interrupt(program, ready, tmp_path)
    assert (code, err) == (130, "simbg: interrupted; nothing was left half-written")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_main_process(place, sign):
    """Whatever ends it. SIGTERM leaves nothing, and the next run removes what SIGKILL leaves."""
    words = ["simulate", "out", "--runs", "2000", "--jobs", "2"]
    program = f"from simbg.cli.main import main; main({words})"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HEED}; {program}"], stderr=subprocess.PIPE, start_new_session=True
    )
    while not run_is_written():
        assert process.poll() is None
        time.sleep(0.05)
    assert len(in_session(process.pid)) == 3
    process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while in_session(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if sign == signal.SIGTERM:
        assert process.returncode == 143
        assert err.decode().strip() == "simbg: interrupted; nothing was left half-written"
        assert left() == []
    else:
        with new_directory("out") as folder:
            (folder / "index").touch()
        assert left() == ["out"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_in_the_background(place):
    """Ctrl-C and a hang-up are ignored, as a script and nohup ask for; SIGTERM leaves nothing."""
    words = ["simulate", "out", "--runs", "2000", "--jobs", "2"]
    ignore = "from signal import *; signal(SIGINT, SIG_IGN); signal(SIGHUP, SIG_IGN)"
    program = f"{ignore}; from simbg.cli.main import main; main({words})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        while not run_is_written():
            assert process.poll() is None
            time.sleep(0.05)
        before = in_session(process.pid)
        for sign in (signal.SIGINT, signal.SIGHUP):
            os.killpg(process.pid, sign)
        time.sleep(0.3)
        assert in_session(process.pid) == before
        process.terminate()
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143
    assert err.decode().strip() == "simbg: interrupted; nothing was left half-written"
    assert left() == []


def in_session(number):
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            found += [path] * (int(session) == number and state != "Z")
    return found
