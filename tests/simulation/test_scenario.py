"""Scenarios are values: what their digest covers, and truths from a file."""

from dataclasses import fields, replace

import numpy as np
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.io.cubes import write_cube
from simbg.simulation.scenario import Scenario
from simbg.sky.pointing import Site
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource

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
        *("title", "why", "ignored"),
    }


def test_digest_does_not_cover_words():
    scenario = Scenario("a", "A", "because")
    assert replace(scenario, title="B", why="why not").digest == scenario.digest


def test_a_file_as_a_truth(tmp_path):
    bins = Axes(np.geomspace(0.1, 20, 5), np.linspace(-3, 2, 7), np.linspace(-1, 4, 9))
    cube = GaussianTruth().cube(bins, livetime=1.0)
    write_cube(tmp_path / "bkg.fits", cube)
    scenario = Scenario.from_file(tmp_path / "bkg.fits", n_obs=3)
    # Rates go through the file in double precision, and back.
    assert_allclose(scenario.truth.integrate(bins), cube.event_rate, rtol=1e-12)
    write_cube(tmp_path / "other.fits", replace(cube, rate=2 * cube.rate))
    assert Scenario.from_file(tmp_path / "other.fits", n_obs=3).digest != scenario.digest
