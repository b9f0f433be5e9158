"""Metrics: pure functions of a true and a reconstructed cube."""

__all__ = []
