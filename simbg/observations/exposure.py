"""Sums over observations: counts and exposure of each bin."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes, check_axes
from simbg.notices import add
from simbg.observations.masked_exposure import unmasked_fraction_of_run
from simbg.observations.observation import Observation
from simbg.observations.stacked_counts import EventRecord, StackedCounts, digest_of_events
from simbg.observations.threshold import INDICES, ThresholdRule, fraction_above

__all__ = ["Exposure", "StackedCounts", "stack_observations"]


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
        self._pixels = np.zeros((2, *self.axes.shape))
        self._partial: np.ndarray | None = None
        self._above: np.ndarray | None = None

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
            self._pixels[:, first] += clocks[:, None, None] * part
        elif first < whole:
            self._add_partial(first, energy_threshold, clocks, counts, unmasked)
        if unmasked is None:
            self._times[:, whole:] += clocks[:, None]
        else:
            self._pixels[:, whole:] += clocks[:, None, None, None] * unmasked[whole:]

    def _add_partial(self, k, energy_threshold, times, counts, unmasked):
        """Add the exposure of the part of bin ``k`` above the threshold, for all indices."""
        if self._partial is None or self._above is None:
            self._partial = np.zeros((INDICES.size, 2, *self.axes.shape))
            self._above = np.zeros((2, *self.axes.shape))
        low, high = self.axes.energy[k : k + 2]
        fraction = fraction_above(INDICES, low, high, energy_threshold)
        part = fraction[:, None, None, None] * times[:, None, None]
        self._partial[:, :, k] += part if unmasked is None else part * unmasked[k]
        upper = counts[k + 1 : k + 3]
        self._above[: len(upper), k] += upper

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
        livetime, ontime = self._pixels + self._times[:, :, None, None]
        # Events in bins without exposure come from rounding at an edge; they are not counted.
        exposed = livetime > 0
        if self._partial is not None:
            exposed |= self._partial[0, 0] > 0
        counts = np.where(exposed, counts, 0)
        selected = int(counts.sum()) if counts.dtype.kind == "i" else 0
        runs = np.asarray(run_counts)
        return StackedCounts(
            *(self.axes, counts, livetime, ontime, n_obs, n_events, selected),
            *(runs, self._partial, self._above, made_from),
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
    return stack_in_bins(observations, axes, threshold_bin, executor)


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
    exposure = Exposure(axes, threshold_bin)
    fill = partial(_fill, axes=axes, rule=exposure.rule)
    counts, run_counts, n_events = np.zeros(axes.shape, dtype=np.int64), [], 0
    runs = []
    for threshold, times, unmasked, part, events, run, notices in (
        executor.map if executor else map
    )(fill, observations):
        add(notices)
        counts += part
        run_counts.append(int(part.sum()))
        n_events += events
        runs.append(run)
        exposure.add(threshold, times, part, unmasked)
    return exposure.stack(counts, len(run_counts), n_events, run_counts, EventRecord.of(runs))


def _fill(observation, axes, rule):
    """Threshold, (livetime, ontime), unmasked fraction, counts, number of events, run, notices."""
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
    return threshold, times, unmasked, counts, len(events), run, events.notices
