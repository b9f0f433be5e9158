"""Stores that contradict themselves: an error where a model would be wrong, or a notice."""

import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import vstack
from support.stores import EVENTS, HDU_INDEX, OBS_INDEX, edit_hdu, edit_table

from simbg.io.gadf.store import GadfStore
from simbg.models.check import check_store

FIRST, SECOND = EVENTS.format(1), EVENTS.format(2)


def keyword(name, value, hdu="EVENTS"):
    """Change a keyword of run 2; None removes it."""

    def change(hdu):
        hdu.header.pop(name) if value is None else hdu.header.set(name, value)

    return lambda store: edit_hdu(store / SECOND, change, hdu)


def index(**values):
    """Change values of run 2 in the observation index."""

    def change(table):
        for name, value in values.items():
            if name == "OBS_MODE":
                table[name] = np.full(len(table), "POINTING")
            table[name][1] = value

    return lambda store: edit_table(store / OBS_INDEX, change)


def events(change):
    """Change the rows of the events of run 2: ``change(data)`` returns others."""

    def spoil(store):
        with fits.open(store / SECOND) as file:
            hdus = fits.HDUList([hdu.copy() for hdu in file])
        old, data = hdus["EVENTS"], change(np.array(hdus["EVENTS"].data))
        columns = [fits.Column(c.name, c.format, c.unit, array=data[c.name]) for c in old.columns]
        hdus["EVENTS"] = fits.BinTableHDU.from_columns(columns, old.header, name="EVENTS")
        hdus.writeto(store / SECOND, overwrite=True)

    return spoil


def shifted(name, value):
    def change(data):
        data[name] += value
        return data

    return events(change)


def other_file(store):
    """The index names a second file with events of run 2."""
    shutil.copy(store / SECOND, store / "data" / "new.fits.gz")

    def change(table):
        row = table[(table["OBS_ID"] == 2) & (table["HDU_TYPE"] == "events")]
        row["FILE_NAME"] = "new.fits.gz"
        return vstack([table, row])

    edit_table(store / HDU_INDEX, change)


def same_file(store):
    """The index names the file of run 1 for run 2, too, which has the same pointing."""

    def change(table):
        table["FILE_NAME"] = np.where(
            table["OBS_ID"] == 2, FIRST.removeprefix("data/"), table["FILE_NAME"]
        )

    edit_table(store / HDU_INDEX, change)


def same_gti(store):
    """The index names the GTIs of run 1 for run 2, too, in a folder with another name."""
    (store / "more").symlink_to("data", target_is_directory=True)

    def change(table):
        gti = (table["OBS_ID"] == 2) & (table["HDU_TYPE"] == "gti")
        table["FILE_NAME"] = np.where(gti, FIRST.removeprefix("data/"), table["FILE_NAME"])
        table["FILE_DIR"] = np.where(gti, "more", table["FILE_DIR"])

    edit_table(store / HDU_INDEX, change)


def card(name, text, hdu="EVENTS"):
    """Write a card of run 2 as it is, whatever FITS allows."""

    def spoil(store):
        content = bytearray(gzip.decompress((store / SECOND).read_bytes()))
        start = content.index(b"EXTNAME = '" + hdu.encode())
        at = content.index(name.ljust(8).encode() + b"=", content.rindex(b"XTENSION", 0, start))
        content[at : at + 80] = f"{name:8s}= {text:>20s}".encode().ljust(80)
        (store / SECOND).write_bytes(gzip.compress(content, 1))

    return spoil


def without_clocks(spoil):
    """The index has no times and no threshold, so that the headers are used."""

    def change(table):
        table.remove_columns(["ONTIME", "LIVETIME", "SAFE_ENERGY_LO"])

    return lambda store: [edit_table(store / OBS_INDEX, change), spoil(store)]


def second_hdu(store):
    with fits.open(store / SECOND) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file])
    hdus.append(hdus["EVENTS"].copy())
    hdus.writeto(store / SECOND, overwrite=True)


# Of each error: how run 2 is changed, what the message contains, and the runs that have it.
ERRORS = {
    "another run in the file": (keyword("OBS_ID", 7), "OBS_ID 7", {2}),
    "two files": (other_file, "new.fits.gz", {2}),
    "one file for two runs": (same_file, "simbg_obs_000001", {1, 2}),
    "one list of GTIs for two runs": (same_gti, "GTI", {1, 2}),
    "NaN in a header": (without_clocks(card("LIVETIME", "NaN")), "LIVETIME", {2}),
    "a damaged number": (without_clocks(card("ONTIME", "15?0.0")), "ONTIME", {2}),
    "a damaged threshold": (without_clocks(card("LO_THRES", "NaN", "AEFF")), "LO_THRES", {2}),
    "an open quote": (card("OBS_MODE", "'TT"), "OBS_MODE", {2}),
    "a negative size": (card("NAXIS2", "-32", "AEFF"), "NAXIS2", {2}),
    "a huge size": (card("NAXIS2", "2000000000"), "bytes", {2}),
    "groups": (card("GCOUNT", "-32", "GTI"), "GCOUNT", {2}),
    "a heap": (card("PCOUNT", "-999999", "GTI"), "PCOUNT", {2}),
    "columns": (card("TFIELDS", "99999999999999999999"), "TFIELDS", {2}),
    "two HDUs in a file": (second_hdu, "2 HDUs EVENTS", {2}),
    "moving": (keyword("OBS_MODE", "slew"), "SLEW", {2}),
    "moving in the index": (index(OBS_MODE="RASTER"), "RASTER", {2}),
    "drift in the header alone": (
        lambda store: [index(OBS_MODE="POINTING")(store), keyword("OBS_MODE", "DRIFT")(store)],
        "DRIFT",
        {2},
    ),
    "no event in good time": (shifted("TIME", 1e5), "outside of the GTIs", {2}),
    "right ascension in seconds of time": (shifted("RA", 20000), "RA", {2}),
    "declination": (shifted("DEC", 200), "dec", {2}),
    "a truth value for a number": (keyword("GEOLON", True), "GEOLON", {2}),
    "GTI without the run": (keyword("MJDREFI", 55190, "GTI"), "TSTART", {2}),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_names_file_and_run(store, kind):
    spoil, message, runs = ERRORS[kind]
    spoil(store)
    _, report = check_store(store)
    assert {run for run, _ in report.errors} == runs
    assert all(message in text and str(store) in text for _, text in report.errors)


def test_two_rows_of_a_run_in_the_observation_index(store):
    edit_table(store / OBS_INDEX, lambda table: vstack([table, table[1:2]]))
    with pytest.raises(ValueError, match=r"obs-index.*OBS_ID 2 "):
        check_store(store)


@pytest.mark.parametrize("column", ["HDU_TYPE", "FILE_DIR", "FILE_NAME", "HDU_NAME"])
@pytest.mark.parametrize("kind", [float, bool, "S3"])
def test_text_of_the_index(store, column, kind):
    """Bytes are text in FITS."""
    edit_table(store / HDU_INDEX, lambda t: t.replace_column(column, np.ones(len(t)).astype(kind)))
    if kind == "S3":
        assert check_store(store)[1].errors
        return
    with pytest.raises(ValueError, match=rf"hdu-index.*{column}"):
        check_store(store)


@pytest.mark.parametrize(
    ("column", "kind"), [("RA_PNT", complex), ("ONTIME", bool), ("ALT_PNT", "S")]
)
def test_numbers_of_the_index(store, column, kind):
    edit_table(store / OBS_INDEX, lambda t: t.replace_column(column, t[column].value.astype(kind)))
    with pytest.raises(ValueError, match=rf"obs-index.*{column}"):
        check_store(store)


def twice(data):
    return np.append(data, data[:50])


def without_id(data):
    data["EVENT_ID"] = 0
    return twice(data)


def numbered_again(data):
    data = twice(data)
    data["EVENT_ID"] = np.arange(data.size)
    return data


def coarse(data):
    """Times in whole seconds: several events have the same time, and none is there twice."""
    data["TIME"] = np.floor(data["TIME"]) + 1
    return data


def counted(store):
    numbers = [len(run.load()) for run in GadfStore(store).observations()]
    numbers[1] += 5
    edit_table(store / OBS_INDEX, lambda t: t.add_column(numbers, name="EVENT_COUNT"))


# Of each notice: how run 2 is changed, its kind and the number in it.
NOTICES = {
    "events twice": (events(twice), "twice", 50),
    "events twice without EVENT_ID": (events(without_id), "twice", 50),
    "events twice with other EVENT_ID": (events(numbered_again), "twice", 50),
    "no events": (events(lambda data: data[:0]), "empty", pytest.approx(600)),
    "times shifted": (shifted("TIME", 150), "empty", pytest.approx(150, abs=20)),
    "DEADC": (index(DEADC=0.5), "dead_time", pytest.approx(0.41)),
    "ALT_PNT": (index(ALT_PNT=20.0), "altitude", None),
    "AZ_PNT from the south": (index(AZ_PNT=0.0), "altitude", None),
    "EVENT_COUNT": (counted, "event_count", 5),
    "TSTOP rounded": (
        lambda store: edit_hdu(
            store / SECOND, lambda h: h.header.set("TSTOP", h.header["TSTOP"] - 8), "EVENTS"
        ),
        "run_times",
        pytest.approx(8),
    ),
    "no folder BASE_DIR": (
        lambda store: edit_hdu(store / HDU_INDEX, lambda h: h.header.set("BASE_DIR", "/no/folder")),
        "base_dir",
        0,
    ),
}


@pytest.mark.parametrize("kind", NOTICES)
def test_a_notice_names_the_run(store, kind):
    spoil, expected, size = NOTICES[kind]
    spoil(store)
    _, report = check_store(store)
    assert not report.errors
    (found,) = [one for one in report.findings if one["kind"] != "outside"]
    assert found["kind"] == expected
    assert found["obs_ids"] == ([2] if kind != "no folder BASE_DIR" else [])
    if size is not None:
        assert found["size"] == size


@pytest.mark.parametrize("spoil", [lambda store: None, events(coarse)])
def test_control_a_good_store_has_no_notice(store, spoil):
    spoil(store)
    n_runs, report = check_store(store)
    assert (n_runs, bool(report)) == (3, False)


def test_files_that_are_not_needed(store):
    """Directions come from the headers without obs-index; a given threshold needs no AEFF."""
    expected = GadfStore(store).observations()
    (store / OBS_INDEX).unlink()
    edit_table(store / HDU_INDEX, lambda t: t[t["HDU_TYPE"] != "gti"])
    got = GadfStore(store).observations(energy_threshold=0.5)
    for ours, theirs in zip(got, expected, strict=True):
        for name in ("ra", "dec", "alt", "az", "livetime", "ontime"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-6)
        assert ours.energy_threshold == 0.5
        assert len(ours.events()) == len(theirs.events())


def test_without_gtis_ontime_is_the_good_time(store):
    """ONTIME does not contain the gaps of a run whose GTIs are not known."""
    edit_table(store / HDU_INDEX, lambda t: t[t["HDU_TYPE"] != "gti"])
    with fits.open(store / SECOND) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file if hdu.name != "GTI"])
    hdus.writeto(store / SECOND, overwrite=True)
    index(ONTIME=500.0, LIVETIME=455.0)(store)
    run = GadfStore(store).observations(2)[0].read()
    assert (run.livetime, run.ontime) == (455, 500)
    keyword("TSTOP", 0.0)(store)
    assert "TSTOP" in check_store(store)[1].errors[0][1]


def test_livetime_from_the_dead_time(store):
    edit_table(store / OBS_INDEX, lambda t: t.remove_columns(["LIVETIME", "ONTIME"]))
    for key in ("LIVETIME", "ONTIME"):
        keyword(key, None)(store)
    run = GadfStore(store).observations(2)[0]
    assert (run.livetime, run.ontime) == pytest.approx((546, 600), rel=1e-7)
