import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.cubes import measured
from support.draws import AXES, TRUTH, expected_counts, raw

from simbg.validation.questions.replicates import Replicates


def test_deviations_of_raw_counts_have_variance_one():
    """Each of 90 bins, 400 replicates: mean square 1 within 5 σ of √(2/36000) (many counts)."""
    expected = expected_counts(events=3e6)
    counts, _ = raw(np.random.default_rng(1), 400, expected)
    deviations = Replicates(AXES, expected, counts).deviations
    assert_allclose(np.mean(deviations**2), 1, atol=5 * np.sqrt(2 / deviations.size))


def test_bins_without_exposure_are_not_used():
    expected = expected_counts()
    expected[0, :2] = 0
    counts, errors = raw(np.random.default_rng(1), 5, expected)
    counts[:, 0, :2] = np.nan
    replicates = Replicates(AXES, expected, counts, errors)
    assert replicates.weight.size == expected.size - 2 * AXES.shape[2]
    assert replicates.deviations.shape == (5, replicates.weight.size)


def test_of_cubes():
    rng, livetime = np.random.default_rng(2), 3e4
    cubes = [measured(rng, TRUTH, AXES, livetime) for _ in range(5)]
    true = TRUTH.cube(AXES, zenith=20.0, livetime=livetime)
    replicates = Replicates.of_cubes(true, cubes, np.array([cube.counts for cube in cubes]))
    assert_allclose(replicates.expected, true.counts, rtol=1e-12)
    assert_allclose(replicates.predicted[3], cubes[3].counts, rtol=1e-12, atol=1e-12)
    assert_allclose(replicates.errors[3], np.sqrt(cubes[3].counts), rtol=1e-12)


def test_what_cannot_be_judged_is_refused():
    expected = expected_counts()
    counts, errors = raw(np.random.default_rng(1), 4, expected)
    with pytest.raises(ValueError, match="replicates"):
        Replicates(AXES, expected, counts[1:])
    with pytest.raises(ValueError, match="errors"):
        Replicates(AXES, expected, counts, errors[:, 1:])
    with pytest.raises(ValueError, match="expected counts"):
        Replicates(AXES, expected[1:], counts)
    counts[2, 1, 3, 2] = np.nan
    with pytest.raises(ValueError, match="predicted"):
        Replicates(AXES, expected, counts)
