"""`default` and `michi`: the two methods of gammapy in 2015, faithful to their faults.

Faithful means: the bin that holds a run's threshold gets the whole livetime,
solid angles are flat, borders reflect, and empty bins get a level of 1e-10.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simbg.axes import MEV_PER_TEV, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import stack_observations

__all__ = ["Default", "Michi", "smooth", "smoothing_variance"]

# ROOT's TH2::Smooth kernel of the name.
K5A = np.array(
    [[0, 0, 1, 0, 0], [0, 2, 2, 2, 0], [1, 2, 5, 2, 1], [0, 2, 2, 2, 0], [0, 0, 1, 0, 0]], float
)
# The value that stands for "nothing seen", in the unit each method worked in.
LEVEL = 1e-10


@dataclass(frozen=True)
class Default:
    """2015's `default`: smooth the counts, then ÷ livetime ÷ volume; level per TeV."""

    executor: Executor | None = None
    name = "default"
    threshold_bin = "whole"

    def reconstruct(self, observations, axes):
        """Rate per livetime over flat solid angles, in s-1 MeV-1 sr-1."""
        stack = stack_observations(observations, axes, self.threshold_bin, self.executor)
        return self.estimate(stack)

    def estimate(self, stack):
        """The cube of some counts and exposures."""
        passes = n_passes(stack.counts.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            exposure = _smoothed_livetime(stack, passes) * stack.axes.flat_volume
            rate = smooth(stack.counts, stack.axes, passes) / exposure
            error = np.sqrt(smoothing_variance(stack.counts, passes)) / exposure
        return _cube(self, stack, rate, error, LEVEL / MEV_PER_TEV)


@dataclass(frozen=True)
class Michi:
    """2015's `michi` (Mayer 2015): ÷ livetime, then smooth, then ÷ volume; level per MeV."""

    executor: Executor | None = None
    name = "michi"
    threshold_bin = "whole"

    def default_axes(self, observations):
        """2015's binning from the lowest threshold of the group on; 0.1 TeV where none is known."""
        thresholds = [obs.energy_threshold for obs in observations]
        return edition2015_axes(len(thresholds), energy_min=min(thresholds) or 0.1)

    reconstruct = Default.reconstruct

    def estimate(self, stack):
        """The cube of some counts and exposures."""
        passes = n_passes(stack.counts.sum())
        whole = stack.livetime.max(axis=(1, 2), keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = smooth(stack.counts / whole, stack.axes, passes)
            error = np.sqrt(smoothing_variance(stack.counts / whole**2, passes))
            seen = _smoothed_livetime(stack, passes) / whole
            rate, error = rate / seen, error / seen
        volume = stack.axes.flat_volume
        return _cube(self, stack, rate / volume, error / volume, LEVEL)


def _smoothed_livetime(stack, passes):
    """Livetime of the smoothed counts: 2015's where it is the same all over an image.

    Excluded regions, which 2015 did not have, make it differ; then it is smoothed as counts are.
    """
    images = stack.livetime
    same = (images == images[:, :1, :1]).all(axis=(1, 2), keepdims=True)
    return (
        images
        if same.all()
        else np.where(same, images, _convolved(images, K5A / K5A.sum(), passes))
    )


def n_passes(n_counts):
    """How often 2015 smoothed, from the counts in the whole cube."""
    return 3 if n_counts >= 1e6 else 4 if n_counts >= 1e5 else 5


def smooth(cube, axes, passes):
    """Convolve each energy image with K5A, reflecting at the borders, and keep its integral.

    An image that sums to zero becomes NaN, as 0 ÷ 0 does.
    """
    smoothed = _convolved(np.asarray(cube, dtype=float), K5A, passes)
    area = axes.flat_solid_angle
    before, after = ((image * area).sum(axis=(1, 2)) for image in (cube, smoothed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return smoothed * (before / after)[:, None, None]


def _convolved(images, kernel, passes):
    from scipy import ndimage  # here, since other methods do without: it takes a third of a second

    for _ in range(passes):
        images = ndimage.convolve(images, kernel[None], mode="reflect")
    return images


def smoothing_variance(variance, passes):
    """Variance of the smoothed bins, Σ_j S_ij² var_j, from that of independent bins.

    S is what `smooth` multiplies an image with: over pixels of equal area the
    reflecting kernel keeps sums, so scaling back the integral is ÷ 25 a pass
    and S is linear. With counts for ``variance`` the estimate is unbiased.
    """
    shape = variance.shape
    squared = _squared_operator(shape[1:], passes)
    return (squared @ variance.reshape(shape[0], -1).T).T.reshape(shape)


@lru_cache(maxsize=8)
def _squared_operator(shape, passes):
    """S∘S of an image shape, sparse (n_pixel, n_pixel)."""
    from scipy import sparse  # here, as above

    size, offsets = np.prod(shape), np.argwhere(K5A)
    padded = np.pad(np.arange(size).reshape(shape), 2, mode="symmetric")
    columns = [padded[i : i + shape[0], j : j + shape[1]].ravel() for i, j in offsets]
    places = np.tile(np.arange(size), len(offsets)), np.concatenate(columns)
    weights = np.repeat(K5A[K5A > 0] / K5A.sum(), size)
    once = sparse.csr_array((weights, places), shape=(size, size))
    operator = once
    for _ in range(passes - 1):
        operator = operator @ once
    return operator.multiply(operator).tocsr()


def _cube(method, stack, rate, error, level):
    """Put values below the level, and NaN, on it; a pixel that is wholly excluded has no rate."""
    exposed = stack.livetime > 0
    excluded = ~exposed & exposed.any(axis=(1, 2), keepdims=True)
    rate = np.where(excluded, np.nan, np.where(rate >= level, rate, level))
    error = np.where(excluded, np.nan, np.nan_to_num(error, posinf=0.0))
    meta = {"METHOD": method.name, "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected}
    exposure = {"livetime": stack.livetime, "ontime": stack.ontime}
    return BackgroundCube(stack.axes, rate, error, stack.counts, **exposure, meta=meta)
