"""`histogram`: counts ÷ livetime ÷ bin volume, with nothing else done to them."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simbg.cube import BackgroundCube
from simbg.exposure import stack_observations

__all__ = ["Histogram"]


@dataclass(frozen=True)
class Histogram:
    """The maximum-likelihood estimate of each bin by itself: unbiased, and as noisy as can be.

    The bin that holds a run's energy threshold is left out for that run, exposure
    and events, so a partly exposed bin does not pull the rate down. Bins without
    exposure are NaN. The standard error is √counts ÷ exposure ÷ volume: zero where
    nothing was counted, which is the estimate of a variance and not a limit.
    """

    executor: Executor | None = None
    name = "histogram"
    partial_bin = False

    def reconstruct(self, observations, axes):
        """Rate per livetime over exact solid angles, in s-1 MeV-1 sr-1."""
        return self.estimate(
            stack_observations(observations, axes, self.partial_bin, self.executor)
        )

    def estimate(self, stack):
        """The cube of some counts and exposures."""
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
