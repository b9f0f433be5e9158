"""The validation suite: true and reconstructed cubes are compared with known false-alarm rates."""

__all__ = []
