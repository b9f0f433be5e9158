"""A true background rate from a file: any background cube can be used as a truth.

The rate between the values of a cube must be assumed. The interpolation that is used here preserves
the average of every bin and has closed forms, so that integrals and events are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_model
from simbg.quantities import bare_coordinates
from simbg.truth.protocol import Truth

__all__ = ["CubeTruth"]

# A steeper slope is not a spectrum but the end of one: a threshold, or the highest energies.
INDEX_MAX = 10.0
# Events drawn at a time: their arrays stay in the cache of one core.
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class CubeTruth(Truth):
    """The rate of a background cube as a truth, per second of livetime.

    The rate is constant over the solid angle of each pixel (uniform in lon and sin lat). Within
    an energy bin it is a power law that preserves the cube's average. Its index is the logarithmic
    slope between the bins above and below; if the rate of one of these is 0, the bin itself takes
    its place, and if both are 0 the slope is 0. The slope is between −10 and 10. Outside of the
    cube's axes the rate is 0.

    The field of view is used as the camera's for any alignment of the axes, and the rate is the
    same at all zenith angles: as for all truths they are arguments, and they are ignored.

    Two instances are equal if their edges and rates are.

    Parameters
    ----------
    axes : Axes
        Axes of the cube.
    average : ndarray, shape of ``axes``
        Average rate over each bin, s-1 MeV-1 sr-1; NaN (unknown) is replaced by 0.

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

    def __post_init__(self) -> None:
        rate = np.nan_to_num(np.array(self.average, float), posinf=np.inf, neginf=-np.inf)
        if rate.shape != self.axes.shape:
            raise ValueError(f"rate: got shape {rate.shape}, expected {self.axes.shape}")
        bad = ~((rate >= 0) & (rate < np.inf))
        if bad.any():
            kind = "negative" if (rate < 0).any() else "infinite"
            got = f"rate: got {bad.sum()} {kind} values such as {rate[bad][0]}"
            raise ValueError(f"{got}, expected finite values in s-1 MeV-1 sr-1, 0 or more")
        rate += 0.0  # −0 becomes 0, so that equal rates have equal bytes
        rate.flags.writeable = False
        object.__setattr__(self, "average", rate)

    @classmethod
    def from_cube(cls, cube: BackgroundCube) -> CubeTruth:
        """The truth with the rate of a cube.

        Parameters
        ----------
        cube : BackgroundCube
            If it contains both livetime and ontime, its rate is converted to one per livetime. If
            not, its rate is used as one per livetime.

        Returns
        -------
        CubeTruth
            A truth whose average rates are those of the cube.

        Examples
        --------
        >>> from simbg.truth.gaussian import GaussianTruth
        >>> cube = GaussianTruth().cube(Axes.regular(energy=(0.1, 50, 4), fov=(3, 6)))
        >>> bool(np.all(CubeTruth.from_cube(cube).average == cube.rate))
        True
        """
        both = cube.livetime is not None and cube.ontime is not None
        return cls(cube.axes, cube.per("livetime").rate if both else cube.rate)

    @classmethod
    def read(cls, path: Path | str) -> CubeTruth:
        """The truth with the rate of a file that `simbg.io.cubes.read_model` reads.

        Examples
        --------
        >>> import tempfile
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cube.fits")
        ...     BackgroundCube(axes, np.full(axes.shape, 1e-6), clock="ontime").write(path)
        ...     CubeTruth.read(path).average.shape
        (4, 6, 6)
        """
        try:
            return cls.from_cube(read_model(path))
        except ValueError as error:
            raise ValueError(
                str(error) if str(path) in str(error) else f"{path}: {error}"
            ) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of edges and rates.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> len(CubeTruth(axes, np.full(axes.shape, 1e-6)).digest)
        64
        """
        arrays = self.axes.energy, self.axes.fov_lon, self.axes.fov_lat, self.average
        data = b"".join(array.astype("<f8").tobytes() for array in arrays)
        return sha256(repr(self.axes.shape).encode() + data).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, CubeTruth) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def rate(
        self, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike, zenith: float = 0.0
    ) -> np.ndarray:
        """Differential rate at points; see `Truth.rate`.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> CubeTruth(axes, np.full(axes.shape, 1e-6)).rate([0.5, 20.0], 0.0, 0.5)
        array([1.e-06, 0.e+00])
        """
        points = np.broadcast_arrays(*bare_coordinates(energy, fov_lon, fov_lat))
        edges = self.axes.energy, self.axes.fov_lon, self.axes.fov_lat
        # The arrays are padded with zeros, the rate outside of the axes.
        at = tuple(np.searchsorted(*pair, side="right") for pair in zip(edges, points, strict=True))
        lowest = np.pad(self.axes.energy[:-1], 1, constant_values=1.0)[at[0]]
        # ∫ r (E / E₁)^(s − 1) dE = r E₁ growth
        density = self.average * (np.diff(edges[0]) / edges[0][:-1])[:, None, None] / self._growth
        rate, slope = (np.pad(values, 1)[at] for values in (density, self._steepness - 1))
        return rate * (points[0] / lowest) ** slope

    def integrate(self, axes: Axes, zenith: float = 0.0, energy_min: float = 0.0) -> np.ndarray:
        """Expected events per second of livetime in each bin, exact; see `Truth.integrate`.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> truth = CubeTruth(axes, np.full(axes.shape, 1e-6))
        >>> truth.integrate(Axes([0.1, 1, 10], [-2, 4], [-1, 3])).ravel().round(4)
        array([0.0066, 0.0658])
        """
        events = np.zeros((axes.shape[0], *self.axes.shape[1:]))
        whole = self.average * self.axes.volume
        for k, (bottom, top) in enumerate(pairwise(self.axes.energy)):
            for i, (low, high) in enumerate(pairwise(axes.energy)):
                low, high = max(bottom, low, energy_min), min(top, high)
                if low < high:
                    s = self._steepness[k]
                    fraction = scipy.special.boxcox(high / low, s) / self._growth[k]
                    events[i] += whole[k] * fraction * (low / bottom) ** s
        lon = _overlap(self.axes.fov_lon, axes.fov_lon)
        lat = _overlap(*(np.sin(np.deg2rad(edges)) for edges in (self.axes.fov_lat, axes.fov_lat)))
        return lon.T @ events @ lat

    def draw(
        self, livetime: float, zenith: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw events, a Poisson number of them; see `Truth.draw`.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> truth = CubeTruth(axes, np.full(axes.shape, 1e-6))
        >>> energy, fov_lon, fov_lat = truth.draw(5000, 20, np.random.default_rng(0))
        >>> bool(energy.size > 0), bool(fov_lat.max() <= 3)
        (True, True)
        """
        cells, upto = self._cells
        n_events = int(rng.poisson(upto[-1] * livetime)) if cells.size else 0
        events = np.empty((3, n_events))
        for start in range(0, n_events, CHUNK):
            part = events[:, start : start + CHUNK]
            pick = np.searchsorted(upto, upto[-1] * rng.random(part.shape[1]), side="right")
            # A product that is rounded up to the total belongs to the last cell.
            self._draw_into(part, cells[np.minimum(pick, cells.size - 1)], rng)
        energy, fov_lon, fov_lat = events
        return energy, fov_lon, fov_lat

    def _draw_into(self, events, cell, rng):
        """Draw one event in each given cell: inverse of the cumulative in E, lon and sin lat."""
        k, x, y = np.unravel_index(cell, self.axes.shape)
        energy, fov_lon, fov_lat = events
        grown = rng.random(cell.size) * self._growth.ravel()[cell]
        steepness = self._steepness.ravel()[cell]
        energy[:] = self.axes.energy[k] * scipy.special.inv_boxcox(grown, steepness)
        lon, sin_lat = self.axes.fov_lon, np.sin(np.deg2rad(self.axes.fov_lat))
        fov_lon[:] = lon[x] + np.diff(lon)[x] * rng.random(cell.size)
        sine = sin_lat[y] + np.diff(sin_lat)[y] * rng.random(cell.size)
        fov_lat[:] = np.rad2deg(np.arcsin(sine))

    @cached_property
    def _cells(self):
        """Indices of bins with a rate above 0, and the cumulative event rate up to each of them."""
        cells = np.flatnonzero(self.average)
        return cells, np.cumsum((self.average * self.axes.volume).ravel()[cells])

    @cached_property
    def _steepness(self):
        """s of ∫ ∝ E^s, which is 1 plus the slope of the rate, shape of ``axes``."""
        positive = self.average > 0
        log_rate = np.log(self.average, out=np.full(self.axes.shape, np.nan), where=positive)
        log_energy = np.log(self.axes.energy_center)[:, None, None]
        here = np.stack(np.broadcast_arrays(log_energy, log_rate))
        padded = np.pad(here, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=np.nan)
        above, below = (np.where(np.isnan(x[1]), here, x) for x in (padded[:, 2:], padded[:, :-2]))
        run, rise = above - below
        slope = np.divide(rise, run, out=np.zeros(run.shape), where=positive & (run > 0))
        return 1 + np.clip(slope, -INDEX_MAX, INDEX_MAX)

    @cached_property
    def _growth(self):
        """∫ (E / E₁)^s d ln E over each energy bin, shape of ``axes``."""
        ratio = self.axes.energy[1:] / self.axes.energy[:-1]
        return scipy.special.boxcox(ratio[:, None, None], self._steepness)


def _overlap(source, target):
    """Fraction of each bin of one axis that lies in each bin of another, (n_source, n_target)."""
    low = np.maximum(source[:-1, None], target[:-1])
    high = np.minimum(source[1:, None], target[1:])
    return np.maximum(high - low, 0) / np.diff(source)[:, None]
