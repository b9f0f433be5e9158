"""Averages over the bins of a cube from its values at their centres, and the inverse."""

import numpy as np

__all__ = ["bin_averages", "center_values"]

# Gauss–Legendre nodes a bin, and iterations of the inversion: each gains a power of the correction.
NODES, ITERATIONS = 5, 6


def bin_averages(axes, values, mean="logarithmic"):
    """Averages over bins of a function that has these values at their centres.

    Parameters
    ----------
    axes : Axes
    values : ndarray, shape of ``axes``
        Bins next to one that is not positive are left as they are.
    mean : {"logarithmic", "arithmetic"}
        Which mean of its edges is the centre of an energy bin.

    Returns
    -------
    averages : ndarray, shape of ``axes``

    Notes
    -----
    Along each axis ln f is the parabola through the nearest three bins: a local power law with
    curvature in energy, a local normal in angle. The three factors are multiplied, which leaves
    out terms of the fourth order in the width of the bins.
    """
    return values * _factors(axes, values, mean)


def center_values(axes, averages, mean="logarithmic"):
    """Values at the centres of bins that have these averages: the inverse of `bin_averages`."""
    values = averages
    for _ in range(ITERATIONS):
        values = averages / _factors(axes, values, mean)
    return values


def _factors(axes, values, mean):
    """Average over each bin ÷ value at its centre, 1 where that is not known."""
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
    for axis, dimension in enumerate(dimensions):
        factor *= np.moveaxis(_factor(np.moveaxis(log, axis, -1), *dimension), -1, axis)
    return np.where(np.isfinite(factor), factor, 1.0)


def _factor(log, edges, center, measure):
    """As `_factors`, along the last axis; ``measure`` is dE/d ln E, or that of the latitude."""
    n = center.size
    if n < 3:
        return np.ones_like(log)
    node, weight = np.polynomial.legendre.leggauss(NODES)
    x = 0.5 * (edges[1:] + edges[:-1]) + 0.5 * np.diff(edges) * node[:, None]
    weight = weight[:, None] * measure(x)
    # Lagrange's polynomials of bins j − 1, j and j + 1; at the ends those of the next bin.
    near = np.clip(np.arange(n), 1, n - 2) + np.array([[-1], [0], [1]])
    at, others = center[near], ((1, 2), (0, 2), (0, 1))
    basis = [np.prod([(x - at[m]) / (at[k] - at[m]) for m in others[k]], axis=0) for k in range(3)]
    parabola = np.einsum("kqn,...kn->q...n", basis, log[..., near])
    return np.einsum("qn,q...n->...n", weight / weight.sum(axis=0), np.exp(parabola - log))
