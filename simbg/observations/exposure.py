"""What a set of observations adds up to: counts and exposure of each bin."""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from simbg.axes import Axes
from simbg.observations.masked_exposure import unmasked_fraction
from simbg.observations.threshold import INDICES, ThresholdRule, share_above

__all__ = ["Exposure", "StackedCounts", "stack_observations"]


@dataclass(frozen=True, eq=False)
class StackedCounts:
    """Counts and exposure of each bin, and how many runs and events made them.

    Parameters
    ----------
    axes : Axes
    counts, livetime, ontime : ndarray, full shape
        Events, and seconds without and with dead time; 0 where all is excluded.
    n_obs, n_events, n_selected : int
        Runs, their events, and those above threshold, inside the axes and outside of
        excluded regions.
    run_counts : ndarray, shape (n_obs,), optional
        ``n_selected`` of each run.
    shared : ndarray, shape (n_index, 2, \\*axes.shape), optional
        Livetime and ontime of the parts of bins above the runs' thresholds, for spectra
        of the indices `simbg.observations.threshold.INDICES`;
        `simbg.observations.threshold.resolve` adds them up.
    above : ndarray, shape (2, \\*axes.shape), optional
        For each bin that holds thresholds, the events of just these runs in the two bins
        above it: what the index is taken from.
    """

    axes: Axes
    counts: np.ndarray
    livetime: np.ndarray
    ontime: np.ndarray
    n_obs: int
    n_events: int
    n_selected: int
    run_counts: np.ndarray | None = None
    shared: np.ndarray | None = None
    above: np.ndarray | None = None

    def with_counts(self, counts):
        """The stack with other counts at its exposure, such as a draw from expected ones."""
        above = self.above
        if above is not None:
            ratio = np.divide(counts, self.counts, out=np.ones(counts.shape), where=self.counts > 0)
            above = above.copy()
            for n in (0, 1):
                above[n, : -1 - n] *= ratio[1 + n :]
        return replace(self, counts=counts, above=above)

    def times(self, factor):
        """The stack of so many times the runs: counts and exposures."""
        names = ("counts", "livetime", "ontime", "run_counts", "shared", "above")
        known = {name: getattr(self, name) for name in names}
        return replace(self, **{name: v * factor for name, v in known.items() if v is not None})


@dataclass
class Exposure:
    """Adds up the exposure of runs, in time and memory that do not depend on their number."""

    axes: Axes
    threshold_bin: str = "drop"

    def __post_init__(self):
        self.rule = ThresholdRule.of(self.threshold_bin)
        # Two clocks: livetime and ontime. Runs without excluded regions need no pixels.
        self._times = np.zeros((2, self.axes.shape[0]))
        self._pixels = np.zeros((2, *self.axes.shape))
        self._shared = self._above = None

    def add(self, energy_threshold, times, counts, unmasked=None, share=None):
        """Add the exposure of a run.

        Parameters
        ----------
        energy_threshold : float
            TeV
        times : tuple of float
            Livetime and ontime, s.
        counts : ndarray, full shape
            Its events; those of the bins above a threshold bin give the index there.
        unmasked : ndarray, shape (n_fov_lon, n_fov_lat), optional
            Fraction of each pixel's exposure outside of excluded regions.
        share : ndarray, shape (n_fov_lon, n_fov_lat), optional
            Share of the threshold bin's events above the threshold, where it is known.
        """
        times = np.asarray(times, float)
        first = self.rule.first_counted(self.axes, energy_threshold)
        whole = self.rule.first_exposed(self.axes, energy_threshold)
        if first < whole and share is not None:
            part = share if unmasked is None else share * unmasked
            self._pixels[:, first] += times[:, None, None] * part
        elif first < whole:
            self._share(first, energy_threshold, times, counts, unmasked)
        if unmasked is None:
            self._times[:, whole:] += times[:, None]
        else:
            self._pixels[:, whole:] += (times[:, None, None] * unmasked)[:, None]

    def _share(self, k, energy_threshold, times, counts, unmasked):
        if self._shared is None:
            self._shared = np.zeros((INDICES.size, 2, *self.axes.shape))
            self._above = np.zeros((2, *self.axes.shape))
        share = share_above(INDICES, *self.axes.energy[k : k + 2], energy_threshold)
        part = share[:, None, None, None] * times[:, None, None]
        self._shared[:, :, k] += part if unmasked is None else part * unmasked
        upper = counts[k + 1 : k + 3]
        self._above[: len(upper), k] += upper

    def stack(self, counts, n_obs, n_events, run_counts):
        """All of it, with the counts of the runs."""
        livetime, ontime = self._pixels + self._times[:, :, None, None]
        # Of a bin without exposure, no event counts: what is left is rounding at an edge.
        seen = livetime > 0
        if self._shared is not None:
            seen |= self._shared[0, 0] > 0
        counts = np.where(seen, counts, 0)
        selected = int(counts.sum()) if counts.dtype.kind == "i" else 0
        runs = np.asarray(run_counts)
        return StackedCounts(
            *(self.axes, counts, livetime, ontime, n_obs, n_events, selected),
            *(runs, self._shared, self._above),
        )


def stack_observations(
    observations: Iterable,
    axes: Axes,
    threshold_bin: str = "drop",
    executor: Executor | None = None,
):
    """Add up observations, one at a time.

    Events in regions that an observation excludes do not count, and the exposure of
    each pixel is what the regions leave of its area and time as the field turns.

    Parameters
    ----------
    observations : iterable of Observation
    axes : Axes
        ALTAZ-aligned.
    threshold_bin : {"drop", "whole", "share"}
        What happens in the bin that holds a run's energy threshold: see `ThresholdRule`. With
        "share" the exposure of the part above is in `StackedCounts.shared`.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel; the result is the same to the last bit.

    Returns
    -------
    stack : StackedCounts

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
    if axes.align != "ALTAZ":
        raise ValueError(f"axes: got alignment {axes.align}, expected ALTAZ")
    exposure = Exposure(axes, threshold_bin)
    fill = partial(_fill, axes=axes, rule=exposure.rule)
    counts, run_counts, n_events = np.zeros(axes.shape, dtype=np.int64), [], 0
    for threshold, times, unmasked, part, events in (executor.map if executor else map)(
        fill, observations
    ):
        counts += part
        run_counts.append(int(part.sum()))
        n_events += events
        exposure.add(threshold, times, part, unmasked)
    return exposure.stack(counts, len(run_counts), n_events, run_counts)


def _fill(observation, axes, rule):
    """Threshold, (livetime, ontime), unmasked fraction, counts and number of events of a run."""
    events = observation.events()
    threshold = observation.energy_threshold
    least = threshold if rule.counts else None
    counts = axes.fill(events.energy, events.fov_lon, events.fov_lat, least)
    counts[: rule.first_counted(axes, threshold)] = 0
    unmasked = None
    if observation.excluded:
        if events.pointing is None or events.gti is None:
            raise ValueError(
                f"run {observation.obs_id}: got no pointing and times, expected them where "
                "regions are excluded"
            )
        unmasked = unmasked_fraction(axes, events.pointing, events.gti, observation.excluded)
        counts *= unmasked > 0
    return threshold, (observation.livetime, observation.ontime), unmasked, counts, len(events)
