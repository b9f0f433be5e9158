"""Expectations: sums over many simulated runs against the exact counts and exposures."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2
from support.experiments import MASKS, OFF_CENTRE, SOURCES, events_of, interrupted, variant

from simbg.axes import Axes, edition2015_axes
from simbg.observations.exposure import stack_observations
from simbg.observations.threshold import resolve
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

# A right simulation fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
TRUTH = GaussianTruth(event_rate=0.5)
SCENARIO = replace(SCENARIOS["night"], name="expectation test", truth=TRUTH)
AXES = Axes([0.1, 0.2, 0.4, 1.0, 3.0, 30], np.linspace(-2, 1.6, 10), np.linspace(-1.4, 2, 9))


def chi2_of(counts, expected):
    """χ² and its limits; bins that expect less than 10 counts are added up to one."""
    many = expected >= 10
    n = np.append(counts[many], counts[~many].sum())
    mu = np.append(expected[many], expected[~many].sum())
    n, mu = n[mu > 0], mu[mu > 0]
    limits = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n.size)
    return np.sum((n - mu) ** 2 / mu), limits


@pytest.mark.parametrize("threshold_bin", ["drop", "whole", "partial"])
def test_expectation_of_a_stack(threshold_bin):
    """Sums over many runs against the exact integral, threshold inside a bin."""
    experiment = Experiment.of(SCENARIO, 11, n_obs=100)
    experiment.runs["SAFE_ENERGY_LO"][::2] = 0.4
    axes = Axes([0.1, 0.2, 0.6, 1.2, 20], np.linspace(-3, 2, 3), np.linspace(-1, 4, 4))
    expected = experiment.expected(axes, threshold_bin)
    seen = stack_observations(experiment.observations(), axes, threshold_bin)
    # The 100 times are added in another order: each sum is rounded.
    assert_allclose(seen.livetime, expected.livetime, rtol=100 * np.finfo(float).eps, atol=0)
    assert_allclose(seen.ontime, expected.ontime, rtol=100 * np.finfo(float).eps, atol=0)
    assert expected.counts.min() > 20  # enough for χ²
    statistic, (low, high) = chi2_of(seen.counts, expected.counts)
    assert low < statistic < high


def test_expectation_follows_the_livetime():
    axes = Axes([0.1, 1, 20], [-3.0, -1, 2, 3], [-1.0, 0, 4, 5, 6])
    one = Experiment.of(SCENARIO, 11, n_obs=1)
    rate = TRUTH.integrate(axes, one.runs["ZEN_PNT"][0])
    assert_allclose(one.expected(axes).counts, rate * one.runs["LIVETIME"][0], rtol=1e-15)


@pytest.mark.parametrize("drift", [0.0, 0.5])
@pytest.mark.parametrize("sources", [(), SOURCES], ids=["background", "sources"])
def test_norms_are_factors_of_the_background_and_not_of_sources(drift, sources):
    truth = replace(OFF_CENTRE, event_rate=0.0) if sources else OFF_CENTRE
    experiment = interrupted(12, drift=drift, scatter=0.8, truth=truth, sources=sources)
    runs = experiment.runs
    runs["SAFE_ENERGY_LO"] = 0.0
    numbers = np.array([len(each) for each in events_of(experiment)])
    rate = sum(s.event_rate() for s in sources) + np.array(
        [truth.total_rate(zenith) for zenith in runs["ZEN_PNT"]]
    )
    steady = rate * runs["LIVETIME"]
    expected = steady if sources else steady * runs["TRUE_NORM"]
    statistic = np.sum((numbers - expected) ** 2 / expected)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 12)
    assert low < statistic < high
    axes = Axes([0.1, 100], [-90.0, 90], [-89.0, 89])
    # Energies of sources end at 100 TeV, too; a thousandth of the gaussian lies outside.
    assert_allclose(experiment.expected(axes).run_counts, expected, rtol=2e-3)
    assert_allclose(experiment.expected(axes, vary=False).run_counts, steady, rtol=2e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("masks", [(), MASKS], ids=["plain", "masked"])
def test_counts_of_sources_in_pixels_are_those_expected(seed, masks):
    """One run, 40 times, with background and both sources."""
    experiment = interrupted(n_obs=1, seed=seed, sources=SOURCES, regions=masks)
    expected = experiment.expected(AXES)
    counts = np.zeros(AXES.shape, int)
    for number in range(40):
        stack = stack_observations(replace(experiment, replicate=number).observations(), AXES)
        assert_array_equal(stack.livetime, expected.livetime)
        counts += stack.counts
    statistic, (low, high) = chi2_of(counts, 40 * expected.counts)
    assert low < statistic < high
    # The controls: sources that are not expected, and a field the other way round.
    assert chi2_of(counts, 40 * experiment.background(AXES).counts)[0] > high
    assert chi2_of(counts[:, ::-1], 40 * expected.counts)[0] > 2 * high


@pytest.mark.parametrize("threshold_bin", ["drop", "whole", "partial"])
def test_expectation_with_everything_on(threshold_bin):
    """Masks, sources, gaps, drift, factors, thresholds inside of bins: the mean of 6 stacks."""
    bright = replace(OFF_CENTRE, event_rate=8.0)
    sky = {"truth": bright, "sources": SOURCES, "regions": MASKS}
    experiment = interrupted(6, drift=0.6, scatter=0.4, seed=8, **sky)
    expected = experiment.expected(AXES, threshold_bin)
    counts, runs = np.zeros(AXES.shape, int), np.zeros(6)
    for number in range(6):
        observations = replace(experiment, replicate=number).observations()
        stack = stack_observations(observations, AXES, threshold_bin)
        counts += stack.counts
        runs += stack.run_counts
    for name in ("livetime", "ontime", "partial_exposure"):
        if getattr(expected, name) is not None:
            assert_allclose(getattr(stack, name), getattr(expected, name), rtol=1e-13)
    assert (expected.partial_exposure is not None) == (threshold_bin == "partial")
    for got, mean in ((counts, expected.counts), (runs, expected.run_counts)):
        statistic, (low, high) = chi2_of(got, 6 * mean)
        assert low < statistic < high
    steady = experiment.expected(AXES, threshold_bin, vary=False)
    assert chi2_of(runs, 6 * steady.run_counts)[0] > high


def test_claims_about_the_threshold_bin():
    """ "whole" claims the bin's events for its livetime; "partial" the true fraction."""
    experiment = interrupted(n_obs=4, n_gti=1, regions=MASKS)
    experiment.runs["ZEN_PNT"] = 0.0
    rate = np.zeros(AXES.shape)
    plain = OFF_CENTRE.cube(AXES, 0.0)
    for kind in ("whole", "partial"):
        claimed = experiment.expected(AXES, kind, claimed=True)
        seen = claimed.livetime > 0
        np.divide(claimed.counts, claimed.livetime * AXES.volume, out=rate, where=seen)
        # Exposure of a pixel that is cut by a mask is that of its area, not of its gradient: none
        # is needed here, since counts and livetime have the same fraction.
        assert_allclose(rate[seen], plain.rate[seen], rtol=1e-9)
        assert claimed.partial_exposure is None
    unclaimed = resolve(experiment.expected(AXES, "partial"))
    assert_allclose(unclaimed.counts, claimed.counts, rtol=1e-12)
    # Estimated by power laws, while a σ that grows curves the spectra of pixels far out: 3 %.
    near = unclaimed.livetime > 0
    assert_allclose(unclaimed.livetime[near], claimed.livetime[near], rtol=0.03)


def test_background_is_what_is_claimed_without_sources():
    experiment = interrupted(n_obs=2, sources=SOURCES, regions=MASKS)
    got = experiment.background(AXES, "whole")
    same = variant(experiment, sources=()).expected(AXES, "whole", claimed=True)
    assert_array_equal(got.counts, same.counts)
    assert_array_equal(got.livetime, experiment.expected(AXES, "whole").livetime)
    assert got.counts.sum() < experiment.expected(AXES, "whole", claimed=True).counts.sum()


def test_sky_sources_and_masks_drift_through_the_field():
    """Counts of pixels as they are expected, and not as they were in a field that only turns."""
    scenario = SCENARIOS["drift"]
    bright = replace(scenario.sources[0], flux=1e-9)
    experiment = Experiment.of(
        replace(scenario, sources=(bright,), regions=scenario.regions[1:]), 2, n_obs=4
    )
    bins = edition2015_axes(4)
    counts = stack_observations(experiment.observations(), bins).counts.sum(axis=0)

    def statistic():
        expected = experiment.expected(bins).counts.sum(axis=0)
        assert expected.min() > 10
        return ((counts - expected) ** 2 / expected).sum()

    # χ² of n pixels; five standard errors.
    n = counts.size
    assert abs(statistic() - n) < 5 * np.sqrt(2 * n)
    experiment.runs.remove_column("OBS_MODE")
    assert statistic() > 2 * n
