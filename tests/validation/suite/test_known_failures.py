"""Known failures are accepted as the numbers they were, and as no others."""

import json
from dataclasses import replace

import numpy as np
import pytest

from simbg.reconstruction import edition2015
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.validation.suite import known_failures as known
from simbg.validation.suite.criteria import judge
from simbg.validation.suite.known_failures import KNOWN, known_metrics
from simbg.validation.suite.results import Result

NIGHT = SCENARIOS["night"]


def test_every_known_failure_is_kept_and_none_has_drifted():
    assert known.drift(SCENARIOS.values(), METHODS) == {}
    expected = {
        f"{s.name} {s.digest} {method} {metric}"
        for s in SCENARIOS.values()
        for method in METHODS
        for metric in known_metrics(s, method)
    }
    assert known.committed().keys() == expected


def test_one_pass_more_is_no_known_failure(monkeypatch):
    monkeypatch.setattr(edition2015, "n_passes", lambda counts: 6)
    found = known.drift([NIGHT], ["default"])
    assert ("night", "default", "width") in found
    assert "was kept" in found["night", "default", "width"]


def test_no_smoothing_at_all_is_a_known_failure_that_is_gone(monkeypatch):
    """With the fault mended every criterion may hold, and the suite must say so all the same."""
    monkeypatch.setattr(edition2015, "smooth", lambda cube, axes, passes: np.asarray(cube, float))
    found = known.drift([NIGHT], ["default"])
    assert ("night", "default", "width") in found


def test_dead_time_forgotten_is_not_excused_by_flat_solid_angles(monkeypatch):
    def forgetful(self, stack):
        return right(self, replace(stack, livetime=stack.ontime))

    right = edition2015.Default.estimate
    monkeypatch.setattr(edition2015.Default, "estimate", forgetful)
    found = known.drift([NIGHT], ["default"])
    assert ("night", "default", "norm") in found


def test_edited_scenario_has_no_known_failures():
    found = known.drift([replace(NIGHT, n_obs=3)], ["michi"])
    assert found.keys() == {
        ("night", "michi", metric) for method, metric in KNOWN if method == "michi"
    }
    assert all("regenerate" in text for text in found.values())


@pytest.mark.parametrize("value", [1.0, 1.1])
def test_drift_fails_whatever_the_value(value):
    """Within its limit or beyond it: what is not the known failure is a failure."""
    result = Result("night", "0", "default", "width", value, 0.005, 1.0, predicted=1.1)
    drift = {("night", "default", "width"): "its calculated bias is 1.2, and 1.1 was kept"}
    (judged,) = judge([result], drift=drift)
    assert judged.status == "fail"
    assert judged.reason == drift["night", "default", "width"]


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
