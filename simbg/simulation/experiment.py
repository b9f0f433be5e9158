"""Experiment: a scenario, its runs and a seed, from which observations and stores follow."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from astropy.table import Table

from simbg.cube import BackgroundCube
from simbg.observations.observation import Observation
from simbg.simulation.events import simulate_run
from simbg.simulation.expectations import expected_stack
from simbg.simulation.scenario import Scenario
from simbg.simulation.schedule import rows_of
from simbg.simulation.stores import write_store

__all__ = ["Experiment"]

# Of a run's row, by the names that an observation has for them.
COLUMNS = {"obs_id": "OBS_ID", "livetime": "LIVETIME", "ontime": "ONTIME"}
COLUMNS |= {"energy_threshold": "SAFE_ENERGY_LO"}
COLUMNS |= {name: f"{name.upper()}_PNT" for name in ("ra", "dec", "alt", "az")}


@dataclass(frozen=True, eq=False)
class Experiment:
    """A scenario, the runs that observe it, and the seed of their events.

    Variants are made by `dataclasses.replace`: another replicate has other events of the same
    runs.

    Parameters
    ----------
    scenario : Scenario
    runs : Table
        From `Scenario.table`: one row a run. Columns TRUE_... hold what a store must not tell.
    seed : int
        Of the events; each run and replicate has a random stream of its own.
    replicate : int

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

    @classmethod
    def of(cls, scenario, seed, n_obs=None):
        """The experiment of a scenario with the runs that the same seed draws.

        Parameters
        ----------
        scenario : Scenario
        seed : int
        n_obs : int, optional
            Number of runs; default: the scenario's.
        """
        return cls(scenario, scenario.table(seed, n_obs), seed)

    def observations(self):
        """Observations, each simulated anew whenever its events are asked for.

        Events are kept neither in memory nor on disk, so any number of runs can be streamed.

        Returns
        -------
        observations : list of Observation
        """
        simulate = partial(simulate_run, self.scenario, self.seed, self.replicate)
        excluded, observations = tuple(self.scenario.regions), []
        for row in rows_of(self.runs):
            facts = {name: row[column] for name, column in COLUMNS.items()}
            load = partial(simulate, row)
            observations.append(Observation(load=load, excluded=excluded, **facts))
        return observations

    def expected(self, axes, threshold_bin="drop", claimed=False, vary=True):
        """Exact expectation of the stack of these observations.

        Parameters
        ----------
        axes : Axes
        threshold_bin : {"drop", "whole", "partial"}
            See `simbg.observations.exposure.stack_observations`.
        claimed : bool
            Make counts and livetime fit in the threshold bin. With "whole" it holds all events
            of the bin, which is what its livetime claims; with "partial" it has the true share
            of the livetime, where a stack of events leaves that to be estimated.
        vary : bool
            Whether the runs' own factors, TRUE_NORM and TRUE_DRIFT, are in it.

        Returns
        -------
        stack : StackedCounts
            ``counts`` and ``run_counts`` are floats.
        """
        return expected_stack(self.scenario, self.runs, axes, threshold_bin, claimed, vary)

    def background(self, axes, threshold_bin="drop"):
        """The background alone, without sources, at the exposure that a method claims.

        Parameters and result are those of `expected`.
        """
        dark = replace(self.scenario, sources=())
        return expected_stack(dark, self.runs, axes, threshold_bin, claimed=True)

    def true_cube(self, axes):
        """The true background, exposed as it is: a run exposes bins wholly above its threshold."""
        stack = self.background(axes)
        rate = stack.counts / np.where(stack.livetime > 0, stack.livetime, np.nan) / axes.volume
        return BackgroundCube(axes, rate, None, stack.counts, stack.livetime, stack.ontime)

    def write(self, outdir, scheme="gadf", overwrite=False, executor=None):
        """Simulate the runs and write them as a data store.

        The regions that the scenario excludes are written as regions.reg, a DS9 file, if there
        are any. The same experiment makes the same bytes, with any executor.

        Parameters
        ----------
        outdir : path-like
        scheme : {"gadf", "hess"}
        overwrite : bool
        executor : concurrent.futures.Executor, optional

        Returns
        -------
        n_events : int
        """
        return write_store(self, outdir, scheme, overwrite, executor)
