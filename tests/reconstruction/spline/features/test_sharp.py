"""Sharp features of `spline`: found where they are, and free of cost where they are not."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.smooth_fields import expected_counts, field_axes, stack_with

from simbg.reconstruction.spline.features.sharp import sharp_factor
from simbg.reconstruction.spline.method import Spline

AXES = field_axes(6, 20, 18)
OFFSET = np.hypot(AXES.fov_lon_center[:, None], AXES.fov_lat_center)
DEAD = np.s_[:, 4:8, 10:14]


@pytest.mark.parametrize("n_events", [0, 1e2, 1e4, 1e6])
def test_nothing_is_found_in_smooth_counts(n_events):
    """Twelve draws; 2 of other 1,800, both of 100 events, had a false alarm."""
    rate = expected_counts(AXES, n_events)
    for seed in range(12):
        factor = sharp_factor(np.random.default_rng(seed).poisson(rate), rate, OFFSET)
        assert_array_equal(factor.factor, 1)
        assert_array_equal(factor.variance, 0)


@pytest.mark.parametrize("n_events", [1e4, 1e6])
def test_a_dead_part_is_found(n_events):
    rate = expected_counts(AXES, n_events)
    counts = np.random.default_rng(1).poisson(rate)
    counts[DEAD] = 0
    factor = sharp_factor(counts, rate, OFFSET)
    inside = np.zeros(AXES.shape, bool)
    inside[DEAD] = True
    assert factor.found
    assert (factor.factor > 0).all()
    assert factor.factor[inside].mean() < 0.15
    # Elsewhere it is the same: the prediction has too few events there, as its sum is kept.
    outside, weights = factor.factor[~inside], rate[~inside]
    mean = np.average(outside, weights=weights)
    assert abs(mean / (rate.sum() / rate[~inside].sum()) - 1) < 0.02
    assert np.average((outside / mean - 1) ** 2, weights=weights) < 0.05**2
    assert factor.n_sharp > 0.7 * inside.sum()


def test_the_edge_of_a_trigger_zone_is_found():
    """A circle with a tenth of the rate outside of it, at low energies only."""
    rate = expected_counts(AXES, 1e5)
    outside = np.broadcast_to(OFFSET > 2, AXES.shape) & (np.arange(6) < 3)[:, None, None]
    truth = np.where(outside, 0.1 * rate, rate)
    counts = np.random.default_rng(4).poisson(truth)
    predicted = rate * sharp_factor(counts, rate, OFFSET).factor
    predicted *= truth.sum() / predicted.sum()
    # Raw counts lose 2,160, one for each bin, and the smooth rate itself 40,000.
    assert np.sum((predicted - truth) ** 2 / truth) < 200


def test_a_step_in_the_spectrum_is_found():
    rate = expected_counts(AXES, 1e5)
    counts = np.random.default_rng(2).poisson(
        rate * np.where(np.arange(6) < 2, 0.4, 1)[:, None, None]
    )
    factor = sharp_factor(counts, rate, OFFSET).factor
    step = factor[0].mean() / factor[2].mean()
    # 0.4, to the errors of some 2e4 events.
    assert abs(step / 0.4 - 1) < 0.05


def test_a_dead_part_is_rebuilt():
    """Σ (m − λ)² / λ with a hole; raw counts lose 2,000, and smoothing by far more."""
    expected = expected_counts(AXES, 1e5, peak=(0.5, 0.2))
    expected[DEAD] = 0
    stack = stack_with(AXES, np.random.default_rng(3).poisson(expected))
    model = Spline().model(stack)
    predicted = model.cube.rate * model.cube.livetime * AXES.volume
    lit = expected > 0
    assert np.sum((predicted - expected)[lit] ** 2 / expected[lit]) < 150
    assert predicted[~lit].sum() < 20
    assert model.cube.meta["N_SHARP"] > 0
    assert (model.cube.rate > 0).all()
