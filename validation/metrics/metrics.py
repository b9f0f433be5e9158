"""Metrics: pure functions of a rebuilt cube and the true one, in one mapping.

Each sees two cubes over the same axes; the true one holds the counts λ that it
expects at the exposure of the rebuilt one. A rebuilt cube enters through the
counts that it predicts, m = rate · volume · livetime, so a method may smooth or
fit as it likes.

A probe with a template h asks how far m is from λ in the direction λ → λ (1 + ε h):
ε̂ = Σ h (m − λ) / Σ h² λ, with the standard error 1 / √Σ h² λ, which is the
Cramér–Rao limit of that direction. For Poisson counts its mean and variance are
exact at any number of counts. See STATISTICS.md.

Examples
--------
A cube of 2 % too much, where 1.7e5 counts are expected:

>>> from dataclasses import replace
>>> from simbg.axes import edition2015_axes
>>> from simbg.truth.gaussian import GaussianTruth
>>> from simbg.validation.metrics.pair import Pair
>>> true = GaussianTruth().cube(edition2015_axes(), zenith=20.0, livetime=36000.0)
>>> measure = METRICS["norm"](Pair(true, replace(true, rate=1.02 * true.rate)))
>>> round(measure.value, 6), round(measure.error, 6), round(measure.pull, 1)
(1.02, 0.002433, 8.2)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from hashlib import blake2b
from itertools import pairwise
from zlib import crc32

import numpy as np
from scipy import ndimage, special, stats

from simbg.validation.metrics.pair import Measure
from simbg.validation.metrics.statistics import (
    deviance_z,
    fit_index,
    fit_width,
    max_pvalue,
    poisson_coverage,
)

__all__ = ["METRICS", "RICH", "SOURCES", "chi2_z", "pit_values", "pulls"]

# Pulls of single bins are about normal where a bin expects this many counts or more.
RICH = 10.0
# A scatter is measured from this many bins on; a coverage, where its count of bins scatters by
# this much, and so is about normal.
N_BINS, N_MISSED = 10, 3.0
# A bin of an image with so much less than the largest exposure holds an excluded region.
TOUCHED = 1e-3
# Standard errors that a normal covers in 68 and in 95 % of the cases.
ONE_SIGMA, TWO_SIGMA = 1.0, 1.959964
# The centre of the field of view, deg.
CENTER = 1.0
RINGS = 6
# A point source is as wide as this (one σ), deg: H.E.S.S.'s and CTAO's resolution below 1 TeV.
PSF = 0.1
# ln of p-values below which doubles underflow, and of the smallest for too little scatter (447 σ).
UNDERFLOW, SMALLEST = -600.0, -1e5
N_KEPT = 16
N_TOYS, TOY_SEED = 5000, 20150811


def norm(pair):
    """Ratio of all predicted counts to all expected ones."""
    return _probe(pair, np.ones((1, 1, 1)), 1.0)


def index(pair):
    """Differential index of the rate over the whole field of view, to first order."""
    return _probe(pair, _templates(pair.true).index, _templates(pair.true).true_index)


def center_index(pair):
    """Differential index of the rate within 1 deg of the centre, to first order."""
    templates = _templates(pair.true)
    return _probe(pair, templates.center_index, templates.true_center_index)


def width(pair):
    """Widths relative to the true ones, the same factor at all energies, to first order."""
    return _probe(pair, _templates(pair.true).width, 1.0)


def width_slope(pair):
    """Change of the slope d ln σ / d ln E, to first order."""
    return _probe(pair, _templates(pair.true).width_slope, 0.0)


def lon_gradient(pair):
    """Relative gradient along fov_lon."""
    return _probe(pair, _templates(pair.true).lon, 0.0, "deg-1")


def lat_gradient(pair):
    """Relative gradient along fov_lat."""
    return _probe(pair, _templates(pair.true).lat, 0.0, "deg-1")


def energy_norms(pair):
    """Scatter of the norms of all energies about the truth, χ² with exact moments, as σ."""
    sums = np.array([counts.sum(axis=(1, 2)) for counts in (pair.predicted, pair.expected)])
    return _chi2(*sums[:, sums[1] >= RICH], pair.noise_free)


def energy_widths(pair):
    """Scatter of the widths of all energies about the truth, χ² with exact moments, as σ."""
    template = _templates(pair.true).width
    excess = pair.predicted - pair.expected
    score = (template * excess).sum(axis=(1, 2))
    second, fourth = ((template**n * pair.expected).sum(axis=(1, 2)) for n in (2, 4))
    used = (pair.expected.sum(axis=(1, 2)) >= RICH) & (second > 0)
    if not used.any():
        return _none(0.0, "σ")
    chi2 = np.sum(score[used] ** 2 / second[used]) + used.sum() * pair.noise_free
    # Var z² of a sum of Poisson numbers with weights h: 2 + Σ h⁴ λ / (Σ h² λ)².
    variance = np.sum(2 + fourth[used] / second[used] ** 2)
    return Measure(chi2_z(chi2, np.count_nonzero(used), variance), 1.0, 0.0, "σ")


def ring(pair):
    """Scatter of six equal-area annuli about the truth, χ² with exact moments, as σ of a normal."""
    rings = _templates(pair.true).rings
    sums = [[counts[:, ring].sum() for ring in rings] for counts in (pair.predicted, pair.expected)]
    return _chi2(*np.array(sums), pair.noise_free)


def point_source(pair):
    """Largest excess or deficit through a matched filter, calibrated for all positions, as σ."""
    image = pair.expected.sum(axis=0)
    if not image.any():
        return _none(0.0, "σ")
    sigma = _psf_pixels(pair.true.axes)
    largest = _largest_significance(pair.predicted.sum(axis=0) - image, image, sigma)
    return _from_log_pvalue(max_pvalue(largest, _point_toys(pair.true)))


def masked_norm(pair):
    """Ratio of predicted counts to expected ones in bins that excluded regions pass through."""
    exposure = np.where(pair.used, pair.true.livetime, 0.0)
    touched = exposure < exposure.max(axis=(1, 2), keepdims=True) * (1 - TOUCHED)
    return _probe(pair, touched.astype(float), 1.0)


def pull_mean(pair):
    """Mean of the pulls of bins that expect 10 counts or more."""
    values, _ = pulls(pair)
    return Measure(float(values.mean()), values.size**-0.5, 0.0) if values.size else _none(0.0)


def pull_width(pair):
    """Width of the deviations from the truth in units of the stated errors, bins of 1 count on.

    (n − λ)² − n has mean zero and variance 2 λ² for Poisson n, whatever λ: n bins have the
    moments of a χ² of n degrees of freedom, whose tails the error allows for.
    """
    variance = pair.stated_variance
    used = pair.expected >= 1
    n = np.count_nonzero(used)
    if variance is None or n < N_BINS:
        return _none(1.0)
    excess = (pair.predicted - pair.expected)[used] ** 2 - variance[used]
    half = np.mean(excess / pair.expected[used]) / 2
    z = chi2_z(n * (1 + 2 * half), n, 2 * n)
    error = half / z if z * half > 0 else np.sqrt(0.5 / n)
    return Measure(float(1 + half), float(error), 1.0)


def coverage_68(pair):
    """Share of the bins with 10 counts or more whose stated error covers the truth."""
    return _coverage(pair, ONE_SIGMA)


def coverage_95(pair):
    """As coverage_68, with 1.96 stated errors."""
    return _coverage(pair, TWO_SIGMA)


def count_deviance(pair):
    """Standardised deviance of the counts in all bins, exact moments at low counts."""
    if pair.reco.counts is None or not pair.expected.any():
        return _none(0.0, "σ")
    used = pair.used
    return Measure(deviance_z(pair.reco.counts[used], pair.expected[used]), 1.0, 0.0, "σ")


def pit(pair):
    """Uniformity of the randomised probability integral transform of the counts, as σ.

    U = F(n − 1) + v P(n), v uniform, is uniform at any expectation; Kolmogorov–Smirnov over all
    bins that expect 0.01 counts or more.
    """
    u = pit_values(pair)
    if u.size < 10:
        return _none(0.0, "σ")
    return _from_log_pvalue(
        np.log(np.maximum(stats.kstest(u, "uniform", mode="asymp").pvalue, 1e-300))
    )


def run_dispersion(pair):
    """Scatter of the events from run to run against Poisson's, as σ: too large or too small."""
    if pair.run_counts is None:
        return _none(0.0, "σ")
    return _chi2(pair.run_counts, pair.run_expected)


def zero_mass(pair):
    """Share of the true events in bins where the rebuilt rate is zero."""
    empty = pair.used & (pair.predicted <= 0)
    return Measure(float(pair.expected[empty].sum() / (pair.expected.sum() or np.nan)), np.nan, 0.0)


def lost_information(pair):
    """Q = Σ (m − λ)² / λ, what a fit to test counts of this exposure would lose (in 2 ln L)."""
    used = pair.expected > 0
    return Measure(
        float(np.sum((pair.predicted - pair.expected)[used] ** 2 / pair.expected[used])),
        np.nan,
        0.0,
    )


METRICS = {
    metric.__name__: metric
    for metric in (
        norm,
        index,
        center_index,
        width,
        width_slope,
        lon_gradient,
        lat_gradient,
        energy_norms,
        energy_widths,
        ring,
        point_source,
        masked_norm,
        pull_mean,
        pull_width,
        coverage_68,
        coverage_95,
        count_deviance,
        pit,
        run_dispersion,
        zero_mass,
        lost_information,
    )
}


SCORE = "score test of the direction; error: Cramér–Rao"
CHI2 = "χ² with exact Poisson moments"
# Where the formula of each comes from; STATISTICS.md has them in full.
SOURCES = {
    **dict.fromkeys(
        ("norm", "index", "center_index", "width", "width_slope", "lon_gradient", "lat_gradient"),
        SCORE,
    ),
    **dict.fromkeys(("energy_norms", "energy_widths", "ring", "run_dispersion"), CHI2),
    "point_source": "matched filter, largest of all pixels, calibrated with toys",
    "masked_norm": SCORE,
    "pull_mean": "mean of (m − λ) / σ",
    "pull_width": "(n − λ)² − n has mean 0 and variance 2 λ²",
    "coverage_68": "exact coverage of √n errors of Poisson counts",
    "coverage_95": "exact coverage of √n errors of Poisson counts",
    "count_deviance": "Cash 1979; moments as in Kaastra 2017, arXiv:1707.09202",
    "pit": "randomised probability integral transform, Kolmogorov–Smirnov",
    "zero_mass": "Σ λ where m = 0, over Σ λ",
    "lost_information": "Σ (m − λ)² / λ, twice the Kullback–Leibler distance to second order",
}


def pulls(pair):
    """Pulls, in true errors, of the bins that expect 10 counts or more, and their expectations."""
    variance = pair.true_variance
    rich = (pair.expected >= RICH) & (variance > 0)
    values = (pair.predicted - pair.expected)[rich] / np.sqrt(variance[rich])
    return values, pair.expected[rich]


def pit_values(pair):
    """Randomised probability integral transform of the counts of bins that expect 0.01 or more."""
    used = pair.used & (pair.expected >= 0.01)
    if pair.reco.counts is None:
        return np.empty(0)
    n, expected = pair.reco.counts[used], pair.expected[used]
    # Other counts, other v: a seed that replicates share would tie their results together.
    v = np.random.default_rng(crc32(np.asarray(n, float))).random(n.size)
    below = np.where(n > 0, special.pdtr(n - 1, expected), 0.0)
    return below + v * (special.pdtr(n, expected) - below)


def _once_a_truth(function):
    """Keep what a function made of the last few truths, known again by their content.

    Another process gets a copy of a truth with each piece of work, so identity would not do.
    """
    made = {}

    @wraps(function)
    def cached(true):
        key = getattr(true, "_key", None)
        if key is None:
            key = blake2b(np.ascontiguousarray(true.counts), digest_size=16).digest()
            key += b"".join(
                edges.tobytes()
                for edges in (true.axes.energy, true.axes.fov_lon, true.axes.fov_lat)
            )
            object.__setattr__(true, "_key", key)
        if key not in made:
            while len(made) >= N_KEPT:
                made.pop(next(iter(made)))
            made[key] = function(true)
        return made[key]

    return cached


@dataclass(frozen=True, eq=False)
class _Templates:
    """Directions, and what the truth has there; each broadcasts over the cube."""

    index: np.ndarray
    center_index: np.ndarray
    width: np.ndarray
    width_slope: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    rings: list
    true_index: float
    true_center_index: float


@_once_a_truth
def _templates(true):
    axes, counts = true.axes, np.nan_to_num(true.counts)
    log_energy = np.log(axes.energy_center)[:, None, None]
    center = (axes.offset < CENTER)[None]
    livetime = true.livetime.max(axis=(1, 2))
    spectra = [(counts * mask).sum(axis=(1, 2)) for mask in (True, center)]
    indices = [fit_index(spectrum, axes.energy, livetime)[0] for spectrum in spectra]
    # A normal's ln density changes by r²/σ² for d ln σ, less its mean in each image.
    sigma = np.array([fit_width(image, axes.fov_lon, axes.fov_lat)[0] for image in counts])
    sigma = np.where(np.isfinite(sigma), sigma, np.inf)[:, None, None]
    width = _centered(axes.offset**2 / sigma**2, counts, (1, 2))
    pivot = np.sum(counts * width**2 * log_energy) / max(np.sum(counts * width**2), 1e-300)
    size = (
        np.minimum(-axes.fov_lon[0], axes.fov_lon[-1]),
        np.minimum(-axes.fov_lat[0], axes.fov_lat[-1]),
    )
    edges = max(min(size), 0.1) * np.sqrt(np.arange(RINGS + 1) / RINGS)
    return _Templates(
        index=-_centered(log_energy, counts, None),
        center_index=-_centered(log_energy, counts * center, None) * center,
        width=width,
        width_slope=width * (log_energy - pivot),
        lon=_centered(axes.fov_lon_center[:, None], counts, None),
        lat=_centered(axes.fov_lat_center, counts, None),
        rings=[(axes.offset >= a) & (axes.offset < b) for a, b in pairwise(edges)],
        true_index=indices[0],
        true_center_index=indices[1],
    )


def _centered(template, counts, axis):
    """A template less its mean over the counts: blind to a norm."""
    total = counts.sum(axis=axis, keepdims=True)
    mean = (counts * template).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    return template - mean


def _probe(pair, template, ideal, unit=""):
    information = np.sum(template**2 * pair.expected)
    if not information > 0:
        return _none(ideal, unit)
    amount = np.sum(template * (pair.predicted - pair.expected)) / information
    return Measure(float(ideal + amount), float(information**-0.5), float(ideal), unit)


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


@_once_a_truth
def _point_toys(true):
    """Sorted largest significances of Poisson images of the truth alone."""
    image = np.nan_to_num(true.counts).sum(axis=0)
    rng, sigma = np.random.default_rng(TOY_SEED), _psf_pixels(true.axes)
    toys = [
        _largest_significance(rng.poisson(image, (100, *image.shape)) - image, image, sigma)
        for _ in range(N_TOYS // 100)
    ]
    return np.sort(np.concatenate(toys))


def _coverage(pair, factor):
    variance = pair.stated_variance
    rich = pair.expected >= RICH
    if variance is None or not rich.any():
        return _none(special.erf(factor / np.sqrt(2)))
    ideal = _rich_coverage(pair.true)[factor][pair.used[np.nan_to_num(pair.true.counts) >= RICH]]
    inside = np.abs(pair.predicted - pair.expected)[rich] <= factor * np.sqrt(variance[rich])
    spread = np.sqrt(np.sum(ideal * (1 - ideal)))
    if spread < N_MISSED:
        return _none(ideal.mean())
    error = spread / ideal.size
    return Measure(float(inside.mean()), float(error), float(ideal.mean()))


def _chi2(counts, expected, noise_free=False):
    """χ² of independent Poisson numbers as a normal deviate: too much scatter, or too little.

    Its distribution is that of a gamma with the exact mean and variance, Σ (2 + 1/λ).
    """
    if expected.size == 0 or np.any(expected <= 0):
        return _none(0.0, "σ")
    chi2 = np.sum((counts - expected) ** 2 / expected) + expected.size * noise_free
    return Measure(chi2_z(chi2, expected.size, np.sum(2 + 1 / expected)), 1.0, 0.0, "σ")


def chi2_z(chi2, mean, variance):
    """The normal deviate of a gamma variate with this mean and variance."""
    shape, scale = mean**2 / variance, variance / mean
    upper = stats.gamma.logsf(chi2, shape, scale=scale)
    if upper < UNDERFLOW:
        # The first term of the continued fraction of the incomplete gamma function, in logarithms.
        x = chi2 / scale
        upper = shape * np.log(x) - x - special.gammaln(shape) - np.log(x + 1 - shape)
    if upper < np.log(0.5):
        return _z(upper)
    return -_z(max(stats.gamma.logcdf(chi2, shape, scale=scale), SMALLEST))


@_once_a_truth
def _rich_coverage(true):
    """Exact coverage of the rich bins by Poisson counts with √n errors, for both factors."""
    counts = np.nan_to_num(true.counts)
    return {c: poisson_coverage(counts[counts >= RICH], c) for c in (ONE_SIGMA, TWO_SIGMA)}


def _from_log_pvalue(log_p):
    return Measure(_z(log_p), 1.0, 0.0, "σ")


def _z(log_p):
    """The normal deviate with this ln of the upper tail probability."""
    return float(-special.ndtri_exp(min(log_p, -1e-12)))


def _none(ideal, unit=""):
    return Measure(np.nan, np.nan, float(ideal), unit)
