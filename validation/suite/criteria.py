"""What is accurate enough: the limit of each metric, and the status of each result.

A metric holds if it lies within max(k standard errors, stated bias) of its ideal
value, with k such that the false-alarm rates of all criteria of a run add up to
`BUDGET`. The smallest defect that a criterion finds, with 95 % power, is k + 1.64
standard errors. A known failure is data: it must fail, by as much as the method
gives from noise-free counts, and that bias must be the committed one
(`simbg.validation.suite.known_failures`).
"""

import math
from dataclasses import replace

from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.suite.known_failures import KNOWN, SMOOTHERS

__all__ = ["judge"]

POWER_SIGMA = 1.645  # 95 %, one side
# Biases of norm, indices and width that are too small to matter to anybody: a hundredth of
# CTAO's 1 % background systematic.
STATED_BIAS = 1e-4
# A known failure this many σ beyond the limit must show; nearer it may hide in the noise.
MUST_SHOW = 5.0
IGNORED = "the effect that is ignored here moves it; the directed metrics say by how much"
CORRELATED = "neighbouring bins are correlated; see replicate_pull_width"
SAME_COUNTS = "the counts are those of histogram, where they are tested"


def judge(results, budget=BUDGET, drift=None):
    """Give each result its limit, false-alarm rate, smallest defect, status and reason.

    Parameters
    ----------
    results : sequence of Result
        As measured, of one run of the suite.
    budget : float
        Probability that a run in which nothing is wrong ends with a failure.
    drift : dict, optional
        (scenario, method, metric) → why a known failure is not what it was; see
        `simbg.validation.suite.known_failures.drift`.

    Returns
    -------
    results : list of Result
    """
    reasons = [_why_not(result) for result in results]
    rate = budget / max(1, reasons.count(None))
    judged = [
        _judge(result, rate) if reason is None else replace(result, reason=reason)
        for result, reason in zip(results, reasons, strict=True)
    ]
    return [_drifted(result, drift or {}) for result in judged]


def _drifted(result, drift):
    """A known failure that is another than it was is a failure, whatever it looks like."""
    reason = drift.get((result.scenario, result.method, result.metric))
    return replace(result, status=Status.FAIL, reason=reason) if reason else result


def _why_not(result):
    """Why a result has no criterion; None if it has one."""
    if result.status == Status.ERROR:
        return result.reason
    metric = METRICS[result.metric]
    if result.ignored and not metric.shows_bias:
        return IGNORED
    if metric.kind == "quality":
        return "a measure of quality; no limit"
    if result.method in SMOOTHERS and metric.function:
        if metric.kind in ("source", "errors"):
            return CORRELATED
        if metric.kind == "counts":
            return SAME_COUNTS
    return None if math.isfinite(result.error) else "nothing to measure"


def _judge(result, rate):
    limit = max(sigmas(rate) * result.error, STATED_BIAS * METRICS[result.metric].relative)
    smallest = limit + POWER_SIGMA * result.error
    result = replace(result, limit=limit, smallest=smallest, false_alarm_rate=rate)
    # What is ignored moves every method, whatever else does.
    reasons = result.ignored, KNOWN.get((result.method, result.metric))
    status, reason = _status(result, "; ".join(reason for reason in reasons if reason))
    return replace(result, status=status, reason=reason)


def _status(result, known):
    """Status and its reason; ``known`` says why the result may fail."""
    if abs(result.value - result.ideal) <= result.limit:
        if result.must_fail:
            return Status.FAIL, f"does not show that {result.ignored}"
        must_show = result.limit + MUST_SHOW * result.error
        if known and abs(result.predicted - result.ideal) > must_show:
            return Status.FAIL, f"a known failure is gone: {known}"
        return Status.OK, ""
    if known and abs(result.value - result.predicted) <= result.limit:
        return Status.KNOWN, known
    size = (result.value - result.ideal) / result.error
    return Status.FAIL, f"{size:+.1f} σ from its ideal value"
