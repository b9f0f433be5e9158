"""The true cube of 2015's test fixtures, with its inconsistencies."""

import numpy as np

from simbg import portable
from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube

__all__ = ["edition2015_cube"]


def edition2015_cube(
    axes: Axes, altitude: float = 70.0, sigma: float = 5.0, index_counts: float = 2.7
) -> BackgroundCube:
    """The true cube of 2015's ``make_test_bg_cube_model``, with its inconsistencies.

    Values at bin centres are used as bin contents, the gaussian is exp(−r²/σ²), solid angles are
    those of a plane, ``index_counts`` is the index of the counts per logarithmic energy bin (the
    index of the rate is larger by 1), and the norm is arbitrary. `GaussianTruth` is consistent with
    simulated events.

    Parameters
    ----------
    axes : Axes
        Axes of the cube.
    altitude : float
        Altitude, deg; the norm depends on it.
    sigma : float
        Width σ of the gaussian at the highest energies, deg.
    index_counts : float
        2015's ``spectral_index`` Γc.

    Returns
    -------
    BackgroundCube
        Counts, a livetime of 1 s, and the rate, at least 1e-10 s-1 TeV-1 sr-1.

    Examples
    --------
    >>> from simbg.axes import edition2015_axes
    >>> cube = edition2015_cube(edition2015_axes(), altitude=81.0, index_counts=1.5)
    >>> cube.rate.shape
    (20, 60, 60)
    """
    energy = axes.energy_center[:, None, None]
    lon, lat = axes.fov_lon_center[:, None], axes.fov_lat_center
    # The file that is written must be identical on all machines: functions are correctly rounded.
    slope = float(portable.log(2) / portable.log(axes.energy[-1] / axes.energy[0]))
    width = 0.5 * sigma * portable.power(energy / axes.energy[0], slope)
    norm = 0.5 + 0.5 * altitude / 90
    image = portable.exp(-(lon**2) / width**2) * portable.exp(-(lat**2) / width**2)
    counts = norm * image * portable.power(energy, -index_counts)
    rate = np.maximum(counts / axes.flat_volume, 1e-10 / MEV_PER_TEV)
    second = np.ones(axes.shape)
    meta = {"METHOD": "edition2015"}
    return BackgroundCube(axes, rate, None, counts, second, second.copy(), meta=meta)
