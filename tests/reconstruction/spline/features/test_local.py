"""Local features of `spline`: found where they are, and free of cost where they are not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.smooth_fields import expected_counts, field_axes, stack_with

from simbg.reconstruction.spline.method import Spline

AXES = field_axes(5, 24, 22)
X, Y = AXES.fov_lon_center[:, None], AXES.fov_lat_center
SMOOTH = expected_counts(AXES, 3e5)
# Relative difference from the smooth field: a Gaussian, and an ellipse with a soft edge.
SHAPES = {
    "gaussian": 0.6 * np.exp(-0.5 * ((X - 1.0) ** 2 + (Y + 0.8) ** 2) / 0.4**2),
    "ellipse": -0.5 * np.exp(-(((X + 1.2) ** 2 / 0.8**2 + (Y - 0.5) ** 2 / 0.5**2) ** 2)),
}


def reconstructed(expected, seed):
    model = Spline().model(stack_with(AXES, np.random.default_rng(seed).poisson(expected)))
    return model, model.cube.rate * model.cube.livetime * AXES.volume


def distance(predicted, expected):
    """Σ (m − λ)² / λ; raw counts have one for each bin."""
    return np.sum((predicted - expected) ** 2 / expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_local_feature_is_rebuilt(shape):
    expected = SMOOTH * (1 + SHAPES[shape])
    without = distance(SMOOTH * expected.sum() / SMOOTH.sum(), expected)
    model, predicted = reconstructed(expected, 5)
    assert model.cube.meta["N_LOCAL"] >= 1
    assert "local features at" in model.cube.meta["FIT"]
    # Smooth functions alone reach 150 and more; a fit that knows the shape has about 20.
    assert distance(predicted, expected) < 70 < 0.1 * without


def test_errors_cover_a_local_feature():
    """Pulls of the sum over the feature, 24 draws: mean 0, width 1, to 3.5 standard errors."""
    expected = SMOOTH * (1 + SHAPES["gaussian"])
    inside = np.broadcast_to(SHAPES["gaussian"] > 0.1, AXES.shape)
    pulls = []
    for seed in range(24):
        model, predicted = reconstructed(expected, seed)
        exposure = np.where(inside, model.cube.livetime * AXES.volume, 0)
        pulls.append((predicted - expected)[inside].sum() / model.cube.error_of_sum(exposure))
    assert abs(np.mean(pulls)) < 3.5 / np.sqrt(24) * np.std(pulls, ddof=1) + 0.2
    assert_allclose(np.std(pulls, ddof=1), 1, atol=3.5 / np.sqrt(46))


@pytest.mark.parametrize("n_events", [30, 1e4, 1e6])
def test_nothing_is_found_in_smooth_counts(n_events):
    """0.1 % of such fields are expected to have one; see `NEEDED`."""
    for seed in range(4):
        model, _ = reconstructed(expected_counts(AXES, n_events), seed)
        assert model.cube.meta["N_LOCAL"] == 0
