"""Time, memory and traffic of `simbg reconstruct` against runs, events and processes.

``python -m simbg.validation.benchmarks.scaling FOLDER`` simulates stores in a folder, if they are
not there, and prints a line for each job, the terms of the model of SCALING.md, and its prediction
for workers with a known delay before it measures them.
"""

import json
import math
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import click
import numpy as np

from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.parallel.executors import workers
from simbg.parallel.pieces import piece_size
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.truth.gaussian import GaussianTruth

__all__ = []

# Stores: runs, and events of each run.
MANY, LONG, SHORT = (10_000, 1_000), (200, 200_000), (200, 50_000)
# Runs that are used of each store.
JOBS = ((MANY, 2500), (MANY, 5000), (MANY, 10_000), (LONG, 100), (LONG, 200), (SHORT, 200))
# Processes that wait, the time that each waits for each run, s, and the number of runs.
DELAYED, DELAY, FEW = (8, 16), 1.0, 400
MEGABYTE = 1e6 / 1024 if sys.platform == "darwin" else 1e3
LINE = "{runs:6d} runs {events:6d} events {jobs:2d} processes: {wall:7.1f} s, CPU {main:6.1f} + "
LINE += "{workers:6.1f} s, {memory:4.0f} and {memory_of_worker:4.0f} MB, {bytes:6.1f} MB sent"


class Delayed(Executor):
    """Adds a delay to each piece, as a slow disk does: it takes time and no processor.

    Parameters
    ----------
    executor : Executor
        Does the work.
    delay : float
        Delay of each run, s.
    """

    def __init__(self, executor: Any, delay: float) -> None:
        self.executor, self.delay, self.n_workers = executor, delay, executor.n_workers

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work that begins with the delay."""
        return self.executor.submit(_slow, self.delay * len(args[0]), fn, *args)


def _slow(delay, fn, *args):
    time.sleep(delay)
    return fn(*args)


class Traffic:
    """An executor in this process that counts the bytes that a pool would send."""

    def __init__(self) -> None:
        self.n_bytes = 0

    def map(self, job: Callable, pieces: Sequence[list]) -> Iterator[Any]:
        """Results of pieces."""
        for piece in pieces:
            result = job(piece)
            self.n_bytes += len(pickle.dumps((job, piece))) + len(pickle.dumps(result))
            yield result


def _make(folder, size):
    """The store of this size, which is simulated if it is not there."""
    runs, events = size
    store = folder / f"{runs}x{events}"
    if not store.exists():
        truth = GaussianTruth(event_rate=events / 1500.0, zenith_slope=0.0)
        scenario = Scenario("scaling", "", "", truth, runs, (45.0, 90.0), (0.0, 360.0), 1500.0, 0.0)
        with workers(label=f"simulate {store.name}") as executor:
            Experiment.of(scenario, 0).write(store, executor=executor)
    return store


def _reconstruct(store, runs, executor):
    selection = Selection(tuple(range(1, runs + 1)), ("none",), Groups((0, 90), (-90, 270)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "models")
        reconstruct_store(store, out, "gadf", "histogram", selection, executor=executor)


def _facts(store, runs, jobs, delay):
    """Wall and CPU time of a job, s, and peak memory of the main process and of a worker, MB."""
    start = time.perf_counter()
    with workers(jobs, quiet=True) as executor:
        if delay:
            executor.executor = Delayed(executor.executor, delay)
        _reconstruct(store, runs, executor)
    wall = time.perf_counter() - start
    here, there = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    facts = {"wall": wall, "main": here.ru_utime + here.ru_stime}
    facts |= {"workers": there.ru_utime + there.ru_stime, "memory": here.ru_maxrss / MEGABYTE}
    return facts | {"memory_of_worker": there.ru_maxrss / MEGABYTE}


def _measure(store, runs, jobs, repeats, delay=0.0):
    """`_facts` of processes of their own, and the median of each."""
    words = [sys.executable, "-m", __spec__.name, str(store), "--job", runs, jobs, delay]
    found = [json.loads(subprocess.check_output(list(map(str, words)))) for _ in range(repeats)]
    return {name: float(np.median([facts[name] for facts in found])) for name in found[0]}


def _terms(rows):
    """Terms of the model: s at the start, per run in the main process, per run and event."""
    two = [row for row in rows if row["jobs"] == 2]
    runs, events = (np.array([row[name] for row in two]) for name in ("runs", "events"))
    main, others = (np.array([row[name] for row in two]) for name in ("main", "workers"))
    # Relative errors are alike: each line is divided by its value.
    start, per_run = _least_squares([np.ones(runs.size), runs], main)
    run, event = _least_squares([runs, runs * events], others)
    return {"start": start, "main": per_run, "run": run, "event": event}


def _least_squares(columns, values):
    matrix = np.stack(columns, axis=1) / values[:, None]
    return np.linalg.lstsq(matrix, np.ones(values.size), rcond=None)[0].tolist()


def _predicted(terms, runs, events, processes, cores, delay=0.0):
    """Seconds of a job, by the model of SCALING.md."""
    of_run = terms["run"] + terms["event"] * events
    size = piece_size(runs)
    rounds = math.ceil(runs / size / processes)
    busy = max(runs * of_run / min(processes, cores), rounds * size * (of_run + delay))
    return terms["start"] + max(busy, runs * terms["main"])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repeats", default=5, show_default=True, help="The median of these is printed.")
@click.option("--cores", default=2, show_default=True, help="Cores that are idle.")
@click.option("--job", type=(int, int, float), hidden=True)
def main(folder: Path, repeats: int, cores: int, job: tuple[int, int, float] | None) -> None:
    """Measure how time and memory grow with runs, events and processes."""
    if job:
        click.echo(json.dumps(_facts(folder, *job)))
        return
    folder.mkdir(exist_ok=True)
    rows = []
    for size, runs in JOBS:
        store, traffic = _make(folder, size), Traffic()
        _reconstruct(store, runs, traffic)
        for jobs in (1, 2):
            row = {"runs": runs, "events": size[1], "jobs": jobs, "bytes": 1e-6 * traffic.n_bytes}
            rows.append(row | _measure(store, runs, jobs, repeats))
            click.echo(LINE.format(**rows[-1]))
    terms = _terms(rows)
    click.echo(json.dumps(terms))
    for processes in DELAYED:
        runs, events = FEW, MANY[1]
        text = f"{processes} processes with a delay of {DELAY} s a run, {runs} runs: predicted"
        predicted = _predicted(terms, runs, events, processes, cores, DELAY)
        click.echo(f"{text} {predicted:.1f} s", nl=False)
        facts = _measure(_make(folder, MANY), runs, processes, repeats, DELAY)
        click.echo(f", measured {facts['wall']:.1f} s")


if __name__ == "__main__":
    main()
