"""Files: data stores, background models and regions, converted to the axis order of simbg."""

__all__ = []
