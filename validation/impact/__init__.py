"""What the error of a background model does to an analysis: fluxes of sources, and false sources."""

__all__ = []
