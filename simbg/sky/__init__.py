"""Where a run looks: the Earth, pointings, and regions of the sky."""

__all__ = []
