"""An archive of many runs: its index is read, and its runs are selected and grouped."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simbg.io.gadf.writer import GadfWriter
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.simulation.scenario import HESS_SITE, Scenario

__all__ = ["group_runs", "write_archive_index"]

N_RUNS = 100_000
# What a process prints: seconds of the processor, wall time, and MB.
PROGRAM = """
import resource, sys, time
from simbg.validation.benchmarks.archive import group_runs
start = time.process_time()
group_runs(sys.argv[1])
scale = 1e6 if sys.platform == "darwin" else 1e3
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale)
"""


def write_archive_index(folder: Path, n_runs: int = N_RUNS) -> None:
    """Write the index files of a store whose runs have no files.

    Parameters
    ----------
    folder : Path
        A folder.
    n_runs : int
        Number of runs.
    """
    scenario = Scenario("archive", alt_range=(45.0, 90.0), az_range=(0.0, 360.0))
    GadfWriter(folder, HESS_SITE).write_index(scenario.table(0, n_runs))


def group_runs(folder: Path | str) -> list[int]:
    """Numbers of runs in the groups of a store, far from known sources.

    Parameters
    ----------
    folder : path-like
        The store.
    """
    runs = runs_of(open_store(folder), Selection())
    return [len(members) for members in runs.groups.split(runs.observations).values()]


def measure_archive() -> Iterator[tuple[Any, ...]]:
    """Measure time and memory of `group_runs`, as `simbg.validation.benchmarks.speed` does."""
    with tempfile.TemporaryDirectory() as folder:
        write_archive_index(Path(folder))
        words = sys.executable, "-c", PROGRAM, folder
        seconds, megabytes = map(float, subprocess.check_output(words).split())
    yield (f"index of {N_RUNS:,} runs, in groups", "s", seconds, None, 10.0)
    yield ("   peak memory", "MB", megabytes, None, 1000.0)
