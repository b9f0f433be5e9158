"""`histogram`: counts ÷ livetime ÷ bin volume, with nothing else done to them."""

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.exposure import stack_observations
from simbg.observations.threshold import resolve

__all__ = ["Histogram"]


@dataclass(frozen=True)
class Histogram:
    """The maximum-likelihood estimate of each bin by itself: unbiased, and as noisy as can be.

    The bin that holds a run's energy threshold has the exposure of its part above, by
    the spectrum of the bins above it. Bins without exposure are NaN. The standard error
    is √counts ÷ exposure ÷ volume: zero where nothing was counted, which is the
    estimate of a variance and not a limit.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> from simbg.observations.observation import Events, Observation
    >>> axes = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])
    >>> events = Events(np.array([0.2, 2.0, 3.0]), np.zeros(3), np.zeros(3))
    >>> run = Observation.in_memory(events, obs_id=1, livetime=900.0, ontime=1000.0)
    >>> cube = Histogram().reconstruct([run], axes)
    >>> float(round(cube.total * 900, 9))
    3.0
    """

    executor: Executor | None = None
    name = "histogram"
    threshold_bin = "partial"

    def reconstruct(self, observations, axes):
        """Rate per livetime over exact solid angles, in s-1 MeV-1 sr-1."""
        stack = stack_observations(observations, axes, self.threshold_bin, self.executor)
        return self.estimate(stack)

    def estimate(self, stack):
        """The cube of some counts and exposures."""
        stack = resolve(stack)
        exposure = np.where(stack.livetime > 0, stack.livetime, np.nan) * stack.axes.volume
        return BackgroundCube(
            stack.axes,
            stack.counts / exposure,
            rate_error=np.sqrt(stack.counts) / exposure,
            counts=stack.counts,
            livetime=stack.livetime,
            ontime=stack.ontime,
            meta={"METHOD": self.name, "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected},
        )
