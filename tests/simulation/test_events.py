"""Events of runs: as many as there should be, at their times, with gaps, drifts and sources."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_array_equal
from scipy.stats import chi2, kstest, poisson
from support.experiments import OFF_CENTRE, SOURCES, TARGET, events_of, interrupted

from simbg.simulation.events import simulate_events
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.schedule import rows_of
from simbg.truth.gaussian import GaussianTruth

# A right simulation fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
SCENARIO = replace(SCENARIOS["night"], name="simulate test", truth=GaussianTruth(event_rate=0.5))
DARK = replace(OFF_CENTRE, event_rate=0.0)


def limits(n):
    """Of a χ² with n degrees of freedom."""
    return chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n)


@pytest.fixture(scope="module")
def experiment():
    return Experiment.of(SCENARIO, 11, n_obs=400)


@pytest.fixture(scope="module")
def events(experiment):
    return events_of(experiment)


def test_numbers_of_events_are_poisson(experiment, events):
    """χ² of 400 numbers: a fixed number gives 0, a wrong rate or dead time a large one."""
    numbers = np.array([len(each) for each in events])
    expected = 0.5 * (1 - 0.5 * experiment.runs["ZEN_PNT"].value / 90) * 1680 * 0.91
    statistic = np.sum((numbers - expected) ** 2 / expected)
    low, high = limits(numbers.size)
    assert low < statistic < high
    # The controls: numbers cut to integers, and the clock of the observation time.
    assert np.sum((expected.astype(int) - expected) ** 2 / expected) < low
    assert np.sum((numbers - expected / 0.91) ** 2 / (expected / 0.91)) > high


def test_numbers_of_one_run_are_poisson():
    """They scatter as Poisson numbers do, not less: ±4.9 σ, false-alarm rate 1e-6."""
    one = replace(SCENARIO, truth=GaussianTruth(event_rate=1.0), deadtime_fraction=0.2, ontime=50.0)
    row = rows_of(one.table(3, 1))[0] | {"ZEN_PNT": 45.0}
    rng = np.random.default_rng(3)
    numbers = np.array([len(simulate_events(one, row, rng)) for _ in range(4000)])
    mean = 30.0  # 40 s · 1 Hz · (1 − 0.5 · 45/90)
    assert abs(numbers.mean() - mean) < 4.9 * np.sqrt(mean / 4000)
    # Variance of a sample variance of Poisson numbers: (2 + 1/μ) μ² / N.
    assert abs(numbers.var() / mean - 1) < 4.9 * np.sqrt((2 + 1 / mean) / 4000)


def test_times_are_ordered_and_uniform_inside_the_run(experiment, events):
    shares = []
    for row, each in zip(experiment.runs, events, strict=True):
        assert np.all(np.diff(each.time) >= 0)
        assert each.time[0] >= row["TSTART"]
        assert each.time[-1] <= row["TSTOP"]
        shares.append((each.time - row["TSTART"]) / (row["TSTOP"] - row["TSTART"]))
    assert kstest(np.concatenate(shares), "uniform").pvalue > FALSE_ALARM


def test_times_do_not_go_with_energies(events):
    """Events are made in order of time: their energies must not be in that order."""
    correlations = [np.corrcoef(each.time, np.log(each.energy))[0, 1] for each in events]
    numbers = np.array([len(each) for each in events])
    assert np.sum(np.array(correlations) ** 2 * numbers) < chi2.ppf(1 - FALSE_ALARM, numbers.size)


def test_runs_differ(events):
    assert len({each.energy[0] for each in events}) == len(events)


def test_more_runs_do_not_change_the_first(experiment, events):
    few = replace(experiment, runs=experiment.runs[:3])
    assert_array_equal(events_of(few)[2].energy, events[2].energy)
    other = replace(few, replicate=1)
    assert not np.array_equal(events_of(other)[2].energy[:5], events[2].energy[:5])


def test_run_without_events():
    (none,) = events_of(interrupted(n_obs=1, truth=DARK))
    assert len(none) == 0
    assert none.time.shape == (0,)


# Runs with gaps, rates that change, and sources -------------------------------------------------


def since_start(experiment):
    """Good time of each event since the start of its run, s: gaps are cut out by a loop."""
    for row, each in zip(experiment.runs, events_of(experiment), strict=True):
        good = np.full(len(each), np.nan)
        for n in range(3):
            start = row["TSTART"] + n * 900.0
            inside = (each.time >= start) & (each.time <= start + 500)
            good[inside] = each.time[inside] - start + 500 * n
        yield good


@pytest.mark.parametrize("sources", [(), SOURCES], ids=["background", "sources"])
def test_events_lie_in_good_time_and_are_uniform_there(sources):
    experiment = interrupted(sources=sources)
    events = events_of(experiment)
    for each in events:
        assert np.all(np.diff(each.time) >= 0)
        assert each.gti.shape == (3, 2)
    good = np.concatenate(list(since_start(experiment)))
    assert np.isfinite(good).all()
    assert kstest(good / 1500, "uniform").pvalue > FALSE_ALARM
    # The control: over the whole run they are not.
    whole = [e.time - row["TSTART"] for row, e in zip(experiment.runs, events, strict=True)]
    assert kstest(np.concatenate(whole) / 2300, "uniform").pvalue < FALSE_ALARM


@pytest.mark.parametrize("slope", [0.8, -1.5])
def test_rate_that_drifts_changes_linearly(slope):
    """χ² of 30 slices of good time; in all as many as without, as gaps are symmetric."""
    experiment = interrupted(n_obs=20, drift=slope)
    good = np.concatenate(list(since_start(experiment)))
    counts, edges = np.histogram(good, 30, (0, 1500))
    total = np.sum(
        [OFF_CENTRE.total_rate(row["ZEN_PNT"]) * row["LIVETIME"] for row in experiment.runs]
    )
    middle = 0.5 * (edges[1:] + edges[:-1])
    clock = middle + 400 * (middle // 500)  # with the gaps
    expected = total / 30 * (1 + slope * (clock - 1150) / 3600)
    low, high = limits(30)
    assert low < np.sum((counts - expected) ** 2 / expected) < high
    tail = poisson.cdf(good.size, total)
    assert FALSE_ALARM / 2 < tail < 1 - FALSE_ALARM / 2
    # The control: a constant rate.
    assert np.sum((counts - total / 30) ** 2 / (total / 30)) > high


def test_rate_that_would_turn_negative():
    with pytest.raises(ValueError, match=r"TRUE_DRIFT: got -4\.0 / h"):
        events_of(interrupted(n_obs=1, drift=-4.0))


def test_sources_stay_where_they_are_while_the_field_turns():
    """By astropy's separations: all within 5 σ of one place, though the field turns by degrees."""
    for each in events_of(interrupted(n_obs=2, truth=DARK, sources=SOURCES[:1])):
        sky = SkyCoord(*each.sky, unit="deg")
        distance = sky.separation(SkyCoord(*TARGET, unit="deg")).deg
        assert len(each) > 50
        assert kstest(distance, "rayleigh", args=(0, 0.08)).pvalue > FALSE_ALARM
        angle = np.rad2deg(np.arctan2(each.fov_lat, each.fov_lon))
        assert np.ptp(np.unwrap(angle, period=360)[np.argsort(each.time)]) > 10
