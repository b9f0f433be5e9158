"""GADF stores of ours and of others, as we read them."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from support.stores import EVENTS, edit_hdu, edit_table

from simbg.io.gadf.store import GadfStore
from simbg.models.runs import runs_of
from simbg.models.selection import Selection


def load(store):
    """All of the first run, as a reconstruction would."""
    opened = GadfStore(store)
    return opened.observations(opened.table[:1])[0].events()


def test_events_come_back(made, simulated, table):
    store = GadfStore(made)
    for observation, events, row in zip(
        store.observations(store.table), simulated, table, strict=True
    ):
        got = observation.events()
        assert_array_equal(got.energy, events.energy)
        assert_array_equal(got.time, events.time)
        # There and back through RA and Dec of up to 360 deg: 6e-14 deg a step.
        assert_allclose(got.fov_lon, events.fov_lon, rtol=0, atol=1e-11)
        assert_allclose(got.fov_lat, events.fov_lat, rtol=0, atol=1e-11)
        assert observation.livetime == row["LIVETIME"]
        assert observation.ontime == row["ONTIME"]
        assert observation.energy_threshold == 0.3
        assert (observation.alt, observation.az) == (row["ALT_PNT"], row["AZ_PNT"])
        assert (observation.ra, observation.dec) == (row["RA_PNT"], row["DEC_PNT"])


@pytest.mark.parametrize("lost", [("ALT_PNT",), ("ALT_PNT", "ZEN_PNT"), ("AZ_PNT",)], ids=str)
def test_altitude_and_azimuth_come_from_elsewhere(store, lost, table):
    edit_table(store / "obs-index.fits.gz", lambda t: t[[c for c in t.colnames if c not in lost]])
    got = GadfStore(store).table
    # Ours against ours at another time step; the times of 1e8 s have 1e-8 s.
    assert_allclose(got["ALT_PNT"], table["ALT_PNT"], rtol=0, atol=1e-6)
    assert_allclose(got["AZ_PNT"], table["AZ_PNT"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("lost", [("LIVETIME",), ("ONTIME",), ("ONTIME", "LIVETIME")], ids=str)
def test_livetime_comes_from_the_events(store, lost):
    edit_table(store / "obs-index.fits.gz", lambda t: t[[c for c in t.colnames if c not in lost]])
    opened = GadfStore(store)
    observation = opened.observations(opened.table[:1])[0]
    assert (observation.ontime, observation.livetime) == pytest.approx((600, 546), rel=1e-15)


def test_threshold_comes_from_the_effective_area_or_is_none(store):
    def drop(table):
        return table[[name for name in table.colnames if name != "SAFE_ENERGY_LO"]]

    edit_table(store / "obs-index.fits.gz", drop)
    edit_table(
        store / "hdu-index.fits.gz",
        lambda t: t[(t["HDU_TYPE"] != "aeff") | (t["OBS_ID"] != 2)],
    )
    edit_hdu(
        store / "data" / "simbg_obs_000003.fits.gz", lambda h: h.header.pop("LO_THRES"), "AEFF"
    )
    opened = GadfStore(store)
    thresholds = [obs.energy_threshold for obs in opened.observations(opened.table)]
    assert thresholds == [0.3, 0.0, 0.0]


def in_other_units(table):
    for name, unit in (("RA_PNT", "rad"), ("ALT_PNT", "arcmin"), ("ONTIME", "min")):
        table[name] = table[name].quantity.to(unit)
    table["SAFE_ENERGY_LO"] = table["SAFE_ENERGY_LO"].quantity.to("GeV")
    return table


def test_index_in_other_units(store, made):
    edit_table(store / "obs-index.fits.gz", in_other_units)
    got, expected = (GadfStore(path) for path in (store, made))
    for ours, theirs in zip(
        got.observations(got.table), expected.observations(expected.table), strict=True
    ):
        for name in ("ra", "alt", "ontime", "energy_threshold"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-14)


def test_events_in_other_units(store, made):
    def edit(hdu):
        hdu.columns["ENERGY"].unit = "GeV"
        hdu.data["ENERGY"] *= 1000
        hdu.columns["RA"].unit = "rad"
        hdu.data["RA"] *= np.pi / 180

    edit_hdu(store / EVENTS.format(1), edit, "EVENTS")
    assert_allclose(load(store).energy, load(made).energy, rtol=1e-15)
    assert_allclose(load(store).fov_lon, load(made).fov_lon, rtol=0, atol=1e-11)


def test_index_files_may_be_plain_and_paths_short(store, made):
    """All files in the folder itself: an empty FILE_DIR, which astropy would mask."""

    def flat(table):
        table["FILE_DIR"] = ""
        return table

    edit_table(store / "hdu-index.fits.gz", flat)
    for kind in ("hdu", "obs"):
        path = store / f"{kind}-index.fits.gz"
        with fits.open(path) as file:
            file.writeto(path.with_suffix(""))
        path.unlink()
    for path in (store / "data").iterdir():
        path.rename(store / path.name)
    assert_array_equal(load(store).energy, load(made).energy)


@pytest.mark.parametrize(("zero", "scale"), [(55197.0, "UTC"), (55197 + 34 / 86400, "TAI")])
def test_time_scales(store, made, zero, scale):
    """Our own zero, 2010-01-01 UTC, said in other scales."""

    def edit(hdu):
        whole = int(zero)
        hdu.header.update({"TIMESYS": scale, "MJDREFI": whole, "MJDREFF": zero - whole})

    edit_hdu(store / EVENTS.format(1), edit, "EVENTS")
    # A wrong scale is off by half a minute: 0.1 deg of hour angle, and arcminutes at 3 deg.
    assert_allclose(load(store).fov_lon, load(made).fov_lon, rtol=0, atol=1e-8)


def test_run_without_events_in_the_index(store):
    edit_table(store / "hdu-index.fits.gz", lambda t: t[t["OBS_ID"] != 2])
    opened = GadfStore(store)
    with pytest.raises(ValueError, match=r"hdu-index.*run 2"):
        opened.observations(opened.table)


def test_run_that_is_not_listed(store):
    edit_table(store / "obs-index.fits.gz", lambda t: t[t["OBS_ID"] != 2])
    nothing_near = {"exclude": ("none",)}
    with pytest.raises(ValueError, match="run 2 "):
        runs_of(GadfStore(store), Selection(**nothing_near))
    runs = runs_of(GadfStore(store), Selection(obs_ids=(1, 3), **nothing_near))
    assert runs.table["OBS_ID"].tolist() == [1, 3]


@pytest.mark.gammapy_data
def test_real_runs(gammapy_data):
    store = GadfStore(gammapy_data / "hess-dl3-dr1")
    assert len(store.table) == 79
    observations = store.observations(store.table)
    ratio = [obs.livetime / obs.ontime for obs in observations]
    assert 0.88 < min(ratio) < max(ratio) < 1  # 0.92 on average
    events = observations[0].events()
    assert len(events) == 11240  # of 11243: three lie outside of the good time
    # Most events are near the pointing, around which they are spread about evenly.
    assert np.abs(np.median(events.fov_lon)) < 0.1
    assert np.abs(np.median(events.fov_lat)) < 0.1
    assert 0.5 < np.median(np.hypot(events.fov_lon, events.fov_lat)) < 2


@pytest.mark.parametrize("year", [1973, 2031, 2149])
def test_no_warning_at_any_date(store, year):
    """Warnings are errors in the tests; erfa knows leap seconds of some decades only."""
    zero = 41683 + round((year - 1973) * 365.25)

    def edit(hdu):
        hdu.header.update({"MJDREFI": zero, "MJDREFF": 0.0, "TIMESYS": "UTC"})

    for run in (1, 2, 3):
        for hdu in ("EVENTS", "GTI"):
            edit_hdu(store / EVENTS.format(run), edit, hdu)
    edit_table(store / "obs-index.fits.gz", lambda t: t.remove_columns(["ALT_PNT", "AZ_PNT"]))
    assert len(load(store).energy)
    opened = GadfStore(store)
    assert len(list(opened.observations(opened.table))) == 3
    assert not opened.unreadable


def test_odd_unit_of_a_column_that_is_not_used(store):
    path = store / "obs-index.fits.gz"
    with fits.open(path) as file:
        number = file[1].columns.names.index("MUONEFF") + 1
        file[1].header[f"TUNIT{number}"] = "foo"
        file.writeto(path, overwrite=True, output_verify="ignore")
    table = GadfStore(store).table
    assert table["MUONEFF"].unit is None
    fits.table_to_hdu(table)


def test_who_changes_events_does_not_change_those_of_the_next_reader(store):
    opened = GadfStore(store)
    (run,) = opened.observations(opened.table[:1])
    first = run.load()
    energy, stop = first.energy.copy(), first.gti[-1, 1]
    first.energy[:] *= 2
    first.gti[-1, 1] += 100
    second = run.load()
    assert_array_equal(second.energy, energy)
    assert second.gti[-1, 1] == stop
