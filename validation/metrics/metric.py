"""The record of a metric: its definition, the source of its formula, and the function."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

__all__ = ["BUDGET", "MetricValue", "metric"]

# Probability that any criterion of a run of the suite fails though nothing is wrong.
BUDGET = 1e-3


@dataclass(frozen=True)
class MetricValue:
    """The value of a metric for one cube.

    Parameters
    ----------
    value : float
        The value, in ``unit``.
    error : float
        Its standard error; NaN if the metric has no criterion.
    ideal : float
        The value of a perfect cube.
    unit : str
        Unit of the three numbers; empty if they have none.

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
    def of_replicates(cls, values: ArrayLike, ideal: float) -> Self:
        """Mean of replicates, with an error that makes the pull normal for any number of them.

        Parameters
        ----------
        values : array_like, shape (n_replicates,)
            The value of each replicate.
        ideal : float
            The value of a perfect cube.

        Returns
        -------
        value : MetricValue
            With a NaN error if all replicates are equal.

        Notes
        -----
        The pull is the normal deviate with the tail probability of Student's t.
        """
        values = np.asarray(values, float)
        mean, error = values.mean(), values.std(ddof=1) / np.sqrt(values.size)
        if not error > 0:
            return cls(float(mean), math.nan, ideal)
        from scipy import stats  # imported here, since it is as slow to load as astropy

        t = (mean - ideal) / error
        z = float(-special.ndtri_exp(stats.t.logsf(abs(t), values.size - 1)))
        return cls(float(mean), float(abs(mean - ideal) / z if z > 1e-9 else error), ideal)

    @property
    def pull(self) -> float:
        """Deviation from the ideal in standard errors."""
        return (self.value - self.ideal) / self.error


@dataclass(frozen=True)
class Metric:
    """The record of a metric. All tables of metrics are made from these records.

    Parameters
    ----------
    name : str
        The key in results.
    kind : {"bias", "source", "errors", "counts", "runs", "quality"}
        The kind of measurement. "bias": a bias, which noise-free counts show as well. "source": the
        largest bias of any position, which also needs independent pixels. "errors": the stated
        errors. "counts": the counts from which the cube was made. "runs": single runs.
        "quality": a quality of the cube, without a criterion.
    definition : str
        The definition in one line.
    source : str
        The reference of the formula; STATISTICS.md has the details.
    function : callable, optional
        A function of a `CubePair` that returns (value, error), (value, error, ideal) or () if the
        cube does not allow the measurement. Metrics of replicates and of models of single runs
        have none.
    ideal : float
        The value of a perfect cube.
    unit : str
        Unit of the value; empty if it has none.
    relative : bool
        Whether reports show the deviation relative to the ideal value.
    title : str
        The name in the text of reports.
    """

    name: str
    kind: str
    definition: str
    source: str
    function: Callable[[Any], tuple[float, ...]] | None = None
    ideal: float = 0.0
    unit: str = ""
    relative: bool = False
    title: str = ""

    @property
    def shows_bias(self) -> bool:
        """Whether a bias changes the value by the amount that noise-free counts give."""
        return self.kind in ("bias", "source")

    def __call__(self, cubes: Any) -> MetricValue:
        """The `MetricValue` of a `CubePair`."""
        if self.function is None:
            raise TypeError(f"metric {self.name}: it is not a function of two cubes")
        return self.value(*self.function(cubes))

    def value(
        self, value: float = math.nan, error: float = math.nan, ideal: float | None = None
    ) -> MetricValue:
        """The `MetricValue` of these numbers; NaN where the metric could not be measured.

        Parameters
        ----------
        value, error : float
            The value and its standard error.
        ideal : float, optional
            By default the ideal of the metric.

        Returns
        -------
        value : MetricValue
            With the unit of the metric.
        """
        ideal = self.ideal if ideal is None else ideal
        return MetricValue(float(value), float(error), float(ideal), self.unit)


def metric(
    kind: str, source: str, **fields: Any
) -> Callable[[Callable[[Any], tuple[float, ...]]], Metric]:
    """Decorator that makes the `Metric` of a function, named and defined by its docstring.

    Parameters
    ----------
    kind, source
        See `Metric`.
    **fields
        Other fields of the `Metric`.

    Returns
    -------
    decorator : callable
        Takes the function and returns the `Metric`. The first line of the docstring of the
        function is the definition.
    """

    def record(function):
        definition = (function.__doc__ or "").splitlines()[0]
        return Metric(function.__name__, kind, definition, source, function, **fields)

    return record
