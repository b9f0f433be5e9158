"""A model of each run from any method: cubes of zenith groups, interpolated in cos(zenith)."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
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
    """Models each run: one cube per group of observations, interpolated between the groups.

    Parameters
    ----------
    method : Reconstructor
        Makes the cube of each group.
    groups : Groups
        Groups in altitude and azimuth; cubes are interpolated within one bin in azimuth.

    Examples
    --------
    >>> from simbg.axes import edition2015_axes
    >>> from simbg.reconstruction.histogram import Histogram
    >>> from simbg.simulation.experiment import Experiment
    >>> from simbg.simulation.library import SCENARIOS
    >>> observations = Experiment.of(SCENARIOS["night"], seed=0).observations()
    >>> groups = Groups.by_exposure(observations, "runs", 4)
    >>> models = ZenithGroups(Histogram(), groups).fit(observations, edition2015_axes(8))
    >>> models.at(observations[0]).rate.shape
    (10, 20, 20)
    """

    method: Reconstructor
    groups: Groups

    def fit(self, observations: Sequence[Observation], axes: Axes) -> "ZenithModels":
        """Models of runs, from the observations that belong to a group.

        Parameters
        ----------
        observations : sequence of Observation
            The observations; those outside of all groups are not used.
        axes : Axes
            Axes of the cubes.

        Returns
        -------
        ZenithModels
            Cubes of the groups, with ``at(observation)``.

        Examples
        --------
        >>> from simbg.reconstruction.histogram import Histogram
        >>> from simbg.simulation.experiment import Experiment
        >>> from simbg.simulation.library import SCENARIOS
        >>> observations = Experiment.of(SCENARIOS["night"], seed=0, n_obs=2).observations()
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> models = ZenithGroups(Histogram(), Groups()).fit(observations, axes)
        >>> models.at(observations[0]).rate.shape
        (4, 6, 6)
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
        Axes of the cubes.
    groups : Groups
        Groups in altitude and azimuth.
    cubes : dict of int to BackgroundCube
        Cube of each group, by GROUP_ID.
    cosines : dict of int to ndarray, shape (n_energy,)
        Livetime-weighted mean cos(zenith) of the runs that expose each energy bin, by GROUP_ID; NaN
        in bins without such runs.

    Notes
    -----
    With c = cos(zenith) between the values of the neighbouring groups i and j, the rate is
    R = w R_j + (1 − w) R_i with w = (c − c_i) / (c_j − c_i), which is never negative. Only groups
    with a rate in a bin are used there: if the threshold rises with zenith, low energies have fewer
    groups. Outside of the range of all groups the nearest one is used.
    """

    axes: Axes
    groups: Groups
    cubes: dict[int, BackgroundCube]
    cosines: dict[int, np.ndarray]

    def at(self, observation: Observation) -> BackgroundCube:
        """The cube at an observation's zenith and azimuth, per livetime, without its norm.

        Its error is that of the weighted mean. A bin in azimuth without groups has no rate (NaN).
        """
        zenith = 90 - observation.alt
        azimuth, n_azimuth = self.groups.azimuth_bin(observation.az), self.groups.n_azimuth
        chosen = [group for group in self.cubes if group % n_azimuth == azimuth]
        cubes = [self.cubes[group].per("livetime") for group in chosen]
        cube, method = BackgroundCube(self.axes, np.full(self.axes.shape, np.nan)), ""
        if cubes:
            cosines = np.array([self.cosines[group] for group in chosen])
            cube = _interpolated(cubes, cosines, np.cos(np.deg2rad(zenith)))
            method = cubes[0].meta.get("METHOD", "")
        times: dict[str, Any] = {
            clock: np.where(np.isfinite(cube.rate), getattr(observation, clock), 0.0)
            for clock in ("livetime", "ontime")
        }
        meta = {"METHOD": method, "ZENITH": float(zenith)}
        return replace(cube, meta=meta, **times)


def fit_runs(
    method: Reconstructor,
    observations: Sequence[Observation],
    axes: Axes,
    groups: Groups,
    executor: Executor | None = None,
) -> Any:
    """Models of runs, from the method's own ``fit`` or from `ZenithGroups`.

    Parameters
    ----------
    method : Reconstructor
        The method.
    observations : sequence of Observation
        The observations.
    axes : Axes
        Axes of the cubes.
    groups : Groups
        Groups for `ZenithGroups`.
    executor : concurrent.futures.Executor, optional
        Used by a method that has a field with this name.

    Returns
    -------
    object
        Models with ``at(observation)``, see `simbg.reconstruction.contract.Reconstructor`.

    Raises
    ------
    ValueError
        If the method raises an error or a cube is not valid. The message has one line.
    """
    method = with_executor(method, executor)
    fit = getattr(method, "fit", None) or ZenithGroups(method, groups).fit
    with errors_in_one_line(method):
        return fit(observations, axes)


def _interpolated(cubes, cosines, cosine):
    """Cube between the nearest groups below and above, with errors if all cubes have errors.

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
    has_rate = np.isfinite(x0) | np.isfinite(x1)

    def terms(values):
        for group, weight in zip(groups, weights, strict=True):
            yield weight * np.take_along_axis(np.nan_to_num(values), group, axis=0)[0]

    rate = np.where(has_rate, sum(terms(rates)), np.nan)
    cube = BackgroundCube(cubes[0].axes, rate)
    if any(other.rate_error is None for other in cubes):
        return cube
    variance = sum(term**2 for term in terms([other.rate_error for other in cubes]))
    cube = replace(cube, rate_error=np.where(has_rate, np.sqrt(variance), np.nan))
    if any(other.extrapolated is None for other in cubes):
        return cube
    used = [
        sum(w * (group[0] == i) for group, w in zip(groups, weights, strict=True))
        for i in range(len(cubes))
    ]
    covariance = tuple(
        part.times(np.divide(w * other.rate, rate, out=np.zeros(rate.shape), where=w > 0))
        for other, w in zip(cubes, used, strict=True)
        for part in other.covariance
        if np.any(w > 0)
    )
    extrapolated = sum((w > 0) & other.extrapolated for other, w in zip(cubes, used, strict=True))
    return replace(cube, extrapolated=extrapolated > 0, covariance=covariance)


def _mean_cosine(observations, axes):
    """Livetime-weighted mean cos(zenith) of the runs that expose each energy, (n_energy,)."""
    total, weighted = np.zeros(axes.shape[0]), np.zeros(axes.shape[0])
    for observation in observations:
        first = first_bin(axes, observation.energy_threshold, True)
        total[first:] += observation.livetime
        weighted[first:] += observation.livetime * np.sin(np.deg2rad(observation.alt))
    with np.errstate(invalid="ignore"):
        return weighted / np.where(total > 0, total, np.nan)
