"""A true rate averaged over rings about the pointing, as it is stored in a BKG_2D."""

import numpy as np
from numpy.typing import ArrayLike

from simbg.radial import ring_solid_angle
from simbg.truth.protocol import Truth
from simbg.truth.quadrature import PANEL, energy_nodes, panel_nodes

__all__ = ["ring_average", "ring_solid_angle"]

# Gauss–Legendre nodes in the offset, and equal steps in azimuth; with twice as many the result
# changes by 1e-14 or less.
N_OFFSET, N_TURN = 24, 64


def ring_average(
    truth: Truth, energy: ArrayLike, offset: ArrayLike, zenith: float = 0.0
) -> np.ndarray:
    """Rate averaged over energy bins and rings.

    Parameters
    ----------
    truth : Truth
        The true rate.
    energy : array_like, shape (n_energy + 1,)
        Edges in energy, TeV.
    offset : array_like, shape (n_ring + 1,)
        Edges in offset, the angular distance from the pointing, deg.
    zenith : float
        Zenith angle, deg.

    Returns
    -------
    ndarray, shape (n_energy, n_ring)
        Rate, s-1 MeV-1 sr-1, per second of livetime.

    Notes
    -----
    The integral over each bin is one over ln E, the offset θ and the angle φ about the
    pointing, dΩ = sin θ dθ dφ, by quadrature. Its error is 1e-12 or less for a rate without
    discontinuities and with a width of 0.5 deg or more.

    Examples
    --------
    >>> from simbg.truth.gaussian import GaussianTruth
    >>> rate = ring_average(GaussianTruth(), [0.1, 1, 10], [0, 1, 2, 3])
    >>> rate.shape
    (2, 3)
    """
    energy, offset = np.asarray(energy, float), np.asarray(offset, float)
    nodes, weight = energy_nodes(np.log(energy[:-1]), np.log(energy[1:]), 1 / PANEL)
    edges = np.deg2rad(offset)
    theta, inner = panel_nodes(edges[:-1], np.diff(edges), N_OFFSET)
    inner = inner * np.sin(theta)
    turn = 2 * np.pi * (np.arange(N_TURN) + 0.5) / N_TURN
    sine = np.sin(theta)[..., None]
    lat = np.rad2deg(np.arcsin(sine * np.sin(turn)))
    lon = np.rad2deg(np.arctan2(sine * np.cos(turn), np.cos(theta)[..., None]))
    rate = np.empty((energy.size - 1, offset.size - 1))
    for k, (at, weights) in enumerate(zip(nodes, weight * nodes, strict=True)):
        mean = truth.rate(at[:, None, None, None], lon, lat, zenith).mean(axis=-1)
        rate[k] = (weights[:, None] * (mean * inner).sum(axis=-1)).sum(axis=0)
    return 2 * np.pi * rate / (np.diff(energy)[:, None] * ring_solid_angle(offset))
