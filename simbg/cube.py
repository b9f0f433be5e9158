"""A background cube: the rate over energy, fov_lon and fov_lat, and what it was made from."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.axes import Axes, check_axes
from simbg.covariance import RateCovariance
from simbg.quantities import convert_fields

if TYPE_CHECKING:
    from gammapy.irf import Background2D, Background3D
    from matplotlib.figure import Figure

    from simbg.observations.stacked_counts import EventRecord

__all__ = ["ARRAYS", "BackgroundCube"]

ARRAYS = "rate", "rate_error", "counts", "livetime", "ontime", "extrapolated"
CLOCKS = ("livetime", "ontime")
RATE_UNIT = "s-1 MeV-1 sr-1"


@dataclass(frozen=True, eq=False)
class BackgroundCube:
    """Background rate averaged over each bin.

    Every array has the shape of ``axes``: (n_energy, n_fov_lon, n_fov_lat). Arrays are given as
    Quantities of any unit, or as bare numbers in the unit below; in a cube they are bare numbers.
    ``cube.to_gammapy().quantity`` is the rate as a Quantity, per second of ontime. ``cube[2:5]`` is
    the cube of three energy bins. Arrays are not copied: treat them as read-only, and use
    `dataclasses.replace` for a cube with other arrays.

    Parameters
    ----------
    axes : Axes
        The edges of the bins.
    rate : ndarray or Quantity
        s-1 MeV-1 sr-1, per second of ``clock``. NaN where there was no exposure.
    rate_error : ndarray or Quantity, optional
        Standard error of ``rate``, same unit.
    counts : ndarray, optional
        Events in each bin (expected ones for a truth).
    livetime, ontime : ndarray or Quantity, optional
        Exposure of each bin in s, without and with dead time.
    clock : {"livetime", "ontime"}
        What a second of ``rate`` is. GADF files are per ontime, 2015's per livetime.
    meta : dict
        What made it: method, group, and so on; plain values.
    extrapolated : ndarray of bool, optional
        True in bins without exposure, whose rate is extrapolated from other bins.
    covariance : tuple of RateCovariance
        Covariances of independent parts of the rate; empty if bins are independent.
    made_from : EventRecord, optional
        The runs that it was made from, with a checksum of their events.

    Raises
    ------
    ValueError
        If a shape does not fit the axes, a unit does not convert, or the clock is unknown.

    Examples
    --------
    A rate of 1e-6 everywhere, with a tenth of the time dead:

    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
    >>> full = np.ones(axes.shape)
    >>> cube = BackgroundCube(axes, 1e-6 * full, livetime=900 * full, ontime=1000 * full)
    >>> cube.spectrum.round(4)
    array([0.0066, 0.0658])
    >>> float(cube.per("ontime").rate[0, 0, 0])
    9e-07
    >>> cube
    <BackgroundCube 2 × 3 × 4 bins: energy 0.1 to 10 TeV, fov_lon -2 to 4 deg, fov_lat -1 to 3 deg,
      ALTAZ; 0.07235 s-1 in all, per second of livetime>
    """

    axes: Axes
    rate: np.ndarray = field(metadata={"unit": RATE_UNIT})
    rate_error: np.ndarray | None = field(default=None, metadata={"unit": RATE_UNIT})
    counts: np.ndarray | None = field(default=None, metadata={"unit": ""})
    livetime: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    ontime: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    clock: str = "livetime"
    meta: dict = field(default_factory=dict)
    extrapolated: np.ndarray | None = None
    covariance: tuple[RateCovariance, ...] = ()
    made_from: "EventRecord | None" = None

    def __post_init__(self) -> None:
        check_axes(self.axes)
        convert_fields(self, "cube: ")
        for name in ARRAYS:
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                object.__setattr__(self, name, np.array(value, float))
            if value is not None and np.shape(value) != self.axes.shape:
                raise ValueError(
                    f"{name} of the cube: got shape {np.shape(value)}, expected {self.axes.shape}"
                )
        for part in self.covariance:
            if part.shape != self.axes.shape:
                raise ValueError(
                    f"covariance of the cube: got shape {part.shape}, expected {self.axes.shape}"
                )
        if self.clock not in CLOCKS:
            raise ValueError(f"clock: got {self.clock!r}, expected one of {', '.join(CLOCKS)}")

    def __getitem__(self, bins: slice) -> "BackgroundCube":
        """The cube of some energy bins, such as ``cube[2:5]``."""
        is_slice = isinstance(bins, slice)
        start, stop, step = bins.indices(self.axes.shape[0]) if is_slice else (0,) * 3
        if not (start < stop and step == 1):
            raise ValueError(
                f"cube[...]: got {bins}, expected a slice of one or more of its "
                f"{self.axes.shape[0]} energy bins, such as cube[2:5]"
            )
        axes = replace(self.axes, energy=self.axes.energy[start : stop + 1])
        arrays = {
            name: values[start:stop]
            for name in ARRAYS
            if (values := getattr(self, name)) is not None
        }
        covariance = tuple(part[start:stop] for part in self.covariance)
        return replace(self, axes=axes, covariance=covariance, **arrays)

    __iter__ = None  # else Python would try cube[0], cube[1], ...

    def __repr__(self) -> str:
        axes = repr(self.axes).removeprefix("<Axes ").removesuffix(">")
        rate = f"{self.total:.4g} s-1 in all, per second of {self.clock}"
        method = f"; method {self.meta['METHOD']}" if "METHOD" in self.meta else ""
        return f"<BackgroundCube {axes}; {rate}{method}>"

    @classmethod
    def read(cls, path: Path | str) -> "BackgroundCube":
        """Read a cube from a file: GADF's BKG_3D or BKG_2D, or 2015's table or image.

        Parameters
        ----------
        path : path-like
            FITS, compressed or not.

        Returns
        -------
        cube : BackgroundCube
            A BKG_3D is per second of ontime: ``cube.per("livetime")`` converts it, if the file has
            both times, as those of simbg have. A BKG_2D becomes a cube over a square grid.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file contains no cube or is damaged.

        Examples
        --------
        >>> import tempfile
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> full = np.ones(axes.shape)
        >>> cube = BackgroundCube(axes, 1e-6 * full, livetime=900 * full, ontime=1000 * full)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cube.write(f"{folder}/cube.fits.gz")
        ...     again = BackgroundCube.read(f"{folder}/cube.fits.gz")
        >>> bool(np.allclose(again.per("livetime").rate, cube.rate, rtol=1e-12, atol=0))
        True
        """
        from simbg.io.cubes import read_model

        return read_model(path)

    def write(self, path: Path | str, format: str = "gadf", overwrite: bool = False) -> None:
        """Write the cube to a FITS file; a name in .gz is compressed.

        Parameters
        ----------
        path : path-like
            The file to write.
        format : {"gadf", "table", "image"}
            "gadf": BKG_3D, as gammapy reads it, per observation time; "table" and "image": those
            of 2015, per livetime. See `simbg.io.cubes.write_cube`.
        overwrite : bool
            Replace a file that is there.

        Examples
        --------
        >>> import tempfile
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> cube = BackgroundCube(axes, np.full(axes.shape, 1e-6), clock="ontime")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cube.write(f"{folder}/cube.fits")
        ...     print(*(path.name for path in Path(folder).iterdir()))
        cube.fits
        """
        from simbg.io.cubes import write_cube

        write_cube(path, self, format, overwrite=overwrite)

    def plot(
        self, path: Path | str | None = None, *, title: str = "", overwrite: bool = False
    ) -> "Figure":
        """Draw the cube: images at four energies, spectra, and radial profiles.

        Parameters
        ----------
        path : path-like, optional
            A PNG or PDF file to write, by its ending.
        title : str
            Above the figure.
        overwrite : bool
            Whether to replace an existing file.

        Returns
        -------
        figure : matplotlib.figure.Figure
            A notebook shows it. It is not a figure of pyplot, so ``plt.show()`` does not: in a
            script, give a path.

        Examples
        --------
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> type(BackgroundCube(axes, np.ones(axes.shape)).plot(title="flat")).__name__
        'Figure'
        """
        from simbg.validation.figures.one_cube import cube_figure, save_figure

        figure = cube_figure(self, title)
        if path is not None:
            save_figure(figure, path, overwrite)
        return figure

    def to_gammapy(self) -> "Background3D":
        """The cube as a `gammapy.irf.Background3D`, per observation time as GADF has it.

        It is what gammapy reads from a file that `write` wrote.

        Raises
        ------
        ImportError
            If gammapy is not installed.
        ValueError
            If a rate per livetime has no livetime and ontime to convert it with.
        """
        from simbg.io.bkg_3d import to_gammapy

        return to_gammapy(self)

    @classmethod
    def from_gammapy(cls, background: "Background2D | Background3D") -> "BackgroundCube":
        """The cube of a background of gammapy, per observation time (ontime), as gammapy has it.

        Parameters
        ----------
        background : Background3D or Background2D
            In memory or read by gammapy. A longitude that is reversed, as that of old files of
            H.E.S.S., is turned round. A Background2D becomes a cube over a square grid, with the
            rate of its ring in each pixel.

        Returns
        -------
        BackgroundCube
            The rate with the alignment of the background. A file without FOVALIGN is ALTAZ, as GADF
            says.

        Raises
        ------
        ValueError
            If it is not a background, or its unit or its axes are wrong.
        """
        from simbg.io.gammapy_objects import cube_of_background

        return cube_of_background(background)

    def same_as(self, other: "BackgroundCube", rtol: float = 1e-9) -> bool:
        """Whether two cubes have the same axes and clock, and arrays that agree.

        Cubes are different for ``==`` unless they are one object. `meta` and `made_from` are
        not compared.

        Parameters
        ----------
        other : BackgroundCube
            The cube to compare with.
        rtol : float
            Largest relative difference of edges and values.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> cube = BackgroundCube(axes, np.full(axes.shape, 1e-6))
        >>> cube.same_as(replace(cube, meta={"METHOD": "mine"})), cube.same_as(cube[:1])
        (True, False)
        """
        return (
            self.axes.same_as(other.axes, rtol)
            and self.clock == other.clock
            and all(
                (a is None) == (b is None)
                and (a is None or np.allclose(a, b, rtol, atol=0, equal_nan=True))
                for a, b in ((getattr(self, n), getattr(other, n)) for n in ARRAYS)
            )
        )

    def slice_by_energy(self, energy_min: Any = None, energy_max: Any = None) -> "BackgroundCube":
        """The part of the cube whose energy bins lie completely between two energies.

        Parameters
        ----------
        energy_min, energy_max : Quantity or float, optional
            Bare numbers are in TeV. By default there is no bound.

        Raises
        ------
        ValueError
            If no bin lies between the two.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10, 100], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> cube = BackgroundCube(axes, np.ones(axes.shape))
        >>> cube.slice_by_energy("1 TeV", "100 TeV").axes.shape
        (2, 3, 4)
        """
        return self[self.axes.slice_by_energy(energy_min, energy_max)]

    def per(self, clock: str) -> "BackgroundCube":
        """The same cube with its rate per second of another clock.

        Parameters
        ----------
        clock : {"livetime", "ontime"}
            Time without and with dead time.

        Raises
        ------
        ValueError
            If the cube has no livetime and ontime to convert with.

        Notes
        -----
        rate(ontime) = rate(livetime) · livetime / ontime, bin by bin: exact also where dead times
        differ from run to run. In bins without exposure, livetime / ontime is that of all bins.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> full = np.ones(axes.shape)
        >>> cube = BackgroundCube(axes, 1e-6 * full, livetime=900 * full, ontime=1000 * full)
        >>> float(cube.per("ontime").rate[0, 0, 0])
        9e-07
        """
        if clock not in CLOCKS:
            raise ValueError(f"clock: got {clock!r}, expected one of {', '.join(CLOCKS)}")
        if clock == self.clock:
            return self
        if self.livetime is None or self.ontime is None:
            raise ValueError(
                f"rate per {clock}: the cube has no livetime and ontime, expected both to convert "
                f"its rate per {self.clock}"
            )
        have, want = getattr(self, self.clock), getattr(self, clock)
        total = np.sum(have) / np.sum(want) if np.any(want > 0) else 1.0
        factor = np.divide(have, want, out=np.full(self.axes.shape, total), where=want > 0)
        error = None if self.rate_error is None else self.rate_error * factor
        return replace(self, rate=self.rate * factor, rate_error=error, clock=clock)

    @property
    def event_rate(self) -> np.ndarray:
        """Rate integrated over each bin, in s-1.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-1, 1], [-1, 1])
        >>> BackgroundCube(axes, np.full(axes.shape, 1e-6)).event_rate.ravel().round(4)
        array([0.0011, 0.011 ])
        """
        return self.rate * self.axes.volume

    @property
    def _known(self):
        """Energies of which the rate of a bin is known, (n_energy,)."""
        return ~np.isnan(self.rate).all(axis=(1, 2))

    @property
    def spectrum(self) -> np.ndarray:
        """Rate integrated over the field of view and each energy bin, in s-1, (n_energy,).

        The rate of an energy bin is not divided by the width of the bin: it is not per TeV.

        Bins with a rate of NaN are left out; the value is NaN at an energy that has no other bins.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> BackgroundCube(axes, np.full(axes.shape, 1e-6)).spectrum.round(4)
        array([0.0066, 0.0658])
        """
        return np.where(self._known, np.nansum(self.event_rate, axis=(1, 2)), np.nan)

    @property
    def spectrum_error(self) -> np.ndarray:
        """Standard error of `spectrum`, in s-1, (n_energy,); NaN where it is NaN or has no errors.

        Notes
        -----
        `error_of_sum` of each energy bin: √(Σ (rate_error · volume)²) for independent bins.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-1, 0, 1], [-1, 0, 1])
        >>> cube = BackgroundCube(axes, np.ones(axes.shape), 0.1 * np.ones(axes.shape))
        >>> (cube.spectrum_error / cube.spectrum).round(6)  # four bins of 10 %
        array([0.05, 0.05])
        """
        if self.rate_error is None:
            return np.full(self.axes.shape[0], np.nan)
        if not self.covariance:
            variance = np.nansum((self.rate_error * self.axes.volume) ** 2, axis=(1, 2))
            return np.where(self._known, np.sqrt(variance), np.nan)
        each = (self[i : i + 1] for i in range(self.axes.shape[0]))
        return np.where(self._known, [one.error_of_sum(one.axes.volume) for one in each], np.nan)

    def error_of_sum(self, weight: Any) -> float:
        """Standard error of Σ weight · rate over bins; bins with a rate of NaN are left out.

        Parameters
        ----------
        weight : array_like
            Weight of each bin, broadcast to the shape of the cube: ``cube.axes.volume`` for the
            total rate, and 0 in bins outside of a region or an energy band.

        Returns
        -------
        float
            In the unit of ``weight`` · ``rate``: s-1 if ``weight`` is a volume.

        Raises
        ------
        ValueError
            If the cube has no errors.

        Notes
        -----
        With `covariance`, errors of bins are correlated. Without it they are independent:
        √(Σ (weight · rate_error)²).

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-1, 0, 1], [-1, 0, 1])
        >>> cube = BackgroundCube(axes, np.ones(axes.shape), 0.1 * np.ones(axes.shape))
        >>> round(cube.error_of_sum(1.0), 6)  # eight bins of 0.1
        0.282843
        """
        if self.covariance:
            parts = np.nan_to_num(np.broadcast_to(weight, self.axes.shape) * self.rate)
            return float(np.sqrt(sum(part.of_sum(parts) for part in self.covariance)))
        if self.rate_error is None:
            raise ValueError("error of a sum: the cube has no errors, expected rate_error")
        return float(np.sqrt(np.nansum((weight * self.rate_error) ** 2)))

    @property
    def image(self) -> np.ndarray:
        """Rate integrated over energy and each pixel, in s-1; bins of NaN are left out.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 2])
        >>> BackgroundCube(axes, np.full(axes.shape, 1e-6)).image.round(4)
        array([[0.006 , 0.0121],
               [0.006 , 0.0121]])
        """
        return np.nansum(self.event_rate, axis=0)

    @property
    def total(self) -> float:
        """Rate integrated over the whole cube, in s-1; bins of NaN are left out, as if 0.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> round(BackgroundCube(axes, np.full(axes.shape, 1e-6)).total, 4)
        0.0724
        """
        return float(np.nansum(self.event_rate))
