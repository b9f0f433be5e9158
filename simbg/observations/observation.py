"""One observation and its events."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from simbg.sky.pointing import Drift, Tracking
from simbg.sky.regions import excluded

__all__ = ["MJDREF", "Events", "Observation", "good_time", "pointing_of"]

# Zero of event times in our own stores, as in 2015: 2010-01-01 UTC, which is this MJD in TT.
MJDREF = 55197 + 66.184 / 86400


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one observation in the ALTAZ-aligned field of view, and when and where it looked.

    Parameters
    ----------
    energy : ndarray, shape (n_events,)
        TeV
    fov_lon, fov_lat : ndarray, shape (n_events,)
        deg
    time : ndarray, shape (n_events,), optional
        s since the time reference of the observation.
    ra, dec : ndarray, shape (n_events,), optional
        deg, ICRS.
    gti : ndarray, shape (n_intervals, 2), optional
        Start and stop of each good time interval, s since the same reference.
    pointing : Tracking or Drift, optional
        With the same time reference.
    """

    energy: np.ndarray
    fov_lon: np.ndarray
    fov_lat: np.ndarray
    time: np.ndarray | None = None
    ra: np.ndarray | None = None
    dec: np.ndarray | None = None
    gti: np.ndarray | None = None
    pointing: object = None

    def __len__(self):
        return len(self.energy)

    @property
    def sky(self):
        """RA and Dec in deg, calculated where they are not known."""
        if self.ra is not None:
            return self.ra, self.dec
        if self.pointing is None or self.time is None:
            raise ValueError("events: got no RA and Dec, nor pointing and time to get them from")
        return self.pointing.fov_to_sky(self.fov_lon, self.fov_lat, self.time)

    def take(self, which):
        """Some of the events; ``which`` is an index or a mask."""
        columns = [f.name for f in fields(self) if f.name not in ("gti", "pointing")]
        known = {name: getattr(self, name) for name in columns}
        return replace(self, **{name: v[which] for name, v in known.items() if v is not None})


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
    excluded : tuple of simbg.sky.regions.Region
        Parts of the sky whose events do not count, and whose exposure is not there.
    store : path-like, optional
        The GADF store that holds the run, for methods that read stores themselves. There
        ``excluded`` is not applied.
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
    excluded: tuple = ()
    store: object = None

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
        # One that is not known, NaN, is neither.
        if self.alt <= 0 or self.alt > 90:
            raise ValueError(
                f"run {self.obs_id}: got altitude {self.alt} deg, expected one above the horizon, "
                "90 or less"
            )

    def events(self):
        """The events outside of the excluded regions, read now."""
        events = self.load()
        return events.take(~excluded(*events.sky, self.excluded)) if self.excluded else events

    @classmethod
    def in_memory(cls, events, **kwargs):
        """An observation whose events are at hand."""
        return cls(load=partial(_same, events), **kwargs)


def good_time(row):
    """Good time intervals of a row of a table of runs, (n, 2), s.

    ``N_GTI`` of equal length in TSTART to TSTOP, ``GTI_GAP`` s apart; without these one.
    """
    n, gap = int(row.get("N_GTI", 1)), float(row.get("GTI_GAP", 0.0))
    start, stop = float(row["TSTART"]), float(row["TSTOP"])
    length = (stop - start - (n - 1) * gap) / n
    first = start + np.arange(n) * (length + gap)
    gti = np.stack([first, first + length], axis=1)
    gti[-1, 1] = stop
    return gti


def pointing_of(row, site):
    """Where a row of such a table points: tracked, or with OBS_MODE DRIFT fixed in altitude."""
    if row.get("OBS_MODE", "POINTING") == "DRIFT":
        return Drift(float(row["ALT_PNT"]), float(row["AZ_PNT"]), site, MJDREF)
    return Tracking(float(row["RA_PNT"]), float(row["DEC_PNT"]), site, MJDREF)


def _same(value):
    return value
