"""Counts and exposure of a set of observations in each bin."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simbg.axes import Axes

__all__ = []


@dataclass(frozen=True, eq=False)
class StackedCounts:
    r"""Counts and exposure of each bin, and the numbers of runs and events.

    Parameters
    ----------
    axes : Axes
        Axes of the bins.
    counts, livetime, ontime : ndarray, shape of ``axes``
        Events; exposure with and without dead-time correction, s. All are 0 in a bin that is
        completely excluded.
    n_obs, n_events, n_selected : int
        Number of runs, of their events, and of the events above the threshold, inside the axes
        and outside of excluded regions.
    run_counts : ndarray, shape (n_obs,), optional
        ``n_selected`` of each run.
    partial_exposure : ndarray, shape (n_index, 2, \*axes.shape), optional
        Livetime and ontime, s, of the parts of bins above the runs' thresholds, for power laws
        with the indices `simbg.observations.threshold.INDICES`;
        `simbg.observations.threshold.resolve` adds them to the exposure.
    counts_above : ndarray, shape (2, \*axes.shape), optional
        For each bin that contains thresholds, the events of the runs concerned in the next two
        bins above it; the spectral index is measured with them.

    Examples
    --------
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
    >>> full = np.ones(axes.shape)
    >>> stack = StackedCounts(axes, 5 * full, 900 * full, 1000 * full, 1, 50, 40)
    >>> doubled = stack.times(2)
    >>> float(doubled.counts.sum()), float(doubled.livetime[0, 0, 0])
    (80.0, 1800.0)
    """

    axes: Axes
    counts: np.ndarray
    livetime: np.ndarray
    ontime: np.ndarray
    n_obs: int
    n_events: int
    n_selected: int
    run_counts: np.ndarray | None = None
    partial_exposure: np.ndarray | None = None
    counts_above: np.ndarray | None = None

    def __repr__(self) -> str:
        runs = f"{self.n_obs} runs, {self.n_selected} of {self.n_events} events counted"
        return f"<StackedCounts: {runs}; {self.axes!r}>"

    def with_counts(self, counts: np.ndarray) -> "StackedCounts":
        """The same exposure with other counts, such as a random draw from the expected counts.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> full = np.ones(axes.shape)
        >>> stack = StackedCounts(axes, 5 * full, 900 * full, 1000 * full, 1, 50, 40)
        >>> other = stack.with_counts(2 * full)
        >>> float(other.counts.sum()), float(other.livetime[0, 0, 0])
        (16.0, 900.0)
        """
        above = self.counts_above
        if above is not None:
            ratio = np.divide(counts, self.counts, out=np.ones(counts.shape), where=self.counts > 0)
            above = above.copy()
            for n in (0, 1):
                above[n, : -1 - n] *= ratio[1 + n :]
        return replace(self, counts=counts, counts_above=above)

    def times(self, factor: float) -> "StackedCounts":
        """The stack of ``factor`` times as many runs: counts and exposures are multiplied.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> full = np.ones(axes.shape)
        >>> stack = StackedCounts(axes, 5 * full, 900 * full, 1000 * full, 1, 50, 40)
        >>> float(stack.times(2).counts.sum()), float(stack.times(2).livetime[0, 0, 0])
        (80.0, 1800.0)
        """
        names = ("counts", "livetime", "ontime", "run_counts", "partial_exposure", "counts_above")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        return replace(self, **{name: v * factor for name, v in arrays.items() if v is not None})
