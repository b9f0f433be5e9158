"""The suite: all scenarios with all methods, and the verdict on their results."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from simbg.parallel import announce
from simbg.simulation.scenario import Scenario
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.known_failures import changed_biases
from simbg.validation.suite.method_in_scenario import Outcome, run_scenario
from simbg.validation.suite.results import Result

__all__ = ["Suite", "run_suite"]

# Scenarios in which the convergence with exposure is measured.
CONVERGENCE = ("seed-2015", "realistic", "night", "threshold-bin")


@dataclass(frozen=True, eq=False)
class Suite:
    """One run of the suite.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One for each scenario and method.
    seed : int
        Seed of the simulations.
    changes : sequence of str, optional
        Changes since the baseline, in words.
    baseline_holds : bool
        Whether no loss is larger than in the baseline.
    response : ExclusionResponse, optional
        Bias by a source, against its mask.
    replicates : int
        Number of stores of each scenario for the leaderboard; 0 without leaderboard.
    replayed : bool
        Whether the user chose the seed of a leaderboard.
    """

    outcomes: Sequence[Outcome]
    seed: int
    changes: Sequence[str] | None = None
    baseline_holds: bool = True
    response: ExclusionResponse | None = None
    replicates: int = 0
    replayed: bool = False

    def __repr__(self) -> str:
        return "\n".join([self.text, *_lines(self.outcomes)])

    @property
    def results(self) -> list[Result]:
        """Results of all outcomes."""
        return [result for outcome in self.outcomes for result in outcome.results]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the outcomes."""
        return list(dict.fromkeys(outcome.method for outcome in self.outcomes))

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """Name → scenario."""
        return {outcome.scenario.name: outcome.scenario for outcome in self.outcomes}

    @property
    def ok(self) -> bool:
        """Whether all criteria and the baseline hold."""
        return _verdict(self.results)[0] and self.baseline_holds

    @property
    def text(self) -> str:
        """The verdict in words."""
        text = _verdict(self.results)[1]
        return text + ("" if self.baseline_holds else "; worse than the baseline")


def run_suite(
    scenarios: Sequence[Scenario],
    methods: Sequence[str | Candidate],
    seed: int,
    executor: Executor | None = None,
    replicates: int = 0,
    score: Callable[..., Any] | None = None,
) -> list[Outcome]:
    """Run all methods on all scenarios, and apply the criteria to all results.

    Methods that are not ours run in processes of their own, on GADF stores.

    Parameters
    ----------
    scenarios : sequence of Scenario
        The scenarios.
    methods : sequence of str or Candidate
        Names of methods, or candidates.
    seed : int
        Seed of the simulations.
    executor : concurrent.futures.Executor, optional
        Runs parts in parallel.
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
        # Scenarios with the same truth have the same convergence; it is measured once.
        announce(executor, scenario.name)
        new = scenario.name in CONVERGENCE and scenario.truth not in truths
        truths.append(scenario.truth)
        outcomes += run_scenario(scenario, candidates, seed, executor, new, replicates, score)
    results = [result for outcome in outcomes for result in outcome.results]
    ours = [candidate.name for candidate in candidates if candidate.ours]
    announce(executor, "known failures")
    judged = iter(judge(results, changed_biases=changed_biases(scenarios, ours, executor)))
    return [replace(o, results=tuple(next(judged) for _ in o.results)) for o in outcomes]


def _lines(outcomes):
    """Results with a criterion of one outcome; for several only their number and the failures."""
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
    """Whether all criteria hold, and this in words."""
    counts = Counter(result.status for result in results)
    words = (Status.FAIL, "criterion fails", "criteria fail"), (Status.ERROR, "error", "errors")
    bad = [f"{n} {one if n == 1 else more}" for status, one, more in words if (n := counts[status])]
    tested = counts[Status.OK] + counts[Status.KNOWN] + counts[Status.FAIL]
    text = f"{counts['ok']} of {tested} criteria hold"
    if counts[Status.KNOWN]:
        text += f", {counts['known']} fail by the calculated amount"
    # Failures are reported first.
    return not bad, f"{', '.join(bad)}; {text}" if bad else text
