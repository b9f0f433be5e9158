"""A method that leaves half of the events for a test of the model."""

from dataclasses import replace

import numpy as np

from simbg import BackgroundCube, stack_observations

__all__ = ["Half"]


class Half:
    """Twice the counts of the events in every second millisecond, over the exposure."""

    name = "half"
    # The variance is twice that of raw counts; 5 % are left for its measurement.
    promises = {"noise": 2.1}  # noqa: RUF012

    def reconstruct(self, observations, axes):
        """The rate over ``axes``, per second of livetime."""
        stack = stack_observations([half_of(run) for run in observations], axes)
        livetime = np.where(stack.livetime > 0, stack.livetime, np.nan)  # no exposure: no rate
        exposure = livetime * axes.volume
        rate, error = 2 * stack.counts / exposure, 2 * np.sqrt(stack.counts) / exposure
        return BackgroundCube(axes, rate, error, livetime=stack.livetime, ontime=stack.ontime)


def half_of(run):
    """The same observation with the events of even milliseconds."""

    def load():
        events = run.load()
        return events.take(np.floor(1e3 * events.time) % 2 == 0)

    return replace(run, load=load)
