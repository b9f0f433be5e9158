"""Replicates: many draws of counts from exact expectations, each rebuilt and measured.

This is the fast path. It leaves out the events, which change nothing: given the
expectation of each bin, counts of bins are independent Poisson numbers, and a
test holds the two paths together.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from simbg.axes import edition2015_axes
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.seeds import named_rng
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import MetricValue
from simbg.validation.metrics.poisson import deviance
from simbg.validation.metrics.registry import METRICS

__all__ = ["Setting"]

# Replicates a piece of work.
BATCH = 5


@dataclass(frozen=True, eq=False)
class Setting:
    """A method in a scenario, ready for replicates.

    Parameters
    ----------
    name : str
        Seeds the draws: the same for all methods, so they see the same counts.
    estimate : callable or None
        StackedCounts → BackgroundCube.
    expected : StackedCounts
        Expected counts at the method's exposure.
    claimed : StackedCounts
        The background alone at the exposure that the method claims.
    """

    name: str
    estimate: object
    expected: StackedCounts
    claimed: StackedCounts

    @classmethod
    def of(cls, experiment, method, axes=None):
        """The setting of a method in an experiment; ``estimate`` is None where it has none."""
        axes = axes or edition2015_axes(len(experiment.runs))
        bin_rule = getattr(method, "threshold_bin", "drop")
        stacks = experiment.expected(axes, bin_rule), experiment.background(axes, bin_rule)
        return cls(experiment.scenario.name, getattr(method, "estimate", None), *stacks)

    def times(self, factor):
        """The setting with exposures times ``factor``."""
        stacks = self.expected.times(factor), self.claimed.times(factor)
        return Setting(self.name, self.estimate, *stacks)

    @cached_property
    def true(self):
        """The true cube."""
        return Histogram().estimate(self.claimed)

    @cached_property
    def perfect(self):
        """The method's cube of noise-free counts."""
        return self.estimate(self.expected)

    def draw(self, rng):
        """Poisson counts of every bin as a stack and, given their sum, of every run."""
        counts = rng.poisson(self.expected.counts)
        share = self.expected.run_counts / self.expected.run_counts.sum()
        return self.expected.with_counts(counts), rng.multinomial(counts.sum(), share)

    def replicate(self, n_replicates, seed, executor=None):
        """Draw counts, rebuild and measure ``n_replicates`` times.

        Returns
        -------
        values : dict of str to MetricValue
            Of all replicates together; the same for any executor.
        """
        batches = [range(n_replicates)[i : i + BATCH] for i in range(0, n_replicates, BATCH)]
        job = partial(_batch, self, seed)
        rows = [row for rows in (executor.map if executor else map)(job, batches) for row in rows]
        return _summary(self, {key: np.array([row[key] for row in rows]) for key in rows[0]})


def heldout_deviance(predicted, counts):
    """How badly a cube predicts counts that it was not made from; needs no truth.

    Its mean is that of the truth's own deviance plus twice the Kullback–Leibler distance.
    Bins where the cube predicts nothing would make it infinite: they are left out, and the
    share of the counts in them is told apart.

    Returns
    -------
    deviance, missed : float
    """
    filled = predicted > 0
    missed = counts[~filled].sum() / max(counts.sum(), 1)
    return float(deviance(counts[filled], predicted[filled]).sum()), float(missed)


def _batch(setting, seed, numbers):
    return [_one(setting, named_rng(seed, setting.name + " counts", n)) for n in numbers]


def _one(setting, rng):
    """Numbers of one replicate."""
    stack, other = (setting.draw(rng)[0] for _ in range(2))
    pair = CubePair(setting.true, setting.estimate(stack))
    perfect = CubePair(setting.true, setting.perfect)
    variance, stated = perfect.stated_variance, pair.stated_variance
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
    # What a replicate's cube states against how far it is from the method's expectation.
    width = MetricValue.of_replicates(extra["square"] / extra["stated"].mean(), 1.0)
    mean = {key: values.mean() for key, values in extra.items()}
    n = extra["q"].size
    error = {k: v.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan for k, v in extra.items()}
    p_eff, perfect = mean["q"] - floor, METRICS["noise_cost"].ideal
    values = {
        # √ of a mean square, to first order in its error.
        "replicate_pull_width": (0.5 + width.value / 2, width.error / 2),
        "noise_cost": (p_eff, error["q"]),
        "bias_floor": (floor,),
        "efficiency": (perfect / mean["q"], perfect / mean["q"] ** 2 * error["q"]),
        "heldout_deviance": (mean["heldout"], error["heldout"], mean["truth"]),
        "heldout_missed": (mean["missed"], error["missed"]),
    }
    return {name: METRICS[name].value(*numbers) for name, numbers in values.items()}
