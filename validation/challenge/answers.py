"""Answers of a challenge: truths drawn at random, as plain values."""

import random
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from astropy.coordinates import offset_by

from simbg.errors import in_one_line
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import HESS_SITE, Scenario
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth
from simbg.truth.sources import GammaSource

__all__ = ["draw_answer", "experiments_of"]

SCHEMA = 1
# Ranges of uniform parameters; see the truths, `GammaSource` and `Scenario` for their meaning.
RANGES = {
    "index": (2.4, 3.0),
    "event_rate": (8.0, 20.0),
    "sigma at 0.1 TeV": (1.6, 3.0),
    "sigma at 80 TeV, relative": (1.1, 2.0),
    "peak": (-0.8, 0.8),
    "zenith_slope": (0.2, 0.7),
    "curvature": (0.03, 0.15),
    "gradient": (-0.1, 0.1),
    "ring_depth": (0.5, 0.95),
    "ring_radius": (0.8, 1.5),
    "ring_energy": (2.0, 8.0),
    "zenith_power": (0.5, 2.0),
    "zenith_hardening": (0.2, 1.0),
    "dead, low end": (-2.0, 1.5),
    "dead, size": (0.3, 1.0),
    "lowest altitude": (38.0, 60.0),
    "deadtime_fraction": (0.03, 0.2),
    "energy_threshold": (0.1, 0.25),
    "threshold_power": (0.5, 2.0),
    "zenith of a target": (8.0, 25.0),
    "flux": (1e-11, 8e-11),
    "index of a source": (2.0, 2.8),
    "extension": (0.05, 0.2),
}
# Optional features of a truth, of which it has up to three.
FEATURES = {
    "curvature": lambda pick: {"curvature": pick("curvature")},
    "gradient": lambda pick: {"gradient": (pick("gradient"), pick("gradient"))},
    "ring": lambda pick: {name: pick(name) for name in RANGES if name.startswith("ring_")},
    "zenith": lambda pick: {name: pick(name) for name in ("zenith_power", "zenith_hardening")},
    "dead": lambda pick: {"dead": ((*_span(pick), *_span(pick)),)},
}
# Radii of masks, deg: 5 σ of a point source, and 3.7 σ of the widest.
MASK, WIDE_MASK = 0.4, 0.8


def draw_answer(n_fields: int, n_runs: int, rng: random.Random | None = None) -> dict[str, Any]:
    """Draw a secret answer.

    Parameters
    ----------
    n_fields, n_runs : int
        Number of fields, and number of runs of each field.
    rng : random.Random, optional
        Source of random numbers; by default the entropy of the system.

    Returns
    -------
    answer : dict
        Plain values, which JSON reproduces exactly.
    """
    rng = rng or secrets.SystemRandom()
    with_sources = rng.sample(range(n_fields), n_fields // 2 or rng.randint(0, 1))
    return {
        "schema": SCHEMA,
        "salt": f"{rng.getrandbits(256):064x}",
        # The runs are public, so their seed must not be that of the events.
        "run_seed": f"{rng.getrandbits(128):032x}",
        "event_seed": f"{rng.getrandbits(128):032x}",
        "fields": [_draw_field(rng, n_runs, k in with_sources) for k in range(n_fields)],
    }


def experiments_of(answer: Mapping[str, Any]) -> list[Experiment]:
    """The experiments of an answer, one for each field.

    Parameters
    ----------
    answer : dict
        From `draw_answer`.

    Returns
    -------
    experiments : list of Experiment
        With the runs and the seed of the events.

    Raises
    ------
    ValueError
        If the answer has other contents.
    """
    try:
        run_seed, event_seed = int(answer["run_seed"], 16), int(answer["event_seed"], 16)
        fields = enumerate(answer["fields"], 1)
        scenarios = [_scenario(f"field-{number}", field) for number, field in fields]
        tables = [(scenario, scenario.table(run_seed)) for scenario in scenarios]
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        # Values of other types fail where they are first used.
        raise ValueError(
            f"answer: got invalid fields ({in_one_line(error)}), expected those of `simbg "
            "challenge make`"
        ) from error
    return [Experiment(scenario, table, event_seed) for scenario, table in tables]


def _draw_field(rng, n_runs, with_sources):
    """A field, as `_scenario` takes it."""

    def pick(name):
        return rng.uniform(*RANGES[name])

    features = rng.sample(sorted(FEATURES), rng.randint(0, 3))
    sigma = pick("sigma at 0.1 TeV")
    truth = {
        "index": pick("index"),
        "normalization": rng.choice(("integral", "center")),
        "event_rate": pick("event_rate"),
        "sigma": (sigma, sigma * pick("sigma at 80 TeV, relative")),
        "zenith_slope": 0.0 if "zenith" in features else pick("zenith_slope"),
        "peak": (pick("peak"), pick("peak")),
    }
    field = {
        "truth": truth,
        "shape": dict(item for feature in features for item in FEATURES[feature](pick).items()),
        "n_obs": n_runs,
        "alt_range": (pick("lowest altitude"), 90.0),
        "az_range": (0.0, 360.0),
        "ontime": 1680.0,
        "deadtime_fraction": sorted(pick("deadtime_fraction") for _ in range(2)),
        "energy_threshold": pick("energy_threshold"),
        "threshold_power": pick("threshold_power"),
    }
    return field | (_draw_sources(rng, pick) if with_sources else {})


def _span(pick):
    low = pick("dead, low end")
    return low, low + pick("dead, size")


def _draw_sources(rng, pick):
    """One or two sources behind masks; all runs point at the first."""
    away = pick("zenith of a target")
    target = rng.uniform(0, 360), HESS_SITE.lat + rng.choice((-1, 1)) * away
    offset = np.deg2rad([*target, rng.uniform(0, 360), rng.uniform(1.0, 1.4)])
    second = [float(angle.deg) for angle in offset_by(*offset)]
    disks = ((*target, 0.0, MASK), (*second, pick("extension"), WIDE_MASK))[: rng.randint(1, 2)]
    sources = [
        GammaSource("masked", ra, dec, pick("flux"), pick("index of a source"), size)
        for ra, dec, size, _ in disks
    ]
    return {
        "alt_range": (pick("lowest altitude"), 90 - away),
        "target": target,
        "sources": [asdict(source) for source in sources],
        "regions": [(ra, dec, radius) for ra, dec, _, radius in disks],
    }


def _scenario(name, field):
    field = _tuples(field)
    truth, shape = GaussianTruth(**field.pop("truth")), field.pop("shape")
    field["truth"] = ShapedTruth(truth, **shape) if shape else truth
    field["sources"] = tuple(GammaSource(**source) for source in field.get("sources", ()))
    field["regions"] = tuple(circle(*region) for region in field.get("regions", ()))
    return Scenario(name, **field)


def _tuples(value):
    """The value with tuples instead of the lists of JSON."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
