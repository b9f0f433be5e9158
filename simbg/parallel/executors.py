"""Executors: run work in this process or in several ones, and show its progress."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from tqdm.auto import tqdm

from simbg.parallel.clusters import DaskExecutor, cluster_executor
from simbg.parallel.interrupts import end_interrupted_workers, heed_interrupts, interrupts_noted
from simbg.parallel.local import Inline, LocalPool, n_cores

__all__ = ["Watched", "announce", "in_notebook", "workers"]

BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit}, {elapsed}, {remaining} left"
STAGES = "{desc} |{bar}| {n_fmt} of {total_fmt} stages, {elapsed}{postfix}"
# A piece is given up after this number of processes that ended while they worked on it.
ATTEMPTS = 4


class Task:
    """A piece of work, and its future once it is submitted.

    Parameters
    ----------
    fn : callable
        Function.
    args : tuple
        Its arguments.
    size : int
        Size of the piece in the progress bar.
    """

    def __init__(self, fn: Callable, args: tuple, size: int) -> None:
        self.fn, self.args, self.size = fn, args, size
        self.future: Future | None = None

    @property
    def has_result(self) -> bool:
        """Whether it has ended, and not because a worker has."""
        if self.future is None or not self.future.done() or self.future.cancelled():
            return False
        return not isinstance(self.future.exception(), BrokenExecutor)

    def submit(self, executor: Executor) -> None:
        """Submit it, unless it has a result or is in progress."""
        if self.future is None:
            try:
                self.future = executor.submit(self.fn, *self.args)
            except BrokenExecutor as error:
                self.future = Future()
                self.future.set_exception(error)


class Watched(Executor):
    """Passes work to another executor, and counts the finished pieces in a progress bar.

    The bar shows the remaining time, from the mean speed. After `plan` it counts stages, and the
    finished pieces of a stage; the number of its other pieces is unknown.
    """

    def __init__(self, executor: Any, label: str, unit: str, quiet: bool = False) -> None:
        self.executor = executor
        self.label, self.unit = label, unit
        self.stages: list[str] | None = None
        self.pieces = 0
        # None: a bar on a terminal only, not in a log. In a notebook there is no terminal.
        style = {"leave": False, "bar_format": BAR, "smoothing": 0}
        disable = quiet or (False if in_notebook() else None)
        self.bar = tqdm(desc=label, unit=unit, disable=disable, **style)

    @property
    def ahead(self) -> int:
        """Number of pieces in progress: some for each worker, so that none waits for the next."""
        return 1 if isinstance(self.executor, Inline) else 4 * self.n_workers

    @property
    def n_workers(self) -> int:
        """Number of workers, at least 1."""
        return 1 if isinstance(self.executor, Inline) else self.executor.n_workers

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
        return self.executor.submit(fn, *args, **kwargs)

    def map(
        self, fn: Callable, *iterables: Any, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator:
        """As `results`, with the arguments of ``map``."""
        work = list(zip(*iterables, strict=False))
        yield from self.results(fn, work, [1] * len(work))

    def results(
        self,
        fn: Callable,
        work: Iterable[tuple],
        sizes: Sequence[int],
        ahead: int | None = None,
    ) -> Iterator:
        """Results in order, with a limited number of pieces in progress, which limits the memory.

        When it ends, for any reason, no piece is in progress any more, so that files they wrote
        to can be removed. An interrupt ends the workers at once.

        Parameters
        ----------
        fn : callable
            Function.
        work : iterable of tuple
            Its arguments for each piece.
        sizes : sequence of int
            Size of each piece in the progress bar.
        ahead : int, optional
            Number of pieces in progress, by default `ahead`.
        """
        if self.stages is None:
            self.bar.total = (self.bar.total or 0) + sum(sizes)
            self.bar.refresh()
        rest = (Task(fn, args, size) for args, size in zip(work, sizes, strict=True))
        pending = deque[Task]()
        try:
            while True:
                heed_interrupts()
                pending.extend(islice(rest, max(0, (ahead or self.ahead) - len(pending))))
                for task in pending:
                    task.submit(self.executor)
                if not pending:
                    return
                yield self._result(pending)
                self._count(pending.popleft().size)
        finally:
            if not end_interrupted_workers():
                futures = [task.future for task in pending if task.future is not None]
                for future in futures:
                    future.cancel()
                wait(futures)

    def _result(self, pending):
        """The result of the first task. If a worker ended, it is done again, at first alone."""
        first = pending[0]
        for _ in range(ATTEMPTS):
            try:
                return first.future.result()
            except Exception as error:
                heed_interrupts()
                if isinstance(self.executor, DaskExecutor):
                    raise self.executor.explain(error) from error
                if not (isinstance(error, BrokenExecutor) and isinstance(self.executor, LocalPool)):
                    raise
                self.executor.renew()
                for task in pending:
                    task.future = task.future if task.has_result else None
                first.submit(self.executor)
        raise BrokenExecutor(
            f"{str(first.args[0])[:80]}: got {ATTEMPTS} processes that ended without a result, "
            "expected one with a result; were they killed for lack of memory? use fewer processes "
            "(--jobs)"
        )

    def _count(self, size):
        """A piece of work is finished."""
        if self.stages is None:
            self.bar.update(size)
        else:
            self.pieces += 1
            self.bar.set_postfix_str(f"{self.pieces}{self.unit}", refresh=False)
            self.bar.update(0)


@contextmanager
def workers(
    jobs: int | None = None,
    label: str = "",
    unit: str = " runs",
    quiet: bool = False,
    cluster: str = "local",
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
    cluster : str
        ``local``: this machine; others see `simbg.parallel.clusters.cluster_executor`.

    Yields
    ------
    Executor
        It is shut down at the end.
    """
    with interrupts_noted(), _executor(cluster, jobs) as executor:
        watched = Watched(executor, label, unit, quiet)
        try:
            yield watched
            heed_interrupts()
        finally:
            watched.bar.close()
            end_interrupted_workers()


@contextmanager
def _executor(cluster, jobs):
    """The executor of this machine or of a cluster, which is shut down at the end."""
    if cluster != "local":
        with cluster_executor(cluster, jobs) as executor:
            yield executor
        return
    jobs = jobs or n_cores()
    executor = Inline() if jobs == 1 else LocalPool(jobs)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def in_notebook() -> bool:
    """Whether the progress bar is that of a notebook."""
    return any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)


def announce(executor: Executor | None, stage: str) -> None:
    """Tell an executor with a progress bar that a stage begins; other executors ignore it."""
    if isinstance(executor, Watched):
        executor.enter(stage)
