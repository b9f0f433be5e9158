"""Criteria: the limit of each metric, and the status of each result.

A criterion holds if the value is within max(k standard errors, negligible bias) of the ideal
value. k is such that the false-alarm rates of all criteria of a run add up to `BUDGET`. The
smallest defect that a criterion detects with a probability of 95 % is k + 1.645 standard errors. A
known failure must fail by the amount that the method gives for noise-free counts, and this
calculated bias must be the stored one (`simbg.validation.suite.known_failures`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.suite.known_failures import KNOWN, SMOOTHERS
from simbg.validation.suite.results import Result

__all__ = ["judge"]

POWER_SIGMA = 1.645  # one-sided 95 % quantile
# Negligible bias of norm, indices and width: a hundredth of the 1 % systematic error of the
# background that CTAO plans with.
NEGLIGIBLE_BIAS = 1e-4
# A known failure must fail if its calculated bias exceeds the limit by this number of σ. Noise may
# hide a smaller one.
MUST_SHOW = 5.0
IGNORED = "changed by the effect that this scenario ignores; see the bias metrics"
CORRELATED = "neighbouring bins are correlated; see replicate_pull_width"
SAME_COUNTS = "its counts are those of histogram, and are tested there"


def judge(
    results: Sequence[Result],
    budget: float = BUDGET,
    changed_biases: Mapping[tuple[str, str, str], str] | None = None,
) -> list[Result]:
    """Give each result its limit, false-alarm rate, smallest defect, status and reason.

    Parameters
    ----------
    results : sequence of Result
        All results of one run of the suite, as measured.
    budget : float
        Probability that any criterion fails although nothing is wrong.
    changed_biases : mapping, optional
        (scenario, method, metric) → how a calculated bias changed; see
        `simbg.validation.suite.known_failures.changed_biases`.

    Returns
    -------
    results : list of Result
        In the same order.
    """
    reasons = [_why_not(result) for result in results]
    rate = budget / max(1, reasons.count(None))
    judged = [
        _judge(result, rate) if reason is None else replace(result, reason=reason)
        for result, reason in zip(results, reasons, strict=True)
    ]
    return [_with_changed_bias(result, changed_biases or {}) for result in judged]


def _with_changed_bias(result, changed_biases):
    """A result fails if its calculated bias differs from the stored one."""
    reason = changed_biases.get((result.scenario, result.method, result.metric))
    return replace(result, status=Status.FAIL, reason=reason) if reason else result


def _why_not(result):
    """Why a result has no criterion; None if it has one."""
    if result.status == Status.ERROR:
        return result.reason
    metric = METRICS[result.metric]
    if result.ignored and not metric.shows_bias:
        return IGNORED
    if metric.kind == "quality":
        return "this metric measures a quality, and has no limit"
    if result.method in SMOOTHERS and metric.function:
        if metric.kind in ("source", "errors"):
            return CORRELATED
        if metric.kind == "counts":
            return SAME_COUNTS
    return None if math.isfinite(result.error) else "not measurable with these counts"


def _judge(result, rate):
    limit = max(sigmas(rate) * result.error, NEGLIGIBLE_BIAS * METRICS[result.metric].relative)
    smallest = limit + POWER_SIGMA * result.error
    result = replace(result, limit=limit, smallest=smallest, false_alarm_rate=rate)
    # The effect that a scenario ignores changes the results of all methods.
    reasons = result.ignored, KNOWN.get((result.method, result.metric))
    status, reason = _status(result, "; ".join(reason for reason in reasons if reason))
    return replace(result, status=status, reason=reason)


def _status(result, known):
    """Status and its reason; ``known`` says why the result may fail."""
    if abs(result.value - result.ideal) <= result.limit:
        if result.must_fail:
            return Status.FAIL, f"holds, although it must fail because {result.ignored}"
        must_show = result.limit + MUST_SHOW * result.error
        if known and abs(result.predicted - result.ideal) > must_show:
            return Status.FAIL, f"holds, although a failure is calculated: {known}"
        return Status.OK, ""
    if known and abs(result.value - result.predicted) <= result.limit:
        return Status.KNOWN, known
    size = (result.value - result.ideal) / result.error
    return Status.FAIL, f"{size:+.1f} σ from its ideal value"
