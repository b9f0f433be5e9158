"""Background models: from the runs of a data store to files."""

__all__ = []
