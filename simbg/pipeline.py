"""From a whole data store to background models: list, select, group, reconstruct, write."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from simbg.axes import edition2015_axes
from simbg.io.cubes import write_cube
from simbg.io.files import new_directory, write_fits
from simbg.io.gadf import GadfStore
from simbg.io.hess import HessStore
from simbg.observations import Groups
from simbg.reconstruct import check_cube, find_method
from simbg.sources import known_sources, near_source

__all__ = ["FILES", "GroupSummary", "Selection", "open_store", "reconstruct_store", "select"]

log = logging.getLogger(__name__)

FILES = (
    r"bg_observation_table(_grouped)?\.fits\.gz",
    r"bg_observation_groups\.ecsv",
    r"bg_cube_model_group\d+_(table|image|gadf)\.fits\.gz",
)
# What 2015's --test means.
TEST_RUNS, TEST_SOURCES = 100, 5
TEST_GROUPS = Groups(altitude_edges=(0, 45, 90), azimuth_edges=(90, 270))


@dataclass(frozen=True)
class Selection:
    """Which runs to take.

    Parameters
    ----------
    obs_ids : sequence of int, optional
        Only these runs.
    exclude : sequence of path-like
        See `simbg.sources.known_sources`.
    groups : Groups
    test : bool
        2015's quick look: at most 100 runs, 5 sources of the catalogue, 2 groups.
    """

    obs_ids: tuple[int, ...] | None = None
    exclude: tuple[str, ...] = ()
    groups: Groups = field(default_factory=Groups)
    test: bool = False


@dataclass(frozen=True)
class GroupSummary:
    """One group: how many runs, events used, and seconds of livetime."""

    group_id: int
    n_obs: int
    n_events: int
    livetime: float


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
    """The runs of a store far from known sources, and the group of each.

    Returns
    -------
    table : Table
        Rows of the store's own table.
    group_id : ndarray of int
        −1 outside of all groups.
    """
    table = _chosen(store, selection)
    if selection.test and len(table) > TEST_RUNS:
        table = table[np.linspace(0, len(table) - 1, TEST_RUNS).astype(int)]
    sources = known_sources(selection.exclude, limit=TEST_SOURCES if selection.test else None)
    ra, dec, alt, az = _pointings(store, table)
    near = near_source(ra, dec, sources)
    for obs_id, source in zip(table["OBS_ID"][near >= 0], near[near >= 0], strict=True):
        log.info("run %s dropped: near %s", obs_id, sources.name[source])
    if (near >= 0).all():
        raise ValueError(
            f"{store.path}: got {len(table)} runs, all near known sources, expected 1 or more "
            "far from them; --exclude none leaves out the catalogue"
        )
    table, alt, az = table[near < 0], alt[near < 0], az[near < 0]
    return table, _groups(selection).assign(alt, az)


def _pointings(store, table):
    """RA, Dec, altitude and azimuth in deg."""
    pointings = np.array([table[name] for name in store.names.values()], dtype=float)
    for obs_id, pointing in zip(table["OBS_ID"], pointings.T, strict=True):
        if not np.isfinite(pointing).all():
            ra, dec, alt, az = pointing
            raise ValueError(
                f"{store.path}: run {obs_id} points at RA {ra}, Dec {dec}, alt {alt}, az {az}, "
                "expected finite deg"
            )
    return pointings


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


def reconstruct_store(
    indir,
    outdir,
    scheme="auto",
    method="default",
    selection=None,
    overwrite=False,
    executor=None,
):
    """Make a background model for each group of runs, and write all of 2015's files and GADF's.

    Parameters
    ----------
    indir, outdir : path-like
    scheme : {"auto", "gadf", "hess"}
    method : str
        See `simbg.reconstruct.find_method`.
    selection : Selection, optional
    overwrite : bool
    executor : concurrent.futures.Executor, optional
        For the runs of a group.

    Returns
    -------
    summaries : list of GroupSummary
        Of the groups with runs. Nothing is written if anything fails.
    """
    selection = selection or Selection()
    estimator = find_method(method)
    if executor is not None and "executor" in {f.name for f in _fields(estimator)}:
        estimator = replace(estimator, executor=executor)
    if Path(outdir).resolve() in (Path(indir).resolve(), *Path(indir).resolve().parents):
        raise ValueError(f"{outdir} holds the input {indir}, expected another folder")
    with new_directory(outdir, overwrite, FILES) as folder:
        store = open_store(indir, scheme)
        table, group_id = select(store, selection)
        if not (group_id >= 0).any():
            raise ValueError(f"{indir}: none of {len(table)} runs lies in a group")
        if (group_id < 0).any():
            log.warning("%d runs lie in no group and are left out", np.sum(group_id < 0))
        _write_tables(folder, table, group_id, _groups(selection))
        return [
            _make_group(folder, store, estimator, int(group), table[group_id == group])
            for group in np.unique(group_id[group_id >= 0])
        ]


def _make_group(folder, store, estimator, group, table):
    observations = store.observations(table)
    axes_of = getattr(estimator, "default_axes", lambda runs: edition2015_axes(len(runs)))
    axes = axes_of(observations)
    cube = check_cube(estimator.reconstruct(observations, axes), axes)
    cube = replace(cube, meta={**cube.meta, "GROUP_ID": group})
    name = str(folder / f"bg_cube_model_group{group}")
    for kind in ("table", "image", "gadf"):
        write_cube(f"{name}_{kind}.fits.gz", cube, kind)
    n_events = 0 if cube.counts is None else int(np.sum(cube.counts))
    if not n_events:
        log.warning("group %d: no event above threshold and inside the axes", group)
    livetime = sum(obs.livetime for obs in observations)
    log.info("group %d: %d runs, %d events, %.0f s", group, len(table), n_events, livetime)
    return GroupSummary(group, len(table), n_events, livetime)


def _fields(estimator):
    return fields(estimator) if hasattr(estimator, "__dataclass_fields__") else ()


def _groups(selection):
    return TEST_GROUPS if selection.test else selection.groups


def _write_tables(folder, table, group_id, groups):
    """2015's tables: all runs that are left, those in groups, and the groups."""
    plain = Table(table, copy=True)
    plain.meta = {}  # what the store's own header says of itself does not hold here
    grouped = plain[group_id >= 0]
    grouped["GROUP_ID"] = group_id[group_id >= 0]
    for name, rows in (("table", plain), ("table_grouped", grouped)):
        hdus = [fits.PrimaryHDU(), fits.table_to_hdu(rows)]
        write_fits(folder / f"bg_observation_{name}.fits.gz", hdus)
    groups.table.write(folder / "bg_observation_groups.ecsv", format="ascii.ecsv")
