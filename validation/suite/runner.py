"""Running the suite: scenario × method → results, and the cubes that figures show."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from astropy.table import Table

from simbg.axes import edition2015_axes
from simbg.errors import in_one_line
from simbg.io.cubes import read_cube
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection, open_store
from simbg.observations.exposure import stack_observations
from simbg.observations.groups import Groups
from simbg.parallel import announce
from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.registry import find_method
from simbg.simulation.experiment import Experiment
from simbg.validation.leaderboard.standing import (
    Standing,
    make_standing,
    rebuild_stores,
)
from simbg.validation.methods.candidates import PER_RUN, Candidate
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure
from simbg.validation.metrics.registry import CUBE_METRICS, METRICS
from simbg.validation.metrics.single_runs import expected_values, held_out_values
from simbg.validation.metrics.status import Status
from simbg.validation.suite.convergence import converge
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.known_failures import drift
from simbg.validation.suite.replicates import make_setting, replicate
from simbg.validation.suite.results import Result

__all__ = ["PATHS", "Outcome", "run_scenario", "run_suite"]

# How events reach the methods: as a data store on disk, or straight from memory.
PATHS = {"realistic": "gadf", "night": "hess"}
# Where convergence with exposure is shown.
CONVERGENCE = ("seed-2015", "realistic", "night", "threshold-bin")
ONE_GROUP = Groups((0, 90), (-90, 270))
N_REPLICATES = 20
# Of all events, what the axes of a method must hold: most of them.
LEAST = 0.5
# A model a run: groups of a fifth of the runs, interpolated, with a norm of its own.
RUN_GROUPS = 5


@dataclass(frozen=True, eq=False)
class Outcome:
    """One method in one scenario: the cubes, what was measured, and where it stands."""

    scenario: object
    method: str
    pair: CubePair | None
    results: tuple[Result, ...]
    convergence: object = None
    standing: Standing | None = None


def run_suite(scenarios, methods, seed, executor=None, replicates=0):
    """Run all methods on all scenarios and judge the results together.

    Methods that are not ours run in processes of their own, on GADF stores.

    Parameters
    ----------
    scenarios : sequence of Scenario
    methods : sequence of str or Candidate
    seed : int
    executor : concurrent.futures.Executor, optional
    replicates : int
        Stores of each scenario for a leaderboard; 0 for none.

    Returns
    -------
    outcomes : list of Outcome
        The same for any executor.
    """
    outcomes, truths, ways = [], [], [Candidate.of(method) for method in methods]
    for scenario in scenarios:
        # Scenarios of one truth and one mix of zeniths lose alike: once is enough.
        announce(executor, scenario.name)
        new = scenario.name in CONVERGENCE and scenario.truth not in truths
        truths.append(scenario.truth)
        outcomes += run_scenario(scenario, ways, seed, executor, new, replicates)
    results = [result for outcome in outcomes for result in outcome.results]
    ours = [way.name for way in ways if way.ours]
    announce(executor, "known failures")
    judged = iter(judge(results, drift=drift(scenarios, ours, executor)))
    return [
        replace(outcome, results=tuple(next(judged) for _ in outcome.results))
        for outcome in outcomes
    ]


def run_scenario(scenario, methods, seed, executor=None, with_convergence=False, replicates=0):
    """Simulate a scenario, along its path, and rebuild it with each method."""
    experiment, ways = Experiment.of(scenario, seed), [Candidate.of(method) for method in methods]
    scheme = "gadf" if scenario.per_run else PATHS.get(scenario.name)
    with tempfile.TemporaryDirectory() as folder:
        if scheme:
            experiment.write(Path(folder) / "store", scheme, executor=executor)
        isolated = rebuild_stores(experiment, ways, replicates, Path(folder), executor)
        runner = _Runner(experiment, Path(folder), scheme, executor)
        outcomes = [runner.run(way, with_convergence, isolated[way]) for way in ways]
        if scenario.per_run and "histogram" in [way.name for way in ways]:
            outcomes.append(runner.run_per_run())
        return outcomes


@dataclass(frozen=True)
class _Runner:
    """What the methods of one scenario share."""

    experiment: Experiment
    folder: Path
    scheme: str | None
    executor: object
    # Methods share what is exact, and what was counted.
    _settings: dict = field(default_factory=dict)
    _run_counts: dict = field(default_factory=dict)

    @property
    def scenario(self):
        return self.experiment.scenario

    def _about(self, method):
        return {
            "scenario": self.scenario.name,
            "digest": self.scenario.digest,
            "method": method,
            "seed": self.experiment.seed,
            "ignored": self.scenario.ignored,
        }

    def run(self, way, with_convergence, isolated):
        """One method; whatever it raises is a result."""
        try:
            return self._run(way, with_convergence, isolated)
        except (Exception, SystemExit) as error:
            return self._failed(way.name, in_one_line(error), next(iter(isolated), None))

    def _run(self, way, with_convergence, isolated):
        name, about = way.name, self._about(way.name)
        if way.ours:
            method = find_method(name)
            reco = self._through_files(name) if self.scheme else self._in_memory(method)
            setting = self._setting(method, reco.axes)
        elif isolated[0].reason:
            return self._failed(name, isolated[0].reason, isolated[0])
        else:
            method = isolated[0]
            setting = self._setting(method, method.cube.axes)
            _covers(setting, self._setting(method, edition2015_axes(len(self.experiment.runs))))
            reco = with_exposure(method.cube, setting.claimed, way.kind == "method")
        pair, noise_free = self._pairs(method, setting, reco)
        results = [
            _measure(metric, pair, noise_free, about, metric in self.scenario.must_fail)
            for metric in CUBE_METRICS
        ]
        if self.scenario.per_run and name == "histogram":
            results += self._runs_of_one_cube(reco, noise_free.reco, about)
        convergence = standing = None
        if noise_free is not None:
            results += self._replicates(setting, about)
            if with_convergence:
                convergence = converge(self.experiment, name, method, self.executor)
        if len(isolated) > 1 or way.kind == "files":
            about = way.kind == "method", self._common(pair.true.axes)
            standing = make_standing(self.experiment, name, setting, isolated, *about)
        return Outcome(self.scenario, name, pair, tuple(results), convergence, standing)

    def _failed(self, name, reason, isolated=None):
        failure = Result(**self._about(name), metric="run", status=Status.ERROR, reason=reason)
        standing = Standing(self.scenario.name, name, reason)
        if isolated is not None:
            names = ("seconds", "megabytes", "known")
            standing = replace(standing, **{name: getattr(isolated, name) for name in names})
        return Outcome(self.scenario, name, None, (failure,), None, standing)

    def run_per_run(self):
        """A model a run, as `simbg reconstruct --per-run` writes them."""
        try:
            least = len(self.experiment.runs) // RUN_GROUPS
            selection = Selection(exclude=("none",), groups=ONE_GROUP, group_by=("runs", least))
            out = self.folder / "models-per-run"
            paths = self.folder / "store", out
            reconstruct_store(
                *paths, "gadf", "histogram", selection, executor=self.executor, per_run=True
            )
            norms = Table.read(out / "bg_run_norms.ecsv")
            models = {
                row["OBS_ID"]: (
                    read_cube(out / f"bg_run_{row['OBS_ID']:06d}.fits.gz").per("livetime"),
                    (row["NORM_ERR"] / row["NORM"]) ** 2,
                )
                for row in norms
            }
            others = replace(self.experiment, replicate=1).observations()
            measures = held_out_values([models[run.obs_id] for run in others], others)
        except (Exception, SystemExit) as error:
            return self._failed(PER_RUN, in_one_line(error))
        about = self._about(PER_RUN)
        results = tuple(_result(name, measure, about) for name, measure in measures.items())
        return Outcome(self.scenario, PER_RUN, None, results)

    def _runs_of_one_cube(self, reco, perfect, about):
        others = replace(self.experiment, replicate=1).observations()
        measures = held_out_values([(reco.per("livetime"), 0.0)] * len(others), others)
        expected = expected_values(self.experiment, perfect)
        return [
            _result(name, measure, about, predicted=expected[name].value)
            for name, measure in measures.items()
        ]

    def _observations(self):
        if not self.scheme:
            return self.experiment.observations()
        store = open_store(self.folder / "store")
        return store.observations(store.table)

    def _in_memory(self, method):
        return reconstruct(method, self._observations(), executor=self.executor)

    def _through_files(self, name):
        """As a user would: a store, `simbg reconstruct`, and the files it writes."""
        selection = Selection(exclude=("none",), groups=ONE_GROUP)
        out = self.folder / f"models-{name.replace(':', '-')}"
        reconstruct_store(
            self.folder / "store", out, "auto", name, selection, executor=self.executor
        )
        # One scenario through GADF's file, the other through 2015's, which has no errors.
        kind = {"gadf": "gadf", "hess": "table"}[self.scheme]
        return read_cube(out / f"bg_cube_model_group0_{kind}.fits.gz")

    def _pairs(self, method, setting, reco):
        """The truth at this exposure with the rebuilt cube and with the noise-free one."""
        check_rates(reco, setting.true)
        counted = self._counted(reco.axes, getattr(method, "threshold_bin", "drop"))
        runs = setting.expected.run_counts, counted
        if setting.estimate is None:
            return CubePair(setting.true, reco, None, *runs), None
        if reco.rate_error is None:  # 2015's files have none: it follows from the counts.
            own = replace(setting.expected, counts=reco.counts, livetime=reco.livetime)
            reco = replace(reco, rate_error=setting.estimate(own).rate_error)
        error = setting.perfect.rate_error
        perfect = CubePair(setting.true, setting.perfect, error, noise_free=True)
        return CubePair(setting.true, reco, error, *runs), perfect

    def _setting(self, method, axes):
        key = *_edges(axes), getattr(method, "threshold_bin", "drop")
        if key not in self._settings:
            self._settings[key] = make_setting(self.experiment, method, axes)
        return replace(self._settings[key], estimate=getattr(method, "estimate", None))

    def _common(self, axes):
        """What cubes over other axes than 2015's are held to: bins wholly above the thresholds."""
        common = edition2015_axes(len(self.experiment.runs))
        return None if axes.same_as(common) else self._setting(None, common)

    def _counted(self, axes, threshold_bin):
        """Events of each run above threshold, inside the axes and outside of the regions."""
        key = *_edges(axes), threshold_bin == "drop"
        if key not in self._run_counts:
            observations = self._observations()
            stack = stack_observations(observations, axes, threshold_bin, self.executor)
            self._run_counts[key] = stack.run_counts
        return self._run_counts[key]

    def _replicates(self, setting, about):
        summary = replicate(setting, N_REPLICATES, self.experiment.seed, self.executor, names=())
        return [_result(name, measure, about) for name, measure in summary.measured.items()]


def _covers(setting, common):
    """Refuse a cube of a corner: it is judged over its own bins, and holds there easily."""
    share = setting.true.counts.sum() / common.true.counts.sum()
    if not share >= LEAST:
        raise ValueError(
            f"got a cube over {share:.1%} of the events that 2015's axes hold, expected "
            f"{LEAST:.0%} or more"
        )


def _edges(axes):
    return axes.energy.tobytes(), axes.fov_lon.tobytes(), axes.fov_lat.tobytes()


def _measure(name, pair, noise_free, about, must_fail=False):
    predicted = {"must_fail": must_fail}
    if noise_free is not None and METRICS[name].shows_bias:
        predicted["predicted"] = METRICS[name](noise_free).value
    return _result(name, METRICS[name](pair), about, **predicted)


def _result(name, measure, about, **more):
    return Result(
        **about,
        **more,
        metric=name,
        **asdict(measure),
        source=METRICS[name].source,
    )
