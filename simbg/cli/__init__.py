"""The command lines."""

import signal
import sys

__all__ = ["start"]


def start() -> None:
    """The console script ``simbg``: Ctrl-C ends it in one line from its first module on."""
    try:
        from simbg.cli.main import main

        main()
    except KeyboardInterrupt:
        print("simbg: interrupted; nothing was left half-written", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        # Python would print an interrupt that comes while it exits.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
