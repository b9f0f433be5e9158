"""Quantities: converted once, or refused in one line, and never taken for bare numbers."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose

from simbg.axes import Axes, edition2015_axes
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import Events, Observation
from simbg.quantities import convert_fields, in_unit
from simbg.simulation.scenario import Scenario
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth
from simbg.truth.sources import GammaSource


@pytest.mark.parametrize(
    "value",
    [
        [100, 1000] * u.GeV,
        [100 * u.GeV, 1 * u.TeV],
        (0.1 * u.TeV, "1000 GeV"),
        np.array([0.1, 1]) * u.TeV,
        [0.1, 1],
        ["0.1", "1"],
    ],
)
def test_all_ways_to_say_the_same(value):
    assert_allclose(in_unit(value, "TeV", "energy"), [0.1, 1], rtol=1e-15)


@pytest.mark.parametrize("value", [3, 3.0, None, np.float64(4), [1, 2], (1.0, 2.0)])
def test_bare_numbers_are_returned_as_they_are(value):
    assert in_unit(value, "TeV", "energy") is value


@pytest.mark.parametrize(
    "value", [3 * u.m, [1 * u.GeV, 2], "3 parsec", "a lot", [1, 2] * u.deg, [1 * u.TeV, 1 * u.s]]
)
def test_another_unit_is_an_error_in_one_line(value):
    with pytest.raises(ValueError, match=r"^energy: .*TeV$") as error:
        in_unit(value, "TeV", "energy")
    assert "\n" not in str(error.value)


def test_a_field_without_a_unit_takes_bare_numbers():
    @dataclass(frozen=True)
    class Value:
        energy: float = field(default=1.0, metadata={"unit": "TeV"})
        name: str = "a name"
        index: float = 2.0

        def __post_init__(self):
            convert_fields(self, "value: ")

    assert Value(energy=100 * u.GeV).energy == pytest.approx(0.1, rel=1e-15)
    assert Value(index=200 * u.percent).index == 2.0
    with pytest.raises(ValueError, match=r"value: index"):
        Value(index=2 * u.m)


RUN = {"obs_id": 7, "livetime": 900.0, "ontime": 1000.0}
# What takes a Quantity, one, and the number that it becomes.
ENTRIES = {
    "lowest energy": (lambda x: edition2015_axes(energy_min=x).energy[0], 200 * u.GeV, 0.2),
    "energies": (lambda x: Axes([x, 9 * u.TeV], [0, 1], [0, 1]).energy[0], 1 * u.GeV, 1e-3),
    "fov_lon": (lambda x: Axes([1, 9], [0, 1] * x, [0, 1]).fov_lon[1], 0.1 * u.rad, 5.729577951),
    "threshold": (
        lambda x: Observation.in_memory(None, energy_threshold=x, **RUN).energy_threshold,
        200 * u.GeV,
        0.2,
    ),
    "ontime": (
        lambda x: Observation.in_memory(None, **RUN | {"ontime": x}).ontime,
        0.5 * u.h,
        1800,
    ),
    "altitude": (lambda x: Observation.in_memory(None, alt=x, **RUN).alt, 1 * u.rad, 57.29577951),
    "events": (lambda x: Events([1] * x, [0], [0]).energy[0], 1 * u.GeV, 1e-3),
    "selection": (lambda x: Selection(energy_threshold=x).energy_threshold, 200 * u.GeV, 0.2),
    "margin": (lambda x: Selection(margin=x).margin, 30 * u.arcmin, 0.5),
    "scenario": (lambda x: Scenario("x", energy_threshold=x).energy_threshold, 200 * u.GeV, 0.2),
    "altitudes": (
        lambda x: Scenario("x", alt_range=(10 * u.deg, x)).alt_range[1],
        1 * u.rad,
        57.29577951,
    ),
    "truth": (
        lambda x: GaussianTruth(energy_range=(x, 9 * u.TeV)).energy_range[0],
        1 * u.GeV,
        1e-3,
    ),
    "peak": (lambda x: GaussianTruth(peak=[1, 2] * x).peak[0], 30 * u.arcmin, 0.5),
    "target": (lambda x: Scenario("x", target=(x, 0 * u.deg)).target[0], 1 * u.hourangle, 15.0),
    "groups": (
        lambda x: Groups(altitude_edges=(0 * u.deg, x)).altitude_edges[1],
        90 * 60 * u.arcmin,
        90,
    ),
    "zenith": (
        lambda x: GaussianTruth().cube(edition2015_axes(), zenith=x).meta["ZENITH"],
        30 * 60 * u.arcmin,
        30,
    ),
    "ring": (lambda x: ShapedTruth(ring_energy=x).ring_energy, 500 * u.GeV, 0.5),
    "source": (lambda x: GammaSource("x", x, 0).ra, 1 * u.hourangle, 15.0),
    "counted": (
        lambda x: Axes([1, 9], [-1, 1], [-1, 1]).fill([2.0] * x, [0.0], [0.0]).sum(),
        1000 * u.GeV,
        1,
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_converts(name):
    call, quantity, number = ENTRIES[name]
    assert call(quantity) == pytest.approx(number, rel=1e-9)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_refuses_another_unit(name):
    call, _, _ = ENTRIES[name]
    with pytest.raises(ValueError, match=r"kg") as error:
        call(3 * u.kg)
    assert "\n" not in str(error.value)


def test_values_stay_hashable():
    truth = GaussianTruth(energy_range=[100, 9000] * u.GeV, peak=(0.1 * u.deg, 6 * u.arcmin))
    same = GaussianTruth(energy_range=(0.1, 9.0), peak=(0.1, 0.1))
    assert truth == same
    assert hash(truth) == hash(same)
    assert hash(GaussianTruth(energy_range=[0.1, 9.0], peak=np.array([0.1, 0.1]))) == hash(same)
    with pytest.raises(ValueError, match=r"sigma: got .*2 values"):
        GaussianTruth(sigma=[1, 2, 3])
