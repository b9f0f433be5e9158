"""True background rates and gamma-ray sources: density, exact integrals, sampling."""

__all__ = []
