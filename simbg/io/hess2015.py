"""Data stores in the H.E.S.S. scheme of 2015: a run list, and a folder for each run.

``runinfo.fits`` is in the base folder. Events and an effective area of each run are in
``run{lo}-{hi}/run{id}/`` with lo = 200 ⌊id / 200⌋ and hi = lo + 199.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.io import tables
from simbg.io.files.plain_output import rows
from simbg.io.gadf import index_tables
from simbg.io.safe_files import open_tables, write_fits
from simbg.observations.observation import Events, Observation
from simbg.observations.store import RunList, Store
from simbg.sky.pointing import Site

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["HessStore", "HessWriter"]

# Column names in simbg → those of 2015; other columns have the same name in both.
NAMES = {"RA_PNT": "RA", "DEC_PNT": "DEC", "ALT_PNT": "ALT", "AZ_PNT": "AZ"}
UNITS = {**dict.fromkeys(NAMES.values(), "deg"), "ONTIME": "s"}
COLUMNS = (
    *("OBS_ID", "ONTIME", "LIVETIME", "TSTART", "TSTOP"),
    *("AZ", "ALT", "RA", "DEC", "N_TELS", "MUONEFF"),
)


@dataclass(frozen=True, repr=False)
class HessStore(Store):
    """A store in the scheme of 2015, opened for reading.

    Parameters
    ----------
    path : path-like
        Folder of ``runinfo.fits``.
    """

    path: Path
    scheme = "hess"
    index = "runinfo.fits"
    names = NAMES

    @cached_property
    def table(self) -> "Table":
        """The run list, with the column names of 2015."""
        needed = "OBS_ID", *NAMES.values()
        path = Path(self.path) / self.index
        table = index_tables.read_index(path, needed, UNITS)
        index_tables.check_runs(table["OBS_ID"].tolist(), path)
        return table

    @cached_property
    def runs(self) -> RunList:
        """The run list as arrays."""
        return RunList({name: self.table[name].data for name in self.table.colnames})

    @property
    def run_ids(self) -> set[int]:
        """OBS_ID of all runs with events; in this scheme, those of the run list."""
        return set(self.runs.obs_ids)

    def _observation(self, row, energy_threshold=None):
        obs_id = int(row["OBS_ID"])
        path = _file_of(self.path, obs_id, "events")
        livetime = _keyword(path, "LIVETIME")
        angles: dict[str, Any] = {key[:-4].lower(): float(row[c]) for key, c in NAMES.items()}
        if energy_threshold is None:
            energy_threshold = _keyword(_file_of(self.path, obs_id, "aeff_2d"), "LO_THRES")
        return Observation(
            obs_id=obs_id,
            load=partial(_load_events, path),
            livetime=livetime,
            # Event lists of 2015 have no ontime; if the run list has none either, livetime is used.
            ontime=float(row["ONTIME"]) if "ONTIME" in row else livetime,
            energy_threshold=energy_threshold,
            **angles,
        )


def _file_of(folder, obs_id, kind):
    """Path of a run's file; kind is "events" or "aeff_2d"."""
    low = 200 * (obs_id // 200)
    run = f"run{low:06d}-{low + 199:06d}/run{obs_id:06d}"
    return Path(folder) / run / f"hess_{kind}_{obs_id:06d}.fits.gz"


@dataclass(frozen=True)
class HessWriter:
    """Writes a store in the scheme of 2015.

    Parameters
    ----------
    folder : Path
        Folder of the store, which exists.
    site : Site, optional
        Not used: the scheme does not contain it.
    """

    folder: Path
    site: Site | None = None

    FILES = (
        r"runinfo\.fits",
        r"run\d{6,}-\d{6,}/run\d{6,}/hess_(events|aeff_2d)_\d{6,}\.fits\.gz",
    )

    def write_run(self, row: Mapping[str, Any], events: Events) -> None:
        """Write DETX, DETY and ENERGY of events, and an empty AEFF table with the threshold.

        Parameters
        ----------
        row : mapping
            The run, with the columns of `Scenario.table` (seconds, deg).
        events : Events
            Events of the run.
        """
        obs_id = int(row["OBS_ID"])
        values = {"DETX": events.fov_lon, "DETY": events.fov_lat, "ENERGY": events.energy}
        units = "deg", "deg", "TeV"
        columns = [
            (name, np.asarray(array, float), unit)
            for (name, array), unit in zip(values.items(), units, strict=True)
        ]
        header = {"OBS_ID": obs_id, "LIVETIME": float(row["LIVETIME"]), "EUNIT": "TeV"}
        threshold = {"LO_THRES": (float(row["SAFE_ENERGY_LO"]), "[TeV]")}
        for kind, hdu in (
            ("events", rows("EVENTS", columns, header)),
            ("aeff_2d", rows("EFFECTIVE AREA", [], threshold)),
        ):
            path = _file_of(self.folder, obs_id, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_fits(path, [hdu], overwrite=True)

    def write_index(self, table: "Table") -> None:
        """Write ``runinfo.fits`` of the runs in ``table``, with the columns of 2015."""
        from astropy.table import Table

        runs = Table(table, meta={})
        runs.rename_columns(list(NAMES), list(NAMES.values()))
        header = {
            "HIERARCH OBSERVATORY_NAME": "HESS",
            "MJDREFI": 55197,
            "MJDREFF": 0.0,
            "HIERARCH TIME_FORMAT": table.meta["TIME_FORMAT"],
        }
        hdu = tables.table_hdu(None, runs[list(COLUMNS)], header)
        write_fits(Path(self.folder) / "runinfo.fits", [hdu])


def _keyword(path, name):
    with open_tables(path) as file:
        return tables.keyword(tables.first_table(file).header, name)


def _load_events(path):
    with open_tables(path) as file:
        hdu = tables.first_table(file)
        read = partial(tables.column, hdu)
        energy = read("ENERGY", "TeV", positive=True, default_unit=hdu.header.get("EUNIT"))
        lon, lat = (read(name, "deg", default_unit="deg") for name in ("DETX", "DETY"))
        return Events(energy, lon, lat)
