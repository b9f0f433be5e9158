"""One method in one scenario: its cube, its measurements, and the outcome."""

import math
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import edition2015_axes
from simbg.errors import in_one_line
from simbg.observations.exposure import stack_observations
from simbg.reconstruction.registry import find_method
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.validation.methods.candidates import Candidate
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure
from simbg.validation.metrics.registry import CUBE_METRICS, METRICS
from simbg.validation.metrics.single_runs import RunCounts, expected_values, run_values
from simbg.validation.metrics.status import Status
from simbg.validation.suite.convergence import Convergence
from simbg.validation.suite.replicates import Setting
from simbg.validation.suite.results import Result
from simbg.validation.suite.routes import InMemory, Isolated, ThroughStore, route_of_ours

__all__ = ["Outcome", "run_scenario"]

N_REPLICATES = 20
# Least fraction of all events that the axes of a method must hold.
LEAST_FRACTION = 0.5


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
        One for each metric, or the error.
    convergence : Convergence, optional
        Loss against exposure.
    score : object, optional
        Return value of the ``score`` of `run_scenario`.
    """

    scenario: Scenario
    method: str
    cubes: CubePair | None
    results: tuple[Result, ...]
    convergence: Convergence | None = None
    score: Any = None


def run_scenario(
    scenario: Scenario,
    methods: Iterable[str | Candidate],
    seed: int,
    executor: Executor | None = None,
    with_convergence: bool = False,
    replicates: int = 0,
    score: Callable[..., Any] | None = None,
) -> list[Outcome]:
    """Simulate a scenario, reconstruct it with each method, and measure the cubes.

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
    replicates : int
        Number of stores that every method reconstructs in a process of its own, for ``score``.
    score : callable, optional
        See `simbg.validation.leaderboard.score.Score.of`.

    Returns
    -------
    outcomes : list of Outcome
        One for each method. An exception of a method becomes a result with the status "error".
    """
    experiment = Experiment.of(scenario, seed)
    candidates = [Candidate.of(method) for method in methods]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = route_of_ours(experiment, folder, executor)
        isolated = Isolated.of(experiment, candidates, replicates, folder, executor)
        runner = _Runner(experiment, ours, isolated, executor, score)
        outcomes = [runner.run(candidate, with_convergence) for candidate in candidates]
        if scenario.per_run and "histogram" in [candidate.name for candidate in candidates]:
            outcomes.append(runner.run_models_of_runs())
        return outcomes


@dataclass(frozen=True, eq=False)
class _Runner:
    """Runs the methods of one scenario, and keeps the expectations and counts that they share."""

    experiment: Experiment
    ours: InMemory | ThroughStore
    isolated: Isolated
    executor: Executor | None
    score: Callable | None
    settings: dict[tuple, Setting] = field(default_factory=dict)
    run_counts: dict[tuple, np.ndarray] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        return self.experiment.scenario

    def run(self, candidate: Candidate, with_convergence: bool) -> Outcome:
        """The outcome of a method; an exception becomes a result."""
        try:
            attempt = (self.ours if candidate.ours else self.isolated).reconstruct(candidate)
            if not attempt.reason:
                return self._measured(candidate, attempt, with_convergence)
            reason = attempt.reason
        except (Exception, SystemExit) as error:
            reason = in_one_line(error)
        attempts = self.isolated.attempts[candidate]
        score = self.score and self.score(self.experiment, candidate, attempts, reason=reason)
        return self._failed(candidate.name, reason, score)

    def run_models_of_runs(self) -> Outcome:
        """The outcome of the models of single runs that `simbg reconstruct --per-run` writes."""
        try:
            if not isinstance(self.ours, ThroughStore):
                raise TypeError(f"scenario {self.scenario.name}: it has no store")
            models, runs = self.ours.models_of_runs(), self._unseen_runs()
            values = run_values([RunCounts.of(run, *models[run.obs_id]) for run in runs])
        except (Exception, SystemExit) as error:
            return self._failed(Candidate.PER_RUN, in_one_line(error))
        results = self._results(Candidate.PER_RUN, values, {})
        return Outcome(self.scenario, Candidate.PER_RUN, None, results)

    def _failed(self, name, reason, score=None):
        failure = Result(metric="run", status=Status.ERROR, reason=reason, **self._identity(name))
        return Outcome(self.scenario, name, None, (failure,), None, score)

    def _measured(self, candidate, attempt, with_convergence):
        name, cube = candidate.name, attempt.cube
        method = find_method(name) if candidate.ours else attempt
        common_axes = edition2015_axes(len(self.experiment.runs))
        setting = self._setting(method, cube.axes)
        if not candidate.ours:
            _check_coverage(setting, self._setting(method, common_axes))
            cube = with_exposure(cube, setting.claimed, candidate.kind == "method")
        cubes, noise_free = self._pairs(method, setting, cube)
        values = {metric.name: metric(cubes) for metric in CUBE_METRICS.values()}
        predicted, convergence, score = {}, None, None
        if noise_free is not None:
            expected = {m.name: m(noise_free) for m in CUBE_METRICS.values() if m.shows_bias}
            if self.scenario.per_run and name == "histogram":
                model, runs = cube.per("livetime"), self._unseen_runs()
                values |= run_values([RunCounts.of(run, model) for run in runs])
                expected |= expected_values(self.experiment, noise_free.reco)
            predicted = {metric: value.value for metric, value in expected.items()}
            values |= setting.replicate(N_REPLICATES, self.experiment.seed, self.executor)
            if with_convergence:
                convergence = Convergence.of(self.experiment, name, method, self.executor)
        attempts = self.isolated.attempts[candidate]
        if self.score and (len(attempts) > 1 or candidate.kind == "files"):
            # A few large bins would have little noise but no detail. Therefore cubes over other
            # axes are compared in common bins.
            common = None if cube.axes.same_as(common_axes) else self._setting(None, common_axes)
            score = self.score(self.experiment, candidate, attempts, setting, common)
        results = self._results(name, values, predicted)
        return Outcome(self.scenario, name, cubes, results, convergence, score)

    def _pairs(self, method, setting, cube):
        """The truth with the reconstructed cube, and with that of noise-free counts."""
        check_rates(cube, setting.true)
        counted = self._counted(cube.axes, getattr(method, "threshold_bin", "drop"))
        runs = setting.expected.run_counts, counted
        if setting.estimate is None:
            return CubePair(setting.true, cube, None, *runs), None
        if cube.rate_error is None:  # files of 2015 have no errors; they follow from the counts
            own = replace(setting.expected, counts=cube.counts, livetime=cube.livetime)
            cube = replace(cube, rate_error=setting.estimate(own).rate_error)
        error = setting.perfect.rate_error
        noise_free = CubePair(setting.true, setting.perfect, error, noise_free=True)
        return CubePair(setting.true, cube, error, *runs), noise_free

    def _unseen_runs(self):
        return replace(self.experiment, replicate=1).observations()

    def _setting(self, method, axes):
        key = *_edges(axes), getattr(method, "threshold_bin", "drop")
        if key not in self.settings:
            self.settings[key] = Setting.of(self.experiment, method, axes)
        return replace(self.settings[key], estimate=getattr(method, "estimate", None))

    def _counted(self, axes, threshold_bin):
        """Events of each run above the threshold, inside the axes and outside excluded regions."""
        key = *_edges(axes), threshold_bin == "drop"
        if key not in self.run_counts:
            runs = self.ours.observations()
            stack = stack_observations(runs, axes, threshold_bin, self.executor)
            self.run_counts[key] = np.asarray(stack.run_counts)
        return self.run_counts[key]

    def _results(self, method, values, predicted):
        """A result for each metric, with its value and its predicted bias."""
        return tuple(
            Result(
                metric=name,
                **asdict(value),
                predicted=predicted.get(name, math.nan),
                source=METRICS[name].source,
                must_fail=name in self.scenario.must_fail,
                **self._identity(method),
            )
            for name, value in values.items()
        )

    def _identity(self, method):
        scenario, seed = self.scenario, self.experiment.seed
        names = {"scenario": scenario.name, "digest": scenario.digest, "method": method}
        return names | {"seed": seed, "ignored": scenario.ignored}


def _check_coverage(setting, common):
    """Refuse a cube over a small part of the field, where a method can be accurate more easily."""
    fraction = setting.true.counts.sum() / common.true.counts.sum()
    if not fraction >= LEAST_FRACTION:
        text = f"got a cube over {fraction:.1%} of the events in the axes of 2015"
        raise ValueError(f"{text}, expected {LEAST_FRACTION:.0%} or more")


def _edges(axes):
    return axes.energy.tobytes(), axes.fov_lon.tobytes(), axes.fov_lat.tobytes()
