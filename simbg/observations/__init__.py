"""Observations and their events: groups, exposure, energy thresholds, excluded regions."""

__all__ = []
