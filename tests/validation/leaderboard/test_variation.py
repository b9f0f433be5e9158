"""Scenarios of a ranking: drawn, within the stated ranges, and still about the same thing."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from simbg.simulation.library import SCENARIOS
from simbg.truth.from_file import CubeTruth
from simbg.validation.leaderboard.variation import varied_scenarios

TEXT = Path(__file__).parents[3] / "validation" / "METHODS.md"
N_SEEDS = 100


def flat(value, prefix=""):
    """Numbers of nested dicts and tuples by their place."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {key: v for name, part in items for key, v in flat(part, f"{prefix}.{name}").items()}


def parameters(scenario):
    return flat({key: v for key, v in asdict(scenario).items() if key not in ("regions", "site")})


def ranges():
    """The table of METHODS.md: parameter → kind and ends."""
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| (×|\+) ([-−\d.]+) to ([-−\d.]+).*\|$", TEXT.read_text(), re.M
    )
    return {
        name: (kind, *(float(end.replace("−", "-")) for end in ends)) for name, kind, *ends in rows
    }


@pytest.fixture(scope="module")
def drawn():
    return [varied_scenarios(SCENARIOS.values(), seed) for seed in range(N_SEEDS)]


def test_every_change_is_in_the_table_of_ranges(drawn):
    table, changed = ranges(), set()
    assert len(table) > 10
    for scenarios in drawn:
        for old, new in zip(
            map(parameters, SCENARIOS.values()), map(parameters, scenarios), strict=True
        ):
            assert old.keys() == new.keys()
            for place in (place for place in old if new[place] != old[place]):
                (name,) = [word for word in place.split(".") if word in table]
                kind, low, high = table[name]
                changed.add(name)
                if kind == "×":
                    assert low <= abs(new[place] / old[place]) <= high, place
                elif name != "dead":
                    assert low <= new[place] - old[place] <= high, place
    assert changed == table.keys()


def test_ranges_are_used_to_their_ends(drawn):
    """As for uniform draws: 100 of them leave less than 10 % of a range at an end, at 1e-4."""
    night = np.array([[s.truth.index, s.truth.event_rate] for _, _, s, *_ in drawn])
    for values, (low, high) in zip(night.T, ((2.55, 2.85), (7 * 0.8, 7 * 1.2)), strict=True):
        assert low < values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() < high


def test_the_field_is_mirrored_as_a_whole(drawn):
    """Four orientations; the gap of the camera stays where it is relative to the peak."""
    quadrants = set()
    for scenarios in drawn:
        (camera,) = [s for s in scenarios if s.name == "dead-camera"]
        peak, dead = np.array(camera.truth.base.peak), camera.truth.dead
        quadrants.add(tuple(np.sign(peak)))
        (first, second), (one, other) = SCENARIOS["dead-camera"].truth.dead, dead
        for was, now in ((first, one), (second, other)):
            was, now = (np.reshape(ends, (2, 2)) for ends in (was, now))
            np.testing.assert_allclose(np.diff(now), np.diff(was))
            moved = now.mean(axis=1) * np.sign(peak) - was.mean(axis=1) * (1, -1)
            assert np.abs(moved).max() <= 0.15 + 1e-12
    assert len(quadrants) == 4


def test_replayed_to_the_last_bit_and_different_otherwise(drawn):
    again = varied_scenarios(SCENARIOS.values(), 3)
    assert [s.digest for s in again] == [s.digest for s in drawn[3]]
    assert len({s.digest for scenarios in drawn for s in scenarios}) == N_SEEDS * len(SCENARIOS)
    assert [s.name for s in again] == list(SCENARIOS)


def test_a_truth_from_a_file_stays(axes):
    truth = CubeTruth.from_cube(SCENARIOS["night"].truth.cube(axes, livetime=1.0))
    scenario = replace(SCENARIOS["night"], truth=truth)
    (same,) = varied_scenarios([scenario], 3)
    assert same.truth == truth
