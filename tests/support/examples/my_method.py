"""A method that uses simbg's own parts: they apply thresholds, dead times and masks."""

from simbg import BackgroundCube, stack_observations


class MyMethod:
    name = "mine"

    def reconstruct(self, observations, axes):
        stack = stack_observations(observations, axes)
        rate = stack.counts / (stack.livetime * axes.volume)
        return BackgroundCube(
            axes, rate, counts=stack.counts, livetime=stack.livetime, ontime=stack.ontime
        )
