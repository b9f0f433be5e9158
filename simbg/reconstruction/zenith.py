"""Background between the zenith angles at which it was measured, and each run's norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.masking import unmasked_fraction
from simbg.observations.threshold import first_bin

__all__ = [
    "RunNorm",
    "ZenithModel",
    "fit_norm",
    "predict",
    "scaled",
    "zenith_models",
]


@dataclass(frozen=True, eq=False)
class ZenithModel:
    """Cubes of groups of runs, interpolated in cos(zenith), bin by bin.

    Between two groups the rate is their weighted mean, linear in cos(zenith), and so
    never negative. Each energy has the mean cos(zenith) of the runs that expose it, and
    a bin the groups that have a rate there: where a threshold rolls with zenith, low
    energies have fewer groups. Outside of the range the nearest group holds.

    Parameters
    ----------
    cubes : tuple of BackgroundCube
        Per livetime, over the same axes.
    cosines : ndarray, shape (n_group, n_energy)
        Mean cos(zenith) of each, by energy; NaN where it has no exposure.
    """

    cubes: tuple[BackgroundCube, ...]
    cosines: np.ndarray

    def __post_init__(self):
        if not self.cubes or np.shape(self.cosines) != (
            len(self.cubes),
            self.cubes[0].axes.shape[0],
        ):
            raise ValueError(
                f"zenith model: got {len(self.cubes)} cubes and cosines of shape "
                f"{np.shape(self.cosines)}, expected (n_group, n_energy)"
            )
        for cube in self.cubes:
            if not cube.axes.same_as(self.cubes[0].axes):
                raise ValueError(
                    f"zenith model: got cubes of {cube.axes.shape} and "
                    f"{self.cubes[0].axes.shape} bins, expected the same axes"
                )

    @classmethod
    def of_groups(cls, cubes, groups):
        """From each group's cube and its observations."""
        axes = cubes[0].axes
        return cls(
            tuple(cube.per("livetime") for cube in cubes),
            np.array([_mean_cosine(observations, axes) for observations in groups]),
        )

    def at(self, zenith):
        """The cube at a zenith angle, deg; its error is that of the weighted mean."""
        cosine = np.cos(np.deg2rad(zenith))
        rates = np.array([cube.rate for cube in self.cubes])
        weights = self._weights(cosine, np.isfinite(rates))
        seen = weights.any(axis=0)
        rate = np.where(seen, (weights * np.nan_to_num(rates)).sum(axis=0), np.nan)
        error = None
        if all(cube.rate_error is not None for cube in self.cubes):
            errors = np.nan_to_num([cube.rate_error for cube in self.cubes])
            error = np.where(seen, np.sqrt(((weights * errors) ** 2).sum(axis=0)), np.nan)
        meta = {"METHOD": self.cubes[0].meta.get("METHOD", ""), "ZENITH": float(zenith)}
        return BackgroundCube(self.cubes[0].axes, rate, error, meta=meta)

    def _weights(self, cosine, known):
        """Weights of the groups, (n_group, n_energy, n_fov_lon, n_fov_lat): two at most a bin."""
        place = np.where(known, self.cosines[:, :, None, None], np.nan)
        below, above = (
            np.where(near, place, fill)
            for near, fill in ((place <= cosine, -np.inf), (place > cosine, np.inf))
        )
        lower, upper = below.argmax(axis=0)[None], above.argmin(axis=0)[None]
        x0, x1 = (np.take_along_axis(*pair, axis=0) for pair in ((below, lower), (above, upper)))
        with np.errstate(invalid="ignore"):
            share = np.where(np.isfinite(x0 + x1), (cosine - x0) / (x1 - x0), np.isfinite(x1))
        weights = np.zeros(known.shape)
        np.put_along_axis(weights, upper, share * np.isfinite(x1), axis=0)
        more = np.take_along_axis(weights, lower, axis=0) + (1 - share) * np.isfinite(x0)
        np.put_along_axis(weights, lower, more, axis=0)
        return weights


@dataclass(frozen=True)
class RunNorm:
    """Factor of a run on a model: events counted over events predicted, outside of exclusions."""

    value: float
    error: float
    n_events: int
    predicted: float


def zenith_models(cubes, groups, n_azimuth=1):
    """A `ZenithModel` for each bin in azimuth.

    Parameters
    ----------
    cubes : dict of int to BackgroundCube
        By GROUP_ID, which counts altitudes × azimuths, altitude slowest.
    groups : dict of int to list of Observation
        Those of each cube.
    n_azimuth : int

    Returns
    -------
    models : dict of int to ZenithModel
        By ``GROUP_ID % n_azimuth``, of the bins that have a cube.
    """
    return {
        azimuth: ZenithModel.of_groups(
            [cube for group, cube in cubes.items() if group % n_azimuth == azimuth],
            [runs for group, runs in groups.items() if group % n_azimuth == azimuth],
        )
        for azimuth in sorted({group % n_azimuth for group in cubes})
    }


def predict(cube, observation, events=None):
    """Events that a cube predicts for a run in each bin, full shape.

    NaN where the run's threshold, its regions or the cube know nothing.

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
        kept = unmasked_fraction(axes, events.pointing, events.gti, observation.excluded)
        counts *= np.where(kept > 0, kept, np.nan)
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
    predicted = predict(cube, observation, events)
    counts = cube.axes.fill(events.energy, events.fov_lon, events.fov_lat)
    n, total = int(counts[np.isfinite(predicted)].sum()), float(np.nansum(predicted))
    if not (n and total):
        return RunNorm(1.0, np.inf, n, total)
    return RunNorm(n / total, np.sqrt(n) / total, n, total)


def scaled(cube, factor):
    """A cube with its rate times a factor."""
    error = None if cube.rate_error is None else cube.rate_error * factor
    return replace(cube, rate=cube.rate * factor, rate_error=error)


def _mean_cosine(observations, axes):
    """Livetime-weighted mean cos(zenith) of the runs that expose each energy, (n_energy,)."""
    total, weighted = np.zeros(axes.shape[0]), np.zeros(axes.shape[0])
    for observation in observations:
        first = first_bin(axes, observation.energy_threshold, True)
        total[first:] += observation.livetime
        weighted[first:] += observation.livetime * np.sin(np.deg2rad(observation.alt))
    with np.errstate(invalid="ignore"):
        return weighted / np.where(total > 0, total, np.nan)
