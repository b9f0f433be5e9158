"""A method in a scenario: exact expectations, and replicates drawn from them.

Replicates draw counts and no events, which is fast. Given the expected counts, the counts of bins
are independent Poisson numbers; a test compares this with simulated events.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import Any, Self

import numpy as np

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.seeds import named_rng
from simbg.truth.from_file import CubeTruth
from simbg.validation.metrics.cube_pair import with_exposure
from simbg.validation.questions.replicates import FEWEST, Replicates

__all__ = ["Setting", "resampled"]

# Replicates in one job of the executor.
BATCH = 5
# Tolerance of edges of axes: rounding of files.
EDGE = 1e-6


@dataclass(frozen=True, eq=False)
class Setting:
    """A method in a scenario, prepared for replicates.

    Parameters
    ----------
    name : str
        Name of the scenario, which seeds the draws. All methods get the same counts.
    estimate : callable or None
        Function of `StackedCounts` that returns a `BackgroundCube`; None if the method has none.
    expected : StackedCounts
        Expected counts at the exposure of the method.
    claimed : StackedCounts
        Expected counts of the background alone at this exposure.
    """

    name: str
    estimate: Callable[[StackedCounts], BackgroundCube] | None
    expected: StackedCounts
    claimed: StackedCounts

    @classmethod
    def of(cls, experiment: Experiment, method: Any, axes: Axes | None = None) -> Self:
        """The setting of a method in an experiment.

        Parameters
        ----------
        experiment : Experiment
            Gives the expected counts.
        method : object or None
            Its ``estimate`` and ``threshold_bin`` are used, if it has them.
        axes : Axes, optional
            By default those of 2015 for as many runs.

        Returns
        -------
        setting : Setting
            With the exact expectations.
        """
        axes = axes or edition2015_axes(len(experiment.runs))
        bin_rule = getattr(method, "threshold_bin", "drop")
        stacks = experiment.expected(axes, bin_rule), experiment.background(axes, bin_rule)
        return cls(experiment.scenario.name, getattr(method, "estimate", None), *stacks)

    def times(self, factor: float) -> "Setting":
        """The setting with all exposures multiplied by ``factor``."""
        stacks = self.expected.times(factor), self.claimed.times(factor)
        return Setting(self.name, self.estimate, *stacks)

    def inside(self, axes: Axes) -> "Setting":
        """The setting without exposure in bins that are not completely inside other axes.

        Parameters
        ----------
        axes : Axes
            The other axes.
        """
        inside = map(_inside, self.claimed.axes.edges, axes.edges)
        covered = reduce(np.multiply.outer, inside)
        stacks = (
            replace(s, counts=s.counts * covered, livetime=s.livetime * covered)
            for s in (self.expected, self.claimed)
        )
        return Setting(self.name, self.estimate, *stacks)

    @cached_property
    def true(self) -> BackgroundCube:
        """The true cube, with its expected counts."""
        return Histogram().estimate(self.claimed)

    @cached_property
    def perfect(self) -> BackgroundCube:
        """The cube that the method makes of noise-free counts."""
        return self.reconstruct(self.expected)

    def reconstruct(self, stack: StackedCounts) -> BackgroundCube:
        """The cube that the method makes of a stack.

        Parameters
        ----------
        stack : StackedCounts
            Over the axes of the setting.

        Returns
        -------
        cube : BackgroundCube
            By the function ``estimate``.

        Raises
        ------
        TypeError
            If the method has none.
        """
        if self.estimate is None:
            raise TypeError(f"{self.name}: the method has no function estimate")
        return self.estimate(stack)

    def draw(self, rng: np.random.Generator) -> tuple[StackedCounts, np.ndarray]:
        """Draw Poisson counts.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        stack : StackedCounts
            Counts of every bin.
        run_counts : ndarray of int, shape (n_obs,)
            Counts of every run, given the sum of all.
        """
        counts = rng.poisson(self.expected.counts)
        run_counts = np.asarray(self.expected.run_counts)
        return self.expected.with_counts(counts), rng.multinomial(
            counts.sum(), run_counts / run_counts.sum()
        )

    def replicates(
        self, number: int, seed: int, executor: Executor | None = None
    ) -> tuple[Replicates, list[BackgroundCube]]:
        """Draw counts and reconstruct them several times.

        Parameters
        ----------
        number : int
            Number of draws.
        seed : int
            Seed of the draws.
        executor : concurrent.futures.Executor, optional
            Runs replicates in parallel.

        Returns
        -------
        replicates : Replicates
            With the counts that `Histogram` predicts from the same draws.
        cubes : list of BackgroundCube
            The cube of each draw. Both are the same for any executor.
        """
        # Few replicates are those of a costly method: each is a job.
        size = BATCH if number >= 4 * BATCH else 1
        batches = [range(number)[i : i + size] for i in range(0, number, size)]
        job = partial(_batch, self, seed)
        rows = [row for rows in (executor.map if executor else map)(job, batches) for row in rows]
        cubes, raw = zip(*rows, strict=True)
        counts = np.array([self.predicted(rate) for rate in raw])
        return Replicates.of_cubes(self.true, cubes, counts), list(cubes)

    @cached_property
    def calculated(self) -> Replicates:
        """Four identical replicates of noise-free counts: the bias without noise."""
        return Replicates.of_cubes(self.true, [self.perfect] * FEWEST)

    def predicted(self, rate: np.ndarray | None) -> np.ndarray:
        """Counts of a rate per livetime at the exposure of the true cube, 0 without exposure.

        Parameters
        ----------
        rate : ndarray, shape of the axes
            s-1 MeV-1 sr-1.

        Returns
        -------
        counts : ndarray, shape of the axes
            Rate × volume × livetime.
        """
        livetime = np.asarray(self.true.livetime)
        return np.where(livetime > 0, np.asarray(rate), 0.0) * livetime * self.true.axes.volume


def _inside(edges, outer):
    """Bins between the first and last edge of others, but for the rounding of files."""
    slack = EDGE * np.abs(outer[[0, -1]])
    return (edges[:-1] >= outer[0] - slack[0]) & (edges[1:] <= outer[-1] + slack[1])


def _batch(setting, seed, numbers):
    return [_one(setting, named_rng(seed, setting.name + " counts", n)) for n in numbers]


def _one(setting, rng):
    """The cube of a draw, and the rate of raw counts."""
    stack, _ = setting.draw(rng)
    return setting.reconstruct(stack), Histogram().estimate(stack).rate


def resampled(cube: BackgroundCube, stack: StackedCounts) -> BackgroundCube:
    """A cube in the bins of a stack, with its exposure.

    Parameters
    ----------
    cube : BackgroundCube
        Its rate is constant in pixels and a power law in energy bins.
    stack : StackedCounts
        Gives axes and exposure.

    Returns
    -------
    cube : BackgroundCube
        The cube itself if it has the same bins.
    """
    if cube.axes.same_as(stack.axes):
        return cube
    rate = CubeTruth.from_cube(cube).integrate(stack.axes) / stack.axes.volume
    return with_exposure(BackgroundCube(stack.axes, rate), stack)
