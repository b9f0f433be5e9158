"""Sufficient statistics of runs: counts in cells of cos(zenith), and the exposure of each run."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from simbg.axes import Axes, check_axes
from simbg.notices import Notice, add
from simbg.observations.masked_exposure import unmasked_fraction_of_run
from simbg.observations.observation import Observation
from simbg.observations.threshold import first_bin, fraction_above
from simbg.parallel.pieces import in_pieces

__all__ = []

# Width of a cell in cos(zenith): the rate changes by a few per cent from one cell to the next, and
# within a cell by much less than its error after its linear change, which the mean takes out.
CELL = 1 / 64
# Times in a run at which the zenith angle is computed.
TIMES = 5


@dataclass(frozen=True, eq=False)
class RunStatistics:
    """Counts and exposures of runs, from which one model of all runs is fitted.

    Counts are summed over the runs of a cell. Spectra, thresholds and unmasked fractions are kept
    for each run, so that each run can have a norm of its own.

    Parameters
    ----------
    axes : Axes
        Axes of the bins.
    counts : ndarray, shape (n_energy, n_cells, n_pixels)
        Events of the runs of each cell, in bins with exposure.
    spectra : ndarray, shape (n_runs, n_energy)
        Events of each run.
    livetime, threshold : ndarray, shape (n_runs,)
        Livetime, s, and energy threshold, TeV.
    cosines : ndarray, shape (n_runs, n_times)
        cos(zenith) along the track of each run.
    cell : ndarray of int, shape (n_runs,)
        The cell of each run.
    row : ndarray of int, shape (n_runs, n_energy)
        Row of ``unmasked`` for each run and energy.
    unmasked : ndarray, shape (n_rows, n_pixels)
        Unmasked fractions of pixels; those of row 0 are 1.
    """

    axes: Axes
    counts: np.ndarray
    spectra: np.ndarray
    livetime: np.ndarray
    threshold: np.ndarray
    cosines: np.ndarray
    cell: np.ndarray
    row: np.ndarray
    unmasked: np.ndarray

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(self.spectra)

    def seconds(self, index: np.ndarray) -> np.ndarray:
        """Livetime of each run and energy without masks, shape (n_runs, n_energy).

        Parameters
        ----------
        index : ndarray, shape (n_cells, n_energy)
            Spectral index in each bin: in the bin that contains its threshold, a run is exposed for
            the fraction of the events of this power law that are above the threshold.
        """
        edges, seconds = self.axes.energy, np.zeros(self.spectra.shape)
        for run, (threshold, cell) in enumerate(zip(self.threshold, self.cell, strict=True)):
            first, whole = (first_bin(self.axes, threshold, partial) for partial in (True, False))
            seconds[run, whole:] = self.livetime[run]
            if first < whole:
                low, high = edges[first : first + 2]
                part = fraction_above(index[cell, first], low, high, threshold)
                seconds[run, first] = part * self.livetime[run]
        return seconds

    def exposure(self, seconds: np.ndarray) -> np.ndarray:
        """Sum over the runs of each cell, with their masks, shape (n_energy, n_cells, n_pixels).

        Parameters
        ----------
        seconds : ndarray, shape (n_runs, n_energy)
            Seconds of each run and energy, or seconds times a factor.
        """
        total = np.empty(self.counts.shape)
        for cell, (runs, rows, place) in enumerate(self._cells):
            weight = np.zeros((rows.size, seconds.shape[1]))
            np.add.at(weight, (place, np.arange(seconds.shape[1])), seconds[runs])
            total[:, cell] = weight.T @ self.unmasked[rows].astype(float)
        return total

    def spectrum(self, rate: np.ndarray) -> np.ndarray:
        """Counts per second of each run and energy, with its masks, shape (n_runs, n_energy).

        Parameters
        ----------
        rate : ndarray, shape (n_energy, n_cells, n_pixels)
            Counts per second in the bins of each cell.
        """
        found = np.empty(self.spectra.shape)
        for cell, (runs, rows, place) in enumerate(self._cells):
            each = self.unmasked[rows].astype(float) @ rate[:, cell].T
            found[runs] = each[place, np.arange(len(rate))]
        return found

    def without(self, dropped: np.ndarray) -> "RunStatistics":
        """The statistics without some runs that have no events.

        Parameters
        ----------
        dropped : ndarray of bool, shape (n_runs,)
            The runs to leave out.
        """
        names = "spectra", "livetime", "threshold", "cosines", "row"
        kept = {name: getattr(self, name)[~dropped] for name in names}
        cells, cell = np.unique(self.cell[~dropped], return_inverse=True)
        return replace(self, counts=self.counts[:, cells], cell=cell, **kept)

    @property
    def _cells(self):
        """For each cell: its runs, the rows of masks that they use, and their place among these."""
        for cell in range(self.counts.shape[1]):
            runs = np.flatnonzero(self.cell == cell)
            rows, place = np.unique(self.row[runs], return_inverse=True)
            yield runs, rows, place.reshape(runs.size, -1)


def read_runs(
    observations: Sequence[Observation],
    axes: Axes,
    executor: Executor | None = None,
    width: float = CELL,
) -> RunStatistics:
    """Read runs, one after the other.

    Parameters
    ----------
    observations : sequence of Observation
        The runs.
    axes : Axes
        Axes of the bins.
    executor : concurrent.futures.Executor, optional
        Reads runs in parallel; the result is the same to the last bit.
    width : float
        Width of a cell in cos(zenith).
    """
    check_axes(axes)
    cells: dict[int, np.ndarray] = {}
    masks, runs = [np.ones(axes.shape[1] * axes.shape[2], np.float32)], []
    for part in in_pieces(partial(_read_piece, axes, width), observations, executor):
        add(part.notices)
        for number, counts in part.cells.items():
            cells[number] = cells.get(number, 0) + counts.astype(np.int64)
        for run, row in zip(part.runs, part.rows, strict=True):
            # Row 0 is common to all pieces, and the others follow.
            runs.append((*run, np.where(row > 0, row + len(masks) - 1, 0)))
        masks += part.masks
    columns: list[Any] = [np.array(column) for column in zip(*runs, strict=True)]
    numbers = sorted(cells)
    columns[4] = np.searchsorted(numbers, columns[4])
    counts = np.stack([cells[number] for number in numbers], axis=1).astype(float)
    names = "spectra", "livetime", "threshold", "cosines", "cell", "row"
    return RunStatistics(
        axes, counts, **dict(zip(names, columns, strict=True)), unmasked=np.array(masks)
    )


@dataclass
class Part:
    """The statistics of some runs, in their order.

    Parameters
    ----------
    cells : dict of int to ndarray of int, shape (n_energy, n_pixels)
        Counts of the runs of each cell.
    runs : list of tuple
        Spectrum, livetime, threshold, cosines and cell of each run.
    rows : list of ndarray of int, shape (n_energy,)
        Of each run: 0 without a mask, or 1 + the row of ``masks``.
    masks : list of ndarray, shape (n_pixels,)
        Unmasked fractions of pixels.
    notices : list of Notice
        Contradictions in the data of the runs.
    """

    cells: dict[int, np.ndarray] = field(default_factory=dict)
    runs: list[tuple] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __getstate__(self):
        # Sent to another process: most bins have a few counts.
        small = {n: c.astype(np.min_scalar_type(c.max(initial=0))) for n, c in self.cells.items()}
        return vars(self) | {"cells": small}


def _read_piece(axes, width, observations):
    """The statistics of a piece."""
    part = Part()
    for observation in observations:
        counts, livetime, cosines, unmasked, notices = _read(observation, axes)
        number = int(np.mean(cosines) / width)
        part.cells[number] = part.cells.get(number, 0) + counts.reshape(axes.shape[0], -1)
        row = np.zeros(axes.shape[0], int)
        if unmasked is not None:
            each, row = np.unique(unmasked, axis=0, return_inverse=True)
            row = row.reshape(-1) + 1 + len(part.masks)
            part.masks += list(each.astype(np.float32))
        spectrum = counts.sum(axis=(1, 2))
        part.runs.append((spectrum, livetime, observation.energy_threshold, cosines, number))
        part.rows.append(row)
        part.notices += notices
    return part


def _read(observation, axes):
    """Counts, livetime, cos(zenith) along the track, unmasked fractions and notices."""
    observation = observation.read()
    events = observation.events(axes.energy)
    threshold = observation.energy_threshold
    counts = axes.fill(events.energy, events.fov_lon, events.fov_lat, threshold)
    counts[: first_bin(axes, threshold, True)] = 0
    unmasked = unmasked_fraction_of_run(axes, observation, events)
    if unmasked is not None:
        counts = counts * (unmasked > 0)
        unmasked = np.broadcast_to(unmasked, axes.shape).reshape(axes.shape[0], -1)
        if (unmasked == unmasked[0]).all():
            unmasked = np.repeat(unmasked[:1], axes.shape[0], axis=0)
    return counts, observation.livetime, track(observation), unmasked, events.notices


def track(observation: Observation) -> np.ndarray:
    """cos(zenith) at times in good time, or that at mid-run if the pointing is not known.

    Parameters
    ----------
    observation : Observation
        The run, with its events in memory.
    """
    events = observation.load()
    cosine = np.full(TIMES, np.sin(np.radians(observation.alt)))
    if events.pointing is not None and events.gti is not None:
        start, stop = np.asarray(events.gti).T
        passed = np.concatenate([[0.0], np.cumsum(stop - start)])
        wanted = (np.arange(TIMES) + 0.5) / TIMES * passed[-1]
        part = np.searchsorted(passed, wanted, side="right") - 1
        altitude, _ = events.pointing.altaz(start[part] + wanted - passed[part])
        cosine = np.sin(np.radians(altitude))
    if not np.isfinite(cosine).all():
        raise ValueError(
            f"run {observation.obs_id}: got neither altitude nor pointing, expected one of these "
            "for a model that depends on the zenith angle"
        )
    return cosine
