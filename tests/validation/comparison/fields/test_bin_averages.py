"""Averages over bins from values at their centres, and back, against exact integrals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.cubes import AXES, TRUTH, at_centers, gradient

from simbg.validation.comparison.fields.bin_averages import bin_averages, center_values


@pytest.mark.parametrize("mean", ["logarithmic", "arithmetic"])
def test_centres_and_averages_from_neighbours(mean):
    """Against exact integrals: what is left of 9 % (47 %) at two bins a decade."""
    average = TRUTH.cube(AXES).rate * gradient(AXES.fov_lon_center[:, None])
    center = at_centers(mean).rate
    for found, right in (
        (center_values(AXES, average, mean), center),
        (bin_averages(AXES, center, mean), average),
    ):
        # Cubic terms are left out: most at the ends, where the parabola is that of the next bin.
        assert_allclose(found, right, rtol=6e-3)
        assert np.sqrt(np.mean((found / right - 1) ** 2)) < 3e-3
    assert np.abs(center / average - 1).min() > 0.04


def test_values_of_a_damaged_file_change_bins_beside_them():
    """Without a warning of numpy, too."""
    average = TRUTH.cube(AXES).rate
    damaged = average.copy()
    damaged[4, 4, 4], damaged[4, 4, 6] = 1e290, 1e-290
    found, right = bin_averages(AXES, damaged), bin_averages(AXES, average)
    assert_allclose(found[:, :2], right[:, :2], rtol=1e-12)
    assert np.all(center_values(AXES, damaged) > 0)
