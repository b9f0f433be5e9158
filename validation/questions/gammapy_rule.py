"""gammapy's rule for predicted counts of a background model: interpolation, then integration."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate

from simbg.axes import MEV_PER_TEV, Axes

__all__ = ["fill_missing", "integrated_rate", "interpolated_rate", "rate_response"]

# Step of the numerical derivative of the integral of a power law. Its relative error is about
# STEP² (ln E₁/E₀)²/24 and 1e-16/STEP.
STEP = 1e-5


def interpolated_rate(
    rate: np.ndarray, axes: Axes, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike
) -> np.ndarray:
    """Interpolate the rate, as `gammapy.irf.Background3D.evaluate` does.

    Parameters
    ----------
    rate : ndarray, shape of the axes
        Rate in s-1 MeV-1 sr-1, with the floating-point type of the file: the smallest number of
        this type stands for 0.
    axes : Axes
        Axes of the rate.
    energy, fov_lon, fov_lat : array_like
        Positions, TeV and deg; NumPy broadcasts them to a common shape.

    Returns
    -------
    rate : ndarray, common shape of the positions
        Interpolated rate, s-1 MeV-1 sr-1.

    Notes
    -----
    The logarithm of the rate is interpolated linearly in (ln E, fov_lon, fov_lat) between the
    centres of bins, and extrapolated from there to the edges; outside the edges the rate is 0. A
    rate of 0 is replaced by the smallest positive number of its type, so that the
    interpolated rate decreases by many orders of magnitude towards an empty bin, and the
    extrapolated rate increases by as many. Positions on the outer edges are inside of the cube; in
    gammapy this depends on the rounding of the edges.
    Checked with gammapy 2.1 (`ScaledRegularGridInterpolator`, ``values_scale="log"``).
    """
    tiny = np.finfo(rate.dtype).tiny
    points = np.log(axes.energy_center), axes.fov_lon_center, axes.fov_lat_center
    wide = [k for k, p in enumerate(points) if p.size > 1]
    places = np.broadcast_arrays(np.log(energy), np.asarray(fov_lon), np.asarray(fov_lat))
    coordinates = np.stack([places[k].ravel() for k in wide], axis=-1)
    logs = interpolate.RegularGridInterpolator(
        tuple(points[k] for k in wide),
        np.squeeze(np.log(np.clip(rate, tiny, np.inf))),
        bounds_error=False,
        fill_value=None,
    )(coordinates).reshape(places[0].shape)
    with np.errstate(over="ignore"):
        values = np.exp(logs)
    smallest = np.finfo(values.dtype).tiny
    inside = np.isfinite(values) & (np.abs(values) - smallest > smallest)
    for place, edges in zip(np.broadcast_arrays(energy, fov_lon, fov_lat), axes.edges, strict=True):
        inside &= (place >= edges[0]) & (place <= edges[-1])
    return np.where(inside, values, 0.0)


def integrated_rate(
    rate: np.ndarray, axes: Axes, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike
) -> np.ndarray:
    """Integrate the rate over energy, as `gammapy.makers.utils.make_map_background_irf` does.

    Parameters
    ----------
    rate : ndarray, shape of the axes
        Rate in s-1 MeV-1 sr-1.
    axes : Axes
        Axes of the rate.
    energy : array_like, shape (n + 1,)
        Edges of the energy axis of the map, TeV.
    fov_lon, fov_lat : array_like
        Centres of the pixels of the map, deg; NumPy broadcasts them to a common shape.

    Returns
    -------
    rate : ndarray, shape (n, *pixels)
        Integrated rate, s-1 sr-1.

    Notes
    -----
    The rates at the two edges, v₀ and v₁, define a power law of index
    Γ = −ln(v₁/v₀)/ln(E₁/E₀), and its integral is E₀ v₀ ((E₁/E₀)^(1−Γ) − 1)/(1 − Γ). The rate
    between the edges is not evaluated.
    """
    energy = np.asarray(energy, float)
    fov_lon, fov_lat = np.broadcast_arrays(fov_lon, fov_lat)
    edges = energy.reshape(-1, *[1] * fov_lon.ndim)
    values = interpolated_rate(rate, axes, edges, fov_lon, fov_lat)
    return _power_law(edges, values[:-1], values[1:])


def rate_response(
    rate: np.ndarray, axes: Axes, map_axes: Axes, cells: np.ndarray
) -> Iterator[np.ndarray]:
    """Derivative of the integrated rate of cells of pixels with respect to ln rate of each bin.

    Parameters
    ----------
    rate : ndarray, shape of the axes
        Rate in s-1 MeV-1 sr-1, above 0.
    axes : Axes
        Axes of the rate.
    map_axes : Axes
        Energy bins and pixels of the map.
    cells : ndarray, shape (n_cells, n_fov_lon, n_fov_lat)
        Weight of each pixel in each cell, for example its solid angle.

    Yields
    ------
    response : ndarray, shape (n_cells, *axes.shape)
        For each energy bin of the map. For positive rates the sum over bins is the integrated rate
        of the cell, since a common factor of all bins is a factor of the result.

    Notes
    -----
    The logarithm of an interpolated rate is a sum of logarithms, with one weight for each bin. The
    derivative of the integral with respect to the logarithms of the rates at its two edges is
    computed numerically.
    """
    lon, lat = map_axes.fov_lon_center, map_axes.fov_lat_center
    edges = map_axes.energy.reshape(-1, 1, 1)
    values = interpolated_rate(rate, axes, edges, lon[:, None], lat)
    along = [
        _weights(points, places)
        for points, places in (
            (np.log(axes.energy_center), np.log(map_axes.energy)),
            (axes.fov_lon_center, lon),
            (axes.fov_lat_center, lat),
        )
    ]
    for e, (low, high) in enumerate(pairwise(edges)):
        response = np.zeros((len(cells), *axes.shape))
        for k in (0, 1):
            up, down = (
                _power_law(
                    np.stack([low, high]), *(values[e + j] * (1 + s * (j == k)) for j in (0, 1))
                )[0]
                for s in (STEP, -STEP)
            )
            slope = (up - down) / (2 * STEP) * cells
            fields = along[1].T @ slope @ along[2]
            response = response + along[0][e + k][:, None, None] * fields[:, None]
        yield response


def _weights(points, places):
    """Weights of linear interpolation and extrapolation, shape (n_places, n_points)."""
    weights = np.zeros((len(places), len(points)))
    if len(points) == 1:
        return weights + 1
    left = np.clip(np.searchsorted(points, places, "right") - 1, 0, len(points) - 2)
    fraction = (places - points[left]) / (points[left + 1] - points[left])
    rows = np.arange(len(places))
    weights[rows, left], weights[rows, left + 1] = 1 - fraction, fraction
    return weights


def _power_law(edges, first, last):
    """Integral of power laws between neighbouring edges, s-1 sr-1."""
    low, high = edges[:-1], edges[1:]
    tiny = np.finfo(float).tiny
    with np.errstate(all="ignore"):
        slope = np.log(np.clip(first / last, tiny, np.inf)) / np.log(low / high)
        power = 1 + np.where(np.isnan(slope), -np.inf, slope)
        integral = first * low / power * ((high / low) ** power - 1)
        flat = first * low * np.log(high / low)
    return MEV_PER_TEV * np.where(np.isclose(power, 0), flat, integral)


def fill_missing(rate: np.ndarray) -> np.ndarray:
    """Interpolate rates of 0 along the energy, as gammapy's `MapDatasetMaker` does by default.

    Parameters
    ----------
    rate : ndarray, shape (n_energy, n_fov_lon, n_fov_lat)
        Rate; a value that is 0 or not finite is missing.

    Returns
    -------
    rate : ndarray
        Rate in which ln rate has been interpolated linearly in the index of the energy bin. Missing
        values below the first or above the last bin with a rate are not changed.
    """
    bins = np.arange(len(rate)).reshape(-1, 1, 1)
    missing = ~np.isfinite(rate) | (rate == 0)
    below = np.maximum.accumulate(np.where(missing, -1, bins))
    above = np.minimum.accumulate(np.where(missing, len(rate), bins)[::-1])[::-1]
    between = missing & (below >= 0) & (above < len(rate))
    e, i, j = np.nonzero(between)
    low, high = below[between], above[between]
    first, last = np.log(rate[low, i, j]), np.log(rate[high, i, j])
    filled = rate.copy()
    filled[between] = np.exp(first + (last - first) * ((e - low) / (high - low)))
    return filled
