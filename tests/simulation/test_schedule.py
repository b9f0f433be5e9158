"""Schedules: distributed as in 2015, and on targets, with gaps and dead times, by astropy."""

import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom, chisquare, kstest

from simbg.observations.observation import MJDREF, good_time
from simbg.simulation.scenario import HESS_SITE, Scenario
from simbg.sky.pointing import Site

# A right table fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
DATES = "2010-01-01", "2015-01-01"
# One site in each hemisphere, and neither at Greenwich.
SOUTH, NORTH = Site(16.5, -23.27, 1835.0), Site(-110.95, 31.68, 1268.0)
TARGETS = {
    "south": (SOUTH, (83.6, -45.0), (45.0, 68.0)),
    "north": (NORTH, (329.7, 22.0), (35.0, 80.0)),
    "across 0 h": (NORTH, (0.2, 60.0), (40.0, 61.0)),
}


def make(seed=3, n_obs=40, site=SOUTH, **options):
    return Scenario("schedule", site=site, **options).table(seed, n_obs)


N_OBS = 4000


@pytest.fixture(scope="module")
def table():
    """Many runs over less than the whole sky, asymmetric on purpose."""
    return make(2015, N_OBS, HESS_SITE, az_range=(100.0, 250.0), alt_range=(35.0, 80.0))


def uniform(values, low, high):
    """p-value of being uniform between the two; 0 if outside."""
    return kstest(values, "uniform", (low, high - low)).pvalue


def test_pointings_are_uniform_on_the_sphere(table):
    low, high = np.sin(np.deg2rad([35, 80]))
    assert uniform(np.sin(np.deg2rad(table["ALT_PNT"])), low, high) > FALSE_ALARM
    assert uniform(table["AZ_PNT"], 100, 250) > FALSE_ALARM
    # The control: altitudes themselves are not uniform.
    assert uniform(table["ALT_PNT"], 35, 80) < FALSE_ALARM
    assert table["ALT_PNT"].min() >= 35
    assert table["ALT_PNT"].max() <= 80


def test_zenith_angle_is_the_rest_to_90_deg(table):
    assert_array_equal(table["ZEN_PNT"], 90 - table["ALT_PNT"])


def test_runs_start_at_night(table):
    start = Time(MJDREF + table["TSTART"].value / 86400, format="mjd", scale="tt").utc
    hours = (start.mjd - 0.5) % 1 * 24 + 12  # 22:00 to 27:30 of the day before
    # Rounding of an MJD is 7e-12 d; relative times add as much.
    assert hours.min() >= 22 - 1e-6
    assert hours.max() <= 27.5 + 1e-6
    assert uniform(hours, 22, 27.5) > FALSE_ALARM
    days = np.floor(start.mjd - 0.5)
    first, last = Time(DATES).mjd
    assert uniform(days + 0.5, first, last) > FALSE_ALARM


def test_muon_efficiency(table):
    assert uniform(table["MUONEFF"], 0.6, 1) > FALSE_ALARM


def test_number_of_telescopes_holds_both_ends(table):
    numbers, counts = np.unique(table["N_TELS"], return_counts=True)
    assert_array_equal(numbers, [3, 4])
    assert chisquare(counts).pvalue > FALSE_ALARM


def test_sky_positions_are_those_of_astropy_at_mid_run(table):
    few = table[:30]
    middle = Time(
        MJDREF + (few["TSTART"] + few["TSTOP"]).value / 2 / 86400, format="mjd", scale="tt"
    )
    location = EarthLocation(
        HESS_SITE.lon * u.deg, HESS_SITE.lat * u.deg, height=HESS_SITE.height * u.m
    )
    frame = AltAz(obstime=middle, location=location)
    theirs = SkyCoord(few["AZ_PNT"].quantity, few["ALT_PNT"].quantity, frame=frame).icrs
    ours = SkyCoord(few["RA_PNT"].quantity, few["DEC_PNT"].quantity)
    assert ours.separation(theirs).arcsec.max() < 1
    # The control: the Earth turns by more than 15 arcsec · cos(dec) in a second.
    late = AltAz(obstime=middle + 1 * u.s, location=location)
    theirs = SkyCoord(few["AZ_PNT"].quantity, few["ALT_PNT"].quantity, frame=late).icrs
    assert ours.separation(theirs).arcsec.max() > 10


def test_times_and_dead_time():
    table = make(n_obs=5, ontime=1000.0, deadtime_fraction=0.25)
    assert_array_equal(table["ONTIME"], np.full(5, 1000.0))
    assert_array_equal(table["LIVETIME"], np.full(5, 750.0))
    assert_array_equal(table["DEADC"], np.full(5, 0.75))
    # TSTART of 1e8 s has 1e-8 s of rounding.
    assert_allclose(table["TSTOP"] - table["TSTART"], 1000.0, rtol=0, atol=1e-7)
    assert table["ONTIME"].unit == table["TSTART"].unit == u.s


def test_azimuth_range_may_cross_north():
    table = make(n_obs=300, az_range=(-90, 90))
    az = np.asarray(table["AZ_PNT"])
    assert ((az >= 270) | (az <= 90)).all()
    assert (az > 270).any()
    assert (az < 90).any()


# On a target ------------------------------------------------------------------------------


def altaz_at(table, site, share):
    """Altitude and azimuth of the pointings after a share of the run, by astropy, deg."""
    when = table["TSTART"] + share * (table["TSTOP"] - table["TSTART"])
    time = Time(MJDREF, when.value / 86400, format="mjd", scale="tt")
    location = EarthLocation(site.lon * u.deg, site.lat * u.deg, height=site.height * u.m)
    pointing = SkyCoord(table["RA_PNT"].quantity, table["DEC_PNT"].quantity)
    return pointing.transform_to(AltAz(obstime=time, location=location))


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("wobble", [0.5, 0.7])
def test_wobbled_runs_surround_the_target_in_turn(case, wobble):
    site, target, alt_range = TARGETS[case]
    table = make(site=site, target=target, wobble=wobble, alt_range=alt_range)
    center = SkyCoord(*target, unit="deg")
    pointing = SkyCoord(table["RA_PNT"].quantity, table["DEC_PNT"].quantity)
    # Vectors of doubles: 1e-10 deg at these distances.
    assert_allclose(center.separation(pointing).deg, wobble, rtol=0, atol=1e-10)
    angle = center.position_angle(pointing).deg
    off = (angle - np.arange(40) % 4 * 90 + 180) % 360 - 180
    # Seen from the target, at wobble or 0.009 rad: 1e-8 deg.
    assert_allclose(off, 0, rtol=0, atol=1.2e-8)
    # North first, then east, as astronomers turn.
    assert table["DEC_PNT"][0] > target[1] + 0.9 * wobble
    assert (table["RA_PNT"][1] - target[0] + 180) % 360 - 180 > 0.9 * wobble


def test_without_wobble_all_look_at_the_target():
    table = make(target=(83.6, -45.0), wobble=0.0, alt_range=(45.0, 68.0))
    assert_allclose(table["RA_PNT"], 83.6, rtol=0, atol=1e-12)
    assert_allclose(table["DEC_PNT"], -45.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", TARGETS)
def test_altitude_and_azimuth_of_targets_are_those_of_astropy_at_mid_run(case):
    site, target, alt_range = TARGETS[case]
    gaps = {"n_gti": 3, "gti_gap": 300.0}
    table = make(site=site, target=target, wobble=0.7, alt_range=alt_range, **gaps)
    theirs = altaz_at(table, site, 0.5)
    ours = SkyCoord(table["AZ_PNT"].quantity, table["ALT_PNT"].quantity)
    assert ours.separation(SkyCoord(theirs.az, theirs.alt)).arcsec.max() < 0.1
    assert_array_equal(table["ZEN_PNT"], 90 - table["ALT_PNT"])
    # The control: half a minute of 40.
    late = altaz_at(table, site, 0.5 + 30 / 2400)
    assert ours.separation(SkyCoord(late.az, late.alt)).arcsec.min() > 60


@pytest.mark.parametrize("case", TARGETS)
def test_altitudes_of_targets_are_those_asked_for(case):
    """Sines uniform over the range, on both sides of the meridian."""
    site, target, alt_range = TARGETS[case]
    table = make(site=site, target=target, wobble=0.0, alt_range=alt_range, n_obs=200)
    alt = table["ALT_PNT"]
    # Precession of 15 years moves a target by 0.08 deg.
    assert alt.min() > alt_range[0] - 0.1
    assert alt.max() < alt_range[1] + 0.1
    low, high = np.sin(np.deg2rad(alt_range))
    share = (np.sin(np.deg2rad(alt)) - low) / (high - low)
    assert kstest(share, "uniform").pvalue > FALSE_ALARM
    east = np.sum(table["AZ_PNT"] < 180)
    assert FALSE_ALARM / 2 < binom.cdf(east, 200, 0.5) < 1 - FALSE_ALARM / 2


def test_targets_are_seen_at_night_and_within_a_year_of_the_dates():
    table = make(target=(83.6, -45.0), alt_range=(45.0, 68.0), n_obs=150)
    middle = MJDREF + 0.5 * (table["TSTART"] + table["TSTOP"]).value / 86400
    hours = (Time(middle, format="mjd", scale="tt").utc.mjd - 0.5) % 1 * 24 + 12
    # The sidereal day sets the last 4 minutes.
    assert hours.min() >= 19 - 1e-6
    assert hours.max() <= 28 + 4 / 60
    assert kstest((hours - 19) / 9, "uniform").pvalue > FALSE_ALARM
    first, last = Time(DATES).mjd
    assert middle.min() > first
    assert middle.max() < last + 367


def test_target_that_reaches_a_part_of_the_range_is_taken_as_far_as_it_goes():
    """It culminates at 69 deg: all that was drawn above is at culmination."""
    table = make(target=(83.6, -44.3), wobble=0.0, alt_range=(60.0, 90.0), n_obs=200)
    highest = 90 - 44.3 + 23.27
    assert table["ALT_PNT"].max() == pytest.approx(highest, abs=0.1)
    top = table["ALT_PNT"] > highest - 0.15
    # Sines are uniform: half of them lie above.
    sine = np.sin(np.deg2rad([60, highest, 90]))
    share = (sine[2] - sine[1]) / (sine[2] - sine[0])
    assert binom.cdf(np.sum(top), 200, share) > FALSE_ALARM
    # There it is south of the zenith: 0.25 deg below culmination are 0.069 rad of hour angle.
    assert_allclose(table["AZ_PNT"][top], 180, rtol=0, atol=7.9)


@pytest.mark.parametrize(("dec", "alt_range"), [(80.0, (5.0, 90.0)), (30.0, (45.0, 90.0))])
def test_target_that_never_gets_there(dec, alt_range):
    with pytest.raises(ValueError, match=r"target: .* below .* deg"):
        make(target=(10.0, dec), wobble=0.7, alt_range=alt_range)


@pytest.mark.parametrize("target", [None, (83.6, -45.0)])
@pytest.mark.parametrize(("n_gti", "gap"), [(1, 500.0), (2, 0.0), (3, 240.0), (7, 11.0)])
def test_gaps_make_runs_longer_and_nothing_else(target, n_gti, gap):
    options = {"target": target, "ontime": 1500.0, "deadtime_fraction": 0.2}
    options["alt_range"] = (45.0, 68.0)
    table = make(n_gti=n_gti, gti_gap=gap, **options)
    # TSTART of 1e8 s has 1e-8 s of rounding.
    length = (table["TSTOP"] - table["TSTART"]).value
    assert_allclose(length, 1500 + (n_gti - 1) * gap, rtol=0, atol=1e-7)
    assert_array_equal(table["ONTIME"], np.full(40, 1500.0))
    assert_array_equal(table["LIVETIME"], np.full(40, 1200.0))
    plain = make(**options)
    assert_array_equal(table["MUONEFF"], plain["MUONEFF"])
    extra = {"N_GTI", "GTI_GAP"} if n_gti > 1 else set()
    assert set(table.colnames) - set(plain.colnames) == extra


def test_good_time_intervals():
    table = make(n_obs=3, n_gti=4, gti_gap=100.0, ontime=1000.0)
    for row in table:
        gti = good_time({name: row[name] for name in table.colnames})
        assert gti.shape == (4, 2)
        assert (gti[0, 0], gti[-1, 1]) == (row["TSTART"], row["TSTOP"])
        # TSTART of 1e8 s has 1e-8 s of rounding.
        assert_allclose(np.diff(gti)[:, 0], 250, rtol=0, atol=1e-7)
        assert_allclose(gti[1:, 0] - gti[:-1, 1], 100, rtol=0, atol=1e-7)
    assert_array_equal(good_time({"TSTART": 5.0, "TSTOP": 8.0}), [[5.0, 8.0]])


def test_random_dead_times():
    table = make(n_obs=500, ontime=1600.0, deadtime_fraction=(0.05, 0.3))
    dead = 1 - table["DEADC"]
    assert dead.min() >= 0.05
    assert dead.max() <= 0.3
    assert kstest((dead - 0.05) / 0.25, "uniform").pvalue > FALSE_ALARM
    assert_array_equal(table["LIVETIME"], 1600 * table["DEADC"])
    # Nothing that was drawn before changes.
    fixed = make(n_obs=500, ontime=1600.0, deadtime_fraction=0.1)
    for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "TSTART"):
        assert_array_equal(table[name], fixed[name])


def test_no_dead_time_is_no_special_case():
    table = make(deadtime_fraction=0.0)
    assert_array_equal(table["LIVETIME"], table["ONTIME"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"az_range": (90, 90)},
        {"az_range": (0, 361)},
        {"alt_range": (50, 40)},
        {"alt_range": (-5, 40)},
        {"n_gti": 0},
        {"gti_gap": -1.0},
        {"gti_gap": np.nan},
        {"deadtime_fraction": (0.3, 0.1)},
        {"deadtime_fraction": (0.3, 1.0)},
        {"deadtime_fraction": 1},
        {"deadtime_fraction": -0.1},
        {"ontime": 0.0},
        {"target": (83.0, -95.0)},
        {"target": (np.nan, -45.0)},
        {"wobble": -0.5},
    ],
    ids=str,
)
def test_impossible_settings_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=re.escape(f"{name}: got {value}, expected ")):
        make(**wrong)


def test_no_runs():
    with pytest.raises(ValueError, match="got 0"):
        make(n_obs=0)
