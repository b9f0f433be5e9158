"""Events of a run within its good time, in the field of view, and what contradicts in them."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.io import tables
from simbg.io.gadf.pointing import LONGEST, check_altaz, check_direction, pointing_of
from simbg.io.gadf.times import good_clocks, read_gti
from simbg.io.safe_files import open_tables
from simbg.notices import Notice
from simbg.observations.observation import Events

__all__ = []

Place = tuple[Path, str]

# Tolerance of event times at the ends of a GTI, s.
SLACK = 1e-3
# A fraction of a run's events outside of its GTIs that is worth a notice.
OUTSIDE = 1e-3
# An interval without events is worth a notice if it is longer than this, s, and as many events are
# expected at the mean rate: their absence has a probability of e^-30.
EMPTY, EXPECTED = 2.0, 30.0
# Right ascensions beyond 360 deg exist in files of MAGIC.
LARGEST_RA = 720.0
# A run is read for its group, for a model of all runs and for its norm: the events of the runs that
# were read last, in this order, as far as they are this many (50 MB). Users get copies.
RECENT: dict[str, Events] = {}
MOST_EVENTS = 1_000_000


@dataclass(frozen=True)
class RunFiles:
    """Where the events and GTIs of a run are, and what the index says of the run.

    Parameters
    ----------
    obs_id : int
        The run.
    events : (Path, str)
        File and HDU of the events.
    gti : (Path, str) or None
        File and HDU of the good time intervals.
    index : dict
        Values of obs-index, by column; ONTIME, LIVETIME and the pointing are there.
    """

    obs_id: int
    events: Place
    gti: Place | None
    index: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Events:
        """Read the events within good time; those of runs that were read last are still known.

        Positions are computed from RA, Dec and time. The optional columns DETX and DETY are not
        used, because their signs and frames differ between files.
        """
        states = [_state(place) for place in (self.events, self.gti) if place]
        if None in states:
            return self._read()
        key = repr((self, states))
        events = RECENT.pop(key, None)
        if events is None:
            events = self._read()
        if len(events) > MOST_EVENTS:
            return events
        RECENT[key] = events
        # Each line takes one step that threads do not interrupt.
        n_events = sum(map(len, list(RECENT.values())))
        for oldest in list(RECENT):
            if n_events <= MOST_EVENTS:
                break
            n_events -= len(RECENT.pop(oldest, ()))
        return _copied(events)

    def _read(self):
        path, name = self.events
        with open_tables(path) as file:
            hdu = one_hdu(file, name)
            check_obs_id(hdu.header, self.obs_id)
            energy = tables.column(hdu, "ENERGY", "TeV", True, hdu.header.get("EUNIT"))
            time = tables.column(hdu, "TIME", "s", default_unit=hdu.header.get("TIMEUNIT"))
            ra, dec = _right_ascension(hdu), tables.column(hdu, "DEC", "deg")
            pointing = pointing_of(hdu.header, self.index)
            check_direction(pointing, self.index)
            gti, notices = self._gti(file, hdu)
            livetime = ontime = None
            if self.gti is not None or _has_gti(file):  # without GTIs, ONTIME is the good time
                livetime, ontime, others = good_clocks(gti, self.index, hdu.header)
                notices += others
            notices += check_altaz(pointing, self.index, gti)
            notices += _count(self.index, time.size)
            good = _inside_gti(time, gti)
            _check_good(good, time, gti)
            notices += _check_times(hdu, time, gti, good)
            if not good.all():
                energy, time, ra, dec = (values[good] for values in (energy, time, ra, dec))
            lon, lat = _positions(pointing, ra, dec, time)
        known = tuple(replace(notice, obs_id=self.obs_id) for notice in notices)
        return Events(
            *(energy, lon, lat, time, ra, dec, gti, pointing, livetime, ontime), notices=known
        )

    def _gti(self, file, events):
        if self.gti is None:
            # The index may not have it; an HDU of this name beside the events is theirs.
            return read_gti(one_hdu(file, "GTI") if _has_gti(file) else None, events.header)
        path, name = self.gti
        with nullcontext(file) if path == self.events[0] else open_tables(path) as other:
            return read_gti(one_hdu(other, name), events.header)


def _state(place):
    """What changes if a file is written again; None for a remote or a missing file."""
    path, _ = place
    if not isinstance(path, Path) or not path.is_file():
        return None
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _copied(events):
    """The same events in arrays of their own."""
    arrays = {name: v.copy() for name, v in vars(events).items() if isinstance(v, np.ndarray)}
    return replace(events, **arrays)


def _has_gti(file):
    return any(hdu.name == "GTI" for hdu in file)


def one_hdu(file: Any, name: str) -> Any:
    """The HDU of this name, which must be the only one."""
    same = [hdu for hdu in file if hdu.name == name.upper()]
    if len(same) > 1:
        raise ValueError(f"got {len(same)} HDUs {name}, expected one")
    return same[0] if same else tables.named_hdu(file, name)


def check_obs_id(header: Any, obs_id: int) -> None:
    """Check that a file holds the run for which the index names it."""
    got = str(header.get("OBS_ID", obs_id)).strip()
    if got.lstrip("+-").isdecimal() and int(got) != obs_id:
        raise ValueError(f"got events of OBS_ID {got}, expected {obs_id} as in the index")


def _right_ascension(hdu):
    """RA from 0 to 360 deg, or as it is down to −360."""
    ra = tables.column(hdu, "RA", "deg")
    if ra.size and (largest := ra.max()) > 360:
        if largest > LARGEST_RA:
            raise ValueError(
                f"{hdu.name}: RA: got {largest} deg, expected {LARGEST_RA:g} or less; is the unit "
                "right?"
            )
        ra = np.where(ra > 360, ra - 360, ra)
    return ra


def _positions(pointing, ra, dec, time):
    """Positions in the field of view; a run in parts that are short enough for `sky_to_fov`."""
    if not time.size or np.ptp(time) <= LONGEST:
        return pointing.sky_to_fov(ra, dec, time)
    part = ((time - time.min()) // (LONGEST / 2)).astype(int)
    lon, lat = np.empty((2, time.size))
    order = np.argsort(part, kind="stable")
    for which in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        lon[which], lat[which] = pointing.sky_to_fov(ra[which], dec[which], time[which])
    return lon, lat


def _inside_gti(time, gti):
    """Whether events are in good time, with a tolerance of a millisecond."""
    after = np.searchsorted(gti[:, 0], time + SLACK, side="right") - 1
    return (after >= 0) & (time <= gti[after, 1] + SLACK)


def _check_good(good, time, gti):
    if good.size >= EXPECTED and not good.any():
        raise ValueError(
            f"got {good.size} events from {time.min():.3f} to {time.max():.3f} s, all outside of "
            f"the GTIs, expected them from {gti[0, 0]:.3f} to {gti[-1, 1]:.3f} s"
        )


def _check_times(hdu, time, gti, good):
    """Notices of events outside of the GTIs, of GTIs without events, and of events twice."""
    notices, outside = [], int(good.size - good.sum())
    if outside > OUTSIDE * good.size:
        notices.append(Notice("outside", size=outside))
    if not time.size:
        return [Notice("empty", size=float(np.diff(gti).sum()))]
    ordered, steps = time, np.diff(time)
    if steps.min(initial=0) < 0:
        ordered = np.sort(time)
        steps = np.diff(ordered)
    # Most runs have no long step, which takes less time to see than where the steps are.
    rate = (good.size - outside) / np.diff(gti).sum()
    long = max(EMPTY, EXPECTED / rate) if rate else np.inf
    ends = ordered[0] - gti[0, 0], gti[-1, 1] - ordered[-1]
    if max(*ends, steps.max(initial=0)) > long and (empty := _empty(time[good], gti, long)):
        notices.append(Notice("empty", size=float(empty)))
    if steps.size and not steps.min() and (twice := _n_twice(hdu, time, ordered[1:][steps == 0])):
        notices.append(Notice("twice", size=twice))
    return notices


def _empty(time, gti, long):
    """Sum of the intervals in good time without events that are longer than ``long``, s."""
    marks = np.concatenate([time, gti.ravel()])
    # Of each mark, the change of the number of GTIs that contain the time after it.
    change = np.zeros(marks.size, dtype=int)
    change[time.size :: 2], change[time.size + 1 :: 2] = 1, -1
    order = np.argsort(marks, kind="stable")
    steps = np.diff(marks[order])
    return steps[(np.cumsum(change[order])[:-1] > 0) & (steps > long)].sum()


def _n_twice(hdu, time, same):
    """Number of events that are copies of others, of those with a time in ``same``.

    Copies have the same EVENT_ID, or the same RA, DEC and ENERGY, as if a list was merged with
    itself and numbered again.
    """
    rows = np.flatnonzero(np.isin(time, same))
    keys = [tuple(tables.raw_column(hdu, name) for name in ("RA", "DEC", "ENERGY"))]
    ids = tables.raw_column(hdu, "EVENT_ID")
    if ids is not None and np.any(ids != ids[0]):  # some files have a constant
        keys.append((ids,))
    return max(rows.size - _n_different([c[rows] for c in (time, *key)]) for key in keys)


def _n_different(columns):
    """Number of different rows."""
    return np.unique(np.rec.fromarrays(columns)).size


def _count(index, size):
    expected = index.get("EVENT_COUNT")
    if expected is None or int(expected) == size:
        return []
    return [Notice("event_count", size=abs(int(expected) - size))]
