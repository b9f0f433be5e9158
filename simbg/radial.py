"""A radial background model: the rate over energy and the offset from the pointing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube
from simbg.quantities import convert_fields

if TYPE_CHECKING:
    from gammapy.irf import Background2D

__all__ = ["RadialModel", "averages_in_pixels", "ring_solid_angle", "rings_of"]

# Points along each side of a pixel, over which the rates of rings are averaged.
SAMPLES = 16
RATE_UNIT = "s-1 MeV-1 sr-1"
ARRAYS = "rate", "rate_error", "counts", "livetime", "ontime"


@dataclass(frozen=True, eq=False)
class RadialModel:
    """Background rate averaged over energy bins and rings about the pointing.

    Arrays have shape (n_energy, n_ring), and are given as Quantities of any unit, or as bare
    numbers in the units below. `simbg.reconstruct_radial` makes one from observations.

    Parameters
    ----------
    energy : array_like or Quantity, shape (n_energy + 1,)
        Edges, TeV.
    offset : array_like or Quantity, shape (n_ring + 1,)
        Edges of the rings: angular distance from the pointing, deg.
    rate : ndarray or Quantity
        s-1 MeV-1 sr-1, per second of ``clock``. NaN where there was no exposure.
    rate_error : ndarray or Quantity, optional
        Standard error of ``rate``, same unit.
    counts : ndarray, optional
        Events.
    livetime, ontime : ndarray or Quantity, optional
        Exposure in s, without and with dead time; reduced by the masked fraction of the ring.
    clock : {"livetime", "ontime"}
        What a second of ``rate`` is. GADF files are per ontime.
    meta : dict
        What made it: method, group, and so on; plain values.

    Raises
    ------
    ValueError
        If edges do not increase, a shape does not fit, a unit does not convert, or the clock is
        unknown.

    Examples
    --------
    >>> model = RadialModel([0.1, 1, 10], [0, 1, 2], [[3e-6, 1e-6], [3e-8, 1e-8]], clock="ontime")
    >>> model
    <RadialModel 2 energies × 2 rings up to 2 deg, per second of ontime>
    >>> model.spectrum.round(5)
    array([0.00517, 0.00052])
    """

    energy: np.ndarray = field(metadata={"unit": "TeV"})
    offset: np.ndarray = field(metadata={"unit": "deg"})
    rate: np.ndarray = field(metadata={"unit": RATE_UNIT})
    rate_error: np.ndarray | None = field(default=None, metadata={"unit": RATE_UNIT})
    counts: np.ndarray | None = field(default=None, metadata={"unit": ""})
    livetime: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    ontime: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    clock: str = "livetime"
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("energy", "offset"):  # a MapAxis of gammapy has edges
            given = getattr(self, name)
            object.__setattr__(self, name, getattr(given, "edges", given))
        convert_fields(self, "radial model: ")
        for name in ("energy", "offset"):
            edges = np.array(getattr(self, name), float)
            object.__setattr__(self, name, edges)
            good = edges.ndim == 1 and edges.size > 1 and np.all(edges[1:] > edges[:-1])
            if not good or edges[0] < 0:
                raise ValueError(
                    f"{name} edges of the radial model: got {edges.tolist()}, expected 2 or more, "
                    "increasing from 0 or more"
                )
        for name in ARRAYS:
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.array(value, float))
                if np.shape(value) != self.shape:
                    got = f"{name} of the radial model: got shape {np.shape(value)}"
                    raise ValueError(f"{got}, expected {self.shape}")
        if self.clock not in ("livetime", "ontime"):
            raise ValueError(f"clock: got {self.clock!r}, expected livetime or ontime")

    def __repr__(self) -> str:
        bins = "{} energies × {} rings".format(*self.shape)
        return f"<RadialModel {bins} up to {self.offset[-1]:g} deg, per second of {self.clock}>"

    @property
    def shape(self) -> tuple[int, int]:
        """Number of bins, (n_energy, n_ring).

        Examples
        --------
        >>> RadialModel([0.1, 1, 10], [0, 1], [[1e-6], [1e-8]]).shape
        (2, 1)
        """
        return len(self.energy) - 1, len(self.offset) - 1

    @property
    def volume(self) -> np.ndarray:
        """ΔE · ΔΩ of each bin in MeV sr, shape (n_energy, n_ring).

        Examples
        --------
        >>> RadialModel([0.1, 1, 10], [0, 1], [[1e-6], [1e-8]]).volume.round(2)
        array([[ 861.26],
               [8612.64]])
        """
        return MEV_PER_TEV * np.diff(self.energy)[:, None] * ring_solid_angle(self.offset)

    @property
    def spectrum(self) -> np.ndarray:
        """Rate integrated over the rings and each energy bin, in s-1; rings of NaN are left out.

        Examples
        --------
        >>> RadialModel([0.1, 1, 10], [0, 1], [[1e-6], [1e-8]]).spectrum.round(7)
        array([8.613e-04, 8.610e-05])
        """
        return np.nansum(self.rate * self.volume, axis=1)

    def per(self, clock: str) -> "RadialModel":
        """The same model with its rate per second of another clock.

        Parameters
        ----------
        clock : {"livetime", "ontime"}
            Time without and with dead time.

        Raises
        ------
        ValueError
            If the model has no livetime and ontime to convert with.

        Examples
        --------
        >>> full = np.ones((1, 1))
        >>> times = {"livetime": 900 * full, "ontime": 1000 * full}
        >>> RadialModel([1, 10], [0, 1], 1e-6 * full, **times).per("ontime").rate
        array([[9.e-07]])
        """
        cube = self._as_cube().per(clock)
        arrays: dict[str, Any] = {
            name: None if getattr(cube, name) is None else getattr(cube, name)[..., 0]
            for name in ARRAYS
        }
        return replace(self, clock=clock, **arrays)

    def _as_cube(self):
        """The arrays in a cube whose pixels are the rings, for what does not depend on angles."""
        axes = Axes(self.energy, self.offset, np.array([0.0, 1.0]))
        arrays: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[..., None]
            for name in ARRAYS
        }
        return BackgroundCube(axes, clock=self.clock, **arrays)

    def cube(self, axes: Axes) -> BackgroundCube:
        """The model as a cube: each pixel has the average rate of the rings that it lies in.

        Parameters
        ----------
        axes : Axes
            Its energies must be those of the model; NaN in pixels not completely within the rings.

        Raises
        ------
        ValueError
            If the energies differ.

        Examples
        --------
        >>> model = RadialModel([0.1, 1, 10], [0, 1, 2], [[3e-6, 1e-6], [3e-8, 1e-8]])
        >>> model.cube(Axes([0.1, 1, 10], [-0.5, 0.5, 3], [-0.5, 0.5])).rate[0]
        array([[3.e-06],
               [   nan]])
        """
        if len(axes.energy) != len(self.energy) or not np.allclose(axes.energy, self.energy, 1e-6):
            raise ValueError(
                f"radial model: got axes with {axes.shape[0]} energies from {axes.energy[0]:g} to "
                f"{axes.energy[-1]:g} TeV, expected those of the model ({self.shape[0]} energies "
                f"from {self.energy[0]:g} to {self.energy[-1]:g} TeV)"
            )
        rate = averages_in_pixels(axes, self.offset, np.pad(self.rate, ((0, 0), (0, 1))))
        beyond = np.append(np.zeros(self.shape[1]), 1.0)[None]
        outside = averages_in_pixels(axes, self.offset, beyond)
        return BackgroundCube(axes, np.where(outside > 0, np.nan, rate), clock=self.clock)

    @classmethod
    def read(cls, path: Path | str) -> "RadialModel":
        """Read a BKG_2D file.

        Parameters
        ----------
        path : path-like
            FITS, compressed or not.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no BKG_2D, or is damaged.

        Examples
        --------
        >>> import tempfile
        >>> model = RadialModel([0.1, 1, 10], [0, 1], [[1e-6], [1e-8]], clock="ontime")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.write(f"{folder}/radial.fits")
        ...     RadialModel.read(f"{folder}/radial.fits").rate.ravel()
        array([1.e-06, 1.e-08])
        """
        from simbg.io.bkg_2d import read_radial

        return read_radial(path)

    def write(self, path: Path | str, overwrite: bool = False) -> None:
        """Write a BKG_2D file, per observation time, as gammapy reads it; in .gz it is compressed.

        Parameters
        ----------
        path : path-like
            The file to write.
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        ValueError
            If a rate per livetime has no livetime and ontime to convert it with.

        Examples
        --------
        >>> import tempfile
        >>> model = RadialModel([0.1, 1, 10], [0, 1], [[1e-6], [1e-8]], clock="ontime")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.write(f"{folder}/radial.fits.gz")
        ...     print(*(path.name for path in Path(folder).iterdir()))
        radial.fits.gz
        """
        from simbg.io.bkg_2d import write_radial

        write_radial(path, self, overwrite)

    def to_gammapy(self) -> "Background2D":
        """The model as a `gammapy.irf.Background2D`, per observation time.

        Raises
        ------
        ImportError
            If gammapy is not installed.
        ValueError
            If a rate per livetime has no livetime and ontime to convert it with.
        """
        from simbg.io.bkg_2d import radial_to_gammapy

        return radial_to_gammapy(self)


def averages_in_pixels(axes: Axes, offset: np.ndarray, profiles: np.ndarray) -> np.ndarray:
    """Averages over pixels of profiles that are constant within rings.

    Parameters
    ----------
    axes : Axes
        The pixels; each is averaged over 16 × 16 points, evenly spread in solid angle.
    offset : ndarray, shape (n_ring + 1,)
        Edges of the rings, deg.
    profiles : ndarray, shape (n, n_ring + 1)
        Values in the rings, and a last one outside of all rings.

    Returns
    -------
    ndarray, shape (n, n_fov_lon, n_fov_lat)
        The averages.
    """
    fractions = (np.arange(SAMPLES) + 0.5) / SAMPLES
    lon, sin_lat = (
        (edges[:-1, None] + np.diff(edges)[:, None] * fractions).ravel()
        for edges in (np.deg2rad(axes.fov_lon), np.sin(np.deg2rad(axes.fov_lat)))
    )
    cosine = np.cos(lon)[:, None] * np.sqrt(1 - sin_lat**2)
    ring = np.searchsorted(offset, np.rad2deg(np.arccos(cosine)), side="right") - 1
    n_ring, (_, n_lon, n_lat) = offset.size - 1, axes.shape
    ring[(ring < 0) | (ring == n_ring)] = n_ring
    means = [
        profile[ring].reshape(n_lon, SAMPLES, n_lat, SAMPLES).mean(axis=(1, 3))
        for profile in profiles
    ]
    return np.array(means)


def ring_solid_angle(offset: ArrayLike) -> np.ndarray:
    """Solid angle of each ring, 2π Δ(cos θ), sr.

    Parameters
    ----------
    offset : array_like
        Edges, deg.

    Examples
    --------
    >>> float(ring_solid_angle([0, 180])[0]) == 4 * np.pi
    True
    """
    half = np.sin(0.5 * np.deg2rad(np.asarray(offset, float)))
    # 1 − cos θ = 2 sin²(θ/2) avoids the difference of cosines, which are close to 1.
    return 4 * np.pi * np.diff(half**2)


def rings_of(axes: Axes) -> Sequence[float]:
    """Edges of rings for the axes of a cube, deg: as wide as its pixels, up to its widest side.

    Parameters
    ----------
    axes : Axes
        Axes of a cube.

    Examples
    --------
    >>> rings_of(Axes.regular(energy=(0.1, 50, 4), fov=(3, 6)))
    [0.0, 1.0, 2.0, 3.0]
    """
    widest = max(np.abs(edges).max() for edges in axes.edges[1:])
    number = max(1, max(axes.shape[1:]) // 2)
    return np.linspace(0, widest, number + 1).tolist()
