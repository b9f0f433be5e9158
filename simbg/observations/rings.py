"""Counts and exposure in rings about the pointing; the exposure under masks is exact."""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from simbg.axes import MEV_PER_TEV
from simbg.observations.exposure import stack_in_bins
from simbg.observations.observation import Observation
from simbg.observations.stacked_counts import StackedCounts
from simbg.radial import ring_solid_angle

__all__ = ["stack_rings"]


@dataclass(frozen=True, eq=False)
class Rings:
    """Energy bins × rings in place of `Axes`: the last axis of an array has one bin.

    Parameters
    ----------
    energy, offset : ndarray
        Edges, TeV and deg.
    """

    energy: np.ndarray
    offset: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_energy, n_ring, 1)."""
        return self.energy.size - 1, self.offset.size - 1, 1

    @property
    def energy_center(self) -> np.ndarray:
        """Logarithmic bin centres, TeV."""
        return np.sqrt(self.energy[1:] * self.energy[:-1])

    @property
    def fov_lon(self) -> np.ndarray:
        """Edges of the rings."""
        return self.offset

    @property
    def fov_lat(self) -> np.ndarray:
        """One bin of infinite width, over which nothing is smoothed."""
        return np.array([0.0, np.inf])

    @property
    def volume(self) -> np.ndarray:
        """ΔE · ΔΩ of each bin, MeV sr."""
        solid_angle = ring_solid_angle(self.offset)
        return MEV_PER_TEV * np.diff(self.energy)[:, None, None] * solid_angle[:, None]

    def fill(
        self,
        energy: np.ndarray,
        fov_lon: np.ndarray,
        fov_lat: np.ndarray,
        energy_min: float | None = None,
    ) -> np.ndarray:
        """Count events in bins, as `Axes.fill`.

        Parameters
        ----------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV and deg.
        energy_min : float, optional
            Events below this energy are left out.
        """
        lon, lat = np.radians(fov_lon), np.radians(fov_lat)
        across = np.hypot(np.sin(lat), np.cos(lat) * np.sin(lon))
        offset = np.degrees(np.arctan2(across, np.cos(lat) * np.cos(lon)))
        used = energy >= (0.0 if energy_min is None else energy_min)
        bins = [
            np.searchsorted(edges, values[used], side="right") - 1
            for edges, values in ((self.energy, energy), (self.offset, offset))
        ]
        n_energy, n_ring, _ = self.shape
        inside = (bins[0] >= 0) & (bins[0] < n_energy) & (bins[1] >= 0) & (bins[1] < n_ring)
        flat = bins[0][inside] * n_ring + bins[1][inside]
        return np.bincount(flat, minlength=n_energy * n_ring).reshape(self.shape)


def stack_rings(
    observations: Iterable[Observation],
    energy: np.ndarray,
    offset: np.ndarray,
    threshold_bin: str = "partial",
    executor: Executor | None = None,
) -> StackedCounts:
    """Add up counts and exposure in rings.

    Parameters
    ----------
    observations : iterable of Observation
        The observations.
    energy, offset : ndarray
        Edges, TeV and deg.
    threshold_bin : {"drop", "whole", "partial"}
        As for `simbg.observations.exposure.stack_observations`.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel; the result is the same to the last bit.

    Returns
    -------
    StackedCounts
        Arrays of shape (n_energy, n_ring, 1).
    """
    rings: Any = Rings(np.asarray(energy, float), np.asarray(offset, float))
    return stack_in_bins(observations, rings, threshold_bin, executor)
