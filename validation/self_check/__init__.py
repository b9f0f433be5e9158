"""The self-check: planted defects are detected, and clean runs have no excess of false alarms."""

__all__ = []
