"""The base class of data stores: a sequence of observations."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astropy.table import Table

from simbg.observations.observation import Observation

__all__ = ["Store"]


class Store(ABC):
    """A data store: a sequence of observations.

    `simbg.open_store` opens one. All runs are used and nothing is masked; `simbg.Selection`
    selects runs and masks sources.

    Attributes
    ----------
    path : path-like
        The folder.
    scheme : str
        Format of the store: "gadf" or "hess".
    table : Table
        The list of runs, one row each.
    names : dict of str to str
        RA_PNT, DEC_PNT, ALT_PNT and AZ_PNT → name of the column of `table`.
    """

    path: str | Path
    scheme: str
    table: Table
    names: dict[str, str]

    def __repr__(self) -> str:
        return f"<{self.scheme} store {self.path}: {len(self)} runs>"

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations())

    def observations(self, table: Table | None = None) -> list[Observation]:
        """Observations of the store; their events are read when they are needed.

        Parameters
        ----------
        table : Table, optional
            Some rows of `table`, by default all.

        Returns
        -------
        list of Observation
            One observation for each row.
        """
        rows = self.table if table is None else table
        return [self._observation(dict(zip(row.colnames, row, strict=True))) for row in rows]

    @property
    @abstractmethod
    def run_ids(self) -> set[int]:
        """OBS_ID of all runs with events."""

    @abstractmethod
    def _observation(self, row: dict[str, Any]) -> Observation:
        """The observation of a row of `table`."""
