"""Models of real runs, tested on runs that they have not seen."""

__all__ = []
