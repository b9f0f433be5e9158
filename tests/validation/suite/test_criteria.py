"""What is accurate enough: budget, limits, and failures that must fail."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.results import Result


def result(metric="index", pull=0.0, method="histogram", error=0.01, ideal=2.7, **more):
    return Result(
        scenario="s",
        digest="0",
        method=method,
        metric=metric,
        value=ideal + pull * error,
        error=error,
        ideal=ideal,
        **more,
    )


def status(*results):
    return [r.status for r in judge(results)]


# The budget -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 200])
def test_budget_adds_up(n):
    judged = judge([result() for _ in range(n)] + [result("zero_mass"), result(error=math.nan)])
    rates = [r.false_alarm_rate for r in judged if not math.isnan(r.false_alarm_rate)]
    assert len(rates) == n
    assert_allclose(sum(rates), BUDGET)
    assert BUDGET <= 1e-3


def test_limits_are_what_the_rates_say():
    """k standard errors on either side: the normal's tails beyond it are the stated rate."""
    for judged in judge([result(), result("ring", error=1.0, ideal=0)]):
        k = judged.limit / judged.error
        assert_allclose(2 * stats.norm.sf(k), judged.false_alarm_rate)


def test_false_alarms_of_many_runs():
    """2000 runs of 40 normal results at a budget of 5 %: binomial, both sides, at 1e-6."""
    rng = np.random.default_rng(27)
    pulls = rng.standard_normal((2000, 40))
    alarms = sum(
        any(r.status == "fail" for r in judge([result(pull=p) for p in row], budget=0.05))
        for row in pulls[:200]
    )
    assert stats.binomtest(alarms, 200, 0.05).pvalue > 1e-6
    limit = judge([result() for _ in range(40)], budget=0.05)[0].limit / 0.01
    alarms = int(np.sum((np.abs(pulls) > limit).any(axis=1)))
    assert stats.binomtest(alarms, 2000, 0.05).pvalue > 1e-6


# Limits -----------------------------------------------------------------------------------


def test_within_and_beyond():
    k = judge([result()])[0].limit / 0.01
    assert status(result(pull=0.999 * k), result(pull=0)) == ["ok", "ok"]
    for sign in (1, -1):
        (judged,) = judge([result(pull=sign * 1.001 * k)])
        assert judged.status == "fail"
        assert judged.reason.startswith(f"{sign * 1.001 * k:+.1f} σ")


def test_stated_bias_is_the_least_limit():
    """An error that is next to nothing does not make a bias of 1e-5 a failure; one of 2e-4 is."""
    for metric in ("norm", "index", "center_index", "width"):
        small = result(metric, error=1e-9, pull=0.9e-4 / 1e-9)
        large = result(metric, error=1e-9, pull=1.1e-4 / 1e-9)
        assert status(small, large) == ["ok", "fail"]
    assert status(result("ring", error=1e-9, pull=1e4)) == ["fail"]


def test_smallest_defect_is_found_in_19_of_20():
    (judged,) = judge([result()])
    assert_allclose(judged.smallest, judged.limit + 1.645 * 0.01)
    assert_allclose(
        stats.norm.sf((judged.limit - judged.smallest) / 0.01), 0.95, atol=1e-4
    )  # 1.645 has four digits


def test_values_that_are_no_number_fail():
    """Infinite, or NaN with an error: never a pass."""
    assert (
        status(replace(result(), value=math.inf), replace(result(), value=math.nan)) == ["fail"] * 2
    )


# Known failures ---------------------------------------------------------------------------


@pytest.fixture
def known():
    """A result that fails by as much as its method gives from noise-free counts."""
    return result("width", 30.0, method="default", error=0.01, ideal=1.0, predicted=1.3)


def test_known_failure(known):
    (judged,) = judge([known])
    assert judged.status == "known"
    assert "smoothing" in judged.reason


def test_known_failure_of_the_wrong_size_fails(known):
    assert status(replace(known, value=1.39)) == ["fail"]
    assert status(replace(known, value=1.21)) == ["fail"]


def test_known_failure_of_the_wrong_sign_fails(known):
    assert status(replace(known, value=0.7)) == ["fail"]


def test_unexpected_pass_fails(known):
    (judged,) = judge([replace(known, value=1.0)])
    assert judged.status == "fail"
    assert "smoothing" in judged.reason


def test_known_failure_may_hide_in_the_noise(known):
    """Where it would show as less than the limit and 5 σ, its absence says nothing."""
    assert status(replace(known, value=1.0, predicted=1.02)) == ["ok"]


def test_unknown_failure_of_another_method_fails(known):
    assert status(replace(known, method="histogram")) == ["fail"]


def test_known_failure_without_a_calculation_fails(known):
    assert status(replace(known, predicted=math.nan)) == ["fail"]


# Effects that a scenario ignores ------------------------------------------------------------


def test_ignored_effect_must_show_by_as_much_as_is_calculated():
    shown = result("norm", pull=20.0, ideal=1.0, ignored="nothing is masked", must_fail=True)
    (judged,) = judge([replace(shown, predicted=1.2)])
    assert (judged.status, judged.reason) == ("known", "nothing is masked")
    assert status(replace(shown, predicted=1.3)) == ["fail"]
    (judged,) = judge([replace(shown, value=1.0, predicted=1.2)])
    assert judged.status == "fail"
    assert "nothing is masked" in judged.reason


def test_ignored_effect_stands_before_the_other_reasons():
    """Of a method with known failures of its own, too: that is what moved it."""
    shown = result("norm", method="michi", pull=20.0, ideal=1.0, ignored="nothing is masked")
    (judged,) = judge([replace(shown, predicted=shown.value, must_fail=True)])
    assert judged.status == "known"
    assert judged.reason.startswith("nothing is masked; ")


def test_ignored_effect_leaves_other_metrics_without_criterion():
    (judged,) = judge([result("pit", pull=30.0, ignored="nothing is masked")])
    assert judged.status == "info"
    (judged,) = judge([result("ring", pull=0.0, ignored="nothing is masked")])
    assert judged.status == "ok"


# Without a criterion ----------------------------------------------------------------------


def test_errors_stay_errors():
    error = Result("s", "0", "m", "run", status="error", reason="ValueError: no")
    (judged,) = judge([error])
    assert judged == error


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_criterion(metric):
    """Qualities of all methods; single bins and counts of 2015's; with its reason."""
    without = {
        "histogram": {"quality"},
        "default": {"quality", "counts", "errors", "source"},
    }
    for method, kinds in without.items():
        (judged,) = judge([result(metric, pull=50, method=method)])
        # Replicates are independent, however a cube correlates its bins.
        tested = METRICS[metric].kind not in kinds or metric == "replicate_pull_width"
        assert (judged.status == "info") == (not tested)
        assert math.isnan(judged.limit) == (not tested)
        assert judged.reason


def test_nothing_to_measure():
    (judged,) = judge([replace(result(), value=math.nan, error=math.nan)])
    assert (judged.status, math.isnan(judged.limit)) == ("info", True)
