"""The pointing of a run, and whether index, header, place and time agree on it."""

import warnings
from collections.abc import Mapping
from typing import Any

import erfa
import numpy as np

from simbg.io import tables
from simbg.io.gadf.times import run_times, zero_of
from simbg.notices import Notice
from simbg.sky.pointing import Drift, Site, Tracking
from simbg.sky.vectors import separation

__all__ = []

# Modes in which the pointing moves on the sky (OGIP 94-001); GADF has no format for its path.
MOVING = ("RASTER", "SLEW", "SCAN")
# Tolerated separation of the pointings in index and header, deg: 0.1 × the width of a point source.
SAME_DIRECTION = 0.01
# Tolerated separation of the altitude and azimuth of the index from the path of the run, deg.
SAME_ALTAZ = 2.0
# Seconds between the times at which the path is computed: it moves by 0.8 deg or less in this time.
STEP = 200.0
# s; the conversions of `simbg.sky.pointing` accept this span of times.
LONGEST = 43200.0


def is_drift(mode: Any) -> bool:
    """Whether an OBS_MODE is DRIFT; without a mode, telescopes track.

    Raises
    ------
    ValueError
        If the pointing moves on the sky and in ALTAZ.
    """
    name = "" if mode is None else str(mode).strip().upper()
    if name in MOVING:
        raise ValueError(
            f"got OBS_MODE {name}, in which the pointing moves, expected POINTING, WOBBLE or "
            "another mode with a fixed pointing, or DRIFT; --skip-incomplete leaves such runs out"
        )
    return name == "DRIFT"


def pointing_of(header: Any, index: Mapping[str, Any]) -> Tracking | Drift:
    """The pointing of a run, with its site and time reference.

    Parameters
    ----------
    header : Header
        Header of the events.
    index : mapping
        RA_PNT, DEC_PNT, ALT_PNT, AZ_PNT and OBS_MODE of obs-index, as far as they are known; the
        header has priority.
    """
    modes = [mode for mode in (header.get("OBS_MODE"), index.get("OBS_MODE")) if mode is not None]
    drifts = {is_drift(mode) for mode in modes} or {False}
    if len(drifts) > 1:
        raise ValueError(
            f"got OBS_MODE {modes[0]}, expected that of obs-index, {modes[1]}: one of them is DRIFT"
        )
    drift = drifts.pop()
    names = ("ALT_PNT", "AZ_PNT") if drift else ("RA_PNT", "DEC_PNT")
    lon, lat = (tables.keyword(header if name in header else index, name) for name in names)
    site = Site(*(tables.keyword(header, key) for key in ("GEOLON", "GEOLAT", "ALTITUDE")))
    mjdref = zero_of(header)
    if drift:
        return Drift(lon, lat, site, mjdref)
    return Tracking(lon if -360 <= lon <= 360 else lon % 360, lat, site, mjdref)


def directions(header: Any, index: Mapping[str, Any]) -> dict[str, float]:
    """RA_PNT, DEC_PNT, ALT_PNT and AZ_PNT at mid-run, deg, from the header of the events."""
    pointing, middle = pointing_of(header, index), np.mean(run_times(header), keepdims=True)
    values = np.ravel([*pointing.radec(middle), *pointing.altaz(middle)]).tolist()
    return dict(zip(("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT"), values, strict=True))


def check_direction(pointing: Tracking | Drift, index: Mapping[str, Any]) -> None:
    """Check that header and index have the same pointing, because both are used."""
    if isinstance(pointing, Drift):
        names, got = ("AZ_PNT", "ALT_PNT"), (pointing.az, pointing.alt)
    else:
        names, got = ("RA_PNT", "DEC_PNT"), (pointing.ra, pointing.dec)
    expected = [float(index[name]) for name in names]
    apart = np.degrees(separation(*np.radians([*got, *expected])))
    if apart > SAME_DIRECTION:
        raise ValueError(
            f"got {', '.join(names)} {got[0]:.4f}, {got[1]:.4f}, expected those of "
            f"obs-index, {expected[0]:.4f}, {expected[1]:.4f} (separation {apart:.3f} deg)"
        )


def check_altaz(
    pointing: Tracking | Drift, index: Mapping[str, Any], gti: np.ndarray
) -> list[Notice]:
    """Whether ALT_PNT and AZ_PNT of the index are on the path of a tracked pointing during a run.

    Any position on the path is right: producers write the start, the middle or a mean.
    """
    start, stop = gti[0, 0], gti[-1, 1]
    if isinstance(pointing, Drift) or stop - start > LONGEST:
        return []
    times = np.linspace(start, stop, max(3, int((stop - start) / STEP) + 2))
    path = _altaz(pointing, times)
    given = np.radians([index["AZ_PNT"], index["ALT_PNT"]])
    apart = float(np.degrees(separation(*given, *path).min()))
    return [Notice("altitude", size=apart)] * (apart > SAME_ALTAZ)


def _altaz(pointing, times):
    """Azimuth and altitude, rad, without aberration and with UT1 = UTC: right to 1 arcmin."""
    site, tt = pointing.site, (erfa.DJM0 + pointing.mjdref, times / erfa.DAYSEC)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        rotation = erfa.era00(*erfa.taiutc(*erfa.tttai(*tt)))
    apparent = erfa.c2i00b(tt[0], tt[1].mean()) @ erfa.s2c(*np.radians([pointing.ra, pointing.dec]))
    ra, dec = erfa.c2s(apparent)
    return erfa.hd2ae(rotation + np.radians(site.lon) - ra, dec, np.radians(site.lat))
