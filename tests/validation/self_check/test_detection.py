"""Defects are detected down to a size, and clean runs raise as many alarms as is stated."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simbg.validation.self_check.defects import DEFECTS
from simbg.validation.self_check.detection import (
    EXACT,
    PROBES,
    CleanRuns,
    Detection,
    self_check,
)

# Of each statistical test; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6
# Four data sets for twenty: a defect that is found in 95 % is found in these in 81 %.
QUICK = 4


@pytest.fixture(scope="module")
def checked():
    """A self-check with one defect, few data sets, and clean runs in two batches."""
    return self_check(21, None, ["lat gradient"], QUICK, 60)


def test_detection(checked):
    """The power curve falls, the smallest size is the last that was found, and has a question."""
    (found,), _ = checked
    assert found.detected
    assert found.first == "bias"
    assert "gradient along fov_lat" in found.message
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    assert found.power[0] == 1
    assert found.power[-1] < 1
    assert found.smallest == found.sizes[-2]
    assert 0.4 < found.ratio < 2.1
    assert len(found.pulls) == len(PROBES)


def test_detection_of_what_cannot_be_found():
    """A defect of no size: not found, no smallest size, no question."""
    found = Detection.of(8, replace(DEFECTS["norm"], full=1e-6), QUICK)
    assert not found.detected
    assert np.isnan(found.smallest)
    assert found.first == ""


@pytest.mark.slow
def test_results_do_not_depend_on_executors(checked):
    """Nor on how many clean runs there are; another seed gives other results."""
    with ProcessPoolExecutor(2) as pool:
        found, clean = self_check(21, pool, ["lat gradient"], QUICK, 43)
    assert repr(found) == repr(checked[0])
    assert_array_equal(clean.pvalues, checked[1].pvalues[:43])
    _, inline = self_check(21, ThreadPoolExecutor(1), ["norm"], 1, 2)
    assert_array_equal(inline.pvalues, clean.pvalues[:2])
    _, other = self_check(22, None, ["norm"], 1, 2)
    assert not np.array_equal(other.pvalues, inline.pvalues)


# Clean runs -------------------------------------------------------------------------------


def uniform(seed, n=504):
    rng = np.random.default_rng(seed)
    return CleanRuns(rng.random((n, len(EXACT))), rng.random((n, len(PROBES))))


def test_honest_suite_is_consistent():
    """100 of them: none may fail but with the 1e-3 that `consistent` states, so at most 3."""
    failures = sum(not uniform(1000 + i).consistent for i in range(100))
    assert failures <= 3


def test_suite_that_never_alarms_is_wrong():
    """An exact p-value that is never small; the answers themselves may be conservative."""
    clean = uniform(7)
    assert replace(clean, answers=np.ones_like(clean.answers)).consistent
    one = clean.pvalues.copy()
    one[:, 3] = 0.5
    assert not replace(clean, pvalues=one).consistent


def test_suite_that_alarms_too_often_is_wrong():
    clean = uniform(8)
    loud, wide = clean.answers.copy(), clean.answers.copy()
    loud[:8, 2] = 1e-7
    assert replace(clean, answers=loud).alarms >= 8
    assert not replace(clean, answers=loud).consistent
    wide[:, 4] = wide[:, 4] ** 1.6  # 15 % below 5 %
    assert not replace(clean, answers=wide).consistent


def test_clean_runs_of_the_field(checked):
    """60 runs; the self-check itself has 504."""
    _, clean = checked
    assert clean.pvalues.shape == (60, len(EXACT))
    assert clean.answers.shape == (60, len(PROBES))
    assert np.isfinite(clean.pvalues).all()
    assert clean.n == 60
    assert min(clean.tests.values()) > FALSE_ALARM


def test_sets_and_clean_runs():
    defaults = {name: p.default for name, p in signature(self_check).parameters.items()}
    assert defaults["n_sets"] == 20
    assert defaults["n_clean"] >= 500
