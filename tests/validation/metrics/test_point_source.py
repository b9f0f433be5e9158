"""The largest of many significances against its exact p-value."""

import numpy as np
import pytest
from scipy import stats

from simbg.validation.metrics.point_source import max_pvalue


def test_largest_of_many_normals():
    """Against the exact p-value, 1 − (1 − 2 sf)^m, within the toys and far beyond them."""
    rng = np.random.default_rng(3)
    toys = np.sort(np.abs(rng.standard_normal((5000, 400))).max(axis=1))
    for largest in (2.2, 2.6, 3.0, 3.5, 4.5, 6.0):
        exact = -np.expm1(400 * np.log1p(-2 * stats.norm.sf(largest)))
        # 250 toys make the tail: its slope is known to 1/√250, its start to 6 %.
        further = max(0.0, np.log(0.05 / exact))
        assert abs(max_pvalue(largest, toys) - np.log(exact)) < 5 * (0.08 + 0.063 * further)


def test_largest_of_toys_is_ordered():
    toys = np.sort(np.random.default_rng(4).gumbel(3, 0.3, 2000))
    values = [max_pvalue(x, toys) for x in (0.0, 2.5, 3.0, 3.5, 4.0, 6.0, 30.0)]
    assert np.all(np.diff(values) < 0)
    assert values[0] == pytest.approx(0, abs=1e-3)  # one of 2000 toys
    assert np.isfinite(values[-1])
