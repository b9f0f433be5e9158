"""Executors of this machine: this process, or a pool of processes that replaces dead ones."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from simbg.parallel.interrupts import OTHERS, begin_worker, signals_blocked

__all__ = []


class Inline(Executor):
    """Runs work in this process when it is submitted, without other processes or threads."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Run the function now and return a future that is done."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LocalPool(Executor):
    """A pool of processes, which end with this one.

    Parameters
    ----------
    n_workers : int
        Number of processes.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        OTHERS[:] = multiprocessing.active_children()
        self.pool = self._start()

    def _start(self):
        return ProcessPoolExecutor(self.n_workers, initializer=begin_worker)

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work to the pool, which may start processes."""
        with signals_blocked():
            return self.pool.submit(fn, *args, **kwargs)

    def renew(self) -> None:
        """Replace a pool that is broken: one of its processes has ended, and it ends the others."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self.pool.shutdown(wait, cancel_futures=cancel_futures)


def n_cores() -> int:
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
