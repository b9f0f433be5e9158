from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose
from support.cubes import measured
from support.draws import TRUTH

from simbg.axes import Axes
from simbg.validation.questions.arrival import measure_arrival

AXES = Axes(np.geomspace(0.1, 50, 13), np.linspace(-3, 3, 25), np.linspace(-3, 3, 25))
MAP = Axes(np.geomspace(0.5, 20, 6), np.linspace(-1.5, 1.5, 13), np.linspace(-1.5, 1.5, 13))
LIVETIME = 2e4
TRUE = TRUTH.cube(AXES, zenith=20.0, livetime=LIVETIME)
EXPECTED = TRUTH.cube(MAP, zenith=20.0, livetime=LIVETIME).counts
# As `measured` counts them.
COUNTED = TRUTH.integrate(AXES) * LIVETIME


def arrival(cubes, **options):
    true = replace(TRUE, ontime=TRUE.livetime / 0.9)
    cubes = [replace(cube, ontime=cube.livetime / 0.9) for cube in cubes]
    return measure_arrival(cubes, true, EXPECTED, MAP, LIVETIME / 0.9, **options)


def test_true_cube():
    """The method adds nothing; bins of half a decade's fifth and 0.25 deg cost less than 6 %."""
    found = arrival([TRUE, TRUE])
    assert_allclose(found.method, 1, rtol=1e-12)
    assert_allclose(found.expected.sum(), EXPECTED.sum(), rtol=1e-12)
    assert 1e-4 < np.abs(found.binning - 1).max() < 0.06


def test_a_norm_is_what_the_method_adds():
    found = arrival([replace(TRUE, rate=f * TRUE.rate) for f in (1.04, 1.06, 1.05)])
    assert_allclose(found.method.mean(axis=0), 1.05, rtol=1e-12)
    assert_allclose(found.method_error, 0.01 / np.sqrt(3), rtol=1e-9)
    assert_allclose(found.ratio, 1.05 * found.binning, rtol=1e-12)


def test_what_the_method_adds_is_judged():
    """Norms that scatter by 1 %: none is found unless it is too large, here by 5 %."""
    norms = np.random.default_rng(72).normal(1, 0.01, (60, 20))
    counts = [
        len(arrival([replace(TRUE, rate=f * n * TRUE.rate) for n in norms[0]]).findings())
        for f in (1.0, 1.05)
    ]
    assert counts == [0, 5 * 4]
    # At the requirement, in 60 sets: binomial at 1e-4, all cells being the same.
    method = 1.01 * norms[..., None, None] * np.ones((5, 4))
    empty = arrival([TRUE])
    wrong = sum(bool(replace(empty, method=m).findings(0.01, 0.05)) for m in method)
    assert wrong <= 11


def test_coarse_bins_cost_more_and_are_not_the_method():
    coarse = Axes(AXES.energy[::4], AXES.fov_lon[::6], AXES.fov_lat[::6])
    true = TRUTH.cube(coarse, zenith=20.0, livetime=LIVETIME)
    true = replace(true, ontime=true.livetime / 0.9)
    found = measure_arrival([true], true, EXPECTED, MAP, LIVETIME / 0.9)
    assert np.abs(found.binning - 1).max() > 2 * np.abs(arrival([TRUE]).binning - 1).max()
    assert_allclose(found.method, 1, rtol=1e-12)
    assert np.isnan(found.method_error).all()


def test_empty_bins_do_not_arrive():
    """Counts that are right in each bin: at high energies next to nothing is predicted."""
    cube = measured(np.random.default_rng(71), TRUTH, AXES, LIVETIME)
    found = arrival([cube], interpolate_missing=False)
    inside = AXES.slice_by_energy(0.5, 20)
    in_bins = cube.counts[inside].sum() / COUNTED[inside].sum()
    assert abs(in_bins - 1) < 0.05
    assert np.all(found.method[0, 0] > 0.5)
    assert np.all(found.method[0, -1, :2] < 0.05)
    cubes = [measured(np.random.default_rng(k), TRUTH, AXES, LIVETIME) for k in range(20)]
    worst, *_ = arrival(cubes, interpolate_missing=False).findings()
    assert worst.relative < -0.1
    # Empty bins between others are filled along the energy: most of the counts arrive.
    filled = arrival([cube]).method[0]
    assert np.all((filled > 0.2) & (filled < 3))
