"""Files of a store that are not as they should be: one line, exit code 2, nothing written."""

import errno
import gzip
import os
import re

import numpy as np
import pytest
from astropy.io import fits
from support.command_lines import left
from support.stores import edit_hdu, edit_table

from simbg.cli.edition2015 import main as make_bg_cube_models

EVENTS = "data/simbg_obs_000002.fits.gz"


HESS_EVENTS = "run000000-000199/run000002/hess_events_000002.fits.gz"


HESS_AEFF = "run000000-000199/run000002/hess_aeff_2d_000002.fits.gz"


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
    table["OBS_ID"] = [f"run {value}" for value in table["OBS_ID"]]


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
    "index cut": ("gadf", HDU, cut(0.7), "hdu-index.*readable FITS"),
    "list cut": ("gadf", OBS, cut(0.7), "obs-index.*readable FITS"),
    "list cut in header": ("gadf", OBS, cut_plain(5000), "obs-index.*readable FITS"),
    "list is an image": ("gadf", OBS, only_image, "expected a table"),
    "list is empty": ("gadf", OBS, lambda p: edit_table(p, lambda t: t[:0]), "without runs"),
    "list without numbers": (
        "gadf",
        OBS,
        lambda p: edit_table(p, lambda t: t.rename_column("OBS_ID", "OBSID")),
        "obs-index.*got columns.*expected OBS_ID.*'OBSID'",
    ),
    "livetime 0": ("gadf", OBS, set_row("LIVETIME", 0), "run 2: got livetime 0.0 s"),
    "livetime long": ("gadf", OBS, set_row("LIVETIME", 1e5), "run 2: got livetime 100000.0 s"),
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
    "number is text": ("gadf", OBS, lambda p: edit_table(p, as_text), "OBS_ID.*<U"),
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
        "no events HDU of run 2",
    ),
    "way out": ("gadf", HDU, set_row("FILE_DIR", "..", 3), "gadf/../simbg_obs.*no such file"),
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_of_a_worker(place, run, monkeypatch, jobs):
    """The line names the file; a real disk gives the error of a write no name."""

    def write_bytes(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_bytes", write_bytes)
    code, out, err = run("simulate", "out", "--scenario", "night", "--runs", 1, "--jobs", jobs)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert "simbg_obs_000001.fits.gz" in err
    assert os.strerror(errno.ENOSPC) in err
    assert left() == []
