"""Sums over observations: counts and exposure of each bin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes, check_axes
from simbg.notices import Notice, add
from simbg.observations.masked_exposure import unmasked_fraction_of_run
from simbg.observations.observation import Observation
from simbg.observations.stacked_counts import EventRecord, StackedCounts, digest_of_events
from simbg.observations.threshold import INDICES, ThresholdRule, fraction_above
from simbg.parallel.pieces import added_up, in_pieces

__all__ = ["Exposure", "StackedCounts", "stack_observations", "stacks_remembered"]

# Stacks that are remembered, by the observations and bins; None outside of `stacks_remembered`.
REMEMBERED: ContextVar[dict[tuple, tuple[list[Observation], StackedCounts]] | None] = ContextVar(
    "remembered", default=None
)


@dataclass
class Exposure:
    """Adds up the exposure of runs; memory does not depend on the number of runs.

    Parameters
    ----------
    axes : Axes
        Axes of the bins.
    threshold_bin : {"drop", "whole", "partial"}
        Treatment of the bin that contains a run's energy threshold, see `ThresholdRule`.
    """

    axes: Axes
    threshold_bin: str = "drop"

    def __post_init__(self) -> None:
        self.rule = ThresholdRule.of(self.threshold_bin)
        # Index 0 is livetime, 1 is ontime. Runs without excluded regions need no pixels.
        self._times = np.zeros((2, self.axes.shape[0]))
        self._pixels: np.ndarray | None = None
        # Of the energy bins with a threshold: exposure above it for each index, counts above.
        self._partial: dict[int, np.ndarray] = {}
        self._above: dict[int, np.ndarray] = {}

    def add(
        self,
        energy_threshold: float,
        times: tuple[float, float],
        counts: np.ndarray,
        unmasked: np.ndarray | None = None,
        above: np.ndarray | None = None,
    ) -> None:
        """Add the exposure of a run.

        Parameters
        ----------
        energy_threshold : float
            Energy threshold of the run, TeV.
        times : tuple of float
            Livetime and ontime, s.
        counts : ndarray, shape of ``axes``
            Events of the run; those in the two bins above the threshold bin measure the index
            there.
        unmasked : ndarray, shape (n_fov_lon, n_fov_lat) or that of ``axes``, optional
            Unmasked fraction of each pixel's exposure, for all energies or for each; by default 1.
        above : ndarray, shape (n_fov_lon, n_fov_lat), optional
            Fraction of the threshold bin's events above the threshold, if it is known.
        """
        clocks = np.asarray(times, float)
        if unmasked is not None:
            unmasked = np.broadcast_to(unmasked, self.axes.shape)
        first = self.rule.first_counted(self.axes, energy_threshold)
        whole = self.rule.first_exposed(self.axes, energy_threshold)
        if first < whole and above is not None:
            part = above if unmasked is None else above * unmasked[first]
            self._in_pixels()[:, first] += clocks[:, None, None] * part
        elif first < whole:
            self._add_partial(first, energy_threshold, clocks, counts, unmasked)
        if unmasked is None:
            self._times[:, whole:] += clocks[:, None]
        else:
            self._in_pixels()[:, whole:] += clocks[:, None, None, None] * unmasked[whole:]

    def _in_pixels(self):
        if self._pixels is None:
            self._pixels = np.zeros((2, *self.axes.shape))
        return self._pixels

    def _add_partial(self, k, energy_threshold, times, counts, unmasked):
        """Add the exposure of the part of bin ``k`` above the threshold, for all indices."""
        low, high = self.axes.energy[k : k + 2]
        fraction = fraction_above(INDICES, low, high, energy_threshold)
        part = fraction[:, None, None, None] * times[:, None, None]
        part = part if unmasked is None else part * unmasked[k]
        above = np.zeros((2, *self.axes.shape[1:]))
        upper = counts[k + 1 : k + 3]
        above[: len(upper)] = upper
        self._add_above(k, part, above)

    def _add_above(self, k, part, above):
        if k in self._partial:
            part, above = self._partial[k] + part, self._above[k] + above
        self._partial[k], self._above[k] = part, above

    def plus(self, other: Exposure) -> Exposure:
        """Add the exposure of other runs to this one, and return it.

        Parameters
        ----------
        other : Exposure
            With the same axes and the same treatment of thresholds.
        """
        self._times += other._times
        if other._pixels is not None:
            self._in_pixels()[...] += other._pixels
        for k, part in other._partial.items():
            self._add_above(k, part, other._above[k])
        return self

    def stack(
        self,
        counts: np.ndarray,
        n_obs: int,
        n_events: int,
        run_counts: ArrayLike,
        made_from: EventRecord | None = None,
    ) -> StackedCounts:
        """The exposure of all runs together with their counts.

        Parameters
        ----------
        counts : ndarray, shape of ``axes``
            Events of all runs.
        n_obs, n_events : int
            Number of runs, and of all their events.
        run_counts : array_like, shape (n_obs,)
            Counted events of each run.
        made_from : EventRecord, optional
            The runs and a checksum of their events.

        Returns
        -------
        StackedCounts
            Counts of bins without exposure are 0.
        """
        times = self._times[:, :, None, None]
        pixels = np.zeros((2, *self.axes.shape)) if self._pixels is None else self._pixels
        livetime, ontime = pixels + times
        partial = above = None
        if self._partial:
            partial = np.zeros((INDICES.size, 2, *self.axes.shape))
            above = np.zeros((2, *self.axes.shape))
            for k, part in self._partial.items():
                partial[:, :, k], above[:, k] = part, self._above[k]
        # Events in bins without exposure come from rounding at an edge; they are not counted.
        exposed = livetime > 0
        if partial is not None:
            exposed |= partial[0, 0] > 0
        counts = np.where(exposed, counts, 0)
        selected = int(counts.sum()) if counts.dtype.kind == "i" else 0
        runs = np.asarray(run_counts)
        return StackedCounts(
            *(self.axes, counts, livetime, ontime, n_obs, n_events, selected),
            *(runs, partial, above, made_from),
        )


def stack_observations(
    observations: Iterable[Observation],
    axes: Axes,
    threshold_bin: str = "drop",
    executor: Executor | None = None,
) -> StackedCounts:
    """Add up counts and exposure of observations, one observation at a time.

    Events in regions that an observation excludes are not counted. The exposure of each pixel is
    multiplied by the unmasked fraction of its solid angle and time as the field rotates.

    Parameters
    ----------
    observations : iterable of Observation
        The observations.
    axes : Axes
        Axes of the bins, ALTAZ-aligned.
    threshold_bin : {"drop", "whole", "partial"}
        Treatment of the bin that contains a run's energy threshold, see `ThresholdRule`. With
        "partial" the exposure of the part above it is in `StackedCounts.partial_exposure`.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel; the result is the same to the last bit.

    Returns
    -------
    StackedCounts
        Counts and exposure of all observations.

    Raises
    ------
    ValueError
        If the axes are not ALTAZ-aligned, or an observation with excluded regions has no pointing
        or good time intervals.

    Examples
    --------
    >>> from simbg.observations.observation import Events, Observation
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
    >>> events = Events(np.array([0.2, 2.0, 3.0]), np.zeros(3), np.zeros(3))
    >>> run = Observation.in_memory(
    ...     events, obs_id=1, livetime=900.0, ontime=1000.0, energy_threshold=1.0
    ... )
    >>> stack = stack_observations([run], axes)
    >>> stack.counts.sum(axis=(1, 2)), stack.livetime[:, 0, 0]
    (array([0, 2]), array([  0., 900.]))
    """
    check_axes(axes)
    if axes.align != "ALTAZ":
        raise ValueError(f"axes: got alignment {axes.align}, expected ALTAZ")
    if (memory := REMEMBERED.get()) is None:
        return stack_in_bins(observations, axes, threshold_bin, executor)
    observations = list(observations)
    key = *(edge.tobytes() for edge in axes.edges), threshold_bin, *map(id, observations)
    if key not in memory:
        # The observations are kept, so that no others get their ids.
        stack = stack_in_bins(observations, axes, threshold_bin, executor)
        memory[key] = observations, stack
    return memory[key][1]


def stack_in_bins(
    observations: Iterable[Observation],
    axes: Any,
    threshold_bin: str,
    executor: Executor | None,
) -> StackedCounts:
    """As `stack_observations`; ``axes`` may also be rings.

    Parameters
    ----------
    observations : iterable of Observation
        The observations.
    axes : Axes or Rings
        The bins.
    threshold_bin : {"drop", "whole", "partial"}
        See `ThresholdRule`.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.
    """
    observations, stack = list(observations), partial(_stack, axes, threshold_bin)
    if not observations:
        return stack([]).stack()
    parts = in_pieces(stack, observations, executor)
    return added_up(map(_noticed, parts), PartialStack.plus).stack()


@contextmanager
def stacks_remembered() -> Iterator[None]:
    """Add up the same observations only once for the same bins, within this context.

    Observations are the same if they are the same objects: for simulated ones, whose events are
    drawn each time that they are read.
    """
    token = REMEMBERED.set({})
    try:
        yield
    finally:
        REMEMBERED.reset(token)


@dataclass
class PartialStack:
    """Counts and exposure of some runs, in their order.

    Parameters
    ----------
    exposure : Exposure
        Their exposure.
    counts : ndarray of int
        Their events, also those in bins without exposure.
    run_counts : list of int
        Counted events of each run.
    runs : list of tuple of int
        Number of each run, number of its events, and their digest.
    notices : list of Notice
        Contradictions in their data.
    """

    exposure: Exposure
    counts: np.ndarray
    run_counts: list[int] = field(default_factory=list)
    runs: list[tuple[int, int, int]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def plus(self, other: PartialStack) -> PartialStack:
        """Add other runs to these, and return all."""
        self.exposure.plus(other.exposure)
        self.counts = np.add(self.counts, other.counts, dtype=np.int64)
        self.run_counts += other.run_counts
        self.runs += other.runs
        return self

    def stack(self) -> StackedCounts:
        """The stack of these runs."""
        counts, record = self.counts.astype(np.int64), EventRecord.of(self.runs)
        n_events = sum(n for _, n, _ in self.runs)
        return self.exposure.stack(counts, len(self.runs), n_events, self.run_counts, record)

    def __getstate__(self):
        # Sent to another process: most bins have a few counts.
        largest = np.min_scalar_type(self.counts.max(initial=0))
        return vars(self) | {"counts": self.counts.astype(largest)}


def _noticed(part):
    """A partial stack whose notices are reported."""
    add(part.notices)
    return part


def _stack(axes: Axes, threshold_bin: str, observations: Sequence[Observation]) -> PartialStack:
    """The partial stack of a piece."""
    exposure = Exposure(axes, threshold_bin)
    total = PartialStack(exposure, np.zeros(axes.shape, np.int64))
    for observation in observations:
        threshold, times, unmasked, counts, run, notices = _fill(observation, axes, exposure.rule)
        exposure.add(threshold, times, counts, unmasked)
        total.counts += counts
        total.run_counts.append(int(counts.sum()))
        total.runs.append(run)
        total.notices += notices
    return total


def _fill(observation, axes, rule):
    """Threshold, (livetime, ontime), unmasked fraction, counts, record of the run, notices."""
    observation = observation.read()
    energy = observation.load().energy
    run = observation.obs_id, len(energy), digest_of_events(energy)
    events = observation.events(axes.energy)
    threshold = observation.energy_threshold
    energy_min = threshold if rule.counts else None
    counts = axes.fill(events.energy, events.fov_lon, events.fov_lat, energy_min)
    counts[: rule.first_counted(axes, threshold)] = 0
    unmasked = unmasked_fraction_of_run(axes, observation, events)
    if unmasked is not None:
        counts *= unmasked > 0
    times = observation.livetime, observation.ontime
    return threshold, times, unmasked, counts, run, events.notices
