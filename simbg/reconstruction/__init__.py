"""Methods that make a background cube from observations, blind to the truth."""

__all__ = []
