"""What two cubes are compared by: norm, index, width, mean angles, and the difference of bins.

A measure is a `Metric` whose function takes a `Comparison`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.metric import metric
from simbg.validation.metrics.poisson import two_sample_z
from simbg.validation.metrics.registry import METRICS
from simbg.validation.metrics.shapes import CENTER

__all__ = ["MEASURES"]

# An image with fewer counts has no width worth fitting.
WIDTH_COUNTS = 50.0
# Events that a cube without exposure is taken to expect.
EVENTS = 1e6


def exposure(cube):
    """Seconds of the cube's own clock in each bin; None where it does not know them."""
    return getattr(cube, cube.clock)


def is_counted(cube):
    """Whether the cube was made from counted events: whole numbers, and an exposure."""
    if cube.counts is None or exposure(cube) is None or not cube.counts.sum() > 0:
        return False
    return not np.any(cube.counts != np.round(cube.counts))


def same_clock(a, b):
    """Both per livetime where that is known, else as they are if that is the same."""
    known = [cube for cube in (a, b) if cube.livetime is not None and cube.ontime is not None]
    if len(known) == 2:
        return a.per("livetime"), b.per("livetime")
    if a.clock == b.clock:
        return a, b
    if not known:
        raise ValueError(
            f"got a cube per {a.clock} and one per {b.clock}, and no dead time to convert with"
        )
    return (a.per(b.clock), b) if known[0] is a else (a, b.per(a.clock))


def find_problems(a, b):
    """What is missing or impossible in either cube, in words, and whether the rest is comparable.

    Returns
    -------
    problems : tuple of str
    comparable : bool
    """
    problems, comparable = [], True
    for label, cube in (("A", a), ("B", b)):
        exposed = np.ones(cube.axes.shape, bool) if cube.livetime is None else cube.livetime > 0
        if missing := np.count_nonzero(exposed & ~np.isfinite(cube.rate)):
            problems.append(
                f"{label} has no rate in {missing} of {exposed.sum()} bins with exposure"
            )
        if negative := np.count_nonzero(cube.rate < 0):
            problems.append(f"{label} has negative rates in {negative} bins")
        if not cube.total > 0:
            problems.append(f"{label} is empty")
            comparable = False
    common = np.isfinite(a.rate) & np.isfinite(b.rate)
    if not (np.any(a.rate[common] > 0) and np.any(b.rate[common] > 0)):
        problems.append("no bin holds a rate in both")
        comparable = False
    return tuple(problems), comparable


def common_bins(a, b):
    """Both with neither rate, counts nor exposure in bins of which one knows nothing."""
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    for cube in (a, b):
        used &= True if cube.livetime is None else cube.livetime > 0

    def cut(cube):
        names = ("counts", "livetime", "ontime")
        arrays = {n: np.where(used, v, 0) for n in names if (v := getattr(cube, n)) is not None}
        return replace(cube, rate=np.where(used, cube.rate, np.nan), **arrays)

    return cut(a), cut(b)


def scale_factor(a, b, normalize):
    """Factor on a that gives it the integrals of b, shape (n_energy, 1, 1).

    Parameters
    ----------
    a, b : BackgroundCube
    normalize : {"none", "cube", "image"}
        Which integrals: none, that of the cube, or that of each energy's image.
    """
    if normalize == "none":
        return np.ones((a.axes.shape[0], 1, 1))
    totals = [
        cube.spectrum if normalize == "image" else np.full(a.axes.shape[0], cube.total)
        for cube in (a, b)
    ]
    factor = np.divide(totals[1], totals[0], out=np.ones_like(totals[0]), where=totals[0] > 0)
    return factor[:, None, None]


def scaled(cube, factor):
    """The cube with its rate times a factor, without an error."""
    return replace(cube, rate=cube.rate * factor, rate_error=None)


def normalized(a, b, normalize):
    """The cube a with the integrals of b, as `scale_factor` has it."""
    return scaled(a, scale_factor(a, b, normalize))


def at_equal_norms(a, b, counted):
    """Both at the norm of what was counted: a wrong one shrinks no error of a shape."""
    if counted[0] and not counted[1]:
        return a, normalized(b, a, "cube")
    return normalized(a, b, "cube"), b


def count_pair(a, b, counted=(False, False)):
    """Counts of both, a as the truth, at the exposure of the cube that was counted.

    Parameters
    ----------
    a, b : BackgroundCube
    counted : tuple of bool
        Which was made from counts. If neither was, a expects a million events.
    """
    if any(counted):
        time = exposure(b if counted[1] else a)
    else:
        time = np.full(a.axes.shape, EVENTS / max(a.total, 1e-300))
    used = np.isfinite(a.rate) & (time > 0)
    expected = np.where(used, a.event_rate, 0.0) * time
    # Pairs are per livetime; both cubes share a clock, so its name does not matter here.
    true = replace(a, counts=expected, livetime=np.where(used, time, 0.0), clock="livetime")
    return CubePair(true, replace(b, clock="livetime"))


def fit_widths(pair):
    """Fitted widths of the reference and of the other cube, and the error of each, in deg.

    Returns
    -------
    widths : ndarray, shape (n_energy, 4)
        NaN where counts are too few.
    """
    axes = pair.true.axes
    widths = np.full((axes.shape[0], 2, 2), np.nan)
    for column, counts in enumerate((pair.expected, pair.predicted)):
        for row in np.flatnonzero(counts.sum(axis=(1, 2)) >= WIDTH_COUNTS):
            widths[row, :, column] = fit_width(counts[row], axes.fov_lon, axes.fov_lat)
    return widths.reshape(-1, 4)


def _norm(comparison):
    """Ratio of the integrals over common bins, with the error of the counts behind it."""
    used = comparison.pair.used
    a, b = (cube.event_rate[used].sum() for cube in (comparison.reference, comparison.b))
    return b / a, b / a / np.sqrt(comparison.pair.expected.sum())


def _index(comparison, radius=np.inf):
    """Fitted index of both over the pixels within a radius (deg)."""
    pair, axes = comparison.pair, comparison.b.axes
    livetime, pixels = pair.true.livetime.max(axis=(1, 2)), axes.offset < radius
    (value, _), (ideal, error) = (
        fit_index((counts * pixels).sum(axis=(1, 2)), axes.energy, livetime)
        for counts in (pair.predicted, pair.expected)
    )
    return value, error, ideal


def _width(comparison):
    """Ratio of fitted widths, averaged over energies as their errors say."""
    widths = comparison.widths
    fitted = np.isfinite(widths[:, :2])
    if not fitted.all(axis=1).any():
        # What neither has they do not differ in.
        return np.nan, np.nan, 1.0 if fitted.any() else np.nan
    a, b, error, _ = widths[fitted.all(axis=1)].T
    weight = (error / a) ** -2.0
    return np.exp(np.average(np.log(b / a), weights=weight)), weight.sum() ** -0.5


@metric("bias", "Σ n x / Σ n", unit="deg", title="mean fov_lon")
def fov_lon_mean(comparison):
    """Mean fov_lon of the events: a gradient, a shift, a flip or a swap moves it."""
    return _mean(comparison.pair, comparison.b.axes.fov_lon_center[:, None])


@metric("bias", "Σ n x / Σ n", unit="deg", title="mean fov_lat")
def fov_lat_mean(comparison):
    """Mean fov_lat of the events: a gradient, a shift, a flip or a swap moves it."""
    return _mean(comparison.pair, comparison.b.axes.fov_lat_center)


def _mean(pair, angle):
    expected, predicted = pair.expected, pair.predicted
    ideal = np.sum(expected * angle) / expected.sum()
    value = np.sum(predicted * angle) / predicted.sum()
    error = np.sqrt(np.sum(expected * (angle - ideal) ** 2)) / expected.sum()
    return value, error, ideal


def _count_deviance(comparison):
    """Of both cubes if both were counted, else of the counts of one against the other's rate."""
    a, b, normalize = comparison.reference, comparison.b, comparison.normalize
    if all(comparison.counted):
        times = exposure(a), exposure(b) * scale_factor(a, b, normalize)
        total = sum(times)
        fraction = np.divide(times[1], total, out=np.zeros_like(total), where=total > 0)
        return two_sample_z(a.counts, b.counts, fraction), 1.0
    if comparison.counted[0]:
        a, b = b, a
    pair = count_pair(normalized(a, b, normalize), b, (False, True))
    return METRICS["count_deviance"].function(pair)


@metric("quality", "√(Σ (m − λ)² / λ ÷ Σ λ)", title="rms difference of bins")
def difference(comparison):
    """Relative difference of all bins, rms weighted by their events."""
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
        # These say that cubes differ, those above how.
        replace(METRICS["count_deviance"], function=_count_deviance),
        difference,
    )
}
