"""Scenarios, schedules of runs, and the events and expected counts of the runs."""

__all__ = []
