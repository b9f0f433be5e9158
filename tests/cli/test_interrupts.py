"""Ctrl-C: nothing is left half-written."""

import os
from pathlib import Path

import pytest
from support.command_lines import left
from support.processes import interrupt

from simbg.io.cubes import write_cube

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
