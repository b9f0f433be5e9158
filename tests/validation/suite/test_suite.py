"""The suite: results of all methods are judged together, and the verdict says what is wrong."""

from dataclasses import replace
from types import SimpleNamespace

from support.candidates import InMemory

from simbg.simulation.library import SCENARIOS
from simbg.validation.suite import suite as suite_module
from simbg.validation.suite.convergence import Convergence
from simbg.validation.suite.results import Result
from simbg.validation.suite.suite import Suite, run_suite

TINY = replace(SCENARIOS["night"], name="tiny", n_obs=2, ontime=600.0)
SEED = 71


def test_errors_are_kept_by_the_judge():
    """Together with others: error, fail and ok side by side; what comes after an error runs."""
    odd = ("Raises", "Louder", "Renamed")
    methods = [InMemory(f"support.odd_methods:{name}") for name in odd]
    outcomes = run_suite([TINY], methods, SEED)
    statuses = [{r.metric: r.status for r in outcome.results} for outcome in outcomes]
    assert statuses[0] == {"run": "error"}
    assert statuses[1]["bias"] == "fail"
    assert statuses[2]["bias"] in ("ok", "undecided")
    assert "fail" not in statuses[2].values()
    assert "fail" not in statuses[3].values()  # the simulation


def test_convergence_once_a_truth(monkeypatch):
    """Scenarios of one truth lose alike: the first has it, the second does not need it."""
    seen = []
    monkeypatch.setattr(suite_module, "CONVERGENCE", ("tiny", "again", "other"))

    def of(experiment, *args):
        seen.append(experiment.scenario.name)

    monkeypatch.setattr(Convergence, "of", of)
    other = replace(TINY, name="other", truth=replace(TINY.truth, index=2.4))
    run_suite([TINY, replace(TINY, name="again"), other], ["histogram"], SEED)
    assert seen == ["tiny", "other"]


def test_methods_of_a_history_run_in_its_scenarios_only():
    """The verdict does not tell of them unless they fail."""
    scenarios = [TINY, replace(TINY, name="other")]
    outcomes = run_suite(scenarios, ["histogram", "michi"], SEED, only={"michi": ("tiny",)})
    pairs = [(outcome.scenario.name, outcome.method) for outcome in outcomes]
    assert ("tiny", "michi") in pairs
    assert ("other", "histogram") in pairs
    assert ("other", "michi") not in pairs
    assert "michi" in Suite(outcomes, SEED).text
    assert "michi" not in Suite(outcomes, SEED, history=("michi",)).text
    assert "m is biased" in suite_of("fail", history=("m",)).text


def suite_of(*statuses, **more):
    one = Result("s", "0", "m", "bias", 1.0, ideal=0.0)
    results = [replace(one, status=status) for status in statuses]
    return Suite([SimpleNamespace(results=results, method="m", flux=None)], 0, **more)


def test_verdict_begins_with_what_is_wrong():
    suite = suite_of("ok", "known", "fail", "error", "error")
    assert (suite.ok, suite.text) == (
        False,
        "1 criterion fails; 2 errors; m is biased in 1 scenario",
    )
    assert suite_of("ok", "info").text == "m is unbiased"
    assert suite_of("ok", baseline_holds=False).text.startswith("worse than the baseline; ")


def test_undecided_is_no_failure_unless_strict():
    for status in ("undecided", "warning"):
        assert suite_of("ok", status).ok
        assert not suite_of("ok", status, strict=True).ok
    assert suite_of("ok", "known", strict=True).ok
    text = "m is unbiased in 1 of 2 scenarios, undecided in 1"
    assert suite_of("ok", "undecided").text == text
    assert suite_of("undecided").text == "m is undecided in 1 scenario"
    assert [suite_of(s).status for s in ("ok", "undecided", "fail")] == ["ok", "undecided", "fail"]


def test_verdict_on_a_method():
    """Its largest bias, accuracy in the main scenario, errors and arrival, with their scenarios."""

    def result(metric, value, scenario="night", status="ok", **more):
        return Result(scenario, "0", "m", metric, value, 0.1, status=status, **more)

    results = [
        result("bias", 0.2, upper=0.5),
        result("bias", 0.4, "drift", upper=0.9),
        result("bias", 20.0, "source-ignored", "known", ignored="no masks"),
        result("accuracy", 30.0, status="info"),
        result("accuracy", 12.0, "realistic", status="info"),
        result("noise", 0.9),
        result("honesty", 1.01),
        result("arrival", 0.0, status="warning", reason="empty bins"),
    ]
    (verdict,) = Suite([SimpleNamespace(results=results, method="m", flux=None)], 0).verdicts
    assert verdict.word == "unbiased"
    assert verdict.bias == "0.4 % rms (0.9 % at most, 95 % confidence), in drift"
    assert verdict.accuracy.startswith("12 ± 0.1 % rms in realistic")
    assert "1.01" in verdict.errors
    assert "1.01 to 1.01" not in verdict.errors
    assert "1 scenario" in verdict.arrival
    assert verdict.errors.startswith("✓")
    results.append(result("honesty", 0.8, "drift", "undecided"))
    (verdict,) = Suite([SimpleNamespace(results=results, method="m", flux=None)], 0).verdicts
    assert verdict.errors.startswith("?")


def test_verdict_states_what_is_required():
    """A method that promises little is unbiased within little."""
    result = Result("night", "0", "m", "bias", 3.0, status="ok", upper=6.0, limit=500.0)
    (verdict,) = Suite([SimpleNamespace(results=[result], method="m", flux=None)], 0).verdicts
    assert verdict.word == "unbiased within 500 %"
    assert "allowed 500 %" in verdict.bias


def test_noise_above_a_promise_is_not_above_that_of_raw_counts():
    def accuracy(noise):
        one = Result("night", "0", "m", "accuracy", 12.0, 0.1, status="info")
        results = [one, replace(one, metric="noise", value=noise, status="fail")]
        (verdict,) = Suite([SimpleNamespace(results=results, method="m", flux=None)], 0).verdicts
        return verdict.accuracy

    assert "noisier than promised" in accuracy(0.9)
    assert "noisier than raw counts" in accuracy(1.9)


def test_requirement_and_number_of_replicates():
    """Of the user; with four replicates less is known than with many."""
    results = [
        run_suite([TINY], ["histogram"], SEED, **more)[0].results[0]
        for more in ({"replicates": 200}, {"require": 0.3}, {"replicates": 4})
    ]
    assert [r.limit for r in results] == [1.0, 30.0, 1.0]
    assert [r.status for r in results] == ["ok", "ok", "undecided"]
    assert results[2].upper > results[0].upper
