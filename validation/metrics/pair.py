"""What is measured and what a measurement is: two cubes over the same bins, and a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Measure", "Pair"]


@dataclass(frozen=True, eq=False)
class Pair:
    """What metrics see: expected counts of truth and of the rebuilt cube, over common bins.

    Parameters
    ----------
    true, reco : BackgroundCube
        Same axes; ``true.counts`` is expected at the exposure of ``reco``.
    error : ndarray, optional
        True standard error of the rebuilt rate, for pulls; without it, Poisson's of the truth.
    run_expected, run_counts : ndarray, shape (n_obs,), optional
        Events of each run inside the axes: expected and counted.
    noise_free : bool
        Whether the rebuilt cube comes from expected counts: a χ² then gets the mean that noise
        would add.
    """

    true: object
    reco: object
    error: np.ndarray | None = None
    run_expected: np.ndarray | None = None
    run_counts: np.ndarray | None = None
    noise_free: bool = False

    def __post_init__(self):
        if not self.true.axes.same_as(self.reco.axes):
            raise ValueError(
                f"axes: got {self.reco.axes.shape} bins, expected those of the truth, "
                f"{self.true.axes.shape}, with the same edges"
            )
        used = (self.true.livetime > 0) & np.isfinite(self.reco.rate)
        reco = self.reco.per("livetime")
        exposure = np.where(used, self.true.livetime, 0.0) * self.true.axes.volume
        for name, value in (
            ("used", used),
            ("expected", np.where(used, self.true.counts, 0.0)),
            ("predicted", np.where(used, reco.rate, 0.0) * exposure),
            ("exposure", exposure),
        ):
            object.__setattr__(self, name, value)

    @property
    def stated_variance(self):
        """Variance of the predicted counts that the cube states; None if it does not."""
        return self._variance(self.reco.per("livetime").rate_error)

    @property
    def true_variance(self):
        """Variance of the predicted counts, as `error` has it."""
        return self.expected if self.error is None else self._variance(self.error)

    def _variance(self, error):
        return None if error is None else (np.nan_to_num(error) * self.exposure) ** 2


@dataclass(frozen=True)
class Measure:
    """A value, its standard error, the value of a perfect cube, and a unit.

    Examples
    --------
    >>> Measure(1.25, 0.125, 1.0).pull
    2.0
    """

    value: float
    error: float
    ideal: float
    unit: str = ""

    @property
    def pull(self):
        """Deviation from the ideal in standard errors."""
        return (self.value - self.ideal) / self.error
