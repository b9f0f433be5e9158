"""Sky <-> field of view of a pointing, tracking or drifting; the field of view is ALTAZ-aligned.

Notes
-----
Only the Earth's rotation is fast during a run. It acts as a rotation by one angle: about the
pointing for a tracked field of view, and about the Earth's axis for a field in drift mode. All
other effects (precession, nutation, aberration, polar motion; computed with erfa at mid-run) are
one matrix per run, and the inverse transformation uses the inverse matrix. The slow change of the
apparent position of a tracked pointing is taken into account; it matters near the zenith.

Neglected are refraction, which is already removed from DL3 directions, and the light deflection by
the Sun (4 mas at 90 deg from the Sun, 15 mas at 30 deg). An error of a direction in ALTAZ rotates
the field of a tracked pointing by the error divided by the sine of the zenith angle: 4 mas are 0.04
arcsec at an offset of 5 deg, 0.5 deg from the zenith. This is the largest difference to astropy's
AltAz in a run of half an hour. A field in drift mode does not rotate; there the Earth's orbit,
taken as straight, adds 10 mas per hour from mid-run.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import erfa
import numpy as np
from numpy.typing import ArrayLike

from simbg.sky.earth import EARTH_RATE, Site, boosts, earth
from simbg.sky.vectors import (
    checked_arrays,
    in_chunks,
    local_axes,
    null_vectors,
    rotated_about_first,
    to_angles,
)

__all__ = ["Drift", "Site", "Tracking", "altaz_to_radec"]

SLOW_STEP = 900.0  # s, for the derivative of what changes slowly
MAX_SPAN = 43200.0  # s; the slow motion is linear to 1 mas within this span
LARGEST_TIME = 1e11  # s
FLIP = np.array([[1.0], [-1.0], [1.0]])  # fov_lon increases with decreasing azimuth


class _Pointing(ABC):
    """Methods of all pointings; the method `_field` gives the field of view at some times."""

    def sky_to_fov(
        self, ra: ArrayLike, dec: ArrayLike, time: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions in the field of view of directions on the sky.

        Parameters
        ----------
        ra, dec : array_like
            Directions, deg, ICRS.
        time : array_like
            Seconds of TT since `mjdref`. NumPy broadcasts the three arguments.

        Returns
        -------
        fov_lon, fov_lat : ndarray
            Longitude (-180 to 180) and latitude about the pointing, deg. `fov_lon` increases with
            decreasing azimuth, `fov_lat` with increasing altitude (GADF v0.3,
            general/coordinates).

        Raises
        ------
        ValueError
            If a value is not finite or out of range, or times span more than 12 h.
        """
        arrays = checked_arrays(ra=(ra, 360), dec=(dec, 90), time=(time, LARGEST_TIME))
        return in_chunks(self._field(arrays[2]).to_fov, *arrays)

    def fov_to_sky(
        self, fov_lon: ArrayLike, fov_lat: ArrayLike, time: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the directions on the sky of positions in the field of view.

        This is the inverse of `sky_to_fov`.

        Parameters
        ----------
        fov_lon, fov_lat : array_like
            Longitude and latitude about the pointing, deg.
        time : array_like
            Seconds of TT since `mjdref`. NumPy broadcasts the three arguments.

        Returns
        -------
        ra, dec : ndarray
            Directions, deg, ICRS. RA is from 0 to 360.

        Raises
        ------
        ValueError
            If a value is not finite or out of range, or times span more than 12 h.
        """
        arrays = checked_arrays(
            fov_lon=(fov_lon, 360), fov_lat=(fov_lat, 90), time=(time, LARGEST_TIME)
        )
        ra, dec = in_chunks(self._field(arrays[2]).to_sky, *arrays)
        return _positive(ra), dec

    @abstractmethod
    def _field(self, time: np.ndarray) -> "_TrackedField | _DriftingField":
        """The field of view at some times."""


@dataclass(frozen=True)
class Tracking(_Pointing):
    """A pointing that is fixed on the sky and followed from a site.

    Parameters
    ----------
    ra, dec : float
        The pointing, deg, ICRS.
    site : Site
        Position of the telescopes.
    mjdref : float
        Zero of event times, MJD in TT: GADF's MJDREFI + MJDREFF (if TIMESYS is TT).

    Raises
    ------
    ValueError
        If a value is not finite or out of range.

    Examples
    --------
    >>> site = Site(16.5, -23.27, 1835.0)
    >>> run = Tracking(83.63, 22.01, site, mjdref=55197.0)
    >>> lon, lat = run.sky_to_fov(83.63, 23.01, time=[0.0, 3600.0])
    >>> np.hypot(lon, lat).round(3)  # the field rotates about the pointing
    array([1., 1.])
    """

    ra: float
    dec: float
    site: Site
    mjdref: float

    def __post_init__(self) -> None:
        checked_arrays(ra=(self.ra, 360), dec=(self.dec, 90), mjdref=(self.mjdref, 1e6))

    def altaz(self, time: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the pointing's altitude and azimuth.

        Parameters
        ----------
        time : array_like
            Seconds of TT since `mjdref`, spanning 12 h or less.

        Returns
        -------
        alt, az : ndarray
            deg; azimuth is 0 in the north, 90 in the east, up to 360.

        Raises
        ------
        ValueError
            If a time is not finite, or they span more than 12 h.
        """
        (times,) = checked_arrays(time=(time, LARGEST_TIME))
        run = self._run(times)
        lag = times.ravel() - run.mid
        cos, sin = np.cos(EARTH_RATE * lag), np.sin(EARTH_RATE * lag)
        x, y, z = (run.pointing - run.spin)[:, None] + np.outer(run.motion, lag)
        moved = np.stack([x * cos + y * sin, y * cos - x * sin, z]) + run.spin[:, None]
        east, north, up = run.local @ moved
        az, alt = to_angles(north, east, up)
        return alt.reshape(times.shape), _positive(az).reshape(times.shape)

    def radec(self, time: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the pointing's constant RA and Dec, deg, ICRS, in the shape of ``time``."""
        return _constant(time, self.ra % 360, self.dec)

    def _field(self, time: np.ndarray) -> "_TrackedField":
        """Return the `_TrackedField` for these times."""
        matrix = np.eye(4)
        run = self._run(time)
        matrix[:3, :3] = axes = local_axes(*np.rad2deg(erfa.c2s(run.pointing)))
        # Only the difference of zenith and pointing matters: the zenith moves by minus the motion
        x, y, z = run.local[2] - run.spin
        motion = np.stack([np.add(run.spin, [0, 0, z]), [x, y, 0], [-y, x, 0], -run.motion], axis=1)
        return _TrackedField(matrix @ run.boost, axes[1:] @ motion, run.mid)

    def _run(self, time: np.ndarray) -> "_Run":
        """Return the `_Run` of these times."""
        mid = _middle(time)
        steps = SLOW_STEP * np.array([-1, 0, 1])
        boost, local, spin = earth(self.mjdref + (mid + steps) / erfa.DAYSEC, self.site)
        pointing = boost @ [*local_axes(self.ra, self.dec)[0], 1]
        pointing = pointing[:, :3] / pointing[:, 3:]
        slow = pointing - spin
        motion = (slow[2] - slow[0]) / (2 * SLOW_STEP)
        return _Run(mid, boost[1], local[1], spin[1], pointing[1], motion)


@dataclass(frozen=True)
class Drift(_Pointing):
    """A pointing that is fixed in altitude and azimuth (drift mode): GADF's OBS_MODE=DRIFT.

    Parameters
    ----------
    alt, az : float
        The pointing, deg, without refraction; azimuth is 0 in the north, 90 in the east: GADF's
        ALT_PNT, AZ_PNT.
    site : Site
        Position of the telescopes.
    mjdref : float
        Zero of event times, MJD in TT: GADF's MJDREFI + MJDREFF (if TIMESYS is TT).

    Raises
    ------
    ValueError
        If a value is not finite or out of range.
    """

    alt: float
    az: float
    site: Site
    mjdref: float

    def __post_init__(self) -> None:
        checked_arrays(alt=(self.alt, 90), az=(self.az, 360), mjdref=(self.mjdref, 1e6))

    def altaz(self, time: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the pointing's constant altitude and azimuth, deg, in the shape of ``time``."""
        return _constant(time, self.alt, self.az % 360)

    def radec(self, time: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the pointing's RA and Dec.

        Parameters
        ----------
        time : array_like
            Seconds of TT since `mjdref`, spanning 12 h or less.

        Returns
        -------
        ra, dec : ndarray
            deg, ICRS. RA is from 0 to 360.

        Raises
        ------
        ValueError
            If a time is not finite, or they span more than 12 h.
        """
        return self.fov_to_sky(0.0, 0.0, time)

    def _field(self, time: np.ndarray) -> "_DriftingField":
        """Return the `_DriftingField` for these times."""
        mid = _middle(time)
        boost, local, spin = earth(self.mjdref + np.array([mid]) / erfa.DAYSEC, self.site)
        # Diurnal aberration rotates with the Earth, so it is a boost by itself. Two boosts one
        # after the other are the boost of the summed velocity times a rotation, known at mid-run,
        # that varies by 0.03 mas
        diurnal = boosts(spin)[0]
        horizon = np.eye(4)
        horizon[:3, :3] = (local_axes(self.az, self.alt) * FLIP) @ local[0, [1, 0, 2]]
        return _DriftingField(np.linalg.solve(diurnal, boost[0]), horizon @ diurnal, mid)


def altaz_to_radec(
    alt: ArrayLike, az: ArrayLike, mjd: ArrayLike, site: Site
) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions on the sky that are at an altitude and azimuth at a time.

    Parameters
    ----------
    alt, az : array_like
        Altitude and azimuth (north 0, east 90), deg, without refraction.
    mjd : array_like
        Times, MJD in TT. NumPy broadcasts the three arguments.
    site : Site
        Position of the telescopes.

    Returns
    -------
    ra, dec : ndarray
        Directions, deg, ICRS. RA is from 0 to 360.

    Raises
    ------
    ValueError
        If a value is not finite or out of range.
    """
    arrays = checked_arrays(alt=(alt, 90), az=(az, 360), mjd=(mjd, 1e6))
    alts, azs, mjds = (array.ravel() for array in arrays)
    boost, local, _ = earth(mjds, site)
    north, east, up, scale = null_vectors(azs, alts)
    horizontal = np.einsum("nji,jn->ni", local, np.stack([east, north, up]))
    sky = np.linalg.solve(boost, np.column_stack([horizontal, scale])[..., None])
    ra, dec = to_angles(*sky[:, :3, 0].T)
    return _positive(ra).reshape(arrays[0].shape), dec.reshape(arrays[0].shape)


class _Run(NamedTuple):
    """Quantities that change slowly, at mid-run: vectors in the CIRS, speeds in units of c."""

    mid: float  # s
    boost: np.ndarray  # (4, 4), ICRS null vectors to apparent ones
    local: np.ndarray  # (3, 3), to east, north, up
    spin: np.ndarray  # (3,), the site's velocity about the Earth's axis
    pointing: np.ndarray  # (3,), apparent
    motion: np.ndarray  # (3,), slow motion of the pointing without `spin`, 1/s


class _TrackedField(NamedTuple):
    """The field of view of a tracked pointing during a run, which rotates about its centre.

    Notes
    -----
    For an ICRS null vector v, the position in the field of view is R(z(t)) M v. M (`matrix`) is
    aberration, precession and nutation at mid-run, and the rotation to axes (pointing, larger
    fov_lon, larger fov_lat). z(t) is the component of the zenith perpendicular to the pointing; R
    rotates it to the fov_lat axis. The zenith moves about the Earth's axis by w = EARTH_RATE × lag:
    z(t) = A (1 + T^2, 1 - T^2, 2 T, (1 + T^2) lag), T = tan(w / 2), A = `motion`.
    """

    matrix: np.ndarray  # (4, 4), ICRS null vectors to (pointing, fov_lon, fov_lat, 1) at mid-run
    motion: np.ndarray  # (2, 4), zenith's fov_lon, fov_lat by 1, cos, sin of rotation, and lag
    mid: float  # s

    def to_fov(self, ra: np.ndarray, dec: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Convert directions to null vectors (4, n) along pointing, fov_lon and fov_lat."""
        return rotated_about_first(self.matrix @ null_vectors(ra, dec), *self.zenith(time))

    def to_sky(self, lon: np.ndarray, lat: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Convert positions in the field of view to null vectors in ICRS, shape (4, n)."""
        across, up = self.zenith(time)
        return np.linalg.inv(self.matrix) @ rotated_about_first(null_vectors(lon, lat), -across, up)

    def zenith(self, time: np.ndarray) -> np.ndarray:
        """Return the zenith's components along fov_lon, fov_lat at mid-run, up to a factor."""
        lag = time - self.mid
        t = np.tan(EARTH_RATE / 2 * lag)
        square = t * t
        one = 1 + square
        return self.motion @ np.stack([one, 1 - square, 2 * t, one * lag])


class _DriftingField(NamedTuple):
    """The field of view of a pointing in drift mode during a run, which rotates with the Earth.

    Notes
    -----
    For an ICRS null vector v, the position in the field of view is H R(w) S v. S (`sky`)
    transforms to the CIRS, R is the Earth's rotation by w = EARTH_RATE × lag about the third
    axis, H (`horizon`) is diurnal aberration, polar motion and the rotation to (pointing,
    fov_lon, fov_lat).
    """

    sky: np.ndarray  # (4, 4), ICRS null vectors to the CIRS at the Earth's centre
    horizon: np.ndarray  # (4, 4), rotated CIRS vectors to (pointing, fov_lon, fov_lat, 1)
    mid: float  # s

    def to_fov(self, ra: np.ndarray, dec: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Convert directions to null vectors (4, n) along pointing, fov_lon and fov_lat."""
        return self.horizon @ self.rotated(self.sky @ null_vectors(ra, dec), time - self.mid)

    def to_sky(self, lon: np.ndarray, lat: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Convert positions in the field of view to null vectors in ICRS, shape (4, n)."""
        vector = np.linalg.inv(self.horizon) @ null_vectors(lon, lat)
        return np.linalg.inv(self.sky) @ self.rotated(vector, self.mid - time)

    def rotated(self, vector: np.ndarray, lag: np.ndarray) -> np.ndarray:
        """Return null vectors in axes that have rotated with the Earth for `lag` s."""
        x, y, z, scale = vector
        t = np.tan(EARTH_RATE / 2 * lag)
        square = t * t
        one, cos, sin = 1 + square, 1 - square, 2 * t
        return np.stack([x * cos + y * sin, y * cos - x * sin, z * one, scale * one])


def _middle(time):
    """Return the middle of these times, which may span 12 h at most."""
    first, last = (time.min(), time.max()) if time.size else (0.0, 0.0)
    if last - first > MAX_SPAN:
        raise ValueError(f"time: got a span of {last - first} s, expected {MAX_SPAN:g} or less")
    return (first + last) / 2


def _positive(lon):
    """Convert longitudes from the range -180 to 180 deg to the range 0 to 360 deg."""
    return np.where(lon < 0, lon + 360, lon)


def _constant(time, *values):
    """Return arrays of these values in the shape of the times."""
    (time,) = checked_arrays(time=(time, LARGEST_TIME))
    return tuple(np.full(time.shape, float(value)) for value in values)
