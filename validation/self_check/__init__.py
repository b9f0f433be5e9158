"""The self-check: planted defects are found, and clean runs raise no alarm."""

__all__ = []
