"""The command lines: what they say and leave behind when all is well, and when it is not."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.processes import interrupt
from support.stores import edit_hdu, edit_table

from simbg import __version__
from simbg.axes import edition2015_axes
from simbg.cli.edition2015 import main as make_bg_cube_models
from simbg.cli.main import main
from simbg.io.cubes import read_cube, write_cube
from simbg.io.gadf_writer import GadfWriter
from simbg.io.hess2015 import HessWriter
from simbg.observations.observation import Events
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

SCENARIO = replace(SCENARIOS["night"], name="cli test", truth=GaussianTruth(event_rate=0.5))
EVENTS = "data/simbg_obs_000002.fits.gz"
HESS_EVENTS = "run000000-000199/run000002/hess_events_000002.fits.gz"
HESS_AEFF = "run000000-000199/run000002/hess_aeff_2d_000002.fits.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of each scheme, with three runs."""
    folder = tmp_path_factory.mktemp("stores")
    for scheme in ("gadf", "hess"):
        Experiment.of(SCENARIO, 0, 3).write(folder / scheme, scheme)
    return folder


@pytest.fixture
def place(tmp_path, made, monkeypatch):
    """An empty place to work in, with a copy of both stores to spoil."""
    shutil.copytree(made, tmp_path / "stores")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "stores"


@pytest.fixture
def run(capsys):
    """Run a command line here; its exit code and what it printed."""

    def run(*arguments, command=main):
        with pytest.raises(SystemExit) as end:
            command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


def left():
    """What lies in the current folder."""
    return sorted(os.listdir())


def cut(share):
    def spoil(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return spoil


def cut_plain(at):
    """Not compressed, and cut after so many bytes."""

    def spoil(path):
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        path.write_bytes(content[:at])

    return spoil


def in_events(change):
    return lambda path: edit_hdu(path, change)


def set_energy(value):
    def change(hdu):
        hdu.data["ENERGY"][3] = value

    return in_events(change)


def set_unit(name, unit):
    def change(hdu):
        hdu.columns[name].unit = unit

    return in_events(change)


def lose_column(name):
    return in_events(lambda hdu: hdu.columns.del_col(name))


def lose_keyword(name):
    return in_events(lambda hdu: hdu.header.pop(name))


def set_keyword(name, value):
    return in_events(lambda hdu: hdu.header.set(name, value))


def set_row(name, value, row=1):
    def change(table):
        table[name][row] = value

    return lambda path: edit_table(path, change)


def as_text(table):
    table["OBS_ID"] = [str(value) for value in table["OBS_ID"]]


def rename_hdu(path):
    edit_hdu(path, lambda hdu: hdu.header.set("EXTNAME", "OTHER"))


def only_image(path):
    fits.PrimaryHDU(np.ones((2, 3))).writeto(path, overwrite=True)


OBS, HDU, RUNS = "obs-index.fits.gz", "hdu-index.fits.gz", "runinfo.fits"
SPOILT = {
    "events missing": ("gadf", EVENTS, os.unlink, "no such file"),
    "events cut early": ("gadf", EVENTS, cut(0.01), "readable FITS"),
    "events cut": ("gadf", EVENTS, cut(0.5), "readable FITS"),
    "events cut late": ("gadf", EVENTS, cut(0.999), "readable FITS"),
    "events cut in first header": ("gadf", EVENTS, cut_plain(1000), "readable FITS"),
    "events cut in header": ("gadf", EVENTS, cut_plain(4000), "readable FITS"),
    "events cut in data": ("gadf", EVENTS, cut_plain(15000), "readable FITS"),
    "events cut between HDUs": ("gadf", EVENTS, cut_plain(2880), "got HDUs.*expected EVENTS"),
    "events cut in what is not used": ("gadf", EVENTS, cut_plain(-1000), "readable FITS"),
    "events are text": ("gadf", EVENTS, lambda p: p.write_text("x" * 5000), "readable FITS"),
    "events are empty": ("gadf", EVENTS, lambda p: p.write_bytes(b""), "readable FITS"),
    "events are bad gzip": ("gadf", EVENTS, lambda p: p.write_bytes(b"\x1f\x8bno"), "readable"),
    "no EVENTS": ("gadf", EVENTS, rename_hdu, "got HDUs.*OTHER.*expected EVENTS"),
    "no ENERGY": ("gadf", EVENTS, lose_column("ENERGY"), "got columns.*expected ENERGY"),
    "no TIME": ("gadf", EVENTS, lose_column("TIME"), "got columns.*expected TIME"),
    "no site": ("gadf", EVENTS, lose_keyword("GEOLON"), "GEOLON.*None, expected"),
    "site is text": ("gadf", EVENTS, set_keyword("GEOLON", "x"), "GEOLON.*'x', expected"),
    "site off the Earth": ("gadf", EVENTS, set_keyword("GEOLAT", 95.0), "lat: got 95"),
    "pointing off the sky": ("gadf", EVENTS, set_keyword("DEC_PNT", -95.0), "dec: got -95"),
    "time scale": ("gadf", EVENTS, set_keyword("TIMESYS", "LOCAL"), "TIMESYS LOCAL, expected TT"),
    "energy in m": ("gadf", EVENTS, set_unit("ENERGY", "m"), "ENERGY.*'m', expected TeV"),
    "energy in zorks": ("gadf", EVENTS, set_unit("ENERGY", "zork"), "unit 'zork', expected TeV"),
    "RA in s": ("gadf", EVENTS, set_unit("RA", "s"), "RA.*'s', expected deg"),
    "RA without unit": ("gadf", EVENTS, set_unit("RA", None), "RA.*None, expected deg"),
    "energy NaN": ("gadf", EVENTS, set_energy(np.nan), "1 of .* nan, expected finite and p"),
    "energy negative": ("gadf", EVENTS, set_energy(-0.5), "-0.5, expected finite and posit"),
    "energy zero": ("gadf", EVENTS, set_energy(0), "0.0, expected finite and positive"),
    "energy infinite": ("gadf", EVENTS, set_energy(np.inf), "inf, expected finite and pos"),
    "index missing": ("gadf", HDU, os.unlink, "got no data store .*expected"),
    "list missing": ("gadf", OBS, os.unlink, "obs-index.*no such file"),
    "index cut": ("gadf", HDU, cut(0.7), "hdu-index.*readable FITS"),
    "list cut": ("gadf", OBS, cut(0.7), "obs-index.*readable FITS"),
    "list cut in header": ("gadf", OBS, cut_plain(5000), "obs-index.*readable FITS"),
    "list is an image": ("gadf", OBS, only_image, "expected a table"),
    "list is empty": ("gadf", OBS, lambda p: edit_table(p, lambda t: t[:0]), "without runs"),
    "list without RA": (
        "gadf",
        OBS,
        lambda p: edit_table(p, lambda t: t.remove_column("RA_PNT")),
        "got columns.*expected RA_PNT",
    ),
    "livetime 0": ("gadf", OBS, set_row("LIVETIME", 0), "run 2: got livetime 0.0 s"),
    "livetime long": ("gadf", OBS, set_row("LIVETIME", 1e5), "run 2: got livetime 100000.0 s"),
    "livetime NaN": ("gadf", OBS, set_row("LIVETIME", np.nan), "run 2: got livetime nan s"),
    "threshold NaN": (
        "gadf",
        OBS,
        set_row("SAFE_ENERGY_LO", np.nan),
        "run 2: got energy threshold nan",
    ),
    "threshold negative": (
        "gadf",
        OBS,
        set_row("SAFE_ENERGY_LO", -1),
        "run 2: got energy threshold -1",
    ),
    "pointing NaN": ("gadf", OBS, set_row("RA_PNT", np.nan), "run 2.*RA nan.*expected"),
    "altitude NaN": ("gadf", OBS, set_row("ALT_PNT", np.nan), "run 2.*alt nan.*expected finite"),
    "listed twice": ("gadf", OBS, set_row("OBS_ID", 1), "OBS_ID 1 .*, expected"),
    "number is text": ("gadf", OBS, lambda p: edit_table(p, as_text), "OBS_ID.*<U1"),
    "only in index": (
        "gadf",
        OBS,
        lambda p: edit_table(p, lambda t: t[[0, 2]]),
        "run 2 .1 .*, expected",
    ),
    "only in list": (
        "gadf",
        HDU,
        lambda p: edit_table(p, lambda t: t[t["OBS_ID"] != 2]),
        "no events HDU of run 2, .* expected one",
    ),
    "way out": ("gadf", HDU, set_row("FILE_DIR", "..", 3), "outside of the store, expected"),
    "runinfo missing": ("hess", RUNS, os.unlink, "got no data store .*expected"),
    "runinfo cut": ("hess", RUNS, cut(0.8), "runinfo.fits: .*readable FITS"),
    "runinfo is an image": ("hess", RUNS, only_image, "runinfo.fits: .*expected a table"),
    "runinfo is empty": ("hess", RUNS, lambda p: edit_table(p, lambda t: t[:0]), "without runs"),
    "runinfo number twice": ("hess", RUNS, set_row("OBS_ID", 1), "OBS_ID 1 "),
    "runinfo pointing NaN": ("hess", RUNS, set_row("DEC", np.nan), "run 2.*Dec nan"),
    "runinfo livetime": ("hess", RUNS, set_row("ONTIME", 3), "run 2: got livetime.*ontime 3.0 s"),
    "hess events missing": ("hess", HESS_EVENTS, os.unlink, "no such file"),
    "hess events cut": ("hess", HESS_EVENTS, cut(0.6), "readable FITS"),
    "hess events cut in data": ("hess", HESS_EVENTS, cut_plain(15000), "readable FITS"),
    "hess no table": ("hess", HESS_EVENTS, only_image, "got HDUs .*, expected a table"),
    "hess no LIVETIME": ("hess", HESS_EVENTS, lose_keyword("LIVETIME"), "LIVETIME.*None"),
    "hess no DETX": ("hess", HESS_EVENTS, lose_column("DETX"), "got columns.*expected DETX"),
    "hess DETX in m": ("hess", HESS_EVENTS, set_unit("DETX", "m"), "'m', expected deg"),
    "hess energy NaN": ("hess", HESS_EVENTS, set_energy(np.nan), "nan, expected finite"),
    "hess aeff missing": ("hess", HESS_AEFF, os.unlink, "hess_aeff_2d_000002.*no such file"),
    "hess no LO_THRES": ("hess", HESS_AEFF, lose_keyword("LO_THRES"), "LO_THRES.*None"),
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("case", SPOILT)
def test_bad_input_is_one_line_and_leaves_nothing(place, run, case, jobs):
    scheme, name, spoil, message = SPOILT[case]
    path = place / scheme / name
    spoil(path)
    code, out, err = run(
        "reconstruct",
        place / scheme,
        "out",
        "--scheme",
        scheme,
        "--jobs",
        jobs,
        "--exclude",
        "none",
    )
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert len(err) < 700
    assert re.search(message, err), err
    assert left() == []


@pytest.mark.parametrize("case", ["events cut", "energy NaN", "list is empty", "hess events cut"])
def test_bad_input_in_the_command_of_2015(place, run, case):
    scheme, name, spoil, message = SPOILT[case]
    spoil(place / scheme / name)
    arguments = [place / scheme, scheme.upper(), "out", "-l", "error"]
    code, _, err = run(*arguments, command=make_bg_cube_models)
    assert code == 2
    assert err.startswith("gammapy-make-bg-cube-models: ")
    assert len(err.splitlines()) == 1
    assert re.search(message, err)
    assert left() == []


USAGE = {
    "method": (["reconstruct", "S", "out", "--method", "best"], "method: got 'best', expected one"),
    "object": (["reconstruct", "S", "out", "--method", "no:Thing"], "'no:Thing' cannot be loaded"),
    "scheme": (["reconstruct", "S", "out", "--scheme", "cta"], "'cta' is not one of"),
    "wrong scheme": (["reconstruct", "S", "out", "--scheme", "hess"], "expected runinfo.fits"),
    "no store": (["reconstruct", "nowhere", "out"], "nowhere: got no data store .*expected"),
    "store is a file": (["reconstruct", "S/obs-index.fits.gz", "out"], "got no data store"),
    "no argument": (["reconstruct", "S"], "Missing argument 'OUTDIR'"),
    "option": (["reconstruct", "S", "out", "--colour"], "No such option.*--colour"),
    "jobs": (["reconstruct", "S", "out", "--jobs", "0"], "0 is not in the range"),
    "jobs text": (["reconstruct", "S", "out", "--jobs", "x"], "'x' is not a valid integer"),
    "ids missing": (["reconstruct", "S", "out", "--obs-ids", "no.txt"], "no.txt: No such file"),
    "ids folder": (["reconstruct", "S", "out", "--obs-ids", ".."], "Is a directory"),
    "region missing": (["reconstruct", "S", "out", "--exclude", "no.reg"], "no.reg, expected"),
    "into input": (["reconstruct", "S", "S", "--overwrite"], "input"),
    "over input": (["reconstruct", "S", "S/..", "--overwrite"], "input"),
    "under a file": (["reconstruct", "S", "S/obs-index.fits.gz/out"], "gz, expected a"),
    "not a disk": (["reconstruct", "S", "/proc/out"], "/proc/out: cannot be written"),
    "command": (["rebuild"], "No such command 'rebuild'"),
    "scenario": (["simulate", "out", "--scenario", "x"], "scenario: got 'x', expected one of seed"),
    "simulate scheme": (["simulate", "out", "--scheme", "x"], "'x' is not one of"),
    "no runs": (["simulate", "out", "--runs", "0"], "0 is not in the range"),
    "seed": (["simulate", "out", "--seed", "-1"], "-1 is not in the range"),
    "simulate under a file": (["simulate", "S/obs-index.fits.gz/o", "--runs", "1"], "got the file"),
    "model": (["truth", "out.fits", "--model", "x"], "scenario: got 'x', expected one of"),
    "truth nowhere": (["truth", "no/out.fits"], "no such directory"),
    "truth folder": (["truth", ".", "--overwrite"], "regular file, expected"),
    "zenith": (["truth", "out.fits", "--zenith", "91"], "91.* is not in the range"),
}


@pytest.mark.parametrize("case", USAGE)
def test_bad_usage_is_one_line_and_leaves_nothing(place, run, case):
    arguments, message = USAGE[case]
    arguments = [word.replace("S", str(place / "gadf"), word.startswith("S")) for word in arguments]
    before = sorted(place.rglob("*"))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("simbg: ")
    assert re.search(message, err), err
    assert left() == []
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "1 two", "1.5", "\x00\xff"])
def test_bad_list_of_runs(place, run, content):
    (place / "ids.txt").write_bytes(content.encode("latin1"))
    code, _, err = run("reconstruct", place / "gadf", "out", "--obs-ids", place / "ids.txt")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(r"ids\.txt: .*expected", err)
    assert left() == []


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
    assert re.search(r"got no run 77 \(2 ", err)
    assert left() == []


def test_no_run_left(place, run):
    (place / "all.reg").write_text("icrs\ncircle(0,90,89)\nicrs\ncircle(0,-90,89)\n")
    code, _, err = run("reconstruct", place / "gadf", "out", "--exclude", place / "all.reg")
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search("got 3 runs, all near known sources, expected 1 or more", err)
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
            assert re.search(f"{name} (exists|is a|is no|holds)|{name}: ", err)
    assert left() == ["file", "out"]
    assert os.listdir("out") == ["notes.txt"]
    assert Path("file").read_text() == Path("out/notes.txt").read_text() == "mine"


def test_output_inside_the_input(place, run):
    code, _, _ = run("reconstruct", place / "gadf", place / "gadf" / "models", "--exclude", "none")
    assert code == 0
    assert (place / "gadf" / "models" / "bg_observation_table.fits.gz").is_file()


def test_system_refuses(place, run, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "/somewhere/.simbg-1234")

    for name in ("os.replace", "os.mkdir"):
        monkeypatch.setattr(name, refuse)
        code, out, err = run("reconstruct", place / "gadf", "out", "--exclude", "none")
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert re.search("cannot be written .Permission denied.", err)
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
    assert code == 0
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


@pytest.mark.parametrize("method", ["histogram", "default"])
def test_threshold_above_all_energies(place, run, method):
    edit_table(place / "gadf" / OBS, lambda t: t["SAFE_ENERGY_LO"].fill(150.0))
    arguments = ["--exclude", "none", "--method", method]
    code, out, err = run("reconstruct", place / "gadf", "out", *arguments)
    assert code == 0
    assert "no event" in err
    assert "0 events" in out


def test_simulate_and_reconstruct(place, run):
    code, out, err = run("simulate", "store", "--scenario", "night", "--runs", 2, "--seed", 3)
    assert (code, err) == (0, "")
    assert out.startswith("store: 2 runs, ")
    n_events = int(out.split()[3])
    counts = []
    for scheme in ("gadf", "hess"):
        run("simulate", scheme, "--scenario", "night", "--runs", 2, "--seed", 3, "--scheme", scheme)
        code, out, err = run("reconstruct", scheme, f"m-{scheme}", "--exclude", "none")
        assert (code, err) == (0, "")
        counts.append(sum(int(line.split()[4]) for line in out.splitlines()))
    # Both schemes hold the same events; the cubes end before the simulation does.
    assert counts[0] == counts[1]
    assert 0.5 * n_events < counts[0] < n_events
    assert left() == ["gadf", "hess", "m-gadf", "m-hess", "store"]


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
def test_truth(place, run, format):
    arguments = ["--model", "seed-2015", "--format", format, "--zenith", 30]
    assert run("truth", "t.fits.gz", *arguments) == (0, "", "")
    truth = SCENARIOS["seed-2015"].truth.cube(edition2015_axes(), zenith=30)
    # GADF is per observation time: its runs are dead for a sixth of it.
    factor = 5 / 6 if format == "gadf" else 1
    np.testing.assert_allclose(read_cube("t.fits.gz").rate, factor * truth.rate, rtol=1e-15)
    assert left() == ["t.fits.gz"]


def test_truth_of_2015(place, run):
    assert run("truth", "t.fits", "--model", "edition2015", "--zenith", 9)[0] == 0
    # At the centre of the lowest energy bin, from the formula, altitude 81 deg.
    axes = edition2015_axes()
    energy, lon = axes.energy_center[0], axes.fov_lon_center[30]
    width = 2.5 * (energy / 0.1) ** (np.log(2) / np.log(800))
    counts = 0.95 * np.exp(-2 * lon**2 / width**2) * energy**-2.7
    expected = counts / axes.flat_volume[0, 30, 30]
    assert read_cube("t.fits").rate[0, 30, 30] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(run, word):
    code, out, err = run(word)
    assert (code, err) == (0, "")
    for command in ("truth", "simulate", "reconstruct", "compare", "validate", "fixtures"):
        assert command in out
    code, out, _ = run(word, command=make_bg_cube_models)
    assert code == 0
    for option in ("--test", "--overwrite", "--method", "-l, --loglevel"):
        assert option in out


@pytest.mark.parametrize(("command", "option"), [("truth", "model"), ("simulate", "scenario")])
def test_one_truth_only(run, place, command, option):
    words = ["out", "--from", "bkg.fits", f"--{option}", "night"]
    code, out, err = run(command, *words)
    assert (code, out) == (2, "")
    assert err == f"simbg: {command}: got --from and --{option}, expected one of them\n"
    assert not Path("out").exists()


def test_validate_lists_what_it_has(run):
    """All options at their defaults: each default is one that the option itself takes."""
    code, out, err = run("validate", "--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [*SCENARIOS, "methods:"]


def test_version(run):
    assert run("--version")[:2] == (0, f"simbg, version {__version__}\n")


def test_as_a_process(place):
    """What a shell sees: exit code and streams, from the installed script's function."""
    script = "from simbg.cli.main import main; main()"
    command = [sys.executable, "-c", script, "reconstruct", "nowhere", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


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
