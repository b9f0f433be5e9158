"""The field of view against astropy's AltAz, gammapy's frames and itself."""

import functools
import pickle
import warnings

import astropy.units as u
import erfa
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame
from astropy.time import Time
from astropy.utils import iers

from simbg.sky import earth, earth_rotation
from simbg.sky.pointing import Drift, Site, Tracking, altaz_to_radec

HESS = Site(16.5002, -23.2718, 1835.0)
LA_PALMA = Site(-17.8920, 28.7622, 2200.0)
DATES = "2004-01-10T23:00", "2013-10-20T01:00", "2022-06-15T22:00"
RUN = 1680.0  # s

# arcsec, by zenith angle at mid-run. Required is 1. Measured over 28-min runs (both sites, 3
# dates, 4 azimuths, offsets up to 7 deg): 0.19, 0.035, 0.003, 0.002, which is the Sun's light
# deflection over the least zenith angle in the run. Tolerances are about twice that.
TOLERANCE = {0.5: 0.4, 3.0: 0.1, 20.0: 0.01, 60.0: 0.01}


@functools.cache
def iers_table():
    return iers.IERS_A.open(iers.IERS_A_FILE)


def make_tracking(site=HESS, date=DATES[1], zenith=20.0, azimuth=100.0, duration=RUN):
    """A tracking that reaches this zenith angle and azimuth in the middle of its run."""
    mjdref = Time(date, scale="tt").mjd
    ra, dec = altaz_to_radec(90 - zenith, azimuth, mjdref + duration / 2 / 86400, site)
    return Tracking(float(ra), float(dec), site, mjdref)


def make_events(n=100, duration=RUN):
    """Offsets up to 5 deg in each direction, more to one side than to the other, and times."""
    rng = np.random.default_rng(20130101)
    time = rng.uniform(0, duration, n)
    time[:2] = 0, duration
    return rng.uniform(-2, 5, n), rng.uniform(-5, 3, n), time


def astropy_altaz(tracking, ra, dec, time, ut1_utc=None):
    """Altitudes and azimuths by astropy, rad, with the same IERS table and no network."""
    site = tracking.site
    where = EarthLocation.from_geodetic(site.lon * u.deg, site.lat * u.deg, site.height * u.m)
    when = Time(tracking.mjdref, format="mjd", scale="tt") + time * u.s
    if ut1_utc is not None:
        when.delta_ut1_utc = np.full(np.shape(time), ut1_utc)
    with iers.conf.set_temp("auto_download", False), iers.earth_orientation_table.set(iers_table()):
        frame = AltAz(obstime=when, location=where)
        seen = SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame)
    return seen.alt.rad, seen.az.rad


def offsets(lon, lat, lon_pnt, lat_pnt):
    """Longitude, increasing with decreasing `lon`, and latitude about a pointing, deg.

    By spherical trigonometry, all angles in rad.
    """
    x = np.sin(lat) * np.sin(lat_pnt) + np.cos(lat) * np.cos(lat_pnt) * np.cos(lon - lon_pnt)
    y = -np.cos(lat) * np.sin(lon - lon_pnt)
    z = np.sin(lat) * np.cos(lat_pnt) - np.cos(lat) * np.sin(lat_pnt) * np.cos(lon - lon_pnt)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z))


def astropy_fov(tracking, ra, dec, time, **kwargs):
    alt, az = astropy_altaz(tracking, ra, dec, time, **kwargs)
    alt_pnt, az_pnt = astropy_altaz(tracking, tracking.ra, tracking.dec, time, **kwargs)
    return offsets(az, alt, az_pnt, alt_pnt)


def sky_offset(pointing, ra, dec, time):
    """Places in the field of view, and RA and Dec of the pointing, by astropy's frames, deg."""
    site = pointing.site
    where = EarthLocation.from_geodetic(site.lon * u.deg, site.lat * u.deg, site.height * u.m)
    when = Time(pointing.mjdref, format="mjd", scale="tt") + time * u.s
    with iers.conf.set_temp("auto_download", False), iers.earth_orientation_table.set(iers_table()):
        horizontal = AltAz(obstime=when, location=where)
        if isinstance(pointing, Drift):
            same = np.ones_like(time) * u.deg
            centre = SkyCoord(az=pointing.az * same, alt=pointing.alt * same, frame=horizontal)
        else:
            centre = SkyCoord(pointing.ra * u.deg, pointing.dec * u.deg)
        offset = SkyOffsetFrame(origin=centre.transform_to(horizontal))
        seen = SkyCoord(ra * u.deg, dec * u.deg).transform_to(horizontal).transform_to(offset)
        centre = centre.icrs
    # astropy's longitude increases with azimuth or RA, that of the field of view decreases
    return (-seen.lon.wrap_at("180d").deg, seen.lat.deg), (centre.ra.deg, centre.dec.deg)


def distance(a, b):
    """The largest distance of two sets of (lon, lat) in deg, arcsec."""
    lon = (np.subtract(a[0], b[0]) + 180) % 360 - 180
    return 3600 * np.hypot(lon * np.cos(np.radians(a[1])), np.subtract(a[1], b[1])).max()


@pytest.mark.parametrize("zenith", TOLERANCE)
@pytest.mark.parametrize("site", [HESS, LA_PALMA], ids=["hess", "la_palma"])
def test_altaz_against_astropy(site, zenith):
    for date, azimuth in zip(DATES, [10, 100, 280], strict=True):
        tracking = make_tracking(site, date, zenith, azimuth)
        fov_lon, fov_lat, time = make_events()
        ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, time)
        got = tracking.sky_to_fov(ra, dec, time)
        assert distance(got, astropy_fov(tracking, ra, dec, time)) < TOLERANCE[zenith]
        assert distance(got, (fov_lon, fov_lat)) < 1e-6  # arcsec; 3e-10 measured, rounding


@pytest.mark.parametrize("site", [HESS, LA_PALMA], ids=["hess", "la_palma"])
def test_tracking_at_the_zenith_against_sky_offset_frame(site):
    """As required, 1 arcsec; see TOLERANCE."""
    for date, azimuth in zip(DATES, [10, 190, 280], strict=True):
        tracking = make_tracking(site, date, 0.5, azimuth)
        fov_lon, fov_lat, time = make_events()
        ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, time)
        expected, _ = sky_offset(tracking, ra, dec, time)
        assert distance((fov_lon, fov_lat), expected) < TOLERANCE[0.5]


@pytest.mark.parametrize("zenith", [0.5, 20, 60])
@pytest.mark.parametrize("site", [HESS, LA_PALMA], ids=["hess", "la_palma"])
def test_drift_against_sky_offset_frame(site, zenith):
    for date, azimuth in zip(DATES, [10, 100, 280], strict=True):
        drift = Drift(90 - zenith, azimuth, site, Time(date, scale="tt").mjd)
        fov_lon, fov_lat, time = make_events()
        ra, dec = drift.fov_to_sky(fov_lon, fov_lat, time)
        got = drift.sky_to_fov(ra, dec, time)
        expected, pointing = sky_offset(drift, ra, dec, time)
        # arcsec. Required is 1; 0.010 measured, the Sun's light deflection and the Earth's orbit
        assert distance(got, expected) < 0.02
        assert distance(drift.radec(time), pointing) < 0.02
        assert distance(got, (fov_lon, fov_lat)) < 1e-6  # 3e-10 measured, rounding


def test_four_hours_of_drift():
    # arcsec; 0.031 measured, the Earth's orbit. Diurnal aberration that does not turn with the
    # Earth would show with 0.15
    drift = Drift(70.0, 130.0, LA_PALMA, Time(DATES[0], scale="tt").mjd)
    fov_lon, fov_lat, time = make_events(duration=14400)
    ra, dec = drift.fov_to_sky(fov_lon, fov_lat, time)
    expected, pointing = sky_offset(drift, ra, dec, time)
    assert distance((fov_lon, fov_lat), expected) < 0.05
    assert distance(drift.radec(time), pointing) < 0.05
    # The same from a part of the events only, so with another middle: as exact
    first = time < 3600
    part = drift.sky_to_fov(ra[first], dec[first], time[first])
    assert distance(part, (fov_lon[first], fov_lat[first])) < 0.05


@pytest.mark.parametrize("zenith", [0.5, 40])
def test_drift_is_for_a_moment_what_tracking_is(zenith):
    """Two ways to the same field: they share the Earth, and nothing else for ALTAZ."""
    drift = Drift(90 - zenith, 215.0, HESS, Time(DATES[2], scale="tt").mjd)
    fov_lon, fov_lat, _ = make_events()
    for time in (0.0, 900.0):
        tracking = Tracking(*map(float, drift.radec(time)), HESS, drift.mjdref)
        # arcsec; rounding: 1e-7 measured, near the zenith
        assert distance(tracking.altaz(time)[::-1], drift.altaz(time)[::-1]) < 1e-5
        sky = tracking.fov_to_sky(fov_lon, fov_lat, time)
        assert distance(sky, drift.fov_to_sky(fov_lon, fov_lat, time)) < 1e-5


def test_four_hours_against_astropy():
    # 0.02 arcsec measured: diurnal aberration's change is taken as one for the whole field
    tracking = make_tracking(duration=14400)
    fov_lon, fov_lat, time = make_events(duration=14400)
    ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, time)
    got = tracking.sky_to_fov(ra, dec, time)
    assert distance(got, astropy_fov(tracking, ra, dec, time)) < 0.05
    # The same from a part of the events only, so with another middle: as exact
    first = time < 3600
    part = tracking.sky_to_fov(ra[first], dec[first], time[first])
    assert distance(part, (got[0][first], got[1][first])) < 0.05


@pytest.mark.parametrize("date", ["2026-07-01", "2031-03-01", "2040-11-01"])
def test_future_against_astropy(date):
    # Beyond the table astropy has another pole (up to 0.5 arcsec), and UT1 is for us to tell;
    # at 20 deg zenith angle and 6 deg offset that is up to 0.15 arcsec in the field of view
    tracking, ut1_utc = make_tracking(date=date), None
    if tracking.mjdref > iers_table()["MJD"][-1].value - 1:
        ut1_utc = iers_table()["UT1_UTC"][-1].to_value("s")
    fov_lon, fov_lat, time = make_events()
    ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, time)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, of dubious years and of the pole
        expected = astropy_fov(tracking, ra, dec, time, ut1_utc=ut1_utc)
    assert distance(tracking.sky_to_fov(ra, dec, time), expected) < 0.2


@pytest.mark.parametrize("ignored", ["aberration", "polar motion", "UT1 - UTC"])
def test_what_is_ignored_shows_near_the_zenith(ignored, monkeypatch):
    tracking = make_tracking(zenith=0.5)
    fov_lon, fov_lat, time = make_events()
    ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, time)
    expected = astropy_fov(tracking, ra, dec, time)
    if ignored == "aberration":
        boost = earth.boosts
        monkeypatch.setattr(earth, "boosts", lambda velocity: boost(0 * velocity))
    else:
        orientation = earth.orientation

        def worse(tt1, tt2):
            angle, x, y = orientation(tt1, tt2)
            if ignored == "polar motion":
                return angle, 0 * x, 0 * y
            return erfa.era00(*erfa.taiutc(*erfa.tttai(tt1, tt2))), x, y

        monkeypatch.setattr(earth, "orientation", worse)
    assert distance(tracking.sky_to_fov(ra, dec, time), expected) > 1


def test_signs():
    tracking = make_tracking(zenith=40, azimuth=130)
    alt, az = tracking.altaz(500.0)
    mjd = tracking.mjdref + 500 / 86400
    above = altaz_to_radec(alt + 2, az, mjd, HESS)
    aside = altaz_to_radec(alt, az - 2, mjd, HESS)
    # 0.1 arcsec: altaz_to_radec takes the middle of a run at another time than the run
    np.testing.assert_allclose(tracking.sky_to_fov(*above, 500.0), [0, 2], atol=3e-5)
    assert tracking.sky_to_fov(*aside, 500.0)[0] > 1


# What a star in the pointing at time 0 does in 60 s at 15.041 arcsec/s of sidereal rate, as seen
# from La Palma (north) and from H.E.S.S. (south): fov_lon per cos(dec), fov_lat per cos(lat).
@pytest.mark.parametrize("site", [HESS, LA_PALMA], ids=["hess", "la_palma"])
@pytest.mark.parametrize(
    ("azimuth", "lon", "lat"),
    [
        (180.0, -1, 0),  # culminates in the south: to the west, where azimuth is larger
        (0.0, 1, 0),  # culminates in the north: to the west, where azimuth is smaller
        (90.0, None, 1),  # rises in the east
        (270.0, None, -1),  # sets in the west
    ],
)
def test_signs_of_drift(site, azimuth, lon, lat):
    # At 70 deg this is the upper culmination in the north and in the south, from both
    drift = Drift(70.0, azimuth, site, Time(DATES[1], scale="tt").mjd)
    ra, dec = drift.radec(0.0)
    moved = 60 * 15.041 / 3600
    fov_lon, fov_lat = drift.sky_to_fov(ra, dec, 60.0)
    # rtol: a star's path is no straight line, and ICRS differs from the date's equator
    if lon is not None:
        np.testing.assert_allclose(fov_lon, lon * moved * np.cos(np.radians(dec)), rtol=5e-3)
    atol = 5e-3 * moved
    np.testing.assert_allclose(
        fov_lat, lat * moved * np.cos(np.radians(site.lat)), rtol=1e-2, atol=atol
    )
    # The pointing moves to larger RA, the star falls behind: its RA is the smaller one
    assert (drift.radec(60.0)[0] - ra + 180) % 360 - 180 > 0


def test_pointing_is_the_centre():
    tracking = make_tracking(zenith=0.5)
    drift = Drift(89.5, 100.0, HESS, tracking.mjdref)
    time = np.linspace(0, RUN, 7)
    for pointing in (tracking, drift):
        centre = pointing.sky_to_fov(*pointing.radec(time), time)
        np.testing.assert_allclose(centre, np.zeros((2, 7)), atol=1e-12)  # deg; rounding


def test_what_is_constant():
    tracking, time = Tracking(-10.0, 5.0, HESS, 53000.0), np.array([[0.0, 1e9]])
    np.testing.assert_array_equal(tracking.radec(time), [[[350.0, 350.0]], [[5.0, 5.0]]])
    drift = Drift(60.0, -10.0, HESS, 53000.0)
    np.testing.assert_array_equal(drift.altaz(time), [[[60.0, 60.0]], [[350.0, 350.0]]])


@pytest.mark.parametrize("zenith", [0.5, 60])
def test_altaz_of_the_pointing(zenith):
    tracking = make_tracking(LA_PALMA, DATES[2], zenith)
    time = np.linspace(0, RUN, 20)
    alt, az = tracking.altaz(time)
    expected = astropy_altaz(tracking, tracking.ra, tracking.dec, time)[::-1]
    # arcsec; 0.008 measured, the Sun's light deflection
    assert distance((az, alt), np.degrees(expected)) < 0.02
    ra, dec = altaz_to_radec(alt, az, tracking.mjdref + time / 86400, LA_PALMA)
    # arcsec; 5e-5 are the microsecond to which a float knows an MJD, and the drift's curvature
    assert distance((ra, dec), (tracking.ra, tracking.dec)) < 1e-3


def test_altaz_to_radec_over_years():
    mjd = Time(DATES, scale="tt").mjd
    ra, dec = altaz_to_radec([30, 50, 89.5], [10, 200, 300], mjd, HESS)
    for i in range(3):
        alt, az = astropy_altaz(Tracking(0.0, 0.0, HESS, mjd[i]), ra[i], dec[i], 0.0)
        expected = [30, 50, 89.5][i], [10, 200, 300][i]
        # arcsec; the Sun's light deflection, 4 mas at 90 deg from it
        assert distance(np.degrees([az, alt]), expected[::-1]) < 0.02


@pytest.mark.gammapy
def test_gammapy_frames():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coordinates = pytest.importorskip("gammapy.utils.coordinates")
    tracking = make_tracking(zenith=35)
    fov_lon, fov_lat, _ = make_events()
    ra, dec = tracking.fov_to_sky(fov_lon, fov_lat, 700.0)
    pointing = SkyCoord(tracking.ra * u.deg, tracking.dec * u.deg)
    where = EarthLocation.from_geodetic(HESS.lon * u.deg, HESS.lat * u.deg, HESS.height * u.m)
    when = Time(tracking.mjdref, format="mjd", scale="tt") + 700 * u.s
    with iers.conf.set_temp("auto_download", False), iers.earth_orientation_table.set(iers_table()):
        place = {"obstime": when, "location": where}
        origin = pointing.transform_to(AltAz(**place))
        frame = coordinates.FoVAltAzFrame(origin=origin, **place)
        seen = SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame)
    expected = seen.fov_lon.deg, seen.fov_lat.deg
    assert distance((fov_lon, fov_lat), expected) < 0.01  # arcsec; as against astropy


def test_shapes():
    tracking = make_tracking()
    assert tracking.sky_to_fov(tracking.ra, tracking.dec, 3)[0].shape == ()
    assert tracking.sky_to_fov([], [], [])[1].shape == (0,)
    assert tracking.altaz(np.zeros((2, 3)))[0].shape == (2, 3)
    assert tracking.fov_to_sky(np.zeros((2, 1)), np.zeros(3), 0)[0].shape == (2, 3)
    assert tracking.radec(0.0)[0].shape == ()
    assert altaz_to_radec([70, 80], 10, 53000, HESS)[0].shape == (2,)
    drift = Drift(70, 100, HESS, 53000)
    assert drift.sky_to_fov(10, 20, 3)[0].shape == ()
    assert drift.sky_to_fov([], [], [])[1].shape == (0,)
    assert drift.fov_to_sky(np.zeros((2, 1)), np.zeros(3), 0)[0].shape == (2, 3)
    assert drift.radec(np.zeros((2, 3)))[1].shape == (2, 3)
    assert drift.altaz([])[0].shape == (0,)


def test_chunks_do_not_show():
    fov_lon, fov_lat, time = make_events(20_000)  # in chunks of 8192
    for pointing in (make_tracking(), Drift(70.0, 100.0, HESS, 53000.0)):
        ra, dec = pointing.fov_to_sky(fov_lon, fov_lat, time)
        back = pointing.sky_to_fov(ra, dec, time)
        assert distance(back, (fov_lon, fov_lat)) < 1e-6  # arcsec: rounding, 2e-10 in 360 deg
        assert (ra >= 0).all()
        assert (ra <= 360).all()


def test_ra_wraps():
    tracking = Tracking(359.0, -89.0, HESS, 53000.0)
    ra, dec = tracking.fov_to_sky([3, -3, 0], [0, 0, 2], 0)
    back = tracking.sky_to_fov(ra - 360 * (ra > 180), dec, 0)
    np.testing.assert_allclose(back, [[3, -3, 0], [0, 0, 2]], atol=1e-12)


def test_float32_is_converted_once():
    tracking = make_tracking()
    ra, dec = np.float32(tracking.ra + 1), np.float32(tracking.dec - 1)
    single = tracking.sky_to_fov(ra, dec, np.float32(5))
    np.testing.assert_array_equal(single, tracking.sky_to_fov(float(ra), float(dec), 5.0))


def test_values_are_values():
    tracking = make_tracking()
    assert pickle.loads(pickle.dumps(tracking)) == tracking
    assert len({tracking, make_tracking()}) == 1
    drift = Drift(70.0, 100.0, HESS, 53000.0)
    assert pickle.loads(pickle.dumps(drift)) == drift
    assert drift != Drift(70.0, 101.0, HESS, 53000.0)


def test_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr(iers.iers, "download_file", refuse)
    monkeypatch.setattr(iers.IERS_Auto, "open", refuse)
    earth_rotation.table.cache_clear()
    make_tracking(date="2030-01-01").altaz(0.0)


def test_the_orientation_of_the_earth_is_that_of_astropy_to_the_last_bit():
    table = iers_table()
    days = table["MJD"].value
    inside = np.random.default_rng(0).uniform(days[0], days[-1], 3000)
    leap_seconds = np.arange(41683, 58000)
    mjd = np.concatenate([inside, leap_seconds + 0.9999999, days[[0, -1]], [30000.0, 70000.0]])
    ut1_utc = table.ut1_utc(erfa.DJM0, mjd, return_status=True)[0].to_value("s")
    x, y, _ = table.pm_xy(erfa.DJM0, mjd, return_status=True)
    got = earth_rotation.orientation(erfa.DJM0, mjd)
    np.testing.assert_array_equal(got, [ut1_utc, x.to_value("rad"), y.to_value("rad")])


def drifting(tracking):
    return Drift(60.0, 100.0, tracking.site, tracking.mjdref)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.sky_to_fov(0, [0, 90.5], 0), r"dec: got 0.0 to 90.5, expected -90 to 90"),
        (lambda t: t.sky_to_fov([0, np.nan], 0, 0), "ra: got nan to nan, expected"),
        (lambda t: t.sky_to_fov(0, 0, [1, -np.inf]), "time: got -inf to 1.0, expected"),
        (lambda t: t.fov_to_sky(0, -91, 0), "fov_lat: got -91.0 to"),
        (lambda t: t.altaz([0, 50000]), "time: got a span of 50000.0 s, expected 43200 or less"),
        (lambda t: altaz_to_radec(91, 0, 53000, t.site), "alt: got 91.0"),
        (lambda t: Tracking(0, 100, t.site, 53000), "dec: got 100.0"),
        (lambda t: t.radec(np.nan), "time: got nan to nan"),
        (lambda t: Drift(90.5, 0, t.site, 53000), "alt: got 90.5 to 90.5, expected -90 to 90"),
        (lambda t: Drift(60, np.inf, t.site, 53000), "az: got inf"),
        (lambda t: Drift(60, 0, t.site, -1e7), "mjdref: got -10000000.0"),
        (lambda t: drifting(t).sky_to_fov(0, 91, 0), "dec: got 91.0"),
        (lambda t: drifting(t).fov_to_sky(0, 0, [0, 43201]), "time: got a span of 43201.0 s"),
        (
            lambda t: drifting(t).sky_to_fov(0, 0, [0, 43201]),
            "time: got a span of 43201.0 s, expected 43200 or less",
        ),
        (lambda t: drifting(t).radec([0, 43300]), "time: got a span of 43300.0 s"),
        (lambda t: drifting(t).altaz([0, np.inf]), "time: got 0.0 to inf"),
        (lambda t: Site(0, -91, 0), "lat: got -91.0"),
        (lambda t: Site(0, 0, np.nan), "height: got nan"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=f"^{message}.*$"):
        call(make_tracking())
