"""`default` and `michi`: the two methods of gammapy in 2015, with the faults that they had.

As in 2015, the bin that contains a run's threshold gets the whole livetime, solid angles are those
of a plane, images are reflected at their borders, and empty bins get a constant rate of 1e-10.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simbg.axes import MEV_PER_TEV, Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts, stack_observations
from simbg.observations.observation import Observation

__all__ = ["Default", "Michi", "smooth", "smoothing_variance"]

# The kernel "k5a" of ROOT's TH2::Smooth.
K5A = np.array(
    [[0, 0, 1, 0, 0], [0, 2, 2, 2, 0], [1, 2, 5, 2, 1], [0, 2, 2, 2, 0], [0, 0, 1, 0, 0]], float
)
# The rate of empty bins, in the unit that each method used: TeV-1 or MeV-1.
LEVEL = 1e-10


@dataclass(frozen=True)
class Default:
    """`default` of 2015: smoothed counts / livetime / volume; empty bins: 1e-10 per TeV.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.

    Notes
    -----
    The counts are convolved with ROOT's kernel k5a, 3 to 5 times; the error is that of the
    smoothed counts, see `smoothing_variance`.
    """

    executor: Executor | None = None
    name = "default"
    threshold_bin = "whole"
    linear = True

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate per livetime, s-1 MeV-1 sr-1, with solid angles of a plane."""
        stack = stack_observations(observations, axes, self.threshold_bin, self.executor)
        return self.estimate(stack)

    def estimate(self, stack: StackedCounts) -> BackgroundCube:
        """The cube of a stack of counts and exposure."""
        passes = n_passes(stack.counts.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            exposure = _smoothed_livetime(stack, passes) * stack.axes.flat_volume
            rate = smooth(stack.counts, stack.axes, passes) / exposure
            error = np.sqrt(smoothing_variance(stack.counts, passes)) / exposure
        return _cube(self, stack, rate, error, LEVEL / MEV_PER_TEV)


@dataclass(frozen=True)
class Michi:
    """`michi` of 2015 (Mayer): smoothed (counts / livetime) / volume; empty bins: 1e-10 per MeV.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Fills runs in parallel.
    """

    executor: Executor | None = None
    name = "michi"
    threshold_bin = "whole"

    def default_axes(self, observations: Sequence[Observation]) -> Axes:
        """The binning of 2015, from the lowest threshold of the observations (if 0: 0.1 TeV)."""
        thresholds = [obs.energy_threshold for obs in observations]
        return edition2015_axes(len(thresholds), energy_min=min(thresholds) or 0.1)

    reconstruct = Default.reconstruct

    def estimate(self, stack: StackedCounts) -> BackgroundCube:
        """The cube of a stack of counts and exposure."""
        passes = n_passes(stack.counts.sum())
        whole = stack.livetime.max(axis=(1, 2), keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = smooth(stack.counts / whole, stack.axes, passes)
            error = np.sqrt(smoothing_variance(stack.counts / whole**2, passes))
            exposed = _smoothed_livetime(stack, passes) / whole
            rate, error = rate / exposed, error / exposed
        volume = stack.axes.flat_volume
        return _cube(self, stack, rate / volume, error / volume, LEVEL)


def _smoothed_livetime(stack, passes):
    """Livetime by which smoothed counts are divided.

    In an image with one livetime it is this livetime. With excluded regions, which did not exist
    in 2015, the livetime differs between pixels, and is smoothed in the same way as the counts.
    """
    images = stack.livetime
    same = (images == images[:, :1, :1]).all(axis=(1, 2), keepdims=True)
    return (
        images
        if same.all()
        else np.where(same, images, _convolved(images, K5A / K5A.sum(), passes))
    )


def n_passes(n_counts: float) -> int:
    """Number of convolutions in 2015, from the counts in the whole cube."""
    return 3 if n_counts >= 1e6 else 4 if n_counts >= 1e5 else 5


def smooth(cube: np.ndarray, axes: Axes, passes: int) -> np.ndarray:
    """Convolve each energy image with K5A, reflecting at the borders, and preserve its integral.

    Parameters
    ----------
    cube : ndarray, shape of ``axes``
        Images to smooth.
    axes : Axes
        Axes of the cube.
    passes : int
        Number of convolutions.

    Returns
    -------
    ndarray, shape of ``axes``
        Smoothed images; an image with the sum 0 becomes NaN.
    """
    smoothed = _convolved(np.asarray(cube, dtype=float), K5A, passes)
    area = axes.flat_solid_angle
    before, after = ((image * area).sum(axis=(1, 2)) for image in (cube, smoothed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return smoothed * (before / after)[:, None, None]


def _convolved(images, kernel, passes):
    from scipy import ndimage  # imported here (a third of a second): other methods do not need it

    for _ in range(passes):
        images = ndimage.convolve(images, kernel[None], mode="reflect")
    return images


def smoothing_variance(variance: np.ndarray, passes: int) -> np.ndarray:
    """Variance of smoothed bins from that of independent bins.

    Parameters
    ----------
    variance : ndarray, shape (n_energy, n_fov_lon, n_fov_lat)
        Variance of each bin before smoothing. With the counts, the estimate is unbiased.
    passes : int
        Number of convolutions.

    Returns
    -------
    ndarray, shape (n_energy, n_fov_lon, n_fov_lat)
        Σ_j S_ij² var_j

    Notes
    -----
    S is the matrix by which `smooth` multiplies an image. With pixels of equal area and
    reflection at the borders, the kernel preserves sums: its norm is 1/25 per convolution.
    """
    shape = variance.shape
    squared = _squared_operator(shape[1:], passes)
    return (squared @ variance.reshape(shape[0], -1).T).T.reshape(shape)


@lru_cache(maxsize=8)
def _squared_operator(shape, passes):
    """S∘S (element-wise square) for an image shape, sparse (n_pixel, n_pixel)."""
    from scipy import sparse  # imported here for the same reason as ndimage

    size, offsets = np.prod(shape), np.argwhere(K5A)
    padded = np.pad(np.arange(size).reshape(shape), 2, mode="symmetric")
    columns = [padded[i : i + shape[0], j : j + shape[1]].ravel() for i, j in offsets]
    indices = np.tile(np.arange(size), len(offsets)), np.concatenate(columns)
    weights = np.repeat(K5A[K5A > 0] / K5A.sum(), size)
    once = sparse.csr_array((weights, indices), shape=(size, size))
    operator = once
    for _ in range(passes - 1):
        operator = operator @ once
    return operator.multiply(operator).tocsr()


def _cube(method, stack, rate, error, level):
    """The cube. Rates below the level, or NaN, are set to the level; excluded pixels are NaN."""
    exposed = stack.livetime > 0
    excluded = ~exposed & exposed.any(axis=(1, 2), keepdims=True)
    rate = np.where(excluded, np.nan, np.where(rate >= level, rate, level))
    error = np.where(excluded, np.nan, np.nan_to_num(error, posinf=0.0))
    meta = {"METHOD": method.name, "N_OBS": stack.n_obs, "N_EVENTS": stack.n_selected}
    more = {"livetime": stack.livetime, "ontime": stack.ontime, "made_from": stack.made_from}
    return BackgroundCube(stack.axes, rate, error, stack.counts, **more, meta=meta)
