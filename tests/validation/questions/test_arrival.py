from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from support.cubes import measured
from support.draws import TRUTH

from simbg.axes import Axes
from simbg.validation.questions.arrival import measure_arrival

AXES = Axes(np.geomspace(0.1, 50, 13), np.linspace(-3, 3, 25), np.linspace(-3, 3, 25))
MAP = Axes(np.geomspace(0.5, 20, 6), np.linspace(-1.5, 1.5, 16), np.linspace(-1.5, 1.5, 16))
LIVETIME = 2e4
TRUE = replace(TRUTH.cube(AXES, livetime=LIVETIME), ontime=np.full(AXES.shape, LIVETIME / 0.9))


def arrival(cubes, livetime=LIVETIME, **options):
    """Arrival of cubes that were made from this livetime."""
    time = np.full(AXES.shape, livetime)
    true = replace(TRUE, livetime=time, ontime=time / 0.9)
    expected = TRUTH.cube(MAP, livetime=livetime).counts
    return measure_arrival(cubes, true, expected, MAP, livetime / 0.9, **options)


def raw_cubes(rng, number, livetime=LIVETIME, scale=1.0):
    """Raw counts, and their rates times ``scale``."""
    cubes = (measured(rng, TRUTH, AXES, livetime) for _ in range(number))
    return [replace(cube, rate=scale * cube.rate) for cube in cubes]


def test_true_cube():
    """The method adds nothing; bins of half a decade's fifth and 0.25 deg cost less than 6 %."""
    found = arrival([TRUE, TRUE])
    assert_allclose(found.method, 1, rtol=1e-12)
    expected = TRUTH.cube(MAP, livetime=LIVETIME).counts
    assert_allclose(found.expected.sum(), expected.sum(), rtol=1e-12)
    assert 1e-4 < np.abs(found.binning - 1).max() < 0.06


def test_a_norm_is_what_the_method_adds():
    found = arrival([replace(TRUE, rate=f * TRUE.rate) for f in (1.04, 1.06, 1.05)])
    assert_allclose(found.method.mean(axis=0), 1.05, rtol=1e-12)
    assert_allclose(found.method_error, 0.01 / np.sqrt(3), rtol=1e-9)
    assert_allclose(found.ratio, 1.05 * found.binning, rtol=1e-12)


NORMS = np.random.default_rng(72).normal(1, 0.01, (60, 20))


def test_what_the_method_adds_is_judged():
    """Norms that scatter by 1 %: none is found unless it is too large, here by 5 %."""
    found = [arrival([replace(TRUE, rate=f * n * TRUE.rate) for n in NORMS[0]]) for f in (1, 1.05)]
    assert [len(one.findings()) for one in found] == [0, 5 * 4]
    assert found[0].pvalue() > 0.1
    assert found[1].pvalue() < 1e-6


def test_at_the_requirement():
    """60 sets of norms of 1.01: all cells are the same, so Šidák is conservative."""
    wrong = 0
    for norms in NORMS:
        cubes = [replace(TRUE, rate=1.01 * n * TRUE.rate) for n in norms[:6]]
        wrong += bool(arrival(cubes).findings(0.01, 0.05))
    assert stats.binomtest(wrong, 60, 0.05, "greater").pvalue > 1e-4


@pytest.mark.parametrize("livetime", [LIVETIME / 10, LIVETIME, LIVETIME * 30])
@pytest.mark.parametrize("number", [4, 12])
def test_noisy_and_right_is_not_biased(livetime, number):
    """Raw counts from few to many a bin: p-values below 0.1 and 0.01 without any allowance."""
    rng = np.random.default_rng(73)
    p = np.array(
        [arrival(raw_cubes(rng, number, livetime), livetime).pvalue(0.0) for _ in range(20)]
    )
    for level in (0.1, 0.01):
        wrong = int(np.sum(p < level))
        assert stats.binomtest(wrong, p.size, level, "greater").pvalue > 1e-4


def test_bias_of_noisy_cubes_is_found():
    """A norm of 1.1, although single cubes lose up to half of the counts because of empty bins."""
    rng = np.random.default_rng(74)
    found = arrival(raw_cubes(rng, 20, scale=1.1))
    first = found.findings()[0]
    assert abs(first.relative - 0.1) < 4 * first.error
    assert arrival(raw_cubes(rng, 20)).findings() == []


def test_empty_bins_that_have_events_are_a_bias():
    """A method that writes 0 in every third row, where raw counts have 100 events."""
    rate = TRUE.rate * np.ones(AXES.shape)
    rate[:, :, ::3] = 0
    found = arrival([replace(TRUE, rate=rate * n) for n in NORMS[0, :4]], 100 * LIVETIME)
    assert found.findings()[0].relative < -0.25
    # Those between others along the energy are filled by gammapy: nothing is lost.
    rate = TRUE.rate * np.ones(AXES.shape)
    rate[1:-1:2] = 0
    found = arrival([replace(TRUE, rate=rate * n) for n in NORMS[0, :4]], 1e4 * LIVETIME)
    assert found.findings(0.05) == []


def test_rates_that_are_wrong_between_the_bins():
    """Rates that alternate by ±30 %: their mean is right, that of their logarithms is not."""
    wave = 1 + 0.3 * (-1.0) ** np.add.outer(np.arange(24), np.arange(24))
    norms = NORMS[0, :6] ** 0.1
    found = arrival([replace(TRUE, rate=TRUE.rate * wave * n) for n in norms], 30 * LIVETIME)
    assert_allclose(found.linear.mean(axis=0), 1, atol=0.01)
    assert min(finding.relative for finding in found.findings()) < -0.02


def test_the_noise_free_cube_has_no_error():
    """A method that is linear in the counts: its bias is known, whatever its noise is."""
    cubes = raw_cubes(np.random.default_rng(75), 3)
    assert arrival(cubes, noise_free=TRUE).pvalue(0.0) == 1
    wrong = arrival(cubes, noise_free=replace(TRUE, rate=1.02 * TRUE.rate))
    assert wrong.pvalue() < 1e-100
    assert_allclose(wrong.findings()[0].relative, 0.02, rtol=1e-9)
    assert len(wrong.losses()) == len(arrival(cubes).losses()) > 0


def test_coarse_bins_cost_more_and_are_not_the_method():
    coarse = Axes(AXES.energy[::4], AXES.fov_lon[::6], AXES.fov_lat[::6])
    true = TRUTH.cube(coarse, livetime=LIVETIME)
    true = replace(true, ontime=true.livetime / 0.9)
    found = measure_arrival(
        [true], true, TRUTH.cube(MAP, livetime=LIVETIME).counts, MAP, LIVETIME / 0.9
    )
    assert np.abs(found.binning - 1).max() > 2 * np.abs(arrival([TRUE]).binning - 1).max()
    assert_allclose(found.method, 1, rtol=1e-12)
    assert np.isnan(found.method_error).all()


def test_losses_of_single_cubes():
    """Counts that are right in each bin: at high energies next to nothing is predicted."""
    cubes = raw_cubes(np.random.default_rng(71), 10)
    found = arrival(cubes, interpolate_missing=False)
    inside = AXES.slice_by_energy(0.5, 20)
    in_bins = np.mean([cube.counts[inside].sum() for cube in cubes])
    assert abs(in_bins / (TRUE.rate * AXES.volume * LIVETIME)[inside].sum() - 1) < 0.05
    last = found.losses()[-1]
    assert last.open
    assert last.ratio < 0.3
    assert last.empty > 0.5
    assert_allclose(
        last.counts,
        (1 - last.ratio) * found.expected[found.energy[:-1] >= last.low].sum(),
        rtol=0.2,
    )
    assert str(last) in str(found)
    # Empty bins between others are filled along the energy: more counts are predicted.
    assert arrival(cubes).losses()[-1].counts < last.counts
    # With many events nothing is lost, and one cube is enough to report losses.
    many = raw_cubes(np.random.default_rng(76), 2, 1000 * LIVETIME)
    assert arrival(many, 1000 * LIVETIME).losses() == []
    assert arrival(cubes[:1], interpolate_missing=False).losses()[-1].ratio < 0.3
    with pytest.raises(ValueError, match="replicates"):
        arrival(cubes[:1]).findings()
