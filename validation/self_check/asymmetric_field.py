"""A field of view without symmetry, and its perfect reconstruction, in which defects are planted.

It has gradients along both directions and three different axis lengths, so that no flip, swap or
rotation maps it to itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.cube_pair import CubePair

__all__ = ["DEADTIME", "GRADIENT", "N_RUNS", "AsymmetricField", "asymmetric_field"]

GRADIENT = 0.02, 0.05  # per deg, along fov_lon and fov_lat; real ones reach 0.09
DEADTIME = 0.09
N_RUNS = 100
LIVETIME = 1529.0  # s a run


@dataclass(frozen=True, eq=False)
class AsymmetricField:
    """A truth, exposed until ``events`` are expected, and its perfect reconstruction."""

    events: float

    @property
    def truth(self):
        """The truth, but for the gradients."""
        return GaussianTruth(index=2.7)

    @cached_property
    def axes(self):
        """18 × 60 × 54 bins, of another energy binning than 2015's 20."""
        return Axes(np.geomspace(0.1, 80, 19), np.linspace(-4, 4, 61), np.linspace(-3.6, 3.6, 55))

    def weight(self, lon=GRADIENT[0], lat=GRADIENT[1]):
        """1 + gradients, per pixel."""
        return 1 + lon * self.axes.fov_lon_center[:, None] + lat * self.axes.fov_lat_center

    @cached_property
    def scale(self):
        """Exposure that makes ``events``."""
        return self.events / (self.truth.integrate(self.axes) * self.weight()).sum()

    def counts(self, truth=None, axes=None, weight=None):
        """Expected counts of a truth, with the gradients, at the exposure of the field."""
        weight = self.weight() if weight is None else weight
        return self.scale * (truth or self.truth).integrate(axes or self.axes) * weight

    @cached_property
    def expected(self):
        """Expected counts of the truth."""
        return self.counts()

    @cached_property
    def true(self):
        """The true cube, with the counts that it expects."""
        return self.cube(self.expected)

    def cube(self, counts, predicted=None, variance=None):
        """The cube that predicts some counts, its stated error as given or Poisson's."""
        livetime = np.full(self.axes.shape, N_RUNS * LIVETIME)
        exposure = livetime * self.axes.volume
        predicted = counts if predicted is None else predicted
        error = np.sqrt(counts if variance is None else variance) / exposure
        ontime = livetime / (1 - DEADTIME)
        return BackgroundCube(self.axes, predicted / exposure, error, counts, livetime, ontime)

    @property
    def runs(self):
        """Expected events of each run."""
        return np.full(N_RUNS, self.events / N_RUNS)

    def pair(self, counts, runs, predicted=None, variance=None):
        """What the metrics see of a rebuilt cube."""
        return CubePair(self.true, self.cube(counts, predicted, variance), None, self.runs, runs)

    def draw(self, rng, expected):
        """Poisson counts and their share to runs."""
        counts = rng.poisson(expected)
        return counts, rng.multinomial(counts.sum(), np.full(N_RUNS, 1 / N_RUNS))


@lru_cache(maxsize=2)
def asymmetric_field(events=1e6):
    """The field that expects ``events``, made once a process."""
    return AsymmetricField(events)
