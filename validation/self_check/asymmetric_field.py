"""A field of view without symmetry, and its perfect reconstruction, in which defects are planted.

It has gradients along both directions and three different axis lengths, so that no flip, swap or
rotation maps it to itself.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.cube_pair import CubePair

__all__ = ["asymmetric_field"]

GRADIENT = 0.02, 0.05  # per deg, along fov_lon and fov_lat; real ones reach 0.09
DEADTIME = 0.09
N_RUNS = 100
LIVETIME = 1529.0  # s a run
# But for the gradients.
TRUTH = GaussianTruth(index=2.7)
# Of another energy binning than 2015's 20.
AXES = Axes(np.geomspace(0.1, 80, 19), np.linspace(-4, 4, 61), np.linspace(-3.6, 3.6, 55))


@lru_cache(maxsize=2)
def asymmetric_field(events=1e6):
    """The field that expects ``events``, made once a process."""
    return AsymmetricField(events)


@dataclass(frozen=True, eq=False)
class AsymmetricField:
    """The truth, exposed until ``events`` are expected, and its perfect reconstruction.

    Attributes
    ----------
    axes : Axes
        18 × 60 × 54 bins.
    expected : ndarray, shape of ``axes``
        Counts.
    """

    events: float
    axes = AXES

    @cached_property
    def expected(self):
        return self.expect()

    def expect(self, truth=TRUTH, axes=AXES, gradient=GRADIENT):
        """Expected counts of a truth with gradients, at the exposure of the field."""
        return self.scale * truth.integrate(axes) * self.weight(*gradient)

    @cached_property
    def scale(self):
        """Seconds in which the truth gives ``events``."""
        return self.events / (TRUTH.integrate(AXES) * self.weight(*GRADIENT)).sum()

    @staticmethod
    def weight(lon, lat):
        """1 + gradients per deg, shape (n_fov_lon, n_fov_lat)."""
        return 1 + lon * AXES.fov_lon_center[:, None] + lat * AXES.fov_lat_center

    def draw(self, rng, expected):
        """Poisson counts, and the events of each run among them."""
        counts = rng.poisson(expected)
        return counts, rng.multinomial(counts.sum(), np.full(N_RUNS, 1 / N_RUNS))

    def pair(self, counts, runs, predicted=None, variance=None):
        """The rebuilt cube that predicts the counts, or ``predicted`` ones, beside the true one.

        Parameters
        ----------
        counts, predicted : ndarray, shape of ``axes``
        runs : ndarray, shape (n_runs,)
            Events of each run.
        variance : ndarray, optional
            Of the counts, as the cube states it; else Poisson's.

        Returns
        -------
        pair : CubePair
        """
        reco = self._cube(counts, predicted, variance)
        return CubePair(self._true, reco, None, self.run_events, runs)

    @property
    def run_events(self):
        """Expected events of each run, shape (n_runs,)."""
        return np.full(N_RUNS, self.events / N_RUNS)

    @cached_property
    def _true(self):
        return self._cube(self.expected)

    def _cube(self, counts, predicted=None, variance=None):
        livetime = np.full(AXES.shape, N_RUNS * LIVETIME)
        exposure = livetime * AXES.volume
        predicted = counts if predicted is None else predicted
        error = np.sqrt(counts if variance is None else variance) / exposure
        ontime = livetime / (1 - DEADTIME)
        return BackgroundCube(AXES, predicted / exposure, error, counts, livetime, ontime)
