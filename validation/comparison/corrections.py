"""Corrections: the inverse of each fault of convention.

Each function takes the reference a and a cube b, and yields (description, a, b) without the fault
for every way in which it may have arisen. It yields nothing if the fault has no inverse.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.validation.comparison import matched_cubes
from simbg.validation.comparison.fields.bin_averages import bin_averages, center_values
from simbg.validation.comparison.fields.rotation import fit_rotation, rotate_field

__all__ = []

CorrectedCubes = Iterator[tuple[str, BackgroundCube, BackgroundCube]]


def flip_or_swap(
    a: BackgroundCube,
    b: BackgroundCube,
    words: str,
    swap: bool = False,
    flip_lon: bool = False,
    flip_lat: bool = False,
) -> CorrectedCubes:
    """A swap and then flips: of values and edges, or of either of them.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference and the cube with the fault.
    words : str
        Description of the correction.
    swap, flip_lon, flip_lat : bool
        The operations.

    Yields
    ------
    words, a, b : str, BackgroundCube, BackgroundCube
        Description and corrected cubes.
    """

    def moved(values):
        values = values.swapaxes(1, 2) if swap else values
        return values[:, :: -1 if flip_lon else 1, :: -1 if flip_lat else 1]

    lon, lat = (b.axes.fov_lon, b.axes.fov_lat)[:: -1 if swap else 1]
    lon, lat = -lon[::-1] if flip_lon else lon, -lat[::-1] if flip_lat else lat
    if np.abs(lat).max() > 90:
        return
    same = b.axes.same_as(a.axes)
    fits = replace(b.axes, fov_lon=lon, fov_lat=lat).same_as(a.axes)
    if moved(b.rate).shape == a.axes.shape:
        if same or fits:
            yield words, a, _each(b, moved, a.axes)
        if same and b.counts is not None:
            yield f"{words}, only in its rates", a, replace(b, rate=moved(b.rate), rate_error=None)
    if fits and not same and b.axes.shape == a.axes.shape:
        yield f"{words}, only in its edges", a, replace(b, axes=a.axes)


def other_label(a: BackgroundCube, b: BackgroundCube) -> CorrectedCubes:
    """The same edges with the alignment of the reference."""
    if _same_edges(a.axes, b.axes):
        words = f"it is taken to be aligned with {a.axes.align} instead of {b.axes.align}"
        yield words, a, replace(b, axes=a.axes)


def other_alignment(
    a: BackgroundCube,
    b: BackgroundCube,
    mirror: bool = True,
    limit: float = 180.0,
    least: float = 0.0,
) -> CorrectedCubes:
    """The cube without counts in the other alignment, at the parallactic angle that fits best.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference and the cube with the fault.
    mirror : bool
        Whether the field is reflected as well.
    limit, least : float
        Largest and smallest angle, deg.

    Yields
    ------
    words, a, b : str, BackgroundCube, BackgroundCube
        Description and corrected cubes.
    """
    counted = matched_cubes.is_counted(a), matched_cubes.is_counted(b)
    if all(counted) or not _same_edges(a.axes, b.axes):
        return
    a, b = matched_cubes.same_clock(a, replace(b, axes=a.axes))
    angle = fit_rotation(*((b, a) if counted[0] else (a, b)), mirror, limit)
    if abs(angle) >= least:
        words = f"it is rotated by {angle:.1f} deg"
        if mirror:
            words = f"it is reflected and rotated by a parallactic angle of {angle:.1f} deg"
        # The reflection is its own inverse. A rotation alone applies to the cube of the fit.
        if counted[0]:
            yield words, a, rotate_field(b, angle, mirror)
        else:
            yield words, rotate_field(a, angle, mirror), b


def wrong_unit(
    a: BackgroundCube, b: BackgroundCube, words: str, factor: Any, power: float
) -> CorrectedCubes:
    """Rates times a power of a number, or of a function of the axes."""
    if b.axes.same_as(a.axes):
        value = factor(b.axes) if callable(factor) else factor
        yield words, a, matched_cubes.scaled(b, value**power)


def clock(a: BackgroundCube, b: BackgroundCube) -> CorrectedCubes:
    """The rate, or the exposure as well, refers to the other clock than the cube states."""
    ratio = _clock_ratio(a, b)
    if ratio is None:
        return
    other = "ontime" if b.clock == "livetime" else "livetime"
    words = f"its rates are taken as per {other} instead of per {b.clock}"
    yield words, a, replace(b, clock=other)
    time = matched_cubes.exposure(b)
    if time is not None:
        times = {other: time, b.clock: time * ratio}
        yield f"{words}, and its {b.clock} as well", a, replace(b, clock=other, **times)


def corrected_twice(a: BackgroundCube, b: BackgroundCube) -> CorrectedCubes:
    """The rate was corrected twice for the dead time."""
    ratio = _clock_ratio(a, b)
    if ratio is not None:
        quotient = "livetime / ontime" if b.clock == "livetime" else "ontime / livetime"
        yield f"its rates are multiplied by {quotient}", a, matched_cubes.scaled(b, ratio)


def energy_shift(a: BackgroundCube, b: BackgroundCube, shift: int) -> CorrectedCubes:
    """The contents of b moved by ``shift`` bins in energy, in the bins that both have.

    The edges may be the same, or another part of the same grid.
    """
    start = _first_common(a.axes, b.axes)
    if start is None:
        return
    # Bin j of b holds the contents of bin j + step of a.
    step = start + shift
    first, last = max(0, -step), min(b.axes.shape[0], a.axes.shape[0] - step)
    if last - first < 2:
        return
    target, rows = _energies(a, first + step, last + step), _energies(b, first, last)
    moved = replace(rows, axes=target.axes)
    words = f"its rates are moved by {shift:+d} energy bin"
    yield words, target, moved
    events = matched_cubes.scaled(moved, rows.axes.volume / target.axes.volume)
    yield f"{words} as events", target, events
    if b.counts is not None and start == 0:
        there = _energies(b, first + step, last + step)
        yield (
            f"{words}, without its counts",
            target,
            replace(there, rate=rows.rate, rate_error=None),
        )


def values_at_centers(
    a: BackgroundCube, b: BackgroundCube, label: str, mean: str
) -> CorrectedCubes:
    """One cube, B or A, holds rates at bin centres, and the other one averages over bins."""
    # A cube that was made from counts holds averages.
    if not b.axes.same_as(a.axes) or matched_cubes.is_counted(b if label == "B" else a):
        return
    words = f"the rates of {label} are taken as values at bin centres, {mean} in energy"
    if matched_cubes.is_counted(a):
        yield words, a, replace(b, rate=bin_averages(b.axes, b.rate, mean), rate_error=None)
    else:
        convert = center_values if label == "B" else bin_averages
        yield words, replace(a, rate=convert(a.axes, a.rate, mean), rate_error=None), b


def _same_edges(a, b):
    """Whether two axes have the same edges, for any alignment."""
    return a.same_as(replace(b, align=a.align))


def _each(cube, move, axes):
    """The cube over other axes, with all of its arrays moved."""
    arrays = matched_cubes.changed(cube, move, "rate", "rate_error", "counts")
    return replace(cube, axes=axes, **matched_cubes.NO_ERRORS | arrays)


def _energies(cube, first, last):
    """The cube's energy bins from ``first`` to ``last`` - 1."""
    axes = replace(cube.axes, energy=cube.axes.energy[first : last + 1])
    return _each(cube, lambda values: values[first:last], axes)


def _first_common(a, b):
    """Bin of the energy axis of a where that of b begins, if their common edges are the same."""
    start = int(np.abs(np.log(a.energy / b.energy[0])).argmin())
    start = start or -int(np.abs(np.log(b.energy / a.energy[0])).argmin())
    in_a = a.energy[max(start, 0) :][: b.energy.size + min(start, 0)]
    in_b = b.energy[max(-start, 0) :][: in_a.size]
    if not in_a.size == in_b.size >= 3:
        return None
    return start if replace(a, energy=in_a).same_as(replace(b, energy=in_b)) else None


def _clock_ratio(a, b):
    """Seconds of b's clock in a second of the other, by the first cube that knows a dead time.

    1 where there is no exposure; None where neither cube knows.
    """
    if not b.axes.same_as(a.axes):
        return None
    for cube in (b, a):
        if cube.livetime is None or cube.ontime is None:
            continue
        exposed = (cube.ontime > 0) & (cube.livetime > 0)
        live = np.divide(cube.livetime, cube.ontime, out=np.ones(b.axes.shape), where=exposed)
        if np.any(live != 1):
            return live if b.clock == "livetime" else 1 / live
    return None
