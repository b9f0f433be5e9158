"""Executors: run work in this process or in several ones, and show its progress."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

from tqdm.auto import tqdm

__all__ = [
    "announce",
    "end_interrupted_workers",
    "heed_interrupts",
    "in_notebook",
    "interrupts_noted",
    "workers",
]

BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit}, {elapsed}, {remaining} left"
STAGES = "{desc} |{bar}| {n_fmt} of {total_fmt} stages, {elapsed}{postfix}"
# Signals that end a process in an orderly way, with the handlers of Python that they replace.
ENDING: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
if hasattr(signal, "SIGHUP"):
    ENDING[signal.SIGHUP] = signal.SIG_DFL
# Numbers of the signals that came while `interrupts_noted`, and that may not have been handled.
INTERRUPTS: list[int] = []
# s; a signal so soon after another one is noted only: it must not interrupt the cleaning up.
AGAIN = 2.0
# Child processes of the user's program, which are not workers.
OTHERS: list[Any] = []


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
            # Names of files can contain control characters.
            shown = "".join(c if c.isprintable() else "?" for c in stage)
            self.bar.set_description_str(f"{self.label}, {shown}", refresh=False)
            self.bar.update(self.stages.index(stage) - self.bar.n)
            self.bar.refresh()

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work to the wrapped executor, which may start workers."""
        with nullcontext() if isinstance(self.executor, Inline) else _signals_blocked():
            return self.executor.submit(fn, *args, **kwargs)

    def map(
        self, fn: Callable, *iterables: Any, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator:
        """Results in order, with at most ``ahead`` pieces in progress, which limits the memory.

        When it ends, for any reason, no piece is in progress any more, so that files they wrote
        to can be removed. An interrupt ends the workers at once.
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
            if not end_interrupted_workers():
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
    executor = Inline() if inline else ProcessPoolExecutor(jobs, initializer=_begin_worker)
    watched = Watched(executor, label, unit, ahead=1 if inline else 4 * jobs, quiet=quiet)
    OTHERS[:] = multiprocessing.active_children()
    try:
        with interrupts_noted():
            try:
                yield watched
                heed_interrupts()
            finally:
                end_interrupted_workers()
    finally:
        watched.bar.close()
        executor.shutdown(wait=True, cancel_futures=True)


def heed_interrupts() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came and its exception was lost in a destructor."""
    if INTERRUPTS:
        raise KeyboardInterrupt


def end_interrupted_workers() -> bool:
    """End all workers if Ctrl-C came, so that the files that they write to can be removed.

    Returns
    -------
    bool
        Whether it came.
    """
    if INTERRUPTS:
        found = [child for child in multiprocessing.active_children() if child not in OTHERS]
        for child in found:
            child.kill()
        for child in found:
            child.join()
    return bool(INTERRUPTS)


@contextmanager
def interrupts_noted() -> Iterator[list[int]]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, and note all these signals.

    A KeyboardInterrupt that is raised in a destructor is lost, since Python only prints exceptions
    that a destructor raises. `heed_interrupts` raises it again; it is not printed.

    Handlers that the user's program has installed, and ignored signals, are unchanged.

    Yields
    ------
    list of int
        The numbers of the signals that came.
    """
    main = threading.current_thread() is threading.main_thread()
    ours = {number for number, was in ENDING.items() if main and signal.getsignal(number) == was}
    if signal.SIGINT not in ours:
        yield INTERRUPTS
        return
    hook, last = sys.unraisablehook, [-AGAIN]

    def note(number, frame):
        INTERRUPTS.append(number)
        if time.monotonic() - last[0] >= AGAIN:
            last[0] = time.monotonic()
            raise KeyboardInterrupt

    def report(unraisable):
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    for number in ours:
        signal.signal(number, note)
    sys.unraisablehook = report
    try:
        yield INTERRUPTS
    finally:
        for number in ours:
            signal.signal(number, ENDING[number])
        sys.unraisablehook = hook
        INTERRUPTS.clear()


@contextmanager
def _signals_blocked():
    """Keep signals until the end: a new process begins with them blocked, see `_begin_worker`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_notebook() -> bool:
    """Whether the progress bar is that of a notebook."""
    return any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)


def announce(executor: Executor | None, stage: str) -> None:
    """Tell an executor with a progress bar that a stage begins; other executors ignore it."""
    if isinstance(executor, Watched):
        executor.enter(stage)


def _begin_worker():
    """Ignore Ctrl-C, which is sent to all processes and which the main one handles; end with it."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """End this worker when the main process has ended, for any reason.

    The workers of `concurrent.futures` wait for ever in that case
    (https://github.com/python/cpython/issues/111873).
    """
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


def _n_cores():
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
