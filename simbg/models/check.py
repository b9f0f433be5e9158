"""Check a data store: read all of it, and report what contradicts in it."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from simbg.models.runs import open_store
from simbg.notices import Report, collected

__all__ = ["check_store"]


def check_store(
    path: Path | str, scheme: str = "auto", executor: Executor | None = None
) -> tuple[int, Report]:
    """Read all runs of a store without reconstructing anything.

    Parameters
    ----------
    path : path-like
        Folder of the store.
    scheme : {"auto", "gadf", "hess"}
        Format of the store, see `simbg.models.runs.open_store`.
    executor : concurrent.futures.Executor, optional
        Reads the runs in parallel.

    Returns
    -------
    n_runs : int
        Number of runs in the store.
    report : Report
        What was noticed; it is empty if the store is consistent.

    Raises
    ------
    ValueError
        If an index file cannot be read.
    FileNotFoundError
        If there is no data store in ``path``.

    Examples
    --------
    >>> import tempfile
    >>> import simbg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
    ...     n_runs, report = check_store(folder)
    >>> n_runs, report.lines
    (2, [])
    """
    with collected() as report:
        store = open_store(path, scheme)
        ids, runs = store.runs.obs_ids, []
        for obs_id in sorted(store.run_ids - set(ids)):
            report.errors.append((obs_id, f"{store.path}: events of a run that is not listed"))
        for row, obs_id in enumerate(ids):
            try:
                runs += _readable(store, row, int(obs_id))
            except (OSError, ValueError) as error:
                report.errors.append((obs_id, " ".join(str(error).split())))
        results = (executor.map if executor else map)(_read, runs)
        for run, (notices, message) in zip(runs, results, strict=True):
            report.notices.update(notices)
            if message:
                report.errors.append((run.obs_id, message))
    return len(ids), report


def _readable(store: Any, row: Any, obs_id: int) -> list:
    """The observation of a row."""
    angles = [float(store.runs.columns[name][row]) for name in store.names.values()]
    if not np.isfinite(angles).all():
        raise getattr(store, "unreadable", {}).get(obs_id) or ValueError(
            f"{store.path}: got RA, Dec, altitude and azimuth {angles} deg, expected finite values"
        )
    return store.at_rows([row])


def _read(run):
    """Notices and error message of a run."""
    try:
        return run.load().notices, ""
    except (OSError, ValueError) as error:
        return (), " ".join(str(error).split())
