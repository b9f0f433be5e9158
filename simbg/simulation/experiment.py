"""Experiment: a scenario, its runs and a seed, which determine observations and stores."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from astropy.table import Table

from simbg.axes import Axes, check_axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.observations.observation import Observation
from simbg.simulation.events import simulate_run
from simbg.simulation.expectations import expected_stack
from simbg.simulation.scenario import Scenario
from simbg.simulation.schedule import rows_of
from simbg.simulation.stores import write_store

__all__ = ["Experiment"]

# Attributes of an observation → columns of the table of runs.
COLUMNS = {"obs_id": "OBS_ID", "livetime": "LIVETIME", "ontime": "ONTIME"}
COLUMNS |= {"energy_threshold": "SAFE_ENERGY_LO"}
COLUMNS |= {name: f"{name.upper()}_PNT" for name in ("ra", "dec", "alt", "az")}


@dataclass(frozen=True, eq=False)
class Experiment:
    """A scenario, the runs that observe it, and the seed of their events.

    Variants are made with `dataclasses.replace`: another replicate has other events of the same
    runs.

    Parameters
    ----------
    scenario : Scenario
        The truth, sources and excluded regions.
    runs : Table
        From `Scenario.table`: one row per run. Columns ``TRUE_...`` are not written to a store.
    seed : int
        Seed of the events; each run and replicate has its own random stream.
    replicate : int
        Number of the replicate.

    Examples
    --------
    >>> from simbg.axes import edition2015_axes
    >>> from simbg.simulation.library import SCENARIOS
    >>> night = Experiment.of(SCENARIOS["night"], seed=0)
    >>> observations = night.observations()
    >>> len(observations), len(observations[0].load())
    (8, 10558)
    >>> stack = night.expected(edition2015_axes(8))
    >>> stack.n_obs, stack.counts.shape, round(stack.counts.sum())
    (8, (10, 20, 20), 52492)

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n_events = Experiment.of(SCENARIOS["night"], 0, n_obs=2).write(folder + "/store")
    ...     sorted(path.name for path in Path(folder, "store").iterdir())
    ['data', 'hdu-index.fits.gz', 'obs-index.fits.gz']
    """

    scenario: Scenario
    runs: Table
    seed: int
    replicate: int = 0

    def __repr__(self) -> str:
        runs = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}"
        return f"<Experiment {self.scenario.name}: {runs}, seed {self.seed}>"

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations())

    @classmethod
    def of(cls, scenario: Scenario, seed: int, n_obs: int | None = None) -> "Experiment":
        """The experiment of a scenario, with a schedule of runs from the same seed as the events.

        Parameters
        ----------
        scenario : Scenario
            The truth, sources and excluded regions.
        seed : int
            Seed of the schedule and of the events.
        n_obs : int, optional
            Number of runs; by default that of the scenario.

        Returns
        -------
        Experiment
            Replicate 0.

        Examples
        --------
        >>> from simbg.simulation.library import SCENARIOS
        >>> Experiment.of(SCENARIOS["night"], seed=0, n_obs=2)
        <Experiment night: 2 runs, seed 0>
        """
        return cls(scenario, scenario.table(seed, n_obs), seed)

    def observations(self) -> list[Observation]:
        """Observations whose events are simulated each time that they are read.

        Events are stored neither in memory nor on disk, so any number of runs can be processed.

        Returns
        -------
        list of Observation
            One observation per run.

        Examples
        --------
        >>> from simbg.simulation.library import SCENARIOS
        >>> first, second = Experiment.of(SCENARIOS["night"], seed=0, n_obs=2).observations()
        >>> first.obs_id, round(first.livetime), first.events()
        (1, 1529, <Events: 8615>)
        """
        simulate = partial(simulate_run, self.scenario, self.seed, self.replicate)
        excluded, observations = tuple(self.scenario.regions), []
        for row in rows_of(self.runs):
            properties = {name: row[column] for name, column in COLUMNS.items()}
            load = partial(simulate, row)
            observations.append(Observation(load=load, excluded=excluded, **properties))
        return observations

    def expected(
        self, axes: Axes, threshold_bin: str = "drop", claimed: bool = False, vary: bool = True
    ) -> StackedCounts:
        """Exact expectation of the stack of these observations.

        Parameters
        ----------
        axes : Axes
            Axes of the bins.
        threshold_bin : {"drop", "whole", "partial"}
            See `simbg.observations.exposure.stack_observations`.
        claimed : bool
            Make counts and livetime of the threshold bin consistent. With "whole" the bin then
            contains all its events, as its livetime claims; with "partial" it has the true
            fraction of
            the livetime, which for a stack of events must be estimated.
        vary : bool
            Whether to apply the factors of the runs, TRUE_NORM and TRUE_DRIFT.

        Returns
        -------
        StackedCounts
            ``counts`` and ``run_counts`` are floats.

        Examples
        --------
        >>> from simbg.simulation.library import SCENARIOS
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> stack = Experiment.of(SCENARIOS["night"], seed=0, n_obs=2).expected(axes)
        >>> stack.counts.sum(axis=(1, 2)).round(1).tolist()
        [8824.9, 506.8, 28.4, 1.6]
        """
        return expected_stack(self.scenario, self.runs, axes, threshold_bin, claimed, vary)

    def background(self, axes: Axes, threshold_bin: str = "drop") -> StackedCounts:
        """Expected counts of the background without sources, at the exposure that a method claims.

        Parameters and result are those of `expected`.

        Examples
        --------
        >>> from simbg.simulation.library import SCENARIOS
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> source = Experiment.of(SCENARIOS["source"], seed=0, n_obs=2)
        >>> bool(source.background(axes).counts.sum() < source.expected(axes).counts.sum())
        True
        """
        sourceless = replace(self.scenario, sources=())
        return expected_stack(sourceless, self.runs, axes, threshold_bin, claimed=True)

    def true_cube(self, axes: Axes | None = None) -> BackgroundCube:
        """The true background, with the exposure of bins completely above a run's threshold.

        Parameters
        ----------
        axes : Axes, optional
            By default those of 2015, see `simbg.axes.edition2015_axes`.

        Returns
        -------
        BackgroundCube
            Its ``counts`` are the expected ones.

        Examples
        --------
        >>> from simbg.simulation.library import SCENARIOS
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> cube = Experiment.of(SCENARIOS["night"], seed=0, n_obs=2).true_cube(axes)
        >>> cube.spectrum.round(4).tolist()
        [2.8862, 0.1658, 0.0093, 0.0005]
        """
        axes = edition2015_axes(len(self.runs)) if axes is None else axes
        check_axes(axes)
        stack = self.background(axes)
        rate = stack.counts / np.where(stack.livetime > 0, stack.livetime, np.nan) / axes.volume
        return BackgroundCube(axes, rate, None, stack.counts, stack.livetime, stack.ontime)

    def write(
        self,
        outdir: Path | str,
        scheme: str = "gadf",
        overwrite: bool = False,
        executor: Executor | None = None,
        resume: bool = False,
    ) -> int:
        """Simulate the runs and write them as a data store.

        If the scenario excludes regions, they are written as regions.reg, a DS9 file. The same
        experiment writes the same bytes with any executor.

        Parameters
        ----------
        outdir : path-like
            Directory of the store.
        scheme : {"gadf", "hess"}
            Format of the store: GADF's, or that of 2015.
        overwrite : bool
            Whether to replace an existing store.
        executor : concurrent.futures.Executor, optional
            Simulates and writes runs in parallel.
        resume : bool
            Whether finished runs are kept beside ``outdir`` if this is interrupted, and those that
            are there are used.

        Returns
        -------
        int
            Number of events.

        Raises
        ------
        ValueError
            If the scheme is unknown.

        Examples
        --------
        >>> import tempfile
        >>> from simbg.simulation.library import SCENARIOS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = Experiment.of(SCENARIOS["night"], seed=0, n_obs=1).write(folder)
        ...     print(*sorted(path.name for path in Path(folder).iterdir()))
        data hdu-index.fits.gz obs-index.fits.gz
        """
        return write_store(self, outdir, scheme, overwrite, executor, resume)
