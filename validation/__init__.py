"""The validation suite: true against rebuilt cubes, with known false-alarm rates."""

__all__ = []
