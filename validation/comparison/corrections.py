"""The inverse of each fault of convention: two cubes as they would be without it.

Each function takes the reference a and a cube b and yields (what is done in words, a, b) for
every way in which its fault may have come about; nothing where it has no inverse.
"""

from dataclasses import replace

import numpy as np

from simbg.validation.comparison import matched_cubes
from simbg.validation.comparison.bin_averages import bin_averages, center_values
from simbg.validation.comparison.rotation import fit_rotation, rotate_field

__all__ = []


def flip_or_swap(a, b, words, swap=False, flip_lon=False, flip_lat=False):
    """A swap and then flips: of values and edges, or of either alone."""

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
            yield f"{words}, in its rates alone", a, replace(b, rate=moved(b.rate), rate_error=None)
    if fits and not same and b.axes.shape == a.axes.shape:
        yield f"{words}, in its edges alone", a, replace(b, axes=a.axes)


def other_label(a, b):
    """The edges alike, the alignments not."""
    if _same_edges(a.axes, b.axes):
        words = f"it is taken to be aligned with {a.axes.align} instead of {b.axes.align}"
        yield words, a, replace(b, axes=a.axes)


def other_alignment(a, b, mirror=True, limit=180.0):
    """The cube without counts, in the other alignment at the parallactic angle that fits best."""
    counted = matched_cubes.is_counted(a), matched_cubes.is_counted(b)
    if all(counted) or not _same_edges(a.axes, b.axes):
        return
    a, b = matched_cubes.same_clock(a, replace(b, axes=a.axes))
    angle = fit_rotation(*((b, a) if counted[0] else (a, b)), mirror, limit)
    if np.isfinite(angle):
        words = f"it is mirrored and turned by a parallactic angle of {angle:.1f} deg"
        # The mirror is its own inverse; a rotation alone goes where it was fitted.
        if counted[0]:
            yield words, a, rotate_field(b, angle, mirror)
        else:
            yield words, rotate_field(a, angle, mirror), b


def wrong_unit(a, b, words, factor, power):
    """Rates times a power of a number, or of a function of the axes."""
    if b.axes.same_as(a.axes):
        value = factor(b.axes) if callable(factor) else factor
        yield words, a, matched_cubes.scaled(b, value**power)


def clock(a, b):
    """The rate, or the exposure too, is per second of the clock that it does not name."""
    ratio = _clock_ratio(a, b)
    if ratio is None:
        return
    other = "ontime" if b.clock == "livetime" else "livetime"
    words = f"its rates are taken to be per {other} instead of per {b.clock}"
    yield words, a, replace(b, clock=other)
    time = matched_cubes.exposure(b)
    if time is not None:
        times = {other: time, b.clock: time * ratio}
        yield f"{words}, its {b.clock} too", a, replace(b, clock=other, **times)


def corrected_twice(a, b):
    """The rate is corrected for the dead time though it was so before."""
    ratio = _clock_ratio(a, b)
    if ratio is not None:
        quotient = "livetime / ontime" if b.clock == "livetime" else "ontime / livetime"
        yield f"its rates are multiplied by {quotient}", a, matched_cubes.scaled(b, ratio)


def energy_shift(a, b, shift):
    """Bins over which both are known, b's contents moved by ``shift`` bins in energy.

    Edges may be alike, or be another part of the same grid.
    """
    start = _first_common(a.axes, b.axes)
    if start is None:
        return
    # b's bin j holds what belongs in a's bin j + step.
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
        yield f"{words} alone", target, replace(there, rate=rows.rate, rate_error=None)


def values_at_centers(a, b, label, mean):
    """B (or A) holds rates at bin centres, the other averages, as estimated from neighbours."""
    # Counts are those of bins: a measurement holds averages.
    if not b.axes.same_as(a.axes) or matched_cubes.is_counted(b if label == "B" else a):
        return
    words = f"{label}'s rates are taken for those at bin centres, {mean} in energy"
    if matched_cubes.is_counted(a):
        yield words, a, replace(b, rate=bin_averages(b.axes, b.rate, mean), rate_error=None)
    else:
        convert = center_values if label == "B" else bin_averages
        yield words, replace(a, rate=convert(a.axes, a.rate, mean), rate_error=None), b


def _same_edges(a, b):
    """Whether two axes have the same edges, whatever they are aligned with."""
    return a.same_as(replace(b, align=a.align))


def _each(cube, move, axes):
    """The cube over other axes, all of its arrays moved."""
    arrays = matched_cubes.changed(cube, move, "rate", "rate_error", "counts")
    return replace(cube, axes=axes, **arrays)


def _energies(cube, first, last):
    """The cube's energy bins from ``first`` to ``last`` - 1."""
    axes = replace(cube.axes, energy=cube.axes.energy[first : last + 1])
    return _each(cube, lambda values: values[first:last], axes)


def _first_common(a, b):
    """Bin of a's energy axis where b's begins, if the edges in common are the same."""
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
