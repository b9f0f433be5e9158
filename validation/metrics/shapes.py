"""Norm, spectrum and shape of a cube, and numbers of events of its runs: score tests and χ².

A reconstructed cube enters by its predicted counts, m = rate · volume · livetime, which are
compared with the expected counts λ. The method may therefore smooth or fit.

Notes
-----
A score test with the template h measures m − λ in the direction λ → λ (1 + ε h):
ε̂ = Σ h (m − λ) / Σ h² λ, with the standard error 1 / √Σ h² λ, which is the Cramér–Rao bound of
this direction (Rao 1948, doi:10.1017/S0305004100023987). For Poisson counts the mean and the
variance are exact at any number of counts. See STATISTICS.md.

Examples
--------
A cube with a rate that is 2 % too large, where 1.7e5 counts are expected:

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

from simbg.validation.metrics.cube_pair import MIN_COUNTS, N_CACHED, CubePair
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import chi2_z

__all__ = ["CENTER"]

SCORE = "score test of the direction; error: Cramér–Rao"
CHI2 = "χ² with exact Poisson moments"
# Relative loss of exposure from which on a bin is taken to be crossed by an excluded region.
TOUCHED = 1e-3
# Radius of the centre of the field of view, deg.
CENTER = 1.0
RINGS = 6


@metric("bias", SCORE, ideal=1.0, relative=True, title="norm")
def norm(cubes: CubePair) -> tuple[float, ...]:
    """Ratio of all predicted counts to all expected counts."""
    return _score(cubes, np.ones((1, 1, 1)), 1.0)


@metric("bias", SCORE, relative=True, title="index over the field")
def index(cubes: CubePair) -> tuple[float, ...]:
    """Differential index of the rate over the whole field of view, to first order."""
    return _score(cubes, *_templates(cubes.truth).index)


@metric("bias", SCORE, relative=True, title="central index")
def center_index(cubes: CubePair) -> tuple[float, ...]:
    """Differential index of the rate within 1 deg of the centre, to first order."""
    return _score(cubes, *_templates(cubes.truth).center_index)


@metric("bias", SCORE, ideal=1.0, relative=True, title="width")
def width(cubes: CubePair) -> tuple[float, ...]:
    """Common factor of the widths at all energies, relative to the truth, to first order."""
    return _score(cubes, _templates(cubes.truth).width, 1.0)


@metric("bias", SCORE, title="change of the width with energy")
def width_slope(cubes: CubePair) -> tuple[float, ...]:
    """Change of the slope d ln σ / d ln E, to first order."""
    return _score(cubes, _templates(cubes.truth).width_slope)


@metric("bias", SCORE, unit="deg-1", title="gradient along fov_lon")
def lon_gradient(cubes: CubePair) -> tuple[float, ...]:
    """Relative gradient along fov_lon."""
    return _score(cubes, _templates(cubes.truth).lon)


@metric("bias", SCORE, unit="deg-1", title="gradient along fov_lat")
def lat_gradient(cubes: CubePair) -> tuple[float, ...]:
    """Relative gradient along fov_lat."""
    return _score(cubes, _templates(cubes.truth).lat)


@metric("bias", SCORE, ideal=1.0, title="norm at the edges of masks")
def masked_norm(cubes: CubePair) -> tuple[float, ...]:
    """Ratio of predicted to expected counts in the bins that excluded regions cross."""
    touched = cubes.livetime < cubes.livetime.max(axis=(1, 2), keepdims=True) * (1 - TOUCHED)
    return _score(cubes, touched.astype(float), 1.0)


@metric("bias", CHI2, unit="σ", title="norms at all energies")
def energy_norms(cubes: CubePair) -> tuple[float, ...]:
    """χ² of the norms at all energies against the truth, with exact moments, in σ."""
    sums = np.array([counts.sum(axis=(1, 2)) for counts in (cubes.predicted, cubes.expected)])
    predicted, expected = sums[:, sums[1] >= MIN_COUNTS]
    return _chi2(predicted, expected, cubes.noise_free)


@metric("bias", CHI2, unit="σ", title="widths at all energies")
def energy_widths(cubes: CubePair) -> tuple[float, ...]:
    """χ² of the widths at all energies against the truth, with exact moments, in σ.

    Notes
    -----
    The variance of the square of Σ h (n − λ) / √Σ h² λ for Poisson counts n is
    2 + Σ h⁴ λ / (Σ h² λ)².
    """
    template = _templates(cubes.truth).width
    excess = cubes.predicted - cubes.expected
    score = (template * excess).sum(axis=(1, 2))
    second, fourth = ((template**n * cubes.expected).sum(axis=(1, 2)) for n in (2, 4))
    used = (cubes.expected.sum(axis=(1, 2)) >= MIN_COUNTS) & (second > 0)
    if not used.any():
        return ()
    chi2 = np.sum(score[used] ** 2 / second[used]) + used.sum() * cubes.noise_free

    variance = np.sum(2 + fourth[used] / second[used] ** 2)
    return chi2_z(chi2, int(np.count_nonzero(used)), variance), 1.0


@metric("bias", CHI2, unit="σ", title="rate in six rings")
def ring(cubes: CubePair) -> tuple[float, ...]:
    """χ² of six annuli of equal area against the truth, with exact moments, in σ."""
    both = cubes.predicted, cubes.expected
    rings = _templates(cubes.truth).rings
    predicted, expected = (np.array([n[:, ring].sum() for ring in rings]) for n in both)
    return _chi2(predicted, expected, cubes.noise_free)


@metric("runs", CHI2, unit="σ", title="numbers of events of the runs")
def run_dispersion(cubes: CubePair) -> tuple[float, ...]:
    """χ² of the events of all runs against their expectations, in σ.

    Positive values mean too much scatter, negative ones too little.
    """
    if cubes.run_counts is None:
        return ()
    return _chi2(cubes.run_counts, cubes.run_expected)


def _chi2(counts, expected, noise_free=False):
    """χ² of independent Poisson numbers as a normal deviate: too much scatter, or too little.

    Notes
    -----
    The distribution is taken as a gamma with the exact mean, n, and variance, Σ (2 + 1/λ).
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
    """Directions of the score tests, those of an index with its true value.

    Each template broadcasts over the cube.
    """
    axes, counts = truth.cube.axes, np.nan_to_num(truth.cube.counts)
    log_energy = np.log(axes.energy_center)[:, None, None]
    center = (axes.offset < CENTER)[None]
    livetime = truth.cube.livetime.max(axis=(1, 2))
    spectra = [(counts * mask).sum(axis=(1, 2)) for mask in (True, center)]
    indices = [fit_index(spectrum, axes.energy, livetime)[0] for spectrum in spectra]
    # The derivative of ln density of a normal with respect to ln σ is r²/σ², up to a constant.
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
    """A template less its mean over the counts: a change of the norm has no effect."""
    total = counts.sum(axis=axis, keepdims=True)
    mean = (counts * template).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    return template - mean
