"""Pieces of work on runs, and the sum of their results, which depend on the runs only.

The same runs are always divided in the same way, and their results are added in the same order. So
the sum is the same to the last bit for any number of processes on any machines.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

from simbg.parallel.executors import Watched
from simbg.parallel.kept import KEPT

__all__ = ["added_up", "in_pieces", "piece_size"]

T = TypeVar("T")

# Largest number of runs in a piece, and of terms in a sum. Fewer than 64 × 64 runs have smaller
# pieces, so that there is work for several processes.
LARGEST = 64


class Piece(list):
    """Some runs that follow each other."""

    def __str__(self) -> str:
        numbers = [getattr(run, "obs_id", None) or run["OBS_ID"] for run in (self[0], self[-1])]
        return f"run {numbers[0]}" if len(self) == 1 else f"runs {numbers[0]} to {numbers[1]}"


def in_pieces(
    job: Callable[[list], T], runs: Iterable[Any], executor: Executor | None = None
) -> Iterator[T]:
    """Divide runs into pieces, and return the result of each piece, in order.

    Parameters
    ----------
    job : callable
        Gets a list of runs.
    runs : iterable
        Observations, or rows of a table as dictionaries.
    executor : concurrent.futures.Executor, optional
        Works on pieces in parallel.

    Examples
    --------
    >>> list(in_pieces(len, [{"OBS_ID": number} for number in range(130)]))[-2:]
    [3, 1]
    """
    runs = list(runs)
    size = piece_size(len(runs))
    pieces = [Piece(runs[first : first + size]) for first in range(0, len(runs), size)]

    def work(pieces):
        if isinstance(executor, Watched):
            return executor.results(job, [(piece,) for piece in pieces], list(map(len, pieces)))
        return iter((executor.map if executor else map)(job, pieces))

    kept = KEPT.get()
    return kept.results(job, pieces, work) if kept else work(pieces)


def piece_size(n_runs: int) -> int:
    """Number of runs in each piece but the last.

    Parameters
    ----------
    n_runs : int
        Number of all runs.
    """
    return min(LARGEST, -(-n_runs // LARGEST) or 1)


def added_up(results: Iterable[T], add: Callable[[T, T], T]) -> T:
    """The sum of results in a fixed order; memory does not grow with their number.

    The sums of 64 results are added in the same way, 64 of them at a time.

    Parameters
    ----------
    results : iterable
        One or more.
    add : callable
        Returns the sum of two; it may change the first of them.

    Examples
    --------
    >>> added_up(range(65), lambda a, b: a + b)
    2080
    """
    sums: list[list[Any]] = []  # of each level: number of terms, and their sum
    for result in results:
        _add_to(sums, 0, result, add)
    total, *others = [one for number, one in reversed(sums) if number]
    for other in others:
        total = add(total, other)
    return total


def _add_to(sums, level, result, add):
    if level == len(sums):
        sums.append([0, None])
    number, total = sums[level]
    total = add(total, result) if number else result
    sums[level] = [number + 1, total]
    if number + 1 == LARGEST:
        sums[level] = [0, None]
        _add_to(sums, level + 1, total, add)
