"""The prior of `spline`: precision, covariance and derivatives agree with each other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.smooth_fields import field_axes

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.penalty import Penalty


@pytest.mark.parametrize("shape", [(8, 10, 9), (1, 6, 5), (2, 3, 3), (1, 1, 1)])
def test_precision_is_the_inverse_of_the_covariance(shape):
    penalty = Penalty.of(Basis.of(field_axes(*shape)))
    strength = np.random.default_rng(1).uniform(-2, 8, len(penalty.terms))
    precision, covariance, _ = penalty.at(strength)
    unity = np.broadcast_to(np.eye(precision.shape[1]), precision.shape)
    assert_allclose(precision @ covariance, unity, atol=1e-6)
    assert np.linalg.eigvalsh(precision).min() > 0


def test_derivatives_are_finite_differences():
    penalty = Penalty.of(Basis.of(field_axes(6, 8, 7)))
    strength = np.random.default_rng(2).uniform(0, 5, len(penalty.terms))
    derivative = penalty.at(strength)[2]
    for j, term in enumerate(penalty.terms):
        step = 1e-4 * (np.arange(strength.size) == j)
        difference = (penalty.at(strength + step)[0] - penalty.at(strength - step)[0]) / 2e-4
        scale = np.abs(difference).max()
        assert_allclose(derivative[j], difference[term.k], atol=1e-6 * scale, err_msg=term.name)
