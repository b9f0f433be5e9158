"""Schedules: tables of simulated runs, when and where they look."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.time import Time

from simbg.observations.observation import MJDREF
from simbg.sky.pointing import Tracking, altaz_to_radec
from simbg.truth.sources import offset_by

__all__ = ["make_observation_table"]

# Deg of sidereal time a day beyond 360, and at MJD 51544.5 UT1 in Greenwich: IAU 1982, rounded.
SIDEREAL = 0.98564736629
GREENWICH = 280.46061837


def make_observation_table(
    n_obs,
    rng,
    site,
    az_range=(0.0, 360.0),
    alt_range=(45.0, 90.0),
    date_range=("2010-01-01", "2015-01-01"),
    n_tels_range=(3, 4),
    ontime=1800.0,
    deadtime_fraction=1 / 6,
    use_abs_time=False,
    target=None,
    wobble=0.0,
    n_gti=1,
    gti_gap=0.0,
):
    """Random observations, distributed as 2015's ``make_test_observation_table`` has them.

    Azimuth and sine of the altitude are uniform, so pointings are uniform on the
    sphere; days are uniform in ``date_range`` and runs start between 22:00 and
    3:30 UTC of their night (with a range under a day: uniform in the range);
    muon efficiencies are uniform in 0.6–1.

    Parameters
    ----------
    n_obs : int
    rng : numpy.random.Generator
    site : simbg.sky.pointing.Site
    az_range, alt_range : tuple of float
        deg; horizontal pointing at mid-run.
    date_range : tuple
        Anything `astropy.time.Time` takes, UTC.
    n_tels_range : tuple of int
        Both ends included.
    ontime : float
        s
    deadtime_fraction : float or tuple of float
        1 − livetime / ontime; 2015's is 1/6. Two numbers: uniform between them.
    use_abs_time : bool
        TSTART and TSTOP as UTC in ISO format instead of seconds since `MJDREF`.
    target : tuple of float, optional
        RA and Dec (deg, ICRS) that all runs look at, ``wobble`` deg north, east, south and
        west of it in turn. Altitudes are drawn as they are without, as far as the target
        gets there; azimuths follow. The middles of runs lie between 19:00 and 4:04 UTC, up
        to a year after the range of dates.
    n_gti, gti_gap : int, float
        Good time intervals of a run, and the s between them, by which the run is longer.

    Returns
    -------
    table : Table
        OBS_ID, RA_PNT, DEC_PNT, ALT_PNT, AZ_PNT, ZEN_PNT (deg), TSTART, TSTOP, ONTIME,
        LIVETIME (s), DEADC, N_TELS, MUONEFF; RA and Dec (ICRS) from altitude and
        azimuth at mid-run.

    Raises
    ------
    ValueError
        If a range is empty or outside what it can be.

    Examples
    --------
    >>> from simbg.simulation.scenarios import HESS_SITE
    >>> table = make_observation_table(5, np.random.default_rng(0), HESS_SITE, alt_range=(60, 80))
    >>> bool(table["ALT_PNT"].min() >= 60), table["LIVETIME"].unit.name
    (True, 's')
    """
    _check_ranges(n_obs, az_range, alt_range, n_tels_range, ontime, deadtime_fraction)
    duration = ontime + (n_gti - 1) * gti_gap
    if not (n_gti >= 1 and gti_gap >= 0):
        raise ValueError(f"n_gti, gti_gap: got {n_gti}, {gti_gap} s, expected ≥ 1 and ≥ 0")
    start = _random_starts(n_obs, rng, date_range)
    az = rng.uniform(*az_range, n_obs) % 360
    alt = np.rad2deg(np.arcsin(rng.uniform(*np.sin(np.deg2rad(alt_range)), n_obs)))
    if target is None:
        ra, dec = altaz_to_radec(alt, az, start.tt.mjd + 0.5 * duration / 86400, site)
    else:
        ra, dec = _wobbles(n_obs, target, wobble)
        start = _starts_at(alt, ra, dec, start, duration, site, rng)
        alt, az = _altaz_at_middle(ra, dec, start, duration, site)
    table = Table({"OBS_ID": np.arange(1, n_obs + 1)})
    for name, values in zip(
        ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "ZEN_PNT"),
        (ra, dec, alt, az, 90 - alt),
        strict=True,
    ):
        table[name] = values * u.deg
    if use_abs_time:
        table["TSTART"], table["TSTOP"] = start.isot, (start + duration * u.s).isot
    else:
        relative = (start.tt.mjd - MJDREF) * 86400
        table["TSTART"], table["TSTOP"] = relative * u.s, (relative + duration) * u.s
    table["ONTIME"] = np.full(n_obs, ontime) * u.s
    alive = 1 - _dead(deadtime_fraction, n_obs, rng)
    table["LIVETIME"] = table["ONTIME"] * alive
    table["DEADC"] = np.full(n_obs, alive)
    table["N_TELS"] = rng.integers(n_tels_range[0], n_tels_range[1], n_obs, endpoint=True)
    table["MUONEFF"] = rng.uniform(0.6, 1.0, n_obs)
    if n_gti > 1:
        table["N_GTI"], table["GTI_GAP"] = np.full(n_obs, n_gti), np.full(n_obs, gti_gap) * u.s
    table.meta["TIME_FORMAT"] = "absolute" if use_abs_time else "relative"
    return table


def _dead(fraction, n_obs, rng):
    """Dead time of each run; a random one takes random numbers, a fixed one none."""
    return rng.uniform(*fraction, n_obs) if np.ndim(fraction) else fraction


def _wobbles(n_obs, target, wobble):
    """RA and Dec of runs north, east, south and west of a target in turn."""
    ra, dec = target
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 <= wobble <= 90):
        raise ValueError(
            f"target: got {target} and wobble {wobble} deg, expected deg on the sky and 0 to 90"
        )
    angle = np.arange(n_obs) % 4 * 90.0
    return offset_by(ra, dec, angle, np.full(n_obs, float(wobble)))


def _starts_at(alt, ra, dec, night, duration, site, rng):
    """Starts of runs that have about these altitudes at their middle, east or west of south."""
    lat = np.deg2rad(site.lat)
    sin_alt, dec = np.sin(np.deg2rad(alt)), np.deg2rad(dec)
    cosine = (sin_alt - np.sin(lat) * np.sin(dec)) / (np.cos(lat) * np.cos(dec))
    if np.all(cosine > 1):
        raise ValueError(
            f"target: it culminates below {np.min(alt):.1f} deg, expected it within alt_range"
        )
    hour_angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) * rng.choice((-1, 1), alt.size)
    middle = np.floor(night.mjd) + rng.uniform(19.0, 28.0, alt.size) / 24
    sidereal = GREENWICH + (360 + SIDEREAL) * (middle - 51544.5) + site.lon
    later = (ra + hour_angle - sidereal) % 360
    days = np.floor(later / SIDEREAL)
    middle = middle + days + (later - days * SIDEREAL) / (360 + SIDEREAL)
    return Time(middle - 0.5 * duration / 86400, format="mjd", scale="utc")


def _altaz_at_middle(ra, dec, start, duration, site):
    middle = (start.tt.mjd - MJDREF) * 86400 + 0.5 * duration
    each = [
        Tracking(*place, site, MJDREF).altaz(np.array([when]))
        for *place, when in zip(ra.tolist(), dec.tolist(), middle, strict=True)
    ]
    return np.array(each)[:, :, 0].T


def _random_starts(n_obs, rng, date_range):
    first, last = (Time(date, scale="utc") for date in date_range)
    if not first < last:
        raise ValueError(f"date_range: got {date_range}, expected start before end")
    mjd = rng.uniform(first.mjd, last.mjd, n_obs)
    if last.mjd - first.mjd > 1:
        mjd = np.floor(mjd) + rng.uniform(22.0, 27.5, n_obs) / 24
    return Time(mjd, format="mjd", scale="utc")


def _check_ranges(n_obs, az_range, alt_range, n_tels_range, ontime, deadtime_fraction):
    if n_obs < 1:
        raise ValueError(f"number of observations: got {n_obs}, expected 1 or more")
    if not az_range[0] < az_range[1] <= az_range[0] + 360:
        raise ValueError(f"az_range: got {az_range}, expected increasing deg over at most 360")
    if not 0 <= alt_range[0] < alt_range[1] <= 90:
        raise ValueError(f"alt_range: got {alt_range}, expected increasing deg within 0 and 90")
    if not 1 <= n_tels_range[0] <= n_tels_range[1]:
        raise ValueError(f"n_tels_range: got {n_tels_range}, expected 1 ≤ first ≤ last")
    dead = np.atleast_1d(deadtime_fraction)
    if not (ontime > 0 and np.all((dead >= 0) & (dead < 1)) and dead[0] <= dead[-1]):
        raise ValueError(
            f"ontime and dead time: got {ontime} s and {deadtime_fraction}, expected > 0 and 0–1"
        )
