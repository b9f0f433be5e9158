"""Criteria: right methods hold at the stated rate, wrong ones fail, known failures are checked."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from support.draws import AXES, RIGHT, expected_counts, half, raw, replicates

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.impact.flux import FluxErrors, FluxRequirement
from simbg.validation.impact.sources import TestSource
from simbg.validation.metrics.metric import BUDGET, MetricValue
from simbg.validation.questions.arrival import measure_arrival
from simbg.validation.questions.replicates import Replicates
from simbg.validation.suite.criteria import PROMISES, Criteria

IDENTITY = {"scenario": "s", "digest": "0", "method": "m", "seed": 1, "ignored": ""}
# Enough counts for a decision about 1 %.
EVENTS = 1e6
BINS = float(np.prod(AXES.shape))


def criteria(**more):
    return Criteria(IDENTITY, **more)


def draws(name="raw counts", seed=5, **more):
    return replicates(RIGHT[name], np.random.default_rng(seed), events=EVENTS, **more)


def exact(factor):
    """Noise-free replicates of a rate that is wrong by this factor."""
    expected = expected_counts(events=EVENTS)
    return Replicates(AXES, expected, np.array([factor * expected] * 4))


# The budget -------------------------------------------------------------------------------


def test_budget_of_a_method_is_shared_by_its_criteria_only():
    """Six criteria in each scenario; the number of other methods does not matter."""
    assert_allclose(6 * 17 * criteria(n_scenarios=17).rate, BUDGET)
    assert BUDGET <= 1e-3
    assert criteria().bias(draws()).false_alarm_rate == criteria().rate


# A rate at which false alarms can be counted: 5 % for all criteria of a method.
LOOSE = 0.05 * 6


@pytest.mark.parametrize("name", [name for name in RIGHT if name != "half of the events"])
def test_false_alarms_of_right_methods(name):
    """120 methods, each question at 5 %: at most as many failures as a binomial allows at 1e-5."""
    judge = criteria(budget=LOOSE)
    counts = dict.fromkeys(("bias", "noise", "honesty"), 0)
    for seed in range(120):
        made = replicates(RIGHT[name], np.random.default_rng((7, seed)), number=8)
        for result in (judge.bias(made), judge.noise(made), judge.honesty(made)):
            counts[result.metric] += result.status == "fail"
    most = stats.binom.isf(1e-5, 120, 0.05)
    assert all(count <= most for count in counts.values())


# Bias -------------------------------------------------------------------------------------


def test_unbiased_biased_and_undecided():
    """1 % is required: 0 and 0.5 % meet it, 3 % does not; few counts do not decide."""
    judge = criteria()
    assert [judge.bias(draws(scale=scale)).status for scale in (1, 1.005, 1.03)] == [
        *("ok", "ok", "fail")
    ]
    few = replicates(raw, np.random.default_rng(3), number=4, events=3e3)
    result = judge.bias(few)
    assert result.status == "undecided"
    assert result.upper > 2 * result.limit
    assert "more replicates" in result.reason


def test_bias_is_measured_in_percent_with_its_limit():
    result = criteria().bias(draws(scale=1.03))
    assert abs(result.value - 3) < 4 * result.error
    assert result.error < 0.1
    assert (result.limit, result.unit) == (100 * PROMISES["bias"], "%")
    assert result.upper > result.value
    assert "norm: " in result.reason


def test_requirement_of_the_user_or_promise_of_the_method():
    biased = draws(scale=1.03)
    assert criteria(promises={"bias": 0.05}).bias(biased).status == "ok"
    assert criteria(required=0.05).bias(biased).status == "ok"
    assert criteria(required=0.005, promises={"bias": 0.05}).bias(biased).status == "fail"


def test_more_noise_than_raw_counts_fails_unless_it_is_promised():
    made = replicates(half, np.random.default_rng(9), number=20)
    assert criteria().noise(made).status == "fail"
    result = criteria(promises={"noise": 2.0}).noise(made)
    assert (result.status, result.limit) == ("ok", 2.0)
    assert abs(result.value - 2) < 4 * result.error


def test_accuracy_is_noise_and_bias_together():
    """√(bins / counts) of raw counts, and a bias of 3 % added in squares."""
    noise = 100 * math.sqrt(BINS / EVENTS)
    for scale, value in ((1.0, noise), (1.03, math.hypot(noise, 3.0))):
        result = criteria().accuracy(draws(scale=scale))
        assert abs(result.value - value) < 4 * result.error + 0.03 * noise
        assert result.status == "info"


# Honesty ------------------------------------------------------------------------------------


def test_stated_errors():
    made = draws()
    judge = criteria()
    assert judge.honesty(made).status == "ok"
    small = judge.honesty(replace(made, errors=0.8 * made.errors))
    assert small.status == "fail"
    assert abs(small.value - 0.8) < 4 * small.error
    few = draws(number=4)
    assert judge.honesty(few).status == "ok"
    undecided = judge.honesty(replace(few, errors=0.9 * few.errors))
    assert (undecided.status, undecided.value < 0.925) == ("undecided", True)
    none = judge.honesty(replace(made, errors=None))
    assert (none.status, none.reason) == ("info", "no errors are stated")


# Arrival ------------------------------------------------------------------------------------


def arrival(cubes, noise_free=None):
    true = cube(expected_counts(events=EVENTS))
    counts = true.counts
    return measure_arrival(cubes, true, counts, AXES, 1.0, noise_free=noise_free)


def cube(counts):
    time = np.ones(AXES.shape)
    rate = counts / AXES.volume
    return BackgroundCube(AXES, rate, None, counts, livetime=time, ontime=time)


def test_what_gammapy_predicts():
    """Noise and empty bins are a warning, a bias is a failure, and a known one is known."""
    expected = expected_counts(events=EVENTS)
    made = [cube(1.03 * expected)] * 4
    judge = criteria()
    assert judge.arrival(arrival([cube(expected)] * 4)).status == "ok"
    failed = judge.arrival(arrival(made, made[0]))
    assert failed.status == "fail"
    assert_allclose(failed.value, 3, rtol=1e-6)
    assert criteria(known={"arrival": "why"}).arrival(arrival(made, made[0])).status == "known"
    rng = np.random.default_rng(4)
    few = [cube(rng.poisson(expected / 3e4) * 3e4) for _ in range(8)]
    noisy = judge.arrival(arrival(few, cube(expected)))
    assert noisy.status == "warning"
    assert "empty" in noisy.reason


# Known failures -----------------------------------------------------------------------------


@pytest.fixture
def known():
    return criteria(known={"bias": "smoothing"})


def test_known_failure_of_the_calculated_size(known):
    result = known.bias(draws(scale=1.03), exact(1.03))
    assert (result.status, round(result.predicted, 9)) == ("known", 3.0)
    assert result.reason.endswith("; smoothing")


@pytest.mark.parametrize("scale", [1.06, 0.97, 1.0])
def test_known_failure_of_another_size_or_sign_fails(known, scale):
    assert known.bias(draws(scale=scale), exact(1.03)).status == "fail"


def test_known_failure_needs_a_bias(known):
    """Without one the method is judged as any other."""
    assert known.bias(draws(), exact(1.0)).status == "ok"
    assert known.bias(draws()).status == "ok"
    assert known.bias(draws(scale=1.03)).status == "known"


def test_unknown_failure_of_the_calculated_size_fails():
    assert criteria().bias(draws(scale=1.03), exact(1.03)).status == "fail"


# One cube -----------------------------------------------------------------------------------


def test_one_cube():
    """The truth and a template hold, raw counts do not decide, and a wrong rate fails."""
    expected, judge = expected_counts(events=EVENTS), criteria()
    true, rng = cube(expected), np.random.default_rng(8)

    def status(counts, errors=None, **more):
        rate = cube(counts).rate
        made = BackgroundCube(AXES, rate, errors, None, true.livetime, true.ontime)
        return criteria(**more).one_cube(true, made)

    counts = rng.poisson(expected / 100) * 100.0
    errors = np.sqrt(100 * expected) / AXES.volume
    assert status(expected).status == "ok"
    assert status(1.003 * expected).status == "ok"
    assert status(1.007 * expected).status == "ok"  # seven standard errors, but within 1 %
    assert status(counts, errors).status == "undecided"
    assert status(counts, errors, required=0.5).status == "ok"
    assert status(counts).status == "fail"  # ten times the errors of raw counts
    wrong = status(1.03 * expected)
    assert wrong.status == "fail"
    assert_allclose(wrong.value, 3.0, rtol=1e-6)
    assert "from one cube" in wrong.reason
    assert judge.one_cube(true, true).status == "ok"


@pytest.mark.parametrize("smooth", [True, False])
def test_norm_of_one_cube_without_errors(smooth):
    """A norm off by eleven standard errors √N fails, for raw counts and for a smooth cube."""
    expected = expected_counts(events=5e4)
    true, status = cube(expected), []
    counts = expected if smooth else np.random.default_rng(13).poisson(expected)
    for factor in (1, 1.05):
        made = replace(true, rate=factor * counts / AXES.volume, rate_error=None, counts=None)
        status.append(criteria().one_cube(true, made).status)
    assert status == ["ok" if smooth else "undecided", "fail"]


def test_one_smooth_cube_with_few_counts():
    """Energies whose bins expect less than half a count: the norm is tested all the same."""
    pixels = (np.linspace(-size, size, 25) for size in (3, 2.6))
    axes = Axes(np.geomspace(0.1, 50, 4), *pixels)
    expected, time = expected_counts(axes, events=2500), np.ones(axes.shape)
    assert (expected.max(axis=(1, 2)) < 0.5).any()
    errors = np.sqrt(expected) / axes.volume  # of raw counts, which are no errors of the truth
    true = BackgroundCube(axes, expected / axes.volume, errors, expected, time, time)
    for factor, status in ((1.0, "ok"), (1.2, "fail")):
        smooth = replace(true, rate=factor * true.rate, counts=None)
        result = criteria().one_cube(true, smooth)
        assert result.status == status
        assert ("norm × 1.2" in result.reason) == (status == "fail")
        assert "counts that do not belong" not in result.reason
    # A count where 0.001 are expected is no fault, whether errors are stated or not.
    rng = np.random.default_rng(12)
    for _ in range(4):
        counts = rng.poisson(expected)
        measured = replace(true, rate=counts / axes.volume, counts=None)
        for own in (np.sqrt(counts) / axes.volume, None):
            assert criteria().one_cube(true, replace(measured, rate_error=own)).status != "fail"


# Other criteria -----------------------------------------------------------------------------


def test_effect_that_every_method_ignores():
    """It must be seen in noise-free raw counts; methods without them have no criterion."""
    judge = Criteria(IDENTITY | {"ignored": "nothing is masked"})
    seen = judge.ignored(judge.bias(draws(scale=1.03), exact(1.03)))
    assert seen.status == "known"
    assert seen.reason.startswith("nothing is masked")
    assert judge.ignored(judge.bias(draws(), exact(1.0))).status == "fail"
    assert judge.ignored(judge.bias(draws(scale=1.03))).status == "info"


def test_user_gets_the_cube_that_replicates_get():
    assert [criteria().same_cube(size).status for size in (1e-12, 1e-6)] == ["ok", "fail"]


def test_deviates():
    """Both sides, or the upper one; a known one; one that cannot be measured."""
    judge = criteria()
    limit = stats.norm.isf(judge.rate / 2)

    def status(value, error=1.0, **more):
        return judge.deviate("run_norms", MetricValue(value, error, 0.0), **more).status

    assert [status(size * limit) for size in (0.99, 1.01, -1.01)] == ["ok", "fail", "fail"]
    assert status(-9.0, two_sided=False) == "ok"
    assert status(0.0, math.nan) == "info"
    assert status(math.nan) == "fail"
    known = criteria(known={"run_norms": "why"})
    assert known.deviate("run_norms", MetricValue(9.0, 1.0, 0.0)).status == "known"


# The flux of a source ----------------------------------------------------------------------


def fluxes(value, number=8):
    """Models whose fluxes scatter, by normal quantiles, with this standard deviation, Crab."""
    scatter = stats.norm.ppf((np.arange(number) + 0.5) / number)
    values = value * np.outer(scatter / scatter.std(), np.linspace(0.5, 1, 16))
    return FluxErrors(TestSource(0.5), values, np.full(16, 0.1))


def test_flux_has_a_criterion_only_if_it_is_required():
    assert criteria().flux(fluxes(1.0)).status.name == "INFO"
    judge = criteria(flux_required=FluxRequirement(0.01))
    for value, status in ((0.1, "FAIL"), (0.003, "OK"), (0.01, "UNDECIDED")):
        result = judge.flux(fluxes(value))
        assert result.status.name == status
        assert result.value == pytest.approx(100 * value)
    # A field without a place for the source.
    assert judge.flux(None, "too small").status.name == "UNDECIDED"
    assert criteria().flux(None, "too small").status.name == "INFO"
