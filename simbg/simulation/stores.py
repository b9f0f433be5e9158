"""Stores: simulated runs written as a data store in the GADF scheme or the one of 2015."""

from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from simbg.io.gadf.writer import GadfWriter
from simbg.io.hess2015 import HessWriter
from simbg.io.region_files import write_regions
from simbg.io.safe_files import expanded, new_directory
from simbg.parallel.pieces import in_pieces
from simbg.simulation.events import simulate_run
from simbg.simulation.schedule import rows_of

__all__ = ["REGIONS"]

WRITERS: dict[str, Any] = {"gadf": GadfWriter, "hess": HessWriter}
# The file of a store with the excluded regions.
REGIONS = "regions.reg"


def write_store(
    experiment: Any, outdir: Path | str, scheme: str, overwrite: bool, executor: Executor | None
) -> int:
    """Write a store.

    Parameters, result and errors are those of `simbg.simulation.experiment.Experiment.write`.
    """
    if scheme not in WRITERS:
        raise ValueError(f"scheme: got {scheme!r}, expected one of {', '.join(WRITERS)}")
    scenario, runs = experiment.scenario, experiment.runs
    with new_directory(expanded(outdir), overwrite, (*WRITERS[scheme].FILES, REGIONS)) as folder:
        writer = WRITERS[scheme](folder, scenario.site)
        simulate = partial(simulate_run, scenario, experiment.seed, experiment.replicate)
        job = partial(_write_runs, writer, simulate)
        n_events = sum(in_pieces(job, rows_of(runs), executor))
        public = runs.copy()
        public.remove_columns([name for name in runs.colnames if name.startswith("TRUE_")])
        writer.write_index(public)
        if scenario.regions:
            write_regions(folder / REGIONS, scenario.regions)
    return n_events


def _write_runs(writer, simulate, rows):
    """Write the runs of a piece, also those that a dead worker has written."""
    n_events = 0
    for row in rows:
        events = simulate(row)
        writer.write_run(row, events)
        n_events += len(events)
    return n_events
