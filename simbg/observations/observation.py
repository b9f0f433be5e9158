"""One observation and its events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.notices import Notice, add
from simbg.quantities import convert_fields
from simbg.sky.pointing import Drift, Site, Tracking
from simbg.sky.regions import Region, applies, excluded

__all__ = ["MJDREF", "Events", "Observation", "good_time", "pointing_of"]

EVERYWHERE = Region.energy
# Zero of event times in the stores that simbg writes, as in 2015: 2010-01-01 UTC as MJD in TT.
MJDREF = 55197 + 66.184 / 86400
# Fields of `Events` with a value for each event.
COLUMNS = ("energy", "fov_lon", "fov_lat", "time", "ra", "dec")

# s; sums of longer times would be no numbers.
LONGEST = 1e15


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one observation in the ALTAZ-aligned field of view, with times and the pointing.

    Arrays are given as Quantities of any unit, or as bare numbers in the units below.

    Parameters
    ----------
    energy : ndarray, shape (n_events,)
        Energies, TeV.
    fov_lon, fov_lat : ndarray, shape (n_events,)
        Positions in the field of view, deg.
    time : ndarray, shape (n_events,), optional
        Times, s since the time reference of the observation.
    ra, dec : ndarray, shape (n_events,), optional
        Directions, deg, ICRS.
    gti : ndarray, shape (n_intervals, 2), optional
        Start and stop of each good time interval, s since the same reference.
    pointing : Tracking or Drift, optional
        Pointing of the observation, with the same time reference.
    livetime, ontime : float, optional
        Times of the good time intervals, s, if they are not those of the observation.
    notices : tuple of Notice
        Contradictions in the data that were noticed while they were read.

    Examples
    --------
    >>> events = Events(np.array([0.2, 2.0]), np.zeros(2), np.array([0.0, 1.0]))
    >>> len(events), events.take(events.energy > 1).fov_lat
    (2, array([1.]))
    """

    energy: np.ndarray = field(metadata={"unit": "TeV"})
    fov_lon: np.ndarray = field(metadata={"unit": "deg"})
    fov_lat: np.ndarray = field(metadata={"unit": "deg"})
    time: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    ra: np.ndarray | None = field(default=None, metadata={"unit": "deg"})
    dec: np.ndarray | None = field(default=None, metadata={"unit": "deg"})
    gti: np.ndarray | None = field(default=None, metadata={"unit": "s"})
    pointing: Tracking | Drift | None = None
    livetime: float | None = field(default=None, metadata={"unit": "s"})
    ontime: float | None = field(default=None, metadata={"unit": "s"})
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        convert_fields(self, "events: ")

    def __repr__(self) -> str:
        return f"<Events: {len(self)}>"

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def sky(self) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec, deg, ICRS; computed from the field of view if they are not given.

        Raises
        ------
        ValueError
            If neither RA and Dec nor pointing and time are given.

        Examples
        --------
        >>> ra, dec = np.array([83.6, 84.0]), np.array([22.0, 21.5])
        >>> Events(np.array([0.2, 2.0]), np.zeros(2), np.zeros(2), ra=ra, dec=dec).sky
        (array([83.6, 84. ]), array([22. , 21.5]))
        """
        if self.ra is not None and self.dec is not None:
            return self.ra, self.dec
        if self.pointing is None or self.time is None:
            raise ValueError(
                "events: got neither RA and Dec nor pointing and time, expected one of these pairs"
            )
        return self.pointing.fov_to_sky(self.fov_lon, self.fov_lat, self.time)

    def take(self, which: np.ndarray | slice) -> "Events":
        """The events selected by ``which``, an index array, a mask or a slice.

        Examples
        --------
        >>> events = Events(np.array([0.2, 2.0]), np.zeros(2), np.array([0.0, 1.0]))
        >>> events.take(events.energy > 1).fov_lat
        array([1.])
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        return replace(self, **{name: v[which] for name, v in arrays.items() if v is not None})


@dataclass(frozen=True, eq=False)
class Observation:
    """One observation (run): its properties, and its events, which are read when they are needed.

    Numbers are given as Quantities of any unit, or as bare numbers in the units below.

    Parameters
    ----------
    obs_id : int
        Number of the observation.
    load : callable
        Returns the `Events`. They are not stored, so memory does not grow with the number of runs.
    livetime, ontime : float
        Observation time corrected for dead time, and without this correction, s.
    energy_threshold : float
        TeV; events below it are not counted, and there is no exposure below it.
    ra, dec, alt, az : float
        Pointing, deg: ICRS, and horizontal at mid-run.
    excluded : tuple of simbg.sky.regions.Region
        Regions of the sky whose events are not counted and whose exposure is removed.
    covariates : mapping of str to float
        Other properties of the run on which its background may depend, by name.
    store : path-like, optional
        The GADF store that contains the run, for methods that read stores themselves. The
        events in the store are not filtered by ``excluded``.

    Raises
    ------
    ValueError
        If livetime, ontime, energy threshold or altitude is out of range.

    Examples
    --------
    >>> from astropy import units as u
    >>> events = Events([0.2, 2.0] * u.TeV, [0.1, -0.3] * u.deg, [1.0, 0.5] * u.deg)
    >>> Observation.in_memory(events, obs_id=1, livetime=25 * u.min, ontime=28 * u.min, alt=70.0)
    <Observation 1: 1500 s of livetime, 0 TeV threshold, alt 70.0, az nan deg>
    """

    obs_id: int
    load: Callable[[], Events]
    livetime: float = field(metadata={"unit": "s"})
    ontime: float = field(metadata={"unit": "s"})
    energy_threshold: float = field(default=0.0, metadata={"unit": "TeV"})
    ra: float = field(default=np.nan, metadata={"unit": "deg"})
    dec: float = field(default=np.nan, metadata={"unit": "deg"})
    alt: float = field(default=np.nan, metadata={"unit": "deg"})
    az: float = field(default=np.nan, metadata={"unit": "deg"})
    excluded: tuple[Region, ...] = ()
    covariates: Mapping[str, float] = field(default_factory=dict)
    store: Path | str | None = None

    def __post_init__(self) -> None:
        convert_fields(self, f"run {self.obs_id}: ")
        if not 0 < self.livetime <= self.ontime * (1 + 1e-6) <= LONGEST:
            raise ValueError(
                f"run {self.obs_id}: got livetime {self.livetime} s and ontime {self.ontime} s, "
                f"expected 0 < livetime ≤ ontime ≤ {LONGEST:g} s"
            )
        if not 0 <= self.energy_threshold < np.inf:
            raise ValueError(
                f"run {self.obs_id}: got energy threshold {self.energy_threshold} TeV, "
                "expected 0 or more"
            )
        # An unknown altitude is NaN, for which both comparisons are false.
        if self.alt <= 0 or self.alt > 90:
            raise ValueError(
                f"run {self.obs_id}: got altitude {self.alt} deg, expected more than 0 (the "
                "horizon) and 90 or less"
            )

    def __repr__(self) -> str:
        time = f"{self.livetime:.0f} s of livetime, {self.energy_threshold:.3g} TeV threshold"
        return f"<Observation {self.obs_id}: {time}, alt {self.alt:.1f}, az {self.az:.1f} deg>"

    def events(self, energy_edges: np.ndarray | None = None) -> Events:
        """Read the events and return those outside of the excluded regions.

        Parameters
        ----------
        energy_edges : ndarray, optional
            Edges of energy bins, TeV. A region that applies to some energies of a bin then applies
            to all of its events. By default it applies to the events of its own energies.

        Examples
        --------
        >>> events = Events(np.array([0.2, 2.0]), np.zeros(2), np.array([0.0, 1.0]))
        >>> Observation.in_memory(events, obs_id=1, livetime=1500, ontime=1680).events()
        <Events: 2>
        """
        events = self.load()
        add(getattr(events, "notices", ()))
        if not self.excluded:
            return events
        ra, dec = events.sky
        low = high = events.energy
        if energy_edges is not None:
            edges = np.concatenate([[0.0], energy_edges, [np.inf]])
            bins = np.searchsorted(energy_edges, events.energy, side="right")
            low, high = edges[bins], edges[bins + 1]
        inside = excluded(ra, dec, [one for one in self.excluded if one.energy == EVERYWHERE])
        for region in self.excluded:
            if region.energy != EVERYWHERE:
                some = np.flatnonzero(applies(region, low, high) & ~inside)
                inside[some] = region.contains(ra[some], dec[some])
        return events.take(~inside)

    def read(self) -> "Observation":
        """The observation with its events in memory.

        Its livetime and ontime are those of the good time intervals. They differ from those of an
        observation that is not read if a store contradicts itself.

        Examples
        --------
        >>> events = Events(np.zeros(2), np.zeros(2), np.zeros(2), livetime=1000, ontime=1100)
        >>> Observation.in_memory(events, obs_id=1, livetime=900, ontime=1000).read().livetime
        1000
        """
        events = self.load()
        add(events.notices)
        times = {name: getattr(events, name) for name in ("livetime", "ontime")}
        known = {name: value for name, value in times.items() if value is not None}
        return replace(self, load=partial(_same, events), **known)

    @classmethod
    def in_memory(cls, events: Events, **kwargs: Any) -> "Observation":
        """An observation whose events are in memory; ``kwargs`` are the other parameters.

        Examples
        --------
        >>> events = Events(np.array([0.2, 2.0]), np.zeros(2), np.array([0.0, 1.0]))
        >>> Observation.in_memory(events, obs_id=1, livetime=1500, ontime=1680, alt=70.0, az=180.0)
        <Observation 1: 1500 s of livetime, 0 TeV threshold, alt 70.0, az 180.0 deg>
        """
        return cls(load=partial(_same, events), **kwargs)


def good_time(row: Mapping[str, Any]) -> np.ndarray:
    """Good time intervals of a row of an observation table, shape (n, 2), s.

    ``N_GTI`` intervals of equal length from TSTART to TSTOP, with gaps of ``GTI_GAP`` s; a row
    without these columns has one interval.
    """
    n, gap = int(row.get("N_GTI", 1)), float(row.get("GTI_GAP", 0.0))
    start, stop = float(row["TSTART"]), float(row["TSTOP"])
    length = (stop - start - (n - 1) * gap) / n
    first = start + np.arange(n) * (length + gap)
    gti = np.stack([first, first + length], axis=1)
    gti[-1, 1] = stop
    return gti


def pointing_of(row: Mapping[str, Any], site: Site) -> Tracking | Drift:
    """The pointing of a row of an observation table: `Drift` if OBS_MODE is DRIFT, or Tracking."""
    if row.get("OBS_MODE", "POINTING") == "DRIFT":
        return Drift(float(row["ALT_PNT"]), float(row["AZ_PNT"]), site, MJDREF)
    return Tracking(float(row["RA_PNT"]), float(row["DEC_PNT"]), site, MJDREF)


def _same(value):
    return value
