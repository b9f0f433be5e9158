"""`histogram`: unbiased whatever the thresholds, and its errors are Poisson's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.runs import BLOB_AXES, blob_runs, counts_and_livetime, stack_of

from simbg.axes import Axes
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.histogram import Histogram
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.poisson import deviance_z, sigmas

# Of each statistical test; seeds were not chosen after looking (ten others pass, too).
FALSE_ALARM = 1e-6


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
    cube = Histogram().reconstruct(blob_runs(3000, thresholds=(0.5, 0.7)), BLOB_AXES)
    exposed = BLOB_AXES.energy[1:] > 0.5
    assert 0 < exposed.sum() < exposed.size
    assert_array_equal(np.isnan(cube.rate[:, 0, 0]), ~exposed)
    assert_array_equal(np.isnan(cube.rate_error[:, 3, 3]), ~exposed)
    # Exposed and empty is zero.
    assert np.any(cube.rate[-1] == 0)
