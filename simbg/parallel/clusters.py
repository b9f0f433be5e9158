"""Executors of clusters: Dask, on this machine or of a scheduler, and MPI.

They are optional: the extras `dask` and `mpi` install them, and a command imports one of them
when it is used.
"""

import logging
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from simbg.parallel.interrupts import INTERRUPTS, begin_worker
from simbg.parallel.local import n_cores

__all__ = ["mpi_ranks"]

ADDRESSES = "tcp://", "tls://"
# s; a scheduler that does not answer in this time is not there.
PATIENCE = 8
# Packages on which the bytes of a result can depend.
PACKAGES = ("simbg", "numpy", "scipy", "astropy", "pyerfa", "boost-histogram", "shapely")
# Packages of which the versions of a Dask cluster must agree.
DASK = ("dask", "distributed", "msgpack", "cloudpickle")
LOGGERS = "distributed", "distributed.client"
# The executor of the ranks of this command.
RANKS: list[Any] = []


class DaskExecutor(Executor):
    """Works on a Dask cluster, which does the pieces of dead workers again.

    Parameters
    ----------
    client : distributed.Client
        Client of the cluster.
    where : str
        What the user gave for the option ``--cluster``, for messages.
    """

    def __init__(self, client: Any, where: str) -> None:
        self.client, self.where = client, where
        self.executor = client.get_executor(pure=False)

    @property
    def n_workers(self) -> int:
        """Number of workers at this moment, at least 1."""
        return max(1, self.client.scheduler_info().get("n_workers", 1))

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work to the scheduler."""
        return self.executor.submit(partial(_in_worker, versions(), fn), *args, **kwargs)

    def explain(self, error: BaseException) -> BaseException:
        """What to raise for an error of a future: one line for an error of the cluster.

        Parameters
        ----------
        error : BaseException
            What the future has raised.
        """
        if type(error).__name__ == "KilledWorker":
            got = "workers that ended without a result, expected one with a result; were they "
            return BrokenExecutor(f"--cluster {self.where}: got {got} killed for lack of memory?")
        if isinstance(error, CancelledError):
            return BrokenExecutor(
                f"--cluster {self.where}: got no connection to the scheduler any more, expected "
                "one until the end"
            )
        if isinstance(error, ModuleNotFoundError):
            return BrokenExecutor(
                f"--cluster {self.where}: got workers without the module {error.name}, expected "
                "the same packages as here"
            )
        return error


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which a result can depend."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _in_worker(expected, fn, *args, **kwargs):
    """Work in a worker of Dask, which may have started after the first check."""
    from distributed import get_worker

    worker = get_worker()
    if (n_threads := worker.state.nthreads) != 1:
        raise BrokenExecutor(
            f"worker {worker.address}: got {n_threads} threads, expected 1: the worker needs the "
            "option --nthreads 1"
        )
    _check_versions(f"worker {worker.address}", versions(), expected)
    return fn(*args, **kwargs)


def _check_versions(who, got, expected):
    for name in expected:
        if got.get(name) != expected[name]:
            raise BrokenExecutor(
                f"{who}: got {name} {got.get(name, '(none)')}, expected {expected[name]} as here"
            )


def _import(module: str, extra: str) -> Any:
    """A module of an extra; an error of one line if it is not installed."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # without its library, mpi4py raises the latter
        reason = " ".join(str(error).split())
        raise ValueError(
            f"--cluster {extra}: got no usable module {module} ({reason}), expected it: "
            f"`pip install '.[{extra}]'` in a clone of simbg"
        ) from error


@contextmanager
def cluster_executor(where: str, jobs: int | None = None) -> Iterator[Executor]:
    """The executor of a cluster.

    Parameters
    ----------
    where : str
        ``dask``, ``mpi``, or the address of a Dask scheduler, ``tcp://...`` or ``tls://...``.
    jobs : int, optional
        Number of processes of ``dask``.
    """
    if jobs is not None and where != "dask":
        raise ValueError(
            f"--jobs: got {jobs} with --cluster {where}, expected no number: the cluster has it"
        )
    if where == "mpi":
        if not RANKS:
            raise ValueError(
                "--cluster mpi: got one process, expected several that mpiexec starts: mpiexec -n "
                "3 simbg reconstruct store models --cluster mpi"
            )
        try:
            yield RANKS[0]
        finally:
            if INTERRUPTS:
                RANKS[0].cancel()
    elif where == "dask":
        with _local_cluster(jobs or n_cores()) as cluster, _client(cluster, where) as executor:
            yield executor
    else:
        _check_address(where)
        with _client(where, where) as executor:
            yield executor


def _check_address(where):
    """Refuse an address for which Dask would raise errors of several lines."""
    try:
        address = urlsplit(where)
        complete = address.hostname and address.port
    except ValueError:
        complete = False
    if not (where.startswith(ADDRESSES) and complete):
        raise ValueError(
            f"--cluster: got {where!r}, expected local, dask, mpi, or the address of a Dask "
            "scheduler, tcp://HOST:PORT or tls://HOST:PORT"
        )
    security = _distributed().Security() if where.startswith("tls") else None
    if security and not security.get_connection_args("client").get("ssl_context"):
        raise ValueError(
            f"--cluster {where}: got no certificates, expected them in the settings "
            "distributed.comm.tls of Dask"
        )


@contextmanager
def _local_cluster(jobs):
    with _distributed().LocalCluster(
        n_workers=jobs,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


def _distributed():
    """The module, which logs to the terminal unless its configuration says otherwise."""
    quiet: dict[str, Any] = {"logging": dict.fromkeys(LOGGERS, "critical")}
    quiet["distributed.admin.large-graph-warning-threshold"] = "1 GB"
    _import("dask", "dask").config.set(quiet)
    distributed = _import("distributed", "dask")
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


@contextmanager
def _client(cluster, where):
    distributed = _distributed()
    try:
        client = distributed.Client(cluster, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"--cluster {where}: got no answer ({reason}), expected a Dask scheduler"
        ) from error
    with client:
        _check_cluster(client, where)
        yield DaskExecutor(client, where)


def _check_cluster(client, where):
    """Refuse a cluster with other versions, or with several threads in a worker."""
    found = client.get_versions(packages=list(PACKAGES))
    mine = {name: found["client"]["packages"][name] for name in DASK}
    _check_versions(f"--cluster {where}: scheduler", found["scheduler"]["packages"], mine)
    for address, worker in found["workers"].items():
        theirs = worker["packages"]
        theirs["Python"] = ".".join(theirs["python"].split(".")[:2])
        _check_versions(f"--cluster {where}: worker {address}", theirs, mine | versions())
    for address, n_threads in client.nthreads().items():
        if n_threads != 1:
            raise ValueError(
                f"--cluster {where}: got {n_threads} threads in worker {address}, expected 1: the "
                "worker needs the option --nthreads 1"
            )


@contextmanager
def mpi_ranks(arguments: Sequence[str] | None = None) -> Iterator[bool]:
    """With ``--cluster mpi``: rank 0 runs the command, and the other ranks work for it.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line, by default those of this process.

    Yields
    ------
    bool
        Whether this process runs the command. Otherwise it has worked, and the command has ended.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if "--cluster=mpi" not in words and ("--cluster", "mpi") not in pairwise(words):
        yield True
        return
    mpi = _import("mpi4py.MPI", "mpi")
    futures = _import("mpi4py.futures", "mpi")
    if mpi.COMM_WORLD.Get_size() == 1:
        yield True
        return
    if mpi.COMM_WORLD.Get_rank():
        begin_worker()
    with futures.MPICommExecutor(mpi.COMM_WORLD, root=0) as executor:
        if executor is not None:
            RANKS[:] = [MpiExecutor(executor, mpi.COMM_WORLD.Get_size() - 1)]
            yield True
            RANKS.clear()
    if executor is None:
        yield False


class MpiExecutor(Executor):
    """Works on the other ranks of an MPI job. If one of them dies, the job ends.

    Parameters
    ----------
    executor : mpi4py.futures.MPIPoolExecutor
        Executor of the other ranks.
    n_workers : int
        Their number.
    """

    def __init__(self, executor: Any, n_workers: int) -> None:
        self.executor, self.n_workers = executor, n_workers

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit work to the other ranks."""
        return self.executor.submit(fn, *args, **kwargs)

    def cancel(self) -> None:
        """Begin no more work."""
        self.executor.shutdown(wait=False, cancel_futures=True)
