"""Two cubes with different bins, brought to common bins.

If enough edges coincide, bins are merged: sums of counts and integrals of rates are exact. If not,
the rate inside bins is interpolated and integrated over the coarser bins.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.truth.from_file import CubeTruth
from simbg.validation.comparison.conventions import edge_units
from simbg.validation.comparison.matched_cubes import (
    NO_ERRORS,
    changed,
    exposure,
    is_counted,
    same_clock,
)

__all__ = ["common_binning"]

# Edges of a few deg in a file of single precision have errors of 1e-6 of a bin.
SAME_EDGE = 1e-5
# Least number of common bins of an axis, and least fraction of the bins of the coarser one.
MIN_BINS, MIN_FRACTION = 4, 0.25
# Largest relative difference of equal exposures, which may be in single precision.
SAME_EXPOSURE = 1e-6
# Least fraction of the counts in bins of constant exposure.
MIN_COUNTS_FRACTION = 0.5


class Incomparable(ValueError):
    """Cubes without common bins."""


class CommonBinning(NamedTuple):
    """Two cubes over the same axes, and how the axes were made.

    Attributes
    ----------
    a, b : BackgroundCube
        The cubes.
    text : str
        The common bins, in words.
    interpolated : tuple of bool or None
        Which cubes were made from counts, if the common bins are approximate so that the counts
        cannot be compared bin by bin; None if the common bins are exact.
    """

    a: BackgroundCube
    b: BackgroundCube
    text: str
    interpolated: tuple[bool, bool] | None


def common_binning(a: BackgroundCube, b: BackgroundCube) -> CommonBinning:
    """Both cubes over common bins, per second of the same clock.

    Parameters
    ----------
    a, b : BackgroundCube
        Cubes of the same alignment with overlapping axes.

    Returns
    -------
    common : CommonBinning
        The cubes, and a description of the bins.

    Raises
    ------
    Incomparable
        If the common range holds no whole bin, if the alignments differ, or if a rate that would
        have to be interpolated is negative.
    """
    axes, exact = _common_axes(a.axes, b.axes)
    text, (a, b) = _describe(axes, a.axes, b.axes), same_clock(a, b)
    if not exact:
        return _interpolated(a, b, axes, f"{text}: edges do not coincide, integrals interpolated")
    merged, n_lost, enough = zip(_merge(a, axes), _merge(b, axes), strict=True)
    if not all(enough):
        return _interpolated(a, b, axes, f"{text}: the exposure changes within bins")
    text += ": edges coincide, exact"
    if any(n_lost):
        text += f", without {sum(n_lost)} in which the exposure changes"
    return CommonBinning(*merged, text, None)


def _common_axes(a, b):
    """The common axes, and whether all edges of both coincide there."""
    different = f"got different axes, {a.shape} and {b.shape} bins, expected the same edges"
    if units := edge_units(a, b):
        raise Incomparable(different + units)
    if a.align != b.align:
        raise Incomparable(f"{different} and the same alignment, not {a.align} and {b.align}")
    parts = [_common_edges(*edges) for edges in zip(_edges(a), _edges(b), strict=True)]
    if any(coarser.size < 2 for _, coarser in parts):
        raise Incomparable(f"{different}, or at least a common range")
    n_same, n_coarser = np.array([[edges.size - 1 for edges in part] for part in parts]).T
    exact = np.all(n_same >= np.maximum(np.minimum(MIN_BINS, n_coarser), MIN_FRACTION * n_coarser))
    energy, lon, lat = (part[0 if exact else 1] for part in parts)
    return Axes(energy, lon, lat, align=a.align), exact


def _common_edges(a, b):
    """Edges that coincide, and those of the coarser axis in the range of both."""
    near = np.abs(a[:, None] - b).argmin(axis=1)
    close = SAME_EDGE * np.minimum(_narrowest(a), _narrowest(b)[near])
    inside = [
        one[(one >= other[0] - margin) & (one <= other[-1] + margin)]
        for one, other in ((a, b), (b, a))
        for margin in [SAME_EDGE * _narrowest(one)]
    ]
    return a[np.abs(a - b[near]) <= close], min(inside, key=len)


def _narrowest(edges):
    """Width of the narrower of the two bins at each edge."""
    width = np.diff(edges)
    return np.minimum(np.append(width[0], width), np.append(width, width[-1]))


def _merge(cube, axes):
    """The cube over edges that are a subset of its own.

    In a cube of counts, bins over which the exposure varies are dropped: their counts do not belong
    to a single rate and time.

    Returns
    -------
    merged : BackgroundCube
        The cube in fewer bins.
    n_lost : int
        Number of dropped bins.
    enough : bool
        Whether most counts remain.
    """
    pairs = zip(_edges(cube.axes), _edges(axes), strict=True)
    starts = [np.abs(own[:, None] - edges).argmin(axis=0) for own, edges in pairs]

    def merge(values, function=np.add):
        for axis, start in enumerate(starts):
            part = values.take(np.arange(start[0], start[-1]), axis=axis)
            values = function.reduceat(part, start[:-1] - start[0], axis=axis)
        return values

    volume, time, counted = merge(cube.axes.volume), exposure(cube), is_counted(cube)
    known = _known(cube)
    whole = used = merge(known, np.logical_and)
    if counted:
        highest, lowest = merge(time, np.maximum), merge(time, np.minimum)
        used = whole & (highest - lowest <= SAME_EXPOSURE * highest)
    arrays = changed(cube, lambda time: used * merge(time * cube.axes.volume) / volume)
    if cube.counts is not None:
        arrays["counts"] = np.where(used, merge(cube.counts), 0)
    enough = not counted or arrays["counts"].sum() >= MIN_COUNTS_FRACTION * merge(cube.counts).sum()
    rate = np.where(used, merge(np.where(known, cube.event_rate, 0.0)) / volume, np.nan)
    merged = replace(cube, axes=axes, rate=rate, **NO_ERRORS, **arrays)
    return merged, np.count_nonzero(whole & ~used), enough


def _interpolated(a, b, axes, text):
    """Both cubes over the axes, by interpolation."""
    for label, cube in (("A", a), ("B", b)):
        if negative := np.count_nonzero(cube.rate < 0):
            got = f"got different axes, and {negative} negative rates in {label}"
            raise Incomparable(f"{got}, expected the same edges, or rates of 0 or more")
    counted, (a, b) = (is_counted(a), is_counted(b)), (_interpolate(cube, axes) for cube in (a, b))
    return CommonBinning(a, b, f"{text}, an approximation", counted)


def _interpolate(cube, axes):
    """The cube over any bins in its range.

    Its counts are those expected for the rates; they are neither integers nor independent.
    """
    if cube.axes.same_as(axes):
        return cube
    known = _known(cube)
    rate = _averages(cube.axes, np.where(known, cube.rate, 0.0), axes)
    # A bin is unknown if any part of it is unknown.
    whole = _averages(cube.axes, ~known * 1.0, axes) <= SAME_EDGE
    arrays = changed(cube, lambda time: whole * _averages(cube.axes, time, axes))
    arrays["counts"] = None
    if cube.counts is not None and cube.clock in arrays:
        arrays["counts"] = whole * rate * axes.volume * arrays[cube.clock]
    return replace(cube, axes=axes, rate=np.where(whole, rate, np.nan), **NO_ERRORS, **arrays)


def _averages(own, rate, axes):
    """Averages over other bins: a power law within energy bins, and a smooth function of the field.

    Integrals up to each edge are conserved, and interpolated by a monotone cubic.
    """
    total = CubeTruth(own, rate).integrate(replace(own, energy=axes.energy))
    for axis in (1, 2):
        edges, wanted = (_even_in_solid_angle(one)[axis - 1] for one in (own, axes))
        cumulative = np.insert(np.cumsum(total, axis=axis), 0, 0.0, axis=axis)
        wanted = np.clip(wanted, edges[0], edges[-1])
        total = np.diff(PchipInterpolator(edges, cumulative, axis=axis)(wanted), axis=axis)
    # Rounding can make a difference of sums negative.
    return np.maximum(total, 0.0) / axes.volume


def _known(cube):
    """Bins in which the cube has a rate and, if it states one, an exposure."""
    time = exposure(cube)
    return np.isfinite(cube.rate) & (True if time is None else time > 0)


def _even_in_solid_angle(axes):
    return np.deg2rad(axes.fov_lon), np.sin(np.deg2rad(axes.fov_lat))


def _edges(axes):
    return axes.energy, axes.fov_lon, axes.fov_lat


def _describe(axes, a, b):
    """The common bins in words: their number, and their range if it is not that of both cubes."""
    number, in_a, in_b = (" × ".join(map(str, one.shape)) for one in (axes, a, b))
    text = f"on {number} common bins (A has {in_a}, B has {in_b})"
    spans, *own = (np.array([edges[[0, -1]] for edges in _edges(one)]) for one in (axes, a, b))
    if not np.allclose([spans, spans], own, rtol=1e-6, atol=1e-6):
        energy, lon, lat = ("{:.4g} to {:.4g}".format(*span) for span in spans)
        text += f", {energy} TeV, fov_lon {lon} deg, fov_lat {lat} deg"
    return text
