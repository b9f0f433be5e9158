"""A method that imports nothing of simbg: one spectrum times one image."""

from types import SimpleNamespace

import numpy as np

__all__ = ["Separable"]


class Separable:
    """As if the shape of the field of view were the same at all energies."""

    name = "separable"

    def reconstruct(self, observations, axes):
        """The rate over ``axes``, per second of livetime."""
        if any(run.excluded for run in observations):
            raise ValueError("separable: got regions to exclude, expected none: it cannot mask")
        edges = axes.energy, axes.fov_lon, axes.fov_lat
        counts, livetime = np.zeros(axes.shape), np.zeros(axes.shape[0])
        for run in observations:
            events = run.events()
            # A run counts in the bins wholly above its threshold.
            bins = axes.energy[:-1] >= run.energy_threshold * (1 - 1e-9)
            points = events.energy, events.fov_lon, events.fov_lat
            counts[bins] += np.histogramdd(np.transpose(points), edges)[0][bins]
            livetime[bins] += run.livetime
        spectrum = counts.sum(axis=(1, 2)) / np.where(livetime > 0, livetime, np.nan)
        image = counts.sum(axis=0) / counts.sum()
        return SimpleNamespace(rate=spectrum[:, None, None] * image / axes.volume)
