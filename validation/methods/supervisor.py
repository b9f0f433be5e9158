"""A small process that runs a method or a command, limits its memory, and ends what it starts.

It is run as a script, without any other module of simbg. It ends when its standard input is
closed, that is when the process that started it has ended for any reason. Processes that its child
leaves behind, in any session, become its own children (on Linux).
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["adopt_orphans", "child_processes", "end_processes"]

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 5.0  # s, in which processes that were killed end


def main(memory: int, words: Sequence[str]) -> None:
    """Run a command, and print facts on it as JSON.

    Parameters
    ----------
    memory : int
        Largest memory of a process, bytes.
    words : sequence of str
        The command.
    """
    adopt_orphans(True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Memory that is reserved and never used does not count as data.
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start, none = time.perf_counter(), subprocess.DEVNULL
    code = subprocess.call(words, stdin=none, stdout=none)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    end_processes(child_processes)
    megabytes = used / (1e6 if sys.platform == "darwin" else 1e3)
    print(json.dumps({"code": code, "seconds": seconds, "megabytes": megabytes}))


def end_with_parent() -> None:
    """End all processes when the standard input is closed."""
    os.read(0, 1)
    end_processes(child_processes)
    os.killpg(0, signal.SIGKILL)


def adopt_orphans(active: bool) -> None:
    """Whether processes that are left behind become children of this one (on Linux)."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(active), 0, 0, 0)


def child_processes() -> set[int]:
    """Numbers of the child processes of this one; none on a system without /proc."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(path.parent.name))
    return found


def end_processes(children: Callable[[], set[int]]) -> None:
    """Kill child processes until there are none: their own children become children of this one.

    Parameters
    ----------
    children : callable
        The numbers of the processes to end.
    """
    end = time.monotonic() + PATIENCE
    while (found := children()) and time.monotonic() < end:
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with suppress(OSError):
                os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
