"""One scenario × method: what a method may do wrong is a result, and never a pass."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.candidates import InMemory

from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite.method_in_scenario import run_scenario
from simbg.validation.suite.suite import run_suite

# In memory, since its name has no path; and as a 2015 store on disk.
TINY = replace(SCENARIOS["night"], name="tiny", n_obs=2, ontime=600.0)
ON_DISK = replace(TINY, name="night")
SEED = 71

# What the error says, for each.
WRONG = {
    "Raises": "RuntimeError: no such thing",
    "Exits": "SystemExit: 3",
    "NotANumber": "finite rate",
    "OneNotANumber": "got 1 of 350 rates",
    "Infinite": "finite rate",
    "Negative": "got 167 of 350 rates",
    "Huge": "got 350 of 350 rates",
    "OtherAxes": "axes",
    "Narrow": "got a cube over 0.1% of the events",
    "WrongShape": "rate of the cube: got shape (5, 9, 7), expected (5, 10, 7)",
    "ZeroLivetime": "without livetime",
    "NoCube": "returned NoneType, expected a BackgroundCube",
    "Array": "returned ndarray, expected a BackgroundCube",
    "NeedsArguments": "cannot be loaded: TypeError",
    "NO_METHOD": "got int, expected an object with a name and reconstruct()",
    "NOTHING": "cannot be loaded: AttributeError",
}


def odd(name):
    return f"support.odd_methods:{name}"


@pytest.fixture(scope="module")
def wrong():
    """Outcomes of all of them together, by name."""
    names = [odd(name) for name in WRONG]
    outcomes = run_scenario(TINY, [InMemory(name) for name in names], SEED)
    return dict(zip(WRONG, outcomes, strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_a_method_that_fails_is_an_error_and_no_abort(name, wrong):
    """One result with the reason in one line."""
    (result,) = wrong[name].results
    assert (result.metric, result.status, result.method) == ("run", "error", odd(name))
    assert WRONG[name] in result.reason
    assert "\n" not in result.reason
    assert wrong[name].cubes is None


def test_module_that_does_not_exist():
    (outcome,) = run_scenario(TINY, [InMemory("no_such_module_at_all:Method")], SEED)
    assert outcome.results[0].status == "error"
    assert "ModuleNotFoundError" in outcome.results[0].reason


def test_through_files():
    """A store, `simbg reconstruct`, the files it writes: ours holds, and a bad one is an error."""
    good, bad = run_scenario(ON_DISK, ["histogram", InMemory(odd("Raises"))], SEED)
    measured = {r.metric: r for r in good.results}
    assert measured.keys() == {n for n, m in METRICS.items() if m.function or m.kind != "runs"}
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
    methods = ["default", InMemory(odd("Foreign"))]

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
    assert results(ThreadPoolExecutor(1)) == alone
    with ProcessPoolExecutor(2) as pool:
        assert results(pool) == alone


def test_another_seed_is_another_result():
    values = [
        run_scenario(TINY, ["histogram"], seed)[0].cubes.reco.counts for seed in (SEED, SEED + 1)
    ]
    assert not np.array_equal(*values)


def test_same_seed_is_the_same_result():
    values = [run_scenario(TINY, ["histogram"], SEED)[0].cubes.reco.rate for _ in range(2)]
    assert_array_equal(*values)


@pytest.mark.parametrize("name", METHODS)
def test_our_methods_are_measured_and_predicted(name):
    """Directed metrics come with what the method gives without noise, its calculated bias."""
    (outcome,) = run_scenario(TINY, [name], SEED)
    results = {r.metric: r for r in outcome.results}
    # Without masks there is nothing to measure of them.
    directed = {n for n, m in METRICS.items() if m.kind == "bias"} - {"masked_norm"}
    assert all(np.isfinite(results[metric].predicted) for metric in directed)
    bias = abs(results["width"].predicted - 1)
    assert bias < 1e-9 if name == "histogram" else bias > 0.01


def test_results_say_where_they_come_from():
    (outcome,) = run_scenario(TINY, [InMemory(odd("Foreign"))], SEED)
    for result in outcome.results:
        assert result.scenario == "tiny"
        assert result.digest == TINY.digest
        assert result.method == odd("Foreign")
        assert result.seed == SEED
