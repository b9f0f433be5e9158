"""Runs of which a test knows all: a power law and an off-centre blob."""

import numpy as np

from simbg.axes import Axes
from simbg.observations.exposure import StackedCounts
from simbg.observations.observation import Events, Observation

__all__ = ["BLOB_AXES", "blob_runs", "counts_and_livetime", "stack_of"]

# Uneven numbers of bins, and one direction longer than the other.
BLOB_AXES = Axes(np.geomspace(0.1, 80, 8), np.linspace(-4, 4, 25), np.linspace(-3, 3, 17))


def blob_runs(n_events, thresholds=(0.1, 0.25, 0.9, 0.25), gap=None, energy_range=(0.05, 120.0)):
    """Runs with a power law and an off-centre blob; ``gap`` (TeV) is an interval left empty."""
    rng = np.random.default_rng(7)
    for number, threshold in enumerate(thresholds):
        n = n_events // len(thresholds)
        low, high = (e**-1.2 for e in energy_range)
        energy = rng.uniform(high, low, n) ** (-1 / 1.2)
        keep = slice(None) if gap is None else ~((energy > gap[0]) & (energy < gap[1]))
        columns = energy[keep], rng.normal(0.8, 1.9, n)[keep], rng.normal(-0.4, 1.1, n)[keep]
        yield Observation.in_memory(
            Events(*columns),
            obs_id=number,
            livetime=1000.0 + 100 * number,
            ontime=1300.0 + 100 * number,
            energy_threshold=threshold,
        )


def stack_of(counts, axes):
    """Another exposure in each energy bin."""
    livetime = np.broadcast_to(np.linspace(500, 900, axes.shape[0])[:, None, None], axes.shape)
    return StackedCounts(axes, counts, livetime, livetime * 1.2, 1, 0, int(counts.sum()))


def counts_and_livetime(runs, axes):
    """2015's: a run's events above its threshold; its whole livetime in bins that end above it."""
    counts, livetime = np.zeros(axes.shape), np.zeros(axes.shape)
    edges = axes.energy, axes.fov_lon, axes.fov_lat
    for run in runs:
        events = run.events()
        keep = events.energy >= run.energy_threshold
        columns = events.energy[keep], events.fov_lon[keep], events.fov_lat[keep]
        counts += np.histogramdd(columns, edges)[0]
        for i in range(axes.shape[0]):
            if axes.energy[i + 1] > run.energy_threshold:
                livetime[i] += run.livetime
    return counts, livetime
