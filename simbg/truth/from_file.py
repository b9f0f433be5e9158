"""A true background rate from a file: any background cube, as it stands, becomes a truth.

Between the values of a cube something must be assumed. What is chosen here keeps
every bin's average and has closed forms, so that integrals and events are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise

import numpy as np

from simbg.axes import Axes
from simbg.io.cubes import read_model
from simbg.truth.gaussian import GaussianTruth

__all__ = ["CubeTruth"]

# Steeper is no spectrum but the edge of one: a threshold, or the last events.
INDEX_MAX = 10.0
# Events drawn at a time: their arrays stay in the cache of one core.
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class CubeTruth:
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
            raise ValueError(
                f"rate: got {bad.sum()} values as {rate[bad][0]}, "
                "expected finite s-1 MeV-1 sr-1, none negative"
            )
        rate += 0.0  # no −0, which has other bytes
        rate.flags.writeable = False
        object.__setattr__(self, "average", rate)

    @classmethod
    def from_cube(cls, cube, deadc=1.0):
        """The truth that a cube would be.

        Parameters
        ----------
        cube : BackgroundCube
        deadc : float
            Livetime ÷ ontime, for a cube per ontime that does not know both itself.
        """
        if not 0 < deadc <= 1:
            raise ValueError(f"deadc: got {deadc}, expected more than 0 and at most 1")
        if cube.clock == "ontime" and (cube.livetime is None or cube.ontime is None):
            return cls(cube.axes, cube.rate / deadc)
        return cls(cube.axes, cube.per("livetime").rate)

    @classmethod
    def read(cls, path, deadc=1.0):
        """From a file that `simbg.io.cubes.read_model` reads. See `from_cube`."""
        return cls.from_cube(read_model(path), deadc)

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
        """Differential rate in s-1 MeV-1 sr-1 at points (TeV, deg), broadcast together."""
        points = np.broadcast_arrays(energy, fov_lon, fov_lat)
        edges = self.axes.energy, self.axes.fov_lon, self.axes.fov_lat
        number = [
            np.searchsorted(e, x, side="right") - 1 for e, x in zip(edges, points, strict=True)
        ]
        inside = np.all(
            [(i >= 0) & (i < n) for i, n in zip(number, self.axes.shape, strict=True)], 0
        )
        k, x, y = (np.where(inside, i, 0) for i in number)
        lowest = self.axes.energy[k]
        ratio = np.where(inside, points[0], lowest) / lowest
        # ∫ r (E / E₁)^(s − 1) dE = r E₁ growth
        at_edge = self.average * np.diff(self.axes.energy)[:, None, None]
        at_edge = (at_edge / self._growth)[k, x, y] / lowest
        return inside * at_edge * ratio ** (self._steepness[k, x, y] - 1)

    def integrate(self, axes, zenith=0.0, energy_min=0.0):
        """Events per second of livetime in each bin, exact: s-1, shape of ``axes``.

        Of a bin that holds ``energy_min`` (TeV) only what lies above is counted.
        """
        events = np.zeros((axes.shape[0], *self.axes.shape[1:]))
        whole = self.average * self.axes.volume
        for k, (bottom, top) in enumerate(pairwise(self.axes.energy)):
            for i, (low, high) in enumerate(pairwise(axes.energy)):
                low, high = max(bottom, low, energy_min), min(top, high)
                if low < high:
                    s = self._steepness[k]
                    share = _growth(s, np.log(high / low)) / self._growth[k]
                    events[i] += whole[k] * share * (low / bottom) ** s
        lon = _overlap(self.axes.fov_lon, axes.fov_lon)
        lat = _overlap(*(np.sin(np.deg2rad(edges)) for edges in (self.axes.fov_lat, axes.fov_lat)))
        return lon.T @ events @ lat

    # The cube needs nothing but `integrate`.
    cube = GaussianTruth.cube

    def draw(self, livetime, zenith, rng):
        """Draw a Poisson number of events.

        Parameters
        ----------
        livetime : float
            s
        zenith : float
            Of no effect.
        rng : numpy.random.Generator

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV, deg, deg; unbinned and exact, in random order.
        """
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
        log_ratio = _inverse_growth(self._steepness.ravel()[cell], grown)
        energy[:] = self.axes.energy[k] * np.exp(log_ratio)
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
        lit, n_energy = self.average > 0, self.axes.shape[0]
        log_rate = np.log(self.average, out=np.zeros(lit.shape), where=lit)
        log_energy = np.log(self.axes.energy_center)
        here = np.broadcast_to(np.arange(n_energy)[:, None, None], lit.shape)
        dark = np.zeros_like(lit[:1])
        below = here - np.concatenate([dark, lit[:-1]])
        above = here + np.concatenate([lit[1:], dark])
        rise, run = (
            np.take_along_axis(values, above, 0) - np.take_along_axis(values, below, 0)
            for values in (log_rate, np.broadcast_to(log_energy[:, None, None], lit.shape))
        )
        slope = np.divide(rise, run, out=np.zeros(lit.shape), where=lit & (run > 0))
        return 1 + np.clip(slope, -INDEX_MAX, INDEX_MAX)

    @cached_property
    def _growth(self):
        """∫ (E / E₁)^s d ln E over each energy bin, full shape."""
        log_width = np.diff(np.log(self.axes.energy))[:, None, None]
        return _growth(self._steepness, log_width)


def _growth(s, x):
    """∫ exp(s t) dt from 0 to x."""
    some = np.where(s == 0, 1.0, s)
    return np.where(s == 0, x, np.expm1(some * x) / some)


def _inverse_growth(s, grown):
    some = np.where(s == 0, 1.0, s)
    return np.where(s == 0, grown, np.log1p(some * grown) / some)


def _overlap(source, target):
    """Share of each bin of one axis in each of another, (n_source, n_target)."""
    low = np.maximum(source[:-1, None], target[:-1])
    high = np.minimum(source[1:, None], target[1:])
    return np.maximum(high - low, 0) / np.diff(source)[:, None]
