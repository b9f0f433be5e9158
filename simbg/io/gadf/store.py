"""Reading data stores of the gamma-astro-data-formats (GADF, version 0.3).

A store is a folder with ``hdu-index.fits.gz``, ``obs-index.fits.gz`` and the files that they list.
See FORMATS.md in the folder above.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.io import tables
from simbg.io.bkg_3d import REVERSED
from simbg.io.gadf.events import RunFiles, check_obs_id, one_hdu
from simbg.io.gadf.index import (
    COLUMNS,
    DIRECTIONS,
    HduIndex,
    index_path,
    read_observations,
    read_runs,
)
from simbg.io.gadf.pointing import directions, is_drift
from simbg.io.gadf.times import clocks, read_gti
from simbg.io.safe_files import open_tables
from simbg.notices import Notice, add
from simbg.observations.observation import Observation
from simbg.observations.store import RunList, Store

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["GadfStore"]

CLOCKS = ("ONTIME", "LIVETIME")
# Keywords of the events for which gammapy overrides FOVALIGN of a background.
OVERRIDING = {"CREATOR": "SASH FITS::EventListWriter", "HDUVERS": "0.2"}


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
    index = "obs-index.fits.gz"
    # Columns by which runs are selected and grouped, with their names in this format.
    names = {name: name for name in DIRECTIONS}  # noqa: RUF012

    @cached_property
    def runs(self) -> RunList:
        """The observation index in the order of the file, with altitude and azimuth.

        Directions that the index does not have are those of the events' headers at mid-run. Runs
        in drift mode need no RA_PNT and DEC_PNT.
        """
        runs = read_runs(index_path(self.path, "obs"))
        if runs is None:
            table = self._index
            runs = RunList({name: table[name].data for name in table.colnames})
        columns = runs.columns
        missing = [name for name in DIRECTIONS if name not in columns]
        for name in missing:
            columns[name] = np.full(len(runs), np.nan)
            if runs.units is not None:
                runs.units[name] = "deg"
        modes = columns["OBS_MODE"].tolist() if "OBS_MODE" in columns else ()
        drift = [str(mode).strip().upper() == "DRIFT" for mode in modes]
        unknown = ~np.isfinite([columns[name] for name in DIRECTIONS]).all(axis=0)
        for row in np.flatnonzero(unknown & (np.array(drift) if drift else bool(missing))):
            self._complete(columns, row)
        return runs

    @cached_property
    def table(self) -> "Table":
        """`runs` as a table of astropy, with the header of the file."""
        table = self._index
        for name in DIRECTIONS:
            table[name] = self.runs.columns[name]
            table[name].unit = "deg"
        return table

    @cached_property
    def _index(self):
        """The table in the file."""
        return read_observations(index_path(self.path, "obs"), self.run_ids)

    @cached_property
    def unreadable(self) -> dict[int, Exception]:
        """Errors of runs without a direction in `table`, by OBS_ID."""
        return {}

    @cached_property
    def hdu_index(self) -> HduIndex:
        """The HDU index."""
        return HduIndex(index_path(self.path, "hdu"))

    @property
    def run_ids(self) -> set[int]:
        """OBS_ID of all runs with events, including runs that are not in the observation index."""
        return {obs_id for obs_id, kind in self.hdu_index.rows if kind == "events"}

    def is_reversed_by_gammapy(self, obs_id: int) -> bool:
        """Whether gammapy ignores FOVALIGN of the background of a run, for REVERSE_LON_RADEC.

        gammapy since 2.1 does so for files of an old program of H.E.S.S., which it recognises by
        the header of the events (`gammapy.data.Observation.bkg`).

        Parameters
        ----------
        obs_id : int
            The run.
        """
        with _opened(*self._events(obs_id)) as hdu:
            return all(hdu.header.get(key) == value for key, value in OVERRIDING.items())

    def has_reversed_background(self, obs_id: int) -> bool:
        """Whether the background of a run, as `read_cube` returns it, is reversed for gammapy.

        That is, whether gammapy ignores FOVALIGN, and FOVALIGN is not the one that gammapy uses.

        Parameters
        ----------
        obs_id : int
            A run with a background.
        """
        place = self.hdu_index.place(obs_id, "bkg")
        if place is None or not self.is_reversed_by_gammapy(obs_id):
            return False
        with _opened(*place) as hdu:
            return str(hdu.header.get("FOVALIGN")).strip().upper() != REVERSED

    def _observation(self, row, energy_threshold=None):
        obs_id = int(row["OBS_ID"])
        events, gti = self._events(obs_id), self.hdu_index.place(obs_id, "gti")
        index = {name: row[name] for name in COLUMNS if name in row}
        is_drift(index.get("OBS_MODE"))
        index |= {key: float(index[key]) for key in DIRECTIONS} | self._clocks(index, events, gti)
        if energy_threshold is None:
            energy_threshold = self._threshold(obs_id, index)
        angles: dict[str, Any] = {name[:-4].lower(): index[name] for name in DIRECTIONS}
        return Observation(
            obs_id=obs_id,
            load=RunFiles(obs_id, events, gti, index).load,
            livetime=index["LIVETIME"],
            ontime=index["ONTIME"],
            energy_threshold=energy_threshold,
            store=self.path,
            **angles,
        )

    def _clocks(self, index, events, gti):
        """ONTIME and LIVETIME of the index, or of the events, or from the GTIs."""
        found = clocks(index)
        if len(found) == 2:
            return found
        # All in here: astropy reads a card when it is used, and its errors name no file.
        with _opened(*events) as hdu:
            header = hdu.header
            known = {key: header.get(key) for key in (*CLOCKS, "DEADC")} | found
            found = clocks(known)
            if "ONTIME" not in found:
                with nullcontext() if gti is None else _opened(*gti) as hdu:
                    total = float(np.diff(read_gti(hdu, header)[0]).sum())
                found = clocks(known | {"ONTIME": total})
            return found | {key: tables.keyword(known, key) for key in CLOCKS if key not in found}

    def _threshold(self, obs_id, index):
        """Energy threshold, TeV: SAFE_ENERGY_LO of the index, or LO_THRES of the AEFF HDU, or 0."""
        if "SAFE_ENERGY_LO" in index:
            return float(index["SAFE_ENERGY_LO"])
        place = self.hdu_index.place(obs_id, "aeff")
        if place is None:
            return 0.0
        if not place[0].is_file():
            add([Notice("threshold", obs_id)])
            return 0.0
        with _opened(*place) as hdu:
            return tables.keyword(hdu.header, "LO_THRES") if "LO_THRES" in hdu.header else 0.0

    def _complete(self, columns, row):
        """Fill in the directions of a run that are NaN; they remain NaN if it cannot be read."""
        obs_id = int(columns["OBS_ID"][row])
        index = {name: columns[name][row] for name in COLUMNS if name in columns}
        known = {key: value for key, value in index.items() if value == value}
        try:
            with _opened(*self._events(obs_id)) as hdu:
                check_obs_id(hdu.header, obs_id)
                for name, value in directions(hdu.header, known).items():
                    if name not in known:
                        columns[name][row] = value
        except (FileNotFoundError, ValueError) as error:
            self.unreadable[obs_id] = error

    def _events(self, obs_id):
        place = self.hdu_index.place(obs_id, "events")
        if place is None:
            raise ValueError(
                f"{self.hdu_index.path}: got no events HDU of run {obs_id}, "
                "expected one, because the run is in obs-index"
            )
        return place


@contextmanager
def _opened(path, name):
    with open_tables(path) as file:
        yield one_hdu(file, name)
