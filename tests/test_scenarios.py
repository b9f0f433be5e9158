"""Scenarios are values: what they hold, what their digest covers, and seeds by name."""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import edition2015_axes
from simbg.fov import Site
from simbg.scenarios import SCENARIOS, Scenario
from simbg.simulate import named_rng
from simbg.truth import GaussianTruth


@pytest.mark.parametrize("name", SCENARIOS)
def test_table_holds_the_runs(name):
    scenario = SCENARIOS[name]
    table = scenario.table(3)
    assert scenario.name == name
    assert scenario.title
    assert scenario.why
    assert len(table) == scenario.n_obs
    low, high = scenario.alt_range
    assert low <= table["ALT_PNT"].min() <= table["ALT_PNT"].max() <= high
    low, high = scenario.az_range
    assert low <= table["AZ_PNT"].min() <= table["AZ_PNT"].max() <= high
    assert_array_equal(table["ONTIME"], scenario.ontime)
    assert_allclose(table["LIVETIME"], scenario.ontime * (1 - scenario.deadtime_fraction))
    assert_array_equal(table["SAFE_ENERGY_LO"], scenario.energy_threshold)
    assert str(table["SAFE_ENERGY_LO"].unit) == "TeV"


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_seed_same_runs(name):
    scenario = SCENARIOS[name]
    first, again, other = (scenario.table(seed) for seed in (1, 1, 2))
    for column in first.colnames:
        assert_array_equal(first[column], again[column])
    assert not np.any(first["RA_PNT"] == other["RA_PNT"])
    assert len(scenario.table(1, n_obs=3)) == 3


def test_seeds_go_by_name_and_number():
    def draw(*key):
        return named_rng(*key).random()

    first = draw(0, "night", 1, 0)
    assert first == draw(0, "night", 1, 0)
    others = [
        draw(*key)
        for key in (
            (1, "night", 1, 0),
            (0, "nights", 1, 0),
            (0, "night", 2, 0),
            (0, "night", 1, 1),
            (0, "night", 0, 1),
            (0, "night", 1),
            (0, "night"),
        )
    ]
    assert len({first, *others}) == 8


OTHER = {
    "name": "other",
    "truth": GaussianTruth(index=2.7000001),
    "n_obs": 99,
    "alt_range": (72.0, 89.0),
    "az_range": (90.0, 271.0),
    "ontime": 1681.0,
    "deadtime_fraction": 0.1,
    "energy_threshold": 0.11,
    "site": Site(16.5, -23.2717778, 1835.0),
}


def test_digest_covers_whatever_decides_the_outcome():
    scenario = Scenario("a", "A", "because")
    digests = [scenario.digest]
    for name, value in OTHER.items():
        digests.append(replace(scenario, **{name: value}).digest)
    for name, value in {
        "normalization": "center",
        "sigma": (2.5, 5.1),
        "quadrant": True,
        "event_rate": 8.0,
    }.items():
        digests.append(replace(scenario, truth=replace(scenario.truth, **{name: value})).digest)
    assert len(set(digests)) == len(digests)
    # A field that is added must be added here.
    assert {field.name for field in fields(Scenario)} == {*OTHER, "title", "why"}


def test_digest_does_not_cover_words():
    scenario = Scenario("a", "A", "because")
    assert replace(scenario, title="B", why="why not").digest == scenario.digest
    assert len({scenario.digest for scenario in SCENARIOS.values()}) == len(SCENARIOS)


def test_what_the_scenarios_promise():
    """What README and report say of them."""
    old, real, night = (SCENARIOS[name] for name in ("seed-2015", "realistic", "night"))
    # 2015's index 1.5 is that of counts per ln E.
    assert old.truth.center_index == pytest.approx(1.5 + 1)
    assert old.truth.event_rate == 300
    assert real.truth.integral_index == 2.7
    assert real.truth.event_rate == 7
    assert edition2015_axes(night.n_obs).shape == (10, 20, 20)
    counts = night.truth.integrate(edition2015_axes(8), 20) * 8 * 1680
    assert np.mean(counts < 1) > 0.5
    # Most bins of the first are rich, as its text says, where the spectrum has not run out.
    counts = old.truth.integrate(edition2015_axes(), 9) * 100 * 1500
    assert np.mean(counts > 10) > 0.5
