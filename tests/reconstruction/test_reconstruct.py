"""Methods against their definitions, their errors against replicates, and what they may see."""

import inspect
import sys
import types
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from scipy.stats import chi2

from simbg.axes import Axes, edition2015_axes
from simbg.observations.exposure import StackedCounts
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.contract import Reconstructor
from simbg.reconstruction.edition2015 import (
    K5A,
    Default,
    Michi,
    n_passes,
    smooth,
    smoothing_variance,
)
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import METHODS, find_method, method_names
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.fits import fit_index
from simbg.validation.metrics.poisson import deviance_z, sigmas

# Of each statistical test; seeds were not chosen after looking (ten others pass, too).
FALSE_ALARM = 1e-6
# Uneven numbers of bins, and one direction longer than the other.
AXES = Axes(np.geomspace(0.1, 80, 8), np.linspace(-4, 4, 25), np.linspace(-3, 3, 17))


def make_runs(n_events, thresholds=(0.1, 0.25, 0.9, 0.25), gap=None, energy_range=(0.05, 120.0)):
    """Runs with a power law and an off-centre blob; ``gap`` (TeV) is an interval left empty."""
    rng = np.random.default_rng(7)
    for number, threshold in enumerate(thresholds):
        n = n_events // len(thresholds)
        low, high = (e**-1.2 for e in energy_range)
        energy = rng.uniform(high, low, n) ** (-1 / 1.2)
        keep = slice(None) if gap is None else ~((energy > gap[0]) & (energy < gap[1]))
        columns = energy[keep], rng.normal(0.8, 1.9, n)[keep], rng.normal(-0.4, 1.1, n)[keep]
        yield Observation.in_memory(
            Events(*columns),
            obs_id=number,
            livetime=1000.0 + 100 * number,
            ontime=1300.0 + 100 * number,
            energy_threshold=threshold,
        )


# 2015's algorithms, from the fact sheet -----------------------------------------------------------


def counts_and_livetime(runs, axes):
    """A run's events above its threshold; its whole livetime in bins that end above it."""
    counts, livetime = np.zeros(axes.shape), np.zeros(axes.shape)
    edges = axes.energy, axes.fov_lon, axes.fov_lat
    for run in runs:
        events = run.events()
        keep = events.energy >= run.energy_threshold
        columns = events.energy[keep], events.fov_lon[keep], events.fov_lat[keep]
        counts += np.histogramdd(columns, edges)[0]
        for i in range(axes.shape[0]):
            if axes.energy[i + 1] > run.energy_threshold:
                livetime[i] += run.livetime
    return counts, livetime


def smooth_2015(cube, counts):
    """Convolve image by image as often as the counts say, and scale each back to its sum."""
    number = 5
    if counts.sum() >= 1e5:
        number = 4
    if counts.sum() >= 1e6:
        number = 3
    kernel = [[0, 0, 1, 0, 0], [0, 2, 2, 2, 0], [1, 2, 5, 2, 1], [0, 2, 2, 2, 0], [0, 0, 1, 0, 0]]
    result = np.empty_like(cube)
    for i, image in enumerate(cube):
        smoothed = image
        for _ in range(number):
            smoothed = ndimage.convolve(smoothed, np.array(kernel, float))
        with np.errstate(invalid="ignore"):
            result[i] = smoothed / smoothed.sum() * image.sum()
    return result


def divided(values, axes, mev_per_unit):
    """÷ (ΔE · Δx · Δy), bin by bin, then the level."""
    result = np.empty(axes.shape)
    for i, j, k in np.ndindex(axes.shape):
        energy = np.diff(axes.energy)[i] * (1e6 / mev_per_unit)
        x, y = np.diff(np.deg2rad(axes.fov_lon))[j], np.diff(np.deg2rad(axes.fov_lat))[k]
        value = values[i, j, k] / (energy * x * y)
        result[i, j, k] = 1e-10 if np.isnan(value) or value < 1e-10 else value
    return result


def default_2015(runs, axes):
    """Counts → smooth → ÷ livetime → ÷ volume → level, in 1 / (s sr TeV)."""
    counts, livetime = counts_and_livetime(runs, axes)
    with np.errstate(invalid="ignore"):
        return divided(smooth_2015(counts, counts) / livetime, axes, 1e6)


def michi_2015(runs, axes):
    """Counts ÷ livetime → smooth → ÷ volume → level, in 1 / (s sr MeV)."""
    counts, livetime = counts_and_livetime(runs, axes)
    with np.errstate(invalid="ignore"):
        return divided(smooth_2015(counts / livetime, counts), axes, 1.0)


CASES = {
    "5 passes": {"n_events": 30_000},
    "4 passes": {"n_events": 800_000},
    "3 passes": {"n_events": 6_000_000},
    "an empty image": {"n_events": 30_000, "gap": (0.5, 12.0)},
    "no event": {"n_events": 4, "energy_range": (100.0, 200.0)},
    "nothing exposed below": {"n_events": 30_000, "thresholds": (0.5, 0.7)},
}


@pytest.mark.parametrize("case", CASES)
def test_default_is_that_of_2015(case):
    """To rounding: a few sums of up to 400 doubles."""
    cube = Default().reconstruct(make_runs(**CASES[case]), AXES)
    assert_allclose(cube.rate * 1e6, default_2015(make_runs(**CASES[case]), AXES), rtol=1e-12)
    if case.endswith("passes"):
        assert n_passes(cube.counts.sum()) == int(case[0])
    if case == "an empty image":
        assert_array_equal(cube.rate[3], 1e-16)


@pytest.mark.parametrize("case", CASES)
def test_michi_is_that_of_2015(case):
    cube = Michi().reconstruct(make_runs(**CASES[case]), AXES)
    assert_allclose(cube.rate, michi_2015(make_runs(**CASES[case]), AXES), rtol=1e-12)


def test_control_the_two_methods_differ():
    """Their levels do by a factor of a million."""
    cubes = [method().reconstruct(make_runs(30_000), AXES) for method in (Default, Michi)]
    assert cubes[0].rate.min() == 1e-16
    assert cubes[1].rate.min() == 1e-10
    # Smoothing images of one livetime each makes no other difference.
    above = cubes[1].rate > 1e-10
    assert_allclose(cubes[0].rate[above], cubes[1].rate[above], rtol=1e-12)


def test_michi_starts_at_the_lowest_threshold():
    axes = Michi().default_axes(list(make_runs(4, thresholds=(0.9, 0.3, 0.5))))
    assert axes.shape == edition2015_axes(3).shape
    assert_allclose(axes.energy[[0, -1]], [0.3, 80.0], rtol=1e-14)
    unknown = Michi().default_axes(list(make_runs(4, thresholds=(0.0, 0.3))))
    assert unknown.energy[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("counts", "number"),
    [(0, 5), (99_999, 5), (100_000, 4), (999_999, 4), (1_000_000, 3), (10**9, 3)],
)
def test_number_of_passes(counts, number):
    assert n_passes(counts) == number


# Smoothing ------------------------------------------------------------------------------------


def test_borders_reflect():
    """One pass in plain loops: beyond the border lies the mirror image, border pixel included."""
    rng = np.random.default_rng(1)
    image = rng.uniform(1, 2, (6, 9))
    axes = Axes([1.0, 2.0], np.linspace(0, 3, 7), np.linspace(-2, 2.5, 10))

    def mirrored(i, n):
        return -i - 1 if i < 0 else 2 * n - 1 - i if i >= n else i

    expected = np.zeros_like(image)
    for i, j in np.ndindex(image.shape):
        for a, b in np.ndindex(5, 5):
            expected[i, j] += K5A[a, b] * image[mirrored(i + a - 2, 6), mirrored(j + b - 2, 9)]
    assert_allclose(smooth(image[None], axes, 1)[0], expected / 25, rtol=1e-13)


@pytest.mark.parametrize("passes", [3, 4, 5])
def test_smoothing_keeps_integrals(passes):
    cube = np.random.default_rng(2).poisson(0.3, AXES.shape).astype(float)
    cube[:, 0, 0] += 50  # in a corner
    smoothed = smooth(cube, AXES, passes)
    assert_allclose(smoothed.sum(axis=(1, 2)), cube.sum(axis=(1, 2)), rtol=1e-12)
    assert smoothed.max() < 25
    uneven = Axes(AXES.energy, np.cumsum(1 + np.arange(25.0)) / 100, AXES.fov_lat)
    area = uneven.flat_solid_angle
    integrals = [(x * area).sum(axis=(1, 2)) for x in (smooth(cube, uneven, passes), cube)]
    assert_allclose(*integrals, rtol=1e-12)


@pytest.mark.parametrize("passes", [3, 4, 5])
def test_smoothing_variance_is_that_of_the_operator(passes):
    """Var_i = Σ_j S_ij² var_j, with S from what `smooth` makes of single pixels."""
    axes = Axes([1.0, 2.0, 3.0], np.linspace(-2, 2, 10), np.linspace(-3, 1, 8))
    variance = np.random.default_rng(3).uniform(0.5, 9, axes.shape)
    expected = np.zeros(axes.shape)
    for j, k in np.ndindex(axes.shape[1:]):
        pixel = np.zeros((1, *axes.shape[1:]))
        pixel[0, j, k] = 1
        expected += smooth(pixel, axes, passes) ** 2 * variance[:, j, k, None, None]
    assert_allclose(smoothing_variance(variance, passes), expected, rtol=1e-12)


def test_smoothing_variance_far_from_borders():
    """Variance factors of the fact sheet, 3 to 5 passes."""
    flat = np.ones((1, 41, 41))
    factors = [smoothing_variance(flat, passes)[0, 20, 20] for passes in (3, 4, 5)]
    assert_allclose(factors, [0.0322, 0.0243, 0.0195], atol=5e-5)  # four decimals


# Standard errors and bias ---------------------------------------------------------------------


def stack_of(counts, axes):
    """Another exposure in each energy bin."""
    livetime = np.broadcast_to(np.linspace(500, 900, axes.shape[0])[:, None, None], axes.shape)
    return StackedCounts(axes, counts, livetime, livetime * 1.2, 1, 0, int(counts.sum()))


@pytest.mark.parametrize("scale", [30.0, 1000.0, 5000.0])
@pytest.mark.parametrize("method", METHODS.values())
def test_standard_errors_are_the_scatter(method, scale):
    """600 replicates: (N − 1) s² / σ² is χ² in each bin, in corners and on edges, too.

    False-alarm rate 1e-6 over all bins; finds an error wrong by 20 % in a single bin.
    """
    axes = Axes([0.5, 1.0, 4.0], np.linspace(-2, 2, 13), np.linspace(-3, 1, 11))
    rng = np.random.default_rng(11)
    # A gradient in each direction, and enough in each bin for a Poisson number to be about normal.
    x, y = np.linspace(0.5, 2, 12)[:, None], np.linspace(1, 3, 10)
    mean = scale * np.array([1.0, 0.6])[:, None, None] * x * y
    number = 600
    rates = [method().estimate(stack_of(rng.poisson(mean), axes)).rate for _ in range(number)]
    stated = method().estimate(stack_of(mean, axes)).rate_error
    ratio = np.var(rates, axis=0, ddof=1) / stated**2
    law = chi2(number - 1)
    alpha = FALSE_ALARM / mean.size / 2
    assert np.all(ratio * (number - 1) > law.ppf(alpha))
    assert np.all(ratio * (number - 1) < law.isf(alpha))
    if method is not Histogram:
        # The control: without reflection a corner would claim the inner bins' variance factor.
        passes = n_passes(mean.sum())
        inner = smoothing_variance(np.ones((1, 41, 41)), passes)[0, 20, 20]
        corner = smoothing_variance(np.ones((1, 12, 10)), passes)[0, 0, 0]
        assert corner / inner > law.isf(alpha) / law.ppf(alpha)


def test_histogram_error_is_poisson():
    counts = np.arange(24.0).reshape(2, 3, 4)
    axes = Axes([1.0, 2.0, 5.0], np.linspace(-2, 2, 4), np.linspace(-3, 1, 5))
    cube = Histogram().estimate(stack_of(counts, axes))
    assert_allclose(cube.rate_error**2, cube.rate / (cube.livetime * axes.volume), rtol=1e-13)
    assert cube.rate_error[0, 0, 0] == 0


TRUTH = GaussianTruth(index=2.2, event_rate=60.0)
# On an edge, inside of two bins, above several, below all.
THRESHOLDS = (0.1, 0.2, 0.35, 1.1, 0.05, 0.9)
BINS = Axes([0.1, 0.3, 1.0, 3.0, 20.0], np.linspace(-4, 3, 8), np.linspace(-2, 4, 7))


def true_runs(seed):
    rng = np.random.default_rng(seed)
    for number, threshold in enumerate(THRESHOLDS):
        livetime = 1000.0 + 300 * number
        n_events = rng.poisson(TRUTH.total_rate() * livetime)
        yield Observation.in_memory(
            Events(*TRUTH.sample(n_events, rng)),
            obs_id=number,
            livetime=livetime,
            ontime=1.1 * livetime,
            energy_threshold=threshold,
        )


def true_livetime():
    """Livetime of each bin, times the true share of its events above each run's threshold."""
    whole = TRUTH.integrate(BINS)
    return sum(
        (1000.0 + 300 * number) * TRUTH.integrate(BINS, energy_min=threshold) / whole
        for number, threshold in enumerate(THRESHOLDS)
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_histogram_is_unbiased_whatever_the_thresholds(seed):
    """Its rate at the true exposure against the truth; 6e5 events, thresholds inside of bins.

    False-alarm rate 1e-6 over both tests; the control is below.
    """
    cube = Histogram().reconstruct(true_runs(seed), BINS)
    livetime = true_livetime()
    # Some hundred events of one run under the kernel know Γ to 0.1 or 0.2; half of the width in
    # ln E of these bins (a factor of 3 to 7) and a fifth of the livetime, that of the run, make
    # 1 to 2 % of it.
    assert_allclose(cube.livetime, livetime, rtol=0.03)
    expected, predicted = TRUTH.integrate(BINS) * livetime, cube.rate * BINS.volume * livetime
    alpha = FALSE_ALARM / 2
    pull = (predicted - expected).sum(axis=(1, 2)) / np.sqrt(expected.sum(axis=(1, 2)))
    assert np.all(np.abs(pull) < sigmas(alpha / pull.size))
    # χ² of 168 rich bins: its tail is fatter than a normal's, which 6.5 σ allows for.
    assert abs(deviance_z(cube.counts, expected)) < 6.5


def test_control_partial_bins_are_biased():
    """2015's exposure in the bins of the thresholds is too long: the same test fails, by far."""
    counts, livetime = counts_and_livetime(true_runs(1), BINS)
    expected = TRUTH.integrate(BINS) * livetime
    pull = (counts - expected).sum(axis=(1, 2)) / np.sqrt(expected.sum(axis=(1, 2)))
    assert np.all(pull[:2] < -20)


def test_no_exposure_is_no_number():
    cube = Histogram().reconstruct(make_runs(3000, thresholds=(0.5, 0.7)), AXES)
    exposed = AXES.energy[1:] > 0.5
    assert 0 < exposed.sum() < exposed.size
    assert_array_equal(np.isnan(cube.rate[:, 0, 0]), ~exposed)
    assert_array_equal(np.isnan(cube.rate_error[:, 3, 3]), ~exposed)
    # Exposed and empty is zero.
    assert np.any(cube.rate[-1] == 0)


# The index of 2015 ----------------------------------------------------------------------------


def fitted_index(energy, low, high):
    """Unbinned maximum likelihood of a power law from low to high: index, standard error.

    ⟨ln E⟩ is sufficient; the information an event holds is the variance of ln E, which tends
    to (Γ − 1)⁻² as the range grows. 1000 bins of ln E are as good as none.
    """
    edges = np.geomspace(low, high, 1001)
    return fit_index(np.histogram(energy, edges)[0], edges)


def power_law_error(index, n_events, low, high):
    """1 / √(N Var[ln E]) of a power law cut off on both sides."""
    k, span = index - 1, np.log(high / low)
    x = k * span
    variance = 1 / k**2 - span**2 * np.exp(-x) / (-np.expm1(-x)) ** 2
    return 1 / np.sqrt(n_events * variance)


def test_error_of_an_index():
    """The formula in use below, for a finite range, tends to (Γ − 1)/√N."""
    assert power_law_error(2.7, 1e4, 0.1, 1e9) == pytest.approx(
        0.017, rel=1e-12
    )  # but for (1e10)^−1.7
    energy = TRUTH.sample(300_000, np.random.default_rng(0))[0]
    _, error = fitted_index(energy, 0.1, 100.0)
    # Of 300,000 events the error itself scatters by some 1/√N = 0.2 %.
    assert error == pytest.approx(power_law_error(2.2, 300_000, 0.1, 100.0), rel=0.01)


def test_events_asked_for_with_1_5_in_2015_have_2_5():
    """2015's index 1.5 is that of counts per ln E; the rate's is 2.5, and so is the sample's.

    One million events: σ = 0.0015; 4.9 σ, false-alarm rate 1e-6, and 650 σ from 1.5.
    """
    truth = replace(SCENARIOS["seed-2015"].truth, normalization="integral")
    assert truth.index == 1.5 + 1
    n_events = 1_000_000
    energy, _, _ = truth.sample(n_events, np.random.default_rng(21))
    index, error = fitted_index(energy, *truth.energy_range)
    assert error == pytest.approx(power_law_error(2.5, n_events, 0.1, 100.0), rel=0.01)
    assert abs(index - 2.5) < sigmas(FALSE_ALARM) * error
    assert abs(index - 1.5) > 600 * error


def test_errors_of_indices_are_their_scatter():
    """100 samples of 20,000: Σ pull² is χ² of 100; false-alarm rate 1e-6."""
    rng = np.random.default_rng(22)
    fits = np.array([fitted_index(TRUTH.sample(20_000, rng)[0], 0.1, 100.0) for _ in range(100)])
    total = np.sum((fits[:, 0] - 2.2) ** 2 / fits[:, 1] ** 2)
    assert chi2(100).ppf(FALSE_ALARM / 2) < total < chi2(100).isf(FALSE_ALARM / 2)


@pytest.mark.parametrize("method", METHODS)
def test_index_of_the_rebuilt_cube(method):
    """Over the field 2.29 and at the centre 2.5 for "center": within errors of the fit.

    False-alarm rate 1e-6 each. Smoothing moves counts off the centre by the same share at all
    energies to a few parts in 1000 only, 0.01 in index: allowed for at the centre.
    """
    truth = replace(SCENARIOS["seed-2015"].truth, event_rate=1000.0)
    rng = np.random.default_rng(23)
    run = Observation.in_memory(
        Events(*truth.sample(rng.poisson(1000.0 * 2000), rng)),
        obs_id=1,
        livetime=2000.0,
        ontime=2400.0,
        energy_threshold=0.1,
    )
    axes = edition2015_axes()
    cube = METHODS[method]().reconstruct([run], axes)
    true = truth.cube(axes)
    center = axes.offset < 1
    for region, allowed in ((np.ones_like(center), 0.002), (center, 0.01)):
        rebuilt, ideal = (
            fit_index((c.event_rate * 2000)[:, region].sum(axis=1), axes.energy)[0]
            for c in (cube, true)
        )
        counts = (true.event_rate * 2000)[:, region].sum(axis=1)
        _, error = fit_index(counts, axes.energy)
        slack = 0 if method == "histogram" else allowed
        assert abs(rebuilt - ideal) < sigmas(FALSE_ALARM) * error + slack
        assert abs(rebuilt - 1.5) > 40 * error
    # The centre's own index is what the scenario is named for.
    assert ideal == pytest.approx(truth.center_index, abs=0.02)
    assert truth.center_index == pytest.approx(2.5)


# Names and what a method may see --------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_our_methods_have_names(name):
    method = find_method(name)
    assert isinstance(method, METHODS[name])
    assert isinstance(method, Reconstructor)
    assert method.name == name


@pytest.mark.parametrize("name", METHODS)
def test_methods_see_observations_and_axes_alone(name):
    assert list(inspect.signature(METHODS[name]().reconstruct).parameters) == [
        "observations",
        "axes",
    ]
    assert {field.name for field in fields(METHODS[name])} == {"executor"}
    seen = {field.name for field in fields(Observation)}
    assert seen == {
        *("obs_id", "load", "livetime", "ontime", "energy_threshold", "ra", "dec", "alt", "az"),
        *("excluded", "store"),
    }


class Mine:
    """Conforms, and imports nothing to do so."""

    name = "mine"

    def reconstruct(self, observations, axes):
        return Histogram().reconstruct(observations, axes)


class Nameless:
    """Refused before it is ever called."""

    def reconstruct(self, observations, axes):
        return None


@pytest.fixture
def module(monkeypatch):
    """A module of a user, under a name that can be imported."""
    module = types.ModuleType("users_module")
    module.Mine, module.instance, module.Nameless, module.number = Mine, Mine(), Nameless, 5
    module.inner = types.SimpleNamespace(Mine=Mine)
    monkeypatch.setitem(sys.modules, "users_module", module)
    return module


@pytest.mark.parametrize("attribute", ["Mine", "instance", "inner.Mine"])
def test_method_of_a_module(module, attribute):
    method = find_method(f"users_module:{attribute}")
    assert isinstance(method, Mine)
    cube = method.reconstruct(list(make_runs(400)), AXES)
    assert_array_equal(cube.rate, Histogram().reconstruct(make_runs(400), AXES).rate)


def test_method_of_an_entry_point(module, tmp_path, monkeypatch):
    """It is listed where the modules that it needs are installed, and found anyway."""
    points = {
        "theirs": "Mine",
        "broken": "Nothing",
        "with-numpy": "Mine [numpy]",
        "with-other": "Mine [numpy,no_such_library]",
    }
    lines = [f"{name} = users_module:{target}" for name, target in points.items()]
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("\n".join(["[simbg.reconstructors]", *lines]))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(find_method("theirs"), Mine)
    assert isinstance(find_method("with-other"), Mine)
    assert set(method_names()) & set(points) == {"theirs", "broken", "with-numpy"}
    with pytest.raises(ValueError, match=r"'broken' cannot be loaded: AttributeError"):
        find_method("broken")
    with pytest.raises(ValueError, match=r"'other', expected one of .*michi,.* theirs, with-numpy"):
        find_method("other")


class Exits:
    def __init__(self):
        raise SystemExit("two\nlines")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "got 'nothing', expected one of histogram, default, michi, "),
        ("", "got ''"),
        ("no_such_module:Mine", "ModuleNotFoundError"),
        ("users_module:Yours", "AttributeError"),
        ("users_module:", "got module, expected a name and a reconstruct"),
        (":Mine", "ValueError"),
        ("users_module:number", "got int, expected a name and a reconstruct"),
        ("users_module:Nameless", "got Nameless, expected a name"),
        ("users_module:Exits", "SystemExit: two lines"),
    ],
)
def test_what_is_no_method_is_an_error_in_one_line(module, name, message):
    module.Exits = Exits
    with pytest.raises(ValueError, match=f"^method.*{message}") as error:
        find_method(name)
    assert "\n" not in str(error.value)
