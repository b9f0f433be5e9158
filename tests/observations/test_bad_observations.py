"""Observations that cannot be right, through files: one message each, and skipped only if asked."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from support import stores
from support.stores import OBS_INDEX, edit_hdu, edit_table, make_store

from simbg.io.cubes import read_cube
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection

EVENTS = stores.EVENTS.format(2)
PLAIN = Selection(exclude=("none",))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "store"
    make_store(folder, scenario="source", seed=3)
    return folder


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made, tmp_path / "store")


def gti(*intervals):
    """Good time intervals of run 2, s since its start."""

    def spoil(store):
        with fits.open(store / EVENTS) as file:
            hdus = fits.HDUList([hdu.copy() for hdu in file])
        times = hdus["EVENTS"].header["TSTART"] + np.array(intervals, float).reshape(-1, 2)
        columns = [
            fits.Column(name, "D", "s", array=values)
            for name, values in zip(("START", "STOP"), times.T, strict=True)
        ]
        hdus["GTI"] = fits.BinTableHDU.from_columns(columns, hdus["GTI"].header, name="GTI")
        hdus.writeto(store / EVENTS, overwrite=True)

    return spoil


def keyword(name, value=None):
    """A keyword of run 2's events; None takes it away."""

    def change(hdu):
        hdu.header.pop(name) if value is None else hdu.header.set(name, value)

    return lambda store: edit_hdu(store / EVENTS, change)


def index(row=1, **values):
    """Values of run 2, or of another row, in the index; None takes the column away."""

    def change(table):
        for name, value in values.items():
            if value is None:
                table.remove_column(name)
            else:
                table[name][row] = value

    return lambda store: edit_table(store / OBS_INDEX, change)


def both(*spoils):
    return lambda store: [spoil(store) for spoil in spoils]


def gone(store):
    (store / EVENTS).unlink()


BAD = {
    "no site": (keyword("GEOLON"), "GEOLON"),
    "no time reference": (keyword("MJDREFI"), "MJDREFI"),
    "site beyond the pole": (keyword("GEOLAT", 95.0), "lat: got 95"),
    "time scale": (keyword("TIMESYS", "UT1"), "got TIMESYS UT1"),
    "GTI late": (gti([0, 900], [1000, 5000]), "outside of the run"),
    "GTI early": (gti([-500, 1180]), "outside of the run"),
    "GTI backwards": (gti([900, 100]), "start before stop"),
    "no GTI": (gti(), "expected 1 or more"),
    "livetime above ontime": (index(LIVETIME=1800.0), "livetime 1800.0 s and ontime 1680.0 s"),
    "no livetime": (index(LIVETIME=0.0), "0 < livetime"),
    "at the horizon": (index(ALT_PNT=0.0), "altitude 0.0 deg"),
    "over the top": (index(ALT_PNT=95.0), "altitude 95.0 deg"),
    "another place in the index": (index(DEC_PNT=-40.02), "expected those of obs-index"),
    "another place in the header": (keyword("RA_PNT", 84.0), "expected those of obs-index"),
    "altitude unknown": (index(ALT_PNT=np.nan), "alt nan"),
    "threshold unknown": (index(SAFE_ENERGY_LO=np.nan), "energy threshold nan"),
    "no file": (gone, "simbg_obs_000002.fits.gz: no such file"),
    "no file for altitudes": (both(index(ALT_PNT=None, ZEN_PNT=None), gone), "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_run_is_an_error_or_skipped(store, tmp_path, caplog, name):
    spoil, message = BAD[name]
    spoil(store)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        reconstruct_store(store, tmp_path / "m", method="histogram", selection=PLAIN)
    assert message in str(error.value)
    assert not (tmp_path / "m").exists()
    selection = replace(PLAIN, skip_incomplete=True)
    reconstruct_store(store, tmp_path / "m", method="histogram", selection=selection)
    assert "run 2 skipped" in caplog.text
    assert message in caplog.text
    assert "1 of 3 runs skipped" in caplog.text
    assert Table.read(tmp_path / "m/bg_observation_table.fits.gz", hdu=1)["OBS_ID"].tolist() == [
        1,
        3,
    ]


def test_good_runs_are_none_of_that(store, tmp_path, caplog):
    """The negative control: intervals within a second of each other and of the run's ends."""
    gti([0, 840.4], [839.8, 1680.3])(store)
    summaries = reconstruct_store(
        store, tmp_path / "m", selection=replace(PLAIN, skip_incomplete=True)
    ).groups
    assert sum(summary.n_obs for summary in summaries) == 3
    assert "skipped" not in caplog.text


def masked(tmp_path, regions, **selection):
    """Selection with a region file of this text."""
    (tmp_path / "masks.reg").write_text(f"icrs\n{regions}\n")
    exclude = ("none", str(tmp_path / "masks.reg"))
    return Selection(exclude=exclude, sources="mask", **selection)


def test_a_mask_over_everything_leaves_no_rate_and_no_zero(store, tmp_path, caplog):
    selection = masked(tmp_path, "circle(83, -40, 50)", group_by="runs:3")
    (summary,) = reconstruct_store(
        store, tmp_path / "m", "gadf", "histogram", selection, per_run=True
    ).groups
    for name in ("bg_cube_model_group0_gadf", "bg_cube_model_group0_table", "bg_run_000001"):
        with fits.open(tmp_path / "m" / f"{name}.fits.gz") as file:
            data = file["BACKGROUND"].data
            rate = data["BKG" if "BKG" in data.names else "Bgd"]
        assert np.isnan(rate).all()
    assert summary.n_masked == rate.size
    assert f"{rate.size} bins are completely excluded" in caplog.text


def test_wholly_excluded_bins_are_counted_at_each_energy(store, tmp_path):
    """A run with a low threshold is alone at low energies: its mask hides bins just there."""
    index(slice(1, 3), SAFE_ENERGY_LO=0.5)(store)
    first = Table.read(store / OBS_INDEX)[0]
    selection = masked(
        tmp_path,
        f"circle({first['RA_PNT']}, {first['DEC_PNT']}, 0.6)",
        group_by="runs:3",
    )
    (summary,) = reconstruct_store(store, tmp_path / "m", "gadf", "histogram", selection).groups
    cube = read_cube(tmp_path / "m/bg_cube_model_group0_table.fits.gz")
    hidden = np.isnan(cube.rate).sum(axis=(1, 2))
    assert hidden[0] > 0  # the centre of run 1 is in the wobbled runs' fields, but not there
    assert hidden[-1] == 0
    assert summary.n_masked == hidden.sum()


def test_a_threshold_above_all_energies_is_no_mask(store, tmp_path):
    selection = masked(tmp_path, "circle(83, -40, 0.5)", energy_threshold=1000.0)
    summaries = reconstruct_store(store, tmp_path / "m", "gadf", "histogram", selection).groups
    assert [summary.n_masked for summary in summaries] == [0] * len(summaries)
