"""Executors: run work in this process or in several ones, and show its progress."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from tqdm.auto import tqdm

__all__ = ["announce", "heed_interrupts", "in_notebook", "interruptible", "workers"]

BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit}, {elapsed}, {remaining} left"
STAGES = "{desc} |{bar}| {n_fmt} of {total_fmt} stages, {elapsed}{postfix}"
# Interrupts that came while `workers` were active, and that may not have been handled.
INTERRUPTS: list[Any] = []
# In a worker process: the handler of interrupts that was installed at its start.
HANDLERS: list[Any] = []


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


class Watched(Executor):
    """Passes work to another executor, and counts the finished pieces in a progress bar.

    The bar shows the remaining time, from the mean speed. After `plan` it counts stages, and the
    finished pieces of a stage; the number of its other pieces is unknown.
    """

    def __init__(
        self, executor: Executor, label: str, unit: str, ahead: int, quiet: bool = False
    ) -> None:
        self.executor = executor
        self.ahead = ahead
        self.label, self.unit = label, unit
        self.stages: list[str] | None = None
        self.pieces = 0
        # None: a bar on a terminal only, not in a log. In a notebook there is no terminal.
        style = {"leave": False, "bar_format": BAR, "smoothing": 0}
        disable = quiet or (False if in_notebook() else None)
        self.bar = tqdm(desc=label, unit=unit, disable=disable, **style)

    def plan(self, stages: Sequence[str]) -> None:
        """Count stages from now on.

        Parameters
        ----------
        stages : sequence of str
            In the order in which they begin.
        """
        self.stages = list(stages)
        self.bar.total, self.bar.bar_format = len(self.stages), STAGES

    def enter(self, stage: str) -> None:
        """A stage begins, and the previous ones have ended; others than planned are not shown."""
        if self.stages and stage in self.stages:
            self.pieces = 0
            self.bar.set_postfix_str("", refresh=False)
            self.bar.set_description_str(f"{self.label}, {stage}", refresh=False)
            self.bar.update(self.stages.index(stage) - self.bar.n)
            self.bar.refresh()

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work to the wrapped executor."""
        return self.executor.submit(fn, *args, **kwargs)

    def map(
        self, fn: Callable, *iterables: Any, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator:
        """Results in order, with at most ``ahead`` pieces in progress, which limits the memory.

        When it ends, for any reason, no piece is in progress any more, so that files they wrote
        to can be removed.
        """
        work = list(zip(*iterables, strict=False))
        if self.stages is None:
            self.bar.total = (self.bar.total or 0) + len(work)
            self.bar.refresh()
        rest, pending = iter(work), deque[Future]()
        try:
            while True:
                heed_interrupts()
                room = self.ahead - len(pending)
                pending.extend(self.submit(fn, *args) for args in islice(rest, room))
                if not pending:
                    return
                yield pending[0].result(timeout)
                pending.popleft()
                self._count()
        finally:
            for future in pending:
                future.cancel()
            wait(pending)

    def _count(self):
        """A piece of work is finished."""
        if self.stages is None:
            self.bar.update()
        else:
            self.pieces += 1
            self.bar.set_postfix_str(f"{self.pieces}{self.unit}", refresh=False)
            self.bar.update(0)


@contextmanager
def workers(
    jobs: int | None = None, label: str = "", unit: str = " runs", quiet: bool = False
) -> Iterator[Watched]:
    """An executor with a progress bar.

    Parameters
    ----------
    jobs : int, optional
        Number of processes; with 1, work is done in this process. By default one per core.
    label, unit : str
        Label of the bar, and unit of its pieces.
    quiet : bool
        Whether to show no bar.

    Yields
    ------
    Executor
        It is shut down at the end.
    """
    jobs = jobs or _n_cores()
    inline = jobs == 1
    executor = Inline() if inline else ProcessPoolExecutor(jobs, initializer=_leave_interrupts)
    watched = Watched(executor, label, unit, ahead=1 if inline else 4 * jobs, quiet=quiet)
    try:
        with _interrupts_recorded():
            yield watched
            heed_interrupts()
    finally:
        watched.bar.close()
        executor.shutdown(wait=True, cancel_futures=True)


def heed_interrupts() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came and its exception was lost in a destructor."""
    if INTERRUPTS:
        raise KeyboardInterrupt


@contextmanager
def _interrupts_recorded():
    """Record interrupts, because a KeyboardInterrupt that is raised in a destructor is lost.

    Python only prints exceptions that a destructor raises; interrupts are not printed here.
    """
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    main = threading.current_thread() is threading.main_thread()
    if handler is not signal.default_int_handler or not main:
        yield
        return

    def record(*arguments):
        INTERRUPTS.append(arguments)
        handler(*arguments)

    def report(unraisable):
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    signal.signal(signal.SIGINT, record)
    sys.unraisablehook = report
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = hook
        INTERRUPTS.clear()


def in_notebook() -> bool:
    """Whether the progress bar is that of a notebook."""
    return any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)


def announce(executor: Executor | None, stage: str) -> None:
    """Tell an executor with a progress bar that a stage begins; other executors ignore it."""
    if isinstance(executor, Watched):
        executor.enter(stage)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a long wait in a worker process, where interrupts are ignored otherwise."""
    if not HANDLERS:
        yield
        return
    signal.signal(signal.SIGINT, HANDLERS[0])
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_interrupts():
    """Ignore Ctrl-C in a worker: it is sent to all processes, and the main one handles it."""
    HANDLERS.append(signal.signal(signal.SIGINT, signal.SIG_IGN))


def _n_cores():
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
