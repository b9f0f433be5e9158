"""The Earth's motion and orientation at a time, at a site.

The models are those of astropy's `AltAz` (IAU 2006), computed with erfa. UT1 and the position of
the pole are taken from the IERS table that comes with astropy, never from the network. Outside of
the table (it starts in 1973 and ends a year after its release) the values at its ends are used.
Directions in ALTAZ are then wrong by 15 arcsec per second of UT1 - UTC, which is 0.9 s or less, and
by 0.5 arcsec or less because of the pole; in a tracked field of view, at an offset of 5 deg, the
error is 2.4 arcsec or less if the zenith angle is 30 deg or more. Outside of the table, astropy
uses the given time as UT1: for a time in TT the error is 69 s, or 17 arcmin.
"""

import warnings
from dataclasses import dataclass

import erfa
import numpy as np

from simbg.sky import earth_rotation
from simbg.sky.vectors import checked_arrays, local_axes

__all__ = []

EARTH_RATE = 2 * np.pi * 1.00273781191135448 / erfa.DAYSEC  # rad/s, IERS Conventions 2010, 5.15


@dataclass(frozen=True)
class Site:
    """A position on the Earth, geodetic (WGS84).

    Parameters
    ----------
    lon, lat : float
        East longitude and latitude, deg: GADF's GEOLON, GEOLAT.
    height : float
        Height above the ellipsoid, m: GADF's ALTITUDE.

    Raises
    ------
    ValueError
        If a value is not finite or out of range.
    """

    lon: float
    lat: float
    height: float

    def __post_init__(self) -> None:
        checked_arrays(lon=(self.lon, 360), lat=(self.lat, 90), height=(self.height, 1e6))


def earth(mjd: np.ndarray, site: Site) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the transformations from ICRS to the horizon of a site at each time.

    Parameters
    ----------
    mjd : ndarray, shape (n,)
        Times, MJD in TT.
    site : Site
        Position of the telescopes.

    Returns
    -------
    boost : ndarray, shape (n, 4, 4)
        From ICRS null vectors to apparent ones in the CIRS: aberration, precession and nutation.
    local : ndarray, shape (n, 3, 3)
        Rotations from the CIRS to east, north, up.
    spin : ndarray, shape (n, 3)
        Velocity of the site about the Earth's axis, in the CIRS, in units of the speed of light.

    Notes
    -----
    Precession and nutation are IAU 2006/2000A (erfa.c2i06a), the Earth's orbit is erfa.epv00, polar
    motion is erfa.pom00; aberration is a Lorentz boost (Klioner, AJ 125 (2003) 1580, sect. 5).
    """
    tt = erfa.DJM0, mjd
    position = np.deg2rad(site.lon), np.deg2rad(site.lat), site.height
    angle, x, y = orientation(*tt)
    pole = x, y, erfa.sp00(*tt)
    horizon = local_axes(site.lon, site.lat)[[1, 2, 0]]
    local = horizon @ erfa.pom00(*pole) @ erfa.rz(angle, np.eye(3))
    spin = erfa.pvtob(*position, *pole, angle)["v"] / erfa.CMPS
    precession = erfa.c2i06a(*tt)
    with warnings.catch_warnings():
        # Before 1900 and after 2100 the Earth's velocity is right to fewer digits.
        warnings.filterwarnings("ignore", ".*date outside", erfa.ErfaWarning)
        orbit = erfa.epv00(*tt)[1]["v"] * (erfa.DAU / erfa.DAYSEC / erfa.CMPS)
    velocity = np.einsum("nij,nj->ni", precession, orbit) + spin
    boost = boosts(velocity)
    boost[:, :, :3] = boost[:, :, :3] @ precession
    return boost, local, spin


def boosts(velocity: np.ndarray) -> np.ndarray:
    """Return the Lorentz boosts (n, 4, 4) of null vectors, divided by gamma.

    ``velocity`` (n, 3) is in units of the speed of light.
    """
    slowness = np.sqrt(1 - np.sum(velocity**2, axis=1))[:, None, None]
    column = velocity[:, :, None]
    row = velocity[:, None, :]
    space = slowness * np.eye(3) + column * row / (1 + slowness)
    return np.block([[space, column], [row, np.ones_like(slowness)]])


def orientation(tt1: float, tt2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the Earth's rotation angle and the pole's x and y, rad; the two-part MJD is in TT."""
    with warnings.catch_warnings():
        # erfa does not know future leap seconds; UT1 is as uncertain then, see the module's text
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        utc = erfa.taiutc(*erfa.tttai(tt1, tt2))
        ut1_utc, x, y = earth_rotation.orientation(*utc)
        angle = erfa.era00(*erfa.utcut1(*utc, ut1_utc))
    return angle, x, y
