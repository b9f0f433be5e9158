"""One held-out run and its prediction: norm, deviances and significances."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from simbg.cube import BackgroundCube
from simbg.models.run_norm import run_counts
from simbg.observations.observation import Observation
from simbg.validation.metrics.poisson import deviance, deviance_moments

__all__ = ["hold_out"]

# Least expected counts of a pixel, for nearly normal significances, and least variance M_ii: the
# fit of the norm removes the deviation of a pixel that has nearly all counts.
MIN_COUNTS, LEAST_VARIANCE = 5.0, 0.1
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
        _Sums.of(counts, norm * predicted, cube.covariance, norm**2 * variance, kept)
        for kept in ("pixel", "energy")
    )
    errors = float(np.sqrt(n) / total), image.deviance_z, spectrum.deviance_z
    rng = np.random.default_rng(observation.obs_id)
    return HeldOut(
        observation.obs_id,
        fold,
        90 - observation.alt,
        n,
        total,
        norm,
        *errors,
        image.significances(rng),
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


@dataclass(frozen=True, eq=False)
class _Sums:
    """Counts of pixels, or of energies, and a model whose norm is fitted to their sum.

    Notes
    -----
    With the expected counts λ, the differences (n − λ) / √λ have the covariance
    M = 1 + diag(v / λ) + A A' − b b': v are independent variances of the model and A is the root of
    its other covariance, divided by √λ; b = √(λ / Σ λ) is lost by the fit of the norm.
    """

    counts: np.ndarray
    expected: np.ndarray
    own: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, counts, expected, covariance, variance, kept):
        """Sums of bins that are expected; the model is independent in bins without a covariance."""
        over = (1, 2) if kept == "energy" else 0
        counts, total = (values.sum(axis=over).ravel() for values in (counts, expected))
        if covariance:
            roots, owns = zip(*(c.roots_of_sums(expected, kept) for c in covariance), strict=True)
            root, own = np.hstack(roots), np.sum(owns, axis=0)
        else:
            own, fraction = variance.sum(axis=over).ravel(), total / total.sum()
            own = (1 - 2 * fraction) * own + fraction**2 * variance.sum()
            root = np.zeros((own.size, 0))
        used = total > 0
        scale = np.sqrt(total[used])
        return cls(counts[used], total[used], own[used] / scale**2, root[used] / scale[:, None])

    @property
    def fraction(self):
        """λ / Σ λ, the squares of b."""
        return self.expected / self.expected.sum()

    @property
    def diagonal(self):
        """The variance of each (n − λ) / √λ."""
        return 1 + self.own + (self.root**2).sum(axis=1) - self.fraction

    @property
    def deviance_z(self):
        """Standardised deviance.

        The mean of the deviance of a bin is multiplied by M_ii, and its variance by M_ii². For
        normal counts the variance of the sum is 2 tr M², which contains the correlations.
        """
        mean, spread = deviance_moments(self.expected)
        more = self.diagonal
        excess = deviance(self.counts, self.expected).sum() - (mean * more).sum()
        variance = ((spread - 2) * more**2).sum() + 2 * self._square
        return float(excess / np.sqrt(variance)) if self.expected.size > 1 else 0.0

    @property
    def _square(self):
        """The trace of M²."""
        alone, common = 1 + self.own, self.root.T @ self.root
        lost = np.sqrt(self.fraction) @ self.root
        cross = alone * ((self.root**2).sum(axis=1) - self.fraction)
        return (alone**2 + 2 * cross).sum() + (common**2).sum() - 2 * (lost**2).sum() + 1

    def significances(self, rng):
        """Significances, with the variance of the counts and of the model.

        Φ⁻¹(U) / √M_ii, with the randomised probability U = F(n − 1) + u P(n) of the counts n, where
        u is uniform. For a correct model they are normal for any number of counts.
        """
        more = self.diagonal
        used = (self.expected >= MIN_COUNTS) & (more > LEAST_VARIANCE)
        counts, expected, more = self.counts[used], self.expected[used], more[used]
        below = np.where(counts > 0, special.pdtr(np.maximum(counts - 1, 0), expected), 0.0)
        probability = below + rng.random(counts.size) * (special.pdtr(counts, expected) - below)
        return special.ndtri(np.clip(probability, 1e-15, 1 - 1e-15)) / np.sqrt(more)
