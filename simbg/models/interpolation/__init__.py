"""Rates for programs that interpolate the logarithm of the rate between bin centres, as gammapy."""

__all__ = []
