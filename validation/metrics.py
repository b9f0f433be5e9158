"""Metrics: pure functions of a rebuilt cube and the true one, in one mapping.

Each sees two cubes over the same axes; the true one holds the counts that it
expects at the exposure of the rebuilt one. The rebuilt cube enters through the
counts that it predicts, rate · volume · livetime, so a method may smooth or fit
as it likes. Errors are those of Poisson counts with the true expectation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validation.statistics import deviance_z, fit_index, fit_width

__all__ = ["METRICS", "Measure", "Pair", "pulls", "widths"]

# Pulls are about normal where a bin expects this many counts or more.
RICH = 10.0
# The centre of the field of view, deg.
CENTER = 1.0
# An image with fewer counts has no width worth fitting.
WIDTH_COUNTS = 50.0


@dataclass(frozen=True, eq=False)
class Pair:
    """What metrics see: expected counts of truth and of the rebuilt cube, over common bins.

    Parameters
    ----------
    true, reco : BackgroundCube
        Same axes; ``true.counts`` is expected at the exposure of ``reco``.
    error : ndarray, optional
        Standard error of the rebuilt rate, if a better one than ``reco.rate_error`` is known.
    """

    true: object
    reco: object
    error: np.ndarray | None = None

    def __post_init__(self):
        if not self.true.axes.same_as(self.reco.axes):
            raise ValueError(
                f"axes: got {self.reco.axes.shape} bins, expected those of the truth, "
                f"{self.true.axes.shape}, with the same edges"
            )

    @property
    def used(self):
        """Bins with exposure in which the rebuilt rate is a number."""
        return (self.true.livetime > 0) & np.isfinite(self.reco.rate)

    @property
    def expected(self):
        """Expected counts of the truth, zero outside the bins in use."""
        return np.where(self.used, self.true.counts, 0.0)

    @property
    def predicted(self):
        """Counts that the rebuilt cube predicts at the same exposure."""
        reco = self.reco.per("livetime")
        return np.where(self.used, reco.event_rate * self.true.livetime, 0.0)


@dataclass(frozen=True)
class Measure:
    """A value, its standard error, the value of a perfect cube, and a unit."""

    value: float
    error: float
    ideal: float
    unit: str = ""

    @property
    def pull(self):
        """Deviation from the ideal in standard errors."""
        return (self.value - self.ideal) / self.error


def norm(pair):
    """Ratio of all predicted counts to all expected ones."""
    total = pair.expected.sum()
    return Measure(pair.predicted.sum() / total, 1 / np.sqrt(total), 1.0)


def index(pair):
    """Differential index of the rate over the whole field of view."""
    return _index(pair, np.ones(pair.true.axes.shape[1:], bool))


def center_index(pair):
    """Differential index of the rate within 1 deg of the centre."""
    return _index(pair, pair.true.axes.offset < CENTER)


def width(pair):
    """Ratio of fitted widths, averaged over energies as their errors say."""
    log_ratio, error = [], []
    for (rebuilt, _), (true, true_error) in zip(
        widths(pair.true.axes, pair.predicted), widths(pair.true.axes, pair.expected), strict=True
    ):
        if np.isfinite(rebuilt + true):
            log_ratio.append(np.log(rebuilt / true))
            error.append(true_error / true)
    if not error:
        return Measure(np.nan, np.nan, 1.0)
    weight = np.array(error) ** -2.0
    return Measure(float(np.exp(np.average(log_ratio, weights=weight))), weight.sum() ** -0.5, 1.0)


def fov_lon_mean(pair):
    """Mean fov_lon of all events: finds a gradient, a shift, a flip, a swap."""
    return _mean(pair, pair.true.axes.fov_lon_center[:, None])


def fov_lat_mean(pair):
    """Mean fov_lat of all events."""
    return _mean(pair, pair.true.axes.fov_lat_center)


def pull_mean(pair):
    """Mean of the pulls of bins that expect 10 counts or more."""
    values, _ = pulls(pair)
    return Measure(float(values.mean()), values.size**-0.5, 0.0) if values.size else _none(0.0)


def pull_width(pair):
    """Standard deviation of the same pulls; a Poisson variable's fourth moment sets its error."""
    values, expected = pulls(pair)
    if values.size < 2:
        return _none(1.0)
    error = 0.5 * np.sqrt((2 + np.mean(1 / expected)) / values.size)
    return Measure(float(np.sqrt(np.mean(values**2))), float(error), 1.0)


def count_deviance(pair):
    """Standardised deviance of the counts in all bins, exact at low counts."""
    used = pair.used
    return Measure(deviance_z(pair.reco.counts[used], pair.true.counts[used]), 1.0, 0.0, "σ")


def lost_information(pair):
    """Q = Σ (λ̂ − λ)² / λ: how far from the truth, in units of information (no criterion yet)."""
    expected = pair.expected
    used = expected > 0
    return Measure(
        float(np.sum((pair.predicted - expected)[used] ** 2 / expected[used])), np.nan, 0.0
    )


METRICS = {
    metric.__name__: metric
    for metric in (
        norm,
        index,
        center_index,
        width,
        fov_lon_mean,
        fov_lat_mean,
        pull_mean,
        pull_width,
        count_deviance,
        lost_information,
    )
}


def widths(axes, counts):
    """Fitted width and error in deg, energy by energy; NaN where counts are too few."""
    return [
        fit_width(image, axes.fov_lon, axes.fov_lat)
        if image.sum() >= WIDTH_COUNTS
        else (np.nan,) * 2
        for image in counts
    ]


def _index(pair, pixels):
    energy, livetime = pair.true.axes.energy, pair.true.livetime.max(axis=(1, 2))
    rebuilt, true = (
        fit_index(counts[:, pixels].sum(axis=1), energy, livetime)
        for counts in (pair.predicted, pair.expected)
    )
    return Measure(rebuilt[0], true[1], true[0])


def _mean(pair, angle):
    expected, predicted = pair.expected, pair.predicted
    ideal = np.sum(expected * angle) / expected.sum()
    value = np.sum(predicted * angle) / predicted.sum()
    error = np.sqrt(np.sum(expected * (angle - ideal) ** 2)) / expected.sum()
    return Measure(float(value), float(error), float(ideal), "deg")


def pulls(pair):
    """Pulls of rich bins, and what those bins expect."""
    error = pair.reco.rate_error if pair.error is None else pair.error
    if error is None:
        return np.array([]), np.array([])
    rich = pair.used & (pair.true.counts >= RICH) & (error > 0)
    values = (pair.reco.per("livetime").rate - pair.true.rate)[rich] / error[rich]
    return values, pair.true.counts[rich]


def _none(ideal):
    return Measure(np.nan, np.nan, ideal)
