"""The record of a metric: its definition, its formula, its function, and its value as text."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

__all__ = ["BUDGET", "MetricValue", "in_sigma", "metric", "percent", "rounded", "with_error"]

# Probability that any criterion of a run of the suite fails though nothing is wrong.
BUDGET = 1e-3
# Significances above this are not stated: neither model of the noise holds so far out.
LARGEST_SIGMA = 1000.0


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


def rounded(value: float, error: float = math.nan) -> str:
    """A value, rounded to the second digit of its error, or to five digits without an error.

    Parameters
    ----------
    value, error : float
        The value and its error; NaN or 0 if there is none.

    Returns
    -------
    text : str
        "–" for a value that is not finite.

    Examples
    --------
    >>> rounded(2.71828, 0.0314), rounded(2.71828), rounded(-1e-17), rounded(271.8, 31.0)
    ('2.718', '2.7183', '0', '272')
    """
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value if abs(value) > 1e-12 else 0:.5g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    # A value that is rounded to 0 has no sign.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def with_error(value: float, error: float, unit: str = "") -> str:
    """A value and its error, rounded to the second digit of the error.

    Parameters
    ----------
    value, error : float
        The value and its error; NaN or 0 if there is none.
    unit : str
        Follows the number.

    Returns
    -------
    text : str
        "–" for a value that is not finite.

    Examples
    --------
    >>> with_error(2.71828, 0.0314, " %"), with_error(2.71828, 0)
    ('2.718 ± 0.031 %', '2.72')
    """
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.3g}{unit}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{rounded(value, error)} ± {error:.{digits}f}{unit}"


def in_sigma(value: float) -> str:
    """A significance with its sign; above 1000 only this is said.

    Parameters
    ----------
    value : float
        The significance.

    Returns
    -------
    text : str
        "–" for NaN.

    Examples
    --------
    >>> in_sigma(3.14159), in_sigma(-5e7)
    ('+3.142', '< −1000')
    """
    if math.isnan(value):
        return "–"
    if abs(value) > LARGEST_SIGMA:
        return f"> {LARGEST_SIGMA:g}" if value > 0 else f"< −{LARGEST_SIGMA:g}"
    return f"{value:+.4g}"


def percent(relative: float, error: float) -> str:
    """A relative difference in %, with its sign and its error; two decimals or more.

    Parameters
    ----------
    relative, error : float
        The difference and its error.

    Returns
    -------
    text : str
        With as many decimals as the error needs.

    Examples
    --------
    >>> percent(0.0123, 0.001), percent(0.0005, 2e-6)
    ('+1.23% ± 0.10%', '+0.0500% ± 0.0002%')
    """
    decimals = 2
    if 0 < error < 5e-5:
        decimals = math.ceil(-math.log10(100 * error))
    return f"{relative:+.{decimals}%} ± {error:.{decimals}%}"
