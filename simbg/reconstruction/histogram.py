"""`histogram`: counts ÷ livetime ÷ bin volume, without smoothing or a model."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts, stack_observations
from simbg.observations.observation import Observation
from simbg.observations.threshold import resolve

__all__ = ["Histogram"]


@dataclass(frozen=True)
class Histogram:
    """The maximum-likelihood estimate of each bin by itself: unbiased, but with the largest noise.

    The bin that contains a run's energy threshold has the exposure of its part above the threshold,
    from the spectrum of the bins above it. So the rate above the threshold is taken for the whole
    bin, and its error as well: it does not include the uncertainty of this spectrum. Bins without
    exposure are NaN.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.

    Notes
    -----
    The rate is n / (t V) with counts n, livetime t and bin volume V (MeV sr), and its standard
    error √n / (t V), the square root of the estimated Poisson variance. An exposed bin without
    events has the rate 0 and the error 0, which is not an upper limit.

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
    linear = True

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate per livetime, s-1 MeV-1 sr-1, with exact solid angles."""
        stack = stack_observations(observations, axes, self.threshold_bin, self.executor)
        return self.estimate(stack)

    def estimate(self, stack: StackedCounts) -> BackgroundCube:
        """The cube of a stack of counts and exposure."""
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
            made_from=stack.made_from,
        )
