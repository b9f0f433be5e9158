"""Values of metrics: their pulls, also of the mean of few replicates."""

import numpy as np
import pytest
from scipy import stats

from simbg.validation.metrics.metric import MetricValue

# Of each test; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6


def test_pull():
    assert MetricValue(1.2, 0.1, 1.0).pull == pytest.approx(2)


def test_mean_of_few_replicates_has_a_normal_pull():
    """5000 means of 4 normals: Kolmogorov–Smirnov of the pulls; a plain t would fail it."""
    values = np.random.default_rng(6).standard_normal((5000, 4)) + 2
    pulls = np.array([MetricValue.of_replicates(row, 2.0).pull for row in values])
    assert stats.kstest(pulls, "norm").pvalue > FALSE_ALARM
    plain = (values.mean(axis=1) - 2) / (values.std(axis=1, ddof=1) / 2)
    assert stats.kstest(plain, "norm").pvalue < FALSE_ALARM


def test_replicates_without_scatter_have_no_error():
    measure = MetricValue.of_replicates([3.0, 3.0, 3.0], 2.0)
    assert measure.value == 3
    assert np.isnan(measure.error)
