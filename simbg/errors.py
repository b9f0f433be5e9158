"""Errors in words: what a table, a log and a terminal can hold."""

from __future__ import annotations

__all__ = ["in_one_line"]


def in_one_line(error):
    """Kind and message of an exception.

    Examples
    --------
    >>> in_one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())
