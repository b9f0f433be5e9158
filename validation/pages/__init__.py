"""Pages: the report of a run, its summary, and the page of a comparison."""

__all__ = []
