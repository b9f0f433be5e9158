"""Experiments that several tests share: interrupted runs on a target with sources and masks."""

from dataclasses import replace

import numpy as np

from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.sky.regions import Rectangle, circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource

TARGET = (83.0, -40.0)
SOURCES = (
    GammaSource("point", *TARGET, flux=6e-11, index=2.4),
    GammaSource("extended", 84.1, -39.3, flux=4e-11, index=2.2, extension=0.25),
)
MASKS = (circle(*TARGET, 0.3), Rectangle(84.1, -39.3, 1.4, 0.6, 30.0), circle(81.9, -40.9, 0.5))
OFF_CENTRE = GaussianTruth(event_rate=2.0, peak=(0.4, -0.7))


def interrupted(n_obs=6, n_gti=3, drift=0.0, scatter=0.0, seed=5, **changes):
    """Runs on a target with gaps, dead times of their own and thresholds inside of bins."""
    scenario = Scenario(
        "interrupted",
        truth=OFF_CENTRE,
        alt_range=(50.0, 72.0),
        ontime=1500.0,
        deadtime_fraction=(0.05, 0.3),
        target=TARGET,
        wobble=0.6,
        n_gti=n_gti,
        gti_gap=400.0,
    )
    runs = scenario.table(seed, n_obs)
    runs["SAFE_ENERGY_LO"] = np.linspace(0.11, 0.3, n_obs)
    if drift:
        runs["TRUE_DRIFT"] = np.full(n_obs, drift)
    if scatter:
        runs["TRUE_NORM"] = np.exp(scatter * np.linspace(-1, 1, n_obs))
    return variant(Experiment(scenario, runs, seed), **changes)


def variant(experiment, **changes):
    """The same runs of another scenario."""
    return replace(experiment, scenario=replace(experiment.scenario, **changes))


def events_of(experiment):
    """The events of each run."""
    return [observation.events() for observation in experiment.observations()]
