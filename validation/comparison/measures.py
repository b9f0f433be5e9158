"""How two cubes differ: the measures that a comparison is made of."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from simbg.validation.metrics.bins import count_deviance, lost_information
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.fits import fit_index, fit_width
from simbg.validation.metrics.metric import MetricValue
from simbg.validation.metrics.poisson import two_sample_z

__all__ = [
    "bin_by_bin",
    "common_bins",
    "exposure",
    "find_problems",
    "fitted_index",
    "is_measured",
    "make_pair",
    "mean_angle",
    "noise_factor",
    "norm_ratio",
    "same_clock",
    "scale_factor",
    "scaled",
    "width_ratio",
    "widths",
]

# An image with fewer counts has no width worth fitting.
WIDTH_COUNTS = 50.0


def find_problems(a, b):
    """What is missing or impossible in either cube, in words, and whether that ends it all."""
    found, hopeless = [], False
    for label, cube in (("A", a), ("B", b)):
        exposed = np.ones(cube.axes.shape, bool) if cube.livetime is None else cube.livetime > 0
        missing = np.count_nonzero(exposed & ~np.isfinite(cube.rate))
        negative = np.count_nonzero(cube.rate < 0)
        if missing:
            found.append(f"{label} has no rate in {missing} of {exposed.sum()} bins with exposure")
        if negative:
            found.append(f"{label} has negative rates in {negative} bins")
        if not cube.total > 0:
            found.append(f"{label} is empty")
            hopeless = True
    common = np.isfinite(a.rate) & np.isfinite(b.rate)
    if not (np.any(a.rate[common] > 0) and np.any(b.rate[common] > 0)):
        found.append("no bin holds a rate in both")
        hopeless = True
    return tuple(found), hopeless


def common_bins(a, b):
    """Both with neither rate, counts nor exposure in bins of which one knows nothing."""
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    for cube in (a, b):
        used &= True if cube.livetime is None else cube.livetime > 0

    def cut(cube):
        known = {name: getattr(cube, name) for name in ("counts", "livetime", "ontime")}
        known = {name: np.where(used, v, 0) for name, v in known.items() if v is not None}
        return replace(cube, rate=np.where(used, cube.rate, np.nan), **known)

    return cut(a), cut(b)


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


def exposure(cube):
    """Seconds of the cube's own clock in each bin; None where it does not know them."""
    return getattr(cube, cube.clock)


def widths(axes, counts):
    """Fitted width and error in deg, energy by energy; NaN where counts are too few."""
    return [
        fit_width(image, axes.fov_lon, axes.fov_lat)
        if image.sum() >= WIDTH_COUNTS
        else (np.nan,) * 2
        for image in counts
    ]


def fitted_index(pair, pixels):
    """Fitted index of both; the error is the reference's."""
    axes, livetime = pair.true.axes, pair.true.livetime.max(axis=(1, 2))
    rebuilt, true = (
        fit_index((counts * pixels).sum(axis=(1, 2)), axes.energy, livetime)
        for counts in (pair.predicted, pair.expected)
    )
    return MetricValue(rebuilt[0], true[1], true[0])


def width_ratio(true, rebuilt):
    """Ratio of fitted widths, averaged over energies as their errors say."""
    pairs = [
        (b / a, e / a) for (a, e), (b, _) in zip(true, rebuilt, strict=True) if np.isfinite(a + b)
    ]
    if not pairs:
        # What neither has they do not differ in.
        neither = not np.isfinite([width for width, _ in (*true, *rebuilt)]).any()
        return MetricValue(np.nan, np.nan, np.nan if neither else 1.0)
    ratio, error = np.array(pairs).T
    weight = error**-2.0
    return MetricValue(
        float(np.exp(np.average(np.log(ratio), weights=weight))), weight.sum() ** -0.5, 1.0
    )


def mean_angle(pair, angle):
    """Mean angle of the events: a gradient, a shift, a flip or a swap moves it."""
    expected, predicted = pair.expected, pair.predicted
    ideal = np.sum(expected * angle) / expected.sum()
    value = np.sum(predicted * angle) / predicted.sum()
    error = np.sqrt(np.sum(expected * (angle - ideal) ** 2)) / expected.sum()
    return MetricValue(float(value), float(error), float(ideal), "deg")


def scale_factor(a, b, normalize):
    """What a is multiplied with, shape (n_energy, 1, 1)."""
    if normalize == "none":
        return np.ones((a.axes.shape[0], 1, 1))
    totals = [
        cube.spectrum if normalize == "image" else np.full(a.axes.shape[0], cube.total)
        for cube in (a, b)
    ]
    factor = np.divide(totals[1], totals[0], out=np.ones_like(totals[0]), where=totals[0] > 0)
    return factor[:, None, None]


def scaled(cube, factor):
    return replace(cube, rate=cube.rate * factor, rate_error=None)


def bin_by_bin(a, b, normalize, a_measured, b_measured):
    """One test of all bins, for differences that have no direction."""
    if a_measured and b_measured:
        exposures = exposure(a), exposure(b) * scale_factor(a, b, normalize)
        total = exposures[0] + exposures[1]
        share = np.divide(exposures[1], total, out=np.zeros_like(total), where=total > 0)
        return {
            "count_deviance": MetricValue(two_sample_z(a.counts, b.counts, share), 1.0, 0.0, "σ")
        }
    if a_measured:  # Then b is the truth that a's counts are held against.
        a, b = b, a
    a = scaled(a, scale_factor(a, b, normalize))
    if not (a_measured or b_measured):
        pair = make_pair(a, b, False, False)
        q = lost_information(pair).value
        return {"difference": MetricValue(float(np.sqrt(q / pair.expected.sum())), math.nan, 0.0)}
    return {"count_deviance": count_deviance(make_pair(a, b, False, True))}


def is_measured(cube):
    """Whether the cube was made from counted events: whole numbers, and an exposure."""
    if cube.counts is None or exposure(cube) is None or not cube.counts.sum() > 0:
        return False
    return not np.any(cube.counts != np.round(cube.counts))


def make_pair(a, b, a_measured, b_measured):
    """a as the truth at the exposure of the measured cube; without one, at a million events."""
    if a_measured or b_measured:
        time = exposure(b if b_measured else a)
    else:
        time = np.full(a.axes.shape, 1e6 / max(a.total, 1e-300))
    used = np.isfinite(a.rate) & (time > 0)
    expected = np.where(used, a.event_rate, 0.0) * time
    time = np.where(used, time, 0.0)
    # CubePair works per livetime; both cubes share a clock, so its name does not matter here.
    true = replace(a, counts=expected, livetime=time, clock="livetime")
    return CubePair(true, replace(b, clock="livetime"))


def norm_ratio(a, b, pair):
    """Ratio of the integrals over common bins, with the error of the counts behind it."""
    used = pair.used
    ratio = b.event_rate[used].sum() / a.event_rate[used].sum()
    return MetricValue(float(ratio), float(ratio / np.sqrt(pair.expected.sum())), 1.0)


def noise_factor(pair, a, a_measured, b_measured):
    """Factor on errors at the exposure of `_pair`: both cubes' counts scatter, or one's."""
    if not (a_measured and b_measured):
        return 1.0
    return float(np.sqrt(1 + pair.expected.sum() / a.counts.sum()))
