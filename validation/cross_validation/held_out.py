"""One run against a model that has not seen it: norm, deviances and significances."""

from dataclasses import dataclass, field

import numpy as np
from scipy import special

from simbg.models.run_norm import run_counts
from simbg.validation.metrics.poisson import deviance, deviance_moments

__all__ = []

# Significances are about normal in pixels that expect this many counts or more.
LEAST = 5.0


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One run against a model that has not seen it.

    Parameters
    ----------
    obs_id, fold : int
    zenith : float
        deg
    n_events, predicted : float
        Counted, and predicted before the norm of the run.
    norm, norm_error : float
        Their ratio, and its error from the counts alone.
    image_z, spectrum_z : float
        Standardised deviance of the image and of the spectrum after the norm.
    significances : ndarray
        Of the image's pixels with 5 expected counts or more, after the norm.
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


def hold_out(cube, observation, fold=0):
    """Hold a run against a model.

    Parameters
    ----------
    cube : BackgroundCube
        Per livetime.
    observation : Observation
    fold : int

    Returns
    -------
    held_out : HeldOut or None
        None for a run without events, or of which nothing is predicted.
    """
    counts, predicted, variance = run_counts(cube, observation)
    n, total = int(counts.sum()), float(predicted.sum())
    if not (n and total):
        return None
    norm = n / total
    image, spectrum = (
        [values.sum(axis=axis) for values in (counts, norm * predicted, norm**2 * variance)]
        for axis in (0, (1, 2))
    )
    numbers = n, total, norm, np.sqrt(n) / total, _deviance_z(*image), _deviance_z(*spectrum)
    significances = _significances(*image, np.random.default_rng(observation.obs_id))
    return HeldOut(observation.obs_id, fold, 90 - observation.alt, *numbers, significances)


def _deviance_z(counts, expected, variance):
    """Standardised deviance; a model's own variance adds to that of the counts."""
    used = expected > 0
    counts, expected, variance = counts[used], expected[used], variance[used]
    mean, spread = deviance_moments(expected)
    more = 1 + variance / expected
    excess = deviance(counts, expected).sum() - (mean * more).sum()
    return float(excess / np.sqrt((spread * more**2).sum()))


def _significances(counts, expected, variance, rng):
    """Deviations of pixels as those of a normal, in units of the counts' and the model's scatter.

    Counts are discrete: uniform in the probability of each, which makes a Poisson number of any
    mean a normal.
    """
    used = expected >= LEAST
    counts, expected, variance = counts[used], expected[used], variance[used]
    below = np.where(counts > 0, special.pdtr(np.maximum(counts - 1, 0), expected), 0.0)
    probability = below + rng.random(counts.size) * (special.pdtr(counts, expected) - below)
    normal = special.ndtri(np.clip(probability, 1e-15, 1 - 1e-15))
    return normal / np.sqrt(1 + variance / expected)
