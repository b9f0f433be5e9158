"""Two cubes as they would be without one fault of convention.

Each function takes the reference a and a cube b and yields (in words what is done,
a, b) for every way in which that fault may have come about; nothing where it cannot
be undone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simbg.axes import Axes
from simbg.validation.comparison.bin_averages import bin_averages, center_values
from simbg.validation.comparison.measures import exposure, is_measured, same_clock, scaled
from simbg.validation.comparison.rotation import fit_rotation, rotate_field

__all__ = [
    "alignment_label",
    "bin_centers",
    "clock",
    "dead_time_twice",
    "divided",
    "energy_bin",
    "other_alignment",
    "permuted",
    "with_gradient",
]

ARRAYS = ("rate", "rate_error", "counts", "livetime", "ontime")


def permuted(swap, lon, lat, cure):
    """Undo a swap and then flips: of values and edges, or of either alone."""

    def moved(values):
        values = values.swapaxes(1, 2) if swap else values
        return values[:, :: -1 if lon else 1, :: -1 if lat else 1]

    def undo(a, b):
        edges = [b.axes.fov_lon, b.axes.fov_lat][:: -1 if swap else 1]
        edges = [-e[::-1] if flip else e for e, flip in zip(edges, (lon, lat), strict=True)]
        if np.abs(edges[1]).max() > 90:
            return
        same = b.axes.same_as(a.axes)
        fits = Axes(b.axes.energy, *edges, align=b.axes.align).same_as(a.axes)
        if (same or fits) and moved(b.rate).shape == a.axes.shape:
            yield cure, a, replace(b, axes=a.axes, **_each(b, moved))
        if same and moved(b.rate).shape == a.axes.shape and b.counts is not None:
            yield f"{cure}, in its rates alone", a, replace(b, rate=moved(b.rate), rate_error=None)
        if fits and not same and b.axes.shape == a.axes.shape:
            yield f"{cure}, in its edges alone", a, replace(b, axes=a.axes)

    return undo


def alignment_label(a, b):
    """The edges alike, the alignments not."""
    if _same_edges(a.axes, b.axes):
        cure = f"it is taken to be aligned with {a.axes.align} instead of {b.axes.align}"
        yield cure, a, replace(b, axes=a.axes)


def other_alignment(a, b, mirror=True, limit=180.0):
    """The cube without counts, seen in the other alignment at the angle that fits best."""
    counted = is_measured(a), is_measured(b)
    if all(counted) or not _same_edges(a.axes, b.axes):
        return
    a, b = same_clock(a, replace(b, axes=a.axes))
    angle = fit_rotation(*((b, a) if counted[0] else (a, b)), mirror, limit)
    if np.isfinite(angle):
        # The mirror is its own inverse; a turn alone goes where it was fitted.
        pair = (
            (a, rotate_field(b, angle, mirror))
            if counted[0]
            else (rotate_field(a, angle, mirror), b)
        )
        yield f"it is mirrored and turned by a parallactic angle of {angle:.1f} deg", *pair


def with_gradient(model, seen):
    """The model times c₀ + c₁ fov_lon + c₂ fov_lat, least squares of what is seen: no fault."""
    axes = model.axes
    terms = np.ones(axes.shape), axes.fov_lon_center[:, None], axes.fov_lat_center
    terms = [np.broadcast_to(term, axes.shape) for term in terms]
    used = np.isfinite(model.rate + seen.rate)
    expected, found = (np.where(used, cube.event_rate, 0.0) for cube in (model, seen))
    matrix = [[np.sum(expected * s * t) for t in terms] for s in terms]
    c = np.linalg.solve(matrix, [np.sum(found * t) for t in terms])
    return scaled(model, np.maximum(np.tensordot(c, terms, axes=1), 0.0))


def divided(factor, cure):
    """Rates divided by a number, or by what the axes give."""

    def undo(a, b):
        if b.axes.same_as(a.axes):
            yield cure, a, scaled(b, 1 / (factor(b.axes) if callable(factor) else factor))

    return undo


def clock(a, b):
    """The rate, or the exposure too, is per second of the clock that it does not name."""
    share = _live_share(a, b)
    if share is None:
        return
    other = "ontime" if b.clock == "livetime" else "livetime"
    cure = f"its rates are taken to be per {other} instead of per {b.clock}"
    yield cure, a, replace(b, clock=other)
    time = exposure(b)
    if time is not None:
        times = {other: time, b.clock: time * _to_own(share, b)}
        yield f"{cure}, its {b.clock} too", a, replace(b, clock=other, **times)


def dead_time_twice(a, b):
    """The rate is corrected for the dead time though it was so before."""
    share = _live_share(a, b)
    if share is not None:
        cure = "livetime / ontime" if b.clock == "livetime" else "ontime / livetime"
        yield f"its rates are multiplied by {cure}", a, scaled(b, _to_own(share, b))


def energy_bin(shift):
    """Bins over which both are known, b's contents moved by ``shift`` bins in energy.

    Edges may be alike, or be another part of the same grid.
    """

    def undo(a, b):
        start = _first_common(a.axes, b.axes)
        if start is None:
            return
        # b's bin j holds what belongs in a's bin j + step.
        step = start + shift
        n_a, n_b = a.axes.shape[0], b.axes.shape[0]
        first, last = max(0, -step), min(n_b, n_a - step)
        if last - first < 2:
            return
        to, rows = _energies(a, first + step, last + step), _energies(b, first, last)
        moved = replace(rows, axes=to.axes)
        cure = f"its rates are moved by {shift:+d} energy bin"
        yield cure, to, moved
        yield f"{cure} as events", to, scaled(moved, rows.axes.volume / to.axes.volume)
        if b.counts is not None and start == 0:
            here = _energies(b, first + step, last + step)
            yield f"{cure} alone", to, replace(here, rate=rows.rate, rate_error=None)

    return undo


def bin_centers(of_b, mean):
    """B (or A) holds rates at bin centres, the other averages, as estimated from neighbours."""

    def undo(a, b):
        # Counts are those of bins: a measurement holds averages.
        if not b.axes.same_as(a.axes) or is_measured(b if of_b else a):
            return
        label = "B" if of_b else "A"
        cure = f"{label}'s rates are taken for those at bin centres, {mean} in energy"
        if is_measured(a):
            yield (
                cure,
                a,
                replace(b, rate=bin_averages(b.axes, b.rate, mean), rate_error=None),
            )
        else:
            convert = center_values if of_b else bin_averages
            yield cure, replace(a, rate=convert(a.axes, a.rate, mean), rate_error=None), b

    return undo


def _same_edges(a, b):
    """Whether two axes have the same edges, whatever they are aligned with."""
    return a.same_as(replace(b, align=a.align))


def _each(cube, move):
    """All arrays of the cube, moved."""
    return {n: move(v) for n in ARRAYS if (v := getattr(cube, n)) is not None}


def _energies(cube, first, last):
    """A part of the cube's energy bins."""
    axes = replace(cube.axes, energy=cube.axes.energy[first : last + 1])
    return replace(cube, axes=axes, **_each(cube, lambda values: values[first:last]))


def _first_common(a, b):
    """Bin of a's energy axis where b's begins, if the edges in common are the same."""
    start = int(np.abs(np.log(a.energy / b.energy[0])).argmin())
    back = int(np.abs(np.log(b.energy / a.energy[0])).argmin())
    start = start if start or not back else -back
    one = a.energy[max(start, 0) :][: b.energy.size + min(start, 0)]
    two = b.energy[max(-start, 0) :][: one.size]
    if not one.size == two.size >= 3:
        return None
    return start if replace(a, energy=one).same_as(replace(b, energy=two)) else None


def _to_own(share, cube):
    """Seconds of the cube's clock in a second of the other."""
    return share if cube.clock == "livetime" else 1 / share


def _live_share(a, b):
    """Livetime ÷ ontime, 1 without exposure, of the first cube that knows a dead time."""
    if not b.axes.same_as(a.axes):
        return None
    for cube in (b, a):
        if cube.livetime is None or cube.ontime is None:
            continue
        one = np.ones(cube.axes.shape)
        share = np.divide(cube.livetime, cube.ontime, out=one, where=cube.ontime > 0)
        if np.any((share != 1) & (share > 0)):
            return np.where(share > 0, share, 1.0)
    return None
