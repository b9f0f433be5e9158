"""What the error of a background model does to an analysis: fluxes, and false sources."""

__all__ = []
