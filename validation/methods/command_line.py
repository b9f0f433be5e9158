"""Command line of this process, as other processes see it."""

from contextlib import suppress
from pathlib import Path

__all__ = ["hide_arguments"]


def hide_arguments(*commands: str) -> None:
    """Hide the arguments of this process from other processes, on Linux.

    A method could otherwise read the scenarios and the seed. Processes that started this one, for
    example a shell, may still show them.

    Parameters
    ----------
    *commands : str
        The words after the first of these are hidden. Nothing is hidden without them.

    Notes
    -----
    /proc/PID/cmdline is a part of the memory of a process; see proc(5) for its address.
    """
    with suppress(OSError, ValueError, IndexError):
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
        last = min(words.index(c.encode()) for c in commands if c.encode() in words)
        # Fields after the name of the program, which may contain blanks; the first is field 3.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[number - 3]) for number in (48, 49))
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(b"\0".join(words[: last + 1]).ljust(end - start, b"\0"))
