"""gammapy's rule for predicted counts of a background model: interpolation, then integration."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate

from simbg.axes import MEV_PER_TEV, Axes

__all__ = ["fill_missing", "integrated_rate", "interpolated_rate"]


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
    low, high, first = edges[:-1], edges[1:], values[:-1]
    tiny = np.finfo(float).tiny
    with np.errstate(all="ignore"):
        slope = np.log(np.clip(first / values[1:], tiny, np.inf)) / np.log(low / high)
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
    filled = rate.copy()
    bins = np.arange(len(rate))
    missing = ~np.isfinite(rate) | (rate == 0)
    for i, j in np.argwhere(missing.any(axis=0) & ~missing.all(axis=0)):
        there = bins[~missing[:, i, j]]
        between = bins[missing[:, i, j] & (bins > there[0]) & (bins < there[-1])]
        logs = np.log(rate[there, i, j])
        filled[between, i, j] = np.exp(np.interp(between, there, logs))
    return filled
