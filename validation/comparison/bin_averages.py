"""Averages over the bins of a cube from its values at their centres, and the inverse."""

from __future__ import annotations

import numpy as np

__all__ = ["bin_averages", "center_values"]

# Gauss–Legendre nodes a bin, and iterations of the inversion: each gains a power of the correction.
NODES, ITERATIONS = 5, 6


def bin_averages(axes, values, mean="logarithmic"):
    """Averages over bins of what has these values at their centres.

    Along each axis ln f is the parabola through the nearest three bins: a local power law with
    curvature in energy, a local normal in angle. The three factors are multiplied, which leaves
    out terms of the fourth order in the width of the bins.

    Parameters
    ----------
    axes : Axes
    values : ndarray, shape of ``axes``
        Bins next to one that is not positive are left as they are.
    mean : {"logarithmic", "arithmetic"}
        Which mean of its edges is the centre of an energy bin.
    """
    return values * _factors(axes, values, mean)


def center_values(axes, average, mean="logarithmic"):
    """Values at the centres of bins that have these averages: the inverse of
    `bin_averages`."""
    values = average
    for _ in range(ITERATIONS):
        values = average / _factors(axes, values, mean)
    return values


def _factors(axes, values, mean):
    """Average over each bin ÷ value at its centre, 1 where that is not known."""
    low, high = axes.energy[:-1], axes.energy[1:]
    energy = np.sqrt(low * high) if mean == "logarithmic" else 0.5 * (low + high)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(np.where(values > 0, values, np.nan))
    rooms = (
        (np.log(axes.energy), np.log(energy), np.exp),
        (axes.fov_lon, axes.fov_lon_center, np.ones_like),
        (axes.fov_lat, axes.fov_lat_center, lambda lat: np.cos(np.deg2rad(lat))),
    )
    factor = np.ones(axes.shape)
    for axis, room in enumerate(rooms):
        factor *= np.moveaxis(_factor(np.moveaxis(log, axis, 0), *room), 0, axis)
    return np.where(np.isfinite(factor), factor, 1.0)


def _factor(log, edges, center, measure):
    """As `_factors`, along the first axis; ``measure`` is dE/d ln E, or that of the latitude."""
    n = center.size
    if n < 3:
        return np.ones_like(log)
    node, weight = np.polynomial.legendre.leggauss(NODES)
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    places = middle + half * node[:, None]
    weight = weight[:, None] * measure(places)
    weight = weight / weight.sum(axis=0)
    # Newton's form of the parabola through bins j − 1, j and j + 1; at the ends that of the next.
    j = np.clip(np.arange(n), 1, n - 2)
    shape = (-1, *[1] * (log.ndim - 1))
    slope = np.diff(log, axis=0) / np.diff(center).reshape(shape)
    bend = (slope[j] - slope[j - 1]) / (center[j + 1] - center[j - 1]).reshape(shape)

    def parabola(x):
        from_first, from_second = (x - center[k] for k in (j - 1, j))
        return slope[j - 1] * from_first.reshape(shape) + bend * (from_first * from_second).reshape(
            shape
        )

    here = parabola(center)
    return sum(
        w.reshape(shape) * np.exp(parabola(x) - here) for x, w in zip(places, weight, strict=True)
    )
