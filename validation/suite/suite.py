"""The suite: all scenarios with all methods, and the verdict on their results."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from simbg.parallel.executors import announce
from simbg.simulation.scenario import Scenario
from simbg.validation.impact.flux import WITHIN, FluxErrors, FluxRequirement
from simbg.validation.impact.impact import HOURS
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.status import Status
from simbg.validation.suite.criteria import PROMISES, Criteria
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.known_failures import changed_biases, known_questions
from simbg.validation.suite.method_in_scenario import SIMULATION, Outcome, run_scenario
from simbg.validation.suite.results import Result

__all__ = ["Suite", "methods_of", "run_suite"]

# The scenario whose accuracy is stated, if it is part of the run.
MAIN = "realistic"
# So many scenarios are named.
FEW = 4
# A part of the background in empty bins that is stated.
EMPTY = 1e-3
# Noise, relative to raw counts, of which one digit is stated.
SMALL = 0.1
BAD = {Status.FAIL, Status.ERROR}
STRICT = BAD | {Status.UNDECIDED, Status.WARNING}
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
    stores : int
        Number of stores of each scenario for the leaderboard; 0 without leaderboard.
    replayed : bool
        Whether the user chose the seed of a leaderboard.
    strict : bool
        Whether an undecided answer or a warning is a failure as well.
    history : collection of str
        Methods that were run for their history only. The verdict names them if a criterion fails.
    """

    outcomes: Sequence[Outcome]
    seed: int
    changes: Sequence[str] | None = None
    baseline_holds: bool = True
    response: ExclusionResponse | None = None
    stores: int = 0
    replayed: bool = False
    strict: bool = False
    history: Collection[str] = ()

    def __repr__(self) -> str:
        return "\n".join([self.text, *_lines(self.outcomes)])

    @property
    def results(self) -> list[Result]:
        """Results of all outcomes."""
        return [result for outcome in self.outcomes for result in outcome.results]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the outcomes."""
        return [name for name in self.columns if name != SIMULATION]

    @property
    def columns(self) -> list[str]:
        """Names of the methods and of the simulation, which has tests of its own."""
        return list(dict.fromkeys(outcome.method for outcome in self.outcomes))

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """Name → scenario."""
        return {outcome.scenario.name: outcome.scenario for outcome in self.outcomes}

    @property
    def verdicts(self) -> list["MethodVerdict"]:
        """The verdict on each method."""
        results = self.results
        return [
            MethodVerdict(
                method, tuple(r for r in results if r.method == method), self._limited(method)
            )
            for method in self.methods
        ]

    def _limited(self, method):
        """Scenarios where the error of a flux, less two standard errors, is above statistics."""
        ignored = {r.scenario for r in self.results if r.metric == "flux" and r.ignored}
        fluxes = {o.scenario.name: o.flux for o in self.outcomes if o.method == method and o.flux}
        larger = (
            name
            for name, flux in fluxes.items()
            if flux.value - 2 * np.nan_to_num(flux.error) > flux.statistical(HOURS)
        )
        return tuple(name for name in larger if name not in ignored)

    @property
    def ok(self) -> bool:
        """Whether no criterion fails and the baseline holds; if strict, also without warnings."""
        statuses = {result.status for result in self.results}
        bad = STRICT if self.strict else BAD
        return not statuses & bad and self.baseline_holds

    @property
    def status(self) -> Status:
        """A failure; or undecided, if a scenario leaves the bias of a method open; or ok."""
        if not self.ok:
            return Status.FAIL
        words = [verdict.word for verdict in self.verdicts]
        undecided = any("undecided" in word for word in words)
        return Status.UNDECIDED if undecided else Status.OK

    @property
    def flux(self) -> dict[str, FluxErrors]:
        """Name of the method → flux errors of a source, in the main scenario or the first one."""
        found = [(o.scenario.name, o.method, o.flux) for o in self.outcomes]
        known = [(scenario, method, flux) for scenario, method, flux in found if flux]
        names = [scenario for scenario, *_ in known]
        main = MAIN if MAIN in names else next(iter(names), None)
        return {method: flux for scenario, method, flux in known if scenario == main}

    @property
    def impact(self) -> str:
        """What the methods do to an analysis, in one sentence; empty if it is not known."""
        fluxes = self.flux
        if not fluxes:
            return ""
        one = next(iter(fluxes.values()))
        made = next(o.scenario for o in self.outcomes if o.flux is one)
        hours = f"{made.n_obs * made.ontime / 3600:.2g} h"
        what = f"the flux of a source ({one.source.name})"
        sizes = (f"{100 * flux.value:.2g} % with {name}" for name, flux in fluxes.items())
        amounts = ", ".join(sizes).replace(" %", " % of the Crab", 1)
        best = min(fluxes.values(), key=lambda flux: flux.value)
        statistical = f"{100 * best.statistical(HOURS):.2g} %"
        return (
            f"In the scenario {made.name}, a model from {hours} of background makes {what} wrong "
            f"by {amounts} (rms at the worst place within {WITHIN:g} deg); "
            f"the statistical error in {HOURS:g} h is {statistical}"
        )

    @property
    def text(self) -> str:
        """The verdict in words; failures are reported first."""
        counts = Counter(result.status for result in self.results)
        words = (Status.FAIL, "criterion fails", "criteria fail"), (Status.ERROR, "error", "errors")
        parts = [f"{n} {one if n == 1 else more}" for s, one, more in words if (n := counts[s])]
        parts += ["worse than the baseline"] * (not self.baseline_holds)
        told = [v for v in self.verdicts if v.method not in self.history or v.status in BAD]
        alike: dict[str, list[str]] = {}
        for verdict in told:
            alike.setdefault(verdict.word + verdict.size, []).append(verdict.method)
        return "; ".join(parts + [f"{_names(names)} {word}" for word, names in alike.items()])


@dataclass(frozen=True)
class MethodVerdict:
    """What the results of a method in all scenarios say.

    Parameters
    ----------
    method : str
        Name of the method.
    results : tuple of Result
        Its results.
    limited : tuple of str
        Scenarios in which the error of the flux of a source is clearly larger than the statistical
        error.
    """

    method: str
    results: tuple[Result, ...]
    limited: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The worst status of all results."""
        return Status.worst(result.status for result in self.results)

    @property
    def bias_status(self) -> Status:
        """The worst status of the biases."""
        return Status.worst(r.status for r in self._of("bias") if not r.ignored)

    @property
    def word(self) -> str:
        """Whether the method is biased."""
        # An ignored effect is no bias of the method.
        counts = Counter(r.status for r in self._of("bias") if not r.ignored)
        if not counts:
            return "not judged"
        if counts[Status.FAIL]:
            return f"biased in {_scenarios(counts[Status.FAIL])}"
        if counts[Status.KNOWN]:
            calculated = all(math.isfinite(r.predicted) for r in self._of("bias"))
            return "biased by the calculated amount" if calculated else "biased for a known reason"
        if counts[Status.UNDECIDED]:
            if not counts[Status.OK]:
                return f"undecided in {_scenarios(counts[Status.UNDECIDED])}"
            judged = f"{counts[Status.OK]} of {_scenarios(counts.total())}"
            return f"unbiased{self._within} in {judged}, undecided in {counts[Status.UNDECIDED]}"
        return f"unbiased{self._within}"

    @property
    def size(self) -> str:
        """The rms error in the main scenario, as the end of a sentence; empty without it."""
        found = [r for r in self._of("accuracy") if r.scenario == MAIN]
        return f", with an rms error of {found[0].value:.2g} % in {MAIN}" if found else ""

    @property
    def bias_reason(self) -> str:
        """Why the method is known to be biased; empty otherwise."""
        known = self.bias_status is Status.KNOWN
        return known_questions(self.method).get("bias", "") if known else ""

    @property
    def _within(self):
        """The requirement, if it is weaker than the default."""
        limit = max((r.limit for r in self._of("bias") if r.limit == r.limit), default=0.0)
        return f" within {limit:.4g} %" if limit > 100 * PROMISES["bias"] else ""

    @property
    def bias(self) -> str:
        """The largest bias, and its scenario."""
        return self._largest("bias", _bias_text)

    @property
    def accuracy(self) -> str:
        """The rms error in the main scenario, and the range of the noise."""
        results = self._of("accuracy")
        if not results:
            return "–"
        r = next((r for r in results if r.scenario == MAIN), results[0])
        noise = [n.value for n in self._of("noise")]
        worse = [n.value for n in self._of("noise") if n.status is Status.FAIL]
        digits = ".1g" if max(noise, default=1) < SMALL else ".2g"
        words = f"variance {_range(noise, digits)} times that of raw counts"
        if worse:
            than = "raw counts" if max(worse) > PROMISES["noise"] else "promised"
            words = f"noisier than {than}: {words}"
        return f"{r.value:.3g} ± {r.error:.1g} % rms in {r.scenario}; {words}"

    @property
    def flux(self) -> str:
        """Error of the flux of a source, in the main scenario."""
        results = self._of("flux")
        if not results:
            return "–"
        r = next((r for r in results if r.scenario == MAIN), results[0])
        error = f" ± {r.error:.1g}" if math.isfinite(r.error) else ""
        text = f"{r.value:.2g}{error} % of the Crab in {r.scenario}"
        # A source that is not masked is an error of every method.
        several = [other.value for other in results if not other.ignored]
        if len(several) > 1:
            text += f"; {_range(several, '.2g')} % in {_scenarios(len(several))}"
            few = len(self.limited) <= FEW
            where = ", ".join(self.limited) if few else _scenarios(len(self.limited))
            if self.limited:
                text += f"; limits an analysis of {HOURS:g} h in {where}"
        empty = next((o.value for o in self._of("zero_mass") if o.scenario == r.scenario), 0.0)
        if empty >= EMPTY:
            text += (
                f"; {empty:.1%} of the background is in bins where the model is 0, and a source "
            )
            text += "is fitted to their events"
        return text

    @property
    def errors(self) -> str:
        """Whether the stated errors are honest."""
        results = [r for r in self._of("honesty") if not r.ignored]
        bad = [r for r in results if r.status.fails]
        if bad:
            return f"✗ {bad[0].reason} in {bad[0].scenario}"
        tested = [r.value for r in results if r.status is not Status.INFO]
        if not tested:
            return "– none stated"
        mark = Status.worst(r.status for r in results if r.status is not Status.INFO).mark
        undecided = sum(r.status is Status.UNDECIDED for r in results)
        text = f"{mark} {_range(tested, '.2f')} times the scatter of independent cubes"
        return f"{text}; undecided in {_scenarios(undecided)}" if undecided else text

    @property
    def arrival(self) -> str:
        """What gammapy predicts."""
        results = self._of("arrival")
        counts = Counter(r.status for r in results)
        if not results:
            return "–"
        parts = []
        if counts[Status.FAIL] or counts[Status.KNOWN]:
            worst = Status.FAIL if counts[Status.FAIL] else Status.KNOWN
            r = max(results, key=lambda r: (r.status is worst, abs(r.value)))
            reason = known_questions(self.method).get("arrival", r.reason)
            reason = "" if worst is Status.FAIL else f", known: {reason}"
            parts.append(f"{worst.mark} {r.value:+.2g} % in {r.scenario}{reason}")
        if counts[Status.WARNING]:
            where = _scenarios(counts[Status.WARNING])
            parts.append(f"! wrong counts in {where}, where bins are empty or noisy")
        return "; ".join(parts) or "✓ within the requirement"

    @property
    def text(self) -> str:
        """The verdict in one line."""
        quality = f"bias {self.bias}; accuracy {self.accuracy}; flux {self.flux}"
        return f"{self.method}: {self.word}; {quality}"

    def _of(self, metric):
        found = [r for r in self.results if r.metric == metric]
        return [r for r in found if metric == "honesty" or math.isfinite(r.value)]

    def _largest(self, metric, words):
        results = [r for r in self._of(metric) if not r.ignored]
        if not results:
            return "–"
        r = max(results, key=lambda r: (r.status.fails, r.value))
        return f"{words(r)}, in {r.scenario}"


def _bias_text(result):
    text = f"{result.value:.2g} % rms"
    # One cube has no limit.
    upper = f" ({result.upper:.2g} % at most, 95 % confidence)"
    text += upper if math.isfinite(result.upper) else ", from one cube"
    # What a method promises can be more or less than the default.
    required = f", allowed {result.limit:.4g} %" if math.isfinite(result.limit) else ""
    return text + required


def _range(values, form):
    """The smallest and the largest value; one if both are printed alike."""
    ends = dict.fromkeys(format(end(values), form) for end in (min, max))
    return " to ".join(ends)


def _names(methods):
    """Methods with the verb of their verdict."""
    *first, last = methods
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"


def _scenarios(number):
    return f"{number} scenario{'s' * (number != 1)}"


def run_suite(
    scenarios: Sequence[Scenario],
    methods: Sequence[str | Candidate],
    seed: int,
    executor: Executor | None = None,
    stores: int = 0,
    score: Callable[..., Any] | None = None,
    require: float | None = None,
    flux: FluxRequirement | None = None,
    replicates: int | None = None,
    only: Mapping[str, Collection[str]] | None = None,
) -> list[Outcome]:
    """Run all methods on all scenarios, and answer the questions about them.

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
    stores, score, replicates
        See `simbg.validation.suite.method_in_scenario.run_scenario`.
    require : float, optional
        The largest rms relative bias, by default what each method promises, or 0.01.
    flux : FluxRequirement, optional
        A requirement on the flux of a source; by default there is none.
    only : mapping of str to collection of str, optional
        Name of a method → names of its scenarios; by default a method runs in all.

    Returns
    -------
    outcomes : list of Outcome
        The same for any executor.
    """
    candidates = [Candidate.of(method) for method in methods]
    judge = partial(Criteria, n_scenarios=len(scenarios), required=require, flux_required=flux)
    more = {"stores": stores, "score": score, "criteria": judge, "replicates": replicates}
    chosen = [methods_of(scenario.name, candidates, only or {}) for scenario in scenarios]
    work = partial(_run_scenario, seed, more), chosen, scenarios, _has_convergence(scenarios)
    # Several scenarios are pieces of work; of one scenario, each replicate or run is.
    several = executor if len(scenarios) > 1 else None
    found = several.map(*work) if several else map(*work, repeat(executor))
    outcomes: list[Outcome] = []
    for scenario in scenarios:
        announce(executor, scenario.name)
        outcomes += next(found)
    pairs = zip(scenarios, chosen, strict=True)
    ours = [(scenario, one.name) for scenario, several in pairs for one in several if one.ours]
    announce(executor, "known failures")
    changed = changed_biases(ours, executor)
    return [_with_change(o, changed.get((o.scenario.name, o.method))) for o in outcomes]


def methods_of(
    scenario: str, candidates: Sequence[Candidate], only: Mapping[str, Collection[str]]
) -> list[Candidate]:
    """The methods of a scenario; see `run_suite`."""
    return [c for c in candidates if c.name not in only or scenario in only[c.name]]


def _run_scenario(seed, more, candidates, scenario, with_convergence, executor=None):
    """The outcomes of one scenario."""
    return run_scenario(scenario, candidates, seed, executor, with_convergence, **more)


def _has_convergence(scenarios):
    """Whether the convergence is measured in each scenario: once for the same truth."""
    chosen = [scenario for scenario in scenarios if scenario.name in CONVERGENCE]
    first = [s for n, s in enumerate(chosen) if s.truth not in [c.truth for c in chosen[:n]]]
    return [scenario in first for scenario in scenarios]


def _with_change(outcome, reason):
    """The answer about the bias fails if the calculated bias differs from the committed one."""
    if reason is None:
        return outcome
    results = (
        replace(r, status=Status.FAIL, reason=reason) if r.metric == "bias" else r
        for r in outcome.results
    )
    return replace(outcome, results=tuple(results))


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
