"""From the runs of a data store to background models: reconstruct, write."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from simbg.io.cubes import write_cube
from simbg.io.safe_files import new_directory, write_fits
from simbg.models.per_run import RUN_FILES, write_run_models
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.observations.threshold import first_bin
from simbg.reconstruction.contract import axes_for, reconstruct
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs

__all__ = ["reconstruct_store"]

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
        by_group, cubes = runs.groups.split(runs.observations), {}
        if per_run:
            everything = [run for members in by_group.values() for run in members]
            axes = axes_for(estimator, everything)
            models = fit_runs(estimator, everything, axes, runs.groups, executor)
            write_run_models(folder, store, models, axes, by_group, outdir)
            # Of a method without models of its own the cubes of groups are made already.
            cubes = {} if hasattr(estimator, "fit") else models.cubes
        summaries = []
        for group, members in by_group.items():
            cube = cubes.get(group) or reconstruct(estimator, members, executor=executor)
            summaries.append(_write_group(folder, group, cube, members))
        return summaries


def _write_group(folder, group, cube, runs):
    cube = replace(cube, meta={**cube.meta, "GROUP_ID": group})
    for kind in ("table", "image", "gadf"):
        write_cube(folder / f"bg_cube_model_group{group}_{kind}.fits.gz", cube, kind)
    n_events = 0 if cube.counts is None else int(np.sum(cube.counts))
    if not n_events:
        log.warning("group %d: no event above threshold and inside the axes", group)
    livetime = sum(obs.livetime for obs in runs)
    masked, pixels = _wholly_masked(cube, runs)
    log.info("group %d: %d runs, %d events, %.0f s", group, len(runs), n_events, livetime)
    if masked:
        text = "group %d: %d bins are wholly excluded and have no rate; %d pixels at all energies"
        log.warning(text, group, masked, pixels)
    return GroupSummary(group, len(runs), n_events, livetime, masked)


def _wholly_masked(cube, runs):
    """How many bins of the energies that runs expose have no exposure, and pixels without any."""
    if not any(obs.excluded for obs in runs):
        return 0, 0
    masked = cube.livetime == 0
    exposed = ~masked.all(axis=(1, 2))
    exposed[min(first_bin(cube.axes, obs.energy_threshold, False) for obs in runs) :] = True
    masked = masked[exposed]
    return int(masked.sum()), int(masked.all(axis=0).sum()) if len(masked) else 0


def _write_tables(folder, runs):
    """2015's tables: all runs that are left, those in groups, and the groups."""
    group_id, plain = runs.group_id, Table(runs.table, copy=True)
    plain.meta = {}  # what the store's own header says of itself does not hold here
    grouped = plain[group_id >= 0]
    grouped["GROUP_ID"] = group_id[group_id >= 0]
    for name, rows in (("table", plain), ("table_grouped", grouped)):
        write_fits(folder / f"bg_observation_{name}.fits.gz", [fits.table_to_hdu(rows)])
    runs.groups.table.write(folder / "bg_observation_groups.ecsv", format="ascii.ecsv")
