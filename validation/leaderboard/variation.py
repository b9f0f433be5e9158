"""Variation of scenarios: a ranking draws their parameters, so that no method knows the truth.

What a scenario is about does not change: a feature that is absent stays absent, and masks, runs
and thresholds are the same. The tables state the ranges; a truth from a file has no parameters.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from simbg.simulation.scenario import Scenario
from simbg.simulation.seeds import named_rng

__all__ = ["varied_scenarios"]

# Factors of parameters of truths, sources and runs, uniform in the logarithm. The numbers of a pair
# have independent factors.
FACTORS: dict[str, tuple[float, float]] = {
    "event_rate": (0.8, 1.2),
    "sigma": (0.9, 1.15),
    "peak": (0.8, 1.25),
    "zenith_slope": (0.8, 1.25),
    "curvature": (0.8, 1.25),
    "gradient": (0.75, 1.1),
    "ring_depth": (0.95, 1.03),
    "ring_radius": (0.85, 1.15),
    "ring_energy": (0.85, 1.2),
    "zenith_power": (0.8, 1.25),
    "zenith_hardening": (0.8, 1.25),
    "run_scatter": (0.8, 1.25),
    "rate_drift": (0.7, 1.3),
    "flux": (0.8, 1.3),
    "extension": (0.8, 1.0),
}
# Uniform changes: of indices, and of the positions of dead drawers, deg.
SHIFTS: dict[str, tuple[float, float]] = {"index": (-0.15, 0.15), "dead": (-0.15, 0.15)}


def varied_scenarios(scenarios: Iterable[Scenario], seed: int) -> list[Scenario]:
    """Draw the parameters of scenarios.

    Each field of view is also mirrored in none, one or both of its directions.

    Parameters
    ----------
    scenarios : iterable of Scenario
        The scenarios.
    seed : int
        Seed of the draws.

    Returns
    -------
    scenarios : list of Scenario
        They have the names of the given ones and other digests.

    Examples
    --------
    >>> from simbg.simulation.library import SCENARIOS
    >>> (night,) = varied_scenarios([SCENARIOS["night"]], seed=1)
    >>> SCENARIOS["night"].truth.index, round(night.truth.index, 3)
    (2.7, 2.787)
    """
    return [_varied_scenario(scenario, seed) for scenario in scenarios]


def _varied_scenario(scenario, seed):
    rng = named_rng(seed, f"{scenario.name} parameters")
    mirror = rng.choice([-1.0, 1.0], 2)
    sources = tuple(_varied(source, rng, mirror) for source in scenario.sources)
    truth = _varied(scenario.truth, rng, mirror)
    return replace(_varied(scenario, rng, mirror), truth=truth, sources=sources)


def _varied(value: Any, rng: np.random.Generator, mirror: np.ndarray) -> Any:
    """A dataclass with other values of the fields that have a range."""
    new: dict[str, Any] = {}
    for field in fields(value) if is_dataclass(value) else ():
        old = getattr(value, field.name)
        if field.name == "base":
            new["base"] = _varied(old, rng, mirror)
        elif field.name == "dead":
            new["dead"] = tuple(_moved(part, rng, mirror) for part in old)
        elif field.name in SHIFTS:
            new[field.name] = old + rng.uniform(*SHIFTS[field.name])
        elif field.name in FACTORS:
            low, high = np.log(FACTORS[field.name])
            numbers = np.atleast_1d(old) * np.exp(rng.uniform(low, high, np.size(old)))
            numbers *= mirror if field.name in ("peak", "gradient") else 1.0
            numbers += 0.0  # no negative zero
            new[field.name] = tuple(numbers.tolist()) if np.ndim(old) else float(numbers[0])
    return replace(value, **new)


def _moved(dead, rng, mirror):
    """A dead rectangle, mirrored and moved."""
    low, high = np.array(dead).reshape(2, 2).T
    ends = np.sort([low * mirror, high * mirror], axis=0) + rng.uniform(*SHIFTS["dead"], 2)
    return tuple(ends.T.ravel().tolist())
