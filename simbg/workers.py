"""Executors: where work runs, and how far it has come."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["Inline", "workers"]


class Inline(Executor):
    """Runs work where it stands, when it is asked for: no process, no thread."""

    def submit(self, fn, /, *args, **kwargs):
        """Run now; the future is done."""
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """Run one after the other, each when its result is fetched."""
        return map(fn, *iterables)


class Watched(Executor):
    """Passes work on to another executor and moves a progress bar for each piece done."""

    def __init__(self, executor, label, unit):
        self.executor = executor
        # On a terminal only: a log shows no bars.
        self.bar = tqdm(desc=label, unit=unit, disable=not sys.stderr.isatty(), leave=False)

    def submit(self, fn, /, *args, **kwargs):
        """Submit to the executor behind."""
        return self.executor.submit(fn, *args, **kwargs)

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """Map with the executor behind."""
        work = [list(iterable) for iterable in iterables]
        self.bar.total = (self.bar.total or 0) + len(work[0])
        self.bar.refresh()
        for result in self.executor.map(fn, *work, timeout=timeout, chunksize=chunksize):
            self.bar.update()
            yield result


@contextmanager
def workers(jobs=None, label="", unit=" runs"):
    """An executor with a progress bar.

    Parameters
    ----------
    jobs : int, optional
        Number of processes; 1 works in this one, and the default is one a core.
    label, unit : str
        What the bar calls the work.
    """
    jobs = jobs or _n_cores()
    executor = Inline() if jobs == 1 else ProcessPoolExecutor(jobs)
    watched = Watched(executor, label, unit)
    try:
        yield watched
    finally:
        watched.bar.close()
        executor.shutdown(wait=True, cancel_futures=True)


def _n_cores():
    """Cores that this process may use, where the system says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
