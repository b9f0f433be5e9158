"""Scenarios, schedules of runs, and the events and expected counts of the runs."""

__all__ = ["NAMES"]

# Names of the scenarios of the library, for a shell that completes them: loading the library takes
# most of the time.
NAMES = (
    *("seed-2015", "realistic", "night", "threshold-bin", "ring", "curved", "gradient"),
    *("dead-camera", "zenith", "rolling-threshold", "run-scatter", "source", "source-ignored"),
    *("mask-too-small", "near-zenith", "drift", "broken-runs"),
)
