"""Objects of gammapy: its observations as ours, and its backgrounds as cubes.

gammapy is not imported here: the objects bring their methods with them.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import cube_of_rings
from simbg.io.bkg_3d import REVERSED
from simbg.io.tables import RATE_UNIT
from simbg.observations.observation import Events, Observation
from simbg.sky.pointing import Drift, Site, Tracking
from simbg.sky.regions import Region

__all__ = ["cube_of_background", "is_of_gammapy", "observation_of"]

log = logging.getLogger(__name__)

# Tolerance for rounded times of events at the ends of good time intervals, s.
SLACK = 1e-3


def is_of_gammapy(given: Any) -> bool:
    """Whether an object is one of gammapy's classes.

    Parameters
    ----------
    given : object
        Any object.
    """
    return any(cls.__module__.partition(".")[0] == "gammapy" for cls in type(given).__mro__)


def cube_of_background(background: Any) -> BackgroundCube:
    """The cube of a background of gammapy; see `BackgroundCube.from_gammapy`.

    Parameters
    ----------
    background : Background3D or Background2D
        A background of gammapy.
    """
    names = list(getattr(getattr(background, "axes", None), "names", ()))
    if set(names) == {"energy", "offset"}:
        energy, offset = _edges(background, "energy", "TeV"), _edges(background, "offset", "deg")
        return cube_of_rings(energy, offset, _rate(background, ("energy", "offset")))
    if set(names) != {"energy", "fov_lon", "fov_lat"}:
        got = f"axes {names}" if names else f"type {type(background).__name__}"
        raise ValueError(f"from_gammapy: got {got}, expected a Background3D or Background2D")
    rate = _rate(background, ("energy", "fov_lon", "fov_lat"))
    lon = _edges(background, "fov_lon", "deg")
    align = str(getattr(background.fov_alignment, "value", background.fov_alignment))
    if align == REVERSED:
        align, lon, rate = "RADEC", -lon[::-1], rate[:, ::-1]
    elif "HDUCLAS2" in (meta := background.meta or {}) and "FOVALIGN" not in meta:
        log.warning(
            "from_gammapy: the file of the background has no FOVALIGN: ALTAZ, as GADF has it, and "
            "not %s, as gammapy has it",
            align,
        )
        align = "ALTAZ"
    axes = Axes(
        _edges(background, "energy", "TeV"), lon, _edges(background, "fov_lat", "deg"), align
    )
    return BackgroundCube(axes, np.ascontiguousarray(rate), clock="ontime")


def _edges(background, name, unit):
    return background.axes[name].edges.to_value(unit)


def _rate(background, names):
    """Rates in s-1 MeV-1 sr-1 with axes in the order of ``names``."""
    order = [background.axes.names.index(name) for name in names]
    return np.transpose(background.quantity.to_value(RATE_UNIT), order)


def observation_of(theirs: Any, excluded: Sequence[Region] = ()) -> Observation:
    """An observation of gammapy as one of simbg; its events are read when they are needed.

    Parameters
    ----------
    theirs : gammapy.data.Observation
        With events, good time intervals, pointing and location. Its filters of events and time
        apply. The energy threshold is ``LO_THRES`` of its effective area, or 0.
    excluded : sequence of Region
        Regions whose events and exposure are masked.

    Returns
    -------
    Observation
        With the observation's own livetime and ontime.

    Raises
    ------
    ValueError
        If it has no events, good time, pointing or location.
    """
    where = f"observation {theirs.obs_id} of gammapy"
    missing = [name for name in ("events", "gti") if name not in theirs.available_hdus]
    site = theirs.observatory_earth_location
    missing += [
        name for name, v in (("pointing", theirs.pointing), ("location", site)) if v is None
    ]
    if missing:
        raise ValueError(f"{where}: got no {' and no '.join(missing)}, expected all of them")
    gti = theirs.gti
    zero = gti.time_ref.tt
    intervals = np.stack(
        [(times.tt - zero).to_value("s") for times in (gti.time_start, gti.time_stop)], axis=1
    )
    pointing = _pointing(theirs.pointing, site, zero.mjd)
    middle = np.array([intervals.mean()])
    direction = (*pointing.radec(middle), *pointing.altaz(middle))
    ra, dec, alt, az = (float(angle[0]) for angle in direction)
    return Observation(
        int(theirs.obs_id),
        partial(_load, theirs, pointing, intervals, zero),
        livetime=theirs.observation_live_time_duration.to_value("s"),
        ontime=theirs.observation_time_duration.to_value("s"),
        energy_threshold=_threshold(theirs),
        ra=ra,
        dec=dec,
        alt=alt,
        az=az,
        excluded=tuple(excluded),
    )


def _load(theirs, pointing, gti, zero):
    """Events within good time, in the ALTAZ-aligned field of view."""
    events = theirs.events
    time = (events.time.tt - zero).to_value("s")
    sky, energy = events.radec, np.asarray(events.energy.to_value("TeV"), float)
    ra, dec = (np.asarray(angle.to_value("deg"), float) for angle in (sky.ra, sky.dec))
    after = np.searchsorted(gti[:, 0], time + SLACK, side="right") - 1
    good = (after >= 0) & (time <= gti[after, 1] + SLACK)
    if not good.all():
        time, ra, dec, energy = (values[good] for values in (time, ra, dec, energy))
    lon, lat = pointing.sky_to_fov(ra, dec, time)
    return Events(energy, lon, lat, time, ra, dec, gti, pointing)


def _pointing(theirs, location, mjdref):
    lon, lat, height = location.to_geodetic()
    site = Site(lon.to_value("deg"), lat.to_value("deg"), height.to_value("m"))
    if theirs.fixed_icrs is not None:
        return Tracking(theirs.fixed_icrs.ra.deg, theirs.fixed_icrs.dec.deg, site, mjdref)
    return Drift(theirs.fixed_altaz.alt.deg, theirs.fixed_altaz.az.deg, site, mjdref)


def _threshold(theirs):
    """Energy threshold, TeV: LO_THRES of the effective area, as in files, or 0."""
    area = theirs.aeff if "aeff" in theirs.available_hdus else None
    return float((getattr(area, "meta", None) or {}).get("LO_THRES", 0.0))
