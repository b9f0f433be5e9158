"""What is accurate enough, and which failures are known, each with its reason.

A metric holds if it lies within k standard errors of its ideal value, with k
such that the false-alarm rates of all criteria of a run add up to `BUDGET`. A
known failure is data: it must fail, and by as much as the method gives from
noise-free counts.
"""

from __future__ import annotations

import math
from dataclasses import replace

from validation.statistics import sigmas

__all__ = ["BUDGET", "KNOWN", "WITHOUT_CRITERION", "judge"]

BUDGET = 1e-3
FLAT = "flat solid angles are too large off axis, by 1 / cos(fov_lat)"
SMOOTHED = "smoothing widens the image, and reflecting borders lift its edges"
# Failures of 2015's methods that a calculation predicts; see edition2015.py.
KNOWN = {
    ("default", "norm"): FLAT,
    ("default", "width"): SMOOTHED,
    ("michi", "norm"): FLAT,
    ("michi", "width"): SMOOTHED,
}
# Metrics with no criterion for a method, and why.
WITHOUT_CRITERION = {
    (None, "lost_information"): "no limit is stated yet",
    ("default", "pull_mean"): "neighbouring bins are correlated",
    ("default", "pull_width"): "neighbouring bins are correlated",
    ("michi", "pull_mean"): "neighbouring bins are correlated",
    ("michi", "pull_width"): "neighbouring bins are correlated",
}
# A known failure this many σ beyond the limit must show; nearer it may hide in the noise.
MUST_SHOW = 5.0


def judge(results, budget=BUDGET):
    """Give each result its limit, false-alarm rate, status and reason.

    Parameters
    ----------
    results : sequence of Result
        As measured, of one run of the suite.
    budget : float
        Probability that a run in which nothing is wrong ends with a failure.

    Returns
    -------
    results : list of Result
    """
    tested = [result for result in results if _is_tested(result)]
    rate = budget / max(1, len(tested))
    return [_judge(result, rate) if _is_tested(result) else _untested(result) for result in results]


def _is_tested(result):
    return result.status != "error" and _why_not(result) is None


def _why_not(result):
    for method in (result.method, None):
        if (method, result.metric) in WITHOUT_CRITERION:
            return WITHOUT_CRITERION[method, result.metric]
    return None if math.isfinite(result.error) else "nothing to measure"


def _untested(result):
    return result if result.status == "error" else replace(result, reason=_why_not(result))


def _judge(result, rate):
    limit = sigmas(rate) * result.error
    result = replace(result, limit=limit, false_alarm_rate=rate)
    known = KNOWN.get((result.method, result.metric))
    if abs(result.value - result.ideal) <= limit:
        must_show = limit + MUST_SHOW * result.error
        if known and abs(result.predicted - result.ideal) > must_show:
            return replace(result, status="fail", reason=f"a known failure is gone: {known}")
        return replace(result, status="ok", reason="")
    if known and abs(result.value - result.predicted) <= limit:
        return replace(result, status="known", reason=known)
    size = (result.value - result.ideal) / result.error
    return replace(result, status="fail", reason=f"{size:+.1f} σ from its ideal value")
