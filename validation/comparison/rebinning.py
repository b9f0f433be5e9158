"""Two cubes over other bins, brought to bins that they have in common.

Where enough edges coincide bins are merged: sums of counts and integrals of rates are exact. Where
they do not, what lies within a bin is assumed, and integrated over the coarser bins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.from_file import CubeTruth
from simbg.validation.comparison.conventions import edge_units
from simbg.validation.comparison.measures import exposure, is_measured, same_clock

__all__ = ["Common", "Incomparable", "common_binning"]

# In a file of single precision edges of a few deg are right to 1e-6 of a bin.
SAME_EDGE = 1e-5
# An axis whose edges coincide leaves at least so many bins, and this part of the coarser one's:
# with fewer there is little left to compare.
ENOUGH, PART = 4, 0.25
# Exposures of merged bins that differ by more, as in single precision, are different.
SAME_EXPOSURE = 1e-6
# Part of the counts that merges without a change of exposure must keep.
KEPT = 0.5


class Incomparable(ValueError):
    """Cubes that no common bins can be made for."""


class Common(NamedTuple):
    """Two cubes over the same axes, how they came there, and what they are.

    ``measured`` says which of them was made from counts if these can no longer be compared bin
    by bin, for something is approximate; it is None if all is exact.
    """

    a: BackgroundCube
    b: BackgroundCube
    text: str
    measured: tuple[bool, bool] | None


def common_binning(a, b):
    """Both cubes over common bins, per second of the same clock.

    Parameters
    ----------
    a, b : BackgroundCube
        Aligned alike, with axes that overlap.

    Returns
    -------
    common : Common

    Raises
    ------
    Incomparable
        If there is no range in common with a whole bin in it, if the alignments differ,
        or if a rate that would have to be interpolated is negative.
    """
    axes, exact = _common_axes(a.axes, b.axes)
    text, (a, b) = _about(axes, a.axes, b.axes), same_clock(a, b)
    if not exact:
        return _approximate(a, b, axes, f"{text}: edges do not coincide, integrals interpolated")
    merged = [_merged(cube, axes) for cube in (a, b)]
    cubes = [cube for cube, _ in merged]
    if not all(_counts_kept(*pair) for pair in zip((a, b), cubes, strict=True)):
        return _approximate(a, b, axes, f"{text}: the exposure changes within bins")
    left_out = sum(number for _, number in merged)
    more = f", without {left_out} in which the exposure changes" if left_out else ""
    return Common(*cubes, f"{text}: edges coincide, exact{more}", None)


def _common_axes(a, b):
    """The common axes, and whether all edges of both coincide there."""
    different = f"binned differently: {a.shape} and {b.shape} bins, expected the same edges"
    if units := edge_units(a, b):
        raise Incomparable(different + units)
    if a.align != b.align:
        raise Incomparable(f"{different}, not {a.align} and {b.align}")
    parts = [_common_edges(*edges) for edges in zip(_edges(a), _edges(b), strict=True)]
    if any(coarser.size < 2 for _, coarser in parts):
        raise Incomparable(f"{different}, or a range in common")
    exact = all(_is_enough(*part) for part in parts)
    return Axes(*(part[0 if exact else 1] for part in parts), align=a.align), exact


def _approximate(a, b, axes, text):
    for label, cube in (("A", a), ("B", b)):
        if negative := np.count_nonzero(cube.rate < 0):
            raise Incomparable(
                f"binned differently, and {label} has {negative} negative rates: "
                "expected the same edges, or none"
            )
    cubes = [_interpolated(cube, axes) for cube in (a, b)]
    return Common(*cubes, f"{text}, an approximation", (is_measured(a), is_measured(b)))


def _common_edges(a, b):
    """Edges that coincide, and those of the coarser axis in the range of both."""
    near = np.abs(a[:, None] - b).argmin(axis=1)
    close = SAME_EDGE * np.minimum(_narrowest(a), _narrowest(b)[near])
    shared = a[np.abs(a - b[near]) <= close]
    inside = [
        one[(one >= other[0] - SAME_EDGE * width) & (one <= other[-1] + SAME_EDGE * width)]
        for one, other in ((a, b), (b, a))
        for width in [_narrowest(one)]
    ]
    return shared, min(inside, key=len)


def _is_enough(shared, coarser):
    number = coarser.size - 1
    return shared.size - 1 >= max(min(ENOUGH, number), PART * number)


def _narrowest(edges):
    """Width of the narrower bin beside each edge."""
    width = np.diff(edges)
    return np.minimum(np.append(width[0], width), np.append(width, width[-1]))


def _merged(cube, axes):
    """The cube over edges that are some of its own, and the number of bins that are left out.

    Of a cube of counts, those over which the exposure is not the same throughout are: their
    counts are not those of a rate and a time.
    """
    starts = [
        np.abs(own[:, None] - edges).argmin(axis=0)
        for own, edges in zip(_edges(cube.axes), _edges(axes), strict=True)
    ]

    def merge(values, function=np.add):
        for axis, start in enumerate(starts):
            part = values.take(np.arange(start[0], start[-1]), axis=axis)
            values = function.reduceat(part, start[:-1] - start[0], axis=axis)
        return values

    volume, time = merge(cube.axes.volume), exposure(cube)
    known = np.isfinite(cube.rate) & (True if time is None else time > 0)
    whole = merge(known, np.logical_and)
    kept = whole
    if is_measured(cube):
        highest, lowest = merge(time, np.maximum), merge(time, np.minimum)
        kept = whole & (highest - lowest <= SAME_EXPOSURE * highest)
    rate = np.where(kept, merge(np.where(known, cube.event_rate, 0.0)) / volume, np.nan)
    more = {"counts": None if cube.counts is None else np.where(kept, merge(cube.counts), 0)}
    for clock in ("livetime", "ontime"):
        value = getattr(cube, clock)
        more[clock] = None if value is None else kept * merge(value * cube.axes.volume) / volume
    number = np.count_nonzero(whole & ~kept)
    return replace(cube, axes=axes, rate=rate, rate_error=None, **more), number


def _counts_kept(cube, merged):
    """Whether most counts of the range in common are still there."""
    if not is_measured(cube):
        return True
    inside = [
        (own[:-1] >= edges[0] - tiny) & (own[1:] <= edges[-1] + tiny)
        for own, edges in zip(_edges(cube.axes), _edges(merged.axes), strict=True)
        for tiny in [SAME_EDGE * _narrowest(own).min()]
    ]
    total = cube.counts[np.ix_(*inside)].sum()
    return merged.counts.sum() >= KEPT * total


def _interpolated(cube, axes):
    """The cube over any bins in its range.

    Counts are those expected of the rates; they are not whole, and not independent.
    """
    if cube.axes.same_as(axes):
        return cube
    time = exposure(cube)
    known = np.isfinite(cube.rate) & (True if time is None else time > 0)
    rate = _averages(cube.axes, np.where(known, cube.rate, 0.0), axes)
    # The same of any bin of which something is not known.
    whole = _averages(cube.axes, ~known * 1.0, axes) <= SAME_EDGE
    more = {"counts": None}
    for clock in ("livetime", "ontime"):
        value = getattr(cube, clock)
        more[clock] = None if value is None else whole * _averages(cube.axes, value, axes)
    if cube.counts is not None and time is not None:
        more["counts"] = whole * rate * axes.volume * more[cube.clock]
    return replace(cube, axes=axes, rate=np.where(whole, rate, np.nan), rate_error=None, **more)


def _averages(own, rate, axes):
    """Averages over other bins: a power law within energies, and in the field no steps.

    Integrals up to each edge are kept; between them goes a monotone cubic.
    """
    within = replace(own, energy=axes.energy)
    total = CubeTruth(own, rate).integrate(within)
    for axis in (1, 2):
        edges, wanted = (_even_in_solid_angle(one)[axis - 1] for one in (own, axes))
        upto = np.insert(np.cumsum(total, axis=axis), 0, 0.0, axis=axis)
        wanted = np.clip(wanted, edges[0], edges[-1])
        total = np.diff(PchipInterpolator(edges, upto, axis=axis)(wanted), axis=axis)
    # A difference of sums may be less than nothing by a rounding.
    return np.maximum(total, 0.0) / axes.volume


def _even_in_solid_angle(axes):
    return np.deg2rad(axes.fov_lon), np.sin(np.deg2rad(axes.fov_lat))


def _edges(axes):
    return axes.energy, axes.fov_lon, axes.fov_lat


def _about(axes, a, b):
    """The common bins in words: how many, and over what if that is not all."""
    number, in_a, in_b = (" × ".join(map(str, one.shape)) for one in (axes, a, b))
    text = f"on {number} common bins (A has {in_a}, B has {in_b})"
    spans = [(edges[0], edges[-1]) for edges in _edges(axes)]
    if not all(
        np.allclose(span, (own[0], own[-1]), rtol=1e-6, atol=1e-6)
        for one in (a, b)
        for span, own in zip(spans, _edges(one), strict=True)
    ):
        energy, lon, lat = ("{:.4g} to {:.4g}".format(*span) for span in spans)
        text += f", {energy} TeV, fov_lon {lon} deg, fov_lat {lat} deg"
    return text
