"""Which runs of a data store to take: list, select, group."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import Table

from simbg.io.gadf_reader import GadfStore
from simbg.io.hess2015 import HessStore
from simbg.io.region_files import read_regions
from simbg.models.known_sources import known_sources, near_source
from simbg.observations.groups import Groups
from simbg.sky.regions import circles

__all__ = [
    "Runs",
    "Selection",
    "groups_of",
    "observations_of",
    "open_store",
    "parse_group_by",
    "runs_of",
    "select",
]

log = logging.getLogger(__name__)

# No field of view reaches farther, deg, nor one that drifts for an hour or two.
FIELD = 30.0
# What 2015's --test means.
TEST_RUNS, TEST_SOURCES = 100, 5
TEST_GROUPS = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(90, 270))


@dataclass(frozen=True)
class Selection:
    """Which runs to take, and what of them.

    Parameters
    ----------
    obs_ids : sequence of int, optional
        Only these runs.
    exclude : sequence of path-like
        See `simbg.models.known_sources.known_sources`.
    groups : Groups
    group_by : tuple of (str, float), optional
        Instead of the altitudes of ``groups``: ("livetime", h) or ("runs", n), the least
        that a group shall hold; all azimuths of ``groups`` are together then.
    test : bool
        2015's quick look: at most 100 runs, 5 sources of the catalogue, 2 groups.
    sources : {"drop", "mask"}
        What happens near what is excluded: runs are dropped, as in 2015, or regions are
        masked: those of DS9 files as they are, else circles of ``margin`` + 2 · radius.
    margin : float
        deg
    energy_threshold : float, optional
        TeV, of all runs, in place of their own.
    skip_incomplete : bool
        Leave out runs that cannot be read, for want of a file or an HDU, say, and tell,
        instead of giving up. They are read twice then.
    """

    obs_ids: tuple[int, ...] | None = None
    exclude: tuple[str, ...] = ()
    groups: Groups = field(default_factory=Groups)
    test: bool = False
    sources: str = "drop"
    margin: float = 0.4
    group_by: tuple[str, float] | None = None
    energy_threshold: float | None = None
    skip_incomplete: bool = False

    def __post_init__(self):
        if self.sources not in ("drop", "mask"):
            raise ValueError(f"sources: got {self.sources!r}, expected 'drop' or 'mask'")
        if not 0 < self.margin <= 30:
            raise ValueError(f"margin of masks: got {self.margin} deg, expected 0 to 30")
        if self.group_by and (self.group_by[0] not in ("livetime", "runs") or self.test):
            raise ValueError(
                f"group_by: got {self.group_by}, expected ('livetime', h) or ('runs', n), "
                "and not with test"
            )
        if self.energy_threshold is not None and not self.energy_threshold > 0:
            raise ValueError(
                f"energy threshold: got {self.energy_threshold} TeV, expected more than 0"
            )

    @property
    def limit(self):
        """How many sources of the catalogue are taken; None for all."""
        return TEST_SOURCES if self.test else None

    def regions(self):
        """What is masked: regions of DS9 files as they are, and circles round sources."""
        drawn = [path for path in self.exclude if str(path).lower().endswith(".reg")]
        others = tuple(path for path in self.exclude if path not in drawn)
        round_sources = circles(known_sources(others, limit=self.limit), self.margin)
        return (*round_sources, *(r for path in drawn for r in read_regions(path, self.margin)))


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs to reconstruct from: rows of the store's table, observations, and their groups."""

    table: Table
    observations: tuple
    group_id: np.ndarray
    groups: Groups
    n_skipped: int = 0

    @property
    def by_group(self):
        """Observations of each group that has any, by GROUP_ID."""
        return self.groups.split(self.observations)


def open_store(path, scheme="auto"):
    """The data store in a folder; scheme is "auto", "gadf" or "hess" (any case)."""
    path, scheme = Path(path), scheme.lower()
    found = {
        "gadf": any((path / name).is_file() for name in ("hdu-index.fits.gz", "hdu-index.fits")),
        "hess": (path / "runinfo.fits").is_file(),
    }
    if scheme == "auto":
        scheme = next((name for name, there in found.items() if there), None)
    elif scheme not in found:
        raise ValueError(f"scheme: got {scheme!r}, expected auto, gadf or hess")
    if not path.is_dir() or scheme is None or not found[scheme]:
        wanted = {"gadf": "hdu-index.fits.gz", "hess": "runinfo.fits"}.get(
            scheme, "hdu-index.fits.gz or runinfo.fits"
        )
        raise FileNotFoundError(f"{path}: got no data store there, expected {wanted}")
    return {"gadf": GadfStore, "hess": HessStore}[scheme](path)


def select(store, selection):
    """The runs of a store to take, and the group of each.

    With "drop" those far from known sources, with "mask" all.

    Returns
    -------
    table : Table
        Rows of the store's own table.
    group_id : ndarray of int
        −1 outside of all groups.
    """
    table = _taken(store, selection)[0]
    # Only groups by exposure depend on the runs.
    observations = observations_of(store, table, selection)[0] if selection.group_by else ()
    return table, groups_of(observations, selection).assign(*_pointings(store, table)[2:])


def runs_of(store, selection):
    """The runs of a store, as a selection wants them, in their groups.

    Runs that cannot be read are left out if the selection skips them.

    Returns
    -------
    runs : Runs
    """
    table, skipped = _taken(store, selection)
    alt, az = _pointings(store, table)[2:]
    regions = selection.regions() if selection.sources == "mask" else ()
    observations, kept = observations_of(store, table, selection, regions)
    if not observations:
        raise ValueError(f"{store.path}: got {len(table)} runs, none of them complete")
    n_runs, skipped = len(table) + skipped, len(table) - len(kept) + skipped
    if skipped:
        log.warning("%d of %d runs skipped", skipped, n_runs)
    groups = groups_of(observations, selection)
    table, group_id = table[kept], groups.assign(alt[kept], az[kept])
    if not (group_id >= 0).any():
        raise ValueError(f"{store.path}: none of {len(table)} runs lies in a group")
    if (group_id < 0).any():
        log.warning("%d runs lie in no group and are left out", np.sum(group_id < 0))
    return Runs(table, tuple(observations), group_id, groups, skipped)


def observations_of(store, table, selection, regions=()):
    """Observations of some rows of a store's table, as the selection wants them.

    Runs that cannot be read are left out if the selection skips them.

    Returns
    -------
    observations : list of Observation
    kept : list of int
        The rows that they are of.
    """
    found, kept = [], []
    for row in range(len(table)):
        try:
            (observation,) = store.observations(table[row : row + 1])
            if selection.skip_incomplete:
                observation.load()
        except (FileNotFoundError, ValueError) as error:
            if not selection.skip_incomplete:
                raise
            log.warning("run %s skipped: %s", table["OBS_ID"][row], error)
            continue
        threshold = selection.energy_threshold
        if threshold is not None:
            observation = replace(observation, energy_threshold=threshold)
        near = tuple(region for region in regions if _is_near(region, observation))
        found.append(replace(observation, excluded=near))
        kept.append(row)
    return found, kept


def groups_of(observations, selection):
    """The groups of a selection; with ``group_by`` those of the runs, all azimuths in one."""
    if selection.test:
        return TEST_GROUPS
    if selection.group_by is None:
        return selection.groups
    kind, least = selection.group_by
    # Split by azimuth, too, a group would hold less.
    first, *_, last = selection.groups.azimuth_edges
    return Groups.by_exposure(observations, kind, least, (first, last))


def parse_group_by(text):
    """``livetime:HOURS`` or ``runs:NUMBER`` as `Selection` wants it; ``2015`` is its groups."""
    if text == "2015":
        return None
    kind, _, least = text.partition(":")
    try:
        return kind, float(least)
    except ValueError as error:
        raise ValueError(
            f"--group-by: got {text!r}, expected livetime:HOURS, runs:N or 2015"
        ) from error


def _taken(store, selection):
    """The runs of a store to take, and how many were skipped for want of a pointing."""
    table = _chosen(store, selection)
    if selection.test and len(table) > TEST_RUNS:
        table = table[np.linspace(0, len(table) - 1, TEST_RUNS).astype(int)]
    pointed = _pointed(store, table) if selection.skip_incomplete else table
    if selection.sources == "drop":
        return _far(store, pointed, selection), len(table) - len(pointed)
    return pointed, len(table) - len(pointed)


def _chosen(store, selection):
    """The runs to select from: all, which must then be listed, or those asked for."""
    table, path = store.table, store.path
    ids = table["OBS_ID"].tolist()
    if not ids:
        raise ValueError(f"{path}: got a store without runs, expected 1 or more")
    if len(set(ids)) < len(ids):
        twice = next(obs_id for obs_id in ids if ids.count(obs_id) > 1)
        raise ValueError(f"{path}: OBS_ID {twice} is listed twice, expected it once")
    if selection.obs_ids is None:
        if unlisted := sorted(store.run_ids - set(ids)):
            raise ValueError(
                f"{path}: run {unlisted[0]} ({len(unlisted)} in all) has events but is not in the "
                "list of runs, expected it there; --obs-ids names the runs to take"
            )
        return table
    if missing := sorted(set(selection.obs_ids) - set(ids)):
        raise ValueError(
            f"{path}: got no run {missing[0]} ({len(missing)} in all) of those asked for"
        )
    return table[np.isin(table["OBS_ID"], selection.obs_ids)]


def _pointed(store, table):
    """The runs whose pointing is known; the others are named."""
    known = []
    for row in range(len(table)):
        try:
            _pointings(store, table[row : row + 1])
            known.append(row)
        except (FileNotFoundError, ValueError) as error:
            log.warning("run %s skipped: %s", table["OBS_ID"][row], error)
    if not known:
        raise ValueError(f"{store.path}: got {len(table)} runs, none of them complete")
    return table[known]


def _pointings(store, table):
    """RA, Dec, altitude and azimuth in deg."""
    pointings = np.array([table[name] for name in store.names.values()], dtype=float)
    for obs_id, pointing in zip(table["OBS_ID"], pointings.T, strict=True):
        if not np.isfinite(pointing).all():
            if obs_id in (unreadable := getattr(store, "unreadable", {})):
                raise unreadable[obs_id]
            ra, dec, alt, az = pointing
            raise ValueError(
                f"{store.path}: run {obs_id} points at RA {ra}, Dec {dec}, alt {alt}, az {az}, "
                "expected finite deg"
            )
    return pointings


def _far(store, table, selection):
    """The runs far from known sources."""
    sources = known_sources(selection.exclude, limit=selection.limit)
    near = near_source(*_pointings(store, table)[:2], sources)
    for obs_id, source in zip(table["OBS_ID"][near >= 0], near[near >= 0], strict=True):
        log.info("run %s dropped: near %s", obs_id, sources.name[source])
    if (near >= 0).all():
        raise ValueError(
            f"{store.path}: got {len(table)} runs, all near known sources, expected 1 or more "
            "far from them; --exclude none leaves out the catalogue, --sources mask masks regions"
        )
    return table[near < 0]


def _is_near(region, observation):
    """Whether a region may reach into the field of view of a run."""
    ra, dec = np.deg2rad([observation.ra, observation.dec])
    place = np.deg2rad(region.center)
    distance = np.rad2deg(angular_separation(ra, dec, *place))
    return distance < FIELD + region.radius
