"""Predicted counts of a run (npred), and the norm of the run on its model."""

from dataclasses import dataclass

import numpy as np

from simbg.observations.masked_exposure import unmasked_fraction
from simbg.observations.threshold import first_bin

__all__ = ["fit_norm", "run_counts"]


@dataclass(frozen=True)
class RunNorm:
    """Factor of a run on a model: events counted over events predicted, outside of exclusions."""

    value: float
    error: float
    n_events: int
    predicted: float


def predicted_counts(cube, observation, events):
    """Counts that a cube predicts for a run in each bin, full shape.

    NaN where the run's threshold, its excluded regions or the cube leave nothing known.

    Parameters
    ----------
    cube : BackgroundCube
        Per livetime.
    observation : Observation
    events : Events or None
        The run's: excluded regions need its pointing and good time.
    """
    axes = cube.axes
    counts = cube.event_rate * observation.livetime
    counts[: first_bin(axes, observation.energy_threshold, False)] = np.nan
    if observation.excluded:
        unmasked = unmasked_fraction(axes, events.pointing, events.gti, observation.excluded)
        counts *= np.where(unmasked > 0, unmasked, np.nan)
    return counts


def run_counts(cube, observation, counts=None):
    """Counts of a run and what a cube predicts for them, in each bin.

    Parameters
    ----------
    cube : BackgroundCube
        Per livetime.
    observation : Observation
    counts : ndarray, full shape, optional
        In place of the observation's own events: expected ones.

    Returns
    -------
    counts, predicted, variance : ndarray, full shape
        The variance is that of the prediction, from the cube's error. All are 0 where
        `predicted_counts` are not known.
    """
    events = observation.events() if counts is None or observation.excluded else None
    predicted = predicted_counts(cube, observation, events)
    if counts is None:
        counts = cube.axes.fill(events.energy, events.fov_lon, events.fov_lat)
    known = np.isfinite(predicted)
    error = np.zeros(predicted.shape)
    if cube.rate_error is not None:
        np.divide(cube.rate_error, cube.rate, out=error, where=known & (cube.rate > 0))
    predicted = np.where(known, predicted, 0.0)
    return np.where(known, counts, 0), predicted, (predicted * error) ** 2


def fit_norm(cube, observation):
    """The norm of a run: the ratio of counts is its maximum-likelihood estimate.

    Only bins with a prediction take part. A run without events, or of which nothing is
    predicted, keeps the norm 1 with an infinite error: a factor of 0 would be no model.

    Returns
    -------
    norm : RunNorm
    """
    counts, predicted, _ = run_counts(cube, observation)
    n, total = int(counts.sum()), float(predicted.sum())
    if not (n and total):
        return RunNorm(1.0, np.inf, n, total)
    return RunNorm(n / total, np.sqrt(n) / total, n, total)
