"""The Earth: how it moves and is turned at a time, seen from a site.

The models are those of astropy's `AltAz` (IAU 2006), by erfa. UT1 and the pole are from the IERS
table that comes with astropy, never from the network. Outside of it (from 1973 to a year after
its release) they keep its end values. Directions in ALTAZ are then off by 15 arcsec a second of
UT1 - UTC, of which there is 0.9 s or less, and by 0.5 arcsec or less for the pole; in a tracked
field of view, at 5 deg offset, 2.4 arcsec or less at 30 deg from the zenith. There astropy takes
a time as it is for UT1: in TT, this is 69 s or 17 arcmin off.
"""

import functools
import warnings
from dataclasses import dataclass

import erfa
import numpy as np
from astropy.utils import iers

from simbg.sky.vectors import checked_arrays, local_axes

__all__ = []

EARTH_RATE = 2 * np.pi * 1.00273781191135448 / erfa.DAYSEC  # rad/s, IERS Conventions 2010, 5.15


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
        checked_arrays(lon=(self.lon, 360), lat=(self.lat, 90), height=(self.height, 1e6))


def earth(mjd, site):
    """Return boosts (n, 4, 4), matrices to east, north, up (n, 3, 3), spin velocities (n, 3).

    From ICRS to CIRS, from CIRS, in CIRS.

    Parameters
    ----------
    mjd : ndarray, shape (n,)
        MJD in TT.
    site : Site
    """
    tt = erfa.DJM0, mjd
    place = np.deg2rad(site.lon), np.deg2rad(site.lat), site.height
    angle, x, y = orientation(*tt)
    pole = x, y, erfa.sp00(*tt)
    horizon = local_axes(site.lon, site.lat)[[1, 2, 0]]
    local = horizon @ erfa.pom00(*pole) @ erfa.rz(angle, np.eye(3))
    spin = erfa.pvtob(*place, *pole, angle)["v"] / erfa.CMPS
    precession = erfa.c2i06a(*tt)
    orbit = erfa.epv00(*tt)[1]["v"] * (erfa.DAU / erfa.DAYSEC / erfa.CMPS)
    velocity = np.einsum("nij,nj->ni", precession, orbit) + spin
    boost = boosts(velocity)
    boost[:, :, :3] = boost[:, :, :3] @ precession
    return boost, local, spin


def boosts(velocity):
    """Return the Lorentz boosts (n, 4, 4) of null vectors, over gamma; velocity (n, 3) over c."""
    slowness = np.sqrt(1 - np.sum(velocity**2, axis=1))[:, None, None]
    column = velocity[:, :, None]
    row = velocity[:, None, :]
    space = slowness * np.eye(3) + column * row / (1 + slowness)
    return np.block([[space, column], [row, np.ones_like(slowness)]])


def orientation(tt1, tt2):
    """Return the Earth's rotation angle and the pole's x and y, rad, as arrays."""
    table = iers_table()
    with warnings.catch_warnings():
        # erfa does not know the leap seconds to come; UT1 is as uncertain then, see above
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        utc = erfa.taiutc(*erfa.tttai(tt1, tt2))
        ut1_utc = table.ut1_utc(*utc, return_status=True)[0].to_value("s")
        angle = erfa.era00(*erfa.utcut1(*utc, ut1_utc))
    x, y = (p.to_value("rad") for p in table.pm_xy(*utc, return_status=True)[:2])
    return angle, x, y


@functools.cache
def iers_table():
    """Return the table of the Earth's rotation that comes with astropy."""
    return iers.IERS_A.open(iers.IERS_A_FILE)
