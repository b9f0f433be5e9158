"""Methods that estimate a background cube from observations, without access to the truth."""

__all__ = ["DEFAULT_METHOD"]

# The method of commands and functions to which none is given.
DEFAULT_METHOD = "spline"
