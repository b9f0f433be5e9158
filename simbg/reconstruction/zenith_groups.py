"""A model of each run by any method: cubes of zenith groups, interpolated in cos(zenith)."""

from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.groups import Groups
from simbg.observations.threshold import first_bin
from simbg.reconstruction.contract import (
    Reconstructor,
    errors_in_one_line,
    reconstruct,
    with_executor,
)

__all__ = ["ZenithGroups", "fit_runs"]


@dataclass(frozen=True)
class ZenithGroups:
    """Models each run: one cube a group of observations, interpolated between the groups.

    Parameters
    ----------
    method : Reconstructor
        Makes the cube of a group.
    groups : Groups
        In altitude and azimuth; cubes are interpolated within one bin in azimuth.
    """

    method: Reconstructor
    groups: Groups

    def fit(self, observations, axes):
        """The models of runs from the observations that lie in a group.

        Parameters
        ----------
        observations : sequence of Observation
        axes : Axes

        Returns
        -------
        models : ZenithModels
        """
        by_group = self.groups.split(observations)
        cubes = {
            group: reconstruct(self.method, members, axes) for group, members in by_group.items()
        }
        cosines = {group: _mean_cosine(members, axes) for group, members in by_group.items()}
        return ZenithModels(axes, self.groups, cubes, cosines)


@dataclass(frozen=True, eq=False)
class ZenithModels:
    """Cubes of groups of runs, interpolated in cos(zenith), bin by bin.

    Parameters
    ----------
    axes : Axes
    groups : Groups
    cubes : dict of int to BackgroundCube
        By GROUP_ID, over ``axes``.
    cosines : dict of int to ndarray, shape (n_energy,)
        Livetime-weighted mean cos(zenith) of the runs that expose each energy, by GROUP_ID; NaN
        where none does.

    Notes
    -----
    Between the two groups i and j next to it in c = cos(zenith) the rate is their weighted mean,
    R = w R_j + (1 − w) R_i with w = (c − c_i) / (c_j − c_i), and so never negative. A bin has the
    groups that have a rate there: where a threshold rises with zenith, low energies have fewer
    groups. Outside of the range the nearest group holds.
    """

    axes: Axes
    groups: Groups
    cubes: dict[int, BackgroundCube]
    cosines: dict[int, np.ndarray]

    def at(self, observation):
        """The cube at an observation's zenith and azimuth, per livetime, without its norm.

        Its error is that of the weighted mean. A bin in azimuth without groups has no rate.
        """
        zenith = 90 - observation.alt
        azimuth, n_azimuth = self.groups.azimuth_bin(observation.az), self.groups.n_azimuth
        chosen = [group for group in self.cubes if group % n_azimuth == azimuth]
        cubes = [self.cubes[group].per("livetime") for group in chosen]
        rate, error, method = np.full(self.axes.shape, np.nan), None, ""
        if cubes:
            cosines = np.array([self.cosines[group] for group in chosen])
            rate, error = _interpolated(cubes, cosines, np.cos(np.deg2rad(zenith)))
            method = cubes[0].meta.get("METHOD", "")
        times = {
            clock: np.where(np.isfinite(rate), getattr(observation, clock), 0.0)
            for clock in ("livetime", "ontime")
        }
        meta = {"METHOD": method, "ZENITH": float(zenith)}
        return BackgroundCube(self.axes, rate, error, meta=meta, **times)


def fit_runs(method, observations, axes, groups, executor=None):
    """Models of runs, by the method's own ``fit`` or else by `ZenithGroups`.

    Parameters
    ----------
    method : Reconstructor
    observations : sequence of Observation
    axes : Axes
    groups : Groups
        For `ZenithGroups`.
    executor : concurrent.futures.Executor, optional
        For a method that has a field of this name.

    Returns
    -------
    models : object
        With ``at(observation)``, see `simbg.reconstruction.contract.Reconstructor`.
    """
    method = with_executor(method, executor)
    fits = method if hasattr(method, "fit") else ZenithGroups(method, groups)
    with errors_in_one_line(method):
        return fits.fit(observations, axes)


def _interpolated(cubes, cosines, cosine):
    """Rate, and its error if all cubes have one, between the groups just below and above.

    ``cosines`` has shape (n_group, n_energy).
    """
    rates = np.array([cube.rate for cube in cubes])
    cosines = np.where(np.isfinite(rates), cosines[:, :, None, None], np.nan)
    below = np.where(cosines <= cosine, cosines, -np.inf)
    above = np.where(cosines > cosine, cosines, np.inf)
    groups = [below.argmax(axis=0)[None], above.argmin(axis=0)[None]]
    x0, x1 = below.max(axis=0), above.min(axis=0)
    with np.errstate(invalid="ignore"):
        weight = np.where(np.isfinite(x0 + x1), (cosine - x0) / (x1 - x0), np.isfinite(x1))
    weights = [np.where(np.isfinite(x0), 1 - weight, 0.0), weight]
    known = np.isfinite(x0) | np.isfinite(x1)

    def terms(values):
        for group, weight in zip(groups, weights, strict=True):
            yield weight * np.take_along_axis(np.nan_to_num(values), group, axis=0)[0]

    rate = np.where(known, sum(terms(rates)), np.nan)
    if any(cube.rate_error is None for cube in cubes):
        return rate, None
    variance = sum(term**2 for term in terms([cube.rate_error for cube in cubes]))
    return rate, np.where(known, np.sqrt(variance), np.nan)


def _mean_cosine(observations, axes):
    """Livetime-weighted mean cos(zenith) of the runs that expose each energy, (n_energy,)."""
    total, weighted = np.zeros(axes.shape[0]), np.zeros(axes.shape[0])
    for observation in observations:
        first = first_bin(axes, observation.energy_threshold, True)
        total[first:] += observation.livetime
        weighted[first:] += observation.livetime * np.sin(np.deg2rad(observation.alt))
    with np.errstate(invalid="ignore"):
        return weighted / np.where(total > 0, total, np.nan)
