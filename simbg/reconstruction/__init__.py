"""Methods that estimate a background cube from observations, without access to the truth."""

__all__ = []
