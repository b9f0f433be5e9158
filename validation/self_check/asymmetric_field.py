"""A field of view without symmetry, and its perfect reconstruction, in which defects are planted.

It has gradients along both directions and three axes of different lengths, so that no flip, swap
or rotation maps it to itself.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.cube_pair import CubePair

__all__ = ["asymmetric_field"]

GRADIENT = 0.02, 0.05  # per deg, along fov_lon and fov_lat; gradients of real data reach 0.09
DEADTIME = 0.09
N_RUNS = 100
LIVETIME = 1529.0  # s, of each run
# The truth without the gradients.
TRUTH = GaussianTruth(index=2.7)
# The energy bins differ from the 20 of 2015.
AXES = Axes(np.geomspace(0.1, 80, 19), np.linspace(-4, 4, 61), np.linspace(-3.6, 3.6, 55))


@lru_cache(maxsize=2)
def asymmetric_field(events: float = 1e6) -> "AsymmetricField":
    """The field with this number of expected events, made once in each process."""
    return AsymmetricField(events)


@dataclass(frozen=True, eq=False)
class AsymmetricField:
    """The truth at the exposure for a number of events, and its perfect reconstruction.

    Parameters
    ----------
    events : float
        Expected number of events.

    Attributes
    ----------
    axes : Axes
        18 × 60 × 54 bins.
    expected : ndarray, shape of ``axes``
        Expected counts.
    """

    events: float
    axes = AXES

    @cached_property
    def expected(self) -> np.ndarray:
        return self.expect()

    def expect(
        self,
        truth: GaussianTruth = TRUTH,
        axes: Axes = AXES,
        gradient: tuple[float, float] = GRADIENT,
    ) -> np.ndarray:
        """Expected counts of a truth with gradients, at the exposure of the field.

        Parameters
        ----------
        truth : GaussianTruth
            The truth without gradients.
        axes : Axes
            Bins with the field of view of the field.
        gradient : tuple of float
            Relative gradients along fov_lon and fov_lat, per deg.

        Returns
        -------
        counts : ndarray, shape of ``axes``
            Expected counts.
        """
        return self.scale * truth.integrate(axes) * self.weight(*gradient)

    @cached_property
    def scale(self) -> float:
        """Time in which the truth gives the expected events, s."""
        return self.events / (TRUTH.integrate(AXES) * self.weight(*GRADIENT)).sum()

    @staticmethod
    def weight(lon: float, lat: float) -> np.ndarray:
        """1 + gradients (per deg) times the angles, shape (n_fov_lon, n_fov_lat)."""
        return 1 + lon * AXES.fov_lon_center[:, None] + lat * AXES.fov_lat_center

    def draw(self, rng: np.random.Generator, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poisson counts of the bins, and the events of each run among them."""
        counts = rng.poisson(expected)
        return counts, rng.multinomial(counts.sum(), np.full(N_RUNS, 1 / N_RUNS))

    def pair(
        self,
        counts: np.ndarray,
        runs: np.ndarray,
        predicted: np.ndarray | None = None,
        variance: np.ndarray | None = None,
    ) -> CubePair:
        """The true cube and a reconstructed one.

        Parameters
        ----------
        counts, predicted : ndarray, shape of ``axes``
            Counts of the reconstructed cube, and those that it predicts, by default the same.
        runs : ndarray, shape (n_runs,)
            Events of each run.
        variance : ndarray, shape of ``axes``, optional
            Stated variance of the counts; by default Poisson's.

        Returns
        -------
        pair : CubePair
            True and reconstructed cube.
        """
        reco = self._cube(counts, predicted, variance)
        return CubePair(self._true, reco, None, self.run_events, runs)

    @property
    def run_events(self) -> np.ndarray:
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
