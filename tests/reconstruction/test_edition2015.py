"""`default` and `michi` against 2015's algorithms, from the fact sheet, in plain loops."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from support.runs import BLOB_AXES, blob_runs, counts_and_livetime, stack_of

from simbg.axes import Axes, edition2015_axes
from simbg.reconstruction.edition2015 import Default, Michi, smooth, smoothing_variance

# ROOT's K5A.
KERNEL = [[0, 0, 1, 0, 0], [0, 2, 2, 2, 0], [1, 2, 5, 2, 1], [0, 2, 2, 2, 0], [0, 0, 1, 0, 0]]


def smooth_2015(cube, counts):
    """Convolve image by image as often as the counts say, and scale each back to its sum."""
    number = 5
    if counts.sum() >= 1e5:
        number = 4
    if counts.sum() >= 1e6:
        number = 3
    result = np.empty_like(cube)
    for i, image in enumerate(cube):
        smoothed = image
        for _ in range(number):
            smoothed = ndimage.convolve(smoothed, np.array(KERNEL, float))
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
    cube = Default().reconstruct(blob_runs(**CASES[case]), BLOB_AXES)
    assert_allclose(cube.rate * 1e6, default_2015(blob_runs(**CASES[case]), BLOB_AXES), rtol=1e-12)
    if case == "an empty image":
        assert_array_equal(cube.rate[3], 1e-16)


@pytest.mark.parametrize("case", CASES)
def test_michi_is_that_of_2015(case):
    cube = Michi().reconstruct(blob_runs(**CASES[case]), BLOB_AXES)
    assert_allclose(cube.rate, michi_2015(blob_runs(**CASES[case]), BLOB_AXES), rtol=1e-12)


def test_control_the_two_methods_differ():
    """Their levels do by a factor of a million."""
    cubes = [method().reconstruct(blob_runs(30_000), BLOB_AXES) for method in (Default, Michi)]
    assert cubes[0].rate.min() == 1e-16
    assert cubes[1].rate.min() == 1e-10
    # Smoothing images of one livetime each makes no other difference.
    above = cubes[1].rate > 1e-10
    assert_allclose(cubes[0].rate[above], cubes[1].rate[above], rtol=1e-12)


def test_michi_starts_at_the_lowest_threshold():
    axes = Michi().default_axes(list(blob_runs(4, thresholds=(0.9, 0.3, 0.5))))
    assert axes.shape == edition2015_axes(3).shape
    assert_allclose(axes.energy[[0, -1]], [0.3, 80.0], rtol=1e-14)
    unknown = Michi().default_axes(list(blob_runs(4, thresholds=(0.0, 0.3))))
    assert unknown.energy[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("counts", "number"),
    [(99, 5), (99_999, 5), (100_000, 4), (999_999, 4), (1_000_000, 3), (10**9, 3)],
)
def test_number_of_passes(counts, number):
    """Seen at one pixel: it spreads as it does after so many."""
    image = np.zeros(BLOB_AXES.shape)
    image[3, 12, 8] = counts
    stack = stack_of(image, BLOB_AXES)
    found = Default().estimate(stack).rate * stack.livetime * BLOB_AXES.flat_volume
    expected = smooth(image, BLOB_AXES, number)
    assert_allclose(found[3][expected[3] > 1e-6], expected[3][expected[3] > 1e-6], rtol=1e-12)


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
            expected[i, j] += KERNEL[a][b] * image[mirrored(i + a - 2, 6), mirrored(j + b - 2, 9)]
    assert_allclose(smooth(image[None], axes, 1)[0], expected / 25, rtol=1e-13)


@pytest.mark.parametrize("passes", [3, 4, 5])
def test_smoothing_keeps_integrals(passes):
    cube = np.random.default_rng(2).poisson(0.3, BLOB_AXES.shape).astype(float)
    cube[:, 0, 0] += 50  # in a corner
    smoothed = smooth(cube, BLOB_AXES, passes)
    assert_allclose(smoothed.sum(axis=(1, 2)), cube.sum(axis=(1, 2)), rtol=1e-12)
    assert smoothed.max() < 25
    uneven = Axes(BLOB_AXES.energy, np.cumsum(1 + np.arange(25.0)) / 100, BLOB_AXES.fov_lat)
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
