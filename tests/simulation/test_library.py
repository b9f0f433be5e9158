"""The library of scenarios: their runs, and what README and report say of them."""

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import edition2015_axes
from simbg.simulation.library import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_table_holds_the_runs(name):
    scenario = SCENARIOS[name]
    table = scenario.table(3)
    assert scenario.name == name
    assert scenario.title
    assert scenario.why
    assert len(table) == scenario.n_obs
    low, high = scenario.alt_range
    # A target's day is chosen to a sidereal one, its altitude by a formula without precession:
    # it is then a quarter of a degree off, and never above its culmination.
    slack = 0.0 if scenario.target is None else 0.75
    assert low - slack <= table["ALT_PNT"].min() <= table["ALT_PNT"].max() <= high + slack
    if scenario.target is None:
        low, high = scenario.az_range
        assert low <= table["AZ_PNT"].min() <= table["AZ_PNT"].max() <= high
    assert_array_equal(table["ONTIME"], scenario.ontime)
    dead = np.atleast_1d(scenario.deadtime_fraction)
    share = 1 - np.asarray(table["LIVETIME"]) / scenario.ontime
    assert np.all((share > dead.min() - 1e-12) & (share < dead.max() + 1e-12))
    cosine = np.cos(np.deg2rad(np.asarray(table["ZEN_PNT"])))
    threshold = scenario.energy_threshold / cosine**scenario.threshold_power
    assert_allclose(table["SAFE_ENERGY_LO"], threshold)
    assert str(table["SAFE_ENERGY_LO"].unit) == "TeV"


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_seed_same_runs(name):
    scenario = SCENARIOS[name]
    first, again, other = (scenario.table(seed) for seed in (1, 1, 2))
    for column in first.colnames:
        assert_array_equal(first[column], again[column])
    assert not np.any(first["TSTART"] == other["TSTART"])
    assert len(scenario.table(1, n_obs=3)) == 3


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


def test_no_two_are_the_same():
    assert len({scenario.digest for scenario in SCENARIOS.values()}) == len(SCENARIOS)


def test_sources_are_in_the_field_and_masks_overlap():
    for name in ("source", "source-ignored", "mask-too-small", "drift", "broken-runs"):
        scenario = SCENARIOS[name]
        table = scenario.table(1)
        for source in scenario.sources:
            place = np.deg2rad([source.ra, source.dec])
            pointings = np.deg2rad([table["RA_PNT"], table["DEC_PNT"]])
            distance = np.rad2deg(angular_separation(*pointings, *place))
            assert 0.3 < distance.min() < distance.max() < 2.5
    one, two = SCENARIOS["source"].regions
    apart = angular_separation(*np.deg2rad([*one.center, *two.center]))
    assert np.rad2deg(apart) < one.radius + two.radius


def test_norms_and_drifts_are_in_the_table_where_they_are_asked_for():
    norms = np.asarray(SCENARIOS["run-scatter"].table(5, 4000)["TRUE_NORM"])
    # Mean 1 and scatter σ of a log-normal; five standard errors of 4000.
    assert abs(norms.mean() - 1) < 5 * 0.086 / 4000**0.5
    assert abs(np.log(norms).std() / 0.086 - 1) < 5 / 8000**0.5
    assert set(SCENARIOS["broken-runs"].table(5)["TRUE_DRIFT"]) == {0.25}
    assert not [c for c in SCENARIOS["source"].table(5).colnames if c.startswith("TRUE_")]
