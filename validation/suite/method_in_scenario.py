"""One method in one scenario: its cubes, the answers to the questions, and the outcome."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes, edition2015_axes
from simbg.errors import in_one_line
from simbg.io.files.work_places import scratch_folder
from simbg.models.per_run import scaled_to_run
from simbg.observations.exposure import StackedCounts, stack_observations, stacks_remembered
from simbg.observations.groups import Groups
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.validation.comparison.problems import wrong_counts
from simbg.validation.impact.flux import FluxErrors, FluxRequirement, measure_flux
from simbg.validation.impact.sources import TestSource
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.metrics.single_runs import RunCounts, run_values
from simbg.validation.metrics.status import Status
from simbg.validation.questions.arrival import measure_arrival
from simbg.validation.questions.families import Family, make_families
from simbg.validation.questions.replicates import FEWEST, Replicates
from simbg.validation.suite.convergence import EXPOSURES, Convergence
from simbg.validation.suite.criteria import Criteria
from simbg.validation.suite.known_failures import known_questions
from simbg.validation.suite.replicates import Setting, resampled
from simbg.validation.suite.results import Result
from simbg.validation.suite.routes import (
    RUN_GROUPS,
    InMemory,
    Isolated,
    ThroughStore,
    route_of_ours,
)

__all__ = ["SIMULATION", "Outcome", "run_scenario"]

# Bins of all replicates together, the range of the number of replicates, and the number of
# replicates of a costly method.
N_BINS, FEW, MANY, COSTLY = 700_000, 20, 60, FEWEST
# Number of replicates with which the flux of a source is fitted.
MODELS = 4
# Least fraction of all events that the axes of a method must hold.
LEAST_FRACTION = 0.5
# Name under which the tests of the simulated events are listed.
SIMULATION = "simulation"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of one method in one scenario.

    Parameters
    ----------
    scenario : Scenario
        The scenario.
    method : str
        Name of the method in the results.
    cubes : CubePair or None
        True and reconstructed cube; None if there is no cube.
    results : tuple of Result
        One for each question and metric, or the error.
    convergence : Convergence, optional
        Loss against exposure.
    score : object, optional
        Return value of the ``score`` of `run_scenario`.
    flux : FluxErrors, optional
        What the models of some replicates do to the flux of a source.
    """

    scenario: Scenario
    method: str
    cubes: CubePair | None
    results: tuple[Result, ...]
    convergence: Convergence | None = None
    score: Any = None
    flux: FluxErrors | None = None


def run_scenario(
    scenario: Scenario,
    methods: Iterable[str | Candidate],
    seed: int,
    executor: Executor | None = None,
    with_convergence: bool = False,
    stores: int = 0,
    score: Callable[..., Any] | None = None,
    criteria: Callable[..., Criteria] = Criteria,
    replicates: int | None = None,
) -> list[Outcome]:
    """Simulate a scenario, reconstruct it with each method, and answer the questions.

    Parameters
    ----------
    scenario : Scenario
        The scenario.
    methods : iterable of str or Candidate
        Names of methods, or candidates.
    seed : int
        Seed of the runs and events.
    executor : concurrent.futures.Executor, optional
        Runs parts in parallel.
    with_convergence : bool
        Whether the loss is measured against exposure as well.
    stores : int
        Number of stores that every method reconstructs in a process of its own, for ``score``.
        Methods that are not part of simbg reconstruct four stores or more in any case.
    score : callable, optional
        See `simbg.validation.leaderboard.score.Score.of`.
    criteria : callable
        Makes the `Criteria` of a method from the fields of its results, its promises and its known
        failures.
    replicates : int, optional
        Number of replicates of each method, four or more; by default it depends on the method.

    Returns
    -------
    outcomes : list of Outcome
        One for each method, and one for the simulation. An exception of a method becomes a result
        with the status "error".
    """
    experiment = Experiment.of(scenario, seed)
    candidates = [Candidate.of(method) for method in methods]
    with scratch_folder() as name, stacks_remembered():
        folder = Path(name)
        ours = route_of_ours(experiment, folder, executor)
        least = max(stores, replicates or FEWEST)
        isolated = Isolated.of(experiment, candidates, stores, least, folder, executor)
        runner = _Runner(experiment, ours, isolated, executor, score, criteria, replicates)
        outcomes = [runner.run(candidate, with_convergence) for candidate in candidates]
        return [*outcomes, runner.run_simulation()]


@dataclass(frozen=True, eq=False)
class _Runner:
    """Runs the methods of one scenario, and keeps the expectations and counts that they share."""

    experiment: Experiment
    ours: InMemory | ThroughStore
    isolated: Isolated
    executor: Executor | None
    score: Callable | None
    criteria: Callable[..., Criteria]
    number: int | None
    settings: dict[tuple, Setting] = field(default_factory=dict)
    stacks: dict[tuple, StackedCounts] = field(default_factory=dict)
    families: dict[tuple, list[Family]] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        return self.experiment.scenario

    @property
    def common_axes(self) -> Axes:
        """Axes over which methods are compared."""
        return edition2015_axes(len(self.experiment.runs))

    def run(self, candidate: Candidate, with_convergence: bool) -> Outcome:
        """The outcome of a method; an exception becomes a result."""
        try:
            attempt = (self.ours if candidate.ours else self.isolated).reconstruct(candidate)
            if not attempt.reason:
                answer = self._of_ours if candidate.ours else self._of_cubes
                return answer(candidate, attempt, with_convergence)
            reason = attempt.reason
        except (Exception, SystemExit) as error:
            reason = in_one_line(error)
        attempts = self.isolated.attempts[candidate]
        score = self.score and self.score(self.experiment, candidate, attempts, reason=reason)
        failure = Result(
            metric="run", status=Status.ERROR, reason=reason, **self._identity(candidate.name)
        )
        return Outcome(self.scenario, candidate.name, None, (failure,), None, score)

    def run_simulation(self) -> Outcome:
        """The outcome of the simulation itself: its events against their expectation."""
        method = Histogram()
        setting = self._setting(method, self.common_axes)
        stack = self._stack(method, self.common_axes)
        expected, cube = (method.estimate(counts) for counts in (setting.expected, stack))
        pair = CubePair(expected, cube, None, *_runs(setting, stack))
        criteria = self._criteria(SIMULATION)
        names = ("count_deviance", "run_dispersion")
        results = tuple(criteria.deviate(name, CUBE_METRICS[name](pair)) for name in names)
        return Outcome(self.scenario, SIMULATION, None, results)

    def _of_ours(self, candidate, attempt, with_convergence):
        """The outcome of a method that gives cubes of drawn counts, which is fast."""
        name, method, cube = candidate.name, find_method(candidate.name), attempt.cube
        setting = self._setting(method, cube.axes)
        criteria = self._criteria(name, getattr(method, "promises", {}))
        check_rates(cube, setting.true)
        number = self.number or _number(method, cube.axes)
        replicates, cubes = setting.replicates(number, self.experiment.seed, self.executor)
        stack = self._stack(method, cube.axes)
        answers = self._answers(criteria, method, setting, replicates, cubes)
        costly, own = getattr(method, "costly", False), None
        # What takes long is done in some scenarios only: in those of users' whole path.
        thorough = not costly or isinstance(self.ours, ThroughStore)
        if thorough:
            own = setting.estimate(stack)
            answers.append(criteria.same_cube(_difference(cube, own)))
        if self.scenario.per_run:
            observations = self.ours.observations()
            groups = Groups.by_exposure(observations, "runs", len(observations) // RUN_GROUPS)
            models = fit_runs(method, observations, cube.axes, groups, self.executor)
            answers += self._of_runs(map(models.at, observations), observations, criteria)
        if own and cube.rate_error is None:  # files of 2015 have no errors
            cube = replace(cube, rate_error=own.rate_error)
        perfect = error = None
        if getattr(method, "linear", False):
            error = setting.perfect.rate_error
            perfect = CubePair(setting.true, setting.perfect, error, noise_free=True)
        pair = CubePair(setting.true, cube, error, *_runs(setting, stack))
        convergence = None
        if with_convergence and thorough:
            convergence = Convergence.of(
                self.experiment, name, method, self.executor, EXPOSURES[::2]
            )
        flux, impact = _flux(criteria, setting, cubes)
        described = criteria.described(*_descriptions(pair, perfect))
        results = (*answers, impact, *described)
        score = self._score(candidate, setting, cube)
        return Outcome(self.scenario, name, pair, results, convergence, score, flux)

    def _of_cubes(self, candidate, attempt, with_convergence):
        """The outcome of a method of which there are only cubes of some stores."""
        setting = self._setting(attempt, attempt.cube.axes)
        common = self._setting(attempt, self.common_axes)
        _check_coverage(setting, common)
        cubes = _cubes(self.isolated.attempts[candidate], setting, candidate.kind == "method")
        criteria = self._criteria(candidate.name, attempt.promises)
        judged = setting
        if _is_coarser(setting.true.axes, self.common_axes):
            # A few large bins would have little noise but no detail.
            judged = common.inside(setting.true.axes)
        if len(cubes) >= FEWEST:
            same = [resampled(cube, judged.claimed) for cube in cubes]
            replicates = Replicates.of_cubes(judged.true, same)
            answers = self._answers(criteria, attempt, judged, replicates, same)
        else:
            same = [resampled(cubes[0], judged.claimed)]
            answer = criteria.one_cube(judged.true, *same)
            answers = [criteria.ignored(answer) if self.scenario.ignored else answer]
        if attempt.models:
            observations = self.experiment.observations()
            answers += self._of_runs(attempt.models, observations, criteria)
        stack = self._stack(attempt, setting.true.axes)
        pair = CubePair(setting.true, cubes[0], None, *_runs(setting, stack))
        flux, impact = _flux(criteria, judged, same)
        results = (*answers, impact, *criteria.described(*_descriptions(pair)))
        score = self._score(candidate, setting, cubes[0])
        return Outcome(self.scenario, candidate.name, pair, results, None, score, flux)

    def _answers(self, criteria, method, setting, replicates, cubes):
        """The answers to the four questions."""
        families = self._families(method, setting, replicates)
        calculated = setting.calculated if getattr(method, "linear", False) else None
        bias = criteria.bias(replicates, calculated, families)
        perfect = setting.perfect if calculated else None
        arrival = criteria.arrival(self._arrival(setting, cubes, perfect))
        if self.scenario.ignored:
            bias, arrival = (criteria.ignored(answer) for answer in (bias, arrival))
        noise, honesty = criteria.noise(replicates), criteria.honesty(replicates)
        return [bias, noise, honesty, arrival, criteria.accuracy(replicates)]

    def _of_runs(self, models, observations, criteria):
        """The tests of models of single runs, as `simbg reconstruct --per-run` makes them."""
        unseen = replace(self.experiment, replicate=1).observations()
        tested = []
        for cube, observation, other in zip(models, observations, unseen, strict=True):
            model, norm = scaled_to_run(cube, observation)
            tested.append(RunCounts.of(other, model, (norm.error / norm.value) ** 2))
        return [criteria.deviate(name, value) for name, value in run_values(tested).items()]

    def _arrival(self, setting, cubes, perfect):
        """Counts by gammapy's rule in the bins of the cube, for the ontime of all runs."""
        true = setting.true.per("ontime")
        counts = np.where(true.ontime > 0, true.rate, 0.0) * true.axes.volume * true.ontime.max()
        ontime = float(true.ontime.max())
        return measure_arrival(cubes, setting.true, counts, true.axes, ontime, noise_free=perfect)

    def _score(self, candidate, setting, cube):
        attempts = self.isolated.attempts[candidate]
        if not (self.score and (len(attempts) > 1 or candidate.kind == "files")):
            return None
        common = None
        if not cube.axes.same_as(self.common_axes):
            common = self._setting(None, self.common_axes)
        return self.score(self.experiment, candidate, attempts, setting, common)

    def _families(self, method, setting, replicates):
        """Directions of a bias, which methods with the same bins and replicates share."""
        used = replicates.used.tobytes()
        key = *_key(method, setting.true.axes), used, replicates.independent
        if key not in self.families:
            self.families[key] = make_families(replicates)
        return self.families[key]

    def _setting(self, method, axes):
        key = _key(method, axes)
        if key not in self.settings:
            self.settings[key] = Setting.of(self.experiment, method, axes)
        return replace(self.settings[key], estimate=getattr(method, "estimate", None))

    def _stack(self, method, axes):
        """Counts of the events that the method gets."""
        key = _key(method, axes)
        if key not in self.stacks:
            rule = getattr(method, "threshold_bin", "drop")
            observations = self.ours.observations()
            self.stacks[key] = stack_observations(observations, axes, rule, self.executor)
        return self.stacks[key]

    def _criteria(self, name, promises=()):
        return self.criteria(self._identity(name), promises=promises, known=known_questions(name))

    def _identity(self, method):
        scenario, seed = self.scenario, self.experiment.seed
        names = {"scenario": scenario.name, "digest": scenario.digest, "method": method}
        return names | {"seed": seed, "ignored": scenario.ignored}


def _flux(criteria, setting, cubes):
    """Flux errors with some of the cubes, and the result; None in fields without a place for it."""
    required = criteria.flux_required or FluxRequirement()
    try:
        flux = measure_flux(setting.true, cubes[:MODELS], TestSource(required.size))
    except ValueError as error:
        return None, criteria.flux(None, str(error))
    return flux, criteria.flux(flux)


def _key(method, axes):
    edges = (edge.tobytes() for edge in axes.edges)
    return *edges, getattr(method, "threshold_bin", "drop")


def _number(method, axes):
    """Number of replicates that a method gets by default."""
    if getattr(method, "costly", False):
        return COSTLY
    return int(np.clip(N_BINS // np.prod(axes.shape), FEW, MANY))


def _runs(setting, stack):
    """Expected and observed events of each run."""
    return setting.expected.run_counts, np.asarray(stack.run_counts)


def _cubes(attempts, setting, own):
    """The cubes of all stores, with their exposure."""
    cubes = []
    for number, attempt in enumerate(attempts):
        if attempt.reason:
            raise ValueError(f"store {number}: {attempt.reason}")
        cubes.append(with_exposure(attempt.cube, setting.claimed, own))
        check_rates(cubes[-1], setting.true)
        if reason := own and wrong_counts(attempt.cube):
            raise ValueError(reason)
    return cubes


def _descriptions(pair, perfect=None):
    """Metrics of the first cube, and their values for noise-free counts."""
    values = {metric.name: metric(pair) for metric in CUBE_METRICS.values()}
    if perfect is None:
        return values, {}
    metrics = [metric for metric in CUBE_METRICS.values() if metric.shows_bias]
    return values, {metric.name: metric(perfect).value for metric in metrics}


def _difference(cube, other):
    """Largest relative difference of two rates."""
    rates = [np.nan_to_num(c.per("livetime").rate) for c in (cube, other)]
    largest = np.maximum(*np.abs(rates))
    return float(np.max(np.abs(rates[0] - rates[1]) / np.where(largest > 0, largest, 1.0)))


def _is_coarser(axes, common):
    return any(own < other for own, other in zip(axes.shape, common.shape, strict=True))


def _check_coverage(setting, common):
    """Refuse a cube over a small part of the field, where a method can be accurate more easily."""
    fraction = setting.true.counts.sum() / common.true.counts.sum()
    if not fraction >= LEAST_FRACTION:
        text = f"got a cube over {fraction:.1%} of the events in the axes of 2015"
        raise ValueError(f"{text}, expected {LEAST_FRACTION:.0%} or more")
