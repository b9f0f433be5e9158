"""Stacks of a power law times a gaussian, whose expectation is known."""

import numpy as np

from simbg.axes import Axes
from simbg.observations.exposure import StackedCounts

__all__ = ["expected_counts", "field_axes", "stack_with"]


def field_axes(n_energy, n_lon, n_lat, center=(0.0, 0.0)):
    """Axes of ±4 and ±3 deg about a centre."""
    lon, lat = np.linspace(-4, 4, n_lon + 1), np.linspace(-3, 3, n_lat + 1)
    return Axes(np.geomspace(0.1, 80, n_energy + 1), lon + center[0], lat + center[1])


def expected_counts(axes, n_events, index=2.5, sigma=(2.2, 2.2), peak=(0.0, 0.0)):
    """Counts that follow a power law times a gaussian at the centres of bins."""
    lon, lat = axes.fov_lon_center[:, None] - peak[0], axes.fov_lat_center - peak[1]
    image = np.exp(-0.5 * ((lon / sigma[0]) ** 2 + (lat / sigma[1]) ** 2))
    counts = axes.energy_center[:, None, None] ** -index * image * axes.volume
    return counts * n_events / counts.sum()


def stack_with(axes, counts, livetime=1e4):
    """Counts with a livetime in s, of each bin or of all."""
    livetime = np.broadcast_to(livetime, axes.shape)
    return StackedCounts(axes, counts, livetime, 1.1 * livetime, 1, 0, 1)
