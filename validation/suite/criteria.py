"""What is accurate enough, and which failures are known, each with its reason.

A metric holds if it lies within max(k standard errors, stated bias) of its ideal
value, with k such that the false-alarm rates of all criteria of a run add up to
`BUDGET`. The smallest defect that a criterion finds, with 95 % power, is k + 1.64
standard errors. A known failure is data: it must fail, by as much as the method
gives from noise-free counts, and that bias must be the committed one (`known`).
"""

from __future__ import annotations

import math
from dataclasses import replace

from simbg.validation.metrics.statistics import sigmas
from simbg.validation.metrics.status import Status

__all__ = [
    "BUDGET",
    "DIRECTED",
    "KNOWN",
    "SHOWING",
    "STATED_BIAS",
    "WITHOUT_CRITERION",
    "judge",
    "known_metrics",
]

BUDGET = 1e-3
POWER_SIGMA = 1.645  # 95 %, one side
# Biases too small to matter to anybody: a hundredth of CTAO's 1 % background systematic.
STATED_BIAS = dict.fromkeys(("norm", "index", "center_index", "width"), 1e-4)
# Metrics of which a noise-free cube says how large a bias is.
DIRECTED = (
    "norm",
    "index",
    "center_index",
    "width",
    "width_slope",
    "lon_gradient",
    "lat_gradient",
    "energy_norms",
    "energy_widths",
    "ring",
    "masked_norm",
)
# What may show an effect that a scenario lets methods ignore.
SHOWING = (*DIRECTED, "point_source")
FLAT = "flat solid angles are too large off axis, by 1 / cos(fov_lat)"
THRESHOLD = "a bin that holds the threshold gets the whole livetime for a part of the events"
SMOOTHED = "smoothing widens the image, and reflecting borders lift its edges"
SPREAD = "smoothing fills what is narrow: a dead drawer, a ring's hole, the edge of a mask"
ONE_CUBE = "one cube for all runs knows neither their zenith angles nor their norms"
# Failures that a calculation predicts; for 2015's methods see edition2015.py.
KNOWN = (
    {(method, metric): SPREAD for method in ("default", "michi") for metric in DIRECTED}
    | {
        (method, metric): reason
        for method in ("default", "michi")
        for metric, reason in (
            ("norm", FLAT),
            ("energy_norms", FLAT),
            ("width", SMOOTHED),
            ("energy_widths", SMOOTHED),
            ("ring", SMOOTHED),
        )
    }
    | {
        # michi starts at the lowest threshold, and so has no such bin where all are the same.
        ("default", "norm"): f"{FLAT}; {THRESHOLD}",
        ("default", "energy_norms"): f"{FLAT}; {THRESHOLD}",
        ("default", "index"): f"{THRESHOLD}; {SPREAD}",
        ("default", "center_index"): f"{THRESHOLD}; {SPREAD}",
        ("default", "width_slope"): f"{THRESHOLD}; {SPREAD}",
        ("histogram", "run_norms"): ONE_CUBE,
        ("histogram", "run_spectra"): ONE_CUBE,
    }
)
IGNORED = "the effect that is ignored here moves it; the directed metrics say by how much"
CORRELATED = "neighbouring bins are correlated; see replicate_pull_width"
# Metrics with no criterion, for a method or for all, and why.
WITHOUT_CRITERION = {
    (None, "zero_mass"): "says how sparse the cube is; no limit",
    (None, "lost_information"): "a measure of quality, to compare methods with; no limit",
    (None, "noise_cost"): "a measure of quality; no limit",
    (None, "bias_floor"): "a measure of quality; no limit",
    (None, "efficiency"): "a measure of quality; no limit",
    (None, "heldout_deviance"): "a measure of quality; no limit",
    (None, "heldout_missed"): "says how sparse the cube is; no limit",
    **{
        (method, metric): CORRELATED
        for method in ("default", "michi")
        for metric in ("point_source", "pull_mean", "pull_width", "coverage_68", "coverage_95")
    },
    **{
        (method, metric): "the counts are those of histogram, where they are tested"
        for method in ("default", "michi")
        for metric in ("count_deviance", "pit")
    },
}
# A known failure this many σ beyond the limit must show; nearer it may hide in the noise.
MUST_SHOW = 5.0


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
    tested = [result for result in results if _is_tested(result)]
    rate = budget / max(1, len(tested))
    judged = [
        _judge(result, rate) if _is_tested(result) else _untested(result) for result in results
    ]
    return [_drifted(result, drift or {}) for result in judged]


def known_metrics(scenario, method):
    """The metrics by which a method may be known to fail in a scenario."""
    of_runs = {"run_norms", "run_spectra"}
    named = {metric for name, metric in KNOWN if name == method}
    named = named if scenario.per_run else named - of_runs
    return sorted(named | set(SHOWING if scenario.ignored else ()))


def _drifted(result, drift):
    """A known failure that is another than it was is a failure, whatever it looks like."""
    reason = drift.get((result.scenario, result.method, result.metric))
    return replace(result, status=Status.FAIL, reason=reason) if reason else result


def _is_tested(result):
    return result.status != Status.ERROR and _why_not(result) is None


def _why_not(result):
    if result.ignored and result.metric not in SHOWING:
        return IGNORED
    for method in (result.method, None):
        if (method, result.metric) in WITHOUT_CRITERION:
            return WITHOUT_CRITERION[method, result.metric]
    return None if math.isfinite(result.error) else "nothing to measure"


def _untested(result):
    return result if result.status == Status.ERROR else replace(result, reason=_why_not(result))


def _judge(result, rate):
    k = sigmas(rate)
    limit = max(k * result.error, STATED_BIAS.get(result.metric, 0.0))
    smallest = limit + POWER_SIGMA * result.error
    result = replace(result, limit=limit, smallest=smallest, false_alarm_rate=rate)
    # What is ignored moves every method, whatever else does.
    reasons = result.ignored, KNOWN.get((result.method, result.metric))
    known = "; ".join(reason for reason in reasons if reason)
    if abs(result.value - result.ideal) <= limit:
        if result.must_fail:
            return replace(
                result, status=Status.FAIL, reason=f"does not show that {result.ignored}"
            )
        must_show = limit + MUST_SHOW * result.error
        if known and abs(result.predicted - result.ideal) > must_show:
            return replace(result, status=Status.FAIL, reason=f"a known failure is gone: {known}")
        return replace(result, status=Status.OK, reason="")
    if known and abs(result.value - result.predicted) <= limit:
        return replace(result, status=Status.KNOWN, reason=known)
    size = (result.value - result.ideal) / result.error
    return replace(result, status=Status.FAIL, reason=f"{size:+.1f} σ from its ideal value")
