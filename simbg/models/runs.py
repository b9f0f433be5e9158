"""The runs of a data store that a selection uses, as observations in groups."""

import logging
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.io.files.remote import RemotePath, as_path, is_remote
from simbg.io.gadf.store import GadfStore
from simbg.io.hess2015 import HessStore
from simbg.io.safe_files import expanded
from simbg.models.known_sources import known_sources
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.observations.store import Store
from simbg.parallel.pieces import in_pieces
from simbg.reconstruction.covariates import AZIMUTH
from simbg.sky.vectors import separation

if TYPE_CHECKING:
    from astropy.table import Table

    from simbg.models.selection import Selection

__all__ = ["open_store", "runs_of"]

log = logging.getLogger(__name__)

# Largest radius of a field of view, deg, including the motion in drift mode for an hour or two.
FIELD = 30.0
# Maximum number of runs for a quick test.
TEST_RUNS = 100
# For each scheme: its store, and files of which at least one must exist.
SCHEMES: dict[str, tuple[type[GadfStore] | type[HessStore], tuple[str, ...]]] = {
    "gadf": (GadfStore, ("hdu-index.fits.gz", "hdu-index.fits")),
    "hess": (HessStore, ("runinfo.fits",)),
}


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs to reconstruct from.

    Parameters
    ----------
    store : Store
        The store.
    rows : list of int
        Rows of its list of runs.
    observations : list of Observation
        Observation of each row.
    groups : Groups
        Groups of the observations.
    n_skipped : int
        Number of other runs, which could not be read.
    n_near : dict of str to int
        Known source → number of other runs, which are near it; most runs first.
    """

    store: Store
    rows: list[int]
    observations: list[Observation]
    groups: Groups
    n_skipped: int = 0
    n_near: dict[str, int] = field(default_factory=dict)

    @property
    def table(self) -> "Table":
        """Rows of the store's observation table."""
        return self.store.table[self.rows]

    @cached_property
    def group_id(self) -> np.ndarray:
        """GROUP_ID of each observation, −1 outside of all groups."""
        alt, az = np.array([(o.alt, o.az) for o in self.observations]).T
        return self.groups.assign(alt, az)


def open_store(path: Path | str, scheme: str = "auto") -> Store:
    """Open a data store, which is a sequence of observations.

    All runs of the store are used and nothing is masked. ``simbg reconstruct`` does not use runs
    near known sources: `simbg.Selection` selects runs as it does.

    Parameters
    ----------
    path : path-like
        Folder of the store; ``~`` and ``$NAME`` are replaced as in a shell. Or its address, such as
        ``https://server/store`` or ``s3://bucket/store``; files are kept in a cache.
    scheme : {"auto", "gadf", "hess"}
        Format of the store; upper and lower case are equivalent. "auto" uses the files in the
        folder.

    Returns
    -------
    Store
        `simbg.reconstruct` accepts it. It has a length, can be iterated, and has
        ``observations()``.

    Raises
    ------
    ValueError
        If the scheme is unknown, or ``path`` is not a path.
    FileNotFoundError
        If there is no such folder, or no store in it; it names one that is near.

    Examples
    --------
    >>> import tempfile
    >>> import simbg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n_events = simbg.simulate("night", n_obs=2).write(folder)
    ...     store = simbg.open_store(folder)
    ...     cube = simbg.reconstruct(store)
    ...     chosen = simbg.Selection(exclude=("none",), obs_ids=(1,)).observations(store)
    >>> len(store), len(chosen)
    (2, 1)
    """
    if not isinstance(path, str | PathLike):
        raise ValueError(
            f"open_store: got type {type(path).__name__}, expected the path of a folder"
        )
    folder: Any = as_path(path) if is_remote(path) else expanded(path)
    scheme = scheme.lower()
    if scheme not in ("auto", *SCHEMES):
        raise ValueError(f"scheme: got {scheme!r}, expected auto, gadf or hess")
    schemes = SCHEMES if scheme == "auto" else {scheme: SCHEMES[scheme]}
    if isinstance(folder, RemotePath):
        schemes = {"gadf": SCHEMES["gadf"]}
    for store, names in schemes.values():
        if any((folder / name).is_file() for name in names):
            return store(folder)
    expected = " or ".join(names[0] for _, names in schemes.values())
    if isinstance(folder, RemotePath):
        raise FileNotFoundError(f"{path}: got no data store at this address, expected {expected}")
    got = "no such folder"
    if folder.is_file():
        got = "got a file, expected the folder of a data store"
    elif folder.is_dir():
        got = f"got no data store in this folder, expected {expected}"
    # The file of the index itself, its folder, or one level up or down.
    near = [folder.parent, *(sorted(folder.iterdir()) if folder.is_dir() else ())]
    indices = [name for _, names in schemes.values() for name in names]
    found = [place for place in near if any((place / name).is_file() for name in indices)]
    raise FileNotFoundError(f"{path}: {got}" + (f"; {found[0]} is a data store" if found else ""))


def runs_of(store: Store, selection: "Selection", executor: Executor | None = None) -> Runs:
    """The runs of a store that a selection uses, in their groups.

    Parameters
    ----------
    store : Store
        From `open_store`.
    selection : Selection
        With sources "drop" the runs far from known sources are used; with "mask" all runs, with
        excluded regions. Runs that cannot be read are skipped if ``skip_incomplete``.
    executor : concurrent.futures.Executor, optional
        Reads runs in parallel, if those that cannot be read are skipped.

    Returns
    -------
    Runs
        Those that belong to a group, or all if there are others (with a warning).

    Raises
    ------
    ValueError
        If no run remains, a requested run does not exist, or the list of runs is inconsistent.
    """
    chosen = _chosen(store, selection)
    rows, pointings = _pointed(store, chosen, selection.skip_incomplete)
    n_skipped = len(chosen) - len(rows)
    regions = selection.regions() if selection.sources == "mask" else ()
    n_near: dict[str, int] = {}
    if selection.sources != "mask":
        far, n_near = _far(store, rows, pointings, selection)
        rows = rows[far]
    read, observations = _observations(store, rows, selection, regions, executor)
    n_skipped += len(rows) - len(read)
    if n_skipped:
        log.warning("%d of %d runs skipped", n_skipped, len(read) + n_skipped)
    groups = selection.groups_of(observations)
    runs = Runs(store, read, observations, groups, n_skipped, n_near)
    if not (outside := runs.group_id < 0).any():
        return runs
    if outside.all():
        raise ValueError(
            f"{store.path}: got {len(read)} runs outside of all groups, expected 1 or more in a "
            f"group"
        )
    log.warning("%d runs are outside of all groups and are not used", np.sum(outside))
    return runs


def _chosen(store, selection):
    """The rows to select from: all runs of the store, or those that are requested."""
    path, ids = store.path, store.runs.obs_ids
    rows = np.arange(len(ids))
    if not ids:
        raise ValueError(f"{path}: got a store without runs, expected 1 or more")
    if len(set(ids)) < len(ids):
        double = next(obs_id for obs_id in ids if ids.count(obs_id) > 1)
        raise ValueError(f"{path}: got OBS_ID {double} in two rows, expected one row for each run")
    if selection.obs_ids is None:
        if unlisted := sorted(store.run_ids - set(ids)):
            raise ValueError(
                f"{path}: got events of run {unlisted[0]} ({len(unlisted)} such), which is "
                "not in the observation table, expected all runs in it; select runs with "
                "--obs-ids (obs_ids=...)"
            )
    else:
        wanted = set(selection.obs_ids)
        if missing := sorted(wanted - set(ids)):
            raise ValueError(
                f"{path}: got no run {missing[0]} in this store (missing: {len(missing)} of the "
                f"{len(wanted)} selected runs), expected runs from {min(ids)} to "
                f"{max(ids)}"
            )
        rows = rows[[obs_id in wanted for obs_id in ids]]
    if selection.test and len(rows) > TEST_RUNS:
        rows = rows[np.linspace(0, len(rows) - 1, TEST_RUNS).astype(int)]
    return rows


def _pointed(store, rows, skip):
    """The rows with a pointing, and their RA, Dec, altitude and azimuth, (4, n), deg."""
    columns = store.runs.columns
    pointings = np.array([columns[name][rows] for name in store.names.values()], dtype=float)
    known = np.isfinite(pointings).all(axis=0)
    for place in np.flatnonzero(~known):
        obs_id = columns["OBS_ID"][rows[place]]
        ra, dec, alt, az = pointings[:, place]
        error = getattr(store, "unreadable", {}).get(obs_id) or ValueError(
            f"{store.path}: run {obs_id}: got a pointing at RA {ra}, Dec {dec}, alt {alt}, az {az} "
            "deg, expected finite values"
        )
        if not skip:
            raise error
        log.warning("run %s skipped: %s", obs_id, error)
    if not known.any():
        raise ValueError(f"{store.path}: got {len(rows)} incomplete runs, expected a complete one")
    return rows[known], pointings[:, known]


def _far(store, rows, pointings, selection):
    """Which runs are far from known sources, and the number of runs near each source."""
    sources = known_sources(selection.exclude, max_sources=selection.max_sources)
    near = sources.near(*pointings[:2])
    dropped = rows[near >= 0]
    obs_ids = store.runs.columns["OBS_ID"][dropped]
    for obs_id, source in zip(obs_ids, near[near >= 0], strict=True):
        log.info("run %s dropped: near %s", obs_id, sources.name[source])
    if (near >= 0).all():
        ignore = ", or --exclude none (exclude='none') to ignore the catalogue"
        raise ValueError(
            f"{store.path}: all selected runs ({len(rows)}) are near known sources, expected 1 or "
            "more far from them; use --sources mask (sources='mask') to keep such runs and mask "
            f"the sources{'' if 'none' in selection.exclude else ignore}"
        )
    return near < 0, dict(Counter(sources.name[near[near >= 0]].tolist()).most_common())


def _observations(store, rows, selection, regions, executor):
    """The rows that can be read, and their observations with the selection's settings."""
    read, observations = [], []
    for row in rows.tolist():
        try:
            (observation,) = store.at_rows([row], selection.energy_threshold)
        except (FileNotFoundError, ValueError) as error:
            if not selection.skip_incomplete:
                raise
            log.warning("run %s skipped: %s", store.runs.columns["OBS_ID"][row], error)
            continue
        if selection.covariates:
            values = _covariates(store, row, observation, selection.covariates)
            observation = replace(observation, covariates=values)
        read.append(row)
        observations.append(observation)
    if selection.skip_incomplete:
        read, observations = _complete(read, observations, executor)
    if not read:
        raise ValueError(f"{store.path}: got {len(rows)} incomplete runs, expected a complete one")
    return read, _with_regions(observations, regions)


def _complete(rows, observations, executor):
    """The runs whose events can be read, with the times of their good time intervals."""
    complete = []
    found = chain.from_iterable(in_pieces(_times, observations, executor))
    for row, run, times in zip(rows, observations, found, strict=True):
        if isinstance(times, str):
            log.warning("run %s skipped: %s", run.obs_id, times)
        else:
            complete.append((row, replace(run, livetime=times[0], ontime=times[1])))
    return [row for row, _ in complete], [run for _, run in complete]


def _times(observations):
    """Livetime and ontime of each run of a piece, or why it cannot be read."""
    found: list[tuple[float, float] | str] = []
    for observation in observations:
        try:
            run = observation.read()
            found.append((run.livetime, run.ontime))
        except (FileNotFoundError, ValueError) as error:
            found.append(str(error))
    return found


def _covariates(store, row, observation, names):
    """Values of columns of the observation table."""
    values, columns = {}, store.runs.columns
    for given in names:
        if given.lower() == AZIMUTH:
            values[AZIMUTH] = float(observation.az)
            continue
        same = [name for name in columns if name.lower() == given.lower()]
        name = given if given in columns or not same else same[0]
        try:
            values[name] = float(np.ma.filled(columns[name][row], np.nan))
        except (KeyError, TypeError, ValueError) as error:
            kinds = {n: each for n, each in columns.items() if each.ndim == 1}
            known = [n for n, each in kinds.items() if np.issubdtype(each.dtype, np.number)]
            got = columns[name][row].tolist() if name in columns else "no such column"
            raise ValueError(
                f"{store.path}: covariate {name} (--covariate): got {got}, expected {AZIMUTH} or a "
                f"column of numbers of the observation table: {', '.join(known)}"
            ) from error
    return values


def _with_regions(observations, regions):
    """The observations, each with the regions that can reach into its field of view."""
    if not regions:
        return observations
    pointings = np.radians([(run.ra, run.dec) for run in observations]).T
    near = [
        np.rad2deg(separation(*pointings, *np.radians(region.center))) < FIELD + region.radius
        for region in regions
    ]
    return [
        replace(run, excluded=tuple(regions[i] for i in np.flatnonzero(of_run).tolist()))
        for run, of_run in zip(observations, np.transpose(near), strict=True)
    ]
