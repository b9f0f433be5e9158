"""Comparison of two cubes, or of two folders of models."""

__all__ = []
