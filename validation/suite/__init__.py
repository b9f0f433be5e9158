"""The suite: every scenario with every method, and criteria for the results."""

__all__ = []
