"""Predicted counts of a run (npred), and the norm of the run on its model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simbg.observations.masking import unmasked_fraction
from simbg.observations.threshold import first_bin

__all__ = ["RunNorm", "fit_norm", "predicted_counts"]


@dataclass(frozen=True)
class RunNorm:
    """Factor of a run on a model: events counted over events predicted, outside of exclusions."""

    value: float
    error: float
    n_events: int
    predicted: float


def predicted_counts(cube, observation, events=None):
    """Counts that a cube predicts for a run in each bin, full shape.

    NaN where the run's threshold, its excluded regions or the cube leave nothing known.

    Parameters
    ----------
    cube : BackgroundCube
        Per livetime.
    observation : Observation
    events : Events, optional
        The run's, if they are at hand: regions need its pointing and good time.
    """
    axes = cube.axes
    counts = cube.event_rate * observation.livetime
    counts[: first_bin(axes, observation.energy_threshold, False)] = np.nan
    if observation.excluded:
        events = observation.events() if events is None else events
        unmasked = unmasked_fraction(axes, events.pointing, events.gti, observation.excluded)
        counts *= np.where(unmasked > 0, unmasked, np.nan)
    return counts


def fit_norm(cube, observation):
    """The norm of a run: the ratio of counts is its maximum-likelihood estimate.

    Only bins with a prediction take part. A run without events, or of which nothing is
    predicted, keeps the norm 1 with an infinite error: a factor of 0 would be no model.

    Returns
    -------
    norm : RunNorm
    """
    events = observation.events()
    predicted = predicted_counts(cube, observation, events)
    counts = cube.axes.fill(events.energy, events.fov_lon, events.fov_lat)
    n, total = int(counts[np.isfinite(predicted)].sum()), float(np.nansum(predicted))
    if not (n and total):
        return RunNorm(1.0, np.inf, n, total)
    return RunNorm(n / total, np.sqrt(n) / total, n, total)
