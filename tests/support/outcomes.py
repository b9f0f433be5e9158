"""Outcomes of methods with given scores, as the leaderboard takes them."""

from types import SimpleNamespace

from simbg.validation.leaderboard.score import Score
from simbg.validation.suite.results import Result


def scored(method, accuracy, error=0.0, scenario="night", statuses=("ok",), **more):
    """An outcome with this relative accuracy in a scenario, and a result of each status."""
    score = Score(scenario, method, accuracy=accuracy, accuracy_error=error, **more)
    results = [Result(scenario, "", method, f"m{i}", status=s) for i, s in enumerate(statuses)]
    named = SimpleNamespace(name=scenario)
    return SimpleNamespace(scenario=named, method=method, results=results, score=score, flux=None)
