"""The two index files of a store: which files a run has, and what is said of each run."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from simbg.io import tables
from simbg.io.safe_files import expanded
from simbg.notices import Notice, add

__all__ = []

DIRECTIONS = ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")
UNITS = {
    **dict.fromkeys((*DIRECTIONS, "ZEN_PNT"), "deg"),
    **dict.fromkeys(("ONTIME", "LIVETIME"), "s"),
    "SAFE_ENERGY_LO": "TeV",
}
COLUMNS = ("OBS_ID", "OBS_MODE", "DEADC", "EVENT_COUNT", *UNITS)
# Types of HDUs of which a run has one at most; others may exist in several formats.
SINGLE = ("events", "gti", "aeff")


def index_path(folder: Path, kind: str) -> Path:
    """Path of the index file "hdu" or "obs", which may be compressed."""
    plain = Path(folder) / f"{kind}-index.fits"
    return plain if plain.is_file() else plain.with_name(plain.name + ".gz")


def read_observations(path: Path, obs_ids: Iterable[int]) -> Table:
    """The observation index in the order of the file, with all columns of directions.

    Directions that it does not have are NaN, and altitude comes from the zenith angle.

    Parameters
    ----------
    path : Path
        The file; it may be missing.
    obs_ids : iterable of int
        The runs if it is missing.

    Raises
    ------
    ValueError
        If a run has two rows.
    """
    if path.is_file():
        table = tables.read_index(path, ("OBS_ID",), UNITS, COLUMNS)
    else:
        add([Notice("no_index")])
        table = Table({"OBS_ID": np.array(sorted(obs_ids))})
    ids = table["OBS_ID"].tolist()
    if len(set(ids)) < len(ids):
        double = next(obs_id for obs_id in ids if ids.count(obs_id) > 1)
        raise ValueError(f"{path}: got OBS_ID {double} in two rows, expected one row for each run")
    if "ALT_PNT" not in table.colnames and "ZEN_PNT" in table.colnames:
        table["ALT_PNT"] = 90 * u.deg - table["ZEN_PNT"].quantity
    return table


@dataclass(frozen=True)
class HduIndex:
    """The HDU index of a store.

    Parameters
    ----------
    path : Path
        The file.
    """

    path: Path

    @cached_property
    def table(self) -> Table:
        """The table, unchanged but for the case of the names of its columns."""
        text = [name for name in tables.HDU_INDEX if name not in ("OBS_ID", "HDU_CLASS")]
        return tables.read_index(self.path, tables.HDU_INDEX, None, tables.HDU_INDEX, text)

    @cached_property
    def base(self) -> Path:
        """The folder to which FILE_DIR is relative: that of the index, or BASE_DIR."""
        folder = self.path.parent
        base = str(self.table.meta.get("BASE_DIR", "")).strip()
        return folder / expanded(base) if base and (folder / expanded(base)).is_dir() else folder

    @cached_property
    def rows(self) -> dict[tuple[int, str], list[tuple[str, str]]]:
        """(OBS_ID, type) → path and HDU name of each row; paths are relative to the base."""
        found = defaultdict(list)
        columns = (self.table[name].tolist() for name in tables.HDU_INDEX)
        for obs_id, kind, _, folder, file, name in zip(*columns, strict=True):
            path = os.path.join(folder.strip(), file.strip())
            found[obs_id, kind.strip().lower()].append((path, name.strip()))
        return {key: list(dict.fromkeys(rows)) for key, rows in found.items()}

    @cached_property
    def runs_of_events(self) -> dict[tuple[str, str], list[int]]:
        """HDU of events → the runs for which it is named."""
        found = defaultdict(list)
        for (obs_id, kind), rows in self.rows.items():
            if kind == "events":
                for path, name in rows:
                    found[os.path.normpath(path), name.upper()].append(obs_id)
        return dict(found)

    def place(self, obs_id: int, kind: str) -> tuple[Path, str] | None:
        """File and name of an HDU of a run, None if the index has none.

        Parameters
        ----------
        obs_id : int
            The run.
        kind : str
            Its HDU_TYPE.

        Raises
        ------
        ValueError
            If the index names two, or if the events are also those of another run.
        """
        rows = self.rows.get((obs_id, kind))
        if not rows:
            return None
        if kind in SINGLE and len(rows) > 1:
            names = " and ".join(f"{name} of {path}" for path, name in rows[:2])
            raise ValueError(
                f"{self.path}: got {len(rows)} rows of type {kind} for run {obs_id} ({names}), "
                "expected one"
            )
        path, name = rows[0]
        if kind == "events":
            same = self.runs_of_events[os.path.normpath(path), name.upper()]
            if len(same) > 1:
                raise ValueError(
                    f"{self.path}: got the events {name} of {path} for the runs {same[0]} and "
                    f"{same[1]}, expected events of one run"
                )
        if str(self.table.meta.get("BASE_DIR", "")).strip() and self.base == self.path.parent:
            add([Notice("base_dir")])
        return self.base / path, name
