"""GADF stores of ours, as gammapy and astropy read them."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from numpy.testing import assert_array_equal

from simbg.observations.observation import MJDREF


@pytest.fixture(scope="module")
def gammapy_store(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        data = pytest.importorskip("gammapy.data")
    return data.DataStore.from_dir(made)


@pytest.mark.gammapy
def test_gammapy_opens_the_store(gammapy_store, experiment, table, simulated):
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
        assert location.lon.deg == pytest.approx(experiment.scenario.site.lon, rel=1e-12)
        assert location.lat.deg == pytest.approx(experiment.scenario.site.lat, rel=1e-12)
        assert location.height.to_value("m") == pytest.approx(
            experiment.scenario.site.height, rel=1e-9
        )
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
