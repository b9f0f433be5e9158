"""Writing data stores of the gamma-astro-data-formats (GADF, version 0.3) with simulated runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg import __version__
from simbg.io import tables
from simbg.io.files.plain_output import one_row, rows
from simbg.io.gadf import index_tables
from simbg.io.safe_files import write_fits
from simbg.observations.observation import MJDREF, Events, good_time, pointing_of
from simbg.sky.pointing import Site

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["GadfWriter"]

# HDU_TYPE, HDU_CLASS and HDU_NAME in the index.
HDUS = (("events", "events", "EVENTS"), ("gti", "gti", "GTI"), ("aeff", "aeff_2d", "AEFF"))
# Columns of the observation table that are also keywords of the events.
NUMBERS = (
    *("TSTART", "TSTOP", "ONTIME", "LIVETIME", "DEADC"),
    *("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "MUONEFF"),
)
TIMES = {
    "MJDREFI": int(MJDREF),
    "MJDREFF": MJDREF - int(MJDREF),
    "TIMEUNIT": "s",
    "TIMESYS": "TT",
    "TIMEREF": "LOCAL",
}


@dataclass(frozen=True)
class GadfWriter:
    """Writes a GADF data store.

    Parameters
    ----------
    folder : Path
        Folder of the store, which exists.
    site : Site
        Position of the telescopes.
    """

    folder: Path
    site: Site

    # cm², the same at all energies and offsets, and written to the AEFF: a round number close to
    # that of real arrays at 1 TeV.
    EFFECTIVE_AREA = 2e8
    # Names of the files of a store, as regular expressions.
    FILES = (r"(hdu|obs)-index\.fits\.gz", r"data/simbg_obs_\d{6,}\.fits\.gz")

    def write_run(self, row: Mapping[str, Any], events: Events) -> None:
        """Write one run: EVENTS, GTI and AEFF.

        Parameters
        ----------
        row : mapping
            The run, with the columns of `Scenario.table` (seconds, deg).
        events : Events
            Events with times in s since `MJDREF`.
        """
        pointing = pointing_of(row, self.site)
        time = np.asarray(events.time, float)
        ra, dec = pointing.fov_to_sky(events.fov_lon, events.fov_lat, time)
        columns = [
            ("EVENT_ID", np.arange(1, len(events) + 1), None),
            ("TIME", time, "s"),
            ("RA", ra, "deg"),
            ("DEC", dec, "deg"),
            ("ENERGY", np.asarray(events.energy, float), "TeV"),
        ]
        start, stop = good_time(row).T
        gti = [("START", start, "s"), ("STOP", stop, "s")]
        path = Path(self.folder) / "data" / _file_name(row["OBS_ID"])
        path.parent.mkdir(exist_ok=True)
        hdus = [
            rows("EVENTS", columns, _events_header(row, self.site)),
            rows("GTI", gti, {**tables.GADF, "HDUCLAS1": "GTI", **TIMES}),
            _aeff_hdu(row),
        ]
        write_fits(path, hdus, overwrite=True)

    def write_index(self, table: "Table") -> None:
        """Write ``obs-index`` and ``hdu-index`` of the runs.

        Parameters
        ----------
        table : Table
            The runs that were written, from `Scenario.table`.
        """
        from astropy.table import Table

        ids = np.asarray(table["OBS_ID"], int)
        names = np.repeat([_file_name(obs_id) for obs_id in ids.tolist()], len(HDUS))
        kinds, classes, hdus = (np.tile(values, ids.size) for values in zip(*HDUS, strict=True))
        columns = (
            np.repeat(ids, len(HDUS)),
            kinds,
            classes,
            np.full(names.size, "data"),
            names,
            hdus,
        )
        self._write_index("obs", Table(table, meta={}), {**TIMES, **_site(self.site)})
        self._write_index("hdu", Table(columns, names=index_tables.HDU_INDEX))

    def _write_index(self, kind, table, header=()):
        header = {**tables.GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": kind.upper(), **dict(header)}
        hdu = tables.table_hdu(f"{kind.upper()}_INDEX", table, header)
        write_fits(Path(self.folder) / f"{kind}-index.fits.gz", [hdu])


def _file_name(obs_id):
    return f"simbg_obs_{obs_id:06d}.fits.gz"


def _events_header(row, site):
    header = {
        **tables.GADF,
        "HDUCLAS1": "EVENTS",
        "OBS_ID": int(row["OBS_ID"]),
        "OBS_MODE": str(row.get("OBS_MODE", "POINTING")),
        "OBJECT": "simulated",
        "EQUINOX": 2000.0,
        "RADECSYS": "ICRS",
        "ORIGIN": "simbg",
        "TELESCOP": "simulated",
        "INSTRUME": "simulated",
        "CREATOR": f"simbg {__version__}",
        "N_TELS": int(row["N_TELS"]),
        "EUNIT": "TeV",
    }
    return header | {name: float(row[name]) for name in NUMBERS} | TIMES | _site(site)


def _site(site):
    return {"GEOLON": site.lon, "GEOLAT": site.lat, "ALTITUDE": site.height}


def _aeff_hdu(row):
    """The effective area of the simulation, a constant; the header contains the threshold."""
    energy, theta = ("ENERG", [0.01, 1.0, 10.0, 1000.0], "TeV"), ("THETA", [0.0, 3.0, 10.0], "deg")
    area = "EFFAREA", np.full((2, 3), 1e-4 * GadfWriter.EFFECTIVE_AREA), "m2"
    header = {
        **tables.GADF,
        "HDUCLAS1": "RESPONSE",
        "HDUCLAS2": "EFF_AREA",
        "HDUCLAS3": "FULL-ENCLOSURE",
        "HDUCLAS4": "AEFF_2D",
        "OBS_ID": int(row["OBS_ID"]),
        "CREF5": "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)",
        "LO_THRES": (float(row["SAFE_ENERGY_LO"]), "[TeV]"),
    }
    return one_row("AEFF", [*tables.edge_columns(energy, theta), area], header)
