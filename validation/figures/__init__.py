"""Figures of cubes, comparisons and the suite, in one style."""

__all__ = []
