"""Stores: simulated runs written as a data store in the GADF scheme or the one of 2015."""

import os
import shutil
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from simbg.io.gadf.writer import GadfWriter
from simbg.io.hess2015 import HessWriter
from simbg.io.region_files import write_regions
from simbg.io.safe_files import check_directory, expanded, kept_parts, new_directory
from simbg.parallel.kept import digest_of, keeping
from simbg.parallel.pieces import in_pieces
from simbg.simulation.events import simulate_run
from simbg.simulation.schedule import rows_of

__all__ = ["REGIONS"]

WRITERS: dict[str, Any] = {"gadf": GadfWriter, "hess": HessWriter}
# The file of a store with the excluded regions.
REGIONS = "regions.reg"


def write_store(
    experiment: Any,
    outdir: Path | str,
    scheme: str,
    overwrite: bool,
    executor: Executor | None,
    resume: bool,
) -> int:
    """Write a store.

    Parameters, result and errors are those of `simbg.simulation.experiment.Experiment.write`.
    """
    if scheme not in WRITERS:
        raise ValueError(f"scheme: got {scheme!r}, expected one of {', '.join(WRITERS)}")
    scenario, runs = experiment.scenario, experiment.runs
    outdir, files = expanded(outdir), (*WRITERS[scheme].FILES, REGIONS)
    check_directory(outdir, overwrite, files)
    with kept_parts(outdir, resume) as kept:
        if kept:
            # Runs of another experiment have another folder.
            finished = kept / f"store-{digest_of(experiment.seed, scenario, scheme, rows_of(runs))}"
            finished.mkdir(exist_ok=True)
            with keeping(kept):
                n_events = _write_all(experiment, scheme, finished, executor)
        with new_directory(outdir, overwrite, files) as folder:
            if kept:
                shutil.copytree(finished, folder, copy_function=_link, dirs_exist_ok=True)
            else:
                n_events = _write_all(experiment, scheme, folder, executor)
            public = runs.copy()
            public.remove_columns([name for name in runs.colnames if name.startswith("TRUE_")])
            WRITERS[scheme](folder, scenario.site).write_index(public)
            if scenario.regions:
                write_regions(folder / REGIONS, scenario.regions)
    return n_events


def _link(source, target):
    """Give a file a second name, so that it is still kept if the job ends here, or copy it."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)


def _write_all(experiment, scheme, folder, executor):
    """Simulate and write all runs; number of their events."""
    writer = WRITERS[scheme](folder, experiment.scenario.site)
    simulate = partial(simulate_run, experiment.scenario, experiment.seed, experiment.replicate)
    return sum(
        in_pieces(partial(_write_runs, writer, simulate), rows_of(experiment.runs), executor)
    )


def _write_runs(writer, simulate, rows):
    """Write the runs of a piece, also those that a dead worker has written."""
    n_events = 0
    for row in rows:
        events = simulate(row)
        writer.write_run(row, events)
        n_events += len(events)
    return n_events
