"""Mistakes in a command of the suite: one line, exit code 2, nothing simulated, nothing written."""

import os
import shutil
from pathlib import Path

import pytest

from simbg.io.cubes import write_cube

FILES = ("validate", "--models", "mine", "--scenario", "night")
# Of each: the command line, and what the message names.
MISTAKES = {
    "scenario": (["validate", "--scenario", "nihgt"], "did you mean 'night'"),
    "ranked scenario": (["leaderboard", "--scenario", "nihgt"], "did you mean 'night'"),
    "stores": (["leaderboard", "--stores", "1"], "--stores"),
    "one store": (["leaderboard", "--leaderboard", "3"], "--leaderboard"),
    "truth": (["validate", "--from", "no.fits"], "no.fits"),
    "baseline": (["validate", "--baseline", "no"], "no"),
    "time of our methods": (["validate", "--timeout", "9"], "--timeout"),
    "time of files": ([*FILES, "--timeout", "9"], "--timeout"),
    "replicates of files": ([*FILES, "--replicates", "9"], "--replicates"),
    "nothing allowed": (["validate", "--require", "0%"], "--require"),
    "everything allowed": (["validate", "--require", "200%"], "--require"),
    "files of one scenario": (["validate", "--models", "mine", "--scenario", "source"], "source"),
    "into the files": ([*FILES, "--out", "mine"], "mine"),
    "inside the files": ([*FILES, "--out", "mine/out"], "mine/out"),
    "inside the files by a link": ([*FILES, "--out", "link/out"], "link/"),
    "out is a file": (["validate", "--out", "a.fits"], "a.fits"),
    "out is a loop": (["validate", "--out", "loop"], "loop"),
    "out without a name": (["validate", "--out", ""], "--out"),
    "truth without a name": (["validate", "--from", ""], "--from"),
    "over my pictures": (["validate", "--out", "paper"], "paper/figures"),
    "no disk": (["validate", "--out", "/proc/out"], "/proc/out"),
    "no store": (["cross-validate", "nowhere"], "nowhere"),
    "store of 2015": (["cross-validate", "hess"], "hdu-index"),
    "method of a store": (["cross-validate", "store", "--method", "histgram"], "'histogram'"),
    "into the store": (["cross-validate", "store", "--out", "store"], "store"),
    "inside the store": (["cross-validate", "store", "--out", "store/data/x"], "store/data/x"),
    "over the notes": (
        ["cross-validate", "store", "--method", "histogram", "--out", "notes"],
        "notes.txt",
    ),
    "kind of groups": (["cross-validate", "store", "--group-by", "zenith:3"], "zenith:3"),
    "seed": (["self-check", "--seed", "x"], "'x'"),
    "over my page": (["self-check", "--out", "page"], "page/index.html"),
    "report among notes": (["validate", "--out", "notes"], "notes/notes.txt"),
    "record among notes": (["conformance", "histogram", "--out", "notes"], "notes/notes.txt"),
    "over my record": (["conformance", "histogram", "--out", "page"], "page/conformance.json"),
    "challenge over a folder": (["challenge", "make", "notes"], "notes"),
    "challenge over notes": (["challenge", "make", "notes", "--overwrite"], "notes.txt"),
    "no challenge": (["challenge", "score", "nowhere"], "nowhere"),
    "no cube": (["compare", "a.fits", "no.fits"], "no.fits"),
    "file and folder": (["compare", "a.fits", "mine"], "mine"),
    "nothing to replace": (["compare", "a.fits", "a.fits", "--overwrite"], "--overwrite"),
    "into a folder of models": (["compare", "mine", "mine", "--out", "mine/page"], "mine/page"),
    "around a folder of models": (["compare", "mine", "mine", "--out", "."], "mine"),
    "over a cube": (["compare", "a.fits", "a.fits", "--json", "a.fits", "--overwrite"], "a.fits"),
    "over a folder": (["compare", "a.fits", "a.fits", "--out", "notes"], "notes"),
    "over notes": (["compare", "a.fits", "a.fits", "--out", "notes", "--overwrite"], "notes.txt"),
    "over photos": (["compare", "a.fits", "a.fits", "--out", "photos", "--overwrite"], "photos"),
    "numbers over notes": (["compare", "a.fits", "a.fits", "--json", "notes/notes.txt"], "notes.t"),
    "nothing to plot": (["plot", "no.fits"], "no.fits"),
    "kind of picture": (["plot", "a.fits", "--out", "a.gif"], "a.gif"),
    "picture over its file": (["plot", "a.png", "--overwrite"], "a.png"),
    "picture there": (["plot", "a.fits", "--out", "photos/me.png"], "photos/me.png"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch, cube):
    """A cube, finished files of one scenario, and folders with files of the user."""
    monkeypatch.chdir(tmp_path)
    folders = ("mine", "store/data", "notes/histogram", "photos", "page", "hess", "paper/figures")
    for name in folders:
        Path(name).mkdir(parents=True)
    Path("link").symlink_to("mine")
    Path("loop").symlink_to("loop")
    write_cube("a.fits", cube)
    shutil.copy("a.fits", "a.png")
    write_cube("mine/night.fits", cube)
    names = ("notes/notes.txt", "notes/histogram/notes.txt", "photos/me.png")
    for name in (*names, "paper/figures/mine.png", "hess/runinfo.fits"):
        Path(name).write_text("mine")
    for name in ("page/index.html", "page/conformance.json"):
        Path(name).write_text("mine")
    return tmp_path


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(folder, run, monkeypatch, case):
    def simulate(*args):
        raise AssertionError("simulated")

    monkeypatch.setattr("simbg.simulation.experiment.write_store", simulate)
    monkeypatch.setattr("simbg.simulation.experiment.simulate_run", simulate)
    words, named = MISTAKES[case]
    before, there = content(folder), sorted(os.listdir())
    code, out, err = run(*words)
    assert (code, out) == (2, ""), err
    assert err.startswith("simbg: ")
    assert err.count("\n") == 1, err
    assert named in err
    assert content(folder) == before
    assert sorted(os.listdir()) == there


@pytest.mark.parametrize(
    "words",
    [["validate"], ["self-check"], ["conformance", "histogram"], ["cross-validate", "store"]],
)
def test_read_only_folder(folder, run, monkeypatch, words):
    """Known before the work, not after it."""
    Path("shut").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "shut")
    code, out, err = run(*words, "--out", "shut")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "shut" in err
    assert not os.listdir("shut")
