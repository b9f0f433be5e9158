"""Known failures are accepted as the numbers they were, and as no others."""

import json
from dataclasses import replace
from itertools import product

import numpy as np

from simbg.reconstruction import edition2015
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite import known_failures as known
from simbg.validation.suite.known_failures import changed_biases, known_questions
from simbg.validation.suite.suite import run_suite

NIGHT = SCENARIOS["night"]


def test_every_calculated_bias_is_committed_and_none_has_changed():
    """Four scenarios; `nox -s validate` calculates those of all."""
    some = [SCENARIOS[name] for name in ("night", "dead-camera", "source", "rolling-threshold")]
    assert changed_biases(product(some, METHODS)) == {}
    committed = json.loads(known.FILE.read_text())
    for scenario in SCENARIOS.values():
        for method in ("histogram", "default", "michi"):
            assert f"{scenario.name} {scenario.digest} {method} all bins" in committed


def test_raw_counts_are_exact_where_no_threshold_and_no_source_is():
    """The bias that is committed for histogram: rounding, or what scenarios say."""
    committed = json.loads(known.FILE.read_text())
    for scenario in SCENARIOS.values():
        bias = committed[f"{scenario.name} {scenario.digest} histogram all bins"]
        # 0.1 TeV is an edge of bins.
        inexact = scenario.sources or scenario.energy_threshold not in (0, 0.1)
        assert (bias < 1e-9) == (not inexact), scenario.name
        assert scenario.ignored or bias < 0.01


def test_known_failures_have_reasons():
    """Of our methods, of questions, in words."""
    for (method, question), reason in known.KNOWN.items():
        assert method in METHODS
        assert METRICS[question].kind in ("question", "runs")
        assert len(reason.split()) >= 4
        assert known_questions(method)[question] == reason
    assert known_questions("histogram").keys() == {"arrival"}
    assert known_questions("spline") == {}


def test_one_pass_more_is_no_known_failure(monkeypatch):
    monkeypatch.setattr(edition2015, "n_passes", lambda counts: 6)
    found = changed_biases([(NIGHT, "default")])
    assert ("night", "default") in found
    assert "is committed" in found["night", "default"]


def test_no_smoothing_at_all_is_a_known_failure_that_is_gone(monkeypatch):
    """With the fault mended every criterion may hold, and the suite must say so all the same."""
    monkeypatch.setattr(edition2015, "smooth", lambda cube, axes, passes: np.asarray(cube, float))
    found = changed_biases([(NIGHT, "default")])
    assert ("night", "default") in found


def test_dead_time_forgotten_is_not_excused_by_flat_solid_angles(monkeypatch):
    def forgetful(self, stack):
        return right(self, replace(stack, livetime=stack.ontime))

    right = edition2015.Default.estimate
    monkeypatch.setattr(edition2015.Default, "estimate", forgetful)
    found = changed_biases([(NIGHT, "default")])
    assert ("night", "default") in found


def test_edited_scenario_has_no_committed_bias(monkeypatch):
    """One of the library; a drawn scenario of a ranking is not of the library."""
    edited = replace(NIGHT, n_obs=3)
    assert changed_biases([(edited, "michi")]) == {}
    monkeypatch.setitem(SCENARIOS, "night", edited)
    found = changed_biases([(edited, "michi")])
    assert found.keys() == {("night", "michi")}
    assert all("regenerate" in text for text in found.values())


def test_changed_bias_fails_in_the_suite(monkeypatch):
    monkeypatch.setattr(edition2015, "n_passes", lambda counts: 6)
    (outcome, _) = run_suite([NIGHT], ["default"], 3)
    (bias,) = [r for r in outcome.results if r.metric == "bias"]
    assert bias.status == "fail"
    assert "is committed" in bias.reason


def test_renewal_says_what_changed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(known, "FILE", tmp_path / "known.json")
    monkeypatch.setattr(known, "SCENARIOS", {"night": NIGHT})
    known.main()
    assert "– → " in capsys.readouterr().out
    kept = json.loads((tmp_path / "known.json").read_text())
    n_parts = {key.split()[2] for key in kept}
    assert n_parts == set(METHODS) & known.CALCULATED
    known.main()
    assert capsys.readouterr().out == f"known.json: {len(kept)} calculated biases\n"
