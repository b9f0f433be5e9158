from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, stats
from support.draws import RIGHT, raw, replicates

from simbg.validation.questions.honesty import measure_honesty


@pytest.mark.parametrize("method", RIGHT)
def test_right_methods_are_honest(method):
    """Not too many p-values below 0.1, 0.05, 0.01 and 0.001 (binomial at 1e-4)."""
    rng = np.random.default_rng(41)
    number = 2000 if method == "raw counts" else 300
    p = [measure_honesty(replicates(RIGHT[method], rng)).bins.pvalue for _ in range(number)]
    for level in (0.1, 0.05, 0.01, 0.001):
        wrong = int(np.sum(np.array(p) < level))
        assert stats.binomtest(wrong, len(p), level, "greater").pvalue > 1e-4
    assert stats.binomtest(int(np.sum(np.array(p) < 0.5)), len(p), 0.5).pvalue > 1e-9


@pytest.mark.parametrize("method", RIGHT)
def test_errors_that_are_10_percent_too_small(method):
    ours = replicates(RIGHT[method], np.random.default_rng(42), 400)
    honesty = measure_honesty(replace(ours, errors=0.9 * ours.errors))
    assert honesty.stated
    for ratio in (honesty.bins, honesty.truth):
        assert abs(ratio.ratio - 0.9) < 4 * ratio.error
        assert ratio.error < 0.04
    if method == "raw counts":
        assert honesty.bins.pvalue < 1e-6


def test_bias_shows_in_the_distance_to_the_truth_alone():
    honesty = measure_honesty(replicates(raw, np.random.default_rng(43), 50, scale=1.1))
    assert honesty.truth.ratio < 0.7
    # The scatter of 1.1 n is 1.1 √n, and the stated error √n.
    assert abs(honesty.bins.ratio - 1 / 1.1) < 4 * honesty.bins.error


def test_no_errors_are_those_of_the_expected_counts():
    ours = replace(replicates(raw, np.random.default_rng(44), 50), errors=None)
    honesty = measure_honesty(ours)
    assert not honesty.stated
    assert abs(honesty.bins.ratio - 1) < 4 * honesty.bins.error


def test_correlated_bins_show_in_sums():
    """Errors of smoothed bins that are right, bin by bin, are too small for sums."""
    ours = replicates(raw, np.random.default_rng(45), 100)
    smooth = ours.expected * ndimage.gaussian_filter(ours.predicted / ours.expected, (0, 0, 1, 1))
    errors = np.broadcast_to(smooth.std(axis=0, ddof=1), smooth.shape)
    honesty = measure_honesty(replace(ours, predicted=smooth, errors=errors))
    assert abs(honesty.bins.ratio - 1) < 1e-6
    whole = honesty.sums[0]
    assert whole.ratio < 1 - 4 * whole.error
    independent = measure_honesty(ours).sums
    assert len(independent) == 1 + 3 + 4
    assert all(abs(ratio.ratio - 1) < 4 * ratio.error for ratio in independent)


def test_neither_noise_nor_errors():
    ours = replicates(raw, np.random.default_rng(46), 5)
    same = np.array([ours.expected] * 5)
    none, wrong = (
        measure_honesty(replace(ours, predicted=same, errors=e)) for e in (0 * same, 0 * same + 1)
    )
    assert none.bins.pvalue == 1
    assert wrong.bins.pvalue == 0
    assert np.isinf(wrong.bins.ratio)
