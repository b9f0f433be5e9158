"""Scores against what is known of estimators without simulating them."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.observations.exposure import stack_observations
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.leaderboard.score import Score
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.suite.replicates import Setting

# A field without significances of pixels, which take observations.
SCENARIO = replace(SCENARIOS["night"], ignored="nothing is measured on an empty field")
AXES = Axes(np.geomspace(0.1, 10, 5), np.linspace(-3, 3, 9), np.linspace(-2, 3, 8))
EXPERIMENT = Experiment.of(SCENARIO, 0)
SETTING = Setting.of(EXPERIMENT, Histogram(), AXES)
TRUE = SETTING.true
EXPECTED = TRUE.counts
N, N_BINS = EXPECTED.sum(), EXPECTED.size
N_SIGMA = sigmas(1e-5)  # false-alarm rate of each comparison
SEEDS, STORES = 250, 3
SEEN = 2.0  # standard errors of a floor
N_PARAMETERS = 4  # norm, index, and the width at two energies
METHOD = Candidate("method")


def cube_of(predicted):
    """The cube that predicts some counts, at the exposure of the truth."""
    return replace(TRUE, rate=TRUE.rate * predicted / EXPECTED, counts=None)


def score_of(estimate, rng, stores=STORES):
    """Of an estimator, counts → predicted counts, on its own draws."""
    counts = [SETTING.draw(rng)[0].counts for _ in range(stores)]
    attempts = [Attempt(cube_of(estimate(n)), "", 2.0 + i, 100.0) for i, n in enumerate(counts)]
    return Score.of(EXPERIMENT, METHOD, attempts, SETTING)


@cache
def many(estimate, stores=STORES, seeds=SEEDS):
    rng = np.random.default_rng(1)
    return [score_of(estimate, rng, stores) for _ in range(seeds)]


def found(made, *names):
    return [np.array([getattr(one, name) for one in made]) for name in names]


def assert_mean(values, expected):
    error = values.std(ddof=1) / math.sqrt(values.size)
    assert abs(values.mean() - expected) < N_SIGMA * error


def raw(counts):
    return counts


def scaled(counts, bias=0.1):
    return (1 + bias) * counts


def doubled(counts):
    return 2 * counts


def probes():
    """Directions, orthonormal in the metric of Fisher's information: norm, index, gradients."""
    log_energy = np.log(AXES.energy_center)[:, None, None]
    lon, lat = AXES.fov_lon_center[:, None], AXES.fov_lat_center
    wanted = [np.ones(AXES.shape), log_energy + 0 * TRUE.rate, lon + 0 * TRUE.rate, lat + 0 * lon]
    columns = [(np.broadcast_to(h, AXES.shape) * np.sqrt(EXPECTED)).ravel() for h in wanted]
    return np.linalg.qr(np.array(columns).T)[0]


PROBES = probes()


def fitted(counts):
    """One step of scoring from the truth: a perfect fit of four parameters."""
    root = np.sqrt(EXPECTED)
    score = PROBES.T @ ((counts - EXPECTED) / root).ravel()
    return EXPECTED + root * (PROBES @ score).reshape(AXES.shape)


def exact(counts):
    return EXPECTED


@pytest.mark.parametrize(
    ("estimate", "noise", "floor"),
    [
        (raw, N_BINS, 0.0),
        (scaled, 1.1**2 * N_BINS, 0.1**2 * N),
        (fitted, N_PARAMETERS, 0.0),
        (lambda n: fitted(n) + 0.3 * np.sqrt(EXPECTED), N_PARAMETERS, 0.09 * N_BINS),
        (lambda n: 0.8 * EXPECTED, 0.0, 0.04 * N),
    ],
    ids=["raw", "scaled", "fitted", "fitted and biased", "biased"],
)
def test_cost_and_floor_are_what_is_known(estimate, noise, floor):
    costs, floors = found(many(estimate), "noise_cost", "floor")
    if noise:
        assert_mean(costs, noise)
        assert_mean(floors, floor)
    else:
        assert_allclose(costs, 0, atol=1e-9 * floor)
        assert_allclose(floors, floor, rtol=1e-12)


def test_perfect_fit_has_an_efficiency_of_1():
    # E[4 / Q] is more than 1 for few stores: with many it is a number.
    one = score_of(fitted, np.random.default_rng(2), stores=2000)
    assert abs(one.efficiency - 1) < N_SIGMA * math.sqrt(2 / (4 * 2000))
    other = score_of(raw, np.random.default_rng(2), stores=2000)
    assert_allclose(other.efficiency, 4 / N_BINS, rtol=N_SIGMA * math.sqrt(2 / (N_BINS * 2000)))


def test_the_truth_costs_nothing():
    one = score_of(exact, np.random.default_rng(3))
    assert_allclose([one.accuracy, one.floor, one.noise_cost, one.hours], 0, atol=1e-12)
    assert one.norm == one.norm_error == 0
    assert (one.stores, one.seconds, one.megabytes) == (3, 3.0, 100.0)


@pytest.mark.parametrize("estimate", [raw, scaled, fitted], ids=["raw", "scaled", "fitted"])
@pytest.mark.parametrize("name", ["norm", "index", "accuracy"])
def test_errors_are_those_of_other_seeds(estimate, name):
    """Of squares: the error of three stores scatters itself."""
    values, errors = found(many(estimate), name, f"{name}_error")
    ratio = np.mean(errors**2) / values.var(ddof=1)
    # A variance of 3 values has a relative variance of 1, that of all seeds 2 / SEEDS.
    assert abs(ratio - 1) < N_SIGMA * math.sqrt(3 / SEEDS)


@pytest.mark.parametrize(
    ("estimate", "stores", "excess"),
    [(raw, 3, 4.0), (raw, 6, 2.5), (doubled, 3, 1.0)],
    ids=["unbiased, 3", "unbiased, 6", "bias alone matters"],
)
def test_errors_of_floors_are_too_large_by_a_known_factor(estimate, stores, excess):
    """2 (n − 1) / (n − 2) in variance where there is no bias: 4 of 3 stores, 2 of many."""
    values, errors = found(many(estimate, stores), "floor", "floor_error")
    ratio = np.mean(errors**2) / values.var(ddof=1)
    assert abs(ratio / excess - 1) < N_SIGMA * math.sqrt(3 / SEEDS)


@pytest.mark.parametrize("stores", [3, 5])
def test_an_unbiased_method_seldom_has_a_floor_that_is_seen(stores):
    """Student's t of 4 with 2 degrees of freedom is exceeded by 2.9 %, of more stores by less."""
    floors, errors = found(many(raw, stores, 1000), "floor", "floor_error")
    share = np.mean(floors > SEEN * errors)
    assert share < 0.029 + N_SIGMA * math.sqrt(0.029 / 1000)
    if stores == 3:
        assert share > 0.029 - N_SIGMA * math.sqrt(0.029 / 1000)


def test_hours_are_those_that_reach_1_percent():
    """By counts at that exposure; 0.6 % of bias leave 0.8 % for noise."""
    bias = 0.006
    for estimate, gain in ((raw, 1e-4), (lambda n: scaled(n, bias), 1e-4 - bias**2)):
        one = score_of(estimate, np.random.default_rng(4), stores=300)
        if estimate is not raw:
            # A floor of 300 stores is seen here.
            assert not one.at_least
        hours = one.noise_cost / gain / N * EXPERIMENT.runs["LIVETIME"].sum() / 3600
        assert_allclose(one.hours, hours, rtol=0.02 if estimate is raw else 0.1)
        factor = one.hours * 3600 / EXPERIMENT.runs["LIVETIME"].sum()
        rich = SETTING.times(factor)
        rng, lost = np.random.default_rng(5), []
        for _ in range(20):
            predicted = estimate(rng.poisson(rich.true.counts))
            lost.append(np.sum((predicted - rich.true.counts) ** 2 / rich.true.counts))
        assert_allclose(math.sqrt(np.mean(lost) / (N * factor)), 0.01, rtol=0.05)
    assert score_of(scaled, np.random.default_rng(4)).hours == math.inf
    # A limit from noise alone.
    assert score_of(raw, np.random.default_rng(4)).at_least


def test_one_cube_has_no_floor_and_two_no_errors():
    one = score_of(raw, np.random.default_rng(5), stores=1)
    assert one.accuracy > 0
    assert all(math.isnan(v) for v in (one.floor, one.noise_cost, one.hours, one.accuracy_error))
    two = score_of(raw, np.random.default_rng(5), stores=2)
    assert math.isfinite(two.floor)
    assert math.isnan(two.floor_error)


def own_axes(axes, estimate=None):
    """The score of a method over axes of its own, held to ours: of its truth or its counts."""
    rng = np.random.default_rng(6)
    setting = Setting.of(EXPERIMENT, Histogram(), axes)
    cubes = [
        setting.true if estimate is None else Histogram().estimate(setting.draw(rng)[0])
        for _ in range(3)
    ]
    attempts = [Attempt(cube) for cube in cubes]
    return Score.of(EXPERIMENT, METHOD, attempts, setting, SETTING)


def test_large_bins_do_not_pay():
    """One bin for all costs one parameter, and would be nearly perfect over its own axes."""
    one_bin = Axes(AXES.energy[[0, -1]], AXES.fov_lon[[0, -1]], AXES.fov_lat[[0, -1]])
    one = own_axes(one_bin)
    flat = cube_of(EXPECTED.sum() * AXES.volume / AXES.volume.sum())
    # A power law over one bin has index 0: constant.
    lost = np.sum((flat.rate / TRUE.rate - 1) ** 2 * EXPECTED)
    assert_allclose(one.floor, lost, rtol=1e-9)
    assert one.accuracy > 1


def test_finer_bins_lose_what_interpolation_does():
    """Twice as many bins in each direction hold the truth of ours to 1e-3."""
    fine = Axes(np.geomspace(0.1, 10, 9), np.linspace(-3, 3, 17), np.linspace(-2, 3, 15))
    assert_allclose(own_axes(fine).accuracy, 0, atol=1e-3)
    noisy = own_axes(fine, "raw")
    # They are sums of independent counts: as many parameters as our bins, which are sums of them.
    assert abs(noisy.noise_cost - N_BINS) < N_SIGMA * math.sqrt(2 * N_BINS)


def test_what_is_beyond_its_axes_is_missing():
    half = Axes(AXES.energy, AXES.fov_lon[:5], AXES.fov_lat)
    beyond = EXPECTED[:, 4:].sum()
    assert_allclose(own_axes(half).floor, beyond, rtol=1e-9)


def test_a_store_without_a_cube_is_a_score_without_numbers():
    attempts = [
        Attempt(TRUE, "", 1.0, 50.0),
        Attempt(None, "took more than 5 s", 5.0, 200.0),
    ]
    one = Score.of(EXPERIMENT, METHOD, attempts, SETTING)
    assert one.reason == "store 1: took more than 5 s"
    assert math.isnan(one.accuracy)
    assert (one.seconds, one.megabytes) == (3.0, 200.0)


def test_bins_without_a_rate_cannot_hide():
    """NaN where it is hard would be a better score, if in one store only."""
    for bad in (np.nan, -1.0):
        rate = np.where(EXPECTED > 20, TRUE.rate, bad)
        cubes = [Attempt(TRUE), Attempt(TRUE), Attempt(replace(TRUE, rate=rate))]
        one = Score.of(EXPERIMENT, METHOD, cubes, SETTING)
        assert one.reason.startswith(f"store 2: got {np.sum(EXPECTED <= 20)} of {N_BINS} rates")
        assert math.isnan(one.accuracy)


@pytest.mark.parametrize("name", ["run-scatter", "source", "broken-runs"])
def test_replicates_have_nothing_but_runs_in_common(name):
    """Σ d d'/λ of raw counts of two replicates has mean 0 and variance n_bins, exactly."""
    experiments = [
        replace(Experiment.of(SCENARIOS[name], 1, n_obs=3), replicate=number) for number in range(4)
    ]
    expected = experiments[0].expected(AXES, "whole").counts
    used = expected > 0
    d = np.array(
        [
            (stack_observations(one.observations(), AXES, "whole").counts - expected)[used]
            for one in experiments
        ]
    ) / np.sqrt(expected[used])
    losses = d @ d.T
    z = losses[np.triu_indices(4, 1)] / math.sqrt(used.sum())
    assert abs(z.mean()) < N_SIGMA / math.sqrt(6)
    # And they are what is expected: E[Q] = n_bins, Var = Σ (2 + 1/λ).
    spread = math.sqrt(np.sum(2 + 1 / expected[used]) / 4)
    assert abs(np.trace(losses) / 4 - used.sum()) < N_SIGMA * spread


# Significances of pixels of runs that no store has.

EMPTY = replace(SCENARIOS["night"], n_obs=4)
FINE = Axes(np.geomspace(0.1, 80, 5), np.linspace(-3, 3, 31), np.linspace(-2, 3, 26))


def widths(shape, seeds):
    """Of a cube that has a shape besides the truth's."""
    made = []
    for seed in seeds:
        experiment = Experiment.of(EMPTY, seed)
        setting = Setting.of(experiment, Histogram(), FINE)
        attempts = [Attempt(replace(setting.true, rate=setting.true.rate * shape))] * 2
        made.append(Score.of(experiment, METHOD, attempts, setting))
    return [
        np.array([getattr(one, name) for one in made])
        for name in ("significance_width", "significance_width_error")
    ]


def test_pixels_of_an_empty_field_scatter_by_1():
    values, errors = widths(1.0, range(20))
    pulls = (values - 1) / errors
    # χ² of 20 pulls, both sides; a norm for each run takes 0.3 σ of the width.
    low, high = 20 - N_SIGMA * math.sqrt(40), 20 + N_SIGMA * math.sqrt(40) + 20 * 0.3**2
    assert low < np.sum(pulls**2) < high
    assert abs(pulls.mean()) < 0.3 + N_SIGMA / math.sqrt(20)


def test_a_wrong_shape_widens_them_as_much_as_its_pixels_are_off():
    slope = 1 + 0.15 * FINE.fov_lat_center
    values, errors = widths(slope, range(3))
    assert np.all(values - 1 > 2 * N_SIGMA * errors)
