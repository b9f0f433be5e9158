"""Faults at each step of writing: a process that is killed there, a system without a function.

The steps are audit events of Python (PEP 578), so they do not depend on how a file is written.
"""

import errno
import os
import signal
import sys
from contextlib import contextmanager

__all__ = ["interrupted_at_step", "killed_at_step", "without_exchange"]

STEPS = {
    *("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"),
    *("simbg.exchange", "shutil.rmtree"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What is done at an event; a hook can never be removed, so there is one.
ACTIVE, INSTALLED = [], []


def hook(event, arguments):
    for act in tuple(ACTIVE):
        act(event, arguments)


@contextmanager
def at_events(act):
    """Call a function at each audit event: with its name and its arguments."""
    if not INSTALLED:
        sys.addaudithook(hook)
        INSTALLED.append(hook)
    ACTIVE.append(act)
    try:
        yield
    finally:
        ACTIVE.remove(act)


def without_exchange():
    """A system that cannot exchange two folders in one step."""

    def refuse(event, _):
        if event == "simbg.exchange":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    return at_events(refuse)


def at_step(number, act):
    """Call a function just before this step of writing; the steps count from 0."""
    count = iter(range(-number, 1 << 62))

    def look(event, arguments):
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if (event in STEPS or writes) and next(count) == 0:
            act()

    return at_events(look)


def interrupted_at_step(number, function):
    """Call a function, with Ctrl-C just before this step of writing; True if it was interrupted."""
    try:
        with at_step(number, lambda: signal.raise_signal(signal.SIGINT)):
            function()
    except KeyboardInterrupt:
        return True
    return False


def killed_at_step(number, function):
    """Call a function in a fork that is killed just before this step of writing; True if it was.

    An error in the function is an error here.
    """
    pid = os.fork()
    if pid == 0:
        try:
            with at_step(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                function()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0
