"""Scenarios, schedules, and the events and expected counts of their runs."""

__all__ = []
