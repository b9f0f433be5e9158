"""Every metric on a null, on a planted defect that must show, and on what it measures."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from simbg.axes import Axes
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.edition2015 import Default
from simbg.reconstruction.histogram import Histogram
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import CUBE_METRICS, METRICS
from simbg.validation.self_check.asymmetric_field import asymmetric_field
from simbg.validation.self_check.defects import DEFECTS

# Of all tests of a function together; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-4
# Metrics with a criterion, except `masked_norm`: the fields have no masks.
PROBES = tuple(
    n for n, metric in CUBE_METRICS.items() if metric.kind != "quality" and n != "masked_norm"
)
K = sigmas(BUDGET / len(PROBES))
N_TOYS = 2000
N_RUNS = 20
# What must move each metric; a metric without a control fails its test.
CONTROLS = {
    "energy_norms": "energy bin",
    "energy_widths": "width slope",
    "norm": "norm",
    "index": "index",
    "center_index": "index",
    "width": "width",
    "width_slope": "width slope",
    "lon_gradient": "lon gradient",
    "lat_gradient": "lat gradient",
    "ring": "ring",
    "point_source": "point source",
    "pull_mean": "norm",
    "pull_width": "errors too small",
    "coverage_68": "errors too small",
    "coverage_95": "errors too small",
    "count_deviance": "energy bin",
    "pit": "energy bin",
    "run_dispersion": "truncated numbers",
    "zero_mass": "dead quadrant",
    "lost_information": "MeV for TeV",
}
COARSE = Axes(np.geomspace(0.1, 80, 8), np.linspace(-4, 4, 19), np.linspace(-3.6, 3.6, 17))
SPARSE = Axes(np.geomspace(0.1, 80, 13), np.linspace(-4, 4, 31), np.linspace(-3.6, 3.6, 29))
TRUTH = GaussianTruth(sigma=(1.6, 2.8))


def cube(axes, counts):
    livetime = np.full(axes.shape, 1500.0)
    return Histogram().estimate(StackedCounts(axes, counts, livetime, 1.1 * livetime, N_RUNS, 0, 0))


def exact_pair(truth, n_events=1e6, axes=COARSE):
    """A cube of the expectation of ``truth``, held against that of `TRUTH`."""
    scale = n_events / TRUTH.integrate(axes).sum()
    return CubePair(
        cube(axes, scale * TRUTH.integrate(axes)), cube(axes, scale * truth.integrate(axes))
    )


def toys(axes, n_events, n_toys, seed):
    """Pulls of the calibrated metrics in cubes of nothing but Poisson counts."""
    rng = np.random.default_rng(seed)
    expected = TRUTH.integrate(axes)
    expected *= n_events / expected.sum()
    true, runs = cube(axes, expected), np.full(N_RUNS, n_events / N_RUNS)
    rows = []
    for _ in range(n_toys):
        counts = rng.poisson(expected)
        of_runs = rng.multinomial(counts.sum(), runs / runs.sum())
        pair = CubePair(true, cube(axes, counts), None, runs, of_runs)
        rows.append([_continuous(METRICS[name](pair), pair, name, rng) for name in PROBES])
    return expected, dict(zip(PROBES, np.array(rows).T, strict=True))


def _continuous(measure, pair, name, rng):
    """The pull; a share of bins, a number of bins, is made continuous within its step."""
    if not name.startswith("coverage") or np.isnan(measure.pull):
        return measure.pull
    step = 1 / np.count_nonzero(pair.expected >= 10)
    error = np.hypot(measure.error, step / 12**0.5)
    return (measure.value + step * (rng.random() - 0.5) - measure.ideal) / error


def worst(values):
    """Smaller p-value of two tests of pulls: uniform p-values (KS), and a scatter of one."""
    pvalues = 2 * stats.norm.sf(np.abs(values))
    square = (np.mean(values**2) - 1) / (np.std(values**2) / np.sqrt(values.size))
    return min(stats.kstest(pvalues, "uniform").pvalue, 2 * stats.norm.sf(abs(square)))


CASES = {
    "1e3, most bins empty": (SPARSE, 1e3),
    "1e6": (COARSE, 1e6),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_pvalues_are_uniform_under_the_null(case):
    """2000 toys; the false-alarm rate is `FALSE_ALARM` over all cases, metrics and both tests."""
    axes, n_events = CASES[case]
    expected, found = toys(axes, n_events, N_TOYS, seed=17 + int(n_events))
    if axes is SPARSE:
        assert np.mean(expected < 0.1) > 0.75
    tests = {name: worst(values) for name, values in found.items() if not np.isnan(values).any()}
    # A metric that has too little to go on says so, always or never.
    silent = {name for name, values in found.items() if np.isnan(values).all()}
    assert tests.keys() | silent == set(PROBES)
    assert not silent or n_events <= 1e4
    limit = FALSE_ALARM / (2 * len(PROBES) * len(CASES))
    assert {name: p for name, p in tests.items() if p < limit} == {}


def test_uniformity_would_show_wrong_errors():
    """The control: errors 13 % off, a bias of a quarter σ, a tail; each fails at that rate."""
    limit = FALSE_ALARM / (2 * len(PROBES) * len(CASES))
    z = np.random.default_rng(14).standard_normal(N_TOYS)
    assert worst(z) > 0.01
    for wrong in (1.13 * z, z / 1.13, np.hypot(z, 0.6) * np.sign(z), z + 0.55):
        assert worst(wrong) < limit


# Controls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTROLS)
def test_control_must_fail(name):
    """Three replicates of a defect at its full size, each beyond the limit; clean ones within."""
    defect = DEFECTS[CONTROLS[name]]
    rng = np.random.default_rng(55)
    b = asymmetric_field()
    clean = [METRICS[name](b.pair(*b.draw(rng, b.expected))) for _ in range(3)]
    wrong = [METRICS[name](defect.pair(defect.full, rng)) for _ in range(3)]
    if name in PROBES:
        assert all(abs(measure.pull) < K for measure in clean)
        assert all(abs(measure.pull) > K for measure in wrong)
    else:
        assert min(m.value for m in wrong) > max(m.value for m in clean)


def test_every_metric_has_a_control():
    assert CONTROLS.keys() | {"masked_norm"} == CUBE_METRICS.keys()


def masked_pair(rng, factor=1.0):
    """A field of which a corner lost a third of its exposure, and counts there times a factor."""
    b = asymmetric_field(1e6)
    kept = np.ones(b.axes.shape[1:])
    kept[3:10, 15:21] = 2 / 3
    livetime = np.full(b.axes.shape, 1e5) * kept
    expected = b.expected * kept
    counts = rng.poisson(expected * np.where(kept < 1, factor, 1.0))
    true, reco = (
        Histogram().estimate(StackedCounts(b.axes, n, livetime, livetime, 1, 0, 0))
        for n in (expected, counts)
    )
    return CubePair(true, reco)


@pytest.mark.parametrize("seed", [1, 2])
def test_masked_norm_is_normal_and_sees_a_wrong_exposure(seed):
    """60 nulls: mean and width of the pulls at a false-alarm rate of 1e-4; a control of 10 %."""
    rng = np.random.default_rng(seed)
    pulls = np.array([METRICS["masked_norm"](masked_pair(rng)).pull for _ in range(60)])
    assert abs(pulls.mean()) * 60**0.5 < sigmas(FALSE_ALARM / 2)
    low, high = stats.chi2.ppf([FALSE_ALARM / 4, 1 - FALSE_ALARM / 4], 60)
    assert low < np.sum(pulls**2) < high
    wrong = METRICS["masked_norm"](masked_pair(rng, 1.1))
    assert wrong.pull > 10
    # It measures what was planted: to first order the factor itself.
    assert abs(wrong.value - 1.1) < 5 * wrong.error


def test_masked_norm_has_nothing_to_say_without_masks():
    b = asymmetric_field()
    pair = b.pair(*b.draw(np.random.default_rng(3), b.expected))
    assert np.isnan(METRICS["masked_norm"](pair).value)


# What the probes measure ------------------------------------------------------------------


def scaled(size):
    return replace(TRUTH, sigma=tuple(sigma * (1 + size) for sigma in TRUTH.sigma))


def steeper(size):
    span = np.log(TRUTH.sigma_energy[1] / TRUTH.sigma_energy[0])
    return replace(TRUTH, sigma=(TRUTH.sigma[0], TRUTH.sigma[1] * np.exp(size * span)))


PLANTED = {
    "index": lambda size: replace(TRUTH, index=TRUTH.index + size),
    "center_index": lambda size: replace(TRUTH, index=TRUTH.index + size),
    "width": scaled,
    "width_slope": steeper,
    "norm": lambda size: replace(TRUTH, event_rate=TRUTH.event_rate * (1 + size)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_probe_recovers_a_small_amount(name):
    """Noise-free; first order in 1e-4, templates from bin centres: better than 4 %."""
    size = 1e-4
    measure = METRICS[name](exact_pair(PLANTED[name](size)))
    assert_allclose(measure.value - measure.ideal, size, rtol=0.04)


@pytest.mark.parametrize("name", ["lon_gradient", "lat_gradient"])
@pytest.mark.parametrize("size", [0.03, -0.004])
def test_gradient_probe_recovers_any_amount(name, size):
    """It is linear in what it measures; a gradient along the other direction it does not see."""
    b = asymmetric_field()
    for along, expected in (("lon", size), ("lat", size)):
        angle = b.axes.fov_lon_center[:, None] if along == "lon" else b.axes.fov_lat_center
        # Its template has no mean, so that the gradient is of the rate at equal norm.
        mean = np.sum(b.expected * angle) / b.expected.sum()
        pair = b.pair(b.expected * (1 + size * (angle - mean)), b.run_events)
        value = METRICS[name](pair).value
        if name.startswith(along):
            assert_allclose(value, expected, rtol=1e-9)
        else:
            assert abs(value) < 0.02 * abs(size)


@pytest.mark.parametrize("name", PLANTED)
def test_error_is_the_cramer_rao_limit(name):
    """1/√Σ (dλ/ds)²/λ by differences of exact integrals, norm and index free where they are."""
    axes = replace(COARSE, energy=np.geomspace(0.1, 80, 41))  # templates go by bin centres
    pair = exact_pair(TRUTH, axes=axes)
    step = 1e-4
    up, down = (exact_pair(PLANTED[name](s), axes=axes).predicted for s in (step, -step))
    slope = (up - down) / (2 * step * np.where(pair.expected > 0, pair.expected, 1))
    if name == "center_index":
        slope = slope * (COARSE.offset < 1)
        inside = pair.expected * (COARSE.offset < 1)
        slope = (slope - np.sum(slope * inside) / inside.sum()) * (COARSE.offset < 1)
    if name == "index":
        slope = slope - np.sum(slope * pair.expected) / pair.expected.sum()
    if name.startswith("width"):  # each image at its own norm: no other metric's direction
        sums = (1, 2)
        slope = slope - (slope * pair.expected).sum(sums, keepdims=True) / pair.expected.sum(
            sums, keepdims=True
        )
    if name == "width_slope":  # about the energy at which it does not change the mean width
        log_energy = np.log(axes.energy_center)[:, None, None]
        unit = slope / (log_energy - np.log(0.1))
        weight = pair.expected * unit**2
        slope = unit * (log_energy - np.sum(weight * log_energy) / weight.sum())
    limit = np.sum(pair.expected * slope**2) ** -0.5
    assert_allclose(METRICS[name](pair).error, limit, rtol=0.03)


def test_ideal_of_the_indices():
    """Over the whole sky the index is the truth's; at the centre 2 s steeper."""
    axes = Axes(np.geomspace(0.1, 80, 21), np.linspace(-20, 20, 101), np.linspace(-20, 20, 101))
    wide = cube(axes, 1e6 * TRUTH.integrate(axes))
    pair = CubePair(wide, wide)
    assert_allclose(METRICS["index"](pair).ideal, TRUTH.integral_index, atol=2e-4)
    assert_allclose(METRICS["center_index"](pair).ideal, TRUTH.center_index, atol=0.02)


def test_norm_by_hand():
    pair = exact_pair(replace(TRUTH, event_rate=7.7), n_events=4e4)
    measure = METRICS["norm"](pair)
    assert_allclose((measure.value, measure.error), (1.1, 1 / 200), rtol=1e-9)


def test_lost_information_and_zero_mass_by_hand():
    axes = Axes([1, 2, 3], [0, 1, 2], [0, 1, 3])
    expected = np.full(axes.shape, 4.0)
    counts = expected.copy()
    counts[0, 0, 0], counts[1, 1, 1] = 6, 0
    pair = CubePair(cube(axes, expected), cube(axes, counts))
    assert_allclose(METRICS["lost_information"](pair).value, (2**2 + 4**2) / 4)
    assert_allclose(METRICS["zero_mass"](pair).value, 1 / 8)


def test_lost_information_is_twice_the_divergence():
    """E[D_test(λ̂) − D_test(λ)] = 2 Σ[λ̂ − λ + λ ln(λ/λ̂)] ≈ Q, to first order in the deviation."""
    pair = exact_pair(replace(TRUTH, index=TRUTH.index + 1e-3))
    m, expected = pair.predicted, pair.expected
    divergence = 2 * np.sum(m - expected + expected * np.log(expected / m))
    assert_allclose(METRICS["lost_information"](pair).value, divergence, rtol=2e-3)


def test_rings_have_equal_areas():
    """Counts of a flat cube fall evenly into them, up to the size of pixels."""
    axes = Axes([1, 2], np.linspace(-3, 3, 121), np.linspace(-3, 3, 121))
    edges = 3 * np.sqrt(np.arange(7) / 6)
    inside = [np.count_nonzero((axes.offset >= a) & (axes.offset < b)) for a, b in pairwise(edges)]
    assert_allclose(inside, np.mean(inside), rtol=0.02)
    # One ring 5 % up, the others as much down: no change of the norm, and seen.
    expected = np.full(axes.shape, 100.0)
    ring = (axes.offset >= edges[2]) & (axes.offset < edges[3])
    counts = expected * (1 + 0.05 * ring - 0.01 * ~ring * (axes.offset < 3))
    assert METRICS["ring"](CubePair(cube(axes, expected), cube(axes, counts))).value > K


def test_point_source_finds_deficits_too():
    defect = DEFECTS["point source"]
    b = asymmetric_field()
    source = defect.function(b, defect.full) - b.expected
    rng = np.random.default_rng(9)
    hole = b.pair(*b.draw(rng, np.maximum(b.expected - source, 0)))
    assert METRICS["point_source"](hole).value > K


# Scatter of bins --------------------------------------------------------------------------


def test_pulls_of_a_smoothed_cube_need_the_smoothers_variance():
    """About its own expectation, over 30 replicates: width 1 with its variance, 0.2 without."""
    axes = Axes(np.geomspace(0.1, 80, 5), np.linspace(-4, 4, 41), np.linspace(-3.6, 3.6, 37))
    expected = TRUTH.integrate(axes)
    expected *= 3e6 / expected.sum()
    livetime = np.full(axes.shape, 1500.0)
    rng = np.random.default_rng(2)

    def smoothed(counts):
        return Default().estimate(StackedCounts(axes, counts, livetime, livetime, 1, 0, 0))

    perfect = smoothed(expected)
    own = replace(perfect, counts=CubePair(cube(axes, expected), perfect).predicted)
    values = {"right": [], "naive": []}
    for _ in range(30):
        found = smoothed(rng.poisson(expected))
        values["right"].append(CubePair(own, found, perfect.rate_error).pulls)
        values["naive"].append(CubePair(own, found).pulls)
    # Neighbours go together: as many independent bins as the kernel has, 31 in three passes.
    n = 30 * np.size(values["right"][0]) / 31
    assert abs(np.mean(values["right"])) < sigmas(FALSE_ALARM) / np.sqrt(n)
    assert abs(np.std(values["right"]) - 1) < sigmas(FALSE_ALARM) / np.sqrt(2 * n)
    assert np.std(values["naive"]) < 0.25


def test_coverage_counts_bins():
    """Stated errors of nothing cover nothing; of ten times too much, all."""
    b = asymmetric_field()
    counts, runs = b.draw(np.random.default_rng(88), b.expected)
    assert METRICS["coverage_68"](b.pair(counts, runs, variance=0 * counts)).value < 0.1
    assert METRICS["coverage_95"](b.pair(counts, runs, variance=100.0 * counts)).value == 1
    clean = METRICS["coverage_68"](b.pair(counts, runs))
    assert_allclose(clean.ideal, 0.683, atol=0.02)


# Edges ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CUBE_METRICS)
@pytest.mark.parametrize("n_events", [0.0, 0.3, 30.0])
def test_next_to_nothing_is_no_alarm_and_no_warning(name, n_events):
    """Empty cubes, truths of less than an event: a finite pull within limits, or none at all."""
    expected = TRUTH.integrate(COARSE)
    expected *= n_events / expected.sum()
    runs = np.full(N_RUNS, n_events / N_RUNS)
    counts = np.random.default_rng(3).poisson(expected)
    of_runs = np.bincount(np.arange(counts.sum()), minlength=N_RUNS)[:N_RUNS]
    if n_events:
        pair = CubePair(cube(COARSE, expected), cube(COARSE, counts), None, runs, of_runs)
        measure = METRICS[name](pair)
        # Where less than a count is expected a single one is many σ: no exact test would say less.
        assert np.isnan(measure.pull) or abs(measure.pull) < 6 or n_events < 1
    else:
        measure = METRICS[name](CubePair(cube(COARSE, expected), cube(COARSE, counts)))
        assert not abs(measure.pull) > 0


@pytest.mark.parametrize("name", CUBE_METRICS)
def test_bins_without_exposure_do_not_matter(name):
    """The lowest energy never seen: the same as axes that begin above it."""
    rng = np.random.default_rng(4)
    expected = TRUTH.integrate(COARSE) * 1e5
    counts = rng.poisson(expected)
    upper = replace(COARSE, energy=COARSE.energy[1:])
    livetime = np.full(COARSE.shape, 1500.0)
    livetime[0] = 0

    def seen(values):
        values = np.where(livetime > 0, values, 0)
        return Histogram().estimate(StackedCounts(COARSE, values, livetime, livetime, 1, 0, 0))

    of_runs = np.full(N_RUNS, 5e3), np.full(N_RUNS, 5040)
    blind = METRICS[name](CubePair(seen(expected), seen(counts), None, *of_runs))
    short = METRICS[name](
        CubePair(cube(upper, expected[1:]), cube(upper, counts[1:]), None, *of_runs)
    )
    # As well as the fits of templates end.
    assert_allclose((blind.value, blind.error), (short.value, short.error), rtol=1e-6)
