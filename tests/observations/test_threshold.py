"""The bin that holds a threshold: fractions of power laws, and the exposure of a stack."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.stats import chi2

from simbg.axes import Axes, edition2015_axes
from simbg.observations.exposure import Exposure, stack_observations
from simbg.observations.observation import Events, Observation
from simbg.observations.threshold import resolve
from simbg.truth.gaussian import GaussianTruth

# A right estimate fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
# Three lengths; energies by a factor of 2 a bin, as wide as 2015's with the fewest runs.
AXES = Axes(0.1 * 2.0 ** np.arange(8), np.linspace(-3, 2, 11), np.linspace(-1, 4, 8))
# TeV: a third into bin 1 (0.2 to 0.4), of ln E.
THRESHOLD = 0.2 * 2 ** (1 / 3)
# The error of fractions that are interpolated between indices, in bins as wide; see the test of it.
INTERPOLATION = 1e-5


def exact_fraction(index, low, high, threshold):
    def integral(a, b):
        log_rate = quad(lambda x: np.exp(x * (1 - index)), np.log(a), np.log(b), epsrel=1e-13)
        return log_rate[0]

    return integral(threshold, high) / integral(low, high)


def power_law(index, axes=AXES, threshold=0.0, norm=1e5):
    """Expected counts of a flat field with a power law, above a threshold; full shape."""
    edges = np.maximum(axes.energy, threshold)
    rates = [
        quad(lambda x: np.exp(x * (1 - index)), np.log(a), np.log(b), epsrel=1e-13)[0]
        for a, b in pairwise(edges)
    ]
    return norm * np.array(rates)[:, None, None] * axes.solid_angle / axes.solid_angle.mean()


def stacked(axes, *runs):
    """The stack of runs (index, threshold, livetime, norm) with expected counts, ontime + 20 %."""
    exposure, counts = Exposure(axes, "partial"), np.zeros(axes.shape)
    for index, threshold, livetime, norm in runs:
        events = power_law(index, axes, threshold, norm * livetime)
        events[: exposure.rule.first_counted(axes, threshold)] = 0
        exposure.add(threshold, (livetime, 1.2 * livetime), events)
        counts += events
    return exposure.stack(counts, len(runs), 0, [1.0] * len(runs))


@pytest.mark.parametrize("index", [0.5, 1.0, 2.7, 4.0])
def test_fractions_of_a_known_power_law(index):
    stack = stacked(AXES, (index, THRESHOLD, 1000.0, 100.0), (index, 0.0, 500.0, 100.0))
    resolved = resolve(stack)
    assert resolved.partial_exposure is resolved.counts_above is None
    fraction = exact_fraction(index, 0.2, 0.4, THRESHOLD)
    assert_allclose(resolved.livetime[0], 500, rtol=1e-14)
    assert_allclose(resolved.livetime[1], 500 + 1000 * fraction, rtol=INTERPOLATION)
    assert_allclose(resolved.livetime[2:], 1500, rtol=1e-14)
    assert_allclose(resolved.ontime, 1.2 * resolved.livetime, rtol=1e-14)
    # So the rate is that of the whole bin.
    expected = power_law(index, norm=100.0)
    assert_allclose(resolved.counts / resolved.livetime, expected, rtol=INTERPOLATION)
    # The control: dropped, or whole, it is not.
    assert fraction < 0.95


@pytest.mark.parametrize(("span", "error"), [(1 / 3, 1e-7), (np.log(2), INTERPOLATION)])
def test_accuracy_of_the_interpolation_between_indices(span, error):
    """All indices and thresholds, as fractions of 1000 s."""
    worst = 0
    for depth in (0.05, 0.3, 0.5, 0.8):
        axes = Axes(np.exp(span * np.arange(5)), [0, 1], [0, 1])
        threshold = np.exp(span * (1 + depth))
        for index in np.linspace(-1.9, 7.9, 15):
            stack = stacked(axes, (index, threshold, 1000.0, 1e6))
            fraction = resolve(stack).livetime[1, 0, 0] / 1000
            worst = max(worst, abs(fraction - exact_fraction(index, *axes.energy[1:3], threshold)))
    assert worst < error
    # It is an interpolation, and no more exact than the claim by orders of magnitude.
    assert worst > 1e-3 * error


def test_indices_beyond_the_nodes_are_taken_at_the_ends():
    for index, end in ((-4.0, -2.0), (11.0, 8.0)):
        fraction = resolve(stacked(AXES, (index, THRESHOLD, 1.0, 1e12))).livetime[1]
        assert_allclose(
            fraction, exact_fraction(end, 0.2, 0.4, THRESHOLD), rtol=0, atol=INTERPOLATION
        )


def test_index_differs_from_pixel_to_pixel():
    """Softer to one side: each pixel is told apart, to what a kernel of 1 deg smears."""
    exposure = Exposure(AXES, "partial")
    indices = 2.0 + 0.2 * np.arange(10)[:, None] + np.zeros((10, 7))
    events = np.zeros(AXES.shape)
    for i, index in enumerate(indices[:, 0]):
        events[:, i] = power_law(index, threshold=THRESHOLD, norm=1e7)[:, i]
    events[0] = 0
    exposure.add(THRESHOLD, (1.0, 1.0), events)
    fraction = resolve(exposure.stack(events, 1, 0, [1.0])).livetime[1]
    exact = [exact_fraction(index, 0.2, 0.4, THRESHOLD) for index in indices[:, 0]]
    # The gradient is 0.4 in index a deg; at a border half of the kernel is missing: 0.8 deg off.
    assert np.abs(fraction[2:-2, 3] - exact[2:-2]).max() < 0.01
    assert np.abs(fraction[:, 3] - exact).max() < 0.4 * 0.8 * 0.15
    assert fraction[0, 0] - fraction[-1, 0] > 0.6 * (exact[0] - exact[-1]) > 0.08


def test_few_counts_fall_back_on_the_field_and_on_a_typical_index():
    def fraction(index, events_above):
        counts = power_law(index, threshold=THRESHOLD)
        scale = events_above / counts[3].sum()
        return resolve(stacked(AXES, (index, THRESHOLD, 1.0, 1e5 * scale))).livetime[1]

    typical = exact_fraction(2.7, 0.2, 0.4, THRESHOLD)
    assert_allclose(fraction(4.0, 49.0), typical, rtol=INTERPOLATION)
    exact = exact_fraction(4.0, 0.2, 0.4, THRESHOLD)
    assert_allclose(fraction(4.0, 51.0), exact, rtol=INTERPOLATION)
    assert abs(exact / typical - 1) > 0.1


def test_few_counts_in_a_pixel_take_the_index_of_the_field():
    """Bright with 2 on one side, faint with 4 on the other, which a kernel does not reach."""
    axes = Axes(AXES.energy, np.linspace(-6, 6, 25), np.linspace(-1, 1, 5))
    events = power_law(2.0, axes, THRESHOLD, 1e4)
    events[:, 12:] = power_law(4.0, axes, THRESHOLD, 0.1)[:, 12:]
    events[0] = 0
    exposure = Exposure(axes, "partial")
    exposure.add(THRESHOLD, (1.0, 1.0), events)
    fraction = resolve(exposure.stack(events, 1, 0, [1.0])).livetime[1]
    # 4 σ from the border of the two.
    bright = exact_fraction(2.0, 0.2, 0.4, THRESHOLD)
    assert_allclose(fraction[:4], bright, rtol=INTERPOLATION)
    # Of all counts the faint side has 1e-5.
    assert_allclose(fraction[-4:], bright, rtol=1e-3)


def test_threshold_in_the_last_bins():
    """No two bins above: a typical index; in the last bin, too."""
    typical = exact_fraction(2.7, 0.2, 0.4, THRESHOLD)  # the same in any bin
    for k in (5, 6):
        threshold = THRESHOLD * 2.0 ** (k - 1)
        resolved = resolve(stacked(AXES, (4.0, threshold, 10.0, 1e4)))
        assert_allclose(resolved.livetime[k], 10 * typical, rtol=INTERPOLATION)
        assert not resolved.livetime[:k].any()
        assert_array_equal(resolved.livetime[k + 1 :], np.full((6 - k, 10, 7), 10.0))


@pytest.mark.parametrize("k", [0, 2, 7])
@pytest.mark.parametrize("side", [1 - 1e-12, 1.0, 1 + 1e-12])
def test_threshold_on_an_edge_has_no_partial_exposure(k, side):
    stack = stacked(AXES, (2.7, AXES.energy[k] * side, 10.0, 1e4))
    assert stack.partial_exposure is None
    assert resolve(stack) is stack
    assert_array_equal(stack.livetime[:, 0, 0], [0.0] * k + [10.0] * (7 - k))


@pytest.mark.parametrize("threshold", [0.0, 0.05, 12.8, 50.0])
def test_threshold_outside_of_the_axes(threshold):
    stack = stacked(AXES, (2.7, threshold, 10.0, 1e4))
    assert stack.partial_exposure is None
    assert_array_equal(stack.livetime, np.full(AXES.shape, 10.0 if threshold < 0.1 else 0.0))


def test_thresholds_in_several_bins_of_runs_that_differ():
    """Each bin has the index of the runs with their threshold in it, weighed by events."""
    runs = [
        (2.0, THRESHOLD, 700.0, 30.0),
        (3.5, 0.5, 400.0, 50.0),
        (2.0, 0.33, 300.0, 30.0),
        (2.6, 0.0, 1000.0, 80.0),
    ]
    resolved = resolve(stacked(AXES, *runs))
    first = (
        1000
        + 700 * exact_fraction(2.0, 0.2, 0.4, THRESHOLD)
        + 300 * exact_fraction(2, 0.2, 0.4, 0.33)
    )
    second = 2000 + 400 * exact_fraction(3.5, 0.4, 0.8, 0.5)
    assert_allclose(resolved.livetime[1], first, rtol=INTERPOLATION)
    assert_allclose(resolved.livetime[2], second, rtol=INTERPOLATION)
    assert_allclose(resolved.livetime[3:], 2400, rtol=1e-14)


def test_runs_of_different_indices_in_one_bin():
    """One index stands for both: the rate is their mean to what the mixture is curved by."""
    runs = [(2.0, THRESHOLD, 500.0, 100.0), (3.0, THRESHOLD, 500.0, 100.0)]
    resolved = resolve(stacked(AXES, *runs))
    rate = resolved.counts[1] / resolved.livetime[1]
    mean = 0.5 * (power_law(2.0, norm=100.0) + power_law(3.0, norm=100.0))[1]
    # The local index rises by 0.12 from the bins above to this one, and d ln(fraction)/dΓ is −0.28.
    assert_allclose(rate / mean, 1 - 0.12 * 0.28, rtol=0.005)
    low, high = (exact_fraction(index, 0.2, 0.4, THRESHOLD) for index in (3.0, 2.0))
    assert low < resolved.livetime[1, 4, 4] / 1000 < high


def observations(index, n_obs, seed, threshold=THRESHOLD):
    truth = GaussianTruth(index=index, event_rate=3.0, sigma=(2.0, 2.0001))
    for number in range(n_obs):
        events = Events(*truth.draw(1000.0, 0.0, np.random.default_rng(100 * seed + number)))
        yield Observation.in_memory(
            events, obs_id=number, livetime=1000.0, ontime=1100.0, energy_threshold=threshold
        )


def test_rate_of_the_threshold_bin_is_right_within_its_noise():
    """χ² of eight experiments, whole field: the estimate of the index adds to Poisson's noise."""
    truth = GaussianTruth(index=2.4, event_rate=3.0, sigma=(2.0, 2.0001))
    exact = truth.integrate(AXES)[1].sum()
    pulls = []
    for seed in range(8):
        stack = resolve(stack_observations(observations(2.4, 10, seed), AXES, "partial"))
        n, fraction = stack.counts[1].sum(), stack.livetime[1].mean() / 1e4
        rate = np.sum(stack.counts[1] / stack.livetime[1])
        # σ of the index is √(1/n₁ + 1/n₂) / ln 2, and moves the fraction by its derivative.
        above = stack.counts[2:4].sum(axis=(1, 2))
        slope = np.log(
            exact_fraction(2.3, 0.2, 0.4, THRESHOLD) / exact_fraction(2.5, 0.2, 0.4, THRESHOLD)
        )
        sigma = np.hypot(1 / np.sqrt(n), slope / 0.2 * np.sqrt(np.sum(1 / above)) / np.log(2))
        pulls.append((rate / exact - 1) / sigma)
        assert 0.3 < fraction < 0.8
    assert np.sum(np.square(pulls)) < chi2.isf(FALSE_ALARM, 8)
    # The control: as 2015 took it, the whole livetime for a part of the bin.
    stack = stack_observations(observations(2.4, 10, 0), AXES, "whole")
    assert abs(np.sum(stack.counts[1] / stack.livetime[1]) / exact - 1) / sigma > 5


def test_2015s_bins_are_exact_within_a_percent():
    """A truth with a width that grows: the power law of each pixel is nearly one."""
    truth, axes = GaussianTruth(index=2.7, event_rate=1e4), edition2015_axes(40)
    exposure, threshold = Exposure(axes, "partial"), 0.15
    events = truth.integrate(axes, energy_min=threshold)
    exposure.add(threshold, (1.0, 1.0), events)
    resolved = resolve(exposure.stack(events, 1, 0, [1.0]))
    whole = truth.integrate(axes)
    k = int(np.searchsorted(axes.energy, threshold)) - 1
    ratio = resolved.counts[k] / resolved.livetime[k] / whole[k]
    inner = axes.offset < 2.5
    assert np.abs(ratio[inner] - 1).max() < 0.01
    assert np.abs(1 - events[k] / whole[k])[inner].min() > 0.2  # what "whole" would be off by


def test_another_number_of_runs_changes_times_and_nothing_else():
    runs = [(2.5, THRESHOLD, 700.0, 30.0), (2.5, 0.0, 300.0, 30.0)]
    once, thrice = stacked(AXES, *runs), stacked(AXES, *(3 * runs))
    times = once.times(3)
    for name in ("counts", "livetime", "ontime", "partial_exposure", "counts_above"):
        # Sums in another order.
        assert_allclose(getattr(times, name), getattr(thrice, name), rtol=1e-13)
    assert_allclose(resolve(times).livetime, 3 * resolve(once).livetime, rtol=1e-13)


def test_other_counts_at_the_same_exposure_have_their_own_index():
    """A toy with a steeper spectrum: the index is taken from the toy."""
    stack = stacked(AXES, (2.0, THRESHOLD, 1000.0, 100.0))
    steeper = power_law(3.0, threshold=THRESHOLD, norm=1e5)
    steeper[0] = 0
    toy = resolve(stack.with_counts(steeper))
    fraction = exact_fraction(3.0, 0.2, 0.4, THRESHOLD)
    assert_allclose(toy.livetime[1], 1000 * fraction, rtol=INTERPOLATION)
    assert_array_equal(toy.counts, steeper)
    plain = stack_observations([], AXES)
    assert plain.with_counts(plain.counts + 1).counts_above is None


def test_unknown_treatment():
    with pytest.raises(ValueError, match="threshold_bin: got 'half', expected one of"):
        Exposure(AXES, "half")
    with pytest.raises(ValueError, match="threshold_bin: got True, expected one of"):
        replace(Exposure(AXES), threshold_bin=True)


def test_the_same_bytes_each_time():
    """scipy's weights of an interpolation have a random order, unless they are given."""
    counts = np.round(power_law(2.5, threshold=THRESHOLD))
    events = Events(*np.repeat(np.array([[0.3], [0.1], [0.2]]), 50, axis=1))
    run = Observation.in_memory(
        events, obs_id=1, livetime=900.0, ontime=1000.0, energy_threshold=THRESHOLD
    )
    stack = stack_observations([run], AXES, "partial").with_counts(counts)
    first = resolve(stack).livetime
    assert all(np.array_equal(resolve(stack).livetime, first) for _ in range(20))
