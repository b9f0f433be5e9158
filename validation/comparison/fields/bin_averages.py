"""Averages over the bins of a cube from its values at the bin centres, and the inverse."""

import numpy as np

from simbg.axes import Axes

__all__ = ["bin_averages", "center_values"]

# Gauss–Legendre nodes in a bin, and iterations of the inversion, each of which gains one order.
NODES, ITERATIONS = 5, 6


def bin_averages(axes: Axes, values: np.ndarray, mean: str = "logarithmic") -> np.ndarray:
    """Averages over bins of a function with these values at the bin centres.

    Parameters
    ----------
    axes : Axes
        The bins.
    values : ndarray, shape of ``axes``
        Values at the centres. Bins next to one that is not positive are not changed.
    mean : {"logarithmic", "arithmetic"}
        The mean of its edges that is the centre of an energy bin.

    Returns
    -------
    averages : ndarray, shape of ``axes``
        In the unit of ``values``.

    Notes
    -----
    Along each axis ln f is the parabola through the nearest three bins: a local power law with
    curvature in energy, a local normal in angle. The three factors are multiplied, which neglects
    terms of the fourth order in the width of the bins.
    """
    return values * _factors(axes, values, mean)


def center_values(axes: Axes, averages: np.ndarray, mean: str = "logarithmic") -> np.ndarray:
    """Values at the centres of bins with these averages: the inverse of `bin_averages`.

    Parameters
    ----------
    axes, mean
        See `bin_averages`.
    averages : ndarray, shape of ``axes``
        Averages over the bins.

    Returns
    -------
    values : ndarray, shape of ``axes``
        In the unit of ``averages``.
    """
    values = averages
    for _ in range(ITERATIONS):
        values = averages / _factors(axes, values, mean)
    return values


def _factors(axes, values, mean):
    """Average over each bin divided by the value at its centre; 1 where it is not known."""
    low, high = axes.energy[:-1], axes.energy[1:]
    energy = np.sqrt(low * high) if mean == "logarithmic" else 0.5 * (low + high)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(np.where(values > 0, values, np.nan))
    dimensions = (
        (np.log(axes.energy), np.log(energy), np.exp),
        (axes.fov_lon, axes.fov_lon_center, np.ones_like),
        (axes.fov_lat, axes.fov_lat_center, lambda lat: np.cos(np.deg2rad(lat))),
    )
    factor = np.ones(axes.shape)
    # Values of a damaged file may differ by 1e300.
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, dimension in enumerate(dimensions):
            factor *= np.moveaxis(_factor(np.moveaxis(log, axis, -1), *dimension), -1, axis)
    return np.where(np.isfinite(factor) & (factor > 0), factor, 1.0)


def _factor(log, edges, center, measure):
    """The same along the last axis; ``measure`` is dE/d ln E, or the cosine of the latitude."""
    n = center.size
    if n < 3:
        return np.ones_like(log)
    node, weight = np.polynomial.legendre.leggauss(NODES)
    x = 0.5 * (edges[1:] + edges[:-1]) + 0.5 * np.diff(edges) * node[:, None]
    weight = weight[:, None] * measure(x)
    # Lagrange polynomials of bins j − 1, j and j + 1; at the ends those of the neighbouring bin.
    near = np.clip(np.arange(n), 1, n - 2) + np.array([[-1], [0], [1]])
    at, others = center[near], ((1, 2), (0, 2), (0, 1))
    basis = [np.prod([(x - at[m]) / (at[k] - at[m]) for m in others[k]], axis=0) for k in range(3)]
    parabola = np.einsum("kqn,...kn->q...n", basis, log[..., near])
    return np.einsum("qn,q...n->...n", weight / weight.sum(axis=0), np.exp(parabola - log))
