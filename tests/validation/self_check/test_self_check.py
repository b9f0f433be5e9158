"""The self-check: every fault is planted and found, and nothing is found where none is."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from simbg.parallel import Inline
from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import CUBE_METRICS, METRICS
from simbg.validation.self_check.asymmetric_field import asymmetric_field
from simbg.validation.self_check.defects import DEFECTS
from simbg.validation.self_check.detection import PROBES, CleanRuns, detect, self_check

# Of each statistical test; seeds were not chosen after looking (others pass, too).
FALSE_ALARM = 1e-6
# Every probe has an equal part of the budget.
RATE = BUDGET / len(PROBES)
K = sigmas(RATE)
# What the suite promises to find.
PROMISED = [
    "norm",
    "index",
    "width",
    "width slope",
    "lon gradient",
    "lat gradient",
    "ring",
    "point source",
    "energy scale",
    "energy bin",
    "lon/lat swapped",
    "lon flipped",
    "lat flipped",
    "rotated",
    "bin centres",
    "threshold bin",
    "ontime for livetime",
    "dead time forgotten",
    "run dropped",
    "run twice",
    "flat solid angle",
    "MeV for TeV",
    "uniform energies",
    "truncated numbers",
    "upper edge",
    "dead quadrant",
    "reflecting borders",
    "oversmoothed",
    "undersmoothed",
    "wrong group",
    "errors too small",
]
DIRECTED = {
    "norm": "norm",
    "index": "index",
    "width": "width",
    "lon gradient": "lon_gradient",
    "lat gradient": "lat_gradient",
    "point source": "point_source",
}
# Those that change data in a way that no expectation says.
OF_DATA = [name for name in PROMISED if DEFECTS[name].kind == "data"]
# Four replicates for twenty: a defect that is found in 95 % is found in these in 81 %.
QUICK = 4


def pulls(pair):
    return np.array([METRICS[name](pair).pull for name in PROBES])


def pvalues(rows):
    return 2 * stats.norm.sf(np.abs(np.array(rows)))


@pytest.fixture(scope="module")
def checked():
    """A self-check with one defect, few replicates, and clean runs in two batches."""
    return self_check(21, None, ["lat gradient"], QUICK, 60)


def test_all_that_was_promised_is_planted():
    assert sorted(PROMISED) == sorted(DEFECTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMISED)
def test_defect_is_found_at_its_full_size(name):
    """Three replicates, each of them; the mean of the loudest metric is far beyond the limit.

    A defect that only half of the replicates show passes once in 4000: its mean must be 3.5 of its
    standard errors off.
    """
    defect = DEFECTS[name]
    found = np.array([pulls(defect.pair(defect.full, named_rng(4242, name, i))) for i in range(3)])
    assert np.all((np.abs(found) > K).any(axis=1))
    assert np.nanmax(np.abs(np.nanmean(found, axis=0))) > K + 2


@pytest.mark.slow
def test_size_zero_of_what_changes_data_is_clean():
    """12 pairs of each: runs with an alarm, and p-values below 5 %, binomial both sides.

    Other defects of size zero have the expectation of the truth: their pairs are clean runs.
    """
    rows = [
        pulls(DEFECTS[name].pair(0.0, named_rng(515, name, i)))
        for name in OF_DATA
        for i in range(12)
    ]
    assert min(CleanRuns(pvalues(rows)).tests.values()) > FALSE_ALARM


@pytest.mark.parametrize("name", [name for name in PROMISED if name not in OF_DATA])
def test_size_zero_expects_what_the_truth_does(name):
    defect = DEFECTS[name]
    field = asymmetric_field(defect.events)
    assert_allclose(defect.function(field, 0.0), field.expected, rtol=1e-12)
    assert not np.allclose(defect.function(field, defect.full), field.expected, rtol=1e-6)


def test_nothing_mirrors_the_field():
    """Flips and rotations change what it expects, and three lengths differ."""
    field = asymmetric_field()
    assert len(set(field.axes.shape)) == 3
    image = field.expected.sum(axis=0)
    for other in (image[::-1], image[:, ::-1], image[::-1, ::-1]):
        assert np.sum((image - other) ** 2 / image) > 1000  # χ² at a million events
    assert_allclose(field.expected.sum(), 1e6)


def test_cramer_rao_limits():
    """Reference figures: 5.6/√N · c at 1e6 events and ±4 deg; norm c = 1, gradient 0.505."""
    limit = {name: DEFECTS[name].limit for name in DIRECTED}
    # Figures of two digits; widths and index for a field without edges.
    assert_allclose(limit["norm"], 0.0056, rtol=0.01)
    assert_allclose(limit["lon gradient"], 0.0028, rtol=0.05)
    # All else known: 0.56 · 1 for the index, with the share of events inside the axes in it.
    assert 0.0056 * 0.56 < limit["index"] < 0.015
    assert_allclose(limit["width"], 0.0056 * 0.72, rtol=0.15)
    assert 0.00028 / 2 < limit["point source"] < 0.00028 * 2
    assert np.isnan([DEFECTS[name].limit for name in OF_DATA]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", DIRECTED)
def test_directed_probe_is_near_the_limit(name):
    """At twice the Cramér–Rao limit and 1e6 events, its own probe or a sharper one sees 11 of 12.

    A power of 95 % gives fewer once in 8; of 99.5 %, as most have there, once in 600.
    """
    defect = DEFECTS[name]
    assert defect.events == 1e6
    size = 2 * defect.limit
    found = np.array([pulls(defect.pair(size, named_rng(99, name, i))) for i in range(12)])
    assert np.sum((np.abs(found) > K).any(axis=1)) >= 10
    own = np.abs(found[:, PROBES.index(DIRECTED[name])])
    assert own.mean() > 3


def test_detection(checked):
    """The power curve falls, the smallest size is the last that was found, and has a metric."""
    (found,), _ = checked
    assert found.found
    assert found.first == "lat_gradient"
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    assert found.power[0] == 1
    assert found.power[-1] < 1
    assert found.smallest == found.sizes[-2]
    assert 0.4 < found.ratio < 2.1
    assert len(found.pulls) == len(PROBES)


def test_detection_of_what_cannot_be_found():
    """A defect of no size: not found, no smallest size, no metric."""
    found = detect(8, replace(DEFECTS["norm"], full=1e-6), QUICK)
    assert not found.found
    assert np.isnan(found.smallest)
    assert found.first == ""


@pytest.mark.slow
def test_results_do_not_depend_on_executors(checked):
    """Nor on how many clean runs there are; another seed gives other results."""
    with ProcessPoolExecutor(2) as pool:
        found, clean = self_check(21, pool, ["lat gradient"], QUICK, 43)
    assert repr(found) == repr(checked[0])
    assert_array_equal(clean.pvalues, checked[1].pvalues[:43])
    _, inline = self_check(21, Inline(), ["norm"], 1, 2)
    assert_array_equal(inline.pvalues, clean.pvalues[:2])
    _, other = self_check(22, None, ["norm"], 1, 2)
    assert not np.array_equal(other.pvalues, inline.pvalues)


# Clean runs -------------------------------------------------------------------------------


def uniform(seed, n=504):
    return np.random.default_rng(seed).random((n, len(PROBES)))


def test_honest_suite_is_consistent():
    """100 of them: none may fail but with the 1e-3 that `consistent` states, so at most 3."""
    failures = sum(not CleanRuns(uniform(1000 + i)).consistent for i in range(100))
    assert failures <= 3


def test_suite_that_never_alarms_is_wrong():
    assert not CleanRuns(np.ones((504, len(PROBES)))).consistent
    one = uniform(7)
    one[:, 3] = 0.5
    assert not CleanRuns(one).consistent


def test_suite_that_alarms_too_often_is_wrong():
    loud = uniform(8)
    loud[:8, 2] = 1e-7
    assert CleanRuns(loud).alarms >= 8
    assert not CleanRuns(loud).consistent
    wide = uniform(9)
    wide[:, 5] = wide[:, 5] ** 1.6  # 15 % below 5 %
    assert not CleanRuns(wide).consistent


def test_clean_runs_of_the_field(checked):
    """60 runs; the self-check itself has 504."""
    _, clean = checked
    assert clean.pvalues.shape == (60, len(PROBES))
    assert np.isfinite(clean.pvalues).all()
    assert clean.n == 60
    assert min(clean.tests.values()) > FALSE_ALARM


def test_probes_and_replicates():
    """All metrics with a criterion but that of masks; 20 replicates, and 500 clean runs or more."""
    assert set(CUBE_METRICS) - set(PROBES) == {"zero_mass", "lost_information", "masked_norm"}
    defaults = {name: p.default for name, p in signature(self_check).parameters.items()}
    assert defaults["n_replicates"] == 20
    assert defaults["n_clean"] >= 500
