"""Simulations: as many events as there should be, at their times, and the same for a seed."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, kstest

from simbg.axes import Axes
from simbg.exposure import stack_observations
from simbg.scenarios import SCENARIOS
from simbg.simulate import (
    expected_stack,
    named_rng,
    observe,
    simulate_events,
    write_dataset,
)
from simbg.truth import GaussianTruth
from simbg.workers import workers

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
from simbg.pipeline import Selection, reconstruct_store
from simbg.scenarios import SCENARIOS
from simbg.simulate import write_dataset
from simbg.truth import GaussianTruth

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
