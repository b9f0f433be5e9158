"""A method that uses simbg's own parts: they apply thresholds, dead times and masks."""

import numpy as np

from simbg import BackgroundCube, stack_observations


class MyMethod:
    name = "mine"

    def reconstruct(self, observations, axes):
        stack = stack_observations(observations, axes)
        livetime = np.where(stack.livetime > 0, stack.livetime, np.nan)  # no exposure: no rate
        rate, error = (n / (livetime * axes.volume) for n in (stack.counts, np.sqrt(stack.counts)))
        return BackgroundCube(axes, rate, error, stack.counts, stack.livetime, stack.ontime)
