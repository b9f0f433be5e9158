"""What a set of observations adds up to: counts and exposure of each bin."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from simbg.axes import Axes

__all__ = ["Stack", "first_bin", "stack_observations"]

# A threshold this close to an edge (relative) lies on it.
ON_EDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Stack:
    """Counts, livetime and ontime (s) of each bin, and how many runs and events made them."""

    axes: Axes
    counts: np.ndarray
    livetime: np.ndarray
    ontime: np.ndarray
    n_obs: int
    n_events: int
    n_selected: int


def first_bin(axes, energy_threshold, partial_bin):
    """Index of the lowest energy bin that a run with this threshold (TeV) exposes.

    With ``partial_bin`` that is the bin which holds the threshold, as in 2015;
    without, the first bin that lies above it as a whole.
    """
    if partial_bin:
        above = axes.energy[1:] > energy_threshold * (1 + ON_EDGE)
    else:
        above = axes.energy[:-1] >= energy_threshold * (1 - ON_EDGE)
    return int(np.argmax(above)) if above.any() else above.size


def stack_observations(
    observations: Iterable,
    axes: Axes,
    partial_bin: bool = False,
    executor: Executor | None = None,
):
    """Add up observations, one at a time.

    Parameters
    ----------
    observations : iterable of Observation
    axes : Axes
        ALTAZ-aligned.
    partial_bin : bool
        What happens in the bin that holds a run's energy threshold. False: it is left
        out, events and exposure, since a part of the bin only is exposed. True: it
        gets the events above the threshold and the whole livetime, as in 2015.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel; the result is the same to the last bit.

    Returns
    -------
    stack : Stack
        ``n_selected`` counts the events above threshold and inside the axes.
    """
    if axes.align != "ALTAZ":
        raise ValueError(f"axes: got alignment {axes.align}, expected ALTAZ")
    fill = partial(_fill, axes=axes, partial_bin=partial_bin)
    counts = np.zeros(axes.shape, dtype=np.int64)
    time = np.zeros((2, axes.shape[0]))
    n_obs = n_events = 0
    for first, part, exposure, events in (executor.map if executor else map)(fill, observations):
        counts += part
        time[:, first:] += np.array(exposure)[:, None]
        n_obs += 1
        n_events += events
    livetime, ontime = (np.broadcast_to(t[:, None, None], axes.shape).copy() for t in time)
    return Stack(axes, counts, livetime, ontime, n_obs, n_events, int(counts.sum()))


def _fill(observation, axes, partial_bin):
    """First exposed energy bin, counts, (livetime, ontime) and number of events of one run."""
    events = observation.events()
    first = first_bin(axes, observation.energy_threshold, partial_bin)
    energy_min = observation.energy_threshold if partial_bin else None
    counts = axes.fill(events.energy, events.fov_lon, events.fov_lat, energy_min)
    counts[:first] = 0
    return first, counts, (observation.livetime, observation.ontime), len(events)
