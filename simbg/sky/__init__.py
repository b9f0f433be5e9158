"""Directions on the sky and in the field of view: the Earth, pointings, and regions of the sky."""

__all__ = []
