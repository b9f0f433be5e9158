"""Mistakes in a command line: one line, exit code 2, nothing written."""

import os
import re
import shutil
from pathlib import Path

import pytest
from support.command_lines import left

# Of each mistake: the command line, with S for a store, and what the message names.
USAGE = {
    "method": (["reconstruct", "S", "out", "--method", "histgram"], "'histgram'.*'histogram'"),
    "object": (["reconstruct", "S", "out", "--method", "no:Thing"], "'no:Thing'"),
    "scheme": (["reconstruct", "S", "out", "--scheme", "cta"], "'cta'"),
    "wrong scheme": (["reconstruct", "S", "out", "--scheme", "hess"], r"runinfo\.fits"),
    "no store": (["reconstruct", "nowhere", "out"], "nowhere"),
    "store is a file": (["reconstruct", "S/obs-index.fits.gz", "out"], r"obs-index\.fits\.gz"),
    "no argument": (["reconstruct", "S"], "OUTDIR"),
    "option": (["reconstruct", "S", "out", "--colour"], "--colour"),
    "jobs": (["reconstruct", "S", "out", "--jobs", "0"], "--jobs"),
    "too many jobs": (["reconstruct", "nowhere", "out", "--jobs", "99999"], "--jobs"),
    "jobs text": (["reconstruct", "S", "out", "--jobs", "x"], "'x'"),
    "ids missing": (["reconstruct", "S", "out", "--obs-ids", "no.txt"], r"no\.txt"),
    "ids folder": (["reconstruct", "S", "out", "--obs-ids", ".."], r"\.\."),
    "region missing": (["reconstruct", "S", "out", "--exclude", "no.reg"], r"no\.reg"),
    "margin of no mask": (["reconstruct", "S", "out", "--mask-margin", "1"], "--mask-margin"),
    "groups of a quick look": (
        ["reconstruct", "S", "out", "--test", "--group-by", "runs:2"],
        "--group-by.*--test",
    ),
    "into input": (["reconstruct", "S", "S", "--overwrite"], "gadf"),
    "inside input": (["reconstruct", "S", "S/models"], "gadf/models.*gadf"),
    "far inside input": (["reconstruct", "S", "S/data/a/b"], "data/a/b.*gadf"),
    "inside input by a link": (["reconstruct", "S", "S/../link/models"], "link/models.*gadf"),
    "around input": (["reconstruct", "S", "S/..", "--overwrite"], r"gadf/\.\."),
    "under a file": (["reconstruct", "S", "S/../hess/runinfo.fits/out"], r"runinfo\.fits"),
    "into a loop": (["reconstruct", "S", "S/../loop"], "loop"),
    "under a loop": (["reconstruct", "S", "S/../loop/out"], "loop"),
    "store is a loop": (["reconstruct", "S/../loop", "out"], "loop"),
    "store without a name": (["reconstruct", "", "out"], "INDIR"),
    "out without a name": (["reconstruct", "S", ""], "OUTDIR"),
    "nothing excluded": (["reconstruct", "S", "out", "--exclude", ""], "--exclude"),
    "not a disk": (["reconstruct", "S", "/proc/out"], "/proc/out"),
    "command": (["recontruct"], "'recontruct'.*'reconstruct'"),
    "scenario": (["simulate", "out", "--scenario", "nihgt"], "'nihgt'.*'night'"),
    "simulate scheme": (["simulate", "out", "--scheme", "x"], "'x'"),
    "no runs": (["simulate", "out", "--runs", "0"], "--runs"),
    "seed": (["simulate", "out", "--seed", "-1"], "--seed"),
    "simulate under a file": (["simulate", "S/obs-index.fits.gz/o", "--runs", "1"], "obs-index"),
    "no truth": (["simulate", "out", "--from", "no.fits"], r"no\.fits"),
    "two truths": (["simulate", "out", "--from", "a.fits", "--scenario", "night"], "--scenario"),
    "model": (["truth", "out.fits", "--model", "edition2016"], "'edition2016'.*'edition2015'"),
    "two models": (["truth", "out.fits", "--from", "a.fits", "--model", "night"], "--model"),
    "zenith of a file": (["truth", "out.fits", "--from", "a.fits", "--zenith", "9"], "--zenith"),
    "over its input": (["truth", "a.fits", "--from", "a.fits", "--overwrite"], r"a\.fits"),
    "over its axes": (["truth", "a.fits", "--like", "a.fits", "--overwrite"], r"a\.fits"),
    "over a loop": (["truth", "S/../loop"], "loop"),
    "over a link to nothing": (["truth", "S/../away"], "away"),
    "no name of a truth": (["truth", "out.fits", "--from", ""], "--from"),
    "truth nowhere": (["truth", "no/out.fits"], "no"),
    "truth folder": (["truth", ".", "--overwrite"], r"\."),
    "zenith": (["truth", "out.fits", "--zenith", "91"], "91"),
    "edition": (["fixtures", "out", "--edition", "2016"], "'2016'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_bad_usage_is_one_line_and_leaves_nothing(place, run, case):
    arguments, message = USAGE[case]
    arguments = [word.replace("S", str(place / "gadf"), word.startswith("S")) for word in arguments]
    for link, target in (("link", "gadf"), ("loop", "loop"), ("away", "nowhere")):
        (place / link).symlink_to(place / target)
    before = sorted(place.rglob("*"))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("simbg: ")
    assert re.search(message, err), err
    assert left() == []
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("command", ["reconstruct", "simulate", "truth"])
def test_output_that_is_there_is_kept(place, run, command):
    os.mkdir("out")
    Path("out/notes.txt").write_text("mine")
    shutil.copy("out/notes.txt", "file")
    arguments = {
        "reconstruct": [place / "gadf", "OUT"],
        "simulate": ["OUT", "--runs", "1"],
        "truth": ["OUT"],
    }[command]
    for name in ("out", "file"):
        for overwrite in ([], ["--overwrite"]):
            if (command, name, overwrite) == ("truth", "file", ["--overwrite"]):
                continue
            words = [name if word == "OUT" else word for word in arguments]
            code, out, err = run(command, *words, *overwrite)
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            assert name in err
    assert left() == ["file", "out"]
    assert os.listdir("out") == ["notes.txt"]
    assert Path("file").read_text() == Path("out/notes.txt").read_text() == "mine"


def test_system_refuses(place, run, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "/somewhere/.simbg-1234")

    for name in ("os.replace", "os.mkdir"):
        monkeypatch.setattr(name, refuse)
        code, out, err = run("reconstruct", place / "gadf", "out", "--exclude", "none")
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert "Permission denied" in err
        assert left() == []
