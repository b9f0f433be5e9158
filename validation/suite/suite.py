"""The suite: all scenarios × methods, judged together, and what reports are made from."""

from collections import Counter
from dataclasses import dataclass, replace

from simbg.parallel import announce
from simbg.validation.methods.candidates import Candidate
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
    response : ExclusionResponse, optional
    replicates : int
        Stores of each scenario that rank the methods; 0 if they are not ranked.
    """

    outcomes: tuple
    seed: int
    changes: tuple | None = None
    kept: bool = True
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
    def ok(self):
        """Whether all is as it should be: the exit code."""
        return _verdict(self.results)[0] and self.kept

    @property
    def text(self):
        """The verdict in words."""
        text = _verdict(self.results)[1]
        return text + ("" if self.kept else "; worse than the baseline")


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
