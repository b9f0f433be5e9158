"""Known failures are accepted as the numbers they were, and as no others."""

import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from simbg.reconstruction import edition2015
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.registry import METRICS
from simbg.validation.suite import known_failures as known
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.known_failures import changed_biases, known_metrics
from simbg.validation.suite.results import Result

NIGHT = SCENARIOS["night"]


def test_every_known_failure_is_kept_and_none_has_drifted():
    assert changed_biases(SCENARIOS.values(), METHODS) == {}
    expected = {
        f"{s.name} {s.digest} {method} {metric}"
        for s in SCENARIOS.values()
        for method in METHODS
        for metric in known_metrics(s, method)
    }
    assert json.loads(known.FILE.read_text()).keys() == expected


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_known_failures_have_reasons(scenario):
    """What may fail is a metric, and says why where it fails by as much as is calculated."""
    for method in METHODS:
        for name in known_metrics(scenario, method):
            value = METRICS[name].value(9.0, 0.01, 1.0)
            result = Result(
                *(scenario.name, "", method, name, *astuple(value)),
                predicted=9.0,
                ignored=scenario.ignored,
            )
            (judged,) = judge([result])
            assert judged.status in ("known", "info")
            assert len(judged.reason.split()) >= 4


def test_one_pass_more_is_no_known_failure(monkeypatch):
    monkeypatch.setattr(edition2015, "n_passes", lambda counts: 6)
    found = changed_biases([NIGHT], ["default"])
    assert ("night", "default", "width") in found
    assert "is committed" in found["night", "default", "width"]


def test_no_smoothing_at_all_is_a_known_failure_that_is_gone(monkeypatch):
    """With the fault mended every criterion may hold, and the suite must say so all the same."""
    monkeypatch.setattr(edition2015, "smooth", lambda cube, axes, passes: np.asarray(cube, float))
    found = changed_biases([NIGHT], ["default"])
    assert ("night", "default", "width") in found


def test_dead_time_forgotten_is_not_excused_by_flat_solid_angles(monkeypatch):
    def forgetful(self, stack):
        return right(self, replace(stack, livetime=stack.ontime))

    right = edition2015.Default.estimate
    monkeypatch.setattr(edition2015.Default, "estimate", forgetful)
    found = changed_biases([NIGHT], ["default"])
    assert ("night", "default", "norm") in found


def test_edited_scenario_has_no_known_failures(monkeypatch):
    """One of the library; a drawn scenario of a ranking is not of the library."""
    edited = replace(NIGHT, n_obs=3)
    assert changed_biases([edited], ["michi"]) == {}
    monkeypatch.setitem(SCENARIOS, "night", edited)
    found = changed_biases([edited], ["michi"])
    assert found.keys() == {("night", "michi", name) for name in known_metrics(NIGHT, "michi")}
    assert all("regenerate" in text for text in found.values())


@pytest.mark.parametrize("value", [1.0, 1.1])
def test_drift_fails_whatever_the_value(value):
    """Within its limit or beyond it: what is not the known failure is a failure."""
    result = Result("night", "0", "default", "width", value, 0.005, 1.0, predicted=1.1)
    changed = {("night", "default", "width"): "its calculated bias is 1.2, and 1.1 was kept"}
    (judged,) = judge([result], changed_biases=changed)
    assert judged.status == "fail"
    assert judged.reason == changed["night", "default", "width"]


def test_renewal_says_what_changed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(known, "FILE", tmp_path / "known.json")
    monkeypatch.setattr(known, "SCENARIOS", {"night": NIGHT})
    known.main()
    assert "– → " in capsys.readouterr().out
    kept = json.loads((tmp_path / "known.json").read_text())
    n_kept = sum(len(known_metrics(NIGHT, method)) for method in METHODS)
    assert len(kept) == n_kept
    known.main()
    assert capsys.readouterr().out == f"known.json: {n_kept} calculated biases\n"
