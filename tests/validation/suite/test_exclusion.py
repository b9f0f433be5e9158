"""Exclusion response: exact expectations against simulated events and the formula of the leak."""

from dataclasses import replace

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.observations.exposure import stack_observations
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource
from simbg.validation.suite.exclusion import ExclusionResponse

# Coarse in energy, pixels of 0.2 deg; 8 runs of 1500 s at 600 Hz make 7 million events.
AXES = Axes(np.geomspace(0.1, 100, 5), np.linspace(-2, 2, 21), np.linspace(-2, 2, 20))
BRIGHT = replace(
    SCENARIOS["source"],
    name="response",
    n_obs=8,
    truth=GaussianTruth(index=2.7, event_rate=600.0, zenith_slope=0.0),
    sources=(GammaSource("s", *SCENARIOS["source"].target, flux=4e-9),),
    regions=(circle(*SCENARIOS["source"].target, 0.45),),
)


def biases(experiment):
    """Of all events and of those in bins that the mask passes through, with standard errors."""
    seen = stack_observations(experiment.observations(), AXES).counts
    true = experiment.background(AXES)
    sector = true.livetime < true.livetime.max() * 0.999
    for part in (np.ones(AXES.shape, bool), sector):
        expected = true.counts[part].sum()
        yield seen[part].sum() / expected - 1, expected**-0.5


@pytest.mark.slow
def test_behind_an_adequate_mask_there_is_no_bias():
    """0.2 % of the rate, in total and in the sector, and 4.5 standard errors (1e-5)."""
    for bias, error in biases(Experiment.of(BRIGHT, 1)):
        assert error < 0.0016
        assert abs(bias) < max(0.002, 4.5 * error)


@pytest.mark.slow
def test_control_without_a_mask_the_sector_is_full_of_the_source():
    none = Experiment.of(replace(BRIGHT, regions=()), 1)
    seen = stack_observations(none.observations(), AXES).counts.sum()
    true, shining = none.background(AXES), none.expected(AXES)
    assert seen / true.counts.sum() > 1.01
    # By as much as is calculated.
    expected = shining.counts.sum()
    assert abs(seen - expected) < 4.5 * expected**0.5


@pytest.fixture(scope="module")
def response():
    return ExclusionResponse.of(SCENARIOS["source"], 0)


def test_leak_of_a_circle(response):
    """exp(−R²/2σ²), to the width of the rings that stand for the source: R · 0.003 / σ²."""
    whole = response.total[0]
    for radius, total in zip(response.radii[1:5], response.total[1:5], strict=True):
        exact = np.exp(-0.5 * (radius / response.psf) ** 2)
        assert total / whole == pytest.approx(exact, rel=radius * 0.0035 / response.psf**2)


def test_biases_fall_and_masks_of_brighter_sources_are_wider(response):
    assert np.all(np.diff(response.total) < 0)
    assert np.all(np.diff(response.sector) < 0)
    assert response.adequate(0.1) <= response.adequate(1.0) <= response.adequate(10.0)
    assert np.isnan(response.adequate(1e9))
