"""The three axes of a background cube: energy, fov_lon and fov_lat.

Arrays over them have shape ``(n_energy, n_fov_lon, n_fov_lat)``. Energies are
in TeV and angles in deg; volumes are in MeV sr, so that counts ÷ livetime ÷
volume is a rate in s-1 MeV-1 sr-1.
"""

from dataclasses import dataclass
from functools import cached_property

import boost_histogram as bh
import numpy as np

__all__ = ["MEV_PER_TEV", "Axes", "edition2015_axes"]

MEV_PER_TEV = 1e6
ENERGY_MAX_2015 = 80.0  # TeV
# Events a fill takes at a time: their logarithms stay in the cache of one core.
CHUNK = 1 << 16
# Edges this close to an even spacing (in bins) are even: arithmetic instead of a search.
EVEN = 1e-9


@dataclass(frozen=True, eq=False)
class Axes:
    """Bin edges of a background cube in one field-of-view frame.

    Parameters
    ----------
    energy : array_like, shape (n_energy + 1,)
        Edges in TeV, increasing and positive.
    fov_lon, fov_lat : array_like, shape (n_fov_lon + 1,), (n_fov_lat + 1,)
        Edges in deg, increasing. ``fov_lon`` increases with decreasing azimuth
        (ALTAZ) or right ascension (RADEC), ``fov_lat`` with altitude or declination.
    align : {"ALTAZ", "RADEC"}
        What the field of view is aligned with.

    Raises
    ------
    ValueError
        If edges are too few, not finite, not increasing, or outside the sphere.

    Examples
    --------
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
    >>> axes.shape
    (2, 3, 4)
    >>> axes.fov_lon_center
    array([-1.,  1.,  3.])
    """

    energy: np.ndarray
    fov_lon: np.ndarray
    fov_lat: np.ndarray
    align: str = "ALTAZ"

    def __post_init__(self):
        for name in ("energy", "fov_lon", "fov_lat"):
            edges = np.array(getattr(self, name), dtype=float)
            if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
                raise ValueError(f"{name} edges: got {edges}, expected 2 or more, increasing")
            edges.flags.writeable = False
            object.__setattr__(self, name, edges)
        if not (self.energy[0] > 0 and np.isfinite(self.energy[-1])):
            raise ValueError(f"energy edges: got {self.energy}, expected finite TeV above 0")
        if np.abs(self.fov_lat).max() > 90 or np.abs(self.fov_lon).max() > 180:
            raise ValueError("field-of-view edges: expected deg within ±180 (lon) and ±90 (lat)")
        if self.align not in ("ALTAZ", "RADEC"):
            raise ValueError(f"alignment: got {self.align!r}, expected 'ALTAZ' or 'RADEC'")

    @property
    def shape(self):
        """Number of bins, ``(n_energy, n_fov_lon, n_fov_lat)``."""
        return self.energy.size - 1, self.fov_lon.size - 1, self.fov_lat.size - 1

    @property
    def energy_center(self):
        """Logarithmic bin centres in TeV, shape (n_energy,)."""
        return np.sqrt(self.energy[1:] * self.energy[:-1])

    @property
    def fov_lon_center(self):
        """Bin centres in deg, shape (n_fov_lon,)."""
        return 0.5 * (self.fov_lon[1:] + self.fov_lon[:-1])

    @property
    def fov_lat_center(self):
        """Bin centres in deg, shape (n_fov_lat,)."""
        return 0.5 * (self.fov_lat[1:] + self.fov_lat[:-1])

    @property
    def offset(self):
        """Plane distance √(lon² + lat²) of pixel centres in deg, (n_fov_lon, n_fov_lat)."""
        return np.hypot(self.fov_lon_center[:, None], self.fov_lat_center)

    @cached_property
    def solid_angle(self):
        """Exact solid angle of each pixel, Δlon · Δ(sin lat), in sr, (n_fov_lon, n_fov_lat)."""
        return np.deg2rad(np.diff(self.fov_lon))[:, None] * np.diff(
            np.sin(np.deg2rad(self.fov_lat))
        )

    @property
    def flat_solid_angle(self):
        """Δlon · Δlat in sr, as the 2015 tool took it: too large by 1 / cos(lat)."""
        return np.deg2rad(np.diff(self.fov_lon))[:, None] * np.deg2rad(np.diff(self.fov_lat))

    @cached_property
    def volume(self):
        """ΔE · ΔΩ of each bin in MeV sr, full shape."""
        return MEV_PER_TEV * np.diff(self.energy)[:, None, None] * self.solid_angle

    @property
    def flat_volume(self):
        """As `volume`, with `flat_solid_angle`."""
        return MEV_PER_TEV * np.diff(self.energy)[:, None, None] * self.flat_solid_angle

    def same_as(self, other, rtol=1e-9):
        """Whether both have the same edges (to ``rtol`` of a bin) and alignment."""
        return self.align == other.align and all(
            a.size == b.size
            and np.all(np.abs(a - b)[1:] <= rtol * np.diff(a))
            and abs(a[0] - b[0]) <= rtol * (a[1] - a[0])
            for a, b in (
                (self.energy, other.energy),
                (self.fov_lon, other.fov_lon),
                (self.fov_lat, other.fov_lat),
            )
        )

    def fill(self, energy, fov_lon, fov_lat, energy_min=None):
        """Count events in bins; a bin holds its lower edge and not its upper.

        Where edges are evenly spaced (energies: in ln E) the bin is calculated and not
        searched for: what lies within 1e-9 of a bin from an inner edge may be counted on
        either side of it. The outermost edges are exact.

        Parameters
        ----------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV and deg. Events outside the axes are left out.
        energy_min : float, optional
            Events below it (TeV) are left out, too.

        Returns
        -------
        counts : ndarray of int64, full shape

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> axes.fill([0.5, 0.5, 20.0], [1.0, -1.5, 0.0], [0.5, 0.5, 0.0])[0]
        array([[0, 1],
               [0, 1]])
        """
        log_axis = _even(np.log(self.energy))
        axes = (
            log_axis or bh.axis.Variable(self.energy),
            *map(_axis, (self.fov_lon, self.fov_lat)),
        )
        histogram = bh.Histogram(*axes, storage=bh.storage.Int64())
        for start in range(0, len(energy), CHUNK):
            part = slice(start, start + CHUNK)
            values = np.asarray(energy[part], float), fov_lon[part], fov_lat[part]
            if energy_min is not None:
                keep = values[0] >= energy_min
                values = tuple(value[keep] for value in values)
            if log_axis:
                # An energy of zero or below is outside as any other.
                with np.errstate(divide="ignore", invalid="ignore"):
                    values = np.log(values[0]), *values[1:]
            histogram.fill(*(np.asarray(value, float) for value in values))
        return histogram.values().astype(np.int64)


def edition2015_axes(n_obs=100, energy_min=0.1):
    """The binning of the 2015 tool, which coarsens below 100 observations.

    20 × 60 × 60 bins over 0.1–80 TeV and ±0.07 rad; below 100 observations
    m = int(n_obs / 10) − 10 is added to the number of energy bins and 4m to
    each spatial number.

    Parameters
    ----------
    n_obs : int
        Number of observations that will be stacked.
    energy_min : float
        Lowest energy in TeV (`michi` takes the lowest threshold of the group).

    Examples
    --------
    >>> edition2015_axes().shape
    (20, 60, 60)
    >>> edition2015_axes(n_obs=40).shape
    (14, 36, 36)
    """
    if not 0 < energy_min < ENERGY_MAX_2015:
        raise ValueError(
            f"lowest energy: got {energy_min} TeV, expected more than 0 and less than "
            f"{ENERGY_MAX_2015:g}"
        )
    fewer = min(int(n_obs / 10) - 10, 0)
    edge = np.rad2deg(0.07)
    spatial = np.linspace(-edge, edge, 60 + 4 * fewer + 1)
    return Axes(np.geomspace(energy_min, ENERGY_MAX_2015, 20 + fewer + 1), spatial, spatial)


def _axis(edges):
    return _even(edges) or bh.axis.Variable(edges)


def _even(edges):
    """A regular axis where the edges are evenly spaced, else None."""
    step = (edges[-1] - edges[0]) / (edges.size - 1)
    ideal = edges[0] + step * np.arange(edges.size)
    if np.abs(edges - ideal).max() > EVEN * step:
        return None
    return bh.axis.Regular(edges.size - 1, edges[0], edges[-1])
