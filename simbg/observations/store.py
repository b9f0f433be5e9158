"""The base class of data stores: a sequence of observations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from operator import index
from pathlib import Path
from typing import Any, overload

from astropy.table import Table

from simbg.errors import in_brief
from simbg.observations.observation import Observation

__all__ = ["Store", "run_numbers"]


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
    index : str
        Name of the file with the list of runs.
    names : dict of str to str
        RA_PNT, DEC_PNT, ALT_PNT and AZ_PNT → name of the column of `table`.
    """

    path: str | Path
    scheme: str
    index: str
    table: Table
    names: dict[str, str]

    def __repr__(self) -> str:
        return f"<{self.scheme} store {self.path}: {len(self)} run{'s' * (len(self) != 1)}>"

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations())

    @overload
    def __getitem__(self, which: int) -> Observation: ...
    @overload
    def __getitem__(self, which: slice) -> list[Observation]: ...
    def __getitem__(self, which):
        """The observation in a row of `table`, or those of a slice; see `observations` for ids."""
        if isinstance(which, slice):
            return self.observations(self.table[which])
        if not -len(self) <= which < len(self):
            raise IndexError(
                f"store[{which}]: expected a row from 0 to {len(self) - 1}; "
                f"for a number of a run, store.observations([{which}])"
            )
        return self.observations(self.table[[which]])[0]

    def observations(
        self,
        which: Table | Iterable[int] | int | None = None,
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
        rows = self.table if which is None else which
        if not isinstance(rows, Table):
            row_of = {obs_id: row for row, obs_id in enumerate(self.table["OBS_ID"].tolist())}
            numbers = run_numbers(rows, f"{self.path}: runs")
            if missing := [obs_id for obs_id in numbers if obs_id not in row_of]:
                raise ValueError(
                    f"{self.path}: got no run {missing[0]} in this store, expected runs from "
                    f"{min(row_of, default='none')} to {max(row_of, default='none')}"
                )
            rows = self.table[[row_of[obs_id] for obs_id in numbers]]
        dicts = (dict(zip(row.colnames, row, strict=True)) for row in rows)
        return [self._named(row, energy_threshold) for row in dicts]

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
        return sorted(self.table["OBS_ID"].tolist())

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
            raise ValueError(f"{Path(self.path) / self.index}: {run}{text}") from error

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
