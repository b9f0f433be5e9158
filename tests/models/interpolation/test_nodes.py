"""Rates at nodes: gammapy's own integrals over the bins of a cube are those of the cube."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.gammapy_rule import integrals_of_gammapy

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.models.interpolation.nodes import at_nodes
from simbg.simulation.library import SCENARIOS

pytestmark = pytest.mark.gammapy

UNEVEN = Axes(
    [0.15, 0.2, 0.5, 0.6, 2, 3, 20], [-2, -1.2, -1, -0.1, 0.5, 2], [-3, -2, -1.5, 0, 0.3, 2]
)


def smooth_cube(axes):
    """The mean rates of a curved truth whose width depends on energy."""
    time = np.ones(axes.shape)
    rate = SCENARIOS["curved"].truth.integrate(axes, 20.0) / axes.volume
    return BackgroundCube(axes, rate, livetime=0.9 * time, ontime=time)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    "axes",
    [
        Axes.regular(energy=(0.2, 50, 12), fov=(2.5, 20)),
        Axes.regular(energy=(0.2, 50, 24), fov=(2.5, 6)),
        Axes.regular(energy=(0.2, 50, 3), fov=(2.5, 10)),
        Axes.regular(energy=(0.2, 50, 1), fov=(2.5, 2)),
        UNEVEN,
    ],
    ids=["12", "24 wide pixels", "3", "one energy", "uneven"],
)
def test_integrals_are_right_at_any_binning(axes, parts):
    """In maps with the energy bins of the cube and narrower ones; the mean rates are wrong."""
    cube = smooth_cube(axes)
    expected = cube.per("ontime").event_rate
    nodes = at_nodes(cube)
    assert nodes.clock == "ontime"
    assert nodes.meta["N_DIFFER"] == 0
    found = integrals_of_gammapy(nodes.to_gammapy(), axes, parts)
    assert_allclose(found, expected, rtol=3e-3)
    assert_allclose(found.sum(axis=(1, 2)), expected.sum(axis=(1, 2)), rtol=1e-3)
    if axes.shape[0] == 12:
        plain = integrals_of_gammapy(cube.to_gammapy(), axes, parts)
        assert np.abs(plain.sum(axis=(1, 2)) / expected.sum(axis=(1, 2)) - 1).max() > 0.01


def test_energies_without_a_rate_stay_without_one():
    """Below a threshold and above the last event; at the first edge the rate is whole."""
    axes = Axes.regular(energy=(0.2, 50, 12), fov=(2.5, 10))
    cube = smooth_cube(axes)
    cube.rate[:3], cube.rate[10:] = np.nan, 0.0
    expected = np.nan_to_num(cube.per("ontime").event_rate)
    assert_allclose(integrals_of_gammapy(at_nodes(cube).to_gammapy(), axes), expected, rtol=3e-3)
    cube.rate[5] = np.nan  # unknown, between others
    known = np.isfinite(cube.rate)
    found = integrals_of_gammapy(at_nodes(cube).to_gammapy(), axes)
    assert_allclose(found[known], expected[known], rtol=3e-3)
    cube.rate[:] = np.nan
    assert np.isnan(at_nodes(cube).rate).all()


@pytest.mark.parametrize("mean", [0.3, 3.0, 100.0])
def test_sums_over_the_field_are_right_where_rates_scatter(mean):
    """Poisson counts; the rates at nodes stay positive and within the scatter of the measured."""
    axes = Axes.regular(energy=(0.2, 20, 12), fov=(2.5, 10))
    counts = np.random.default_rng(3).poisson(mean, axes.shape).astype(float)
    time = np.ones(axes.shape)
    rates = counts / axes.volume, np.sqrt(counts) / axes.volume
    nodes = at_nodes(BackgroundCube(axes, *rates, counts, time, time))
    found = integrals_of_gammapy(nodes.to_gammapy(), axes, 2)
    assert_allclose(found.sum(axis=(1, 2)), counts.sum(axis=(1, 2)), rtol=0.01)
    if mean > 10:
        assert np.abs(found / counts - 1).mean() < 0.05
        assert nodes.meta["N_DIFFER"] > 0
    assert nodes.rate.min() > 0
    assert nodes.rate.max() < 30 * rates[0].max()
