"""Observations, their events, and tables of them: make, select, group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from astropy import units as u
from astropy.table import Table
from astropy.time import Time

from simbg.fov import altaz_to_radec

__all__ = [
    "ALTITUDE_EDGES",
    "AZIMUTH_EDGES",
    "MJDREF",
    "Events",
    "Groups",
    "Observation",
    "make_observation_table",
]

# Zero of event times in our own stores, as in 2015: 2010-01-01 UTC, which is this MJD in TT.
MJDREF = 55197 + 66.184 / 86400
ALTITUDE_EDGES = (0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90)
AZIMUTH_EDGES = (-90, 90, 270)


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one observation in the ALTAZ-aligned field of view.

    Parameters
    ----------
    energy : ndarray, shape (n_events,)
        TeV
    fov_lon, fov_lat : ndarray, shape (n_events,)
        deg
    time : ndarray, shape (n_events,), optional
        s since the time reference of the observation.
    """

    energy: np.ndarray
    fov_lon: np.ndarray
    fov_lat: np.ndarray
    time: np.ndarray | None = None

    def __len__(self):
        return len(self.energy)


@dataclass(frozen=True, eq=False)
class Observation:
    """One run: what is known of it, and its events, read when asked for.

    Parameters
    ----------
    obs_id : int
    load : callable
        Returns the `Events`. Nothing is kept, so many runs take no memory.
    livetime, ontime : float
        s, without and with dead time.
    energy_threshold : float
        TeV; no event below it counts, and no exposure either.
    ra, dec, alt, az : float
        Pointing in deg: ICRS, and horizontal at mid-run.
    """

    obs_id: int
    load: Callable[[], Events]
    livetime: float
    ontime: float
    energy_threshold: float = 0.0
    ra: float = np.nan
    dec: float = np.nan
    alt: float = np.nan
    az: float = np.nan

    def __post_init__(self):
        if not 0 < self.livetime <= self.ontime * (1 + 1e-6):
            raise ValueError(
                f"run {self.obs_id}: got livetime {self.livetime} s and ontime {self.ontime} s, "
                "expected 0 < livetime ≤ ontime"
            )
        if not 0 <= self.energy_threshold < np.inf:
            raise ValueError(
                f"run {self.obs_id}: got energy threshold {self.energy_threshold} TeV, "
                "expected 0 or more"
            )

    def events(self):
        """The events, read now."""
        return self.load()

    @classmethod
    def in_memory(cls, events, **kwargs):
        """An observation whose events are at hand."""
        return cls(load=partial(_same, events), **kwargs)


@dataclass(frozen=True)
class Groups:
    """Altitude × azimuth bins; ``GROUP_ID`` counts from 0, altitude slowest.

    A bin holds its lower edge and not its upper, but for altitude 90 deg, which
    lies in the last. Azimuth is wrapped into the range of its edges.

    Parameters
    ----------
    altitude_edges, azimuth_edges : tuple of float
        deg, increasing.
    """

    altitude_edges: tuple[float, ...] = ALTITUDE_EDGES
    azimuth_edges: tuple[float, ...] = AZIMUTH_EDGES

    def assign(self, alt, az):
        """GROUP_ID of each pointing, −1 outside; alt and az in deg, shape (n,)."""
        alt, az = np.asarray(alt, float), np.asarray(az, float)
        start = self.azimuth_edges[0]
        wrapped = (az - start) % 360 + start
        n_az = len(self.azimuth_edges) - 1
        i_alt = np.searchsorted(self.altitude_edges, alt, side="right") - 1
        i_alt = np.where(alt == self.altitude_edges[-1], len(self.altitude_edges) - 2, i_alt)
        i_az = np.searchsorted(self.azimuth_edges, wrapped, side="right") - 1
        inside = (i_alt >= 0) & (i_alt < len(self.altitude_edges) - 1) & (i_az < n_az)
        return np.where(inside & np.isfinite(alt + az), i_alt * n_az + i_az, -1)

    @property
    def table(self):
        """The definitions: GROUP_ID, ALT_MIN, ALT_MAX, AZ_MIN, AZ_MAX (deg)."""
        alt, az = np.array(self.altitude_edges, float), np.array(self.azimuth_edges, float)
        n_alt, n_az = alt.size - 1, az.size - 1
        columns = {
            "ALT_MIN": np.repeat(alt[:-1], n_az),
            "ALT_MAX": np.repeat(alt[1:], n_az),
            "AZ_MIN": np.tile(az[:-1], n_alt),
            "AZ_MAX": np.tile(az[1:], n_alt),
        }
        table = Table({"GROUP_ID": np.arange(n_alt * n_az)})
        for name, values in columns.items():
            table[name] = values * u.deg
        return table


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
    site : simbg.fov.Site
    az_range, alt_range : tuple of float
        deg; horizontal pointing at mid-run.
    date_range : tuple
        Anything `astropy.time.Time` takes, UTC.
    n_tels_range : tuple of int
        Both ends included.
    ontime : float
        s
    deadtime_fraction : float
        1 − livetime / ontime; 2015's is 1/6.
    use_abs_time : bool
        TSTART and TSTOP as UTC in ISO format instead of seconds since `MJDREF`.

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
    """
    _check_ranges(n_obs, az_range, alt_range, n_tels_range, ontime, deadtime_fraction)
    start = _random_starts(n_obs, rng, date_range)
    az = rng.uniform(*az_range, n_obs) % 360
    alt = np.rad2deg(np.arcsin(rng.uniform(*np.sin(np.deg2rad(alt_range)), n_obs)))
    ra, dec = altaz_to_radec(alt, az, start.tt.mjd + 0.5 * ontime / 86400, site)
    table = Table({"OBS_ID": np.arange(1, n_obs + 1)})
    for name, values in zip(
        ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "ZEN_PNT"),
        (ra, dec, alt, az, 90 - alt),
        strict=True,
    ):
        table[name] = values * u.deg
    if use_abs_time:
        table["TSTART"], table["TSTOP"] = start.isot, (start + ontime * u.s).isot
    else:
        relative = (start.tt.mjd - MJDREF) * 86400
        table["TSTART"], table["TSTOP"] = relative * u.s, (relative + ontime) * u.s
    table["ONTIME"] = np.full(n_obs, ontime) * u.s
    table["LIVETIME"] = table["ONTIME"] * (1 - deadtime_fraction)
    table["DEADC"] = np.full(n_obs, 1 - deadtime_fraction)
    table["N_TELS"] = rng.integers(n_tels_range[0], n_tels_range[1], n_obs, endpoint=True)
    table["MUONEFF"] = rng.uniform(0.6, 1.0, n_obs)
    table.meta["TIME_FORMAT"] = "absolute" if use_abs_time else "relative"
    return table


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
    if not (ontime > 0 and 0 <= deadtime_fraction < 1):
        raise ValueError(
            f"ontime and dead time: got {ontime} s and {deadtime_fraction}, expected > 0 and 0–1"
        )


def _same(value):
    return value
