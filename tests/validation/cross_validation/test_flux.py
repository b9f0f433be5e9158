"""Fluxes fitted to held-out runs, with models that are the truth, or wrong by a known amount."""

from dataclasses import replace

import numpy as np

from simbg.axes import Axes
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.cross_validation.flux import flux_of_held_out, part_of_run
from simbg.validation.impact.flux import measure_flux
from simbg.validation.impact.instrument import Instrument

AXES = Axes.regular(energy=(0.3, 20, 8), fov=(2.5, 20))
NIGHT = SCENARIOS["night"]
TRUE = NIGHT.truth.cube(AXES, livetime=3600)
RUNS = [run.read() for run in Experiment.of(NIGHT, 11).observations()]


def fitted(cube, norm=1.0):
    total = sum(part_of_run(cube, run, norm) for run in RUNS)
    return flux_of_held_out(AXES, total, Instrument.simulated())


def test_truth_gives_noise():
    """The largest of 16 correlated places is below 4 σ, 1e-3; a norm changes nothing."""
    flux = fitted(TRUE)
    assert len(flux.fluxes) == 16
    assert np.max(np.abs(np.divide(flux.fluxes, flux.errors))) < 4
    np.testing.assert_allclose(fitted(TRUE, norm=1.3).fluxes, flux.fluxes, rtol=1e-4, atol=1e-7)
    hours = sum(run.livetime for run in RUNS) / 3600
    assert abs(flux.hours / hours - 1) < 1e-6
    assert f"{flux.rms:.1%}" in flux.text


def test_wrong_model_gives_the_flux_of_the_truth_against_it():
    """A bump of 150 %: the fluxes are those of a fit to expected counts, within the noise."""
    lon, lat = AXES.fov_lon_center[:, None], AXES.fov_lat_center
    bump = 1 + 1.5 * np.exp(-((lon - 0.7) ** 2 + lat**2) / 0.3)
    model = replace(TRUE, rate=TRUE.rate * bump)
    flux, expected = fitted(model), measure_flux(TRUE, [model]).fluxes[0]
    pulls = (np.array(flux.fluxes) - expected) / np.array(flux.errors)
    assert np.max(np.abs(pulls)) < 4
    assert np.max(np.abs(expected / np.array(flux.errors))) > 3  # a control


def test_energies_outside_are_none():
    low = Axes.regular(energy=(0.01, 0.1, 4), fov=(2.5, 20))
    total = np.ones((3, *low.shape))
    assert flux_of_held_out(low, total, Instrument.simulated()) is None
