"""Replicates: many draws of counts from exact expectations, each reconstructed and measured.

Replicates draw counts and no events, which is fast. Given the expected counts, the counts of bins
are independent Poisson numbers; a test compares this with simulated events.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import numpy as np

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import MetricValue
from simbg.validation.metrics.poisson import deviance
from simbg.validation.metrics.registry import METRICS

__all__ = ["Setting"]

# Replicates in one job of the executor.
BATCH = 5


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

    def replicate(
        self, n_replicates: int, seed: int, executor: Executor | None = None
    ) -> dict[str, MetricValue]:
        """Draw counts, reconstruct and measure ``n_replicates`` times.

        Parameters
        ----------
        n_replicates : int
            Number of draws.
        seed : int
            Seed of the draws.
        executor : concurrent.futures.Executor, optional
            Runs replicates in parallel.

        Returns
        -------
        values : dict of str to MetricValue
            Metrics of all replicates together; the same for any executor.
        """
        batches = [range(n_replicates)[i : i + BATCH] for i in range(0, n_replicates, BATCH)]
        job = partial(_batch, self, seed)
        rows = [row for rows in (executor.map if executor else map)(job, batches) for row in rows]
        return _summary(self, {key: np.array([row[key] for row in rows]) for key in rows[0]})


def heldout_deviance(predicted: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Deviance of independent counts from a cube. It needs no truth.

    Parameters
    ----------
    predicted : ndarray
        Counts that the cube predicts.
    counts : ndarray, shape of ``predicted``
        Counts that were not used for the cube.

    Returns
    -------
    deviance : float
        Poisson deviance of the bins where the cube predicts counts.
    missed : float
        Fraction of the counts in bins where the cube predicts none.

    Notes
    -----
    The mean is that of the deviance from the truth plus twice the Kullback–Leibler divergence. Bins
    where the cube predicts no counts would make it infinite and are counted in ``missed``.
    """
    filled = predicted > 0
    missed = counts[~filled].sum() / max(counts.sum(), 1)
    return float(deviance(counts[filled], predicted[filled]).sum()), float(missed)


def _batch(setting, seed, numbers):
    return [_one(setting, named_rng(seed, setting.name + " counts", n)) for n in numbers]


def _one(setting, rng):
    """Numbers of one replicate."""
    stack, other = (setting.draw(rng)[0] for _ in range(2))
    pair = CubePair(setting.true, setting.reconstruct(stack))
    perfect = CubePair(setting.true, setting.perfect)
    variance, stated = np.asarray(perfect.stated_variance), np.asarray(pair.stated_variance)
    used = (pair.expected >= 1) & (variance > 0)
    square = (pair.predicted - perfect.predicted)[used] ** 2 / variance[used]
    lost, missed = heldout_deviance(pair.predicted, other.counts)
    return {
        "square": square.mean() if used.any() else np.nan,
        "stated": np.mean(stated[used] / variance[used]) if used.any() else np.nan,
        "q": METRICS["lost_information"](pair).value,
        "heldout": lost,
        "truth": heldout_deviance(pair.expected * (pair.predicted > 0), other.counts)[0],
        "missed": missed,
    }


def _summary(setting, extra):
    floor = METRICS["lost_information"](CubePair(setting.true, setting.perfect)).value
    # Squared deviation from the expectation of the method over the stated variance.
    width = MetricValue.of_replicates(extra["square"] / extra["stated"].mean(), 1.0)
    mean = {key: values.mean() for key, values in extra.items()}
    n = extra["q"].size
    error = {k: v.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan for k, v in extra.items()}
    p_eff, perfect = mean["q"] - floor, METRICS["noise_cost"].ideal
    values = {
        # The square root of a mean square, to first order in its error.
        "replicate_pull_width": (0.5 + width.value / 2, width.error / 2),
        "noise_cost": (p_eff, error["q"]),
        "bias_floor": (floor,),
        "efficiency": (perfect / mean["q"], perfect / mean["q"] ** 2 * error["q"]),
        "heldout_deviance": (mean["heldout"], error["heldout"], mean["truth"]),
        "heldout_missed": (mean["missed"], error["missed"]),
    }
    return {name: METRICS[name].value(*numbers) for name, numbers in values.items()}
