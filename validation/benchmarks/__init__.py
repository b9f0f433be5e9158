"""Benchmarks of speed and memory."""

__all__ = []
