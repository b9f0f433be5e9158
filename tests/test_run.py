"""Running the suite: what a method may do wrong is a result, and never a pass."""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simbg.axes import Axes
from simbg.reconstruct import METHODS, Histogram
from simbg.scenarios import SCENARIOS
from simbg.workers import Inline
from validation import run
from validation.criteria import DIRECTED
from validation.metrics import METRICS
from validation.replicates import SUMMARY
from validation.run import run_scenario, run_suite

# In memory, since its name has no path; and as a 2015 store on disk.
TINY = replace(SCENARIOS["night"], name="tiny", n_obs=2, ontime=600.0)
ON_DISK = replace(TINY, name="night")
SEED = 71
AXES = Axes(np.geomspace(0.1, 80, 6), np.linspace(-4, 4, 11), np.linspace(-3, 3, 8))


class Foreign:
    """Its own binning, no ``estimate``: as another library's adapter has it."""

    name = "foreign"

    def default_axes(self, observations):
        return AXES

    def reconstruct(self, observations, axes):
        return self.spoil(Histogram().reconstruct(observations, axes))

    def spoil(self, cube):
        return cube


class Raises(Foreign):
    def spoil(self, cube):
        raise RuntimeError("no such\nthing")


class Exits(Foreign):
    def spoil(self, cube):
        sys.exit(3)


class NotANumber(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=np.full(cube.axes.shape, np.nan))


class OneNotANumber(Foreign):
    def spoil(self, cube):
        rate = cube.rate.copy()
        rate[1, 2, 3] = np.nan
        return replace(cube, rate=rate)


class Infinite(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=cube.rate + np.inf)


class Negative(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=-cube.rate)


class OtherAxes(Foreign):
    def spoil(self, cube):
        return replace(cube, axes=replace(cube.axes, fov_lon=cube.axes.fov_lon + 0.1))


class WrongShape(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=cube.rate[:, :-1])


class NoLivetime(Foreign):
    def spoil(self, cube):
        return replace(cube, livetime=None)


class ZeroLivetime(Foreign):
    def spoil(self, cube):
        return replace(cube, livetime=0 * cube.livetime)


class NoCube(Foreign):
    def spoil(self, cube):
        return None


class Array(Foreign):
    def spoil(self, cube):
        return cube.rate


class NeedsArguments(Foreign):
    def __init__(self, argument):
        pass


class Louder(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=1.2 * cube.rate)


@dataclass(frozen=True)
class Estimating(Foreign):
    """With ``estimate``, so that replicates can be made; which it does not survive."""

    threshold_bin = "drop"

    def estimate(self, stack):
        raise ZeroDivisionError("in an estimate")


NO_METHOD = 3
# What the error says, for each.
WRONG = {
    "Raises": "RuntimeError: no such thing",
    "Exits": "SystemExit: 3",
    "NotANumber": "without any finite rate",
    "OneNotANumber": "got 1 rates of 350 that are negative or no number",
    "Infinite": "without any finite rate",
    "Negative": "negative or no number",
    "OtherAxes": "expected the axes that it was given",
    "WrongShape": "rate of the cube: got shape (5, 9, 7), expected (5, 10, 7)",
    "NoLivetime": "without livetime",
    "ZeroLivetime": "without livetime",
    "NoCube": "returned NoneType, expected a BackgroundCube",
    "Array": "returned ndarray, expected a BackgroundCube",
    "NeedsArguments": "cannot be loaded: TypeError",
    "NO_METHOD": "got int, expected a name and a reconstruct()",
    "NOTHING": "cannot be loaded: AttributeError",
    "Estimating": "ZeroDivisionError: in an estimate",
}


def here(name):
    return f"{__name__}:{name}"


@pytest.mark.parametrize("name", WRONG)
def test_a_method_that_fails_is_an_error_and_no_abort(name):
    """One result with the reason in one line; the method after it runs as if it were alone."""
    bad, good = run_scenario(TINY, [here(name), here("Foreign")], SEED)
    (result,) = bad.results
    assert (result.metric, result.status, result.method) == ("run", "error", here(name))
    assert WRONG[name] in result.reason
    assert "\n" not in result.reason
    assert bad.pair is None
    assert {r.metric for r in good.results} == set(METRICS)


def test_module_that_does_not_exist():
    (outcome,) = run_scenario(TINY, ["no_such_module_at_all:Method"], SEED)
    assert outcome.results[0].status == "error"
    assert "ModuleNotFoundError" in outcome.results[0].reason


def test_errors_are_kept_by_the_judge():
    """Together with others: error, fail and ok side by side, and the error is no pass."""
    methods = [here("Raises"), here("Louder"), here("Foreign")]
    outcomes = run_suite([TINY], methods, SEED)
    statuses = [{r.metric: r.status for r in outcome.results} for outcome in outcomes]
    assert statuses[0] == {"run": "error"}
    assert statuses[1]["norm"] == "fail"
    assert statuses[2]["norm"] == "ok"
    assert "fail" not in statuses[2].values()


def test_through_files():
    """A store, `simbg reconstruct`, the files it writes: ours holds, and a bad one is an error."""
    assert run.PATHS[ON_DISK.name] == "hess"
    good, bad = run_scenario(ON_DISK, ["histogram", here("Raises")], SEED)
    measured = {r.metric: r for r in good.results}
    assert measured.keys() == METRICS.keys() | SUMMARY.keys()
    assert abs(measured["norm"].value - 1) < 6 * measured["norm"].error
    assert bad.results[0].status == "error"
    assert "no such" in bad.results[0].reason


def test_files_and_memory_agree():
    """The same runs by either path: the same cube, but for the names that seed them."""
    (memory,) = run_scenario(replace(TINY, name="tiny"), ["histogram"], SEED)
    (disk,) = run_scenario(ON_DISK, ["histogram"], SEED)
    for outcome in (memory, disk):
        value = {r.metric: r for r in outcome.results}
        assert value["count_deviance"].value != 0
        assert abs(value["count_deviance"].value) < 6
        assert abs(value["run_dispersion"].value) < 6


def test_results_do_not_depend_on_the_executor():
    methods = ["histogram", "default", here("Foreign"), here("Exits")]

    def results(executor):
        return [
            (
                r.method,
                r.metric,
                r.status,
                repr(r.value),
                repr(r.error),
                repr(r.predicted),
                r.reason,
            )
            for outcome in run_suite([TINY], methods, SEED, executor)
            for r in outcome.results
        ]

    alone = results(None)
    assert results(Inline()) == alone
    with ProcessPoolExecutor(2) as pool:
        assert results(pool) == alone


def test_another_seed_is_another_result():
    values = [
        run_scenario(TINY, ["histogram"], seed)[0].pair.reco.counts for seed in (SEED, SEED + 1)
    ]
    assert not np.array_equal(*values)


def test_same_seed_is_the_same_result():
    values = [run_scenario(TINY, ["histogram"], SEED)[0].pair.reco.rate for _ in range(2)]
    assert_array_equal(*values)


@pytest.mark.parametrize("name", METHODS)
def test_our_methods_are_measured_and_predicted(name):
    """Directed metrics come with what the method gives without noise, its calculated bias."""
    (outcome,) = run_scenario(TINY, [name], SEED)
    results = {r.metric: r for r in outcome.results}
    # Without masks there is nothing to measure of them.
    directed = set(DIRECTED) - {"masked_norm"}
    assert all(np.isfinite(results[metric].predicted) for metric in directed)
    bias = abs(results["width"].predicted - 1)
    assert bias < 1e-9 if name == "histogram" else bias > 0.01


def test_results_say_where_they_come_from():
    (outcome,) = run_scenario(TINY, [here("Foreign")], SEED)
    for result in outcome.results:
        assert result.scenario == "tiny"
        assert result.digest == TINY.digest
        assert result.method == here("Foreign")
        assert result.seed == SEED


def test_convergence_once_a_truth(monkeypatch):
    """Scenarios of one truth lose alike: the first has it, the second does not need it."""
    seen = []
    monkeypatch.setattr(run, "CONVERGENCE", ("tiny", "again", "other"))
    monkeypatch.setattr(run, "converge", lambda scenario, *args: seen.append(scenario.name))
    other = replace(TINY, name="other", truth=replace(TINY.truth, index=2.4))
    run_suite([TINY, replace(TINY, name="again"), other], ["histogram"], SEED)
    assert seen == ["tiny", "other"]
