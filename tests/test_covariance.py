"""Covariances of a cube, compared with the full matrix of all bins."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.covariance import RateCovariance
from simbg.cube import BackgroundCube

AXES = Axes([0.1, 1, 10, 100], [-2, 0, 1, 2], [-1, 0, 1])
RNG = np.random.default_rng(8)


def random_part(share=None):
    own = RNG.random(AXES.shape)
    functions = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2, 4))
    return RateCovariance(*functions, RNG.normal(size=(4, 2, 5)), own, share)


def full(part):
    """The covariance matrix of ln rate of all bins."""
    whole = np.einsum("ei,xyk->exyki", part.energy, part.space).reshape(18, 8)
    root = whole @ part.factor.reshape(8, 5)
    share = np.ones(18) if part.share is None else part.share.ravel()
    return (root @ root.T + np.diag(part.own.ravel())) * np.outer(share, share)


def cube_with(*parts):
    return BackgroundCube(AXES, RNG.random(AXES.shape), covariance=parts)


@pytest.mark.parametrize("bins", [slice(0, 3), slice(1, 3)], ids=["all", "some energies"])
def test_error_of_a_sum_is_that_of_the_full_matrix(bins):
    cube = cube_with(random_part(RNG.random(AXES.shape)), random_part())
    weight = RNG.random(AXES.shape) * np.isin(np.arange(3), np.arange(3)[bins])[:, None, None]
    parts = (weight * cube.rate).ravel()
    expected = sum(parts @ full(part) @ parts for part in cube.covariance) ** 0.5
    assert_allclose(cube.error_of_sum(weight), expected, rtol=1e-12)
    assert_allclose(cube[bins].error_of_sum(weight[bins]), expected, rtol=1e-12)


@pytest.mark.parametrize("kept", ["energy", "pixel"])
def test_covariance_of_sums_with_a_given_total_is_that_of_the_full_matrix(kept):
    part, parts = replace(random_part(RNG.random(AXES.shape)), own=None), RNG.random(AXES.shape)
    whole = full(replace(part, own=np.zeros(AXES.shape))) * np.outer(parts, parts)
    sums = np.repeat(np.eye(3), 6, axis=1) if kept == "energy" else np.tile(np.eye(6), 3)
    deviation = sums - np.outer(sums @ parts.ravel() / parts.sum(), np.ones(18))
    root, own = part.roots_of_sums(parts, kept)
    assert_allclose(root @ root.T, deviation @ whole @ deviation.T, rtol=1e-10, atol=1e-12)
    assert_allclose(own, 0)


@pytest.mark.parametrize("kept", ["energy", "pixel"])
def test_independent_variance_of_sums_with_a_given_total(kept):
    part, parts = random_part(), RNG.random(AXES.shape)
    sums = np.repeat(np.eye(3), 6, axis=1) if kept == "energy" else np.tile(np.eye(6), 3)
    deviation = sums - np.outer(sums @ parts.ravel() / parts.sum(), np.ones(18))
    expected = deviation**2 @ (parts**2 * part.own).ravel()
    assert_allclose(part.roots_of_sums(parts, kept)[1], expected, rtol=1e-10)


def test_errors_of_a_spectrum_are_those_of_sums():
    cube = replace(cube_with(random_part()), rate_error=np.ones(AXES.shape))
    one = np.arange(3)[:, None, None] == 1
    assert_allclose(cube.spectrum_error[1], cube.error_of_sum(one * AXES.volume), rtol=1e-12)


def test_independent_bins_and_bins_without_rate():
    rate = RNG.random(AXES.shape)
    rate[0, 0, 0] = np.nan
    cube = BackgroundCube(AXES, rate, 0.1 * rate)
    assert_allclose(cube.error_of_sum(2.0), 0.2 * np.sqrt(np.nansum(rate**2)), rtol=1e-12)
    known = replace(cube_with(random_part()), rate=np.nan_to_num(rate))
    missing = replace(known, rate=rate)
    assert_allclose(missing.error_of_sum(2.0), known.error_of_sum(2.0), rtol=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="rate_error"):
        BackgroundCube(AXES, np.ones(AXES.shape)).error_of_sum(1.0)
    with pytest.raises(ValueError, match="covariance"):
        BackgroundCube(AXES, np.ones(AXES.shape), covariance=(random_part()[:2],))
