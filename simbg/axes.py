"""The three axes of a background cube: energy, fov_lon and fov_lat.

Arrays over them have shape ``(n_energy, n_fov_lon, n_fov_lat)``. Energies are
in TeV and angles in deg; volumes are in MeV sr, so that counts ÷ livetime ÷
volume is a rate in s-1 MeV-1 sr-1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import boost_histogram as bh
import numpy as np
from numpy.typing import ArrayLike

from simbg.errors import in_brief
from simbg.quantities import bare_coordinates, in_unit, warn_of_gev

__all__ = ["MEV_PER_TEV", "Axes", "Binning", "check_axes", "choose_axes", "edition2015_axes"]

MEV_PER_TEV = 1e6
ENERGY_MAX_2015 = 80.0  # TeV
# Number of events that `fill` processes at once: their logarithms fit in the cache of one core.
CHUNK = 1 << 16
# Largest deviation from even spacing, in bins, for which the bin of an event is calculated.
EVEN = 1e-9
UNITS = {"energy": "TeV", "fov_lon": "deg", "fov_lat": "deg"}


@dataclass(frozen=True, eq=False)
class Axes:
    """Bin edges of a background cube in one field-of-view frame.

    `Axes.regular` makes evenly spaced axes. Edges are given as Quantities of any unit, as bare
    numbers in TeV and deg, or as a `MapAxis` of gammapy. The attributes of `Axes` are bare numbers.

    Parameters
    ----------
    energy : array_like or Quantity, shape (n_energy + 1,)
        Edges, increasing and positive.
    fov_lon, fov_lat : array_like or Quantity, shape (n_fov_lon + 1,), (n_fov_lat + 1,)
        Edges, increasing. ``fov_lon`` increases with decreasing azimuth
        (ALTAZ) or right ascension (RADEC), ``fov_lat`` with altitude or declination.
    align : {"ALTAZ", "RADEC"}
        The frame that the field of view is aligned with.

    Raises
    ------
    ValueError
        If there are fewer than two edges, if edges are not finite, not increasing or not on the
        sphere, or if their unit is wrong.

    Examples
    --------
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
    >>> axes.shape
    (2, 3, 4)
    >>> axes.fov_lon_center
    array([-1.,  1.,  3.])

    >>> from astropy import units as u
    >>> Axes([100, 1000, 10000] * u.GeV, [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
    <Axes 2 × 3 × 4 bins: energy 0.1 to 10 TeV, fov_lon -2 to 4 deg, fov_lat -1 to 3 deg, ALTAZ>
    """

    energy: np.ndarray
    fov_lon: np.ndarray
    fov_lat: np.ndarray
    align: str = "ALTAZ"

    def __post_init__(self) -> None:
        for name, unit in UNITS.items():
            given = getattr(self, name)
            given = getattr(given, "edges", given)  # a MapAxis of gammapy has edges
            edges = np.array(in_unit(given, unit, f"{name} edges"), dtype=float)
            if edges.ndim != 1 or edges.size < 2 or not np.all(edges[1:] > edges[:-1]):
                raise ValueError(
                    f"{name} edges: got {in_brief(edges)}, expected 2 or more, increasing"
                )
            edges.flags.writeable = False
            object.__setattr__(self, name, edges)
        if not (self.energy[0] > 0 and np.isfinite(self.energy[-1])):
            got = in_brief(self.energy)
            raise ValueError(f"energy edges: got {got}, expected finite TeV above 0")
        warn_of_gev(self.energy[0], "lowest energy of the axes")
        if np.abs(self.fov_lat).max() > 90 or np.abs(self.fov_lon).max() > 180:
            (*_, lon), (*_, lat) = (np.sort(np.abs(e)) for e in (self.fov_lon, self.fov_lat))
            raise ValueError(
                f"field-of-view edges: got up to {lon:g} deg (lon) and {lat:g} deg (lat), expected "
                "deg within ±180 (lon) and ±90 (lat)"
            )
        if self.align not in ("ALTAZ", "RADEC"):
            raise ValueError(f"alignment: got {self.align!r}, expected 'ALTAZ' or 'RADEC'")

    @classmethod
    def regular(cls, energy: Sequence[Any], fov: Sequence[Any], align: str = "ALTAZ") -> Axes:
        """Evenly spaced axes: bins of equal width in ln E, and in angles symmetric about 0.

        Parameters
        ----------
        energy : (min, max, number of bins)
            The energies are Quantities, or bare numbers in TeV. Or a `MapAxis` of gammapy.
        fov : (half width, number of bins), or a pair of these
            One pair is used for both angles; two pairs are for fov_lon and fov_lat. The widths
            are Quantities, or bare numbers in deg.
        align : {"ALTAZ", "RADEC"}
            The frame that the field of view is aligned with.

        Examples
        --------
        >>> from astropy import units as u
        >>> Axes.regular(energy=(100 * u.GeV, 50 * u.TeV, 20), fov=(3.5 * u.deg, 30)).shape
        (20, 30, 30)
        >>> Axes.regular((0.1, 50, 20), fov=((3.5, 30), (2, 16))).shape
        (20, 30, 16)
        """
        try:
            pairs: Any = fov if isinstance(fov[0], list | tuple) else (fov, fov)
            # The edges of a MapAxis of gammapy are used as they are.
            edges = getattr(energy, "edges", None)
            low, high, n_energy = energy if edges is None else (*edges[[0, -1]], len(edges) - 1)
            (lon, n_lon), (lat, n_lat) = pairs
            numbers = [index(n) + 1 for n in (n_energy, n_lon, n_lat)]
        except (TypeError, ValueError):
            raise ValueError(
                f"regular axes: got energy {in_brief(energy)} and fov {in_brief(fov)}, expected "
                "(min, max, number of bins) and (half width, number of bins); "
                "Axes(energy, fov_lon, fov_lat) takes edges"
            ) from None
        low, high = (in_unit(value, "TeV", "energy") for value in (low, high))
        if not 0 < low < high:
            raise ValueError(f"energy: got {low} to {high} TeV, expected 0 < min < max")
        lon, lat = (in_unit(value, "deg", "half width of the field") for value in (lon, lat))
        fov_lon, fov_lat = (
            np.linspace(-w, w, n) for w, n in zip((lon, lat), numbers[1:], strict=True)
        )
        if edges is None:
            edges = np.geomspace(low, high, numbers[0])
        return cls(edges, fov_lon, fov_lat, align)

    def __reduce__(self) -> tuple:
        """A copy, also in another process, is made anew, so that its edges are read-only."""
        return type(self), (*self.edges, self.align)

    def __repr__(self) -> str:
        bins = " × ".join(map(str, self.shape))
        ends = (
            f"{name} {edges[0]:.4g} to {edges[-1]:.4g} {unit}"
            for (name, unit), edges in zip(UNITS.items(), self.edges, strict=True)
        )
        return f"<Axes {bins} bins: {', '.join(ends)}, {self.align}>"

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges of energy (TeV), fov_lon and fov_lat (deg).

        Examples
        --------
        >>> [len(edges) for edges in Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3]).edges]
        [3, 4, 5]
        """
        return self.energy, self.fov_lon, self.fov_lat

    def slice_by_energy(self, energy_min: Any = None, energy_max: Any = None) -> slice:
        """The energy bins that lie completely between two energies.

        Parameters
        ----------
        energy_min, energy_max : Quantity or float, optional
            Bare numbers are in TeV. By default there is no bound.

        Returns
        -------
        slice
            The slice of the energy bins.

        Raises
        ------
        ValueError
            If no bin lies between the two energies.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10, 100], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> axes.slice_by_energy("500 GeV", "100 TeV")
        slice(1, 3, None)
        """
        low, high = (
            default if bound is None else in_unit(bound, "TeV", name)
            for name, bound, default in (
                ("energy_min", energy_min, 0.0),
                ("energy_max", energy_max, np.inf),
            )
        )
        # A tolerance, because the conversion of a unit changes the last digits of an edge.
        inside = (self.energy[:-1] >= low * (1 - EVEN)) & (self.energy[1:] <= high * (1 + EVEN))
        found = np.flatnonzero(inside)
        if not found.size:
            raise ValueError(
                f"energy slice: got {low:g} to {high:g} TeV, expected one or more of the bins "
                f"between the edges {self.energy.round(6).tolist()} TeV"
            )
        return slice(int(found[0]), int(found[-1]) + 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of bins, ``(n_energy, n_fov_lon, n_fov_lat)``.

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3]).shape
        (2, 3, 4)
        """
        return self.energy.size - 1, self.fov_lon.size - 1, self.fov_lat.size - 1

    @property
    def energy_center(self) -> np.ndarray:
        """Logarithmic bin centres in TeV, shape (n_energy,).

        Examples
        --------
        >>> Axes([1, 4, 16], [-2, 0, 2, 4], [-1, 0, 1, 2, 3]).energy_center
        array([2., 8.])
        """
        return np.sqrt(self.energy[1:] * self.energy[:-1])

    @property
    def fov_lon_center(self) -> np.ndarray:
        """Bin centres in deg, shape (n_fov_lon,).

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3]).fov_lon_center
        array([-1.,  1.,  3.])
        """
        return 0.5 * (self.fov_lon[1:] + self.fov_lon[:-1])

    @property
    def fov_lat_center(self) -> np.ndarray:
        """Bin centres in deg, shape (n_fov_lat,).

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3]).fov_lat_center
        array([-0.5,  0.5,  1.5,  2.5])
        """
        return 0.5 * (self.fov_lat[1:] + self.fov_lat[:-1])

    @property
    def offset(self) -> np.ndarray:
        """Plane distance √(lon² + lat²) of pixel centres in deg, (n_fov_lon, n_fov_lat).

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-6, 0, 6], [-8, 0, 8]).offset
        array([[5., 5.],
               [5., 5.]])
        """
        return np.hypot(self.fov_lon_center[:, None], self.fov_lat_center)

    @cached_property
    def solid_angle(self) -> np.ndarray:
        """Exact solid angle of each pixel, Δlon · Δ(sin lat), in sr, (n_fov_lon, n_fov_lat).

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 0, 2], [-60, 0, 60]).solid_angle.round(6)
        array([[0.03023, 0.03023],
               [0.03023, 0.03023]])
        """
        return np.deg2rad(np.diff(self.fov_lon))[:, None] * np.diff(
            np.sin(np.deg2rad(self.fov_lat))
        )

    @property
    def flat_solid_angle(self) -> np.ndarray:
        """Δlon · Δlat in sr, as computed by the 2015 tool: too large by 1 / cos(lat).

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 0, 2], [-60, 0, 60]).flat_solid_angle.round(6)
        array([[0.036554, 0.036554],
               [0.036554, 0.036554]])
        """
        return np.deg2rad(np.diff(self.fov_lon))[:, None] * np.deg2rad(np.diff(self.fov_lat))

    @cached_property
    def volume(self) -> np.ndarray:
        """ΔE · ΔΩ of each bin in MeV sr, full shape.

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 2], [-1, 1]).volume.ravel().round(1)
        array([ 2193.1, 21931.3])
        """
        return MEV_PER_TEV * np.diff(self.energy)[:, None, None] * self.solid_angle

    @property
    def flat_volume(self) -> np.ndarray:
        """As `volume`, with `flat_solid_angle`.

        Examples
        --------
        >>> Axes([0.1, 1, 10], [-2, 2], [-1, 1]).flat_volume.ravel().round(1)
        array([ 2193.2, 21932.5])
        """
        return MEV_PER_TEV * np.diff(self.energy)[:, None, None] * self.flat_solid_angle

    def same_as(self, other: Axes, rtol: float = 1e-9) -> bool:
        """Whether both have the same edges and alignment; ``==`` is true for one object only.

        Parameters
        ----------
        other : Axes
            The axes to compare with.
        rtol : float
            Largest difference of edges, as a fraction of a bin.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2, 4], [-1, 0, 1, 2, 3])
        >>> axes.same_as(Axes(*axes.edges)), axes.same_as(Axes(*axes.edges, align="RADEC"))
        (True, False)
        """
        return self.align == other.align and all(
            a.size == b.size
            and np.all(np.abs(a - b)[1:] <= rtol * np.diff(a))
            and abs(a[0] - b[0]) <= rtol * (a[1] - a[0])
            for a, b in zip(self.edges, other.edges, strict=True)
        )

    def fill(
        self, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike, energy_min: Any = None
    ) -> np.ndarray:
        """Count events in bins. A bin includes its lower edge, but not its upper edge.

        If edges are evenly spaced (energies: in ln E), the bin of an event is calculated and not
        searched for. Therefore an event within 1e-9 of a bin width from an inner edge may be
        counted on the other side of this edge. The outermost edges are exact.

        Parameters
        ----------
        energy, fov_lon, fov_lat : ndarray or Quantity, shape (n_events,)
            Bare numbers are in TeV and deg. Events outside the axes are left out.
        energy_min : float or Quantity, optional
            Events below this energy (TeV) are left out, too.

        Returns
        -------
        counts : ndarray of int64, shape of the axes
            Number of events in each bin.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
        >>> axes.fill([0.5, 0.5, 20.0], [1.0, -1.5, 0.0], [0.5, 0.5, 0.0])[0]
        array([[0, 1],
               [0, 1]])
        """
        columns = [np.asarray(values) for values in bare_coordinates(energy, fov_lon, fov_lat)]
        energy_min = in_unit(energy_min, "TeV", "energy_min")
        log_axis = _even(np.log(self.energy))
        axes = (
            log_axis or bh.axis.Variable(self.energy),
            *map(_axis, (self.fov_lon, self.fov_lat)),
        )
        histogram = bh.Histogram(*axes, storage=bh.storage.Int64())
        for start in range(0, len(columns[0]), CHUNK):
            values = [column[start : start + CHUNK] for column in columns]
            values[0] = np.asarray(values[0], float)
            if energy_min is not None:
                keep = values[0] >= energy_min
                values = [value[keep] for value in values]
            if log_axis:
                # Energies of zero or below are outside of the axes.
                with np.errstate(divide="ignore", invalid="ignore"):
                    values[0] = np.log(values[0])
            histogram.fill(*(np.asarray(value, float) for value in values))
        return histogram.values().astype(np.int64)


def check_axes(axes: Any) -> None:
    """Raise a ValueError if ``axes`` is not an `Axes`."""
    if not isinstance(axes, Axes):
        raise ValueError(f"axes: got type {type(axes).__name__}, expected simbg.Axes")


# Axes, a function that changes default axes, or None for these.
Binning = Axes | Callable[[Axes], Axes] | None


def choose_axes(binning: Binning, default: Callable[[], Axes]) -> Axes:
    """The axes of a binning.

    Parameters
    ----------
    binning : Axes, callable or None
        Axes, a function that changes default axes, or None for these.
    default : callable
        Returns the default axes; it is called if they are needed.

    Examples
    --------
    >>> choose_axes(Axes([1, 2], [-1, 1], [-1, 1]), edition2015_axes).shape
    (1, 1, 1)
    """
    if isinstance(binning, Axes):
        return binning
    return binning(default()) if callable(binning) else default()


def edition2015_axes(n_obs: int = 100, energy_min: Any = 0.1) -> Axes:
    """The binning of the 2015 tool, which has fewer bins below 100 observations.

    20 × 60 × 60 bins over 0.1–80 TeV and ±0.07 rad. Below 100 observations, m = 10 −
    int(n_obs / 10) is subtracted from the number of energy bins, and 4m from the number of bins
    in each angle.

    Parameters
    ----------
    n_obs : int
        Number of observations that will be stacked.
    energy_min : float or Quantity
        Lowest energy; a bare number is in TeV. `michi` uses the lowest threshold of the group.

    Examples
    --------
    >>> edition2015_axes().shape
    (20, 60, 60)
    >>> edition2015_axes(n_obs=40).shape
    (14, 36, 36)
    """
    energy_min = in_unit(energy_min, "TeV", "lowest energy")
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
    """A regular axis if the edges are evenly spaced, else None."""
    step = (edges[-1] - edges[0]) / (edges.size - 1)
    ideal = edges[0] + step * np.arange(edges.size)
    if np.abs(edges - ideal).max() > EVEN * step:
        return None
    return bh.axis.Regular(edges.size - 1, edges[0], edges[-1])
