"""Executors: where work runs, and how far it has come."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

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


class Watched(Executor):
    """Passes work on to another executor and moves a progress bar for each piece done."""

    def __init__(self, executor, label, unit, ahead):
        self.executor = executor
        self.ahead = ahead
        # On a terminal only: a log shows no bars.
        self.bar = tqdm(desc=label, unit=unit, disable=not sys.stderr.isatty(), leave=False)

    def submit(self, fn, /, *args, **kwargs):
        """Submit to the executor behind."""
        return self.executor.submit(fn, *args, **kwargs)

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """Results in order, with ``ahead`` pieces under way: memory does not grow with the work.

        When it ends, whatever the reason, nothing is under way any more: what it
        wrote to can be taken away.
        """
        work = list(zip(*iterables, strict=False))
        self.bar.total = (self.bar.total or 0) + len(work)
        self.bar.refresh()
        rest, pending = iter(work), deque()
        try:
            while True:
                room = self.ahead - len(pending)
                pending.extend(self.submit(fn, *args) for args in islice(rest, room))
                if not pending:
                    return
                yield pending[0].result(timeout)
                pending.popleft()
                self.bar.update()
        finally:
            for future in pending:
                future.cancel()
            wait(pending)


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
    inline = jobs == 1
    executor = Inline() if inline else ProcessPoolExecutor(jobs, initializer=_leave_interrupts)
    watched = Watched(executor, label, unit, ahead=1 if inline else 4 * jobs)
    try:
        yield watched
    finally:
        watched.bar.close()
        executor.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts():
    """Ctrl-C goes to all processes; the one that gave the work answers for all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _n_cores():
    """Cores that this process may use, where the system says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
