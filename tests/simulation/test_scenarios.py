"""Scenarios are values: what they hold, what their digest covers, and seeds by name."""

from dataclasses import fields, replace

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes, edition2015_axes
from simbg.io.cubes import write_cube
from simbg.observations.exposure import stack_observations
from simbg.simulation.scenarios import SCENARIOS, Scenario, from_file
from simbg.simulation.simulate import named_rng
from simbg.sky.pointing import Site
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource
from simbg.validation.metrics.registry import METRICS


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
    "threshold_power": 1.0,
    "target": (80.0, -30.0),
    "wobble": 0.5,
    "n_gti": 2,
    "gti_gap": 60.0,
    "sources": (GammaSource("crab", 80.0, -30.0),),
    "regions": (circle(80.0, -30.0, 0.3),),
    "run_scatter": 0.05,
    "rate_drift": 0.1,
    "drift": True,
    "per_run": True,
}


def test_digest_covers_whatever_decides_the_outcome():
    scenario = Scenario("a", "A", "because")
    digests = [scenario.digest]
    other_source = replace(OTHER["sources"][0], flux=1e-11)
    digests.append(replace(scenario, sources=(other_source,)).digest)
    digests.append(replace(scenario, regions=(circle(80.0, -30.0, 0.31),)).digest)
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
    assert {field.name for field in fields(Scenario)} == {
        *OTHER,
        *("title", "why", "ignored", "must_fail"),
    }


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


def test_what_is_ignored_is_named():
    for scenario in SCENARIOS.values():
        assert bool(scenario.ignored) == bool(scenario.must_fail)
        assert all(METRICS[name].shows_bias for name in scenario.must_fail)


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


def test_sky_sources_and_masks_drift_through_the_field():
    """Counts of pixels as they are expected, and not as they were in a field that only turns."""
    scenario = SCENARIOS["drift"]
    bright = replace(scenario.sources[0], flux=1e-9)
    scenario = replace(scenario, sources=(bright,), regions=scenario.regions[1:])
    table, bins = scenario.table(2, 4), edition2015_axes(4)
    counts = stack_observations(scenario.observe(table, 2), bins).counts.sum(axis=0)

    def chi2(table):
        expected = scenario.expected(table, bins, "drop").counts.sum(axis=0)
        assert expected.min() > 10
        return ((counts - expected) ** 2 / expected).sum()

    # A chi2 of n pixels; five standard errors.
    n = counts.size
    assert abs(chi2(table) - n) < 5 * np.sqrt(2 * n)
    table.remove_column("OBS_MODE")
    assert chi2(table) > 2 * n


def test_norms_and_drifts_are_in_the_table_where_they_are_asked_for():
    norms = np.asarray(SCENARIOS["run-scatter"].table(5, 4000)["TRUE_NORM"])
    # Mean 1 and scatter σ of a log-normal; five standard errors of 4000.
    assert abs(norms.mean() - 1) < 5 * 0.086 / 4000**0.5
    assert abs(np.log(norms).std() / 0.086 - 1) < 5 / 8000**0.5
    assert set(SCENARIOS["broken-runs"].table(5)["TRUE_DRIFT"]) == {0.25}
    assert not [c for c in SCENARIOS["source"].table(5).colnames if c.startswith("TRUE_")]


def test_a_file_as_a_truth(tmp_path):
    bins = Axes(np.geomspace(0.1, 20, 5), np.linspace(-3, 2, 7), np.linspace(-1, 4, 9))
    cube = GaussianTruth().cube(bins, livetime=1.0)
    write_cube(tmp_path / "bkg.fits", cube)
    scenario = from_file(tmp_path / "bkg.fits", n_obs=3)
    # Rates go through the file in double precision, and back.
    assert_allclose(scenario.truth.integrate(bins), cube.event_rate, rtol=1e-12)
    write_cube(tmp_path / "other.fits", replace(cube, rate=2 * cube.rate))
    assert from_file(tmp_path / "other.fits", n_obs=3).digest != scenario.digest
