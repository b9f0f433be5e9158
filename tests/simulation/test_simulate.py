"""Simulations: as many events as there should be, at their times, and the same for a seed."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, kstest, poisson

from simbg.axes import Axes
from simbg.observations.exposure import stack_observations
from simbg.observations.threshold import resolve
from simbg.parallel import workers
from simbg.simulation.scenarios import SCENARIOS
from simbg.simulation.schedule import make_observation_table
from simbg.simulation.simulate import (
    expected_stack,
    named_rng,
    observe,
    simulate_events,
    write_dataset,
)
from simbg.sky.regions import Rectangle, circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource

# A right simulation fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
TRUTH = GaussianTruth(event_rate=0.5)
SCENARIO = replace(SCENARIOS["night"], name="simulate test", truth=TRUTH)


@pytest.fixture(scope="module")
def table():
    return SCENARIO.table(seed=11, n_obs=400)


@pytest.fixture(scope="module")
def events(table):
    return [observation.events() for observation in observe(TRUTH, table, 11, "numbers")]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.fits*")
    }


def make(folder, seed=0, jobs=1, scheme="gadf"):
    with workers(jobs) as executor:
        write_dataset(
            folder,
            TRUTH,
            SCENARIO.table(seed, 5),
            SCENARIO.site,
            seed,
            SCENARIO.name,
            scheme,
            executor=executor,
        )
    return digests(folder)


def test_numbers_of_events_are_poisson(table, events):
    """χ² of 400 numbers: a fixed number gives 0, a wrong rate or dead time a large one."""
    numbers = np.array([len(each) for each in events])
    expected = 0.5 * (1 - 0.5 * table["ZEN_PNT"].value / 90) * 1680 * 0.91
    statistic = np.sum((numbers - expected) ** 2 / expected)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], numbers.size)
    assert low < statistic < high
    # The controls: numbers cut to integers, and the clock of the observation time.
    assert np.sum((expected.astype(int) - expected) ** 2 / expected) < low
    assert np.sum((numbers - expected / 0.91) ** 2 / (expected / 0.91)) > high


def test_times_are_ordered_and_uniform_inside_the_run(table, events):
    shares = []
    for row, each in zip(table, events, strict=True):
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


def test_run_without_events(table):
    none = simulate_events(replace(TRUTH, event_rate=0.0), table[0], np.random.default_rng(0))
    assert len(none) == 0
    assert none.time.shape == (0,)


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_same_seed_same_bytes_with_any_number_of_jobs(tmp_path, scheme):
    one, two, again = (
        make(tmp_path / name, jobs=jobs, scheme=scheme)
        for name, jobs in (("one", 1), ("two", 2), ("again", 1))
    )
    assert len(one) == {"gadf": 5 + 2, "hess": 2 * 5 + 1}[scheme]
    assert one == two == again


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_other_seed_other_bytes(tmp_path, scheme):
    one, other = (make(tmp_path / str(seed), seed, scheme=scheme) for seed in (0, 1))
    assert one.keys() == other.keys()
    same = [name for name in one if one[name] == other[name]]
    # What is the same for all seeds: where the files are, and the threshold.
    assert all("hdu-index" in name or "aeff" in name for name in same)


def test_random_numbers_go_by_name():
    def draw(*key):
        return named_rng(*key).random()

    assert draw(1, "a", 2, 3) == draw(1, "a", 2, 3)
    others = {draw(1, "a"), draw(2, "a"), draw(1, "b"), draw(1, "a", 1), draw(1, "a", 1, 0)}
    assert len(others) == 5


def test_more_runs_do_not_change_the_first(table):
    few = observe(TRUTH, table[:3], 11, "numbers")
    many = observe(TRUTH, table, 11, "numbers")
    assert_array_equal(few[2].events().energy, many[2].events().energy)
    other = observe(TRUTH, table[:3], 11, "numbers", replicate=1)
    assert not np.array_equal(few[2].events().energy[:5], other[2].events().energy[:5])


@pytest.mark.parametrize("threshold_bin", ["drop", "whole", "share"])
def test_expectation_of_a_stack(table, threshold_bin):
    """Sums over many runs against the exact integral, threshold inside a bin."""
    few = table[:100].copy()
    few["SAFE_ENERGY_LO"][::2] = 0.4
    axes = Axes([0.1, 0.2, 0.6, 1.2, 20], np.linspace(-3, 2, 3), np.linspace(-1, 4, 4))
    expected = expected_stack(TRUTH, few, axes, threshold_bin)
    seen = stack_observations(observe(TRUTH, few, 11, "stack"), axes, threshold_bin)
    assert_array_equal(seen.livetime, expected.livetime)
    assert_array_equal(seen.ontime, expected.ontime)
    assert expected.counts.min() > 20  # enough for χ²
    statistic = np.sum((seen.counts - expected.counts) ** 2 / expected.counts)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], expected.counts.size)
    assert low < statistic < high


def test_expectation_follows_the_livetime(table):
    axes = Axes([0.1, 1, 20], [-3.0, -1, 2, 3], [-1.0, 0, 4, 5, 6])
    once = expected_stack(TRUTH, table[:1], axes)
    rate = TRUTH.integrate(axes, table["ZEN_PNT"][0])
    assert_allclose(once.counts, rate * table["LIVETIME"][0], rtol=1e-15)


def test_unknown_scheme(tmp_path, table):
    with pytest.raises(ValueError, match="got 'cta', expected one of"):
        write_dataset(tmp_path / "o", TRUTH, table[:1], SCENARIO.site, 0, "x", "cta")
    assert not list(tmp_path.iterdir())


MEMORY = """
import json, resource, sys
from dataclasses import replace
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.simulation.scenarios import SCENARIOS
from simbg.simulation.simulate import write_dataset
from simbg.truth.gaussian import GaussianTruth

folder, runs = sys.argv[1], int(sys.argv[2])
scenario = replace(SCENARIOS["night"], truth=GaussianTruth(event_rate=25.0))
write_dataset(folder + "/store", scenario.truth, scenario.table(0, runs), scenario.site, 0, "m")
reconstruct_store(folder + "/store", folder + "/models", selection=Selection(exclude=("none",)))
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_runs(tmp_path):
    """Events of a run take 1 MB in memory: 80 runs more would take 80 MB."""
    pytest.importorskip("resource")
    peaks = []
    for runs in (20, 100):
        (tmp_path / str(runs)).mkdir()
        command = [sys.executable, "-c", MEMORY, str(tmp_path / str(runs)), str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout) / 1024)
    # Cubes of more runs have more bins, up to 0.6 MB each.
    assert peaks[1] - peaks[0] < 25, peaks


# Runs with gaps, rates that change, and sources.

SITE = SCENARIO.site
TARGET = (83.0, -40.0)
SOURCES = (
    GammaSource("point", *TARGET, flux=6e-11, index=2.4),
    GammaSource("extended", 84.1, -39.3, flux=4e-11, index=2.2, extension=0.25),
)
MASKS = (circle(*TARGET, 0.3), Rectangle(84.1, -39.3, 1.4, 0.6, 30.0), circle(81.9, -40.9, 0.5))
OFF_CENTRE = GaussianTruth(event_rate=2.0, peak=(0.4, -0.7))


def broken(n_obs=6, n_gti=3, drift=0.0, scatter=0.0, seed=5):
    """Runs on a target with gaps, dead times of their own and thresholds inside of bins."""
    table = make_observation_table(
        n_obs,
        np.random.default_rng(seed),
        SITE,
        alt_range=(50.0, 72.0),
        ontime=1500.0,
        deadtime_fraction=(0.05, 0.3),
        target=TARGET,
        wobble=0.6,
        n_gti=n_gti,
        gti_gap=400.0,
    )
    table["SAFE_ENERGY_LO"] = np.linspace(0.11, 0.3, n_obs)
    if drift:
        table["TRUE_DRIFT"] = np.full(n_obs, drift)
    if scatter:
        table["TRUE_NORM"] = np.exp(scatter * np.linspace(-1, 1, n_obs))
    return table


def simulated(table, truth=OFF_CENTRE, sources=(), seed=5, replicate=0):
    return [o.events() for o in observe(truth, table, seed, "broken", replicate, sources, SITE)]


def since_start(table, events):
    """Good time of each event since the start of its run, s: gaps are cut out by a loop."""
    for row, each in zip(table, events, strict=True):
        good = np.full(len(each), np.nan)
        for n in range(3):
            start = row["TSTART"] + n * 900.0
            inside = (each.time >= start) & (each.time <= start + 500)
            good[inside] = each.time[inside] - start + 500 * n
        yield good


@pytest.mark.parametrize("sources", [(), SOURCES], ids=["background", "sources"])
def test_events_lie_in_good_time_and_are_uniform_there(sources):
    table = broken()
    events = simulated(table, sources=sources)
    for each in events:
        assert np.all(np.diff(each.time) >= 0)
        assert each.gti.shape == (3, 2)
    good = np.concatenate(list(since_start(table, events)))
    assert np.isfinite(good).all()
    assert kstest(good / 1500, "uniform").pvalue > FALSE_ALARM
    # The control: over the whole run they are not.
    whole = [e.time - row["TSTART"] for row, e in zip(table, events, strict=True)]
    assert kstest(np.concatenate(whole) / 2300, "uniform").pvalue < FALSE_ALARM


@pytest.mark.parametrize("slope", [0.8, -1.5])
def test_rate_that_drifts_changes_linearly(slope):
    """χ² of 30 slices of good time; in all as many as without, as gaps are symmetric."""
    table = broken(n_obs=20, drift=slope)
    good = np.concatenate(list(since_start(table, simulated(table))))
    counts, edges = np.histogram(good, 30, (0, 1500))
    total = np.sum([OFF_CENTRE.total_rate(row["ZEN_PNT"]) * row["LIVETIME"] for row in table])
    middle = 0.5 * (edges[1:] + edges[:-1])
    clock = middle + 400 * (middle // 500)  # with the gaps
    expected = total / 30 * (1 + slope * (clock - 1150) / 3600)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 30)
    assert low < np.sum((counts - expected) ** 2 / expected) < high
    tail = poisson.cdf(good.size, total)
    assert FALSE_ALARM / 2 < tail < 1 - FALSE_ALARM / 2
    # The control: a constant rate.
    assert np.sum((counts - total / 30) ** 2 / (total / 30)) > high


def test_rate_that_would_turn_negative():
    table = broken(n_obs=1, drift=-4.0)
    with pytest.raises(ValueError, match=r"TRUE_DRIFT: got -4.0 / h, which makes a negative rate"):
        simulated(table)


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_norms_are_factors_of_the_background_and_not_of_sources(drift):
    table = broken(n_obs=12, scatter=0.8, drift=drift)
    axes = Axes([0.1, 100], [-90.0, 90], [-89.0, 89])
    for sources, factors in (((), table["TRUE_NORM"]), (SOURCES, np.ones(12))):
        truth = replace(OFF_CENTRE, event_rate=0.0) if sources else OFF_CENTRE
        numbers = np.array([len(each) for each in simulated(table, truth, sources)])
        rate = sum(s.event_rate() for s in sources) + np.array(
            [truth.total_rate(zenith) for zenith in table["ZEN_PNT"]]
        )
        expected = rate * table["LIVETIME"] * factors
        statistic = np.sum((numbers - expected) ** 2 / expected)
        low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 12)
        assert low < statistic < high
        table["SAFE_ENERGY_LO"] = 0.0
        stack = expected_stack(truth, table, axes, sources=sources, site=SITE)
        # Energies of sources end at 100 TeV, too; a thousandth of the gaussian lies outside.
        assert_allclose(stack.run_counts, expected, rtol=2e-3)
    constant = expected_stack(OFF_CENTRE, table, axes, site=SITE, vary=False)
    assert_allclose(constant.run_counts * table["TRUE_NORM"], numbers_of(table), rtol=2e-3)


def numbers_of(table):
    rate = np.array([OFF_CENTRE.total_rate(zenith) for zenith in table["ZEN_PNT"]])
    return rate * table["LIVETIME"] * table["TRUE_NORM"]


def test_sources_stay_where_they_are_while_the_field_turns():
    """By astropy's separations: all within 5 σ of one place, though the field turns by degrees."""
    table = broken(n_obs=2)
    for each in simulated(table, replace(OFF_CENTRE, event_rate=0.0), SOURCES[:1]):
        sky = SkyCoord(*each.sky, unit="deg")
        distance = sky.separation(SkyCoord(*TARGET, unit="deg")).deg
        assert len(each) > 50
        assert kstest(distance, "rayleigh", args=(0, 0.08)).pvalue > FALSE_ALARM
        angle = np.rad2deg(np.arctan2(each.fov_lat, each.fov_lon))
        assert np.ptp(np.unwrap(angle, period=360)[np.argsort(each.time)]) > 10


SECRETS = {"TRUE_NORM": 1.2345678912, "TRUE_DRIFT": 0.0987654321}


@pytest.mark.parametrize("scheme", ["gadf", "hess"])
def test_the_truth_about_runs_never_reaches_a_store(tmp_path, scheme):
    """Neither names nor values, in headers and tables, whatever the precision."""
    table = broken(n_obs=2)
    for name, value in SECRETS.items():
        table[name] = np.full(2, value)
    write_dataset(tmp_path / "s", OFF_CENTRE, table, SITE, 1, "secret", scheme, sources=SOURCES[:1])
    assert set(SECRETS) <= set(table.colnames)
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert len(files) == {"gadf": 4, "hess": 5}[scheme]
    for path in files:
        with fits.open(path) as hdus:
            for hdu in hdus:
                text = hdu.header.tostring()
                assert "TRUE_" not in text
                assert "1.2345" not in text
                assert "0.0987654" not in text
                for name in () if hdu.name == "PRIMARY" else hdu.columns.names:
                    values = hdu.data[name]
                    assert not name.startswith("TRUE")
                    if values.dtype.kind == "f":
                        for value in SECRETS.values():
                            assert np.abs(values - value).min(initial=1) > 1e-7
    # The control: the factors did something.
    plain = broken(n_obs=2)
    counts = [len(each) for each in simulated(table)], [len(each) for each in simulated(plain)]
    assert sum(counts[0]) > 1.15 * sum(counts[1])


STACK_AXES = Axes([0.1, 0.2, 0.4, 1.0, 3.0, 30], np.linspace(-2, 1.6, 10), np.linspace(-1.4, 2, 9))


def chi2_of(counts, expected):
    """χ² of what is rich, and its limits; what is poor is added up to one bin."""
    rich = expected >= 10
    n = np.append(counts[rich], counts[~rich].sum())
    mu = np.append(expected[rich], expected[~rich].sum())
    n, mu = n[mu > 0], mu[mu > 0]
    limits = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n.size)
    return np.sum((n - mu) ** 2 / mu), limits


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("masks", [(), MASKS], ids=["plain", "masked"])
def test_counts_of_sources_in_pixels_are_those_expected(seed, masks):
    """One run, 40 times, with background and both sources."""
    table = broken(n_obs=1, seed=seed)
    options = {"sources": SOURCES, "site": SITE, "regions": masks}
    expected = expected_stack(OFF_CENTRE, table, STACK_AXES, "drop", **options)
    counts = np.zeros(STACK_AXES.shape, int)
    for replicate in range(40):
        runs = observe(OFF_CENTRE, table, seed, "pixels", replicate, **options)
        stack = stack_observations(runs, STACK_AXES, "drop")
        assert_array_equal(stack.livetime, expected.livetime)
        counts += stack.counts
    statistic, (low, high) = chi2_of(counts, 40 * expected.counts)
    assert low < statistic < high
    # The controls: sources that are not expected, and a field the other way round.
    without = expected_stack(OFF_CENTRE, table, STACK_AXES, "drop", site=SITE, regions=masks)
    assert chi2_of(counts, 40 * without.counts)[0] > high
    assert chi2_of(counts[:, ::-1], 40 * expected.counts)[0] > 2 * high


@pytest.mark.parametrize("threshold_bin", ["drop", "whole", "share"])
def test_expectation_with_everything_on(threshold_bin):
    """Masks, sources, gaps, drift, factors, thresholds inside of bins: the mean of 6 stacks."""
    truth, n_stacks, table = (
        replace(OFF_CENTRE, event_rate=8.0),
        6,
        broken(6, drift=0.6, scatter=0.4),
    )
    options = {"sources": SOURCES, "site": SITE, "regions": MASKS}
    expected = expected_stack(truth, table, STACK_AXES, threshold_bin, **options)
    counts, runs = np.zeros(STACK_AXES.shape, int), np.zeros(6)
    for replicate in range(n_stacks):
        observations = observe(truth, table, 8, "everything", replicate, **options)
        stack = stack_observations(observations, STACK_AXES, threshold_bin)
        counts += stack.counts
        runs += stack.run_counts
    for name in ("livetime", "ontime", "shared"):
        if getattr(expected, name) is not None:
            assert_allclose(getattr(stack, name), getattr(expected, name), rtol=1e-13)
    assert (expected.shared is not None) == (threshold_bin == "share")
    for got, mean in ((counts, expected.counts), (runs, expected.run_counts)):
        statistic, (low, high) = chi2_of(got, n_stacks * mean)
        assert low < statistic < high
    steady = expected_stack(truth, table, STACK_AXES, threshold_bin, vary=False, **options)
    assert chi2_of(runs, n_stacks * steady.run_counts)[0] > high


def test_claims_about_the_threshold_bin():
    """ "whole" claims the bin's events for its livetime; "share" the true share of livetime."""
    table = broken(n_obs=4, n_gti=1)
    options = {"site": SITE, "regions": MASKS}
    rate = np.zeros(STACK_AXES.shape)
    plain = OFF_CENTRE.cube(STACK_AXES, 0.0)
    table["ZEN_PNT"] = 0.0
    for kind in ("whole", "share"):
        claimed = expected_stack(
            OFF_CENTRE, table, STACK_AXES, kind, claimed=True, vary=False, **options
        )
        seen = claimed.livetime > 0
        np.divide(claimed.counts, claimed.livetime * STACK_AXES.volume, out=rate, where=seen)
        # Exposure of a pixel that is cut by a mask is that of its area, not of its gradient: none
        # is needed here, since counts and livetime have the same share.
        assert_allclose(rate[seen], plain.rate[seen], rtol=1e-9)
        assert claimed.shared is None
    unclaimed = resolve(
        expected_stack(OFF_CENTRE, table, STACK_AXES, "share", vary=False, **options)
    )
    assert_allclose(unclaimed.counts, claimed.counts, rtol=1e-12)
    # Estimated by power laws, while a σ that grows curves the spectra of pixels far out: 3 %.
    near = unclaimed.livetime > 0
    assert_allclose(unclaimed.livetime[near], claimed.livetime[near], rtol=0.03)
