"""The contract of a method: what it is given, what it returns, and how it is called."""

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from astropy import units as u

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.observations.exposure import stack_observations
from simbg.observations.observation import Observation

__all__ = ["Reconstructor", "axes_for", "check_cube", "reconstruct"]

RATE_UNIT = "s-1 MeV-1 sr-1"
UNITS = {"rate": RATE_UNIT, "rate_error": RATE_UNIT, "counts": "", "livetime": "s", "ontime": "s"}


@runtime_checkable
class Reconstructor(Protocol):
    """Estimates the background rate of some observations, blind to the truth.

    Nobody needs to import this to conform: a ``name`` and this one method do. What it
    returns is a `BackgroundCube`, or anything with a ``rate`` (a Quantity, or an array in
    s-1 MeV-1 sr-1) over the axes it was given, and what else of a cube it knows:
    ``rate_error``, ``counts``, ``livetime``, ``ontime``, and a ``clock`` that says what a
    second of the rate is, "livetime" without.

    A method that models each run also has ``fit(observations, axes)``, whose result has
    ``at(observation)``: the cube of an observation that it may not have seen. Any other method
    models each run by `simbg.reconstruction.zenith_groups.ZenithGroups`.

    An author may add ``default_axes(observations)``, the binning to use where the
    user names none, a field ``executor``, which is then set to a
    `concurrent.futures.Executor`, ``threshold_bin`` (see `stack_observations`), and
    ``known``, a mapping of metrics to why the method fails them.
    """

    name: str

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate over ``axes``, ALTAZ-aligned."""


def axes_for(method, observations):
    """The axes that a method prefers for some observations, or 2015's."""
    if hasattr(method, "default_axes"):
        return method.default_axes(observations)
    return edition2015_axes(len(observations))


def reconstruct(
    method: Reconstructor,
    observations: Sequence[Observation],
    axes: Axes | None = None,
    executor: Executor | None = None,
) -> BackgroundCube:
    """The checked cube of a method, with counts and exposure.

    Parameters
    ----------
    method : Reconstructor
    observations : sequence of Observation
    axes : Axes, optional
        By default those that the method prefers.
    executor : concurrent.futures.Executor, optional
        For a method that has a field of this name.

    Raises
    ------
    ValueError
        In one line, whatever the method raises, but for errors of files and of executors.
    """
    method = with_executor(method, executor)
    axes = axes_for(method, observations) if axes is None else axes
    with errors_in_one_line(method):
        cube = check_cube(method.reconstruct(observations, axes), axes)
    if cube.livetime is not None and cube.ontime is not None:
        return cube
    stack = stack_observations(observations, axes, getattr(method, "threshold_bin", "drop"))
    return replace(cube, counts=stack.counts, livetime=stack.livetime, ontime=stack.ontime)


def with_executor(method, executor):
    """The method with its field ``executor`` set, if it has one."""
    if executor and is_dataclass(method) and "executor" in {f.name for f in fields(method)}:
        return replace(method, executor=executor)
    return method


@contextmanager
def errors_in_one_line(method):
    """What a method raises becomes a ValueError of one line that names the method."""
    try:
        yield
    except (ValueError, OSError, BrokenExecutor):
        raise
    except (Exception, SystemExit) as error:
        raise ValueError(f"method {method.name!r}: {in_one_line(error)}") from error


def check_cube(returned, axes):
    """The cube that a method returned, if it is one, over the axes that it was given.

    Raises
    ------
    ValueError
        If it is anything else, or has no rate at all.
    """
    cube = _as_cube(returned, axes)
    if not cube.axes.same_as(axes):
        raise ValueError(
            f"method returned a cube of {cube.axes.shape} bins, expected the axes that it was "
            f"given, {axes.shape}"
        )
    exposed = cube.livetime is None or np.any(cube.livetime > 0)
    if exposed and not np.isfinite(cube.rate).any():
        raise ValueError("method returned a cube without any finite rate, expected some")
    errors = cube.rate_error
    if np.isinf(cube.rate).any() or (errors is not None and np.any(errors < 0)):
        raise ValueError("method returned infinite rates or negative errors, expected neither")
    return cube


def _as_cube(returned, axes):
    """Anything with a rate as a cube without units or masks, which others would drop in silence."""
    if not hasattr(returned, "rate"):
        got = type(returned).__name__
        raise ValueError(f"method returned {got}, expected a BackgroundCube or what has a rate")
    arrays = {name: getattr(returned, name, None) for name in UNITS}
    if isinstance(returned, BackgroundCube) and all(
        value is None or type(value) is np.ndarray for value in arrays.values()
    ):
        return returned
    axes = getattr(returned, "axes", axes)
    if not isinstance(axes, Axes):
        axes = Axes(*(getattr(axes, name) for name in ("energy", "fov_lon", "fov_lat")))
    arrays = {name: _bare(name, value) for name, value in arrays.items()}
    return BackgroundCube(axes, **arrays, clock=getattr(returned, "clock", "livetime"))


def _bare(name, value):
    """An array of float in the unit of a cube, NaN where it is masked; None for None."""
    if value is None:
        return None
    if isinstance(value, u.Quantity):
        value = value.to_value(UNITS[name])
    value = np.ma.asarray(value)
    if np.iscomplexobj(value):
        raise ValueError(f"method returned a complex {name}, expected real numbers")
    return value.astype(float).filled(np.nan)
