"""A true rate averaged over rings about the pointing: what a BKG_2D holds."""

import numpy as np

from simbg.truth.quadrature import PANEL, energy_nodes, panel_nodes

__all__ = ["ring_average", "ring_solid_angle"]

# Gauss–Legendre in the offset, and even steps round the ring; twice as many change 1e-14 or less.
N_OFFSET, N_TURN = 24, 64


def ring_average(truth, energy, offset, zenith=0.0):
    """Rate averaged over energy bins and rings.

    The integral over each bin is one over ln E, the offset θ and the angle round the
    pointing, dΩ = sin θ dθ dφ, by quadrature; it is exact to 1e-12 for a rate without edges and
    with a width of 0.5 deg or more.

    Parameters
    ----------
    truth : Truth
    energy : array_like, shape (n_energy + 1,)
        Edges in TeV.
    offset : array_like, shape (n_ring + 1,)
        Edges in deg, of the angular distance from the pointing.
    zenith : float
        deg

    Returns
    -------
    rate : ndarray, shape (n_energy, n_ring)
        s-1 MeV-1 sr-1, per second of livetime.

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
    for k, (at, share) in enumerate(zip(nodes, weight * nodes, strict=True)):
        seen = truth.rate(at[:, None, None, None], lon, lat, zenith).mean(axis=-1)
        rate[k] = (share[:, None] * (seen * inner).sum(axis=-1)).sum(axis=0)
    return 2 * np.pi * rate / (np.diff(energy)[:, None] * ring_solid_angle(offset))


def ring_solid_angle(offset):
    """Solid angle of each ring in sr, 2π Δ(cos θ); edges in deg.

    Examples
    --------
    >>> float(ring_solid_angle([0, 180])[0]) == 4 * np.pi
    True
    """
    half = np.sin(0.5 * np.deg2rad(np.asarray(offset, float)))
    # Not the difference of cosines, which are all about 1.
    return 4 * np.pi * np.diff(half**2)
