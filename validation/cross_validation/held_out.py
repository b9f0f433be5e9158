"""One held-out run and its prediction: norm, deviances and significances."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from simbg.cube import BackgroundCube
from simbg.models.run_norm import run_counts
from simbg.observations.observation import Observation
from simbg.validation.metrics.poisson import deviance, deviance_moments

__all__ = []

# Least expected counts of a pixel, for nearly normal significances.
MIN_COUNTS = 5.0
# Bands of energy of the residual images, and expected counts of a bin whose rate is 0.
N_BANDS, EMPTY = 4, 1e-4
DAY = 86400.0


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A run compared with a model that was not made from it.

    Parameters
    ----------
    obs_id, fold : int
        OBS_ID of the run, and number of the fold.
    zenith : float
        Zenith angle, deg.
    n_events, predicted : float
        Observed events, and events predicted without a norm of the run.
    norm, norm_error : float
        Observed / predicted events, and its error from the counts only.
    image_z, spectrum_z : float
        Standardised deviance of the image and of the spectrum, with the norm.
    significances : ndarray, shape (n_pixels,)
        Significances of the pixels with 5 expected counts or more, with the norm.
    deviance : float
        Deviance of all bins, with the norm.
    azimuth, mjd : float
        Azimuth, deg, and time of mid-run, or NaN if it is not known.
    images : ndarray, shape (2, n_bands, n_lon, n_lat)
        Observed and predicted counts in bands of energy, with the norm.
    """

    obs_id: int
    fold: int
    zenith: float
    n_events: int
    predicted: float
    norm: float
    norm_error: float
    image_z: float
    spectrum_z: float
    significances: np.ndarray = field(repr=False)
    deviance: float = np.nan
    azimuth: float = np.nan
    mjd: float = np.nan
    images: np.ndarray = field(default_factory=lambda: np.zeros((2, N_BANDS, 0, 0)), repr=False)


def hold_out(cube: BackgroundCube, observation: Observation, fold: int = 0) -> HeldOut | None:
    """Compare a run with a model.

    Parameters
    ----------
    cube : BackgroundCube
        The model, per livetime.
    observation : Observation
        A run that was not used for the model.
    fold : int
        Number of its fold.

    Returns
    -------
    held_out : HeldOut or None
        None if the run has no events or no predicted counts.
    """
    return hold_out_all([cube], observation, fold)[0]


def hold_out_all(
    cubes: Sequence[BackgroundCube], observation: Observation, fold: int = 0
) -> list[HeldOut | None]:
    """Compare a run with several models, in the bins for which all of them have a rate.

    Parameters
    ----------
    cubes : sequence of BackgroundCube
        The models, per livetime, over the same axes.
    observation : Observation
        A run that was not used for the models.
    fold : int
        Number of its fold.

    Returns
    -------
    list of HeldOut or None
        One for each model; None if the run has no events or no predicted counts.
    """
    observation = observation.read()
    common = np.logical_and.reduce([np.isfinite(cube.rate) for cube in cubes])
    return [_compared(cube, observation, fold, common) for cube in cubes]


def _compared(cube, observation, fold, common):
    """One model and a run, in some bins."""
    counts, predicted, variance = (values * common for values in run_counts(cube, observation))
    n, total = int(counts.sum()), float(predicted.sum())
    if not (n and total):
        return None
    norm = n / total
    # A rate of 0 excludes an event, so that the deviance would be infinite.
    expected = np.where(counts > 0, np.maximum(norm * predicted, EMPTY), norm * predicted)
    bands = np.arange(len(counts)) * N_BANDS // len(counts)
    images = np.zeros((2, N_BANDS, *counts.shape[1:]))
    for values, image in zip((counts, norm * predicted), images, strict=True):
        np.add.at(image, bands, values)
    image, spectrum = (
        [values.sum(axis=axis) for values in (counts, norm * predicted, norm**2 * variance)]
        for axis in (0, (1, 2))
    )
    errors = float(np.sqrt(n) / total), _deviance_z(*image), _deviance_z(*spectrum)
    rng = np.random.default_rng(observation.obs_id)
    return HeldOut(
        observation.obs_id,
        fold,
        90 - observation.alt,
        n,
        total,
        norm,
        *errors,
        _significances(rng, *image),
        float(deviance(counts, expected).sum()),
        observation.az,
        middle_of(observation),
        images,
    )


def middle_of(observation: Observation) -> float:
    """Time of mid-run as MJD, or NaN if it is not known.

    Parameters
    ----------
    observation : Observation
        The run.
    """
    events = observation.load()
    if events.gti is None or events.pointing is None:
        return float("nan")
    return float(events.pointing.mjdref + np.mean(events.gti) / DAY)


def _deviance_z(counts, expected, variance):
    """Standardised deviance of counts from a model with its own variance.

    Notes
    -----
    With the variance v of the model, the mean of the deviance of a bin is multiplied by 1 + v/λ,
    and its variance by (1 + v/λ)².
    """
    used = expected > 0
    counts, expected, variance = counts[used], expected[used], variance[used]
    mean, spread = deviance_moments(expected)
    more = 1 + variance / expected
    excess = deviance(counts, expected).sum() - (mean * more).sum()
    return float(excess / np.sqrt((spread * more**2).sum()))


def _significances(rng, counts, expected, variance):
    """Significances of pixels, with the variance of the counts and of the model.

    Notes
    -----
    Φ⁻¹(U) / √(1 + v/λ), with the randomised probability U = F(n − 1) + u P(n) of the counts n,
    where u is uniform. For a correct model they are normal for any number of counts.
    """
    used = expected >= MIN_COUNTS
    counts, expected, variance = counts[used], expected[used], variance[used]
    below = np.where(counts > 0, special.pdtr(np.maximum(counts - 1, 0), expected), 0.0)
    probability = below + rng.random(counts.size) * (special.pdtr(counts, expected) - below)
    normal = special.ndtri(np.clip(probability, 1e-15, 1 - 1e-15))
    return normal / np.sqrt(1 + variance / expected)
