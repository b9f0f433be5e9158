"""Cross-validation: models of real runs, tested with runs from which they were not made."""

__all__ = []
