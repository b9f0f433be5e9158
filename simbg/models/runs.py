"""The runs of a data store that a selection takes, as observations in groups."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import Table

from simbg.io.gadf_reader import GadfStore
from simbg.io.hess2015 import HessStore
from simbg.models.known_sources import known_sources
from simbg.observations.groups import Groups

__all__ = ["open_store", "runs_of"]

log = logging.getLogger(__name__)

# No field of view reaches farther, deg, nor one that drifts for an hour or two.
FIELD = 30.0
# At most so many for a quick look.
TEST_RUNS = 100
# Of each scheme: its store, and the files of which one must be there.
SCHEMES = {
    "gadf": (GadfStore, ("hdu-index.fits.gz", "hdu-index.fits")),
    "hess": (HessStore, ("runinfo.fits",)),
}


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs to reconstruct from.

    Parameters
    ----------
    table : Table
        Rows of the store's own table.
    observations : list of Observation
        Of each row.
    groups : Groups
    n_skipped : int
        How many others could not be read.
    """

    table: Table
    observations: list
    groups: Groups
    n_skipped: int = 0

    @property
    def group_id(self):
        """GROUP_ID of each observation, −1 outside of all groups."""
        return self.groups.assign(*np.array([(o.alt, o.az) for o in self.observations]).T)


def open_store(path, scheme="auto"):
    """The data store in a folder; scheme is "auto", "gadf" or "hess" (any case)."""
    path, scheme = Path(path), scheme.lower()
    if scheme not in ("auto", *SCHEMES):
        raise ValueError(f"scheme: got {scheme!r}, expected auto, gadf or hess")
    schemes = SCHEMES if scheme == "auto" else {scheme: SCHEMES[scheme]}
    for store, names in schemes.values():
        if any((path / name).is_file() for name in names):
            return store(path)
    wanted = " or ".join(names[0] for _, names in schemes.values())
    raise FileNotFoundError(f"{path}: got no data store there, expected {wanted}")


def runs_of(store, selection):
    """The runs of a store, as a selection wants them, in their groups.

    With sources "drop" those far from known sources, with "mask" all, with regions excluded.
    Runs that cannot be read are left out if the selection skips them.

    Parameters
    ----------
    store : GadfStore or HessStore
    selection : Selection

    Returns
    -------
    runs : Runs
    """
    chosen = _chosen(store, selection)
    table, pointings = _pointed(store, chosen, selection.skip_incomplete)
    n_skipped, regions = len(chosen) - len(table), ()
    if selection.sources == "mask":
        regions = selection.regions()
    else:
        table = table[_far(store, table, pointings, selection)]
    rows, observations = _observations(store, table, selection, regions)
    n_skipped += len(table) - len(rows)
    if n_skipped:
        log.warning("%d of %d runs skipped", n_skipped, len(rows) + n_skipped)
    runs = Runs(table[rows], observations, selection.groups_of(observations), n_skipped)
    if not (outside := runs.group_id < 0).any():
        return runs
    if outside.all():
        raise ValueError(f"{store.path}: none of {len(rows)} runs lies in a group")
    log.warning("%d runs lie in no group and are left out", np.sum(outside))
    return runs


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
    else:
        if missing := sorted(set(selection.obs_ids) - set(ids)):
            raise ValueError(
                f"{path}: got no run {missing[0]} ({len(missing)} in all) of those asked for"
            )
        table = table[np.isin(table["OBS_ID"], selection.obs_ids)]
    if selection.test and len(table) > TEST_RUNS:
        table = table[np.linspace(0, len(table) - 1, TEST_RUNS).astype(int)]
    return table


def _pointed(store, table, skip):
    """The runs whose pointing is known, and RA, Dec, altitude and azimuth, (4, n), in deg."""
    pointings = np.array([table[name] for name in store.names.values()], dtype=float)
    known = np.isfinite(pointings).all(axis=0)
    for row in np.flatnonzero(~known):
        obs_id = table["OBS_ID"][row]
        ra, dec, alt, az = pointings[:, row]
        error = getattr(store, "unreadable", {}).get(obs_id) or ValueError(
            f"{store.path}: run {obs_id} points at RA {ra}, Dec {dec}, alt {alt}, az {az}, "
            "expected finite deg"
        )
        if not skip:
            raise error
        log.warning("run %s skipped: %s", obs_id, error)
    if not known.any():
        raise ValueError(f"{store.path}: got {len(table)} runs, none of them complete")
    return table[known], pointings[:, known]


def _far(store, table, pointings, selection):
    """Which runs are far from known sources."""
    sources = known_sources(selection.exclude, limit=selection.limit)
    near = sources.near(*pointings[:2])
    for obs_id, source in zip(table["OBS_ID"][near >= 0], near[near >= 0], strict=True):
        log.info("run %s dropped: near %s", obs_id, sources.name[source])
    if (near >= 0).all():
        raise ValueError(
            f"{store.path}: got {len(table)} runs, all near known sources, expected 1 or more "
            "far from them; --exclude none leaves out the catalogue, --sources mask masks regions"
        )
    return near < 0


def _observations(store, table, selection, regions):
    """The rows that can be read, and their observations, as the selection wants them."""
    rows, observations = [], []
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
        threshold = selection.energy_threshold or observation.energy_threshold
        near = tuple(region for region in regions if _is_near(region, observation))
        rows.append(row)
        observations.append(replace(observation, energy_threshold=threshold, excluded=near))
    if not rows:
        raise ValueError(f"{store.path}: got {len(table)} runs, none of them complete")
    return rows, observations


def _is_near(region, observation):
    """Whether a region may reach into the field of view of a run."""
    angles = np.deg2rad([observation.ra, observation.dec, *region.center])
    return np.rad2deg(angular_separation(*angles)) < FIELD + region.radius
