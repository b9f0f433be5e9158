"""`simbg reconstruct`: choice of runs, runs without events, and the summary."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from support.command_lines import SCENARIO, left
from support.stores import edit_table

from simbg.io.cubes import read_cube
from simbg.io.gadf.writer import GadfWriter
from simbg.io.hess2015 import HessWriter
from simbg.observations.observation import Events


@pytest.mark.parametrize("content", ["", "1 two", "1.5", "\x00\xff"])
def test_bad_list_of_runs(place, run, content):
    (place / "ids.txt").write_bytes(content.encode("latin1"))
    code, _, err = run("reconstruct", place / "gadf", "out", "--obs-ids", place / "ids.txt")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(r"ids\.txt.*expected", err)
    assert left() == []


@pytest.mark.parametrize("given", ["3,1", "3", "ids.txt"])
def test_list_of_runs(place, run, given):
    Path("ids.txt").write_text("3\n1 \n")
    code, *_ = run("reconstruct", place / "gadf", "out", "--exclude", "none", "--obs-ids", given)
    assert code == 0
    runs = Table.read("out/bg_observation_table.fits.gz")["OBS_ID"].tolist()
    assert runs == ([3] if given == "3" else [1, 3])


@pytest.mark.parametrize("content", ["circle(1,2", "nonsense(1,2,3)", "fk5\ncircle(a,b,c)"])
def test_bad_region_file(place, run, content):
    (place / "bad.reg").write_text(content)
    code, _, err = run("reconstruct", place / "gadf", "out", "--exclude", place / "bad.reg")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(r"bad\.reg: .*expected", err)
    assert left() == []


def test_run_that_is_not_there(place, run):
    (place / "ids.txt").write_text("1 77 99\n")
    code, _, err = run("reconstruct", place / "gadf", "out", "--obs-ids", place / "ids.txt")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(r"run 77 .* 2 of the 3 ", err)
    assert left() == []


def test_no_run_left(place, run):
    (place / "all.reg").write_text("icrs\ncircle(0,90,89)\nicrs\ncircle(0,-90,89)\n")
    code, _, err = run("reconstruct", place / "gadf", "out", "--exclude", place / "all.reg")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(r"\b3\b.* near .*--exclude none", err)
    assert left() == []
    given = "--exclude", "none", "--exclude", place / "all.reg"
    code, _, err = run("reconstruct", place / "gadf", "out", *given)
    assert code == 2
    assert "--exclude none" not in err


@pytest.mark.parametrize("option", ["--obs-ids=1-5", "--exclude=gone.reg", "--exclude=gone.csv"])
def test_value_that_is_no_file(place, run, option):
    code, _, err = run("reconstruct", place / "gadf", "out", option)
    assert (code, len(err.splitlines())) == (2, 1)
    assert option.partition("=")[2] in err
    assert left() == []


@dataclass(frozen=True)
class Dying:
    """A method whose worker processes die, as they do when memory runs out."""

    executor: object = None
    name = "dying"

    def reconstruct(self, observations, axes):
        return list(self.executor.map(os._exit, [1]))


def test_workers_that_die(place, run):
    arguments = ["--method", f"{__name__}:Dying", "--jobs", 2, "--exclude", "none"]
    code, out, err = run("reconstruct", place / "gadf", "out", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "process" in err
    assert left() == []


def write_run(place, scheme, obs_id, events):
    """Put other events in the place of a run's."""
    writer = {"gadf": GadfWriter, "hess": HessWriter}[scheme]
    for path in (place / scheme).rglob(f"*_{obs_id:06d}.fits.gz"):
        path.unlink()
    writer(place / scheme, SCENARIO.site).write_run(SCENARIO.table(0, 3)[obs_id - 1], events)


@pytest.mark.parametrize("method", ["histogram", "default"])
@pytest.mark.parametrize("scheme", ["gadf", "hess"])
@pytest.mark.parametrize("which", ["none", "outside"])
def test_runs_without_events_to_count_are_exposure(place, run, scheme, method, which):
    n = {"none": 0, "outside": 20}[which]
    start = SCENARIO.table(0, 3)["TSTART"][1]
    far = Events(np.full(n, 200.0), np.full(n, 20.0), np.full(n, 30.0), start + np.arange(n))
    write_run(place, scheme, 2, far)
    (place / "ids.txt").write_text("2")
    arguments = ["--exclude", "none", "--obs-ids", place / "ids.txt", "--method", method]
    code, out, err = run("reconstruct", place / scheme, "out", *arguments)
    assert code == 1  # written, but empty
    assert err.startswith("WARNING group 21: no event")
    assert err.count("\n") == 1
    assert re.search(r"1 runs +0 events", out)
    (name,) = [
        name for name in left_in("out") if name.endswith("_table.fits.gz") and "cube" in name
    ]
    cube = read_cube(f"out/{name}")
    assert cube.counts.sum() == 0
    assert cube.livetime.max() == pytest.approx(1680 * 0.91)


def left_in(folder):
    return sorted(os.listdir(folder))


OBS = "obs-index.fits.gz"


@pytest.mark.parametrize("method", ["histogram", "default"])
def test_threshold_above_all_energies(place, run, method):
    edit_table(place / "gadf" / OBS, lambda t: t["SAFE_ENERGY_LO"].fill(150.0))
    arguments = ["--exclude", "none", "--method", method]
    code, out, err = run("reconstruct", place / "gadf", "out", *arguments)
    assert code == 1
    assert "no event" in err
    assert "0 events" in out


@pytest.mark.parametrize(("threshold", "code"), [("300GeV", 0), ("0.3", 0), ("300", 2), ("1m", 2)])
def test_energy_threshold_in_any_unit(place, run, threshold, code):
    arguments = ["--exclude", "none", "--energy-threshold", threshold]
    got, _, err = run("reconstruct", place / "gadf", "out", *arguments)
    assert got == code, err


def test_summary_of_the_runs(place, run, tmp_path):
    """Of three runs one is near a source, one cannot be read, one is used."""
    near = SCENARIO.table(0, 3)[0]
    (tmp_path / "my.reg").write_text(
        f"icrs\npoint({near['RA_PNT']},{near['DEC_PNT']}) # text={{mine}}\n"
    )
    (place / "gadf" / "data/simbg_obs_000002.fits.gz").unlink()
    words = ["reconstruct", place / "gadf", "out", "--exclude", "none", "--skip-incomplete"]
    for more, numbers in (([], ["2", "3", "1"]), (["--exclude", tmp_path / "my.reg"], [*"1311"])):
        code, out, _ = run(*words, *more, "--overwrite")
        last = out.splitlines()[-1]
        assert code == 0
        assert re.findall(r"\d+", last) == numbers
        assert ("mine" in last) == ("--sources mask" in last) == bool(more)
