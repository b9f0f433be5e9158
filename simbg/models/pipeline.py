"""From the runs of a data store to files of background models."""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Binning, choose_axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import write_cube
from simbg.io.files.plain_output import rows
from simbg.io.files.remote import is_remote
from simbg.io.safe_files import (
    check_apart,
    check_directory,
    kept_parts,
    new_directory,
    write_fits,
)
from simbg.models.per_run import RUN_FILES, write_run_models
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.notices import Report, collected
from simbg.observations.threshold import first_bin
from simbg.parallel.kept import keeping
from simbg.radial import rings_of
from simbg.reconstruction import DEFAULT_METHOD
from simbg.reconstruction.contract import axes_for, reconstruct_groups
from simbg.reconstruction.matching import MatchedRuns
from simbg.reconstruction.radial import reconstruct_radial
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs

__all__ = ["GroupSummary", "Summary", "reconstruct_store"]

log = logging.getLogger(__name__)

FILES = (
    r"bg_observation_table(_grouped)?\.fits\.gz",
    r"bg_observation_groups\.ecsv",
    r"bg_cube_model_group\d+_(table|image|gadf|radial)\.fits\.gz",
    *RUN_FILES,
)
# Number of known sources that a summary names.
SHOWN = 3


@dataclass(frozen=True)
class GroupSummary:
    """Summary of a group: its runs and the counts in its cube.

    Parameters
    ----------
    group_id : int
        GROUP_ID.
    n_obs, n_events : int
        Number of runs, and of counted events.
    livetime : float
        Livetime of all runs, s.
    n_masked : int
        Number of completely masked bins.
    fit : str
        What the method states about its fit, if anything.
    empty : float
        Fraction of the bins with exposure in which the rate is 0.
    """

    group_id: int
    n_obs: int
    n_events: int
    livetime: float
    n_masked: int = 0
    fit: str = ""
    empty: float = 0.0


@dataclass(frozen=True)
class Summary:
    """Summary of the models of a store: its groups, and the runs that are not used.

    Parameters
    ----------
    groups : tuple of GroupSummary
        One for each group with runs.
    n_near : dict of str to int
        Known source → number of runs near it, which are not used; most runs first.
    n_skipped : int
        Number of runs that could not be read.
    n_outside : int
        Number of runs outside of all groups.
    noticed : Report
        Contradictions in the store that were noticed while the runs were read.
    fit : str
        What a model of all runs states about its fit, if there is one.
    """

    groups: tuple[GroupSummary, ...]
    n_near: dict[str, int]
    n_skipped: int
    n_outside: int
    noticed: Report = field(default_factory=Report)
    fit: str = ""

    @property
    def n_used(self) -> int:
        """Number of runs in the groups."""
        return sum(group.n_obs for group in self.groups)

    @property
    def text(self) -> str:
        """Number of runs used, and of the others with the reason, in one line."""
        near = sum(self.n_near.values())
        n_runs = self.n_used + near + self.n_skipped + self.n_outside
        parts = [f"{self.n_used} of {n_runs} run{'s' * (n_runs != 1)} used"]
        parts += [f"{self.n_skipped} could not be read"] * bool(self.n_skipped)
        parts += [f"{self.n_outside} outside of all groups"] * bool(self.n_outside)
        if near:
            names = ", ".join(list(self.n_near)[:SHOWN]) + ", ..." * (len(self.n_near) > SHOWN)
            parts.append(f"{near} near known sources: {names}")
        return "; ".join(parts)

    @property
    def warning(self) -> str:
        """What an analysis loses by empty bins; an empty text if there are none."""
        worst = max(self.groups, key=lambda group: group.empty, default=None)
        if worst is None or not worst.empty:
            return ""
        number = sum(group.empty > 0 for group in self.groups)
        return (
            f"warning: bins without events in {number} of {len(self.groups)} models (up to "
            f"{worst.empty:.0%} of the bins, in group {worst.group_id}); gammapy interpolates the "
            "logarithm of the rate, and predicts wrong counts near them"
        )


def reconstruct_store(
    indir: Path | str,
    outdir: Path | str,
    scheme: str = "auto",
    method: str = DEFAULT_METHOD,
    selection: Selection | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    per_run: bool = False,
    axes: Binning = None,
    radial: bool = False,
    match: int = 0,
    resume: bool = False,
) -> Summary:
    """Make a background model for each group of runs, and write the files of 2015 and of GADF.

    Nothing is written if there is an error.

    Parameters
    ----------
    indir, outdir : path-like
        Folder of the data store, and folder for the models.
    scheme : {"auto", "gadf", "hess"}
        Format of the store, see `simbg.models.runs.open_store`.
    method : str
        Name of the method, see `simbg.reconstruction.registry.find_method`.
    selection : Selection, optional
        Which runs are used, by default all that are far from known sources.
    overwrite : bool
        Whether to replace existing models in ``outdir``.
    executor : concurrent.futures.Executor, optional
        Processes the runs of a group in parallel.
    per_run : bool
        Whether to write also a model for each run, and an index; see `simbg.models.per_run`.
    axes : Axes or callable, optional
        Axes of the models, or a function that changes the axes that the method prefers for the runs
        of a group, which are the default.
    radial : bool
        Whether to write also a radial model of each group, with the energies of its cube and rings
        as wide as its pixels.
    match : int
        If positive, the model of each run is made of this number of runs most like it; see
        `simbg.reconstruction.matching.MatchedRuns`.
    resume : bool
        Whether the sums of pieces of the runs are kept beside ``outdir`` if this is interrupted,
        and those that are there are used. They are removed at the end.

    Returns
    -------
    Summary
        The groups with runs, and the number of other runs.

    Raises
    ------
    ValueError
        If an argument is not valid, no run can be used, or the method fails.
    FileNotFoundError
        If there is no data store in ``indir``.
    """
    selection = selection or Selection()
    estimator: Any = find_method(method)
    if selection.covariates and per_run and not (match or hasattr(estimator, "fit")):
        raise ValueError(
            f"covariate {selection.covariates[0]} (--covariate): got the method {method}, which "
            "makes models of zenith groups without covariates, expected one that models runs "
            "itself, such as spline, or --match (match=...)"
        )
    check_apart(outdir, indir)
    if not is_remote(outdir):
        check_directory(outdir, overwrite, FILES)
    with (
        kept_parts(outdir, resume) as kept,
        keeping(kept),
        new_directory(outdir, overwrite, FILES) as folder,
        collected() as noticed,
    ):
        store = open_store(indir, scheme)
        _check_possible(store, selection, per_run, indir, outdir)
        runs = runs_of(store, selection, executor)
        _write_tables(folder, runs)
        by_group, cubes = runs.groups.split(runs.observations), dict[int, BackgroundCube]()
        fit = ""
        if per_run:
            by_run = dict(by_group)
            if match or hasattr(estimator, "fit"):  # such a method needs no groups
                of_none = zip(runs.observations, runs.group_id, strict=True)
                by_run[-1] = [run for run, group in of_none if group < 0]
            all_runs = [run for members in by_run.values() for run in members]
            run_axes = choose_axes(axes, partial(axes_for, estimator, all_runs))
            by_method: Any = MatchedRuns(estimator, match) if match else estimator
            models = fit_runs(by_method, all_runs, run_axes, runs.groups, executor)
            write_run_models(folder, store, models, run_axes, by_run, outdir)
            fit = getattr(models, "text", "")
            # For a method without its own ``fit`` the cubes of groups already exist.
            cubes = getattr(models, "cubes", {})
        summaries = []
        others = {
            group: (members, choose_axes(axes, partial(axes_for, estimator, members)))
            for group, members in by_group.items()
            if cubes.get(group) is None
        }
        made = reconstruct_groups(estimator, others, executor)
        for group, members in by_group.items():
            cube = next(made) if group in others else cubes[group]
            summaries.append(_write_group(folder, group, cube, members, noticed))
            if radial:
                rings = np.array(rings_of(cube.axes))
                model = reconstruct_radial(members, cube.axes.energy, rings, executor)
                model = replace(model, meta={**model.meta, "GROUP_ID": group})
                model.write(folder / f"bg_cube_model_group{group}_radial.fits.gz")
        outside = len(runs.observations) - sum(group.n_obs for group in summaries)
        numbers = runs.n_near, runs.n_skipped, outside
        return Summary(tuple(summaries), *numbers, noticed, fit)


def _check_possible(store, selection, per_run, indir, outdir):
    """Refuse models that a store, or the place of the output, does not allow."""
    if store.scheme == "hess" and (selection.sources == "mask" or per_run):
        raise ValueError(
            f"{indir}: got a store in the scheme of 2015, which has no sky positions, expected "
            "a GADF store for --sources mask (sources='mask') and --per-run (per_run=True)"
        )
    if remote := [path for path in (indir, outdir) if per_run and is_remote(path)]:
        raise ValueError(
            f"{remote[0]}: got an address, expected a folder for --per-run (per_run=True), whose "
            "index has relative paths of the events"
        )


def _write_group(folder, group, cube, runs, noticed):
    cube = replace(cube, meta={**cube.meta, "GROUP_ID": group})
    for kind in ("table", "image", "gadf"):
        write_cube(folder / f"bg_cube_model_group{group}_{kind}.fits.gz", cube, kind)
    # A method may return a cube without counts; those that its rate predicts are then its number.
    predicted = cube.event_rate * getattr(cube, cube.clock)
    n_events = int(np.nansum(predicted if cube.counts is None else cube.counts))
    if not n_events:
        log.warning("group %d: no events above the threshold and inside the axes", group)
    livetime = noticed.livetime(runs)
    masked, pixels = _completely_masked(cube, runs)
    log.info("group %d: %d runs, %d events, %.0f s", group, len(runs), n_events, livetime)
    if masked:
        text = (
            "group %d: %d bins are completely excluded and have no rate (%d pixels at all energies)"
        )
        log.warning(text, group, masked, pixels)
    fit = str(cube.meta.get("FIT", ""))
    empty = _empty_fraction(cube)
    return GroupSummary(group, len(runs), n_events, livetime, masked, fit, empty)


def _empty_fraction(cube):
    """Fraction of the bins with exposure in which the rate is 0."""
    exposed = np.asarray(getattr(cube, cube.clock)) > 0
    return float(np.sum(exposed & (cube.rate == 0))) / max(float(np.sum(exposed)), 1.0)


def _completely_masked(cube, runs):
    """Number of exposed energies' bins without exposure, and of pixels without any exposure."""
    if not any(obs.excluded for obs in runs):
        return 0, 0
    masked = cube.livetime == 0
    exposed = ~masked.all(axis=(1, 2))
    exposed[min(first_bin(cube.axes, obs.energy_threshold, False) for obs in runs) :] = True
    masked = masked[exposed]
    return int(masked.sum()), int(masked.all(axis=0).sum()) if len(masked) else 0


def _write_tables(folder, runs):
    """Write the tables of 2015: all selected runs, those in groups, and the groups."""
    inside = runs.group_id >= 0
    groups = runs.group_id[inside]
    for name, which, more in (("table", slice(None), None), ("table_grouped", inside, groups)):
        hdu = _table_of_runs(runs, which, more)
        write_fits(folder / f"bg_observation_{name}.fits.gz", [hdu])
    (folder / "bg_observation_groups.ecsv").write_text(_groups_text(runs.groups.columns))


def _table_of_runs(runs, which, group_id):
    """The HDU of some runs, with their groups if these are given."""
    units = runs.store.runs.units
    if units is not None:
        columns = {n: values[runs.rows][which] for n, values in runs.store.runs.columns.items()}
        if group_id is not None:
            columns["GROUP_ID"] = group_id
        return rows(None, [(name, values, units.get(name)) for name, values in columns.items()])
    from astropy.io import fits
    from astropy.table import Table

    table = Table(runs.table[which], copy=True)
    table.meta = {}  # the header of the store's own table does not apply to this one
    if group_id is not None:
        table["GROUP_ID"] = group_id
    return fits.table_to_hdu(table)


def _groups_text(columns):
    """The groups as a text in ECSV; astropy, which writes the same, takes 0.4 s to load for it."""
    first, *angles = columns
    fields = [f"# - {{name: {name}, unit: deg, datatype: float64}}" for name in angles]
    lines = ["# %ECSV 1.0", "# ---", "# datatype:", f"# - {{name: {first}, datatype: int64}}"]
    lines += [*fields, "# schema: astropy-2.0", " ".join(columns)]
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return "\n".join([*lines, *(" ".join(map(str, row)) for row in values)]) + "\n"
