"""The command lines."""

import os
import signal
import sys

__all__ = ["one_thread", "start"]

# Each process has a core of its own: threads of several processes wait for each other.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread() -> None:
    """Let linear algebra use one thread, unless the user chose; call it before numpy is loaded."""
    for name in THREADS:
        os.environ.setdefault(name, "1")


def start() -> None:
    """The console script ``simbg``: Ctrl-C ends it in one line from its first module on."""
    one_thread()
    try:
        from simbg.cli.main import main

        main()
    except KeyboardInterrupt:
        print("simbg: interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        # Python would print an interrupt that comes while it exits.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
