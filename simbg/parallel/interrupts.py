"""Interrupts: Ctrl-C and other signals end a command and its workers in an orderly way."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["end_interrupted_workers", "heed_interrupts", "interrupts_noted"]

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

    Handlers that the user's program has installed, and ignored signals, are unchanged: a script
    that starts a command in the background has it ignore Ctrl-C, and nohup has it ignore SIGHUP.

    Yields
    ------
    list of int
        The numbers of the signals that came.
    """
    main = threading.current_thread() is threading.main_thread()
    ours = {number for number, was in ENDING.items() if main and signal.getsignal(number) == was}
    if not ours:
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
def signals_blocked() -> Iterator[None]:
    """Keep signals until the end: a new process begins with them blocked, see `_begin_worker`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """Ignore Ctrl-C, which is sent to all processes and which the main one handles; end with it."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # SIGHUP under nohup
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
