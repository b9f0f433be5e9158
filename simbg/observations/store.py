"""The base class of data stores: a sequence of observations, and the list of its runs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from simbg.errors import in_brief
from simbg.observations.observation import Observation

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["RunList", "Store", "run_numbers"]


@dataclass(frozen=True, eq=False)
class RunList:
    """The list of the runs of a store as arrays, which is faster than a table of astropy.

    Parameters
    ----------
    columns : dict of str to ndarray
        The columns; angles are in deg, times in s and energies in TeV.
    units : dict of str to str, optional
        Units of the columns that have one; None if only the table of the store has them all.
    """

    columns: dict[str, np.ndarray]
    units: dict[str, str] | None = None

    def __len__(self) -> int:
        return len(self.columns["OBS_ID"])

    @property
    def obs_ids(self) -> list[int]:
        """The numbers of the runs, in order.

        Examples
        --------
        >>> RunList({"OBS_ID": np.array([3, 1])}).obs_ids
        [3, 1]
        """
        return self.columns["OBS_ID"].tolist()

    def row(self, number: int) -> dict[str, Any]:
        """The values of a run by column.

        Examples
        --------
        >>> int(RunList({"OBS_ID": np.array([3, 1])}).row(1)["OBS_ID"])
        1
        """
        return {name: values[number] for name, values in self.columns.items()}


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
        `runs` as a table of astropy, one row for each run.
    index : str
        Name of the file with the list of runs.
    names : dict of str to str
        RA_PNT, DEC_PNT, ALT_PNT and AZ_PNT → name of the column of `table`.
    """

    path: str | Path
    scheme: str
    index: str
    table: "Table"
    names: dict[str, str]

    @property
    @abstractmethod
    def runs(self) -> RunList:
        """The list of runs.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     len(simbg.open_store(folder).runs)
        2
        """

    def __repr__(self) -> str:
        return f"<{self.scheme} store {self.path}: {len(self)} run{'s' * (len(self) != 1)}>"

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations())

    @overload
    def __getitem__(self, which: int) -> Observation: ...
    @overload
    def __getitem__(self, which: slice) -> list[Observation]: ...
    def __getitem__(self, which):
        """The observation in a row of `table`, or those of a slice; see `observations` for ids."""
        if isinstance(which, slice):
            return self.at_rows(range(len(self))[which])
        if not -len(self) <= which < len(self):
            raise IndexError(
                f"store[{which}]: expected a row from 0 to {len(self) - 1}; "
                f"for a number of a run, store.observations([{which}])"
            )
        return self.at_rows([range(len(self))[which]])[0]

    def observations(
        self,
        which: "Table | Iterable[int] | int | None" = None,
        energy_threshold: float | None = None,
    ) -> list[Observation]:
        """Observations of the store; their events are read when they are needed.

        Parameters
        ----------
        which : Table, int or sequence of int, optional
            Some rows of `table`, or one or more numbers of runs (OBS_ID); by default all.
        energy_threshold : float, optional
            Energy threshold of all runs, TeV, instead of their own, which are then not read.

        Returns
        -------
        list of Observation
            One observation for each row or number.

        Raises
        ------
        ValueError
            If the store has no run with one of the numbers, or one is not an integer.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     [run.obs_id for run in simbg.open_store(folder).observations([2])]
        [2]
        """
        if which is None:
            return self.at_rows(range(len(self)), energy_threshold)
        if hasattr(which, "colnames"):
            table: Any = which
            dicts = (dict(zip(row.colnames, row, strict=True)) for row in table)
            return [self._named(row, energy_threshold) for row in dicts]
        row_of = {obs_id: row for row, obs_id in enumerate(self.runs.obs_ids)}
        numbers = run_numbers(which, f"{self.path}: runs")
        if missing := [obs_id for obs_id in numbers if obs_id not in row_of]:
            raise ValueError(
                f"{self.path}: got no run {missing[0]} in this store, expected runs from "
                f"{min(row_of, default='none')} to {max(row_of, default='none')}"
            )
        return self.at_rows([row_of[obs_id] for obs_id in numbers], energy_threshold)

    def at_rows(
        self, rows: Iterable[int], energy_threshold: float | None = None
    ) -> list[Observation]:
        """Observations in some rows of the list of runs; see `observations`.

        Parameters
        ----------
        rows : iterable of int
            Numbers of rows from 0.
        energy_threshold : float, optional
            Energy threshold of all runs, TeV.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     [run.obs_id for run in simbg.open_store(folder).at_rows([1])]
        [2]
        """
        return [self._named(self.runs.row(row), energy_threshold) for row in rows]

    @property
    def obs_ids(self) -> list[int]:
        """Numbers of all runs of `table`, sorted.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     simbg.open_store(folder).obs_ids
        [1, 2]
        """
        return sorted(self.runs.obs_ids)

    @property
    @abstractmethod
    def run_ids(self) -> set[int]:
        """OBS_ID of all runs with events.

        Examples
        --------
        >>> import tempfile
        >>> import simbg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
        ...     sorted(simbg.open_store(folder).run_ids)
        [1, 2]
        """

    def _named(self, row, energy_threshold):
        """The observation of a row; an error names a file."""
        try:
            return self._observation(row, energy_threshold)
        except ValueError as error:
            if str(self.path) in str(error):
                raise
            text = str(error).removeprefix(run := f"run {row['OBS_ID']}: ")
            raise ValueError(f"{self.path}/{self.index}: {run}{text}") from error

    @abstractmethod
    def _observation(
        self, row: dict[str, Any], energy_threshold: float | None = None
    ) -> Observation:
        """The observation of a row of `table`."""


def run_numbers(given: Iterable[int] | int, what: str) -> tuple[int, ...]:
    """Numbers of runs, from one number or several.

    Raises
    ------
    ValueError
        If one of them is not an integer; ``what`` is the start of the message.
    """
    try:
        return tuple(map(index, given if isinstance(given, Iterable) else (given,)))
    except TypeError:
        got = in_brief(repr(given))
        raise ValueError(f"{what}: got {got}, expected numbers of runs such as [1, 2]") from None
