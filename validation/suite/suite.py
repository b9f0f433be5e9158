"""The suite: all scenarios × methods, judged together, and what reports are made from."""

import math
from collections import Counter
from dataclasses import dataclass, replace

from simbg.parallel import announce
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.status import Status
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.known_failures import drift
from simbg.validation.suite.method_in_scenario import run_scenario

__all__ = ["Suite", "run_suite"]

# Where convergence with exposure is shown.
CONVERGENCE = ("seed-2015", "realistic", "night", "threshold-bin")


@dataclass(frozen=True, eq=False)
class Suite:
    """One run of the suite.

    Parameters
    ----------
    outcomes : sequence of Outcome
    seed : int
    changes : sequence of str, optional
        What changed since the baseline.
    kept : bool
        Whether nothing got worse since then.
    self_check : tuple, optional
        What `simbg.validation.self_check.detection.self_check` returned.
    response : ExclusionResponse, optional
    replicates : int
        Stores of each scenario that rank the methods; 0 if they are not ranked.
    """

    outcomes: tuple
    seed: int
    changes: tuple | None = None
    kept: bool = True
    self_check: tuple | None = None
    response: object = None
    replicates: int = 0

    def __repr__(self):
        return "\n".join([self.text, *_lines(self.outcomes)])

    @property
    def results(self):
        """Of all outcomes."""
        return [result for outcome in self.outcomes for result in outcome.results]

    @property
    def methods(self):
        """Their names, in the order in which they were asked for."""
        return list(dict.fromkeys(outcome.method for outcome in self.outcomes))

    @property
    def scenarios(self):
        """Name → scenario."""
        return {outcome.scenario.name: outcome.scenario for outcome in self.outcomes}

    @property
    def sound(self):
        """Whether the self-check, if there was one, found every defect and was else quiet."""
        if self.self_check is None:
            return True
        found, clean = self.self_check
        return all(f.found for f in found) and clean.consistent

    @property
    def ok(self):
        """Whether all is as it should be: the exit code."""
        return _verdict(self.results)[0] and self.kept and self.sound

    @property
    def text(self):
        """The verdict in words."""
        text = _verdict(self.results)[1]
        text += "" if self.kept else "; worse than the baseline"
        return text + ("" if self.sound else "; the self-check fails")

    @property
    def self_check_lines(self):
        """The self-check in words; last but one about clean runs, the summary last."""
        if self.self_check is None:
            return []
        found, clean = self.self_check
        summary = f"{sum(f.found for f in found)} of {len(found)} defects found; "
        summary += f"{clean.alarms} false alarms in {clean.n} clean runs"
        return [*map(_detection_line, found), _clean_line(clean), summary]


def run_suite(scenarios, methods, seed, executor=None, replicates=0, score=None):
    """Run all methods on all scenarios and judge the results together.

    Methods that are not ours run in processes of their own, on GADF stores.

    Parameters
    ----------
    scenarios : sequence of Scenario
    methods : sequence of str or Candidate
    seed : int
    executor : concurrent.futures.Executor, optional
    replicates, score
        See `simbg.validation.suite.method_in_scenario.run_scenario`.

    Returns
    -------
    outcomes : list of Outcome
        The same for any executor.
    """
    outcomes, truths = [], []
    candidates = [Candidate.of(method) for method in methods]
    for scenario in scenarios:
        # Scenarios of one truth and one mix of zeniths lose alike: once is enough.
        announce(executor, scenario.name)
        new = scenario.name in CONVERGENCE and scenario.truth not in truths
        truths.append(scenario.truth)
        outcomes += run_scenario(scenario, candidates, seed, executor, new, replicates, score)
    results = [result for outcome in outcomes for result in outcome.results]
    ours = [candidate.name for candidate in candidates if candidate.ours]
    announce(executor, "known failures")
    judged = iter(judge(results, drift=drift(scenarios, ours, executor)))
    return [replace(o, results=tuple(next(judged) for _ in o.results)) for o in outcomes]


def _lines(outcomes):
    """All results with a criterion of one outcome; of several, the number and those that fail."""
    for outcome in outcomes:
        tested = [result for result in outcome.results if result.status != Status.INFO]
        counts = Counter(result.status for result in tested)
        words = ", ".join(f"{n} {status.phrase}" for status, n in sorted(counts.items()))
        yield f"{outcome.scenario.name}, {outcome.method}: {words}"
        for result in tested:
            if len(outcomes) == 1 or result.status.fails:
                yield f"  {result.status.word:14s} {result.metric:20s} {_numbers(result)}"


def _numbers(result):
    if result.status == Status.ERROR:
        return result.reason
    numbers = f"{result.value:10.5g} ± {result.error:<8.2g}"
    return f"{numbers} expected {result.ideal:.5g} {result.unit}".rstrip()


def _verdict(results):
    """Whether all criteria hold, and that in words."""
    counts = Counter(result.status for result in results)
    words = (Status.FAIL, "criterion fails", "criteria fail"), (Status.ERROR, "error", "errors")
    bad = [f"{n} {one if n == 1 else more}" for status, one, more in words if (n := counts[status])]
    tested = counts[Status.OK] + counts[Status.KNOWN] + counts[Status.FAIL]
    text = f"{counts['ok']} of {tested} criteria hold"
    if counts[Status.KNOWN]:
        text += f", {counts['known']} fail as is known and calculated"
    # What is wrong stands first.
    return not bad, f"{', '.join(bad)}; {text}" if bad else text


def _detection_line(f):
    size = f"smallest {f.smallest:.3g}" if math.isfinite(f.smallest) else "no smaller size"
    limit = f" = {f.ratio:.2f} × limit" if math.isfinite(f.ratio) else ""
    what = f"{'found ' if f.found else 'MISSED'} {f.name:20s} {f.full:.3g} {f.unit}"
    return f"{what}: {size}{limit}, by {f.first or '–'}"


def _clean_line(clean):
    """Whether clean runs alarm as often as is stated: neither more nor less."""
    share = [float((column < 0.05).mean()) for column in clean.pvalues.T]
    text = f"clean runs below p = 5 %: {min(share):.1%} to {max(share):.1%}, metric by metric; "
    text += f"{clean.alarms} alarms where {clean.n * BUDGET:.1f} are stated: "
    if clean.consistent:
        return text + "consistent, both sides"
    name = min(clean.tests, key=clean.tests.get)
    return text + f"NOT consistent, {name} by a binomial test (p = {clean.tests[name]:.1g})"
