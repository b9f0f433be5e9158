from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.draws import AXES, RIGHT, fit, half, raw, replicates, template

from simbg.validation.questions.noise import measure_noise

BINS = AXES.fov_lon_center.size * AXES.fov_lat_center.size * AXES.energy_center.size


@pytest.mark.parametrize(
    ("method", "cost"),
    [(raw, BINS), (half, 2 * BINS), (fit, 4), (template, 1)],
)
def test_known_costs(method, cost):
    """Raw counts cost 1 a bin, half of them 2, a fit of p parameters p: within 4 σ."""
    noise = measure_noise(replicates(method, np.random.default_rng(31), 400), limit=4)
    assert abs(noise.cost - cost) < 4 * noise.error
    assert noise.error < 0.1 * cost
    assert abs(noise.efficiency - 4 / noise.cost) < 1e-12


def test_p_values_of_raw_counts_are_uniform():
    """Of 2,000 sets, below 0.1, 0.05 and 0.01, binomial at 1e-4; without counts."""
    rng = np.random.default_rng(32)
    p = np.array([measure_noise(replicates(raw, rng)).pvalue for _ in range(2000)])
    for level in (0.1, 0.05, 0.01):
        assert stats.binomtest(int(np.sum(p < level)), p.size, level).pvalue > 1e-4


def test_against_the_raw_counts_of_each_draw():
    """Raw counts themselves are not worse; 2 % of scatter more is seen as such."""
    ours = replicates(raw, np.random.default_rng(33))
    with_counts = replace(ours, counts=ours.predicted)
    assert measure_noise(with_counts).pvalue == 0.5
    worse = replace(with_counts, predicted=1.02 * ours.predicted)
    assert measure_noise(worse).pvalue < 1e-6
    assert measure_noise(replace(worse, counts=None)).pvalue > 1e-3


def test_noisier_than_raw_counts():
    rng = np.random.default_rng(34)
    assert measure_noise(replicates(half, rng)).pvalue < 1e-6
    for name in ("fit", "template"):
        assert measure_noise(replicates(RIGHT[name], rng)).pvalue > 0.999


def test_a_method_may_be_allowed_more_noise():
    """Half of the events has twice the noise of raw counts: p-values are then uniform."""
    rng = np.random.default_rng(35)
    p = [measure_noise(replicates(half, rng), raw=BINS, allowed=2.0).pvalue for _ in range(500)]
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 500, 0.05).pvalue > 1e-4
    assert measure_noise(replicates(half, rng), raw=2 * BINS).ratio < 1.1
