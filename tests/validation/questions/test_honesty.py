import re
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
    number = 1000 if method == "raw counts" else 300
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


@pytest.mark.parametrize("method", RIGHT)
@pytest.mark.parametrize("number", [4, 20])
def test_errors_within_the_tolerance_are_right(method, number):
    """Errors × 0.925 and × 1.075, the borders: p-values below 0.05 and 0.01, binomial at 1e-4."""
    rng = np.random.default_rng(47)
    for factor in (0.925, 1.075):
        draws = (replicates(RIGHT[method], rng, number) for _ in range(100))
        p = [measure_honesty(replace(d, errors=factor * d.errors)).pvalue for d in draws]
        for level in (0.05, 0.01):
            wrong = int(np.sum(np.array(p) < level))
            assert stats.binomtest(wrong, len(p), level, "greater").pvalue > 1e-4


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.2])
def test_wrong_errors_are_said(factor):
    ours = replicates(raw, np.random.default_rng(48), 400)
    honesty = measure_honesty(replace(ours, errors=factor * ours.errors))
    assert honesty.pvalue < 1e-3
    percent = int(re.search(r"(\d+)%", str(honesty)).group(1))
    assert abs(percent - 100 * abs(factor - 1)) <= 2
    assert ("small" in str(honesty)) == (factor < 1)


def test_errors_may_include_the_bias():
    """Stated errors between the scatter and the distance to the truth are right."""
    ours = replicates(raw, np.random.default_rng(49), 50, scale=1.1)
    distance = np.hypot(1.1 * np.sqrt(ours.expected), 0.1 * ours.expected)
    for factor, right in ((1.0, True), (1.3, False)):
        errors = np.broadcast_to(factor * distance, ours.predicted.shape)
        assert (measure_honesty(replace(ours, errors=errors)).pvalue > 0.1) == right


def test_errors_of_one_energy_band():
    """Errors 20 % too small below 0.8 TeV and 20 % too large above 6 TeV: right on average."""
    ours = replicates(raw, np.random.default_rng(50), 50)
    factors = np.array([0.8, 1.0, np.sqrt(2 - 0.64)])[:, None, None]
    honesty = measure_honesty(replace(ours, errors=factors * ours.errors))
    assert abs(honesty.bins.ratio - 1) < 0.02
    assert honesty.pvalue < 1e-3
    assert [abs(bins.ratio - 1) < 0.05 for bins, _ in honesty.bands] == [False, True, False]


def test_no_errors_no_test():
    ours = replace(replicates(raw, np.random.default_rng(51), 5), errors=None)
    assert np.isnan(measure_honesty(ours).pvalue)
