"""The two index files of a store: which files a run has, and what is said of each run."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.io.files.remote import RemotePath, as_path
from simbg.io.gadf import index_tables
from simbg.io.safe_files import expanded
from simbg.notices import Notice, add
from simbg.observations.store import RunList

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = []

DIRECTIONS = ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")
UNITS = {
    **dict.fromkeys((*DIRECTIONS, "ZEN_PNT"), "deg"),
    **dict.fromkeys(("ONTIME", "LIVETIME"), "s"),
    "SAFE_ENERGY_LO": "TeV",
}
COLUMNS = ("OBS_ID", "OBS_MODE", "DEADC", "EVENT_COUNT", *UNITS)
TEXT = [name for name in index_tables.HDU_INDEX if name not in ("OBS_ID", "HDU_CLASS")]
# Types of HDUs of which a run has one at most; others may exist in several formats.
SINGLE = ("events", "gti", "aeff")
# Types of HDUs that two runs cannot share.
OF_ONE_RUN = ("events", "gti")


def index_path(folder: Any, kind: str) -> Any:
    """Path of the index file "hdu" or "obs", which may be compressed."""
    plain = as_path(folder) / f"{kind}-index.fits"
    return plain if plain.is_file() else plain.with_name(plain.name + ".gz")


def read_runs(path: Path) -> RunList | None:
    """The observation index as `read_observations` reads it; None if it is not plain.

    Parameters
    ----------
    path : Path
        The file; it may be missing.
    """
    found = path.is_file() and index_tables.read_plain_index(path, ("OBS_ID",), UNITS, COLUMNS)
    if not found:
        return None
    runs, _ = found
    index_tables.check_runs(runs.obs_ids, path)
    if "ALT_PNT" not in runs.columns and "ZEN_PNT" in runs.columns and runs.units is not None:
        runs.columns["ALT_PNT"], runs.units["ALT_PNT"] = 90 - runs.columns["ZEN_PNT"], "deg"
    return runs


def read_observations(path: Path, obs_ids: Iterable[int]) -> "Table":
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
    from astropy import units as u
    from astropy.table import Table

    if path.is_file():
        table = index_tables.read_index(path, ("OBS_ID",), UNITS, COLUMNS)
    else:
        add([Notice("no_index")])
        table = Table({"OBS_ID": np.array(sorted(obs_ids))})
    index_tables.check_runs(table["OBS_ID"].tolist(), path)
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
    def table(self) -> "Table":
        """The table, unchanged but for the case of the names of its columns."""
        return index_tables.read_index(
            self.path, index_tables.HDU_INDEX, None, index_tables.HDU_INDEX, TEXT
        )

    @cached_property
    def _columns(self) -> tuple[list[list[Any]], str]:
        """The columns of `index_tables.HDU_INDEX`, and BASE_DIR."""
        args = index_tables.HDU_INDEX, None, index_tables.HDU_INDEX, TEXT
        if found := index_tables.read_plain_index(self.path, *args):
            columns, about = found[0].columns, found[1]
        else:
            columns, about = self.table, self.table.meta
        values = [columns[name].tolist() for name in index_tables.HDU_INDEX]
        return values, str(about.get("BASE_DIR", "")).strip()

    @cached_property
    def base(self) -> Path:
        """The folder to which FILE_DIR is relative: that of the index, or BASE_DIR."""
        folder = self.path.parent
        _, base = self._columns
        if isinstance(folder, RemotePath):
            is_there = not os.path.isabs(base)
        else:
            base = str(expanded(base))
            is_there = (folder / base).is_dir()
        return folder / base if base and is_there else folder

    @cached_property
    def rows(self) -> dict[tuple[int, str], list[tuple[str, str]]]:
        """(OBS_ID, type) → path and HDU name of each row; paths are relative to the base."""
        found = defaultdict(list)
        for obs_id, kind, _, folder, file, name in zip(*self._columns[0], strict=True):
            path = os.path.join(folder.strip(), file.strip())
            found[obs_id, kind.strip().lower()].append((path, name.strip()))
        return {key: list(dict.fromkeys(rows)) for key, rows in found.items()}

    @cached_property
    def shared(self) -> dict[tuple[str, str, str], list[int]]:
        """Type, file and HDU of events and GTIs of several runs → these runs.

        A file has one name, whatever links lead to it.
        """
        found = defaultdict[tuple[str, str, str], list[int]](list)
        for (obs_id, kind), rows in self.rows.items():
            if kind in OF_ONE_RUN:
                for path, name in rows:
                    found[self._hdu(kind, path, name)].append(obs_id)
        return {hdu: runs for hdu, runs in found.items() if len(runs) > 1}

    @cached_property
    def _files(self) -> dict[str, str]:
        """Path in the index → the file, without links."""
        of_one = (rows for (_, kind), rows in self.rows.items() if kind in OF_ONE_RUN)
        found, folders = dict[str, str](), dict[str, str]()
        paths = {path for rows in of_one for path, _ in rows}
        if isinstance(self.base, RemotePath):  # no links
            return {path: str(self.base / path) for path in paths}
        for path in paths:
            # The links of a folder are followed once: it may have the files of many runs.
            folder, name = os.path.split(os.path.join(self.base, path))
            if folder not in folders:
                folders[folder] = os.path.realpath(folder)
            file = os.path.join(folders[folder], name)
            odd = name in ("", ".", "..") or os.path.islink(file)
            found[path] = os.path.realpath(file) if odd else file
        return found

    def _hdu(self, kind, path, name):
        return kind, self._files[path], name.upper()

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
            If the index names two, or if events or GTIs are also those of another run.
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
        is_shared = kind in OF_ONE_RUN and self.shared
        if is_shared and (same := self.shared.get(self._hdu(kind, path, name))):
            raise ValueError(
                f"{self.path}: got {name} of {path} for the runs {same[0]} and {same[1]}, "
                "expected events and GTIs of one run"
            )
        if self._columns[1] and self.base == self.path.parent:
            add([Notice("base_dir")])
        return self.base / path, name
