"""The largest excess or deficit of a point source at any position, calibrated with toys."""

from functools import lru_cache

import numpy as np
from scipy import ndimage, special

from simbg.validation.metrics.cube_pair import N_CACHED, CubePair
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import deviate

__all__ = ["PSF", "max_pvalue"]

# Standard deviation of a point source, deg: the resolution of H.E.S.S. and CTAO below 1 TeV.
PSF = 0.1
N_TOYS, TOY_SEED = 5000, 20150811


@metric(
    "source",
    "matched filter, largest of all pixels, calibrated with toys",
    unit="σ",
    title="largest false point source",
)
def point_source(cubes: CubePair) -> tuple[float, ...]:
    """Largest excess or deficit in a matched filter, calibrated for all positions, in σ.

    Notes
    -----
    The significance of a point source with the profile f at a pixel is |Σ f w (m − λ)| /
    √(Σ f² w² λ), with the weight w = 1 / (1 + λ), over the image summed over energies. The
    p-value of the largest significance of all pixels is from toys.
    """
    image = cubes.expected.sum(axis=0)
    if not image.any():
        return ()
    sigma = _psf_pixels(cubes.true.axes)
    largest = _largest_significance(cubes.predicted.sum(axis=0) - image, image, sigma)
    return deviate(max_pvalue(largest, _toys(cubes.truth))), 1.0


def _psf_pixels(axes):
    """Standard deviation of a point source in pixels along both axes; at least half a pixel."""
    steps = (np.mean(np.diff(edges)) for edges in (axes.fov_lon, axes.fov_lat))
    return tuple(max(PSF / step, 0.5) for step in steps)


def _largest_significance(difference, expected, sigma):
    """Largest |significance| of a point source over all pixels.

    Notes
    -----
    The significance at a pixel is Σ f w D / √(Σ f² w² V), with the profile f, the weights w, the
    difference D of the images and the expected image V. The best weight is 1 / V; 1 / (1 + V)
    reduces the effect of single counts in empty corners. Axes before the last two are toys.
    """

    def smooth(image, factor):
        widths = (0,) * (image.ndim - 2) + tuple(factor * s for s in sigma)
        return ndimage.gaussian_filter(image, widths, mode="constant", truncate=4)

    weight = 1 / (1 + expected)
    # The square of the normal density f is 1 / (4π σ²) times the normal density of width σ / √2.
    variance = smooth(weight**2 * expected, 0.5**0.5) / (4 * np.pi * sigma[0] * sigma[1])
    top = smooth(weight * difference, 1.0)
    significance = np.divide(top, np.sqrt(variance), out=np.zeros_like(top), where=variance > 0)
    return np.abs(significance).max(axis=(-2, -1))


@lru_cache(maxsize=N_CACHED)
def _toys(truth):
    """Sorted largest significances of Poisson images drawn from the truth."""
    image = np.nan_to_num(truth.cube.counts).sum(axis=0)
    rng, sigma = np.random.default_rng(TOY_SEED), _psf_pixels(truth.cube.axes)
    toys = [
        _largest_significance(rng.poisson(image, (100, *image.shape)) - image, image, sigma)
        for _ in range(N_TOYS // 100)
    ]
    return np.sort(np.concatenate(toys))


def max_pvalue(largest: float, toys: np.ndarray) -> float:
    """Logarithm of the p-value of the largest significance of an image.

    Parameters
    ----------
    largest : float
        Largest significance of all pixels.
    toys : ndarray, shape (n_toys,)
        Sorted largest significances of toys.

    Returns
    -------
    log_p : float
        ln p.

    Notes
    -----
    Below the 95 % quantile of the toys p is from the rank of ``largest`` among the toys. Above,
    it is an exponential in −ln Q, where Q is the upper tail of a normal distribution. The largest
    of many normal numbers falls off with the slope 1 in this variable; the slope used is the
    maximum-likelihood one of the toys.
    """
    n = toys.size
    start = toys[int(0.95 * n)]
    if largest <= start:
        above = n - np.searchsorted(toys, largest, side="left")
        return float(np.log((above + 0.5) / (n + 1)))
    depth = -special.log_ndtr(-toys[toys > start]) + special.log_ndtr(-start)
    further = -special.log_ndtr(-largest) + special.log_ndtr(-start)
    return float(np.log(np.mean(toys > start)) - further / depth.mean())
