"""Sky <-> field of view of a pointing, tracked or drifting; the field of view is ALTAZ-aligned.

During a run only the Earth's rotation is fast, and it is a rotation by one angle: about the
pointing for a tracked field of view, about the Earth's axis for a drifting one. Everything else
(precession, nutation, aberration, polar motion; erfa's, at mid-run) is one matrix for a run, and
the inverse transformation is the inverse matrix. For a tracked pointing the slow drift of its
apparent place is taken into account, too, which matters near the zenith.

Left out: refraction, which DL3 directions do not have, and the Sun's light deflection (4 mas at
90 deg from the Sun, 15 mas at 30 deg). An error of a direction in ALTAZ turns the field of a
tracked pointing by itself over the sine of the zenith angle: 4 mas are 0.04 arcsec at 5 deg
offset and 0.5 deg from the zenith. This is what astropy's AltAz differs by in a run of half an
hour. A drifting field does not turn; there the Earth's orbit, taken as straight, adds 10 mas an
hour from mid-run.
"""

from dataclasses import dataclass
from typing import NamedTuple

import erfa
import numpy as np

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

DRIFT_STEP = 900.0  # s, for the derivative of what changes slowly
MAX_SPAN = 43200.0  # s, the drift is linear to 1 mas in this
LARGEST_TIME = 1e11  # s
FLIP = np.array([[1.0], [-1.0], [1.0]])  # fov_lon increases with decreasing azimuth


class _Pointing:
    """What all pointings do; `_field` of each makes the field of view of some times."""

    def sky_to_fov(self, ra, dec, time):
        """Return the places in the field of view of directions in the sky.

        Parameters
        ----------
        ra, dec : array_like
            Directions, deg, ICRS.
        time : array_like
            Seconds of TT since `mjdref`. The three broadcast.

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
        ra, dec, time = checked_arrays(ra=(ra, 360), dec=(dec, 90), time=(time, LARGEST_TIME))
        return in_chunks(self._field(time).forth, ra, dec, time)

    def fov_to_sky(self, fov_lon, fov_lat, time):
        """Return the directions in the sky of places in the field of view.

        Parameters
        ----------
        fov_lon, fov_lat : array_like
            Longitude and latitude about the pointing, deg.
        time
            See `sky_to_fov`, of which this is the inverse.

        Returns
        -------
        ra, dec : ndarray
            Directions, deg, ICRS. RA is from 0 to 360.

        Raises
        ------
        ValueError
            As `sky_to_fov` does.
        """
        lon, lat, time = checked_arrays(
            fov_lon=(fov_lon, 360), fov_lat=(fov_lat, 90), time=(time, LARGEST_TIME)
        )
        ra, dec = in_chunks(self._field(time).back, lon, lat, time)
        return _positive(ra), dec


@dataclass(frozen=True)
class Tracking(_Pointing):
    """A pointing, fixed on the sky, that is followed from a site.

    Parameters
    ----------
    ra, dec : float
        The pointing, deg, ICRS.
    site : Site
        Where from.
    mjdref : float
        The zero of event times, MJD in TT: GADF's MJDREFI + MJDREFF (if TIMESYS is TT).

    Examples
    --------
    >>> site = Site(16.5, -23.27, 1835.0)
    >>> run = Tracking(83.63, 22.01, site, mjdref=55197.0)
    >>> lon, lat = run.sky_to_fov(83.63, 23.01, time=[0.0, 3600.0])
    >>> np.hypot(lon, lat).round(3)  # turns about the pointing
    array([1., 1.])
    """

    ra: float
    dec: float
    site: Site
    mjdref: float

    def __post_init__(self):
        checked_arrays(ra=(self.ra, 360), dec=(self.dec, 90), mjdref=(self.mjdref, 1e6))

    def altaz(self, time):
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
        (time,) = checked_arrays(time=(time, LARGEST_TIME))
        run = self._run(time)
        lag = time.ravel() - run.mid
        cos, sin = np.cos(EARTH_RATE * lag), np.sin(EARTH_RATE * lag)
        x, y, z = (run.pointing - run.spin)[:, None] + np.outer(run.drift, lag)
        moved = np.stack([x * cos + y * sin, y * cos - x * sin, z]) + run.spin[:, None]
        east, north, up = run.local @ moved
        az, alt = to_angles(north, east, up)
        return alt.reshape(time.shape), _positive(az).reshape(time.shape)

    def radec(self, time):
        """Return the pointing's RA and Dec, which are constant; as `Drift.radec`."""
        return _constant(time, self.ra % 360, self.dec)

    def _field(self, time):
        """Return the `_TrackedField` for these times."""
        matrix = np.eye(4)
        run = self._run(time)
        matrix[:3, :3] = axes = local_axes(*np.rad2deg(erfa.c2s(run.pointing)))
        # Only how zenith and pointing differ matters: we move the zenith, against the pointing
        x, y, z = run.local[2] - run.spin
        motion = np.stack([np.add(run.spin, [0, 0, z]), [x, y, 0], [-y, x, 0], -run.drift], axis=1)
        return _TrackedField(matrix @ run.boost, axes[1:] @ motion, run.mid)

    def _run(self, time):
        """Return the `_Run` of these times."""
        mid = _middle(time)
        steps = DRIFT_STEP * np.array([-1, 0, 1])
        boost, local, spin = earth(self.mjdref + (mid + steps) / erfa.DAYSEC, self.site)
        pointing = boost @ [*local_axes(self.ra, self.dec)[0], 1]
        pointing = pointing[:, :3] / pointing[:, 3:]
        slow = pointing - spin
        drift = (slow[2] - slow[0]) / (2 * DRIFT_STEP)
        return _Run(mid, boost[1], local[1], spin[1], pointing[1], drift)


@dataclass(frozen=True)
class Drift(_Pointing):
    """A pointing, fixed in altitude and azimuth, that the sky drifts through: OBS_MODE=DRIFT.

    Parameters
    ----------
    alt, az : float
        The pointing, deg, without refraction; azimuth is 0 in the north, 90 in the east: GADF's
        ALT_PNT, AZ_PNT.
    site : Site
        Where from.
    mjdref : float
        The zero of event times, MJD in TT: GADF's MJDREFI + MJDREFF (if TIMESYS is TT).
    """

    alt: float
    az: float
    site: Site
    mjdref: float

    def __post_init__(self):
        checked_arrays(alt=(self.alt, 90), az=(self.az, 360), mjdref=(self.mjdref, 1e6))

    def altaz(self, time):
        """Return the pointing's altitude and azimuth, which are constant; as `Tracking.altaz`."""
        return _constant(time, self.alt, self.az % 360)

    def radec(self, time):
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

    def _field(self, time):
        """Return the `_DriftingField` for these times."""
        mid = _middle(time)
        boost, local, spin = earth(self.mjdref + np.array([mid]) / erfa.DAYSEC, self.site)
        # Diurnal aberration turns with the Earth, so it is a boost by itself. Two boosts in turn
        # are that of the sum but for a rotation, known at mid-run, that varies by 0.03 mas
        diurnal = boosts(spin)[0]
        horizon = np.eye(4)
        horizon[:3, :3] = (local_axes(self.az, self.alt) * FLIP) @ local[0, [1, 0, 2]]
        return _DriftingField(np.linalg.solve(diurnal, boost[0]), horizon @ diurnal, mid)


def altaz_to_radec(alt, az, mjd, site):
    """Return the directions in the sky that are at an altitude and azimuth at a time.

    Parameters
    ----------
    alt, az : array_like
        Altitude and azimuth (north 0, east 90), deg, without refraction.
    mjd : array_like
        When, MJD in TT. The three broadcast.
    site : Site
        Where from.

    Returns
    -------
    ra, dec : ndarray
        Directions, deg, ICRS. RA is from 0 to 360.

    Raises
    ------
    ValueError
        If a value is not finite or out of range.
    """
    alt, az, mjd = checked_arrays(alt=(alt, 90), az=(az, 360), mjd=(mjd, 1e6))
    boost, local, _ = earth(mjd.ravel(), site)
    north, east, up, scale = null_vectors(az.ravel(), alt.ravel())
    seen = np.einsum("nji,jn->ni", local, np.stack([east, north, up]))
    sky = np.linalg.solve(boost, np.column_stack([seen, scale])[..., None])
    ra, dec = to_angles(*sky[:, :3, 0].T)
    return _positive(ra).reshape(alt.shape), dec.reshape(alt.shape)


class _Run(NamedTuple):
    """What changes slowly, at mid-run. Vectors are in the CIRS, speeds in units of light's."""

    mid: float  # s
    boost: np.ndarray  # (4, 4), ICRS null vectors to apparent ones
    local: np.ndarray  # (3, 3), to east, north, up
    spin: np.ndarray  # (3,), the site's velocity about the Earth's axis
    pointing: np.ndarray  # (3,), apparent
    drift: np.ndarray  # (3,), of the pointing but for `spin`, 1/s


class _TrackedField(NamedTuple):
    """The field of view of a tracked pointing during a run, which rotates about its centre.

    Notes
    -----
    With v an ICRS null vector, the place in the field of view is R(z(t)) M v. M (`matrix`) is
    aberration, precession and nutation at mid-run, and the rotation to axes (pointing, larger
    fov_lon, larger fov_lat). z(t) is the component of the zenith across the pointing; R turns
    it to the fov_lat axis. The zenith moves about the Earth's axis by w = EARTH_RATE × lag:
    z(t) = A (1 + T^2, 1 - T^2, 2 T, (1 + T^2) lag), T = tan(w / 2), A = `motion`.
    """

    matrix: np.ndarray  # (4, 4), ICRS null vectors to (pointing, fov_lon, fov_lat, 1), not turned
    motion: np.ndarray  # (2, 4), zenith's fov_lon, fov_lat by 1, cos, sin of rotation, and lag
    mid: float  # s

    def forth(self, ra, dec, time):
        """Return null vectors (4, n) to pointing, fov_lon, fov_lat."""
        return rotated_about_first(self.matrix @ null_vectors(ra, dec), *self.zenith(time))

    def back(self, lon, lat, time):
        """Return null vectors (4, n) in ICRS."""
        across, up = self.zenith(time)
        return np.linalg.inv(self.matrix) @ rotated_about_first(null_vectors(lon, lat), -across, up)

    def zenith(self, time):
        """Return the zenith's components along fov_lon, fov_lat at mid-run, to a scale."""
        lag = time - self.mid
        t = np.tan(EARTH_RATE / 2 * lag)
        square = t * t
        one = 1 + square
        return self.motion @ np.stack([one, 1 - square, 2 * t, one * lag])


class _DriftingField(NamedTuple):
    """The field of view of a drifting pointing during a run, which rotates with the Earth.

    Notes
    -----
    With v an ICRS null vector, the place in the field of view is H R(w) S v: S (`sky`) to the
    CIRS, R the Earth's rotation by w = EARTH_RATE × lag about the third axis, H (`horizon`)
    diurnal aberration, polar motion and the rotation to (pointing, fov_lon, fov_lat).
    """

    sky: np.ndarray  # (4, 4), ICRS null vectors to CIRS, as from the Earth's centre
    horizon: np.ndarray  # (4, 4), from there, turned, to (pointing, fov_lon, fov_lat, 1)
    mid: float  # s

    def forth(self, ra, dec, time):
        """Return null vectors (4, n) to pointing, fov_lon, fov_lat."""
        return self.horizon @ self.rotated(self.sky @ null_vectors(ra, dec), time - self.mid)

    def back(self, lon, lat, time):
        """Return null vectors (4, n) in ICRS."""
        turning = np.linalg.inv(self.horizon) @ null_vectors(lon, lat)
        return np.linalg.inv(self.sky) @ self.rotated(turning, self.mid - time)

    def rotated(self, vector, lag):
        """Return null vectors as the Earth sees them after it has turned for `lag` s."""
        x, y, z, scale = vector
        t = np.tan(EARTH_RATE / 2 * lag)
        square = t * t
        one, cos, sin = 1 + square, 1 - square, 2 * t
        return np.stack([x * cos + y * sin, y * cos - x * sin, z * one, scale * one])


def _middle(time):
    """Return the middle of these times, which may span 12 h."""
    first, last = (time.min(), time.max()) if time.size else (0.0, 0.0)
    if last - first > MAX_SPAN:
        raise ValueError(f"time: got a span of {last - first} s, expected {MAX_SPAN:g} or less")
    return (first + last) / 2


def _positive(lon):
    """Return longitudes from 0 to 360 deg of those from -180 to 180."""
    return np.where(lon < 0, lon + 360, lon)


def _constant(time, *values):
    """Return arrays of these values in the shape of the times."""
    (time,) = checked_arrays(time=(time, LARGEST_TIME))
    return tuple(np.full(time.shape, float(value)) for value in values)
