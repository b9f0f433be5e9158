"""One held-out run: its z for a right model whose errors are large and correlated."""

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.covariance import RateCovariance
from simbg.cube import BackgroundCube
from simbg.observations.observation import Events, Observation
from simbg.validation.cross_validation.held_out import hold_out

AXES = Axes.regular((0.1, 100, 6), (2.0, 8))
LIVETIME, N_EVENTS, N_DRAWS = 1000.0, 3000, 400


@pytest.fixture(scope="module")
def held_out():
    """Runs whose rate deviates from the model by what its covariance says, besides the norm."""
    rng = np.random.default_rng(5)
    x = np.linspace(-1, 1, 8)
    lon, lat = np.meshgrid(x, x, indexing="ij")
    space = np.stack([np.ones_like(lon), lon, lat, lon**2 + lat**2], axis=-1)
    energy = np.stack([np.ones(6), np.linspace(-1, 1, 6)], axis=1)
    factor = rng.normal(size=(4, 2, 6), scale=0.05)
    expected = np.exp(-np.arange(6))[:, None, None] * np.exp(-2 * (lon**2 + lat**2))
    expected *= N_EVENTS / expected.sum()
    covariance = (RateCovariance(energy, space, factor),)
    rate = expected / AXES.volume / LIVETIME
    cube = BackgroundCube(AXES, rate, clock="livetime", covariance=covariance)
    runs = []
    for number in range(1, N_DRAWS + 1):
        change = np.einsum("ei,xyk,kij,j->exy", energy, space, factor, rng.normal(size=6))
        counts = rng.poisson(expected * np.exp(change + rng.normal(scale=0.2))).ravel()
        places = AXES.energy_center, AXES.fov_lon_center, AXES.fov_lat_center
        centers = np.meshgrid(*places, indexing="ij")
        events = Events(*(np.repeat(values.ravel(), counts) for values in centers))
        run = Observation.in_memory(
            events, obs_id=number, livetime=LIVETIME, ontime=LIVETIME, alt=70.0, az=0.0
        )
        runs.append(hold_out(cube, run))
    return runs


@pytest.mark.parametrize("name", ["image_z", "spectrum_z"])
def test_z_of_a_right_model_has_mean_0_and_width_1(held_out, name):
    """Within four standard errors; those of the width contain the kurtosis of few bins."""
    z = np.array([getattr(run, name) for run in held_out])
    assert abs(z.mean()) < 4 / N_DRAWS**0.5
    assert abs(z.std() - 1) < 4 * (0.5 * (1 + 6 / 5) / N_DRAWS) ** 0.5


def test_significances_of_a_right_model_have_width_1(held_out):
    """Within four standard errors of 24,000 pixels."""
    pixels = np.concatenate([run.significances for run in held_out])
    assert pixels.std() == pytest.approx(1, abs=4 * (0.5 / 24_000) ** 0.5)


@pytest.mark.parametrize("n_pixels", [1, 2])
def test_a_pixel_with_all_counts_has_no_significance(n_pixels):
    """The norm is fitted to it, so that it cannot deviate; the other one is empty."""
    axes = Axes.regular((0.1, 100, 6), ((2.0, n_pixels), (2.0, 1)))
    rate = np.full(axes.shape, 1e-3)
    rate[:, 1:] *= 1e-6
    events = Events(np.repeat(axes.energy_center, 20), np.full(120, -0.1), np.zeros(120))
    times = {"livetime": LIVETIME, "ontime": LIVETIME}
    run = Observation.in_memory(events, obs_id=1, alt=70.0, az=0.0, **times)
    found = hold_out(BackgroundCube(axes, rate, clock="livetime"), run)
    assert found.significances.size == 0
    assert np.isfinite([found.image_z, found.spectrum_z, found.deviance]).all()
