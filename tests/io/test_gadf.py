"""GADF stores: ours as gammapy and astropy see them, and others' as we do."""

import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from numpy.testing import assert_allclose, assert_array_equal
from support.stores import EVENTS, edit_hdu, edit_table

from simbg.io.gadf_reader import GadfStore
from simbg.models.runs import runs_of
from simbg.models.selection import Selection
from simbg.observations.observation import MJDREF
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.pointing import Site
from simbg.truth.gaussian import GaussianTruth

# A quarter of a field of view and no symmetry: a swap or a flip shows.
TRUTH = GaussianTruth(event_rate=2.0, quadrant=True)
# North of the equator and east of Greenwich: no sign of the site is left to chance.
SITE = Site(38.0, 27.0, 900.0)
SCENARIO = replace(
    SCENARIOS["night"],
    name="gadf test",
    truth=TRUTH,
    n_obs=3,
    site=SITE,
    ontime=600.0,
    energy_threshold=0.3,
)


@pytest.fixture(scope="module")
def experiment():
    return Experiment.of(SCENARIO, 4)


@pytest.fixture(scope="module")
def table(experiment):
    return experiment.runs


@pytest.fixture(scope="module")
def made(tmp_path_factory, experiment):
    folder = tmp_path_factory.mktemp("made") / "store"
    experiment.write(folder)
    return folder


@pytest.fixture
def store(tmp_path, made):
    """A copy to spoil."""
    return shutil.copytree(made, tmp_path / "store")


@pytest.fixture(scope="module")
def simulated(experiment):
    """The events as simulated, without a file in between."""
    return [observation.events() for observation in experiment.observations()]


@pytest.fixture(scope="module")
def gammapy_store(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        data = pytest.importorskip("gammapy.data")
    return data.DataStore.from_dir(made)


def load(store):
    """All of the first run, as a reconstruction would."""
    opened = GadfStore(store)
    return opened.observations(opened.table[:1])[0].events()


@pytest.mark.gammapy
def test_gammapy_opens_the_store(gammapy_store, table, simulated):
    assert gammapy_store.obs_ids.tolist() == [1, 2, 3]
    assert gammapy_store.obs_table["OBS_ID"].tolist() == [1, 2, 3]
    for row, events in zip(table, simulated, strict=True):
        observation = gammapy_store.obs(int(row["OBS_ID"]), required_irf="all-optional")
        assert observation.meta is not None
        assert observation.meta.deadtime_fraction == pytest.approx(0.09, rel=1e-12)
        assert observation.obs_id == row["OBS_ID"]
        pointing = observation.meta.pointing.radec_mean
        assert (pointing.ra.deg, pointing.dec.deg) == pytest.approx(
            (row["RA_PNT"], row["DEC_PNT"]), rel=1e-14
        )
        location = observation.meta.location
        assert location.lon.deg == pytest.approx(SITE.lon, rel=1e-12)
        assert location.lat.deg == pytest.approx(SITE.lat, rel=1e-12)
        assert location.height.to_value("m") == pytest.approx(SITE.height, rel=1e-9)
        assert len(observation.events.table) == len(events)
        assert_array_equal(observation.events.energy.to_value("TeV"), events.energy)
        assert observation.aeff is not None
    many = gammapy_store.get_observations(required_irf="all-optional")
    assert len(many) == 3


@pytest.mark.gammapy
def test_gammapy_has_our_times(gammapy_store, table, simulated):
    for row, events in zip(table, simulated, strict=True):
        observation = gammapy_store.obs(int(row["OBS_ID"]), required_irf="all-optional")
        gti = observation.gti
        assert gti.time_ref.scale == "tt"
        # An MJD in one double has 7e-12 d or 6e-7 s; TSTART of 1e8 s has 1e-8 s.
        assert gti.time_ref.mjd == pytest.approx(MJDREF, abs=1e-11)
        assert gti.time_sum.to_value("s") == pytest.approx(600, abs=1e-6)
        start = Time(MJDREF, row["TSTART"] / 86400, format="mjd", scale="tt")
        assert abs((gti.time_start[0] - start).to_value("s")) < 1e-5
        time = observation.events.time
        assert (time >= gti.time_start[0]).all()
        assert (time <= gti.time_stop[0]).all()
        assert abs((time[5] - start).to_value("s") - (events.time[5] - row["TSTART"])) < 1e-5
        night = start.utc.datetime.hour
        assert night >= 22 or night < 4


@pytest.mark.gammapy
def test_gammapy_places_events_where_they_were_simulated(gammapy_store, simulated):
    from gammapy.utils.coordinates import FoVAltAzFrame

    for obs_id, events in enumerate(simulated, 1):
        observation = gammapy_store.obs(obs_id, required_irf="all-optional")
        some = slice(0, None, 20)
        time, location = observation.events.time[some], observation.meta.location
        altaz = AltAz(obstime=time, location=location)
        pointing = observation.meta.pointing.radec_mean.transform_to(altaz)
        frame = FoVAltAzFrame(
            origin=AltAz(alt=pointing.alt, az=pointing.az, obstime=time, location=location),
            obstime=time,
            location=location,
        )
        theirs = observation.events.radec[some].transform_to(altaz).transform_to(frame)
        # Ours leaves out the Sun's light deflection and nutation within a run: below 0.1 arcsec.
        lon = (theirs.fov_lon.wrap_at(180 * u.deg).deg - events.fov_lon[some]) * 3600
        lat = (theirs.fov_lat.deg - events.fov_lat[some]) * 3600
        assert np.abs(lon * np.cos(np.deg2rad(events.fov_lat[some]))).max() < 1
        assert np.abs(lat).max() < 1
        # The control: the field of view is lit in one quarter alone.
        assert np.abs(events.fov_lon[some]).max() * 3600 > 1000


def test_astropy_finds_the_pointing_at_altitude_and_azimuth(made):
    header = fits.getheader(made / "data" / "simbg_obs_000001.fits.gz", "EVENTS")
    middle = 0.5 * (header["TSTART"] + header["TSTOP"])
    time = Time(
        header["MJDREFI"] + header["MJDREFF"] + middle / 86400,
        format="mjd",
        scale=header["TIMESYS"].lower(),
    )
    site = EarthLocation.from_geodetic(
        header["GEOLON"] * u.deg, header["GEOLAT"] * u.deg, header["ALTITUDE"] * u.m
    )
    pointing = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg")
    altaz = pointing.transform_to(AltAz(obstime=time, location=site))
    expected = SkyCoord(header["AZ_PNT"], header["ALT_PNT"], unit="deg")
    assert SkyCoord(altaz.az, altaz.alt).separation(expected).arcsec < 1


def test_events_file(made, table):
    with fits.open(made / "data" / "simbg_obs_000002.fits.gz") as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "EVENTS", "GTI", "AEFF"]
        header, events = file["EVENTS"].header, file["EVENTS"]
        assert events.columns.names == ["EVENT_ID", "TIME", "RA", "DEC", "ENERGY"]
        assert events.columns.units == ["", "s", "deg", "deg", "TeV"]
        assert_array_equal(events.data["EVENT_ID"], np.arange(1, len(events.data) + 1))
        assert np.all(np.diff(events.data["TIME"]) >= 0)
        assert file["GTI"].data["START"].tolist() == [header["TSTART"]]
        assert file["GTI"].data["STOP"].tolist() == [header["TSTOP"]]
        assert file["AEFF"].header["LO_THRES"] == 0.3
        # What GADF demands.
        for key in (
            *("HDUCLASS", "HDUDOC", "HDUVERS", "HDUCLAS1", "OBS_ID", "TSTART", "TSTOP"),
            *("ONTIME", "LIVETIME", "DEADC", "OBS_MODE", "RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT"),
            *("EQUINOX", "RADECSYS", "ORIGIN", "TELESCOP", "INSTRUME", "CREATOR"),
            *("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF"),
            *("GEOLON", "GEOLAT", "ALTITUDE"),
        ):
            assert key in header
        for key in ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF"):
            assert file["GTI"].header[key] == header[key]
        assert header["LIVETIME"] == pytest.approx(header["ONTIME"] * header["DEADC"], rel=1e-15)
        assert header["RA_PNT"] == table["RA_PNT"][1]


def test_index_files(made, table):
    obs = Table.read(made / "obs-index.fits.gz")
    assert obs.colnames == table.colnames
    for name in table.colnames:
        assert_array_equal(obs[name], table[name])
        assert obs[name].unit == table[name].unit
    assert (obs.meta["HDUCLAS1"], obs.meta["HDUCLAS2"]) == ("INDEX", "OBS")
    hdu = Table.read(made / "hdu-index.fits.gz")
    assert (hdu.meta["HDUCLAS1"], hdu.meta["HDUCLAS2"]) == ("INDEX", "HDU")
    for row in hdu:
        path = made / row["FILE_DIR"] / row["FILE_NAME"]
        assert fits.getheader(path, row["HDU_NAME"]).get("OBS_ID", row["OBS_ID"]) == row["OBS_ID"]


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


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("..", "x.fits"),
        ("data/../..", "x.fits"),
        ("data", "../../x.fits"),
        ("/etc", "x.fits"),
        ("data", "/etc/x.fits"),
        ("", "../x.fits"),
    ],
)
def test_paths_that_leave_the_store_are_refused(store, folder, name):
    def edit(table):
        table = table.copy()
        table["FILE_DIR"], table["FILE_NAME"] = [folder] * len(table), [name] * len(table)
        return table

    edit_table(store / "hdu-index.fits.gz", edit)
    with pytest.raises(ValueError, match="leads out of the store"):
        GadfStore(store).hdus  # noqa: B018


def test_run_without_events_in_the_index(store):
    edit_table(store / "hdu-index.fits.gz", lambda t: t[t["OBS_ID"] != 2])
    opened = GadfStore(store)
    with pytest.raises(ValueError, match="no events HDU of run 2"):
        opened.observations(opened.table)


def test_run_that_is_not_listed(store):
    edit_table(store / "obs-index.fits.gz", lambda t: t[t["OBS_ID"] != 2])
    nothing_near = {"exclude": ("none",)}
    with pytest.raises(ValueError, match=r"run 2 .* has events but is not in the list"):
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
