"""Criteria: four questions about a method in a scenario, and the status of each answer.

The questions are answered from replicates, that is, from independent events of the same runs:

- *bias*: is the expectation of the cube the truth, within the requirement?
- *noise*: is the scatter of the cube at most that of raw counts?
- *honesty*: do the stated errors agree with the scatter?
- *arrival*: does an analysis with gammapy predict these counts?

Each method has its own budget: the probability that any criterion of a method fails although the
method meets all requirements is at most `BUDGET`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.validation.comparison.compare import compare
from simbg.validation.impact.flux import FluxErrors, FluxRequirement
from simbg.validation.metrics.metric import BUDGET, MetricValue
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.status import Status
from simbg.validation.questions.arrival import Arrival
from simbg.validation.questions.bias import measure_bias
from simbg.validation.questions.families import Family
from simbg.validation.questions.honesty import TOLERANCE, measure_honesty
from simbg.validation.questions.noise import measure_noise
from simbg.validation.questions.replicates import Replicates
from simbg.validation.questions.verdict import Decision, judge_bias
from simbg.validation.suite.results import Result

__all__ = ["PROMISES", "Criteria"]

# What a method promises if it states nothing else: the largest rms relative bias, which is what
# CTAO plans with, and the largest noise as a multiple of that of raw counts: where a part of a bin
# is above the threshold, its fraction must be estimated, which adds 1 to 2 % to the noise.
PROMISES = {"bias": 0.01, "noise": 1.05}
# Most criteria of one method in one scenario: four questions, and two about models of single runs.
MOST_CRITERIA = 6
# Confidence that the flux error is below its limit, if it is called so.
CONFIDENCE = 0.95
# Relative differences of rates below this are rounding of sums in another order.
ROUNDING = 1e-9
PERCENT = 100.0
STATUS = {
    Decision.UNBIASED: Status.OK,
    Decision.BIASED: Status.FAIL,
    Decision.UNDECIDED: Status.UNDECIDED,
}


@dataclass(frozen=True)
class Criteria:
    """The criteria of one method in one scenario.

    Parameters
    ----------
    identity : mapping
        Fields of each `Result`: scenario, digest, method, seed, ignored.
    n_scenarios : int
        Number of scenarios in which the method is judged with the same budget.
    promises : mapping of str to float
        See `PROMISES`.
    known : mapping of str to str
        Question → reason why the method is known to fail.
    required : float, optional
        The largest rms relative bias, instead of what the method promises.
    flux_required : FluxRequirement, optional
        A requirement on the flux of a source.
    budget : float
        Probability that any criterion of the method fails although all requirements are met.
    """

    identity: Mapping[str, Any]
    n_scenarios: int = 1
    promises: Mapping[str, float] | tuple[()] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    required: float | None = None
    flux_required: FluxRequirement | None = None
    budget: float = BUDGET

    @property
    def rate(self) -> float:
        """False-alarm rate of one criterion."""
        return self.budget / (MOST_CRITERIA * self.n_scenarios)

    @property
    def require(self) -> float:
        """The largest rms relative bias."""
        return self._promise("bias") if self.required is None else self.required

    def _promise(self, name):
        return (PROMISES | dict(self.promises))[name]

    def bias(
        self,
        replicates: Replicates,
        calculated: Replicates | None = None,
        families: list[Family] | None = None,
    ) -> Result:
        """Whether the method is biased.

        Parameters
        ----------
        replicates : Replicates
            Of the method.
        calculated : Replicates, optional
            Identical replicates of noise-free counts, for a method that is linear in the counts.
        families : list of Family, optional
            The result of `make_families`, if it is already available.
        """
        verdict = judge_bias(replicates, self.require, self.rate, families=families)
        whole = verdict.biases[0]
        exact = math.nan if calculated is None else measure_bias(calculated)[0].rms
        status, reason = STATUS[verdict.decision], str(verdict)
        if "bias" in self.known:
            status, reason = self._known(verdict, replicates, calculated, exact, families)
        # The error of a root, which is not smaller than that of a value of one standard error.
        error = 0.5 * whole.square_error / max(whole.rms, math.sqrt(whole.square_error), 1e-300)
        return self._result(
            "bias",
            MetricValue(PERCENT * whole.rms, PERCENT * error, 0.0, "%"),
            status,
            reason,
            predicted=PERCENT * exact,
            upper=PERCENT * whole.upper(verdict.power),
            limit=PERCENT * self.require,
        )

    def _known(self, verdict, replicates, calculated, exact, families):
        """Status of a known bias. If it is calculated, the replicates must agree with it."""
        why, biased = self.known["bias"], verdict.decision is Decision.BIASED
        if calculated is not None:
            rest = replicates.predicted - calculated.predicted[0] + calculated.expected
            rest = replace(replicates, predicted=rest, errors=None, counts=None)
            other = judge_bias(rest, self.require, self.rate, families=families)
            if other.decision is Decision.BIASED:
                return Status.FAIL, f"the bias differs from the calculated one; {other}"
            if exact > 2 * self.require and verdict.decision is Decision.UNBIASED:
                return Status.FAIL, f"unbiased, although a bias of {exact:.2%} is calculated: {why}"
        if biased or exact > self.require:
            return Status.KNOWN, f"{verdict.worst or f'{exact:.2%} rms'}; {why}"
        return STATUS[verdict.decision], str(verdict)

    def noise(self, replicates: Replicates) -> Result:
        """Whether the method is noisier than raw counts.

        Parameters
        ----------
        replicates : Replicates
            Of the method.
        """
        allowed = self._promise("noise")
        noise = measure_noise(replicates, allowed=allowed)
        worse = noise.pvalue < self.rate
        return self._result(
            "noise",
            MetricValue(noise.ratio, noise.error / noise.raw, 0.0),
            Status.FAIL if worse else Status.OK,
            f"{noise}{f', {allowed:g} allowed' if worse else ''}",
            limit=allowed,
        )

    def accuracy(self, replicates: Replicates) -> Result:
        """Rms error of the rate, which has no criterion.

        Parameters
        ----------
        replicates : Replicates
            Of the method.

        Notes
        -----
        √(E[Q] / Σ λ), where Q = Σ (μ̂ − λ)²/λ contains noise and bias.
        """
        losses = np.sum(replicates.deviations**2, axis=1) / replicates.total
        rms = math.sqrt(losses.mean())
        error = losses.std(ddof=1) / math.sqrt(len(losses)) / (2 * rms) if rms else 0.0
        value = MetricValue(PERCENT * rms, PERCENT * error, 0.0, "%")
        return self._result("accuracy", value, Status.INFO)

    def honesty(self, replicates: Replicates) -> Result:
        """Whether the stated errors agree with the scatter and with the distance to the truth.

        Parameters
        ----------
        replicates : Replicates
            Of the method.
        """
        honesty = measure_honesty(replicates)
        if not honesty.stated:
            value = MetricValue(math.nan, math.nan, 1.0)
            return self._result("honesty", value, Status.INFO, str(honesty))
        # A few replicates cannot show at this rate that errors are wrong, or that they are right.
        status = Status.OK if honesty.within else Status.UNDECIDED
        if honesty.pvalue < self.rate:
            status = Status.FAIL
        if status is Status.FAIL and "honesty" in self.known:
            status = Status.KNOWN
        reason = str(honesty)
        if status is Status.KNOWN:
            reason += f"; {self.known['honesty']}"
        value = MetricValue(honesty.bins.ratio, honesty.bins.error, 1.0)
        return self._result("honesty", value, status, reason, limit=TOLERANCE)

    def arrival(self, arrival: Arrival) -> Result:
        """Whether an analysis with gammapy predicts the counts of the cube.

        Parameters
        ----------
        arrival : Arrival
            Counts by gammapy's rule.
        """
        failures = arrival.findings(self.require, self.rate)
        losses = arrival.losses()
        status = Status.FAIL if failures else Status.WARNING if losses else Status.OK
        if failures and "arrival" in self.known:
            status = Status.KNOWN
        reason = "; ".join(str(line) for line in [*failures[:3], *losses[:3]]) or str(arrival)
        if status is Status.KNOWN:
            reason += f"; {self.known['arrival']}"
        worst = failures[0] if failures else None
        value = (worst.relative, worst.error) if worst else (0.0, math.nan)
        return self._result(
            "arrival",
            MetricValue(PERCENT * value[0], PERCENT * value[1], 0.0, "%"),
            status,
            reason,
            limit=PERCENT * self.require,
        )

    def flux(self, errors: FluxErrors | None, reason: str = "") -> Result:
        """What the model does to the flux of a source; a criterion only if it is required.

        Parameters
        ----------
        errors : FluxErrors, optional
            Of models of independent events; None if the field has no place for the source.
        reason : str
            The reason, if there are none.
        """
        if errors is None:
            status = Status.UNDECIDED if self.flux_required else Status.INFO
            return self._result("flux", MetricValue(math.nan, math.nan, 0.0, "%"), status, reason)
        hours = (self.flux_required or FluxRequirement()).hours
        status, limit, reason = Status.INFO, math.nan, errors.text(hours)
        if self.flux_required and self.flux_required.flux:
            limit = self.flux_required.flux
            larger, smaller = errors.pvalues(limit)
            status = Status.OK if smaller < 1 - CONFIDENCE else Status.UNDECIDED
            status = Status.FAIL if larger < self.rate else status
            reason += f", {limit:.3g} of the Crab allowed"
        value = MetricValue(PERCENT * errors.value, PERCENT * errors.error, 0.0, "%")
        return self._result("flux", value, status, reason, limit=PERCENT * limit)

    def one_cube(self, true: BackgroundCube, cube: BackgroundCube) -> Result:
        """Whether a single cube differs from the truth by more than its noise.

        Parameters
        ----------
        true : BackgroundCube
            The truth, with its expected counts as ``counts``.
        cube : BackgroundCube
            The cube. Without stated errors it is tested with those of raw counts, √λ.

        Notes
        -----
        The bias is within the requirement if the whole deviation of the cube is, which contains the
        noise. Otherwise one cube cannot show that a method is unbiased.
        """
        expected, livetime = np.asarray(true.counts), np.asarray(true.livetime)
        used = livetime > 0
        exposure = np.where(used, livetime * true.axes.volume, 1.0)
        cube = cube.per("livetime")
        predicted = np.where(used, cube.rate, 0.0) * exposure
        excess = (predicted - expected)[expected > 0]
        rms = math.sqrt(float(np.sum(excess**2 / expected[expected > 0]) / expected.sum()))
        # Counts tell `compare` the noise along directions: those of an exposure with the stated
        # errors, or with the events of the truth.
        factor = 1.0
        if cube.rate_error is not None:
            variance = float(np.nansum((cube.rate_error * exposure)[used] ** 2))
            factor = max(1.0, variance / predicted.sum())
        times = {name: getattr(cube, name) / factor for name in ("livetime", "ontime")}
        cube = replace(cube, counts=_rounded(predicted / factor), **times)
        # The truth has no noise; `Histogram` gives it the errors of raw counts.
        comparison = compare(replace(true, rate_error=None), cube)
        status = Status.UNDECIDED
        if rms <= self.require:
            status = Status.OK
        elif comparison.pvalue < self.rate:
            status = Status.FAIL
        reason = f"from one cube, {rms:.2%} rms with its noise: {comparison.verdict}"
        value = MetricValue(PERCENT * rms, math.nan, 0.0, "%")
        return self._result("bias", value, status, reason, limit=PERCENT * self.require)

    def same_cube(self, difference: float) -> Result:
        """Whether the cube that the user gets is that of the function which replicates call.

        Parameters
        ----------
        difference : float
            Largest relative difference of the rates.
        """
        same = difference <= ROUNDING
        reason = "" if same else "reconstruct() and estimate() of the method give other rates"
        value = MetricValue(PERCENT * difference, 0.0, 0.0, "%")
        status = Status.OK if same else Status.FAIL
        return self._result("same_cube", value, status, reason, limit=PERCENT * ROUNDING)

    def deviate(self, name: str, value: MetricValue, two_sided: bool = True) -> Result:
        """Whether a normal deviate is within its limit.

        Parameters
        ----------
        name : str
            Name of the metric.
        value : MetricValue
            The deviate, in σ.
        two_sided : bool
            Whether a too small value fails as well.
        """
        if not math.isfinite(value.error):
            return self._result(name, value, Status.INFO, "not measurable with these counts")
        limit = sigmas(self.rate if two_sided else 2 * self.rate) * value.error
        size = value.value - value.ideal
        status, reason = Status.OK, ""
        if not (abs(size) if two_sided else size) <= limit:
            status, reason = Status.FAIL, f"{value.pull:+.1f} σ from its ideal value"
            if name in self.known:
                status, reason = Status.KNOWN, f"{reason}; {self.known[name]}"
        return self._result(name, value, status, reason, limit=limit)

    def ignored(self, answer: Result) -> Result:
        """The answer of a method in a scenario in which every method must ignore an effect.

        For a method that is linear in the counts, the effect must be seen without noise; others
        have no criterion.

        Parameters
        ----------
        answer : Result
            The answer.
        """
        why = self.identity["ignored"]
        if math.isnan(answer.predicted):
            return replace(
                answer, status=Status.INFO, reason=f"no criterion: {why}", limit=math.nan
            )
        if answer.predicted > answer.limit:
            return replace(answer, status=Status.KNOWN, reason=f"{why}; {answer.reason}")
        reason = f"{answer.predicted:.2g} % without noise, although {why}"
        return replace(answer, status=Status.FAIL, reason=reason)

    def described(
        self, values: Mapping[str, MetricValue], predicted: Mapping[str, float]
    ) -> list[Result]:
        """Metrics without a criterion, which describe a cube.

        Parameters
        ----------
        values : mapping of str to MetricValue
            Metrics of a cube.
        predicted : mapping of str to float
            Their values for noise-free counts.
        """
        return [
            self._result(name, value, Status.INFO, predicted=predicted.get(name, math.nan))
            for name, value in values.items()
        ]

    def _result(self, name, value, status, reason="", **more):
        return Result(
            metric=name,
            value=value.value,
            error=value.error,
            ideal=value.ideal,
            unit=value.unit,
            status=status,
            reason=reason,
            source=METRICS[name].source,
            false_alarm_rate=math.nan if status is Status.INFO else self.rate,
            **more,
            **self.identity,
        )


def _rounded(counts):
    """Integers next to the counts of bins, with the same sum in each energy to 0.5.

    Rounding each bin by itself would leave none of the counts of sparse bins.
    """
    sums = np.cumsum(counts.reshape(len(counts), -1), axis=1)
    return np.diff(np.round(sums), axis=1, prepend=0.0).reshape(counts.shape)
