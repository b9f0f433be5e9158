"""Measures of a comparison: norm, index, width, mean angles, and the difference of bins.

A measure is a `Metric` whose function takes a `Comparison`.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from simbg.validation.comparison.matched_cubes import count_pair, exposure, is_counted
from simbg.validation.comparison.rate_tests import RateDifference
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.shapes import CENTER

__all__ = ["MEASURES"]

# Least counts of an image for a fit of its width, and of each cube for a test of its index: with
# fewer, the distribution of the fitted index is not normal.
WIDTH_COUNTS, INDEX_COUNTS = 50.0, 1000.0


def fit_widths(pair: CubePair) -> np.ndarray:
    """Fitted widths of the reference and of the other cube, and their errors.

    Parameters
    ----------
    pair : CubePair
        Counts of both.

    Returns
    -------
    widths : ndarray, shape (n_energy, 4)
        Two widths and two errors, deg; NaN where counts are too few.
    """
    axes = pair.true.axes
    widths = np.full((axes.shape[0], 2, 2), np.nan)
    for column, counts in enumerate((pair.expected, pair.predicted)):
        for row in np.flatnonzero(counts.sum(axis=(1, 2)) >= WIDTH_COUNTS):
            widths[row, :, column] = fit_width(counts[row], axes.fov_lon, axes.fov_lat)
    return widths.reshape(-1, 4)


def _norm(comparison):
    """Ratio of the integrals over common bins, with the error of the counts."""
    used = comparison.pair.used
    a, b = (cube.event_rate[used].sum() for cube in (comparison.reference, comparison.b))
    return b / a, b / a / np.sqrt(comparison.pair.expected.sum())


def _index(comparison, radius=np.inf):
    """Fitted index of both cubes in the pixels within a radius (deg)."""
    pair, axes = comparison.pair, comparison.b.axes
    livetime, pixels = pair.true.livetime.max(axis=(1, 2)), axes.offset < radius
    (value, _), (ideal, error) = (
        fit_index((counts * pixels).sum(axis=(1, 2)), axes.energy, livetime)
        for counts in (pair.predicted, pair.expected)
    )
    cubes = comparison.reference, comparison.b
    few = any(np.sum(c.counts * pixels) < INDEX_COUNTS for c in cubes if is_counted(c))
    return value, np.nan if few else error, ideal


def _width(comparison):
    """Ratio of the fitted widths: weighted mean of its logarithm over energies."""
    widths = comparison.widths
    fitted = np.isfinite(widths[:, :2])
    if not fitted.all(axis=1).any():
        # If neither cube has a width there is no difference.
        return np.nan, np.nan, 1.0 if fitted.any() else np.nan
    a, b, error, _ = widths[fitted.all(axis=1)].T
    weight = (error / a) ** -2.0
    return np.exp(np.average(np.log(b / a), weights=weight)), weight.sum() ** -0.5


@metric("bias", "Σ n x / Σ n", unit="deg", title="mean fov_lon")
def fov_lon_mean(comparison: Any) -> tuple[float, ...]:
    """Mean fov_lon of the events, which a gradient, a shift, a flip or a swap changes."""
    return _mean(comparison.pair, comparison.b.axes.fov_lon_center[:, None])


@metric("bias", "Σ n x / Σ n", unit="deg", title="mean fov_lat")
def fov_lat_mean(comparison: Any) -> tuple[float, ...]:
    """Mean fov_lat of the events, which a gradient, a shift, a flip or a swap changes."""
    return _mean(comparison.pair, comparison.b.axes.fov_lat_center)


def _mean(pair, angle):
    expected, predicted = pair.expected, pair.predicted
    ideal = np.sum(expected * angle) / expected.sum()
    value = np.sum(predicted * angle) / predicted.sum()
    error = np.sqrt(np.sum(expected * (angle - ideal) ** 2)) / expected.sum()
    return value, error, ideal


def _count_deviance(comparison):
    """Normal deviate of the χ² of the counts of both cubes, or of one and the rate of the other."""
    a, b = (_of_counts(cube) for cube in (comparison.reference, comparison.b))
    return RateDifference.of(a, b, comparison.normalize).all_bins, 1.0


def _of_counts(cube):
    """The cube with the rate of its own counts."""
    if not is_counted(cube):
        return cube
    time = np.asarray(exposure(cube), float)
    time = np.where(time > 0, time, np.nan)
    rate = np.where(np.isfinite(cube.rate), cube.counts / time / cube.axes.volume, np.nan)
    return replace(cube, rate=rate, rate_error=None)


@metric("quality", "χ² of the rates as a normal deviate", title="rates of all bins", unit="σ")
def rate_deviance(comparison: Any) -> tuple[float, ...]:
    """Scatter of the rates of all bins, beyond the largest noise that they may have."""
    return comparison.rates.all_bins, 1.0


@metric("quality", "min p of all bins as a normal deviate", title="largest bin", unit="σ")
def largest_bin(comparison: Any) -> tuple[float, ...]:
    """Largest difference of the rates of a single bin, in stated errors, for all bins tried."""
    return comparison.rates.largest[0], 1.0


@metric("quality", "min p of the directions as a normal deviate", title="directions", unit="σ")
def directions(comparison: Any) -> tuple[float, ...]:
    """Largest difference of the rates along named directions, for all directions tried."""
    return comparison.rates.directions[0], 1.0


@metric("quality", "√(Σ (m − λ)² / λ ÷ Σ λ)", title="rms difference of bins")
def difference(comparison: Any) -> tuple[float, ...]:
    """Relative difference of all bins: rms, weighted with their events."""
    pair = count_pair(comparison.a, comparison.b)
    return (np.sqrt(METRICS["lost_information"](pair).value / pair.expected.sum()),)


MEASURES = {
    measure.name: measure
    for measure in (
        replace(METRICS["norm"], function=_norm),
        replace(METRICS["index"], function=_index),
        replace(METRICS["center_index"], function=partial(_index, radius=CENTER)),
        replace(METRICS["width"], function=_width),
        fov_lon_mean,
        fov_lat_mean,
        # Tests of all bins; the measures above describe the kind of difference.
        replace(METRICS["count_deviance"], function=_count_deviance, title="counts of all bins"),
        rate_deviance,
        directions,
        largest_bin,
        difference,
    )
}
