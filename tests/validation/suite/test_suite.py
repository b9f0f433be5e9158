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
    odd = ("Raises", "Louder", "Foreign")
    methods = [InMemory(f"support.odd_methods:{name}") for name in odd]
    outcomes = run_suite([TINY], methods, SEED)
    statuses = [{r.metric: r.status for r in outcome.results} for outcome in outcomes]
    assert statuses[0] == {"run": "error"}
    assert statuses[1]["norm"] == "fail"
    assert statuses[2]["norm"] == "ok"
    assert "fail" not in statuses[2].values()


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


def test_verdict_begins_with_what_is_wrong():
    def of(*statuses):
        one = Result("s", "0", "m", "norm", ideal=1.0)
        results = [replace(one, status=status) for status in statuses]
        suite = Suite([SimpleNamespace(results=results)], 0)
        return suite.ok, suite.text

    assert of("ok", "info") == (True, "1 of 1 criteria hold")
    bad = "1 criterion fails, 2 errors; 1 of 3 criteria hold, 1 fail by the calculated amount"
    assert of("ok", "known", "fail", "error", "error") == (False, bad)
