"""Stores as public ones are: one plain command, and the sums of a reader on astropy alone."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from support.plain_reader import read_store
from support.stores import EVENTS, HDU_INDEX, OBS_INDEX, edit_hdu, edit_table, make_store

from simbg.io.cubes import read_cube

EDGES = np.geomspace(0.05, 100, 4), np.linspace(-10, 10, 11), np.linspace(-10, 10, 11)
BINNING = "--energy", "0.05:100:3", "--fov", "10:10", "--jobs", 1, "--exclude", "none"
RUNS = 1, 2
FILES = [EVENTS.format(run) for run in RUNS]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two stores of two runs without energy thresholds, tracking and drifting."""
    folder = tmp_path_factory.mktemp("stores")
    for scenario in ("night", "drift"):
        make_store(folder / scenario, scenario=scenario, n_obs=2, ontime=900.0)
        edit_table(folder / scenario / OBS_INDEX, lambda t: t.remove_column("SAFE_ENERGY_LO"))
        edit_table(folder / scenario / HDU_INDEX, lambda t: t[t["HDU_TYPE"] != "aeff"])
    return folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """A copy to change; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    return lambda scenario: shutil.copytree(made / scenario, tmp_path / "store")


def move_data(store, folder, listed):
    """Put the data elsewhere, with this FILE_DIR, or this FILE_DIR of each row."""
    (store / "data").rename(folder)
    edit_table(store / HDU_INDEX, lambda t: t.replace_column("FILE_DIR", [listed] * len(t)))
    return store


@contextmanager
def new_gti(path, intervals):
    """Other GTIs, s since the start of a run; the HDU of its events, to change."""
    with fits.open(path) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file])
    good = hdus["EVENTS"].header["TSTART"] + np.array(intervals, float)
    columns = [fits.Column(n, "D", "s", array=good[:, i]) for i, n in enumerate(("START", "STOP"))]
    hdus["GTI"] = fits.BinTableHDU.from_columns(columns, hdus["GTI"].header, name="GTI")
    yield hdus["EVENTS"]
    hdus.writeto(path, overwrite=True)


def cta_1dc(store):
    """Index beside the data; TSTOP and ALT_PNT are wrong; the file of the IRFs is not there."""
    path = store("night")
    (path / "index").mkdir()
    move_data(path, path / "events", "../../events")
    index = path / "index" / "gps"
    index.mkdir()
    edit_table(path / OBS_INDEX, lambda t: t.replace_column("ALT_PNT", t["ALT_PNT"] * 0 + 20))

    def with_response(table):
        table["FILE_DIR"] = table["FILE_DIR"].astype("U30")
        for run in RUNS:
            table.add_row((run, "aeff", "aeff_2d", "../../caldb", "irf.fits", "EFFECTIVE AREA"))

    edit_table(path / HDU_INDEX, with_response)
    for name in (HDU_INDEX, OBS_INDEX):
        (path / name).rename(index / name)
    for name in FILES:
        file = path / name.replace("data", "events")
        edit_hdu(file, lambda h: h.header.set("TSTOP", h.header["TSTOP"] - 8), "EVENTS")
    return index, {"altitude", "run_times", "threshold"}


def magic(store):
    path = store("night")
    for name in FILES:
        edit_hdu(path / name, lambda h: h.data.__setitem__("RA", h.data["RA"] + 360), "EVENTS")
    return path, set()


def without_sky(path):
    for name in FILES:
        edit_hdu(path / name, lambda h: [h.header.pop(k) for k in ("RA_PNT", "DEC_PNT")], "EVENTS")


def swgo(store):
    """Drift mode without RA_PNT, DEC_PNT; names of columns in lower case; absolute paths."""
    path = store("drift")
    without_sky(path)
    edit_table(path / OBS_INDEX, lambda t: t.remove_columns(["RA_PNT", "DEC_PNT"]))
    move_data(path, path.parent / "elsewhere", str(path.parent / "elsewhere"))
    for name in (HDU_INDEX, OBS_INDEX):
        edit_table(
            path / name, lambda t: t.rename_columns(t.colnames, [n.lower() for n in t.colnames])
        )
    return path, set()


def hawc(store):
    """An index of numbers (text) and modes alone; runs of three days with GTIs that overlap."""
    path = store("drift")
    without_sky(path)
    edit_table(
        path / OBS_INDEX,
        lambda t: Table({"OBS_ID": t["OBS_ID"].astype(str), "OBS_MODE": ["DRIFT"] * len(t)}),
    )
    days = 3 * 86164.0905
    good = [[0, 500], [400, 900], [days, days + 900]]
    for name in FILES:
        with new_gti(path / name, good) as events:
            events.data["TIME"][::2] += days
            events.header["TSTOP"] = events.header["TSTART"] + days + 900
            for key in ("ONTIME", "LIVETIME"):
                events.header.remove(key)
    return path, {"overlap"}


def large_ids(store):
    path, more = store("night"), 2**63

    def add_to_ids(table):
        table["OBS_ID"] = table["OBS_ID"].astype("u8") + np.uint64(more)

    for name in (HDU_INDEX, OBS_INDEX):
        edit_table(path / name, add_to_ids)
    for run, name in zip(RUNS, FILES, strict=True):
        edit_hdu(path / name, lambda h, run=run: h.header.set("OBS_ID", more + run), "EVENTS")
    return path, set()


def elapsed(store):
    """ONTIME of index and header is TSTOP − TSTART; the GTIs have a gap."""
    path = store("night")
    for name in FILES:
        with new_gti(path / name, [[0, 300], [500, 900]]):
            pass
    return path, {"ontime", "outside"}


def base_dir(store):
    path = store("night")
    (path / "data").rename(path.parent / "away")
    edit_table(path / HDU_INDEX, lambda t: t.replace_column("FILE_DIR", [""] * len(t)))
    edit_hdu(path / HDU_INDEX, lambda h: h.header.set("BASE_DIR", str(path.parent / "away")))
    return path, set()


LIKE = {f.__name__: f for f in (cta_1dc, magic, swgo, hawc, large_ids, elapsed, base_dir)}


def total(folder):
    """Counts, livetime and ontime of all models in a folder."""
    cubes = [read_cube(path) for path in sorted(folder.glob("bg_cube_model_group*_gadf.fits.gz"))]
    times = [sum(getattr(c, clock).max() for c in cubes) for clock in ("livetime", "ontime")]
    return [sum(cube.counts for cube in cubes), *times]


def agree(got, expected):
    """Times are equal. Of the counts, those at edges may differ: astropy bends light at the Sun."""
    assert got[0].sum() == expected[0].sum() > 500
    assert np.abs(got[0] - expected[0]).sum() <= 4
    assert got[1:] == pytest.approx(expected[1:], rel=1e-9)


@pytest.mark.parametrize("kind", LIKE)
def test_one_plain_command_gives_the_sums_of_a_plain_reader(store, tmp_path, run, kind):
    path, noticed = LIKE[kind](store)
    code, out, err = run("reconstruct", path, "models", *BINNING)
    assert (code, err) == (0, "")
    agree(total(tmp_path / "models"), read_store(path, EDGES))
    code, out, err = run("check", path, "--json", "--jobs", 1)
    findings = json.loads(out)["findings"]
    assert code == bool(noticed)
    assert {one["kind"] for one in findings if one["obs_ids"]} == noticed
    assert all(len(one["obs_ids"]) == len(RUNS) for one in findings)
    assert all(one["text"] in run("check", path, "--jobs", 1)[1] for one in findings)


def test_the_store_of_per_run_is_a_store(store, tmp_path, run):
    path, _ = large_ids(store)
    code, *_ = run("reconstruct", path, "models", *BINNING, "--group-by", "runs:2", "--per-run")
    assert code == 0
    for name in (HDU_INDEX, OBS_INDEX):
        ids = Table.read(tmp_path / "models" / name)["OBS_ID"].tolist()
        assert sorted(set(ids)) == [2**63 + run for run in RUNS]
    code, *_ = run("reconstruct", "models", "again", *BINNING)
    assert code == 0
    agree(total(tmp_path / "again"), read_store(path, EDGES))
    agree(total(tmp_path / "again"), read_store(tmp_path / "models", EDGES))
