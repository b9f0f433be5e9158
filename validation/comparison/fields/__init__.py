"""Rates inside of bins: averages over bins from values at centres, and rotated fields."""

__all__ = []
