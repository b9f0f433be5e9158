"""Counts and exposure of a set of observations in each bin, and which observations these are."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes

__all__ = ["EventRecord", "digest_of_events"]


def digest_of_events(energy: ArrayLike) -> int:
    """Checksum of the events of a run, a signed number of 64 bits.

    Parameters
    ----------
    energy : array_like, shape (n_events,)
        Energies of all events of the run, TeV, in the order of the file. They identify the events:
        positions in the field of view depend on the tables of the Earth's rotation.

    Examples
    --------
    >>> digest_of_events([1.0, 2.0]) == digest_of_events([1.0, 2.0]) != digest_of_events([1.0, 2.1])
    True
    """
    content = np.ascontiguousarray(energy, dtype="<f8").tobytes()
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


@dataclass(frozen=True, eq=False)
class EventRecord:
    """The runs that a cube was made from, with a checksum of the events of each.

    Runs are sorted by their number, so that the record does not depend on the order of the runs or
    on the number of workers.

    Parameters
    ----------
    obs_id, n_events, digest : ndarray of int, shape (n_runs,)
        Number of each run, number of all its events, and the result of `digest_of_events`.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> one = EventRecord.of([(2, 10, 55), (1, 20, 44)])
    >>> one.obs_id, one.common(EventRecord.of([(1, 20, 44), (2, 11, 66)]))
    (array([1, 2]), array([1]))
    >>> one.total == EventRecord.of([(1, 20, 44), (2, 10, 55)]).total
    True
    """

    obs_id: np.ndarray
    n_events: np.ndarray
    digest: np.ndarray
    _rows: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = [_signed(values) for values in (self.obs_id, self.n_events, self.digest)]
        if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
            raise ValueError(
                f"record of events: got shapes {[column.shape for column in columns]}, "
                "expected three columns of the same length"
            )
        rows = np.stack(columns, axis=1)
        rows = rows[np.lexsort(rows.T[::-1])]
        self.__dict__.update(_rows=rows, obs_id=rows[:, 0], n_events=rows[:, 1], digest=rows[:, 2])

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<EventRecord: {len(self)} runs, {self.n_events.sum()} events, digest {self.total}>"

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int, int]]) -> "EventRecord":
        """The record of runs, each with its number, number of events, and digest.

        Parameters
        ----------
        runs : iterable of tuple of int
            In any order.
        """
        return cls(*np.array(list(runs), dtype=object).reshape(-1, 3).T)

    @property
    def total(self) -> str:
        """Checksum of all runs and their events, 16 hexadecimal digits."""
        return blake2b(np.ascontiguousarray(self._rows).tobytes(), digest_size=8).hexdigest()

    def common(self, other: "EventRecord") -> np.ndarray:
        """Numbers of the runs that are in both records with the same events.

        Parameters
        ----------
        other : EventRecord
            Another record.
        """
        there = set(map(tuple, other._rows.tolist()))
        return np.array([row[0] for row in self._rows.tolist() if tuple(row) in there], int)


def _signed(values):
    """Integers modulo 2⁶⁴ as signed ones, which FITS tables have: runs may have larger numbers."""
    wrapped = [(int(value) + 2**63) % 2**64 - 2**63 for value in np.asarray(values).tolist()]
    return np.array(wrapped, "<i8").reshape(np.shape(values))


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
    made_from : EventRecord, optional
        The runs and a checksum of their events; None for counts that were not observed.

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
    made_from: EventRecord | None = None

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
        return replace(self, counts=counts, counts_above=above, made_from=None)

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
        arrays = {name: values * factor for name, values in arrays.items() if values is not None}
        return replace(self, **arrays, made_from=None)
