"""Experiment: a scenario, its runs and a seed, from which observations and stores follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from astropy.table import Table

from simbg.simulation.scenarios import Scenario
from simbg.simulation.simulate import expected_stack, observe, write_dataset

__all__ = ["Experiment"]


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
    >>> from simbg.simulation.scenarios import SCENARIOS
    >>> night = Experiment.of(SCENARIOS["night"], seed=0)
    >>> observations = night.observations()
    >>> len(observations), len(observations[0].load())
    (8, 10558)
    >>> stack = night.expected(edition2015_axes(8))
    >>> stack.n_obs, stack.counts.shape, round(stack.counts.sum())
    (8, (10, 20, 20), 52492)
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
        scenario = self.scenario
        about = scenario.truth, self.runs, self.seed, scenario.name, self.replicate
        return observe(*about, scenario.sources, scenario.site, scenario.regions)

    def expected(self, axes, threshold_bin="drop", claimed=False, vary=True):
        """Exact expectation of the stack of these observations.

        Parameters
        ----------
        axes : Axes
        threshold_bin : {"drop", "whole", "share"}
            See `simbg.observations.exposure.stack_observations`.
        claimed : bool
            Make counts and livetime fit in the threshold bin. With "whole" it holds all events
            of the bin, which is what its livetime claims; with "share" it has the true share
            of the livetime, where a stack of events leaves that to be estimated.
        vary : bool
            Whether the runs' own factors, TRUE_NORM and TRUE_DRIFT, are in it.

        Returns
        -------
        stack : Stack
            ``counts`` and ``run_counts`` are floats.
        """
        scenario = self.scenario
        sky = scenario.sources, scenario.site, scenario.regions
        return expected_stack(scenario.truth, self.runs, axes, threshold_bin, claimed, *sky, vary)

    def background(self, axes, threshold_bin="drop"):
        """The background alone, without sources, at the exposure that a method claims.

        Parameters and result are those of `expected`.
        """
        return self.without_sources().expected(axes, threshold_bin, claimed=True)

    def without_sources(self):
        """The same experiment, its gamma-ray sources switched off."""
        return replace(self, scenario=replace(self.scenario, sources=()))

    def write(self, outdir, scheme="gadf", overwrite=False, executor=None, progress=iter):
        """Simulate the runs and write them as a data store.

        Parameters
        ----------
        outdir : path-like
        scheme : {"gadf", "hess"}
        overwrite : bool
        executor : concurrent.futures.Executor, optional
            The bytes are the same with any.
        progress : callable
            Wraps the iteration over runs.

        Returns
        -------
        n_events : int
        """
        scenario = self.scenario
        return write_dataset(
            outdir,
            scenario.truth,
            self.runs,
            scenario.site,
            self.seed,
            scenario.name,
            scheme,
            overwrite,
            executor,
            progress,
            sources=scenario.sources,
            regions=scenario.regions,
            replicate=self.replicate,
        )
