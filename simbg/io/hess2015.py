"""Data stores of the 2015 H.E.S.S. scheme: a run list, and a folder for each run.

``runinfo.fits`` in the base folder and, for each run, events and an effective
area in ``run{lo}-{hi}/run{id}/`` with lo = 200 ⌊id / 200⌋ and hi = lo + 199.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from astropy.table import QTable, Table

from simbg.io import tables
from simbg.io.safe_files import open_fits, write_fits
from simbg.observations.observation import Events, Observation
from simbg.sky.pointing import Site

__all__ = ["HessStore", "HessWriter"]

# 2015's names of our columns; the others are the same.
NAMES = {"RA_PNT": "RA", "DEC_PNT": "DEC", "ALT_PNT": "ALT", "AZ_PNT": "AZ"}
UNITS = {**dict.fromkeys(NAMES.values(), "deg"), "ONTIME": "s"}
COLUMNS = (
    *("OBS_ID", "ONTIME", "LIVETIME", "TSTART", "TSTOP"),
    *("AZ", "ALT", "RA", "DEC", "N_TELS", "MUONEFF"),
)


@dataclass(frozen=True)
class HessStore:
    """A store of the 2015 scheme, opened for reading.

    Parameters
    ----------
    path : path-like
        The folder of ``runinfo.fits``.
    """

    path: Path
    scheme = "hess"
    names = NAMES

    @cached_property
    def table(self):
        """The run list, with 2015's column names."""
        needed = "OBS_ID", *NAMES.values()
        return tables.read_index(Path(self.path) / "runinfo.fits", needed, UNITS)

    @property
    def run_ids(self):
        """The runs that have events: there is no list of them but the run list."""
        return set(self.table["OBS_ID"].tolist())

    def observations(self, table):
        """The observations of some rows of `table`; events are read when asked for."""
        return [self._observation(row) for row in table]

    def _observation(self, row):
        obs_id = int(row["OBS_ID"])
        path = _file_of(self.path, obs_id, "events")
        livetime = _keyword(path, "LIVETIME")
        return Observation(
            obs_id=obs_id,
            load=partial(_load_events, path),
            livetime=livetime,
            # 2015's event lists have the livetime only; without a run list's word it is that.
            ontime=float(row["ONTIME"]) if "ONTIME" in row.colnames else livetime,
            energy_threshold=_keyword(_file_of(self.path, obs_id, "aeff_2d"), "LO_THRES"),
            **{ours[:-4].lower(): float(row[theirs]) for ours, theirs in NAMES.items()},
        )


def _file_of(folder, obs_id, kind):
    """Path of a run's file; kind is "events" or "aeff_2d"."""
    low = 200 * (obs_id // 200)
    run = f"run{low:06d}-{low + 199:06d}/run{obs_id:06d}"
    return Path(folder) / run / f"hess_{kind}_{obs_id:06d}.fits.gz"


@dataclass(frozen=True)
class HessWriter:
    """Writes a store of the 2015 scheme.

    Parameters
    ----------
    folder : Path
        The store; it is there.
    site : Site
        The scheme has no place for it.
    """

    folder: Path
    site: Site | None = None

    FILES = (
        r"runinfo\.fits",
        r"run\d{6,}-\d{6,}/run\d{6,}/hess_(events|aeff_2d)_\d{6,}\.fits\.gz",
    )

    def write_run(self, row, events):
        """Write DETX, DETY and ENERGY of events, and a table whose header has the threshold.

        Parameters as `simbg.io.gadf_writer.GadfWriter.write_run`.
        """
        obs_id = int(row["OBS_ID"])
        values = events.fov_lon, events.fov_lat, events.energy
        table = QTable(values, names=("DETX", "DETY", "ENERGY"), units=("deg", "deg", "TeV"))
        header = {"OBS_ID": obs_id, "LIVETIME": float(row["LIVETIME"]), "EUNIT": "TeV"}
        threshold = {"LO_THRES": (float(row["SAFE_ENERGY_LO"]), "[TeV]")}
        for kind, hdu in (
            ("events", tables.table_hdu("EVENTS", table, header)),
            ("aeff_2d", tables.table_hdu("EFFECTIVE AREA", Table(), threshold)),
        ):
            path = _file_of(self.folder, obs_id, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_fits(path, [hdu])

    def write_index(self, table):
        """Write ``runinfo.fits``, with 2015's names and order of columns."""
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
    with open_fits(path) as file:
        return tables.keyword(tables.first_table(file).header, name)


def _load_events(path):
    with open_fits(path) as file:
        hdu = tables.first_table(file)
        read = partial(tables.column, hdu)
        return Events(
            read("ENERGY", "TeV", positive=True, default_unit=hdu.header.get("EUNIT")),
            *(read(name, "deg", default_unit="deg") for name in ("DETX", "DETY")),
        )
