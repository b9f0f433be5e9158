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

__all__ = ["MAP", "asymmetric_field"]

GRADIENT = 0.02, 0.05  # per deg, along fov_lon and fov_lat; gradients of real data reach 0.09
DEADTIME = 0.09
N_RUNS = 100
LIVETIME = 1529.0  # s, of each run
# The truth without the gradients.
TRUTH = GaussianTruth(index=2.7)
# The energy bins differ from the 20 of 2015.
AXES = Axes(np.geomspace(0.1, 80, 13), np.linspace(-4, 4, 31), np.linspace(-3.6, 3.6, 28))
# The map in which gammapy predicts counts; its bins differ from those of the field.
MAP = Axes(np.geomspace(0.2, 20, 4), np.linspace(-2, 2, 12), np.linspace(-2, 2, 12))


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
        12 × 30 × 27 bins.
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

    def draw(
        self, rng: np.random.Generator, expected: np.ndarray, number: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Poisson counts of the bins, and the events of each run among them.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.
        expected : ndarray, shape of ``axes``
            Expected counts.
        number : int, optional
            Number of replicates, the first axis of the results; by default one without this axis.
        """
        counts = rng.poisson(expected, None if number is None else (number, *expected.shape))
        total = counts.sum(axis=(-3, -2, -1))
        return counts, rng.multinomial(total, np.full(N_RUNS, 1 / N_RUNS))

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
        predicted = counts if predicted is None else predicted
        reco = self.cube(predicted, counts, counts if variance is None else variance)
        return CubePair(self.true, reco, None, self.run_events, runs)

    @property
    def run_events(self) -> np.ndarray:
        """Expected events of each run, shape (n_runs,)."""
        return np.full(N_RUNS, self.events / N_RUNS)

    @cached_property
    def true(self) -> BackgroundCube:
        """The true cube."""
        return self.cube(self.expected, self.expected, self.expected)

    @cached_property
    def map_counts(self) -> np.ndarray:
        """Expected counts of the bins of `MAP`, shape of its axes."""
        lon, lat = MAP.fov_lon_center[:, None], MAP.fov_lat_center
        weight = 1 + GRADIENT[0] * lon + GRADIENT[1] * lat
        return self.scale * TRUTH.integrate(MAP) * weight

    def cube(
        self,
        predicted: np.ndarray,
        counts: np.ndarray | None = None,
        variance: np.ndarray | None = None,
        ontime: float = 1.0,
    ) -> BackgroundCube:
        """A cube that predicts these counts.

        Parameters
        ----------
        predicted : ndarray, shape of ``axes``
            Predicted counts.
        counts : ndarray, shape of ``axes``, optional
            Counts of the cube.
        variance : ndarray, shape of ``axes``, optional
            Stated variance of the predicted counts.
        ontime : float
            The stated observation time divided by the true one.
        """
        livetime = np.full(AXES.shape, N_RUNS * LIVETIME)
        exposure = livetime * AXES.volume
        error = None if variance is None else np.sqrt(variance) / exposure
        clock = ontime * livetime / (1 - DEADTIME)
        return BackgroundCube(AXES, predicted / exposure, error, counts, livetime, clock)

    @property
    def ontime(self) -> float:
        """Observation time of all runs, s."""
        return N_RUNS * LIVETIME / (1 - DEADTIME)
