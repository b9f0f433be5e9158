"""Sky <-> field of view of a tracked pointing, aligned with ALTAZ or RADEC.

In a run only the Earth's rotation is fast, and it is one angle in the field of view. All else
(precession, nutation, aberration, polar motion; erfa's, at mid-run, with the pointing's drift) is
one matrix a run. Aberration is a Lorentz boost of the null vector (e, 1), e the unit vector to
the event: exact, linear and inverted as a matrix. Null vectors may have any scale, so
(cos, sin) = (1 - t^2, 2 t) / (1 + t^2), t the tangent of half the angle, needs no division.

Left out: refraction, which DL3 directions do not have, and the Sun's light deflection (4 mas at
90 deg from the Sun, 15 mas at 30 deg). An error of a direction in ALTAZ turns the field by itself
over the sine of the zenith angle: 4 mas are 0.04 arcsec at 5 deg offset and 0.5 deg from the
zenith. This is what astropy's AltAz differs by in a run of half an hour.

UT1 and the pole are from the IERS table that comes with astropy, never from the network. Outside
of it (from 1973 to a year after its release) they keep its end values. Directions in ALTAZ are
then off by 15 arcsec a second of UT1 - UTC, of which there is 0.9 s or less, and by 0.5 arcsec or
less for the pole; in the field of view, at 5 deg offset, 2.4 arcsec or less at 30 deg from the
zenith. There astropy takes a time as it is for UT1: in TT, this is 69 s or 17 arcmin off.
"""

import functools
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import erfa
import numpy as np
from astropy.utils import iers

__all__ = ["Site", "Tracking", "altaz_to_radec"]

EARTH_RATE = 2 * np.pi * 1.00273781191135448 / erfa.DAYSEC  # rad/s, IERS Conventions 2010, 5.15
DRIFT_STEP = 900.0  # s, for the derivative of what changes slowly
MAX_SPAN = 43200.0  # s, the drift is linear to 1 mas in this
CHUNK = 8192  # events; temporaries stay in the cache and below malloc's mmap threshold


@dataclass(frozen=True)
class Site:
    """A place on the Earth, geodetic (WGS84).

    Parameters
    ----------
    lon, lat : float
        East longitude and latitude, deg: GADF's GEOLON, GEOLAT.
    height : float
        Height above the ellipsoid, m: GADF's ALTITUDE.
    """

    lon: float
    lat: float
    height: float

    def __post_init__(self):
        _checked(lon=(self.lon, 360), lat=(self.lat, 90), height=(self.height, 1e6))


@dataclass(frozen=True)
class Tracking:
    """A pointing, fixed on the sky, that is followed from a site.

    Parameters
    ----------
    ra, dec : float
        The pointing, deg, ICRS.
    site : Site
        Where from.
    mjdref : float
        The zero of event times, MJD in TT: GADF's MJDREFI + MJDREFF (if TIMESYS is TT).
    """

    ra: float
    dec: float
    site: Site
    mjdref: float

    def __post_init__(self):
        _checked(ra=(self.ra, 360), dec=(self.dec, 90), mjdref=(self.mjdref, 1e6))

    def sky_to_fov(self, ra, dec, time, align="ALTAZ"):
        """Return the places in the field of view of directions in the sky.

        Parameters
        ----------
        ra, dec : array_like
            Directions, deg, ICRS.
        time : array_like
            Seconds of TT since `mjdref`. The three broadcast. RADEC does not depend on it.
        align : {"ALTAZ", "RADEC"}
            Whose north is up.

        Returns
        -------
        fov_lon, fov_lat : ndarray
            Longitude (-180 to 180) and latitude about the pointing, deg. `fov_lon` increases with
            decreasing azimuth or RA, `fov_lat` with increasing altitude or declination (GADF
            v0.3, general/coordinates).

        Raises
        ------
        ValueError
            If a value is not finite or out of range, `align` is neither of the two, or times for
            ALTAZ span more than 12 h.
        """
        ra, dec, time = _checked(ra=(ra, 360), dec=(dec, 90), time=(time, 1e11))
        field = self._field(time, align)

        def forth(ra, dec, time):
            return _turned(field.matrix @ _null(ra, dec), *field.zenith(time))

        return _chunked(forth, ra, dec, time)

    def fov_to_sky(self, fov_lon, fov_lat, time, align="ALTAZ"):
        """Return the directions in the sky of places in the field of view.

        Parameters
        ----------
        fov_lon, fov_lat : array_like
            Longitude and latitude about the pointing, deg.
        time, align
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
        lon, lat, time = _checked(fov_lon=(fov_lon, 360), fov_lat=(fov_lat, 90), time=(time, 1e11))
        field = self._field(time, align)
        inverse = np.linalg.inv(field.matrix)

        def back(lon, lat, time):
            across, up = field.zenith(time)
            return inverse @ _turned(_null(lon, lat), -across, up)

        ra, dec = _chunked(back, lon, lat, time)
        return np.where(ra < 0, ra + 360, ra), dec

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
        (time,) = _checked(time=(time, 1e11))
        run = self._run(time)
        lag = time.ravel() - run.mid
        cos, sin = np.cos(EARTH_RATE * lag), np.sin(EARTH_RATE * lag)
        x, y, z = (run.pointing - run.spin)[:, None] + np.outer(run.drift, lag)
        turned = np.stack([x * cos + y * sin, y * cos - x * sin, z]) + run.spin[:, None]
        east, north, up = run.local @ turned
        az, alt = _angles(north, east, up)
        return alt.reshape(time.shape), np.where(az < 0, az + 360, az).reshape(time.shape)

    def _field(self, time, align):
        """Return the `_Field` for these times."""
        matrix = np.eye(4)
        if align == "RADEC":
            matrix[:3, :3] = _axes(self.ra, self.dec) * [[1], [-1], [1]]
            return _Field(matrix, np.array([[0.0] * 4, [1.0, 0, 0, 0]]), 0.0)
        if align != "ALTAZ":
            raise ValueError(f"align: got {align!r}, expected 'ALTAZ' or 'RADEC'")
        run = self._run(time)
        matrix[:3, :3] = axes = _axes(*np.rad2deg(erfa.c2s(run.pointing)))
        # Only how zenith and pointing differ matters: we move the zenith, against the pointing
        x, y, z = run.local[2] - run.spin
        motion = np.stack([np.add(run.spin, [0, 0, z]), [x, y, 0], [-y, x, 0], -run.drift], axis=1)
        return _Field(matrix @ run.boost, axes[1:] @ motion, run.mid)

    def _run(self, time):
        """Return the `_Run` of these times."""
        first, last = (time.min(), time.max()) if time.size else (0.0, 0.0)
        if last - first > MAX_SPAN:
            raise ValueError(f"time: got a span of {last - first} s, expected {MAX_SPAN:g} or less")
        mid = (first + last) / 2
        steps = DRIFT_STEP * np.array([-1, 0, 1])
        boost, local, spin = _earth(self.mjdref + (mid + steps) / erfa.DAYSEC, self.site)
        pointing = boost @ [*_axes(self.ra, self.dec)[0], 1]
        pointing = pointing[:, :3] / pointing[:, 3:]
        slow = pointing - spin
        drift = (slow[2] - slow[0]) / (2 * DRIFT_STEP)
        return _Run(mid, boost[1], local[1], spin[1], pointing[1], drift)


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
    alt, az, mjd = _checked(alt=(alt, 90), az=(az, 360), mjd=(mjd, 1e6))
    boost, local, _ = _earth(mjd.ravel(), site)
    north, east, up, scale = _null(az.ravel(), alt.ravel())
    seen = np.einsum("nji,jn->ni", local, np.stack([east, north, up]))
    sky = np.linalg.solve(boost, np.column_stack([seen, scale])[..., None])
    ra, dec = _angles(*sky[:, :3, 0].T)
    return np.where(ra < 0, ra + 360, ra).reshape(alt.shape), dec.reshape(alt.shape)


class _Run(NamedTuple):
    """What changes slowly, at mid-run. Vectors are in the CIRS, speeds in units of light's."""

    mid: float  # s
    boost: np.ndarray  # (4, 4), ICRS null vectors to apparent ones
    local: np.ndarray  # (3, 3), to east, north, up
    spin: np.ndarray  # (3,), the site's velocity about the Earth's axis
    pointing: np.ndarray  # (3,), apparent
    drift: np.ndarray  # (3,), of the pointing but for `spin`, 1/s


class _Field(NamedTuple):
    """The field of view during a run."""

    matrix: np.ndarray  # (4, 4), ICRS null vectors to (pointing, fov_lon, fov_lat, 1), not turned
    motion: np.ndarray  # (2, 4), zenith's fov_lon, fov_lat by 1, cos, sin of rotation, and lag
    mid: float  # s

    def zenith(self, time):
        """Return the zenith's components along fov_lon, fov_lat at mid-run, to a scale."""
        lag = time - self.mid
        t = np.tan(EARTH_RATE / 2 * lag)
        square = t * t
        one = 1 + square
        return self.motion @ np.stack([one, 1 - square, 2 * t, one * lag])


def _earth(mjd, site):
    """Return boosts (n, 4, 4), matrices to east, north, up (n, 3, 3), spin velocities (n, 3).

    From ICRS to CIRS, from CIRS, in CIRS; the models are those of astropy's `AltAz` (IAU 2006).
    """
    tt = erfa.DJM0, mjd
    place = np.deg2rad(site.lon), np.deg2rad(site.lat), site.height
    angle, x, y = _orientation(*tt)
    pole = x, y, erfa.sp00(*tt)
    horizon = _axes(site.lon, site.lat)[[1, 2, 0]]
    local = horizon @ erfa.pom00(*pole) @ erfa.rz(angle, np.eye(3))
    spin = erfa.pvtob(*place, *pole, angle)["v"] / erfa.CMPS
    precession = erfa.c2i06a(*tt)
    orbit = erfa.epv00(*tt)[1]["v"] * (erfa.DAU / erfa.DAYSEC / erfa.CMPS)
    velocity = np.einsum("nij,nj->ni", precession, orbit) + spin
    boost = _boost(velocity)
    boost[:, :, :3] = boost[:, :, :3] @ precession
    return boost, local, spin


def _boost(velocity):
    """Return the Lorentz boosts (n, 4, 4) of null vectors, over gamma; velocity (n, 3) over c."""
    slowness = np.sqrt(1 - np.sum(velocity**2, axis=1))[:, None, None]
    column = velocity[:, :, None]
    row = velocity[:, None, :]
    space = slowness * np.eye(3) + column * row / (1 + slowness)
    return np.block([[space, column], [row, np.ones_like(slowness)]])


def _orientation(tt1, tt2):
    """Return the Earth's rotation angle and the pole's x and y, rad, as arrays."""
    table = _iers_table()
    with warnings.catch_warnings():
        # erfa does not know the leap seconds to come; UT1 is as uncertain then, see above
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        utc = erfa.taiutc(*erfa.tttai(tt1, tt2))
        ut1_utc = table.ut1_utc(*utc, return_status=True)[0].to_value("s")
        angle = erfa.era00(*erfa.utcut1(*utc, ut1_utc))
    x, y = (p.to_value("rad") for p in table.pm_xy(*utc, return_status=True)[:2])
    return angle, x, y


@functools.cache
def _iers_table():
    """Return the table of the Earth's rotation that comes with astropy."""
    return iers.IERS_A.open(iers.IERS_A_FILE)


def _axes(lon, lat):
    """Return unit vectors (3, 3) at a place in deg: to it, to larger lon, to larger lat."""
    (sin_lon, sin_lat), (cos_lon, cos_lat) = (f(np.deg2rad([lon, lat])) for f in (np.sin, np.cos))
    return np.array(
        [
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
            [-sin_lon, cos_lon, 0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
        ]
    )


def _null(lon, lat):
    """Return null vectors (4, n) of any scale in these directions, deg."""
    t, u = np.tan(lon * (np.pi / 360)), np.tan(lat * (np.pi / 360))
    tt, uu = t * t, u * u
    across = 1 - uu
    one = 1 + tt
    return np.stack([across * (1 - tt), across * (2 * t), 2 * u * one, (1 + uu) * one])


def _turned(vector, across, up):
    """Return null vectors (4, n) turned about the first axis, (0, across, up, 0) to the third."""
    x, y, z, time = vector
    norm = np.sqrt(across * across + up * up)
    return np.stack([x * norm, y * up - z * across, y * across + z * up, time * norm])


def _angles(x, y, z, *_):
    """Return longitude (-180 to 180) and latitude, deg."""
    scale = 180 / np.pi
    return np.arctan2(y, x) * scale, np.arctan2(z, np.sqrt(x * x + y * y)) * scale


def _chunked(function, lon, lat, time):
    """Return longitudes and latitudes of `function`'s vectors, a chunk of events at a time."""
    flat = [a.reshape(-1) for a in (lon, lat, time)]
    result = np.empty((2, lon.size))
    for start in range(0, lon.size, CHUNK):
        part = slice(start, start + CHUNK)
        result[:, part] = _angles(*function(*(a[part] for a in flat)))
    return result[0].reshape(lon.shape), result[1].reshape(lon.shape)


def _checked(**columns):
    """Return float arrays of one shape, each given with the largest size its values may have."""
    for name, (values, limit) in columns.items():
        values = np.asarray(values, float)
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if not (-limit <= low and high <= limit):
            raise ValueError(f"{name}: got {low} to {high}, expected -{limit} to {limit}, finite")
        columns[name] = values, limit
    return np.broadcast_arrays(*(values for values, _ in columns.values()))
