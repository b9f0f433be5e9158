"""The report of a run of the suite: its page, its other files, and its output on a terminal."""

__all__ = []
