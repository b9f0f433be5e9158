"""Reading data stores of the gamma-astro-data-formats (GADF, version 0.3).

A store is a folder with ``hdu-index.fits.gz``, ``obs-index.fits.gz`` and the files that they list.
See FORMATS.md in the folder above.
"""

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import erfa
import numpy as np
from astropy import units as u
from astropy.coordinates import angular_separation
from astropy.table import Table
from astropy.time import Time

from simbg.io import tables
from simbg.io.safe_files import open_fits
from simbg.observations.observation import Events, Observation
from simbg.observations.store import Store
from simbg.sky.pointing import Drift, Site, Tracking

__all__ = ["GadfStore"]

# Columns by which runs are selected and grouped, with their names in this format.
NAMES = {name: name for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")}
UNITS = {
    **dict.fromkeys((*NAMES, "ZEN_PNT"), "deg"),
    **dict.fromkeys(("ONTIME", "LIVETIME"), "s"),
    "SAFE_ENERGY_LO": "TeV",
}
# Keywords for the start and stop of a run.
RUN = "TSTART", "TSTOP"
# Tolerances for rounded times, s: of GTIs that overlap or exceed the run, and of events outside of
# a GTI.
SLACK, SLACK_EVENT = 1.0, 1e-3
# Tolerated separation of the pointings in index and header, deg: 0.1 × the width of a point source.
SAME_DIRECTION = 0.01


@dataclass(frozen=True, repr=False)
class GadfStore(Store):
    """A GADF data store, opened for reading.

    Parameters
    ----------
    path : path-like
        Folder of the index files.
    """

    path: Path
    scheme = "gadf"
    names = NAMES

    @cached_property
    def table(self) -> Table:
        """The observation index in the order of the file, with altitude and azimuth."""
        table = tables.read_index(self._index("obs"), ("OBS_ID", "RA_PNT", "DEC_PNT"), UNITS)
        if "ALT_PNT" not in table.colnames and "ZEN_PNT" in table.colnames:
            table["ALT_PNT"] = 90 * u.deg - table["ZEN_PNT"].quantity
        if not {"ALT_PNT", "AZ_PNT"} <= set(table.colnames):
            altaz = [self._altaz(int(obs_id)) for obs_id in table["OBS_ID"]]
            table["ALT_PNT"], table["AZ_PNT"] = np.reshape(altaz, (-1, 2)).T * u.deg
        return table

    @cached_property
    def unreadable(self) -> dict[int, Exception]:
        """Errors of runs without altitude and azimuth in `table`, by OBS_ID."""
        return {}

    @cached_property
    def hdu_table(self) -> Table:
        """The HDU index, unchanged."""
        return tables.read_index(self._index("hdu"), tables.HDU_INDEX)

    @cached_property
    def hdus(self) -> dict[tuple[int, str], tuple[Path, str]]:
        """File and name of each HDU: (OBS_ID, type) → (path, HDU name)."""
        columns = (self.hdu_table[name].tolist() for name in tables.HDU_INDEX)
        return {
            (obs_id, kind.strip().lower()): (self._inside(folder, file), name.strip())
            for obs_id, kind, _, folder, file, name in zip(*columns, strict=True)
        }

    @property
    def run_ids(self) -> set[int]:
        """OBS_ID of all runs with events, including runs that are not in the observation index."""
        return {obs_id for obs_id, kind in self.hdus if kind == "events"}

    def _observation(self, row):
        obs_id = int(row["OBS_ID"])
        path, name = self._events(obs_id)
        if not {"ONTIME", "LIVETIME"} <= row.keys():
            with _opened(path, name) as hdu:
                row |= {key: tables.keyword(hdu.header, key) for key in ("ONTIME", "LIVETIME")}
        index = float(row["ONTIME"]), float(row["RA_PNT"]), float(row["DEC_PNT"])
        angles: dict[str, Any] = {name[:-4].lower(): float(row[name]) for name in self.names}
        return Observation(
            obs_id=obs_id,
            load=partial(_load_events, path, name, self.hdus.get((obs_id, "gti")), *index),
            livetime=float(row["LIVETIME"]),
            ontime=float(row["ONTIME"]),
            energy_threshold=self._threshold(obs_id, row),
            store=self.path,
            **angles,
        )

    def _threshold(self, obs_id, row):
        """Energy threshold, TeV: SAFE_ENERGY_LO of the index, or LO_THRES of the AEFF HDU, or 0."""
        if "SAFE_ENERGY_LO" in row:
            return float(row["SAFE_ENERGY_LO"])
        if (obs_id, "aeff") not in self.hdus:
            return 0.0
        with _opened(*self.hdus[obs_id, "aeff"]) as hdu:
            return tables.keyword(hdu.header, "LO_THRES") if "LO_THRES" in hdu.header else 0.0

    def _altaz(self, obs_id):
        """Altitude and azimuth at mid-run, deg; NaN for a run that cannot be read."""
        try:
            with _opened(*self._events(obs_id)) as hdu:
                middle = np.mean([tables.keyword(hdu.header, key) for key in RUN])
                return np.ravel(_pointing(hdu.header).altaz(np.array([middle])))
        except (FileNotFoundError, ValueError) as error:
            self.unreadable[obs_id] = error
            return np.nan, np.nan

    def _events(self, obs_id):
        if (obs_id, "events") not in self.hdus:
            raise ValueError(
                f"{self._index('hdu')}: got no events HDU of run {obs_id}, "
                "expected one, because the run is in obs-index"
            )
        return self.hdus[obs_id, "events"]

    def _index(self, kind):
        """Path of an index file, which may be compressed."""
        plain = Path(self.path) / f"{kind}-index.fits"
        return plain if plain.is_file() else plain.with_name(plain.name + ".gz")

    def _inside(self, folder, name):
        """Path of a file; a path outside of the store is an error."""
        relative = os.path.normpath(os.path.join(folder.strip(), name.strip()))
        if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
            raise ValueError(
                f"{self._index('hdu')}: got {relative}, which is outside of the store, "
                "expected a path inside"
            )
        return Path(self.path) / relative


@contextmanager
def _opened(path, name):
    with open_fits(path) as file:
        yield tables.named_hdu(file, name)


def _load_events(path, name, gti_hdu, ontime, ra_pnt, dec_pnt):
    """Events of one run within its good time, in the ALTAZ-aligned field of view.

    Positions are computed from RA, Dec and time. The optional columns DETX and DETY are not used,
    because their signs and frames differ between files.
    """
    with open_fits(path) as file:
        hdu = tables.named_hdu(file, name)
        energy = tables.column(hdu, "ENERGY", "TeV", True, hdu.header.get("EUNIT"))
        time = tables.column(hdu, "TIME", "s", default_unit=hdu.header.get("TIMEUNIT"))
        ra, dec = (tables.column(hdu, key, "deg") for key in ("RA", "DEC"))
        pointing = _pointing(hdu.header)
        if isinstance(pointing, Tracking):
            _check_direction(pointing, ra_pnt, dec_pnt)
        if gti_hdu is None:
            gti = np.array([[tables.keyword(hdu.header, key) for key in RUN]])
        else:
            gti_path, gti_name = gti_hdu
            with nullcontext(file) if gti_path == path else open_fits(gti_path) as other:
                gti = _read_gti(tables.named_hdu(other, gti_name), hdu.header)
            _check_ontime(gti, ontime)
    good = _inside_gti(time, gti)
    if not good.all():
        energy, time, ra, dec = (values[good] for values in (energy, time, ra, dec))
    lon, lat = pointing.sky_to_fov(ra, dec, time)
    return Events(energy, lon, lat, time, ra, dec, gti, pointing)


def _read_gti(hdu, events):
    """Good time intervals, s since the events' time reference, (n, 2), checked and in order."""
    read = partial(tables.column, hdu, unit="s", default_unit=hdu.header.get("TIMEUNIT", "s"))
    gti = np.stack([read("START"), read("STOP")], axis=1)
    if "MJDREFI" in hdu.header:  # otherwise the reference is that of the events
        gti += (_zero(hdu.header) - _zero(events)).to_value("s")
    gti = gti[np.argsort(gti[:, 0])]
    if not gti.size or np.any(gti[:, 0] >= gti[:, 1]):
        raise ValueError(f"got GTIs {_text(gti)}, expected 1 or more, start before stop")
    overlap = gti[1:, 0] < gti[:-1, 1] - SLACK
    if overlap.any():
        both = gti[np.argmax(overlap) :][:2]
        raise ValueError(f"got GTIs {_text(both)}, which overlap, expected separate GTIs")
    start, stop = (tables.keyword(events, key) for key in RUN)
    if gti[0, 0] < start - SLACK or gti[-1, 1] > stop + SLACK:
        raise ValueError(
            f"got GTIs {_text(gti[[0, -1]])} outside of the run, expected them within "
            f"TSTART {start:.3f} and TSTOP {stop:.3f}"
        )
    return gti


def _check_ontime(gti, ontime):
    """Check that ONTIME is the sum of the GTIs, because only events in these are counted."""
    total = float(np.diff(gti).sum())
    if abs(total - ontime) > SLACK * len(gti):
        raise ValueError(
            f"got GTIs with a sum of {total:.3f} s and ONTIME {ontime:.3f} s, expected equal times"
        )


def _check_direction(pointing, ra, dec):
    """Check that header and index have the same pointing, because both are used."""
    separation = np.degrees(angular_separation(*np.radians([pointing.ra, pointing.dec, ra, dec])))
    if separation > SAME_DIRECTION:
        raise ValueError(
            f"got RA_PNT, DEC_PNT {pointing.ra:.4f}, {pointing.dec:.4f}, expected those of "
            f"obs-index, {ra:.4f}, {dec:.4f} (separation {separation:.3f} deg)"
        )


def _text(gti):
    return ", ".join(f"{start:.3f}–{stop:.3f} s" for start, stop in gti)


def _inside_gti(time, gti):
    """Whether events are in good time, with a tolerance of a millisecond."""
    after = np.searchsorted(gti[:, 0], time + SLACK_EVENT, side="right") - 1
    return (after >= 0) & (time <= gti[after, 1] + SLACK_EVENT)


def _pointing(header):
    """The pointing of a run, with its site and time reference."""
    drift = str(header.get("OBS_MODE", "POINTING")).strip().upper() == "DRIFT"
    direction = ("ALT_PNT", "AZ_PNT") if drift else ("RA_PNT", "DEC_PNT")
    lon, lat = (tables.keyword(header, key) for key in direction)
    site = Site(*(tables.keyword(header, key) for key in ("GEOLON", "GEOLAT", "ALTITUDE")))
    return (Drift if drift else Tracking)(lon, lat, site, _zero(header).tt.mjd)


def _zero(header):
    """The time reference of an HDU."""
    scale = str(header.get("TIMESYS", "TT")).strip().lower()
    if scale not in ("tt", "utc", "tai"):
        raise ValueError(f"got TIMESYS {scale.upper()}, expected TT, UTC or TAI")
    days = (tables.keyword(header, key) for key in ("MJDREFI", "MJDREFF"))
    time = Time(*days, format="mjd", scale=scale)
    if scale == "utc":  # `time.tt` would search for leap seconds on the network
        time = Time(*erfa.taitt(*erfa.utctai(time.jd1, time.jd2)), format="jd", scale="tt")
    return time
