"""A model of each run from the runs that are most like it (off-run matching)."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.observation import Observation
from simbg.reconstruction.contract import Reconstructor, reconstruct
from simbg.reconstruction.covariates import AZIMUTH, Covariates

__all__ = ["MatchedRuns"]

# Differences that count alike: of cos(zenith), of the direction in azimuth (45 deg at a zenith
# angle of 45 deg), and of other covariates in standard deviations of all runs.
COSINE, DIRECTION, COVARIATE = 0.05, 0.55, 1.0
# Number of matched runs.
N_RUNS = 10


@dataclass(frozen=True)
class MatchedRuns:
    """Models each run: a cube of the runs that are most like it.

    Parameters
    ----------
    method : Reconstructor
        Makes the cube of matched runs.
    n_runs : int
        Number of runs that are matched to each run.
    executor : concurrent.futures.Executor, optional
        Reads runs in parallel.

    Notes
    -----
    H.E.S.S. chooses runs of similar zenith angle, azimuth, muon efficiency and season (A&A 690
    A250). Here these are the runs with the smallest distance, whose square is the sum of
    (Δ cos z / 0.05)², of (sin z · chord of Δ azimuth / 0.55)², and of the squares of differences of
    `Observation.covariates` in standard deviations of all runs.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> from simbg.reconstruction.histogram import Histogram
    >>> from simbg.simulation.experiment import Experiment
    >>> from simbg.simulation.library import SCENARIOS
    >>> observations = Experiment.of(SCENARIOS["night"], seed=0).observations()
    >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
    >>> models = MatchedRuns(Histogram(), n_runs=3).fit(observations, axes)
    >>> models.at(observations[0]).meta["MATCHED"]
    '1, 8, 2'
    """

    method: Reconstructor
    n_runs: int = N_RUNS
    executor: Executor | None = None

    @property
    def name(self) -> str:
        """Name of the method.

        Examples
        --------
        >>> from simbg.reconstruction.histogram import Histogram
        >>> MatchedRuns(Histogram()).name
        'histogram'
        """
        return self.method.name

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """The cube of all observations, without matching.

        Examples
        --------
        >>> from simbg.observations.observation import Events
        >>> from simbg.reconstruction.histogram import Histogram
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> events = Events(np.array([0.2, 2.0, 3.0]), np.zeros(3), np.zeros(3))
        >>> run = Observation.in_memory(events, obs_id=1, livetime=900.0, ontime=1000.0)
        >>> MatchedRuns(Histogram()).reconstruct([run], axes).axes.shape
        (2, 2, 2)
        """
        return reconstruct(self.method, observations, axes, self.executor)

    def fit(self, observations: Sequence[Observation], axes: Axes) -> "MatchedModels":
        """Models of runs from these observations.

        Parameters
        ----------
        observations : sequence of Observation
            The runs from which those that match are chosen.
        axes : Axes
            Axes of the cubes.

        Examples
        --------
        >>> from simbg.observations.observation import Events
        >>> from simbg.reconstruction.histogram import Histogram
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> events = Events(np.array([0.2, 2.0, 3.0]), np.zeros(3), np.zeros(3))
        >>> run = Observation.in_memory(events, obs_id=1, livetime=900.0, ontime=1000.0, alt=60.0)
        >>> MatchedRuns(Histogram()).fit([run], axes).at(run).axes.shape
        (2, 2, 2)
        """
        return MatchedModels(self, axes, tuple(observations), Covariates.of(observations))


@dataclass(frozen=True, eq=False)
class MatchedModels:
    """Cubes of the runs that match a run.

    Parameters
    ----------
    settings : MatchedRuns
        The method and the number of runs.
    axes : Axes
        Axes of the cubes.
    observations : tuple of Observation
        The runs to choose from.
    covariates : Covariates
        Those of the runs.
    """

    settings: MatchedRuns
    axes: Axes
    observations: tuple[Observation, ...]
    covariates: Covariates

    def at(self, observation: Observation) -> BackgroundCube:
        """The cube of the runs most like an observation, per livetime, without its norm.

        Parameters
        ----------
        observation : Observation
            The run, which is not one of its own matches unless it is one of the runs.
        """
        chosen = self.matches(observation)
        cube = self.settings.reconstruct(chosen, self.axes).per("livetime")
        known = np.isfinite(cube.rate)
        meta = {"METHOD": self.settings.name, "ZENITH": float(90 - observation.alt)}
        meta["MATCHED"] = ", ".join(str(run.obs_id) for run in chosen)
        return replace(
            cube,
            counts=None,
            meta=meta,
            livetime=np.where(known, observation.livetime, 0.0),
            ontime=np.where(known, observation.ontime, 0.0),
        )

    def matches(self, observation: Observation) -> list[Observation]:
        """The runs most like an observation, the best first.

        Parameters
        ----------
        observation : Observation
            Any run.
        """
        runs = [*self.observations, observation]
        alt, az = np.radians([(run.alt, run.az) for run in runs]).T
        # An unknown azimuth makes no difference.
        az = np.nan_to_num(az)
        covariates = self.covariates.only([n for n in self.covariates.names if n != AZIMUTH])
        place = np.column_stack(
            [
                np.sin(alt) / COSINE,
                np.cos(alt) * np.cos(az) / DIRECTION,
                np.cos(alt) * np.sin(az) / DIRECTION,
                covariates.functions(runs) / COVARIATE,
            ]
        )
        distance = np.sum((place[:-1] - place[-1]) ** 2, axis=1)
        order = np.argsort(distance, kind="stable")[: self.settings.n_runs]
        return [self.observations[i] for i in order.tolist()]
