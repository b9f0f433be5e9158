"""Reading data stores of the gamma-astro-data-formats (GADF, version 0.3).

A store is a folder with ``hdu-index.fits.gz``, ``obs-index.fits.gz`` and the
files they name. See FORMATS.md beside this file.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import angular_separation
from astropy.time import Time

from simbg.io import tables
from simbg.io.safe_files import open_fits
from simbg.observations.observation import Events, Observation
from simbg.sky.pointing import Drift, Site, Tracking

__all__ = ["GadfStore"]

# How the columns that we select and group by are called in this scheme.
NAMES = {name: name for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")}
UNITS = {
    **dict.fromkeys((*NAMES, "ZEN_PNT"), "deg"),
    **dict.fromkeys(("ONTIME", "LIVETIME"), "s"),
    "SAFE_ENERGY_LO": "TeV",
}
# s: what GTIs may overlap or exceed a run by, and events a GTI. Files round times.
SLACK, SLACK_EVENT = 1.0, 1e-3
# deg: what index and header of a run may differ by, a tenth of the width of a point source.
SAME_PLACE = 0.01


@dataclass(frozen=True)
class GadfStore:
    """A GADF data store, opened for reading.

    Parameters
    ----------
    path : path-like
        The folder of the index files.
    """

    path: Path
    scheme = "gadf"
    names = NAMES

    @cached_property
    def table(self):
        """The observation index, in the order of the file, with altitude and azimuth."""
        table = tables.read_index(self._index("obs"), ("OBS_ID", "RA_PNT", "DEC_PNT"), UNITS)
        if "ALT_PNT" not in table.colnames and "ZEN_PNT" in table.colnames:
            table["ALT_PNT"] = 90 * u.deg - table["ZEN_PNT"].quantity
        if not {"ALT_PNT", "AZ_PNT"} <= set(table.colnames):
            altaz = [self._altaz_if_read(int(obs_id)) for obs_id in table["OBS_ID"]]
            table["ALT_PNT"], table["AZ_PNT"] = np.reshape(altaz, (-1, 2)).T * u.deg
        return table

    @cached_property
    def unreadable(self):
        """Why a run has no altitude and azimuth in `table`: an exception, by OBS_ID."""
        return {}

    @cached_property
    def hdu_table(self):
        """The HDU index as it is."""
        return tables.read_index(self._index("hdu"), tables.HDU_INDEX)

    @cached_property
    def hdus(self):
        """Where each HDU is: (OBS_ID, type) → (path, HDU name)."""
        columns = (self.hdu_table[name].tolist() for name in tables.HDU_INDEX)
        return {
            (obs_id, kind.strip().lower()): (self._inside(folder, file), name.strip())
            for obs_id, kind, _, folder, file, name in zip(*columns, strict=True)
        }

    @property
    def run_ids(self):
        """The runs that have events, whether the observation index lists them or not."""
        return {obs_id for obs_id, kind in self.hdus if kind == "events"}

    def observations(self, table):
        """The observations of some rows of `table`; events are read when asked for."""
        return [self._observation(dict(zip(row.colnames, row, strict=True))) for row in table]

    def _observation(self, row):
        obs_id = int(row["OBS_ID"])
        path, hdu = self._events(obs_id)
        if not {"ONTIME", "LIVETIME"} <= row.keys():
            header = _header(path, hdu)
            row |= {name: tables.keyword(header, name, path) for name in ("ONTIME", "LIVETIME")}
        index = float(row["ONTIME"]), float(row["RA_PNT"]), float(row["DEC_PNT"])
        return Observation(
            obs_id=obs_id,
            load=partial(_load_events, path, hdu, self.hdus.get((obs_id, "gti")), *index),
            livetime=float(row["LIVETIME"]),
            ontime=float(row["ONTIME"]),
            energy_threshold=self._threshold(obs_id, row),
            store=self.path,
            **{name[:-4].lower(): float(row[name]) for name in self.names},
        )

    def _threshold(self, obs_id, row):
        """SAFE_ENERGY_LO of the index, else LO_THRES of the effective area, else none: TeV."""
        if "SAFE_ENERGY_LO" in row:
            return float(row["SAFE_ENERGY_LO"])
        if (obs_id, "aeff") not in self.hdus:
            return 0.0
        path, hdu = self.hdus[obs_id, "aeff"]
        header = _header(path, hdu)
        return tables.keyword(header, "LO_THRES", path) if "LO_THRES" in header else 0.0

    def _altaz_if_read(self, obs_id):
        try:
            return self._altaz(obs_id)
        except (FileNotFoundError, ValueError) as error:
            self.unreadable[obs_id] = error
            return np.nan, np.nan

    def _altaz(self, obs_id):
        """Altitude and azimuth at mid-run, for an index that has none; deg."""
        path, hdu = self._events(obs_id)
        header = _header(path, hdu)
        middle = np.mean([tables.keyword(header, name, path) for name in ("TSTART", "TSTOP")])
        return np.ravel(_pointing(header, path).altaz(np.array([middle])))

    def _events(self, obs_id):
        if (obs_id, "events") not in self.hdus:
            raise ValueError(
                f"{self._index('hdu')}: got no events HDU of run {obs_id}, "
                "which obs-index lists, expected one"
            )
        return self.hdus[obs_id, "events"]

    def _index(self, kind):
        """Path of an index file, which may be compressed or not."""
        plain = Path(self.path) / f"{kind}-index.fits"
        return plain if plain.is_file() else plain.with_name(plain.name + ".gz")

    def _inside(self, folder, name):
        """The path of a file; one that leads out of the store is refused."""
        relative = os.path.normpath(os.path.join(folder.strip(), name.strip()))
        if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
            raise ValueError(
                f"{self._index('hdu')}: got {relative}, which leads out of the store, "
                "expected a path inside"
            )
        return Path(self.path) / relative


def _load_events(path, hdu_name, gti_place, ontime, ra_pnt, dec_pnt):
    """Events of one run inside of its good time, in the ALTAZ-aligned field of view.

    From RA, Dec and time: the optional columns DETX, DETY have had other signs
    and frames in too many files.
    """
    with open_fits(path) as file:
        hdu = _hdu(file, hdu_name, path)
        energy = tables.column(hdu, "ENERGY", "TeV", path, True, hdu.header.get("EUNIT"))
        time = tables.column(hdu, "TIME", "s", path, default_unit=hdu.header.get("TIMEUNIT"))
        ra, dec = (tables.column(hdu, name, "deg", path) for name in ("RA", "DEC"))
        pointing = _pointing(hdu.header, path)
        if isinstance(pointing, Tracking):
            _check_place(pointing, ra_pnt, dec_pnt, path)
        if gti_place is None:
            gti = np.array([[tables.keyword(hdu.header, key, path) for key in ("TSTART", "TSTOP")]])
        else:
            gti_path, gti_name = gti_place
            with nullcontext(file) if gti_path == path else open_fits(gti_path) as other:
                gti = _read_gti(_hdu(other, gti_name, gti_path), gti_path, hdu.header)
            _check_ontime(gti, ontime, path)
    good = _inside_gti(time, gti)
    if not good.all():
        energy, time, ra, dec = (values[good] for values in (energy, time, ra, dec))
    lon, lat = pointing.sky_to_fov(ra, dec, time)
    return Events(energy, lon, lat, time, ra, dec, gti, pointing)


def _read_gti(hdu, path, events):
    """Good time intervals in s of the events' clock, (n, 2), checked and in order."""
    start, stop = (
        tables.column(hdu, name, "s", path, default_unit=hdu.header.get("TIMEUNIT", "s"))
        for name in ("START", "STOP")
    )
    later = 0.0
    if "MJDREFI" in hdu.header:  # else it has the events' clock
        later = (_zero(hdu.header, path) - _zero(events, path)).to_value("s")
    gti = np.stack([start, stop], axis=1) + later
    gti = gti[np.argsort(gti[:, 0])]
    if not gti.size or np.any(gti[:, 0] >= gti[:, 1]):
        raise ValueError(f"{path}: got GTIs {_text(gti)}, expected 1 or more, start before stop")
    overlap = gti[1:, 0] < gti[:-1, 1] - SLACK
    if overlap.any():
        both = gti[np.argmax(overlap) :][:2]
        raise ValueError(f"{path}: got GTIs {_text(both)} that overlap, expected none to")
    run = [tables.keyword(events, key, path) for key in ("TSTART", "TSTOP")]
    if gti[0, 0] < run[0] - SLACK or gti[-1, 1] > run[1] + SLACK:
        raise ValueError(
            f"{path}: got GTIs {_text(gti[[0, -1]])} outside of the run, expected them within "
            f"TSTART {run[0]:.3f} and TSTOP {run[1]:.3f}"
        )
    return gti


def _check_ontime(gti, ontime, path):
    """Events outside of good time do not count: then nor may the exposure hold that time."""
    total = float(np.diff(gti).sum())
    if abs(total - ontime) > SLACK * len(gti):
        raise ValueError(
            f"{path}: got GTIs of {total:.3f} s in all and ONTIME {ontime:.3f} s, expected ONTIME "
            "to be their sum"
        )


def _check_place(pointing, ra, dec, path):
    """Events lie where the header says, runs are selected and grouped where the index says."""
    places = np.radians([pointing.ra, pointing.dec, ra, dec])
    apart = np.degrees(angular_separation(*places))
    if apart > SAME_PLACE:
        raise ValueError(
            f"{path}: got RA_PNT, DEC_PNT {pointing.ra:.4f}, {pointing.dec:.4f}, expected those "
            f"of obs-index, {ra:.4f}, {dec:.4f}, {apart:.3f} deg away"
        )


def _text(gti):
    return ", ".join(f"{start:.3f}–{stop:.3f} s" for start, stop in gti)


def _inside_gti(time, gti):
    """Whether events are in good time, to a millisecond."""
    after = np.searchsorted(gti[:, 0], time + SLACK_EVENT, side="right") - 1
    return (after >= 0) & (time <= gti[after, 1] + SLACK_EVENT)


def _pointing(header, path):
    """What the run points at, from where, and what its times count from."""
    drift = str(header.get("OBS_MODE", "POINTING")).strip().upper() == "DRIFT"
    place = ("ALT_PNT", "AZ_PNT") if drift else ("RA_PNT", "DEC_PNT")
    names = (*place, "GEOLON", "GEOLAT", "ALTITUDE")
    *direction, lon, lat, height = (tables.keyword(header, name, path) for name in names)
    zero = _zero(header, path).tt.mjd
    try:
        site = Site(lon, lat, height)
        return (Drift if drift else Tracking)(*direction, site, zero)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _zero(header, path):
    """What the times of an HDU count from."""
    scale = str(header.get("TIMESYS", "TT")).strip().lower()
    if scale not in ("tt", "utc", "tai"):
        raise ValueError(f"{path}: got TIMESYS {scale.upper()}, expected TT, UTC or TAI")
    days = (tables.keyword(header, name, path) for name in ("MJDREFI", "MJDREFF"))
    return Time(*days, format="mjd", scale=scale)


def _header(path, hdu_name):
    with open_fits(path) as file:
        return _hdu(file, hdu_name, path).header


def _hdu(file, name, path):
    if name not in file:
        raise ValueError(f"{path}: got HDUs {[hdu.name for hdu in file]}, expected {name}")
    return file[name]
