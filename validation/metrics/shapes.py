"""Norm, spectrum and shape of a cube, and its runs, against the truth: score tests and χ².

A rebuilt cube enters through the counts that it predicts, m = rate · volume · livetime, against
the expected ones λ, so a method may smooth or fit as it likes.

A score test with a template h asks how far m is from λ in the direction λ → λ (1 + ε h):
ε̂ = Σ h (m − λ) / Σ h² λ, with the standard error 1 / √Σ h² λ, which is the
Cramér–Rao limit of that direction. For Poisson counts its mean and variance are
exact at any number of counts. See STATISTICS.md.

Examples
--------
A cube of 2 % too much, where 1.7e5 counts are expected:

>>> from dataclasses import replace
>>> from simbg.axes import edition2015_axes
>>> from simbg.truth.gaussian import GaussianTruth
>>> from simbg.validation.metrics.cube_pair import CubePair
>>> true = GaussianTruth().cube(edition2015_axes(), zenith=20.0, livetime=36000.0)
>>> value = norm(CubePair(true, replace(true, rate=1.02 * true.rate)))
>>> round(value.value, 6), round(value.error, 6), round(value.pull, 1)
(1.02, 0.002433, 8.2)
"""

from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from simbg.validation.metrics.cube_pair import MIN_COUNTS, N_CACHED
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import chi2_z

__all__ = ["CENTER"]

SCORE = "score test of the direction; error: Cramér–Rao"
CHI2 = "χ² with exact Poisson moments"
# A bin of an image with so much less than the largest exposure holds an excluded region.
TOUCHED = 1e-3
# The centre of the field of view, deg.
CENTER = 1.0
RINGS = 6


@metric("bias", SCORE, ideal=1.0, relative=True, title="norm")
def norm(cubes):
    """Ratio of all predicted counts to all expected ones."""
    return _score(cubes, np.ones((1, 1, 1)), 1.0)


@metric("bias", SCORE, relative=True, title="index over the field")
def index(cubes):
    """Differential index of the rate over the whole field of view, to first order."""
    return _score(cubes, *_templates(cubes.truth).index)


@metric("bias", SCORE, relative=True, title="central index")
def center_index(cubes):
    """Differential index of the rate within 1 deg of the centre, to first order."""
    return _score(cubes, *_templates(cubes.truth).center_index)


@metric("bias", SCORE, ideal=1.0, relative=True, title="width")
def width(cubes):
    """Widths relative to the true ones, the same factor at all energies, to first order."""
    return _score(cubes, _templates(cubes.truth).width, 1.0)


@metric("bias", SCORE)
def width_slope(cubes):
    """Change of the slope d ln σ / d ln E, to first order."""
    return _score(cubes, _templates(cubes.truth).width_slope)


@metric("bias", SCORE, unit="deg-1")
def lon_gradient(cubes):
    """Relative gradient along fov_lon."""
    return _score(cubes, _templates(cubes.truth).lon)


@metric("bias", SCORE, unit="deg-1")
def lat_gradient(cubes):
    """Relative gradient along fov_lat."""
    return _score(cubes, _templates(cubes.truth).lat)


@metric("bias", SCORE, ideal=1.0)
def masked_norm(cubes):
    """Ratio of predicted counts to expected ones in bins that excluded regions pass through."""
    exposure = np.where(cubes.used, cubes.true.livetime, 0.0)
    touched = exposure < exposure.max(axis=(1, 2), keepdims=True) * (1 - TOUCHED)
    return _score(cubes, touched.astype(float), 1.0)


@metric("bias", CHI2, unit="σ")
def energy_norms(cubes):
    """Scatter of the norms of all energies about the truth, χ² with exact moments, as σ."""
    sums = np.array([counts.sum(axis=(1, 2)) for counts in (cubes.predicted, cubes.expected)])
    return _chi2(*sums[:, sums[1] >= MIN_COUNTS], cubes.noise_free)


@metric("bias", CHI2, unit="σ")
def energy_widths(cubes):
    """Scatter of the widths of all energies about the truth, χ² with exact moments, as σ."""
    template = _templates(cubes.truth).width
    excess = cubes.predicted - cubes.expected
    score = (template * excess).sum(axis=(1, 2))
    second, fourth = ((template**n * cubes.expected).sum(axis=(1, 2)) for n in (2, 4))
    used = (cubes.expected.sum(axis=(1, 2)) >= MIN_COUNTS) & (second > 0)
    if not used.any():
        return ()
    chi2 = np.sum(score[used] ** 2 / second[used]) + used.sum() * cubes.noise_free
    # Var z² of a sum of Poisson numbers with weights h: 2 + Σ h⁴ λ / (Σ h² λ)².
    variance = np.sum(2 + fourth[used] / second[used] ** 2)
    return chi2_z(chi2, np.count_nonzero(used), variance), 1.0


@metric("bias", CHI2, unit="σ")
def ring(cubes):
    """Scatter of six equal-area annuli about the truth, χ² with exact moments, as σ of a normal."""
    both = cubes.predicted, cubes.expected
    sums = np.array([[n[:, ring].sum() for ring in _templates(cubes.truth).rings] for n in both])
    return _chi2(*sums, cubes.noise_free)


@metric("runs", CHI2, unit="σ")
def run_dispersion(cubes):
    """Scatter of the events from run to run against Poisson's, as σ: too large or too small."""
    if cubes.run_counts is None:
        return ()
    return _chi2(cubes.run_counts, cubes.run_expected)


def _chi2(counts, expected, noise_free=False):
    """χ² of independent Poisson numbers as a normal deviate: too much scatter, or too little.

    Its distribution is that of a gamma with the exact mean and variance, Σ (2 + 1/λ).
    """
    if expected.size == 0 or np.any(expected <= 0):
        return ()
    chi2 = np.sum((counts - expected) ** 2 / expected) + expected.size * noise_free
    return chi2_z(chi2, expected.size, np.sum(2 + 1 / expected)), 1.0


def _score(cubes, template, ideal=0.0):
    information = np.sum(template**2 * cubes.expected)
    if not information > 0:
        return np.nan, np.nan, ideal
    amount = np.sum(template * (cubes.predicted - cubes.expected)) / information
    return ideal + amount, information**-0.5, ideal


@lru_cache(maxsize=N_CACHED)
def _templates(truth):
    """Directions, of indices with their true values; each broadcasts over the cube."""
    axes, counts = truth.cube.axes, np.nan_to_num(truth.cube.counts)
    log_energy = np.log(axes.energy_center)[:, None, None]
    center = (axes.offset < CENTER)[None]
    livetime = truth.cube.livetime.max(axis=(1, 2))
    spectra = [(counts * mask).sum(axis=(1, 2)) for mask in (True, center)]
    indices = [fit_index(spectrum, axes.energy, livetime)[0] for spectrum in spectra]
    # A normal's ln density changes by r²/σ² for d ln σ, less its mean in each image.
    sigma = np.array([fit_width(image, axes.fov_lon, axes.fov_lat)[0] for image in counts])
    sigma = np.where(np.isfinite(sigma), sigma, np.inf)[:, None, None]
    width = _centered(axes.offset**2 / sigma**2, counts, (1, 2))
    pivot = np.sum(counts * width**2 * log_energy) / max(np.sum(counts * width**2), 1e-300)
    size = min(-axes.fov_lon[0], axes.fov_lon[-1], -axes.fov_lat[0], axes.fov_lat[-1])
    edges = max(size, 0.1) * np.sqrt(np.arange(RINGS + 1) / RINGS)
    return SimpleNamespace(
        index=(-_centered(log_energy, counts), indices[0]),
        center_index=(-_centered(log_energy, counts * center) * center, indices[1]),
        width=width,
        width_slope=width * (log_energy - pivot),
        lon=_centered(axes.fov_lon_center[:, None], counts),
        lat=_centered(axes.fov_lat_center, counts),
        rings=[(axes.offset >= a) & (axes.offset < b) for a, b in pairwise(edges)],
    )


def _centered(template, counts, axis=None):
    """A template less its mean over the counts: blind to a norm."""
    total = counts.sum(axis=axis, keepdims=True)
    mean = (counts * template).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    return template - mean
