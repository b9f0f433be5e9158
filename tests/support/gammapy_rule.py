"""What gammapy makes of a background: its own integrals over the bins of a cube."""

import astropy.units as u
import numpy as np


def integrals_of_gammapy(background, axes, parts=1, points=3, reverse=False):
    """Integrals over the bins of axes, s-1, with energy bins divided in parts, and points of Gauss
    and Legendre in both halves of a pixel, since the derivative has steps at its centre.

    ``reverse``: the fov_lon of the background increases as its DETX does not.
    """
    bins = np.arange(0, axes.shape[0] + 1e-9, 1 / parts)
    energy = np.exp(np.interp(bins, np.arange(axes.energy.size), np.log(axes.energy)))
    node, weight = np.polynomial.legendre.leggauss(points)
    part = np.concatenate([(node + 1) / 4, (node + 3) / 4])
    weight = np.concatenate([weight, weight]) / 4
    lon, lat = (
        (edges[:-1, None] + np.diff(edges)[:, None] * part).ravel()
        for edges in (axes.fov_lon, axes.fov_lat)
    )
    with np.errstate(over="ignore"):  # next to holes
        values = background.integrate_log_log(
            axis_name="energy",
            energy=energy[:, None, None] * u.TeV,
            fov_lon=(-lon if reverse else lon)[None, :, None] * u.deg,
            fov_lat=lat[None, None, :] * u.deg,
        )
    n_energy, n_lon, n_lat = axes.shape
    values = values.to_value("s-1 sr-1").reshape(n_energy, parts, n_lon, part.size, n_lat, -1)
    return np.einsum("epxiyj,i,j->exy", values, weight, weight) * axes.solid_angle
