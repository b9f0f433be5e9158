"""One scenario × method: what a method may do wrong is a result, and never a pass."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.candidates import InMemory

from simbg.reconstruction.edition2015 import Default
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
    "OtherCounts": "counts that do not belong to the rate",
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
    *outcomes, _ = run_scenario(TINY, [InMemory(name) for name in names], SEED)
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
    outcome, _ = run_scenario(TINY, [InMemory("no_such_module_at_all:Method")], SEED)
    assert outcome.results[0].status == "error"
    assert "ModuleNotFoundError" in outcome.results[0].reason


def test_through_files():
    """A store, `simbg reconstruct`, the files it writes: ours holds, and a bad one is an error."""
    good, bad, _ = run_scenario(ON_DISK, ["histogram", InMemory(odd("Raises"))], SEED)
    measured = {r.metric: r for r in good.results}
    assert measured.keys() == {n for n, m in METRICS.items() if m.function or m.kind != "runs"}
    assert abs(measured["norm"].value - 1) < 6 * measured["norm"].error
    assert measured["same_cube"].status == "ok"
    assert bad.results[0].status == "error"
    assert "no such" in bad.results[0].reason


def test_simulated_events_are_tested_once_and_not_as_those_of_a_method():
    """By either path, with a budget of their own; events of another truth are found."""
    for scenario in (TINY, ON_DISK):
        first, simulation = run_scenario(scenario, ["histogram"], SEED)
        assert simulation.method == "simulation"
        assert [r.metric for r in simulation.results] == ["count_deviance", "run_dispersion"]
        assert all(r.status == "ok" for r in simulation.results)
        described = [r.status for r in first.results if r.metric == "run_dispersion"]
        assert described == ["info"]


@dataclass(frozen=True)
class Faulty(Default):
    """Its cubes of stores and those of drawn counts differ, as no check of counts alone sees."""

    name = "histogram"
    linear = True

    def reconstruct(self, observations, axes):
        cube = super().reconstruct(observations, axes)
        return replace(cube, rate=cube.rate * (1 + 1e-6))


def test_fault_in_what_the_user_calls(monkeypatch):
    monkeypatch.setattr(type(METHODS), "__getitem__", lambda *_: Faulty)
    outcome, _ = run_scenario(TINY, ["default"], SEED)
    (result,) = [r for r in outcome.results if r.metric == "same_cube"]
    assert result.status == "fail"
    assert_allclose(result.value, 1e-4, rtol=1e-3)


def test_coarse_bins_pay_for_what_they_cannot_see():
    """Raw counts in 20 large bins of the field: little noise, a large bias in the common bins."""
    coarse, renamed, _ = run_scenario(
        TINY, [InMemory(odd("OneBin")), InMemory(odd("Renamed"))], SEED
    )
    answers = [{r.metric: r for r in o.results} for o in (coarse, renamed)]
    assert [a["bias"].status for a in answers] == ["fail", "undecided"]
    assert answers[0]["bias"].value > 30
    assert answers[0]["noise"].value < 0.1


def test_a_small_field_is_judged_where_it_is():
    """Bins outside of the axes of the cube are no bias of it."""
    (narrow, _) = run_scenario(TINY, [InMemory(odd("Within"))], SEED)
    (bias,) = [r for r in narrow.results if r.metric == "bias"]
    assert bias.status == "undecided"


def test_wrong_clock_is_an_error():
    """A rate per observation time with observation times of its own, 10 % too long."""
    (outcome, _) = run_scenario(TINY, [InMemory(odd("LongClock"))], SEED)
    assert outcome.results[0].status == "error"
    assert "ontime" in outcome.results[0].reason


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
    outcome, _ = run_scenario(TINY, [name], SEED)
    results = {r.metric: r for r in outcome.results}
    if not getattr(METHODS[name], "linear", False):
        assert np.isnan(results["bias"].predicted)
        return
    # Without masks there is nothing to measure of them.
    directed = {n for n, m in METRICS.items() if m.kind == "bias"} - {"masked_norm"}
    assert all(np.isfinite(results[metric].predicted) for metric in directed)
    bias = results["bias"].predicted
    assert bias < 1e-7 if name == "histogram" else bias > 1


def test_results_say_where_they_come_from():
    outcome, _ = run_scenario(TINY, [InMemory(odd("Foreign"))], SEED)
    for result in outcome.results:
        assert result.scenario == "tiny"
        assert result.digest == TINY.digest
        assert result.method == odd("Foreign")
        assert result.seed == SEED


def test_models_of_runs_of_a_method_in_a_process_of_its_own():
    """As those of the same method here, since both have the same observations."""
    scenario = replace(SCENARIOS["zenith"], name="tiny", n_obs=10, ontime=600.0)
    ours, others, _ = run_scenario(scenario, ["histogram", odd("Renamed")], SEED)
    for name in ("run_norms", "run_spectra"):
        (here,), (there,) = (
            [r for r in outcome.results if r.metric == name] for outcome in (ours, others)
        )
        assert here.status == "ok"
        assert_allclose(there.value, here.value, rtol=1e-6)  # energies of files are float32
