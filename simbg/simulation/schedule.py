"""Schedule: the observation table of a scenario, with times and pointings of its runs."""

from numbers import Integral
from typing import Any

import erfa
import numpy as np
from astropy import units as u
from astropy.coordinates import offset_by
from astropy.table import Table
from astropy.time import Time

from simbg.observations.observation import MJDREF
from simbg.simulation.seeds import named_rng
from simbg.sky.pointing import Tracking, altaz_to_radec

__all__ = ["rows_of"]

# Nights of 2010 to 2014 and hours of the night (UTC) at which runs start, as in 2015.
NIGHTS = 55197.0, 57023.0  # MJD
HOURS = 22.0, 27.5
# Hours (UTC) of the middles of runs on a target.
HOURS_TARGET = 19.0, 28.0
N_TELS, MUON_EFFICIENCY = (3, 4), (0.6, 1.0)
# Linear approximation of the sidereal time (IAU 1982, rounded): deg per day minus 360, and deg at
# MJD 51544.5 UT1 in Greenwich. The quadratic `erfa.gmst82` would change starts, and with them all
# stores, by 1 ms.
SIDEREAL = 0.98564736629
GREENWICH = 280.46061837


def observation_table(scenario: Any, seed: int, n_obs: int) -> Table:
    """Random observations with the distribution of 2015's ``make_test_observation_table``.

    Azimuth and sine of the altitude are uniform, so pointings are uniform on the sphere; days
    are uniform in 2010 to 2014 and runs start between 22:00 and 3:30 UTC of their night; muon
    efficiencies are uniform in 0.6–1.

    With a target, runs point ``wobble`` deg to the north, east, south and west of it in turn.
    Altitudes are drawn as without a target, and limited to those that the target reaches; azimuths
    follow from them. The middles of runs are between 19:00 and 4:04 UTC, up to a year after the
    range of dates.

    Parameters
    ----------
    scenario : Scenario
        Its ranges, site and target.
    seed : int
        Seed of the schedule.
    n_obs : int
        Number of observations.

    Returns
    -------
    Table
        OBS_ID, RA_PNT, DEC_PNT, ALT_PNT, AZ_PNT, ZEN_PNT (deg), TSTART, TSTOP (s since `MJDREF`),
        ONTIME, LIVETIME (s), DEADC, N_TELS, MUONEFF, SAFE_ENERGY_LO (TeV); RA and Dec (ICRS) from
        altitude and azimuth at mid-run. Depending on the scenario also N_GTI, GTI_GAP (s),
        OBS_MODE, and two columns that are not written to a store: TRUE_NORM and TRUE_DRIFT (per
        hour).

    Raises
    ------
    ValueError
        If ``n_obs`` is not positive, or the target never reaches the altitudes of the scenario.
    """
    if not (isinstance(n_obs, Integral) and n_obs >= 1):
        raise ValueError(f"number of observations: got {n_obs}, expected an integer, 1 or more")
    rng = named_rng(seed, scenario.name + " runs")
    duration = scenario.ontime + (scenario.n_gti - 1) * scenario.gti_gap
    start, pointings = _pointings(scenario, n_obs, duration, rng)
    tstart = (_tt(start) - MJDREF) * 86400
    table = Table({"OBS_ID": np.arange(1, n_obs + 1)} | pointings)
    table["TSTART"], table["TSTOP"] = tstart * u.s, (tstart + duration) * u.s
    table["ONTIME"] = np.full(n_obs, scenario.ontime) * u.s
    dead = scenario.deadtime_fraction
    # A range of dead times uses random numbers, a fixed one does not.
    live_fraction = 1 - (rng.uniform(dead[0], dead[1], n_obs) if np.ndim(dead) else dead)
    table["LIVETIME"] = table["ONTIME"] * live_fraction
    table["DEADC"] = np.full(n_obs, live_fraction)
    table["N_TELS"] = rng.integers(*N_TELS, n_obs, endpoint=True)
    table["MUONEFF"] = rng.uniform(*MUON_EFFICIENCY, n_obs)
    if scenario.n_gti > 1:
        table["N_GTI"] = np.full(n_obs, scenario.n_gti)
        table["GTI_GAP"] = np.full(n_obs, scenario.gti_gap) * u.s
    table.meta["TIME_FORMAT"] = "relative"
    _add_settings(table, scenario, seed)
    return table


def _add_settings(table, scenario, seed):
    """Add columns of the threshold, the observing mode and the true factors of the runs."""
    cosine = np.cos(np.deg2rad(np.asarray(table["ZEN_PNT"])))
    threshold = scenario.energy_threshold * cosine**-scenario.threshold_power
    table["SAFE_ENERGY_LO"] = threshold * u.TeV
    if sigma := scenario.run_scatter:
        normal = named_rng(seed, scenario.name + " norms").standard_normal(len(table))
        table["TRUE_NORM"] = np.exp(sigma * normal - 0.5 * sigma**2)
    if scenario.rate_drift:
        table["TRUE_DRIFT"] = np.full(len(table), scenario.rate_drift)
    if scenario.drift:
        table["OBS_MODE"] = ["DRIFT"] * len(table)


def _pointings(scenario, n_obs, duration, rng):
    """Starts of the runs, and their pointings at mid-run as columns in deg."""
    night = np.floor(rng.uniform(*NIGHTS, n_obs))
    start = Time(night + rng.uniform(*HOURS, n_obs) / 24, format="mjd", scale="utc")
    az = rng.uniform(*scenario.az_range, n_obs) % 360
    alt = np.rad2deg(np.arcsin(rng.uniform(*np.sin(np.deg2rad(scenario.alt_range)), n_obs)))
    if scenario.target is None:
        middle = _tt(start) + 0.5 * duration / 86400
        ra, dec = altaz_to_radec(alt, az, middle, scenario.site)
    else:
        # North, east, south and west of the target in turn.
        turn, wobble = np.arange(n_obs) % 4 * 90 * u.deg, scenario.wobble * u.deg
        ra, dec = (x.deg for x in offset_by(*scenario.target * u.deg, turn, wobble))
        start = _starts_at(alt, ra, dec, start, duration, scenario.site, rng)
        alt, az = _altaz_at_middle(ra, dec, start, duration, scenario.site)
    names = "RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "ZEN_PNT"
    angles = zip(names, (ra, dec, alt, az, 90 - alt), strict=True)
    return start, {name: angle * u.deg for name, angle in angles}


def _starts_at(alt, ra, dec, night, duration, site, rng):
    """Starts of runs with about these altitudes at mid-run, east or west of the meridian.

    Notes
    -----
    cos h = (sin alt − sin φ sin δ) / (cos φ cos δ), with hour angle h, latitude φ, declination δ.
    """
    lat = np.deg2rad(site.lat)
    sin_alt, dec = np.sin(np.deg2rad(alt)), np.deg2rad(dec)
    cosine = (sin_alt - np.sin(lat) * np.sin(dec)) / (np.cos(lat) * np.cos(dec))
    if np.all(cosine > 1):
        got = f"target: got a culmination below {np.min(alt):.1f} deg"
        raise ValueError(f"{got}, expected one within alt_range; choose lower altitudes")
    hour_angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) * rng.choice((-1, 1), alt.size)
    middle = np.floor(night.mjd) + rng.uniform(*HOURS_TARGET, alt.size) / 24
    sidereal = GREENWICH + (360 + SIDEREAL) * (middle - 51544.5) + site.lon
    later = (ra + hour_angle - sidereal) % 360
    days = np.floor(later / SIDEREAL)
    middle = middle + days + (later - days * SIDEREAL) / (360 + SIDEREAL)
    return Time(middle - 0.5 * duration / 86400, format="mjd", scale="utc")


def _altaz_at_middle(ra, dec, start, duration, site):
    """Altitudes and azimuths of the pointings at mid-run, shape (2, n_obs), deg."""
    middle = (_tt(start) - MJDREF) * 86400 + 0.5 * duration
    each = [
        Tracking(lon, lat, site, MJDREF).altaz(time) for lon, lat, time in np.c_[ra, dec, middle]
    ]
    return np.array(each).T


def _tt(utc):
    """MJD in TT of times in UTC; `utc.tt` would look for newer leap seconds on the network."""
    return Time(*erfa.taitt(*erfa.utctai(utc.jd1, utc.jd2)), format="jd", scale="tt").mjd


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries, which are small and can be sent to other processes."""
    columns = [table[name].tolist() for name in table.colnames]
    return [dict(zip(table.colnames, values, strict=True)) for values in zip(*columns, strict=True)]
