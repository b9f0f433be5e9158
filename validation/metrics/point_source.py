"""The largest excess or deficit of any point source, calibrated for all positions."""

from functools import lru_cache

import numpy as np
from scipy import ndimage, special

from simbg.validation.metrics.cube_pair import N_CACHED
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import deviate

__all__ = ["PSF", "max_pvalue"]

# A point source is as wide as this (one σ), deg: H.E.S.S.'s and CTAO's resolution below 1 TeV.
PSF = 0.1
N_TOYS, TOY_SEED = 5000, 20150811


@metric("source", "matched filter, largest of all pixels, calibrated with toys", unit="σ")
def point_source(cubes):
    """Largest excess or deficit through a matched filter, calibrated for all positions, as σ."""
    image = cubes.expected.sum(axis=0)
    if not image.any():
        return ()
    sigma = _psf_pixels(cubes.true.axes)
    largest = _largest_significance(cubes.predicted.sum(axis=0) - image, image, sigma)
    return deviate(max_pvalue(largest, _toys(cubes.truth))), 1.0


def _psf_pixels(axes):
    """σ of a point source in pixels along both directions; half a pixel at least."""
    steps = (np.mean(np.diff(edges)) for edges in (axes.fov_lon, axes.fov_lat))
    return tuple(max(PSF / step, 0.5) for step in steps)


def _largest_significance(difference, expected, sigma):
    """Largest |significance| of a point source of the background's spectrum, over all pixels.

    The template f at a pixel with weights w: Σ f w D / √Σ f² w² V, with D the difference of the
    images and V the expected one. Best is w = 1/V; 1/(1 + V) keeps single counts in
    empty corners from deciding. Axes before the last two are toys.
    """

    def smooth(image, factor):
        widths = (0,) * (image.ndim - 2) + tuple(factor * s for s in sigma)
        return ndimage.gaussian_filter(image, widths, mode="constant", truncate=4)

    weight = 1 / (1 + expected)
    # The square of a normal f is a normal of width σ/√2, times 1 / (4π σ²).
    variance = smooth(weight**2 * expected, 0.5**0.5) / (4 * np.pi * sigma[0] * sigma[1])
    top = smooth(weight * difference, 1.0)
    significance = np.divide(top, np.sqrt(variance), out=np.zeros_like(top), where=variance > 0)
    return np.abs(significance).max(axis=(-2, -1))


@lru_cache(maxsize=N_CACHED)
def _toys(truth):
    """Sorted largest significances of Poisson images of the truth alone."""
    image = np.nan_to_num(truth.cube.counts).sum(axis=0)
    rng, sigma = np.random.default_rng(TOY_SEED), _psf_pixels(truth.cube.axes)
    toys = [
        _largest_significance(rng.poisson(image, (100, *image.shape)) - image, image, sigma)
        for _ in range(N_TOYS // 100)
    ]
    return np.sort(np.concatenate(toys))


def max_pvalue(largest, toys):
    """ln of the p-value of a largest significance among sorted toys of it.

    Within the toys, their rank; in the last 5 %, an exponential in −ln of the normal's tail,
    which is how the largest of many normals falls off (slope 1), with the slope that they have.
    """
    n = toys.size
    start = toys[int(0.95 * n)]
    if largest <= start:
        above = n - np.searchsorted(toys, largest, side="left")
        return float(np.log((above + 0.5) / (n + 1)))
    depth = -special.log_ndtr(-toys[toys > start]) + special.log_ndtr(-start)
    further = -special.log_ndtr(-largest) + special.log_ndtr(-start)
    return float(np.log(np.mean(toys > start)) - further / depth.mean())
