"""From the runs of a data store to files of background models."""

__all__ = []
