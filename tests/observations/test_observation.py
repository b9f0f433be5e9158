"""Observation tables are distributed as in 2015, and impossible observations are refused."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from numpy.testing import assert_array_equal
from scipy.stats import chisquare, kstest

from simbg.observations.observation import (
    MJDREF,
    Events,
    Observation,
)
from simbg.simulation.scenarios import HESS_SITE
from simbg.simulation.schedule import make_observation_table

# A right table fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
N_OBS = 4000


@pytest.fixture(scope="module")
def table():
    """Many runs over less than the whole sky, asymmetric on purpose."""
    rng = np.random.default_rng(2015)
    return make_observation_table(
        N_OBS, rng, HESS_SITE, az_range=(100.0, 250.0), alt_range=(35.0, 80.0)
    )


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
    first, last = Time(["2010-01-01", "2015-01-01"]).mjd
    assert uniform(days + 0.5, first, last) > FALSE_ALARM


def test_short_date_range_is_taken_as_it_is():
    rng = np.random.default_rng(1)
    dates = ("2014-05-01T20:00", "2014-05-01T21:00")
    table = make_observation_table(200, rng, HESS_SITE, date_range=dates)
    start = Time(MJDREF + table["TSTART"].value / 86400, format="mjd", scale="tt")
    low, high = Time(dates, scale="utc").tt.mjd
    assert start.mjd.min() >= low - 1e-9
    assert start.mjd.max() <= high + 1e-9


def test_muon_efficiency(table):
    assert uniform(table["MUONEFF"], 0.6, 1) > FALSE_ALARM


def test_number_of_telescopes_holds_both_ends(table):
    numbers, counts = np.unique(table["N_TELS"], return_counts=True)
    assert_array_equal(numbers, [3, 4])
    assert chisquare(counts).pvalue > FALSE_ALARM


def test_times_and_dead_time():
    table = make_observation_table(
        5, np.random.default_rng(0), HESS_SITE, ontime=1000.0, deadtime_fraction=0.25
    )
    assert_array_equal(table["ONTIME"], np.full(5, 1000.0))
    assert_array_equal(table["LIVETIME"], np.full(5, 750.0))
    assert_array_equal(table["DEADC"], np.full(5, 0.75))
    # TSTART of 1e8 s has 1e-8 s of rounding.
    np.testing.assert_allclose(table["TSTOP"] - table["TSTART"], 1000.0, rtol=0, atol=1e-7)
    assert table["ONTIME"].unit == table["TSTART"].unit == u.s


def test_sky_positions_are_those_of_astropy_at_mid_run(table):
    few = table[:30]
    middle = Time(
        MJDREF + (few["TSTART"] + few["TSTOP"]).value / 2 / 86400, format="mjd", scale="tt"
    )
    site = EarthLocation(
        HESS_SITE.lon * u.deg, HESS_SITE.lat * u.deg, height=HESS_SITE.height * u.m
    )
    frame = AltAz(obstime=middle, location=site)
    theirs = SkyCoord(few["AZ_PNT"].quantity, few["ALT_PNT"].quantity, frame=frame).icrs
    ours = SkyCoord(few["RA_PNT"].quantity, few["DEC_PNT"].quantity)
    assert ours.separation(theirs).arcsec.max() < 1
    # The control: the Earth turns by more than 15 arcsec · cos(dec) in a second.
    late = AltAz(obstime=middle + 1 * u.s, location=site)
    theirs = SkyCoord(few["AZ_PNT"].quantity, few["ALT_PNT"].quantity, frame=late).icrs
    assert ours.separation(theirs).arcsec.max() > 10


def test_absolute_times_are_the_same_times():
    relative, absolute = (
        make_observation_table(20, np.random.default_rng(7), HESS_SITE, use_abs_time=flag)
        for flag in (False, True)
    )
    assert absolute.meta["TIME_FORMAT"] == "absolute"
    assert relative.meta["TIME_FORMAT"] == "relative"
    for name in ("TSTART", "TSTOP"):
        times = Time(list(absolute[name]), format="isot", scale="utc")
        difference = times.tt.mjd - (MJDREF + relative[name].value / 86400)
        # ISO strings have milliseconds.
        assert np.abs(difference).max() * 86400 < 1e-3


def test_time_zero_is_that_of_2015():
    assert Time(MJDREF, format="mjd", scale="tt").utc.isot == "2010-01-01T00:00:00.000"


def test_azimuth_range_may_cross_north():
    table = make_observation_table(300, np.random.default_rng(3), HESS_SITE, az_range=(-90, 90))
    az = np.asarray(table["AZ_PNT"])
    assert ((az >= 270) | (az <= 90)).all()
    assert (az > 270).any()
    assert (az < 90).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_obs": 0},
        {"az_range": (90, 90)},
        {"az_range": (0, 361)},
        {"alt_range": (50, 40)},
        {"alt_range": (-5, 40)},
        {"n_tels_range": (4, 3)},
        {"n_tels_range": (0, 3)},
        {"ontime": 0},
        {"deadtime_fraction": 1},
        {"date_range": ("2015-01-01", "2010-01-01")},
    ],
    ids=str,
)
def test_impossible_ranges(wrong):
    with pytest.raises(ValueError, match=r"got .* expected"):
        make_observation_table(
            **{"n_obs": 1, "rng": np.random.default_rng(0), "site": HESS_SITE} | wrong
        )


@pytest.mark.parametrize(("livetime", "ontime"), [(0, 10), (11, 10), (-1, 10), (np.nan, 10)])
def test_impossible_livetime(livetime, ontime):
    events = Events(*np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"run 7: got livetime .* expected 0 < livetime ≤ ontime"):
        Observation.in_memory(events, obs_id=7, livetime=livetime, ontime=ontime)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, np.inf])
def test_impossible_threshold(threshold):
    with pytest.raises(ValueError, match=r"run 7: got energy threshold .* TeV, expected 0 or more"):
        Observation(7, list, 9.0, 10.0, energy_threshold=threshold)


def test_observation_reads_its_events_when_asked():
    calls = []
    observation = Observation(1, lambda: calls.append(1) or "events", 9.0, 10.0)
    assert not calls
    assert observation.events() == "events"
    assert observation.events() == "events"
    assert len(calls) == 2
