"""The command `simbg`: its help, and what a shell sees of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from simbg import __version__
from simbg.cli.edition2015 import main as make_bg_cube_models
from simbg.cli.main import main

COMMANDS = main.command.list_commands(None)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_in_the_order_of_the_work(run, word):
    code, out, err = run(word)
    assert (code, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    shown = [words[0] for words in lines if words[0] in COMMANDS]
    assert shown == COMMANDS
    assert shown[:2] == ["truth", "simulate"]
    assert shown.index("reconstruct") < shown.index("compare") < shown.index("validate")
    # No summary is cut.
    assert "..." not in out.split("\n\n", 1)[1]


def test_help_names_the_guide(run):
    (path,) = re.findall(r"^Guide: (.*)$", run("--help")[1], re.MULTILINE)
    assert "# Guide" in Path(path).read_text(encoding="utf-8")


def test_help_loads_no_command():
    """Nor numpy: it would take a second."""
    program = "import sys; from simbg.cli.main import main\ntry: main(['-h'])\nexcept SystemExit: "
    program += "print({'numpy', 'astropy', 'simbg.validation'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def leaves(group, *names):
    """Names and command of each command in a group, and in the groups in it."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from leaves(command, *names, name)
        else:
            yield (*names, name), command


ALL = {" ".join(names): command for names, command in leaves(main.command)}


@pytest.mark.parametrize("name", ALL)
def test_help_of_a_command(run, name, monkeypatch):
    """It fits a screen, begins as the list of commands does, and has examples and exit codes."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert any(line.strip().startswith(f"simbg {name} ") for line in lines)
    *_, codes = out.split("\n\n")
    assert {"0", "2"} <= set(re.findall(r"\b\d\b", codes))
    summary = ALL[name].help.splitlines()[0]
    assert summary in run(*name.split()[:-1], "--help")[1]


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_described_and_shown(run, name):
    out = run(*name.split(), "--help")[1]
    for param in ALL[name].params:
        if isinstance(param, click.Option):
            assert param.help, param.name
            assert param.opts[0] in out


def test_help_of_2015(run):
    code, out, _ = run("--help", command=make_bg_cube_models)
    assert code == 0
    for option in ("--test", "--overwrite", "--method", "-l, --loglevel"):
        assert option in out


def test_version(run):
    assert run("--version")[:2] == (0, f"simbg, version {__version__}\n")


def test_as_a_process(place):
    """What a shell sees: exit code and streams, from the installed script's function."""
    script = "from simbg.cli.main import main; main()"
    command = [sys.executable, "-c", script, "reconstruct", "nowhere", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [("--help",), ("validate", "--list")])
def test_a_reader_that_has_gone(words):
    """An error, not the 1 of cubes that differ."""
    script = "from simbg.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (2, b"")


def test_a_command_of_another_package_is_listed_and_not_loaded(run, tmp_path, monkeypatch):
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: other-package\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[simbg.commands]\nabacus = no_such_module:command\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("  abacus ")]
    assert "other-package" in line
    # After ours.
    assert out.index("abacus") > out.index(COMMANDS[-1])


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), TypeError("a\n\x1b[2J")])
@pytest.mark.parametrize("debug", [False, True])
def test_any_error_is_one_line(run, monkeypatch, error, debug):
    def fail(*_):
        raise error

    monkeypatch.setattr("simbg.simulation.library.find_scenario", fail)
    code, out, err = run(*["--debug"] * debug, "simulate", "out", "--scenario", "night")
    assert (code, out) == (2, "")
    assert type(error).__name__ in err
    assert ("Traceback" in err) == debug
    assert "\x1b" not in err
    if not debug:
        assert len(err.splitlines()) == 1


def test_names_do_not_steer_the_terminal(run, tmp_path):
    for name in ("\x1b]0;title\x07", "a\x9b2Jb", "a\u202eb"):
        code, out, err = run("plot", tmp_path / name)
        assert code == 2
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*out, *err}
