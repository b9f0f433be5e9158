"""Replicates: many draws of counts from exact expectations, each rebuilt and measured.

This is the fast path. It leaves out the events, which change nothing: given the
expectation of each bin, counts of bins are independent Poisson numbers, and a
test holds the two paths together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import special, stats

from simbg.axes import edition2015_axes
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.simulate import named_rng
from simbg.validation.metrics.metrics import METRICS
from simbg.validation.metrics.pair import Measure, Pair
from simbg.validation.metrics.statistics import heldout_deviance

__all__ = [
    "SUMMARY",
    "Setting",
    "Summary",
    "draw",
    "from_replicates",
    "make_setting",
    "replicate",
]

# What replicates say beyond single cubes: name → docstring of the result.
SUMMARY = {
    "replicate_pull_width": "Width of pulls about the method's own expectation, in stated errors.",
    "noise_cost": "p_eff: what noise costs, E[Q] less the floor; parameters of a perfect fit.",
    "bias_floor": "T b: what is lost at this exposure even without noise.",
    "efficiency": "Parameters of the truth over E[Q]: 1 for a perfect fit of the right family.",
    "heldout_deviance": "Deviance of other counts against the cube; the ideal is the truth's own.",
    "heldout_missed": "Share of the other counts in bins where the cube predicts none.",
}
# Replicates a piece of work.
BATCH = 5
# Index, σ at two energies and norm make a gaussian truth.
N_PARAMETERS = 4


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


@dataclass(frozen=True, eq=False)
class Summary:
    """Replicates of one setting.

    Parameters
    ----------
    measures : dict of str to list of Measure
        One a replicate.
    measured : dict of str to Measure
        Of `SUMMARY`.
    """

    measures: dict
    measured: dict


def make_setting(experiment, method, axes=None):
    """The setting of a method in an experiment; ``estimate`` is None where it has none."""
    bin_rule = getattr(method, "threshold_bin", "drop")
    about = axes or edition2015_axes(len(experiment.runs)), bin_rule
    stacks = experiment.expected(*about), experiment.background(*about)
    return Setting(experiment.scenario.name, getattr(method, "estimate", None), *stacks)


def draw(setting, rng):
    """Poisson counts of every bin and, given their sum, of every run."""
    counts = rng.poisson(setting.expected.counts)
    share = setting.expected.run_counts / setting.expected.run_counts.sum()
    runs = rng.multinomial(counts.sum(), share)
    return setting.expected.with_counts(counts), runs


def replicate(setting, n_replicates, seed, executor=None, names=tuple(METRICS)):
    """Draw, rebuild and measure ``n_replicates`` times.

    Returns
    -------
    summary : Summary
        The same for any executor.
    """
    batches = [range(n_replicates)[i : i + BATCH] for i in range(0, n_replicates, BATCH)]
    job = partial(_batch, setting, seed, names)
    rows = [row for batch in (executor.map if executor else map)(job, batches) for row in batch]
    measures = {name: [row[0][name] for row in rows] for name in names}
    extra = {key: np.array([row[1][key] for row in rows]) for key in rows[0][1]}
    return Summary(measures, _summary(setting, extra))


def from_replicates(values, ideal):
    """Mean of replicates; its error makes the pull normal, few replicates allowed for."""
    values = np.asarray(values, float)
    mean, spread = values.mean(), values.std(ddof=1) / np.sqrt(values.size)
    if not spread > 0:
        return Measure(float(mean), np.nan, ideal)
    t = (mean - ideal) / spread
    z = -special.ndtri_exp(stats.t.logsf(abs(t), values.size - 1))
    return Measure(float(mean), float(abs(mean - ideal) / z) if z > 1e-9 else float(spread), ideal)


def _batch(setting, seed, names, numbers):
    return [_one(setting, seed, names, number) for number in numbers]


def _one(setting, seed, names, number):
    """Measures of one replicate, and what the summary needs of it."""
    rng = named_rng(seed, setting.name + " counts", number)
    stack, runs = draw(setting, rng)
    other, _ = draw(setting, rng)
    cube = setting.estimate(stack)
    pair = Pair(setting.true, cube, None, setting.expected.run_counts, runs)
    return {name: METRICS[name](pair) for name in names}, _facts(setting, pair, other.counts)


def _facts(setting, pair, other):
    perfect = Pair(setting.true, setting.perfect)
    variance, stated = perfect.stated_variance, pair.stated_variance
    rich = (pair.expected >= 1) & (variance > 0)
    square = (pair.predicted - perfect.predicted)[rich] ** 2 / variance[rich]
    lost, missed = heldout_deviance(pair.predicted, other)
    truth, _ = heldout_deviance(np.where(pair.predicted > 0, pair.expected, 0.0), other)
    return {
        "square": square.mean() if rich.any() else np.nan,
        "stated": np.mean(stated[rich] / variance[rich]) if rich.any() else np.nan,
        "q": METRICS["lost_information"](pair).value,
        "heldout": lost,
        "truth": truth,
        "missed": missed,
    }


def _summary(setting, extra):
    floor = METRICS["lost_information"](Pair(setting.true, setting.perfect)).value
    # What a replicate's cube states against how far it is from the method's expectation.
    width = from_replicates(extra["square"] / extra["stated"].mean(), 1.0)
    spread = {
        key: values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else np.nan
        for key, values in extra.items()
    }
    q = extra["q"].mean()
    return {
        # √ of a mean square, to first order in its error.
        "replicate_pull_width": Measure(0.5 + width.value / 2, width.error / 2, 1.0),
        "noise_cost": Measure(q - floor, spread["q"], N_PARAMETERS),
        "bias_floor": Measure(floor, np.nan, 0.0),
        "efficiency": Measure(N_PARAMETERS / q, N_PARAMETERS / q**2 * spread["q"], 1.0),
        "heldout_deviance": Measure(
            extra["heldout"].mean(), spread["heldout"], extra["truth"].mean()
        ),
        "heldout_missed": Measure(extra["missed"].mean(), spread["missed"], 0.0),
    }
