"""Processes that are interrupted as by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

__all__ = ["HEED", "interrupt"]

# Whoever starts the tests in the background has them ignore interrupts, and their children do.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def interrupt(program, ready, cwd, timeout=60):
    """Start a process, interrupt it and its children when it is ready: code, error, seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HEED}; {program}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + timeout
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, err.strip("\n"), time.monotonic() - start
