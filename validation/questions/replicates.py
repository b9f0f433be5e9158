"""Replicates: predicted counts of many cubes, made by one method from draws of the same runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube

__all__ = ["FEWEST", "Replicates"]

# Least number of replicates from which the scatter of the cross products can be estimated.
FEWEST = 4


@dataclass(frozen=True, eq=False)
class Replicates:
    """Counts that one method predicts from independent draws of the events of the same runs.

    The noise of the method may be correlated between bins, and smaller than that of the counts.

    Parameters
    ----------
    axes : Axes
        The bins.
    expected : ndarray, shape of the axes
        Expected counts λ of the truth; 0 in bins without exposure, which are not used.
    predicted : ndarray, shape (R, *axes.shape)
        Predicted counts μ̂ (rate × volume × exposure) of R ≥ 4 replicates.
    errors : ndarray, shape (R, *axes.shape), optional
        Stated standard errors of the predicted counts; None if the method states none.
    counts : ndarray, shape (R, *axes.shape), optional
        Observed counts from which the replicates were made. With them, the noise is compared to
        that of raw counts with a smaller error.
    livetime : ndarray, shape of the axes, optional
        Exposure of each bin, from which the borders of masks are determined.

    Raises
    ------
    ValueError
        If there are fewer than four replicates, shapes differ, or a number is not finite in a bin
        with exposure.

    Examples
    --------
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> rng = np.random.default_rng(1)
    >>> expected = np.full(axes.shape, 100.0)
    >>> replicates = Replicates(axes, expected, rng.poisson(expected, (20, *axes.shape)))
    >>> replicates.number, replicates.deviations.shape
    (20, (20, 32))
    """

    axes: Axes
    expected: np.ndarray
    predicted: np.ndarray
    errors: np.ndarray | None = None
    counts: np.ndarray | None = None
    livetime: np.ndarray | None = None

    def __post_init__(self) -> None:
        if np.shape(self.expected) != self.axes.shape:
            raise ValueError(
                f"expected counts: got shape {np.shape(self.expected)}, "
                f"expected {self.axes.shape}, the shape of the axes"
            )
        if self.number < FEWEST:
            raise ValueError(f"replicates: got {self.number}, expected {FEWEST} or more")
        for name in ("predicted", "errors", "counts"):
            values = getattr(self, name)
            if values is None:
                continue
            if np.shape(values) != (self.number, *self.axes.shape):
                raise ValueError(
                    f"{name}: got shape {np.shape(values)}, "
                    f"expected {(self.number, *self.axes.shape)}"
                )
            # Values of bins without exposure are not used; they may be missing.
            bad = np.count_nonzero(~np.isfinite(values[:, self.used]))
            if bad:
                raise ValueError(f"{name}: got {bad} values that are not finite, expected none")

    @classmethod
    def of_cubes(
        cls,
        true: BackgroundCube,
        cubes: Sequence[BackgroundCube],
        counts: np.ndarray | None = None,
    ) -> "Replicates":
        """Make replicates from cubes, with the exposure of the true cube.

        Parameters
        ----------
        true : BackgroundCube
            The true rate, with the livetime of each bin.
        cubes : sequence of BackgroundCube
            One cube for each replicate, over the same axes.
        counts : ndarray, shape (R, *axes.shape), optional
            Observed counts of each replicate.

        Raises
        ------
        ValueError
            If a cube has other axes, or a rate is missing in a bin with exposure.
        """
        for cube in cubes:
            if not cube.axes.same_as(true.axes):
                raise ValueError(
                    f"axes: got {cube.axes.shape} bins, expected those of the true cube, "
                    f"{true.axes.shape}, with the same edges"
                )
        exposure = true.livetime * true.axes.volume
        used = exposure > 0
        rates = [cube.per("livetime") for cube in cubes]

        def at_exposure(values):
            return np.where(used, values, 0.0) * exposure

        stated = all(cube.rate_error is not None for cube in rates)
        return cls(
            true.axes,
            at_exposure(true.per("livetime").rate),
            np.array([at_exposure(cube.rate) for cube in rates]),
            np.array([at_exposure(cube.rate_error) for cube in rates]) if stated else None,
            counts,
            true.livetime,
        )

    @property
    def total(self) -> float:
        """Sum of all expected counts, Σ λ."""
        return float(np.sum(self.expected))

    @property
    def number(self) -> int:
        """Number of replicates, R."""
        return len(self.predicted)

    @cached_property
    def independent(self) -> float:
        """Number of independent replicates; infinite if all are equal, without noise."""
        predicted = np.asarray(self.predicted)[:, self.used]
        return np.inf if np.array_equal(predicted[1:], predicted[:-1]) else float(self.number)

    @cached_property
    def used(self) -> np.ndarray:
        """True in bins with expected counts, shape of the axes."""
        return np.asarray(self.expected) > 0

    @property
    def weight(self) -> np.ndarray:
        """Expected counts λ of the used bins, shape (n_used,)."""
        return np.asarray(self.expected, float)[self.used]

    @cached_property
    def deviations(self) -> np.ndarray:
        """(μ̂ − λ) / √λ of the used bins, shape (R, n_used).

        Notes
        -----
        In these units the information of the counts is the unit matrix (Fisher metric): the raw
        counts of independent bins have variance 1 in each direction.
        """
        excess = np.asarray(self.predicted, float)[:, self.used] - self.weight
        return excess / np.sqrt(self.weight)
