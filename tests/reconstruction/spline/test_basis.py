"""The functions of `spline`: orthogonal, few where bins are few, and right in products."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.smooth_fields import expected_counts, field_axes

from simbg.reconstruction.spline.basis import Basis

SHAPES = [(20, 30, 24), (1, 1, 1), (1, 6, 5), (2, 3, 3), (3, 1, 5), (9, 1, 1)]
OTHERS = ("linear", "elliptic", "angular")


@pytest.mark.parametrize("shape", SHAPES)
def test_functions_are_orthogonal(shape):
    axes = field_axes(*shape)
    basis = Basis.of(axes)
    parts = [basis.space[:, np.isin(basis.kind, (k, *OTHERS))] for k in ("constant", "square")]
    for functions in (basis.energy, *parts):
        gram = functions.T @ functions / len(functions)
        assert_allclose(gram, np.eye(len(gram)), atol=1e-9)
    assert basis.shape == (basis.kind.size, basis.energy_roughness.size)
    r = np.hypot(axes.fov_lon_center[:, None], axes.fov_lat_center).ravel()
    low, splines = (
        basis.space[:, np.isin(basis.kind, names)] for names in (("constant", "square"), "radial")
    )
    assert_allclose((low.T * (r / (r.max() or 1)) ** 4) @ splines / r.size, 0, atol=1e-9)
    for square in basis.space[:, basis.kind == "square"].T:
        assert_allclose(square, r**2 * (square[0] / r[0] ** 2), atol=1e-12)


def test_a_gaussian_times_a_curved_power_law_costs_little():
    """Its logarithm lies in the functions of roughness 1 or less, to rounding."""
    axes = field_axes(12, 16, 14)
    basis = Basis.of(axes)
    counts = expected_counts(axes, 1.0, sigma=(2.0, 2.6), peak=(0.4, -0.3))
    log_rate = np.log(counts / axes.volume) - 0.1 * np.log(axes.energy_center)[:, None, None] ** 2
    smooth = (basis.space_roughness <= 1) & (basis.kind != "radial")
    energy, space = basis.energy[:, basis.energy_roughness <= 1], basis.space[:, smooth]
    whole = np.einsum("pk,ei->epki", space, energy).reshape(log_rate.size, -1)
    theta = np.linalg.lstsq(whole, log_rate.ravel(), rcond=None)[0]
    assert_allclose(whole @ theta, log_rate.ravel(), atol=1e-9)


def test_products_are_those_of_the_whole_matrix():
    axes = field_axes(3, 4, 5)
    basis = Basis.of(axes)
    rng = np.random.default_rng(0)
    whole = np.einsum("pk,ei->epki", basis.space, basis.energy).reshape(3 * 20, -1)
    weight, theta = rng.random((3, 20)), rng.normal(size=whole.shape[1])
    root = rng.normal(size=(whole.shape[1], 3))
    assert_allclose(basis.log_rate(theta).ravel(), whole @ theta, atol=1e-12)
    assert_allclose(basis.project(weight), whole.T @ weight.ravel(), atol=1e-12)
    gram = (whole * weight.reshape(-1, 1)).T @ whole
    assert_allclose(basis.gram(weight), gram, atol=1e-11)
    expected = ((whole @ root) ** 2).sum(axis=1)
    assert_allclose(basis.variance(root @ root.T).ravel(), expected, rtol=1e-9)
