"""Times of a run: the time reference, good time intervals (GTI), observation time and livetime."""

import math
import warnings
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import erfa
import numpy as np

from simbg.io import tables
from simbg.notices import Notice

__all__ = []

# Keywords for the start and stop of a run.
RUN = "TSTART", "TSTOP"
# Tolerance for rounded times, s.
SLACK = 1.0
# s; TSTART and TSTOP may be rounded to 32 bits. For times of up to 34 years, these are 64 s apart.
ROUNDING = 64.0
# Tolerated difference of LIVETIME / ONTIME and DEADC, which may be rounded to three digits.
DEAD_TIME = 2e-3


def zero_of(header: Any) -> float:
    """The time reference of an HDU, MJD in TT."""
    return sum(_zero_of(header))


def _zero_of(header):
    """The time reference of an HDU, MJD in TT, as two numbers."""
    scale = str(header.get("TIMESYS", "TT")).strip().lower()
    if scale not in ("tt", "utc", "tai"):
        raise ValueError(f"got TIMESYS {scale.upper()}, expected TT, UTC or TAI")
    return _zero(*(tables.keyword(header, key) for key in ("MJDREFI", "MJDREFF")), scale)


@lru_cache(maxsize=64)  # the runs of a store have the same one
def _zero(days, fraction, scale):
    if scale == "tt":
        return days, fraction
    whole = math.floor(days)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*dubious year", erfa.ErfaWarning)
        tai = erfa.DJM0 + whole, days - whole + fraction
        tt = erfa.taitt(*(erfa.utctai(*tai) if scale == "utc" else tai))
    return float(tt[0] - erfa.DJM0), float(tt[1])


def run_times(header: Any) -> np.ndarray:
    """TSTART and TSTOP, s since the time reference."""
    unit = str(header.get("TIMEUNIT", "s")).strip()
    factor = tables.factor(unit, "s")
    return np.array([tables.keyword(header, key) * factor for key in RUN])


def clocks(known: Mapping[str, Any]) -> dict[str, float]:
    """ONTIME and LIVETIME, as far as these and DEADC give them: LIVETIME = DEADC × ONTIME.

    Parameters
    ----------
    known : mapping
        A row of the index, or a header.
    """
    names = [name for name in ("ONTIME", "LIVETIME", "DEADC") if _is_known(known.get(name))]
    found = {name: tables.keyword(known, name) for name in names}
    dead = found.pop("DEADC", None)
    if dead is not None and len(found) == 1:
        if not 0 < dead <= 1:
            raise ValueError(f"DEADC: got {dead}, expected more than 0 and 1 or less")
        if "ONTIME" in found:
            found["LIVETIME"] = dead * found["ONTIME"]
        else:
            found["ONTIME"] = found["LIVETIME"] / dead
    return found


def read_gti(hdu: Any, events: Any) -> tuple[np.ndarray, list[Notice]]:
    """Good time intervals, s since the events' time reference, (n, 2), separate and in order.

    Parameters
    ----------
    hdu : BinTableHDU or None
        The table of the intervals; without one, the run is the interval.
    events : Header
        Header of the events.
    """
    if hdu is None:
        gti = run_times(events)[None]
        if gti[0, 0] >= gti[0, 1]:
            raise ValueError(f"got TSTART and TSTOP {_text(gti)}, expected TSTART before TSTOP")
        return gti, []
    read = partial(tables.column, hdu, unit="s", default_unit=hdu.header.get("TIMEUNIT", "s"))
    gti = np.stack([read("START"), read("STOP")], axis=1)
    # Without a reference of its own, it has that of the events.
    if "MJDREFI" in hdu.header and _reference(hdu.header) != _reference(events):
        (days, fraction), (day, part) = _zero_of(hdu.header), _zero_of(events)
        gti += (days - day + (fraction - part)) * erfa.DAYSEC
    gti = gti[np.argsort(gti[:, 0])]
    if not gti.size or np.any(gti[:, 0] >= gti[:, 1]):
        raise ValueError(f"got GTIs {_text(gti)}, expected 1 or more, start before stop")
    gti, overlap = _union(gti)
    notices = [Notice("overlap", size=overlap)] if overlap > SLACK else []
    if all(name in events for name in RUN):
        start, stop = run_times(events)
        if (excess := max(start - gti[0, 0], gti[-1, 1] - stop)) > ROUNDING:
            raise ValueError(
                f"got GTIs {_text(gti[[0, -1][: len(gti)]])} outside of the run, expected them "
                f"within TSTART {start:.3f} and TSTOP {stop:.3f}"
            )
        if excess > SLACK:
            notices.append(Notice("run_times", size=float(excess)))
    return gti, notices


def good_clocks(
    gti: np.ndarray, index: Mapping[str, Any], header: Any
) -> tuple[float | None, float | None, list[Notice]]:
    """Livetime and ontime of the good time, None if they are those of the index.

    Events in good time are counted, so that exposure is good time as well.

    Parameters
    ----------
    gti : ndarray, shape (n, 2)
        Good time intervals, s.
    index : mapping
        ONTIME, LIVETIME and, if it is known, DEADC.
    header : Header
        Header of the events, with DEADC if the index has none.
    """
    total, ontime = float(np.diff(gti).sum()), index["ONTIME"]
    ratio = index["LIVETIME"] / ontime
    given = [source for source in (index, header) if _is_known(source.get("DEADC"))]
    dead = tables.keyword(given[0], "DEADC") if given else ratio
    difference = abs(total - ontime)
    if difference <= SLACK * len(gti):
        far = abs(dead - ratio) > DEAD_TIME
        return None, None, [Notice("dead_time", size=abs(dead - ratio))] * far
    if not 0 < dead <= 1:
        raise ValueError(f"DEADC: got {dead}, expected more than 0 and 1 or less")
    return dead * total, total, [Notice("ontime", size=difference, livetime=dead * total)]


def _is_known(value):
    """Whether a value is given: NaN in an index is an unknown value."""
    return value is not None and value == value


def _union(gti):
    """The union of intervals in the order of their starts, and the longest overlap, s."""
    before, starts = np.maximum.accumulate(gti[:, 1]), gti[1:, 0]
    overlap = before[:-1] > starts
    if not overlap.any():
        return gti, 0.0
    longest = (np.minimum(before[:-1], gti[1:, 1]) - starts)[overlap].max()
    first = np.append(True, ~overlap)
    last = np.append(first[1:], True)
    return np.stack([gti[first, 0], before[last]], axis=1), float(longest)


def _reference(header):
    return tuple(header.get(name) for name in ("MJDREFI", "MJDREFF", "TIMESYS"))


def _text(gti):
    return ", ".join(f"{start:.3f}–{stop:.3f} s" for start, stop in gti)
