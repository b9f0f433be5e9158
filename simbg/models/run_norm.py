"""Predicted counts of a run (npred), and the norm of the model for the run."""

from dataclasses import dataclass

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.masked_exposure import unmasked_fraction_of_run
from simbg.observations.observation import Events, Observation
from simbg.observations.threshold import first_bin

__all__ = ["fit_norm", "run_counts"]


@dataclass(frozen=True)
class RunNorm:
    """Factor of a run on a model: observed counts / predicted counts, outside of excluded regions.

    Parameters
    ----------
    value, error : float
        The norm and its standard error.
    n_events : int
        Observed counts.
    predicted : float
        Predicted counts for a norm of 1.
    """

    value: float
    error: float
    n_events: int
    predicted: float


def predicted_counts(
    cube: BackgroundCube, observation: Observation, events: Events | None
) -> np.ndarray:
    """Predicted counts of a run in each bin.

    Parameters
    ----------
    cube : BackgroundCube
        The model, per livetime.
    observation : Observation
        The run.
    events : Events or None
        Events of the run; needed for pointing and good time if regions are excluded.

    Returns
    -------
    ndarray, shape of ``cube.axes``
        NaN in bins below the threshold, completely excluded bins, and bins without a rate.
    """
    axes = cube.axes
    counts = cube.event_rate * observation.livetime
    counts[: first_bin(axes, observation.energy_threshold, False)] = np.nan
    unmasked = unmasked_fraction_of_run(axes, observation, events)
    if unmasked is not None:
        counts *= np.where(unmasked > 0, unmasked, np.nan)
    return counts


def run_counts(
    cube: BackgroundCube, observation: Observation, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed and predicted counts of a run in each bin.

    Parameters
    ----------
    cube : BackgroundCube
        The model, per livetime.
    observation : Observation
        The run.
    counts : ndarray, shape of ``cube.axes``, optional
        Used instead of the observation's events, such as expected counts.

    Returns
    -------
    counts, predicted, variance : ndarray, shape of ``cube.axes``
        ``variance`` is that of the prediction, from the cube's error. All three are 0 in bins
        without a prediction.
    """
    events = None
    if counts is None or observation.excluded:
        observation = observation.read()
        events = observation.events(cube.axes.energy)
    predicted = predicted_counts(cube, observation, events)
    if counts is None and events is not None:
        counts = cube.axes.fill(events.energy, events.fov_lon, events.fov_lat)
    valid = np.isfinite(predicted)
    error = np.zeros(predicted.shape)
    if cube.rate_error is not None:
        np.divide(cube.rate_error, cube.rate, out=error, where=valid & (cube.rate > 0))
    predicted = np.where(valid, predicted, 0.0)
    observed = np.where(valid, np.asarray(counts), 0)
    return observed, predicted, (predicted * error) ** 2


def fit_norm(cube: BackgroundCube, observation: Observation) -> RunNorm:
    """Fit the norm of a model to the counts of a run.

    Parameters
    ----------
    cube : BackgroundCube
        The model, per livetime.
    observation : Observation
        The run.

    Returns
    -------
    RunNorm
        The norm. For a run without counts or without a prediction it is 1 with an infinite error,
        because a norm of 0 would remove the model.

    Notes
    -----
    The maximum-likelihood estimate of the norm for Poisson counts n_i with expectations norm · p_i
    is Σ n_i / Σ p_i, and its standard error √(Σ n_i) / Σ p_i. Bins without a prediction are not
    used.
    """
    counts, predicted, _ = run_counts(cube, observation)
    n, total = int(counts.sum()), float(predicted.sum())
    if not (n and total):
        return RunNorm(1.0, np.inf, n, total)
    return RunNorm(n / total, np.sqrt(n) / total, n, total)
