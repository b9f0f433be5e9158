"""Runs and their events: groups, exposure, energy thresholds, masks."""

__all__ = []
