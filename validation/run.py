"""Running the suite: scenario × method → results, and the cubes that figures show."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from simbg.axes import edition2015_axes
from simbg.io.cubes import read_cube
from simbg.observations import Groups
from simbg.pipeline import Selection, open_store, reconstruct_store
from simbg.reconstruct import find_method
from simbg.reconstruct.histogram import Histogram
from simbg.simulate import expected_stack, observe, write_dataset
from validation.criteria import judge
from validation.metrics import METRICS, Pair
from validation.results import Result

__all__ = ["PATHS", "Outcome", "run_scenario", "run_suite"]

# How events reach the methods: as a data store on disk, or straight from memory.
PATHS = {"realistic": "gadf", "night": "hess"}
ONE_GROUP = Groups((0, 90), (-90, 270))


@dataclass(frozen=True, eq=False)
class Outcome:
    """One method in one scenario: the cubes and what was measured."""

    scenario: object
    method: str
    pair: Pair | None
    results: tuple[Result, ...]


def run_suite(scenarios, methods, seed, executor=None, progress=iter):
    """Run all methods on all scenarios and judge the results together.

    Parameters
    ----------
    scenarios : sequence of Scenario
    methods : sequence of str
    seed : int
    executor : concurrent.futures.Executor, optional
    progress : callable
        Wraps the iteration over scenarios.

    Returns
    -------
    outcomes : list of Outcome
    """
    outcomes = [
        outcome
        for scenario in progress(scenarios)
        for outcome in run_scenario(scenario, methods, seed, executor)
    ]
    judged = iter(judge([result for outcome in outcomes for result in outcome.results]))
    return [
        replace(outcome, results=tuple(next(judged) for _ in outcome.results))
        for outcome in outcomes
    ]


def run_scenario(scenario, methods, seed, executor=None):
    """Simulate a scenario once, along its path, and rebuild it with each method."""
    table = scenario.table(seed)
    scheme = PATHS.get(scenario.name)
    with tempfile.TemporaryDirectory() as folder:
        if scheme:
            write_dataset(
                Path(folder) / "store",
                scenario.truth,
                table,
                scenario.site,
                seed,
                scenario.name,
                scheme,
                executor=executor,
            )
        return [
            _run_method(scenario, method, seed, table, Path(folder), scheme, executor)
            for method in methods
        ]


def _run_method(scenario, name, seed, table, folder, scheme, executor):
    about = {"scenario": scenario.name, "digest": scenario.digest, "method": name, "seed": seed}
    try:
        method = find_method(name)
        reco = (
            _through_files(folder, name, executor)
            if scheme
            else _in_memory(scenario, method, table, seed, executor)
        )
        pair, noise_free = _pairs(scenario, method, table, reco)
        results = [_measure(metric, pair, noise_free, about) for metric in METRICS]
    except (Exception, SystemExit) as error:
        failure = Result(
            **about, metric="run", status="error", reason=f"{type(error).__name__}: {error}"
        )
        return Outcome(scenario, name, None, (failure,))
    return Outcome(scenario, name, pair, tuple(results))


def _in_memory(scenario, method, table, seed, executor):
    if executor is not None and hasattr(method, "executor"):
        method = replace(method, executor=executor)
    observations = observe(scenario.truth, table, seed, scenario.name)
    axes_of = getattr(method, "default_axes", lambda runs: edition2015_axes(len(runs)))
    return method.reconstruct(observations, axes_of(observations))


def _through_files(folder, name, executor):
    """As a user would: a store, `simbg reconstruct`, and the files it writes."""
    selection = Selection(exclude=("none",), groups=ONE_GROUP)
    out = folder / f"models-{name.replace(':', '-')}"
    reconstruct_store(folder / "store", out, "auto", name, selection, executor=executor)
    cube = read_cube(out / "bg_cube_model_group0_table.fits.gz")
    # 2015's table has the livetime only; the runs are known to have one dead time.
    runs = open_store(folder / "store")
    observations = runs.observations(runs.table[:1])
    return replace(cube, ontime=cube.livetime * observations[0].ontime / observations[0].livetime)


def _pairs(scenario, method, table, reco):
    """The truth at this exposure with the rebuilt cube, and with the method's noise-free one."""
    axes = reco.axes
    true = Histogram().estimate(expected_stack(scenario.truth, table, axes))
    if not hasattr(method, "estimate"):
        return Pair(true, reco), None
    expected = expected_stack(scenario.truth, table, axes, method.partial_bin)
    perfect = method.estimate(expected)
    return Pair(true, reco, perfect.rate_error), Pair(true, perfect, perfect.rate_error)


def _measure(name, pair, noise_free, about):
    measure = METRICS[name](pair)
    predicted = {} if noise_free is None else {"predicted": METRICS[name](noise_free).value}
    return Result(
        **about,
        metric=name,
        value=measure.value,
        error=measure.error,
        ideal=measure.ideal,
        unit=measure.unit,
        **predicted,
    )
