"""A radial model: counts ÷ livetime ÷ bin volume in rings about the pointing."""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from simbg.observations.observation import Observation
from simbg.observations.rings import stack_rings
from simbg.observations.threshold import resolve
from simbg.radial import RadialModel

__all__ = ["reconstruct_radial"]


def reconstruct_radial(
    observations: Sequence[Observation],
    energy: np.ndarray,
    offset: np.ndarray,
    executor: Executor | None = None,
) -> RadialModel:
    """The rate in energy bins and rings, as `simbg.reconstruction.histogram.Histogram` has it.

    Parameters
    ----------
    observations : sequence of Observation
        The observations.
    energy, offset : ndarray
        Edges, TeV and deg.
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.

    Returns
    -------
    RadialModel
        Per livetime, with errors, counts and exposure; NaN in rings without exposure.

    Notes
    -----
    The rate is n / (t V) with counts n, livetime t and V = ΔE · 2π Δ(cos θ). The livetime of a ring
    is reduced by the part of its solid angle and time that is masked.
    """
    stack = resolve(stack_rings(observations, energy, offset, "partial", executor))
    exposure = np.where(stack.livetime > 0, stack.livetime, np.nan) * stack.axes.volume
    return RadialModel(
        energy,
        offset,
        (stack.counts / exposure)[..., 0],
        (np.sqrt(stack.counts) / exposure)[..., 0],
        stack.counts[..., 0],
        stack.livetime[..., 0],
        stack.ontime[..., 0],
        meta={"METHOD": "radial", "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected},
    )
