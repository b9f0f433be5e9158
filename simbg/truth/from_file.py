"""A true background rate from a file: any background cube, as it stands, becomes a truth.

Between the values of a cube something must be assumed. What is chosen here keeps
every bin's average and has closed forms, so that integrals and events are exact.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise

import numpy as np
from scipy.special import boxcox, inv_boxcox

from simbg.axes import Axes
from simbg.io.cubes import read_model
from simbg.truth.protocol import Truth

__all__ = ["CubeTruth"]

# Steeper is no spectrum but the edge of one: a threshold, or the last events.
INDEX_MAX = 10.0
# Events drawn at a time: their arrays stay in the cache of one core.
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class CubeTruth(Truth):
    """The rate of a background cube, per second of livetime.

    It is constant over each pixel (per solid angle: uniform in lon and sin lat). Within an
    energy bin it is a power law with the file's average. Its index is the logarithmic slope
    between the bins above and below (or the bin itself, where one is dark), at most 10
    either way, and 0 where both are dark. Outside of the cube's axes there is nothing.

    The field of view is taken for the camera's whatever it is aligned with, and for one and
    the same at all zenith angles: they are accepted, as of any truth, and ignored.

    Two are equal if their edges and rates are.

    Parameters
    ----------
    axes : Axes
    average : ndarray, shape of ``axes``
        s-1 MeV-1 sr-1, the average over each bin; NaN, nothing known, is 0.

    Raises
    ------
    ValueError
        If the shape does not fit or a rate is negative or infinite.

    Examples
    --------
    >>> from simbg.axes import edition2015_axes
    >>> from simbg.truth.gaussian import GaussianTruth
    >>> cube = GaussianTruth().cube(edition2015_axes())
    >>> truth = CubeTruth.from_cube(cube)
    >>> bool(np.allclose(truth.integrate(cube.axes), cube.event_rate))
    True
    """

    axes: Axes
    average: np.ndarray

    def __post_init__(self):
        rate = np.nan_to_num(np.array(self.average, float), posinf=np.inf, neginf=-np.inf)
        if rate.shape != self.axes.shape:
            raise ValueError(f"rate: got shape {rate.shape}, expected {self.axes.shape}")
        bad = ~((rate >= 0) & (rate < np.inf))
        if bad.any():
            got = f"rate: got {bad.sum()} values as {rate[bad][0]}"
            raise ValueError(f"{got}, expected finite s-1 MeV-1 sr-1, none negative")
        rate += 0.0  # no −0, which has other bytes
        rate.flags.writeable = False
        object.__setattr__(self, "average", rate)

    @classmethod
    def from_cube(cls, cube):
        """The truth that a cube would be.

        A rate per ontime of a cube that does not know both its times is taken for one per
        livetime.

        Parameters
        ----------
        cube : BackgroundCube
        """
        both = cube.livetime is not None and cube.ontime is not None
        return cls(cube.axes, cube.per("livetime").rate if both else cube.rate)

    @classmethod
    def read(cls, path):
        """From a file that `simbg.io.cubes.read_model` reads. See `from_cube`."""
        return cls.from_cube(read_model(path))

    @cached_property
    def digest(self):
        """SHA-256 of edges and rates."""
        arrays = self.axes.energy, self.axes.fov_lon, self.axes.fov_lat, self.average
        data = b"".join(array.astype("<f8").tobytes() for array in arrays)
        return sha256(repr(self.axes.shape).encode() + data).hexdigest()

    def __eq__(self, other):
        return self.digest == other.digest if isinstance(other, CubeTruth) else NotImplemented

    def __hash__(self):
        return hash(self.digest)

    def rate(self, energy, fov_lon, fov_lat, zenith=0.0):
        """Differential rate at points; see `Truth.rate`."""
        points = np.broadcast_arrays(energy, fov_lon, fov_lat)
        edges = self.axes.energy, self.axes.fov_lon, self.axes.fov_lat
        # A border of zeros stands for what lies outside.
        at = tuple(np.searchsorted(*pair, side="right") for pair in zip(edges, points, strict=True))
        lowest = np.pad(self.axes.energy[:-1], 1, constant_values=1.0)[at[0]]
        # ∫ r (E / E₁)^(s − 1) dE = r E₁ growth
        density = self.average * (np.diff(edges[0]) / edges[0][:-1])[:, None, None] / self._growth
        rate, slope = (np.pad(values, 1)[at] for values in (density, self._steepness - 1))
        return rate * (points[0] / lowest) ** slope

    def integrate(self, axes, zenith=0.0, energy_min=0.0):
        """Events per second of livetime in each bin, exact; see `Truth.integrate`."""
        events = np.zeros((axes.shape[0], *self.axes.shape[1:]))
        whole = self.average * self.axes.volume
        for k, (bottom, top) in enumerate(pairwise(self.axes.energy)):
            for i, (low, high) in enumerate(pairwise(axes.energy)):
                low, high = max(bottom, low, energy_min), min(top, high)
                if low < high:
                    s = self._steepness[k]
                    share = boxcox(high / low, s) / self._growth[k]
                    events[i] += whole[k] * share * (low / bottom) ** s
        lon = _overlap(self.axes.fov_lon, axes.fov_lon)
        lat = _overlap(*(np.sin(np.deg2rad(edges)) for edges in (self.axes.fov_lat, axes.fov_lat)))
        return lon.T @ events @ lat

    def draw(self, livetime, zenith, rng):
        """A Poisson number of events; see `Truth.draw`."""
        lit, upto = self._cells
        n_events = int(rng.poisson(upto[-1] * livetime)) if lit.size else 0
        events = np.empty((3, n_events))
        for start in range(0, n_events, CHUNK):
            part = events[:, start : start + CHUNK]
            pick = np.searchsorted(upto, upto[-1] * rng.random(part.shape[1]), side="right")
            # A product that is rounded up to the whole belongs to the last.
            self._draw_into(part, lit[np.minimum(pick, lit.size - 1)], rng)
        return tuple(events)

    def _draw_into(self, events, cell, rng):
        """The inverse of the cumulative in E, lon and sin lat, in a cell for each event."""
        k, x, y = np.unravel_index(cell, self.axes.shape)
        energy, fov_lon, fov_lat = events
        grown = rng.random(cell.size) * self._growth.ravel()[cell]
        energy[:] = self.axes.energy[k] * inv_boxcox(grown, self._steepness.ravel()[cell])
        lon, sin_lat = self.axes.fov_lon, np.sin(np.deg2rad(self.axes.fov_lat))
        fov_lon[:] = lon[x] + np.diff(lon)[x] * rng.random(cell.size)
        sine = sin_lat[y] + np.diff(sin_lat)[y] * rng.random(cell.size)
        fov_lat[:] = np.rad2deg(np.arcsin(sine))

    @cached_property
    def _cells(self):
        """Bins in which anything is, and the events per second up to and with each of them."""
        lit = np.flatnonzero(self.average)
        return lit, np.cumsum((self.average * self.axes.volume).ravel()[lit])

    @cached_property
    def _steepness(self):
        """s of ∫ ∝ E^s: one more than the slope of the rate, full shape."""
        lit = (self.average > 0)[None]
        log_rate = np.log(self.average, out=np.full(self.axes.shape, np.nan), where=lit[0])
        log_energy = np.log(self.axes.energy_center)[:, None, None]
        here = np.stack(np.broadcast_arrays(log_energy, log_rate))
        beside = np.pad(here, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=np.nan)
        above, below = (np.where(np.isnan(x[1]), here, x) for x in (beside[:, 2:], beside[:, :-2]))
        run, rise = above - below
        slope = np.divide(rise, run, out=np.zeros(run.shape), where=lit[0] & (run > 0))
        return 1 + np.clip(slope, -INDEX_MAX, INDEX_MAX)

    @cached_property
    def _growth(self):
        """∫ (E / E₁)^s d ln E over each energy bin, full shape."""
        ratio = self.axes.energy[1:] / self.axes.energy[:-1]
        return boxcox(ratio[:, None, None], self._steepness)


def _overlap(source, target):
    """Share of each bin of one axis in each of another, (n_source, n_target)."""
    low = np.maximum(source[:-1, None], target[:-1])
    high = np.minimum(source[1:, None], target[1:])
    return np.maximum(high - low, 0) / np.diff(source)[:, None]
