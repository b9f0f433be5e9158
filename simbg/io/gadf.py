"""Data stores of the gamma-astro-data-formats (GADF, version 0.3).

A store is a folder with ``hdu-index.fits.gz``, ``obs-index.fits.gz`` and the
files they name. See FORMATS.md beside this file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from simbg import __version__
from simbg.fov import Site, Tracking
from simbg.io.columns import column, keyword
from simbg.io.files import open_fits, write_fits
from simbg.observations import MJDREF, Events, Observation

__all__ = ["FILES", "GadfStore", "write_events", "write_index"]

GADF = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
    "HDUVERS": "0.3",
}
# What a store of ours holds, as regular expressions.
FILES = (r"(hdu|obs)-index\.fits\.gz", r"data/simbg_obs_\d{6,}\.fits\.gz")


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
    # How the columns that we select and group by are called in this scheme.
    names = {name: name for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")}

    @cached_property
    def table(self):
        """The observation index, OBS_ID unique, in the order of the file."""
        table = _read_index(Path(self.path) / "obs-index.fits.gz")
        for name in ("OBS_ID", "RA_PNT", "DEC_PNT"):
            if name not in table.colnames:
                raise ValueError(
                    f"{self.path}/obs-index.fits.gz: got columns {table.colnames}, expected {name}"
                )
        ids = np.asarray(table["OBS_ID"])
        if len(np.unique(ids)) != len(ids):
            raise ValueError(f"{self.path}/obs-index.fits.gz: an OBS_ID occurs twice")
        return self._with_altaz(table)

    @cached_property
    def hdus(self):
        """Where each HDU is: (OBS_ID, type) → (path, HDU name)."""
        path = Path(self.path) / "hdu-index.fits.gz"
        table = _read_index(path)
        wanted = ("OBS_ID", "HDU_TYPE", "FILE_DIR", "FILE_NAME", "HDU_NAME")
        missing = [name for name in wanted if name not in table.colnames]
        if missing:
            raise ValueError(f"{path}: got columns {table.colnames}, expected {missing[0]}")
        return {
            (int(row["OBS_ID"]), str(row["HDU_TYPE"]).strip().lower()): (
                self._inside(str(row["FILE_DIR"]).strip(), str(row["FILE_NAME"]).strip()),
                str(row["HDU_NAME"]).strip(),
            )
            for row in table
        }

    def observations(self, table):
        """The observations of some rows of `table`; events are read when asked for."""
        return [self._observation(row) for row in table]

    def _observation(self, row):
        obs_id = int(row["OBS_ID"])
        if (obs_id, "events") not in self.hdus:
            raise ValueError(f"{self.path}/hdu-index.fits.gz: run {obs_id} has no events HDU")
        path, hdu = self.hdus[obs_id, "events"]
        facts = {name: row[name] for name in row.colnames}
        if not {"ONTIME", "LIVETIME"} <= facts.keys():
            with open_fits(path) as file:
                header = _hdu(file, hdu, path).header
                facts |= {name: keyword(header, name, path) for name in ("ONTIME", "LIVETIME")}
        return Observation(
            obs_id=obs_id,
            load=partial(_load_events, path, hdu),
            livetime=float(facts["LIVETIME"]),
            ontime=float(facts["ONTIME"]),
            energy_threshold=self._threshold(obs_id, facts),
            **{name[:-4].lower(): float(facts[name]) for name in self.names},
        )

    def _threshold(self, obs_id, facts):
        """SAFE_ENERGY_LO of the index, else LO_THRES of the effective area, else none: TeV."""
        if "SAFE_ENERGY_LO" in facts:
            return float(facts["SAFE_ENERGY_LO"])
        if (obs_id, "aeff") not in self.hdus:
            return 0.0
        path, hdu = self.hdus[obs_id, "aeff"]
        with open_fits(path) as file:
            return float(_hdu(file, hdu, path).header.get("LO_THRES", 0.0))

    def _inside(self, folder, name):
        """The path of a file; one that leads out of the store is refused."""
        relative = os.path.normpath(os.path.join(folder, name))
        if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
            raise ValueError(f"{self.path}/hdu-index.fits.gz: {relative} leads out of the store")
        return Path(self.path) / relative

    def _with_altaz(self, table):
        """Fill in altitude and azimuth at mid-run where the index has none."""
        if "ALT_PNT" not in table.colnames and "ZEN_PNT" in table.colnames:
            table["ALT_PNT"] = 90 - np.asarray(table["ZEN_PNT"], float)
        if {"ALT_PNT", "AZ_PNT"} <= set(table.colnames):
            return table
        altaz = []
        for obs_id in table["OBS_ID"]:
            path, hdu = self.hdus.get((int(obs_id), "events"), (self.path, ""))
            with open_fits(path) as file:
                header = _hdu(file, hdu, path).header
            middle = 0.5 * (keyword(header, "TSTART", path) + keyword(header, "TSTOP", path))
            altaz.append(_tracking(header, path).altaz(np.array([middle])))
        alt, az = np.array(altaz).reshape(-1, 2).T
        table["ALT_PNT"], table["AZ_PNT"] = alt * u.deg, az * u.deg
        return table


def write_events(folder, row, events, site, extra=()):
    """Write one run of a store: EVENTS, GTI and a placeholder AEFF.

    Parameters
    ----------
    folder : Path
        The store.
    row : mapping
        The run, with the columns of `make_observation_table` (seconds, deg).
    events : Events
        With times in s since `MJDREF`.
    site : Site
    extra : sequence of (str, ndarray, str)
        More columns: name, values, unit.
    """
    tracking = Tracking(float(row["RA_PNT"]), float(row["DEC_PNT"]), site, MJDREF)
    ra, dec = tracking.fov_to_sky(events.fov_lon, events.fov_lat, events.time)
    columns = [
        ("EVENT_ID", np.arange(1, len(events) + 1), ""),
        ("TIME", events.time, "s"),
        ("RA", ra, "deg"),
        ("DEC", dec, "deg"),
        ("ENERGY", events.energy, "TeV"),
        *extra,
    ]
    obs_id = int(row["OBS_ID"])
    header = _events_header(row, site)
    gti = {"START": np.array([row["TSTART"]]), "STOP": np.array([row["TSTOP"]])}
    hdus = [
        fits.PrimaryHDU(),
        _table_hdu("EVENTS", columns, header),
        _table_hdu(
            "GTI", [(k, v, "s") for k, v in gti.items()], {**GADF, "HDUCLAS1": "GTI", **_times()}
        ),
        _aeff_hdu(obs_id, row),
    ]
    path = Path(folder) / _file_of(obs_id)
    path.parent.mkdir(exist_ok=True)
    write_fits(path, hdus)


def write_index(folder, table, site):
    """Write ``obs-index`` and ``hdu-index`` for runs that `write_events` wrote."""
    columns = [
        (name, np.asarray(table[name]), str(table[name].unit or "")) for name in table.colnames
    ]
    header = {**GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "OBS", **_times(), **_site(site)}
    write_fits(
        Path(folder) / "obs-index.fits.gz",
        [fits.PrimaryHDU(), _table_hdu("OBS_INDEX", columns, header)],
    )
    rows = [
        (int(obs_id), kind, hdu_class, "data", Path(_file_of(int(obs_id))).name, name)
        for obs_id in table["OBS_ID"]
        for kind, hdu_class, name in (
            ("events", "events", "EVENTS"),
            ("gti", "gti", "GTI"),
            ("aeff", "aeff_2d", "AEFF"),
        )
    ]
    names = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
    columns = [
        (name, np.array(values), "")
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    header = {**GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "HDU"}
    write_fits(
        Path(folder) / "hdu-index.fits.gz",
        [fits.PrimaryHDU(), _table_hdu("HDU_INDEX", columns, header)],
    )


def _load_events(path, hdu_name):
    """Events of one run in the ALTAZ-aligned field of view."""
    with open_fits(path) as file:
        hdu = _hdu(file, hdu_name, path)
        energy = column(hdu, "ENERGY", "TeV", path, positive=True)
        time = column(hdu, "TIME", "s", path)
        if {"DETX", "DETY"} <= set(hdu.columns.names):
            lon, lat = (column(hdu, name, "deg", path) for name in ("DETX", "DETY"))
        else:
            ra, dec = (column(hdu, name, "deg", path) for name in ("RA", "DEC"))
            lon, lat = _tracking(hdu.header, path).sky_to_fov(ra, dec, time)
    return Events(energy, lon, lat, time)


def _tracking(header, path):
    """What the run points at, from where, and what its times count from."""
    number = {
        name: keyword(header, name, path)
        for name in ("RA_PNT", "DEC_PNT", "GEOLON", "GEOLAT", "ALTITUDE", "MJDREFI", "MJDREFF")
    }
    if str(header.get("OBS_MODE", "POINTING")).strip().upper() == "DRIFT":
        raise ValueError(f"{path}: got OBS_MODE DRIFT, expected a tracking mode")
    site = Site(number["GEOLON"], number["GEOLAT"], number["ALTITUDE"])
    scale = str(header.get("TIMESYS", "TT")).strip().lower()
    zero = Time(number["MJDREFI"], number["MJDREFF"], format="mjd", scale=scale)
    return Tracking(number["RA_PNT"], number["DEC_PNT"], site, zero.tt.mjd)


def _hdu(file, name, path):
    if name not in file:
        raise ValueError(f"{path}: got HDUs {[hdu.name for hdu in file]}, expected {name}")
    return file[name]


def _read_index(path):
    if not path.is_file() and path.with_suffix("").is_file():
        path = path.with_suffix("")  # an index that is not compressed
    with open_fits(path) as file:
        tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)]
        if not tables:
            raise ValueError(f"{path}: no table in it, expected an index")
        return Table.read(tables[0])


def _file_of(obs_id):
    return f"data/simbg_obs_{obs_id:06d}.fits.gz"


def _table_hdu(name, columns, header):
    """A binary table of (name, values, unit) columns."""
    formats = {"i": "K", "f": "D"}
    made = []
    for label, values, unit in columns:
        kind = formats.get(values.dtype.kind) or f"{max(1, values.dtype.itemsize // 4)}A"
        made.append(fits.Column(label, kind, unit=unit or None, array=values))
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update(header)
    return hdu


def _events_header(row, site):
    number = {
        name: float(row[name])
        for name in (
            "TSTART",
            "TSTOP",
            "ONTIME",
            "LIVETIME",
            "DEADC",
            "RA_PNT",
            "DEC_PNT",
            "ALT_PNT",
            "AZ_PNT",
        )
    }
    return {
        **GADF,
        "HDUCLAS1": "EVENTS",
        "OBS_ID": int(row["OBS_ID"]),
        **number,
        "OBS_MODE": "POINTING",
        "OBJECT": "simulated",
        "EQUINOX": 2000.0,
        "RADECSYS": "ICRS",
        "ORIGIN": "simbg",
        "TELESCOP": "simulated",
        "INSTRUME": "simulated",
        "CREATOR": f"simbg {__version__}",
        "N_TELS": int(row["N_TELS"]),
        "MUONEFF": float(row["MUONEFF"]),
        "EUNIT": "TeV",
        **_times(),
        **_site(site),
    }


def _times():
    whole = int(MJDREF)
    return {
        "MJDREFI": whole,
        "MJDREFF": MJDREF - whole,
        "TIMEUNIT": "s",
        "TIMESYS": "TT",
        "TIMEREF": "LOCAL",
    }


def _site(site):
    return {"GEOLON": site.lon, "GEOLAT": site.lat, "ALTITUDE": site.height}


def _aeff_hdu(obs_id, row):
    """An effective area of 1 m² everywhere: readers want one, and its header has the threshold."""
    names = ("ENERG_LO", "ENERG_HI", "THETA_LO", "THETA_HI", "EFFAREA")
    values = (
        np.array([[0.01, 1.0, 10.0]]),
        np.array([[1.0, 10.0, 1000.0]]),
        np.array([[0.0, 3.0]]),
        np.array([[3.0, 10.0]]),
        np.ones((1, 2, 3)),
    )
    columns = [
        fits.Column(
            name, f"{value.size}D", unit=unit, array=value, dim="(3,2)" if value.ndim == 3 else None
        )
        for name, value, unit in zip(names, values, ("TeV", "TeV", "deg", "deg", "m2"), strict=True)
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="AEFF")
    hdu.header.update(
        {**GADF, "HDUCLAS1": "RESPONSE", "HDUCLAS2": "EFF_AREA", "HDUCLAS3": "FULL-ENCLOSURE"}
        | {
            "HDUCLAS4": "AEFF_2D",
            "OBS_ID": obs_id,
            "CREF5": "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)",
        }
        | {"LO_THRES": (float(row["SAFE_ENERGY_LO"]), "[TeV]")}
    )
    return hdu
