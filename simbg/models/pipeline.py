"""From the runs of a data store to background models: reconstruct, write."""

from __future__ import annotations

import logging
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from simbg.errors import in_one_line
from simbg.io.cubes import write_cube
from simbg.io.safe_files import new_directory, write_fits
from simbg.models.per_run import RUN_FILES, write_run_models
from simbg.models.selection import Selection, open_store, runs_of
from simbg.observations.exposure import stack_observations
from simbg.observations.threshold import first_bin
from simbg.reconstruction.registry import axes_for, check_cube, find_method

__all__ = ["FILES", "GroupSummary", "reconstruct_store"]

log = logging.getLogger(__name__)

FILES = (
    r"bg_observation_table(_grouped)?\.fits\.gz",
    r"bg_observation_groups\.ecsv",
    r"bg_cube_model_group\d+_(table|image|gadf)\.fits\.gz",
    *RUN_FILES,
)


@dataclass(frozen=True)
class GroupSummary:
    """One group: how many runs, events used, seconds of livetime, and wholly masked bins."""

    group_id: int
    n_obs: int
    n_events: int
    livetime: float
    n_masked: int = 0


def reconstruct_store(
    indir,
    outdir,
    scheme="auto",
    method="default",
    selection=None,
    overwrite=False,
    executor=None,
    per_run=False,
):
    """Make a background model for each group of runs, and write all of 2015's files and GADF's.

    Parameters
    ----------
    indir, outdir : path-like
    scheme : {"auto", "gadf", "hess"}
    method : str
        See `simbg.reconstruction.registry.find_method`.
    selection : Selection, optional
    overwrite : bool
    executor : concurrent.futures.Executor, optional
        For the runs of a group.
    per_run : bool
        Write a model for each run, too, and an index; see `simbg.models.per_run`.

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
        if store.scheme == "hess" and (selection.sources == "mask" or per_run):
            raise ValueError(
                f"{indir}: got a store of 2015's scheme, which has no sky positions, expected "
                "GADF for --sources mask and --per-run"
            )
        runs = runs_of(store, selection)
        _write_tables(folder, runs)
        cubes = _make_cubes(estimator, runs.by_group, per_run)
        if per_run:
            n_azimuth = len(runs.groups.azimuth_edges) - 1
            write_run_models(folder, store, cubes, runs.by_group, outdir, n_azimuth)
        return [
            _write_group(folder, group, cubes[group], observations)
            for group, observations in runs.by_group.items()
        ]


def _make_cubes(estimator, by_group, common):
    """The cube of each group; ``common``: all over the same axes."""
    everything = [run for runs in by_group.values() for run in runs]
    same = axes_for(estimator, everything) if common else None
    cubes = {}
    for group, runs in by_group.items():
        axes = same or axes_for(estimator, runs)
        cube = _cube(estimator, runs, axes)
        cubes[group] = _with_exposure(cube, runs, getattr(estimator, "threshold_bin", "drop"))
    return cubes


def _cube(estimator, runs, axes):
    """What a method makes of runs; whatever it raises is an error in one line."""
    try:
        return check_cube(estimator.reconstruct(runs, axes), axes)
    except (ValueError, OSError, BrokenExecutor):
        raise
    except (Exception, SystemExit) as error:
        raise ValueError(f"method {estimator.name!r}: {in_one_line(error)}") from error


def _with_exposure(cube, runs, threshold_bin):
    """A cube that does not know its exposure, with counts and times of its runs."""
    if cube.livetime is not None and cube.ontime is not None:
        return cube
    stack = stack_observations(runs, cube.axes, threshold_bin)
    return replace(cube, counts=stack.counts, livetime=stack.livetime, ontime=stack.ontime)


def _write_group(folder, group, cube, runs):
    cube = replace(cube, meta={**cube.meta, "GROUP_ID": group})
    name = str(folder / f"bg_cube_model_group{group}")
    for kind in ("table", "image", "gadf"):
        write_cube(f"{name}_{kind}.fits.gz", cube, kind)
    n_events = 0 if cube.counts is None else int(np.sum(cube.counts))
    if not n_events:
        log.warning("group %d: no event above threshold and inside the axes", group)
    livetime = sum(obs.livetime for obs in runs)
    masked, pixels = _wholly_masked(cube, runs)
    log.info("group %d: %d runs, %d events, %.0f s", group, len(runs), n_events, livetime)
    if masked:
        log.warning(
            "group %d: %d bins are wholly excluded and have no rate; %d pixels are at all energies",
            *(group, masked, pixels),
        )
    return GroupSummary(group, len(runs), n_events, livetime, masked)


def _wholly_masked(cube, runs):
    """How many bins of the energies that runs expose have no exposure, and pixels without any."""
    if cube.livetime is None or not any(obs.excluded for obs in runs):
        return 0, 0
    seen = cube.livetime > 0
    exposed = seen.any(axis=(1, 2))
    exposed[min(first_bin(cube.axes, obs.energy_threshold, False) for obs in runs) :] = True
    seen = seen[exposed]
    return int(np.sum(~seen)), int(np.sum(~seen.any(axis=0))) if len(seen) else 0


def _fields(estimator):
    return fields(estimator) if hasattr(estimator, "__dataclass_fields__") else ()


def _write_tables(folder, runs):
    """2015's tables: all runs that are left, those in groups, and the groups."""
    table, group_id, groups = runs.table, runs.group_id, runs.groups
    plain = Table(table, copy=True)
    plain.meta = {}  # what the store's own header says of itself does not hold here
    grouped = plain[group_id >= 0]
    grouped["GROUP_ID"] = group_id[group_id >= 0]
    for name, rows in (("table", plain), ("table_grouped", grouped)):
        hdus = [fits.PrimaryHDU(), fits.table_to_hdu(rows)]
        write_fits(folder / f"bg_observation_{name}.fits.gz", hdus)
    groups.table.write(folder / "bg_observation_groups.ecsv", format="ascii.ecsv")
