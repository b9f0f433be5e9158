"""One record a metric: what it is, where its formula comes from, and what computes it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

__all__ = ["BUDGET", "MetricValue", "metric"]

# Probability that a run in which nothing is wrong ends with a failure: of all criteria together.
BUDGET = 1e-3


@dataclass(frozen=True)
class MetricValue:
    """A value, its standard error, the value of a perfect cube, and a unit.

    Examples
    --------
    >>> MetricValue(1.25, 0.125, 1.0).pull
    2.0
    """

    value: float
    error: float
    ideal: float
    unit: str = ""

    @classmethod
    def of_replicates(cls, values, ideal):
        """Mean of replicates; its error makes the pull normal, few replicates allowed for."""
        values = np.asarray(values, float)
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(values.size)
        if not error > 0:
            return cls(float(mean), math.nan, ideal)
        from scipy import stats  # here, since it takes as long to load as all of astropy

        t = (mean - ideal) / error
        z = -special.ndtri_exp(stats.t.logsf(abs(t), values.size - 1))
        return cls(float(mean), float(abs(mean - ideal) / z if z > 1e-9 else error), ideal)

    @property
    def pull(self):
        """Deviation from the ideal in standard errors."""
        return (self.value - self.ideal) / self.error


@dataclass(frozen=True)
class Metric:
    """What one metric is; all tables of metrics are queries of these records.

    Parameters
    ----------
    name : str
    kind : {"bias", "source", "errors", "counts", "runs", "quality"}
        What it measures: a bias, whose size the cube of noise-free counts gives; the largest bias
        of any point, which also needs independent pixels; the stated errors; the counts that the
        cube was made from; single runs; or a quality, which has no criterion.
    definition : str
        In one line.
    source : str
        Where the formula comes from; STATISTICS.md has them in full.
    function : callable, optional
        CubePair → (value, error) or (value, error, ideal); without it the metric is one of
        replicates or of models of single runs.
    ideal : float
        Value of a perfect cube.
    unit : str
    relative : bool
        Whether deviations are judged in relation to the ideal: of a ratio or an index.
    title : str
        In words.
    """

    name: str
    kind: str
    definition: str
    source: str
    function: Callable | None = None
    ideal: float = 0.0
    unit: str = ""
    relative: bool = False
    title: str = ""

    @property
    def shows_bias(self):
        """Whether a bias moves it, by as much as a cube of noise-free counts says."""
        return self.kind in ("bias", "source")

    def __call__(self, cubes):
        """The `MetricValue` of a `CubePair`."""
        return self.value(*self.function(cubes))

    def value(self, value=math.nan, error=math.nan, ideal=None):
        """The `MetricValue` of these numbers, NaN where there is nothing to measure."""
        ideal = self.ideal if ideal is None else ideal
        return MetricValue(float(value), float(error), float(ideal), self.unit)


def metric(kind, source, **fields):
    """Make the `Metric` of a function: its name and the first line of its docstring say what."""

    def record(function):
        definition = function.__doc__.splitlines()[0]
        return Metric(function.__name__, kind, definition, source, function, **fields)

    return record
