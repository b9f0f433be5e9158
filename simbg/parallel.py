"""Executors: where work runs, and how far it has come."""

import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

from tqdm import tqdm

__all__ = ["announce", "heed_interrupts", "interruptible", "workers"]

BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit}, {elapsed}, {remaining} left"
STAGES = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
# Of what a stage has still to do, what one round of pieces is taken for: nobody knows how many
# rounds there will be.
ROUND = 0.25
# Interrupts that came while `workers` were at work and that may not have been heeded.
INTERRUPTS = []
# In a worker: what an interrupt does in the process that gave the work.
HANDLERS = []


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

    def __init__(self, executor, label, unit, ahead, quiet=False):
        self.executor = executor
        self.ahead = ahead
        self.label, self.weights, self.end = label, None, 0.0
        # None: on a terminal only, as a log shows no bars. The time left is that at the mean speed.
        look = {"leave": False, "bar_format": BAR, "smoothing": 0}
        self.bar = tqdm(desc=label, unit=unit, disable=quiet or None, **look)

    def plan(self, weights):
        """Measure progress in stages from now on.

        Parameters
        ----------
        weights : dict of str to float
            Stage → its part of the work, in any unit.
        """
        self.weights = weights
        self.bar.total, self.bar.bar_format = sum(weights.values()), STAGES

    def enter(self, stage):
        """A stage begins, and so the last one has ended."""
        if self.weights is not None:
            self.bar.update(self.end - self.bar.n)
            # What was not planned, or not asked for, is over at once.
            if weight := self.weights.get(stage):
                self.end += weight
                self.bar.set_description_str(f"{self.label}, {stage}")

    def submit(self, fn, /, *args, **kwargs):
        """Submit to the executor behind."""
        return self.executor.submit(fn, *args, **kwargs)

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """Results in order, with ``ahead`` pieces under way: memory does not grow with the work.

        When it ends, whatever the reason, nothing is under way any more: what it
        wrote to can be taken away.
        """
        work = list(zip(*iterables, strict=False))
        step = self._begin(len(work))
        rest, pending = iter(work), deque()
        try:
            while True:
                heed_interrupts()
                room = self.ahead - len(pending)
                pending.extend(self.submit(fn, *args) for args in islice(rest, room))
                if not pending:
                    return
                yield pending[0].result(timeout)
                pending.popleft()
                self.bar.update(step)
        finally:
            for future in pending:
                future.cancel()
            wait(pending)

    def _begin(self, number):
        """What each of so many pieces moves the bar by."""
        if self.weights is not None:
            return ROUND * max(self.end - self.bar.n, 0.0) / max(number, 1)
        self.bar.total = (self.bar.total or 0) + number
        self.bar.refresh()
        return 1


@contextmanager
def workers(jobs=None, label="", unit=" runs", quiet=False):
    """An executor with a progress bar.

    Parameters
    ----------
    jobs : int, optional
        Number of processes; 1 works in this one, and the default is one a core.
    label, unit : str
        What the bar calls the work.
    quiet : bool
        No bar.
    """
    jobs = jobs or _n_cores()
    inline = jobs == 1
    executor = Inline() if inline else ProcessPoolExecutor(jobs, initializer=_leave_interrupts)
    watched = Watched(executor, label, unit, ahead=1 if inline else 4 * jobs, quiet=quiet)
    try:
        with _interrupts_noted():
            yield watched
            heed_interrupts()
    finally:
        watched.bar.close()
        executor.shutdown(wait=True, cancel_futures=True)


def heed_interrupts():
    """Raise `KeyboardInterrupt` if Ctrl-C came and its exception was lost in a destructor."""
    if INTERRUPTS:
        raise KeyboardInterrupt


@contextmanager
def _interrupts_noted():
    """Ctrl-C raises `KeyboardInterrupt` and is noted, for a destructor may swallow the exception.

    Python only prints what a destructor raises; here it prints nothing of an interrupt.
    """
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    main = threading.current_thread() is threading.main_thread()
    if handler is not signal.default_int_handler or not main:
        yield
        return

    def note(*about):
        INTERRUPTS.append(about)
        handler(*about)

    def say(unraisable):
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = say
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = hook
        INTERRUPTS.clear()


def announce(executor, stage):
    """Tell an executor that shows progress what begins; to any other it is nothing."""
    if isinstance(executor, Watched):
        executor.enter(stage)


@contextmanager
def interruptible():
    """A long wait that Ctrl-C ends in a worker, too; its other work is short and left to end."""
    if not HANDLERS:
        yield
        return
    signal.signal(signal.SIGINT, HANDLERS[0])
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_interrupts():
    """Ctrl-C goes to all processes; the one that gave the work answers for all."""
    HANDLERS.append(signal.signal(signal.SIGINT, signal.SIG_IGN))


def _n_cores():
    """Cores that this process may use, where the system says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
