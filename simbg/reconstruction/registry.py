"""Methods that estimate the background rate from observations, blind to the truth."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

import numpy as np
from astropy import units as u

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.observations.observation import Observation
from simbg.reconstruction.edition2015 import Default, Michi
from simbg.reconstruction.histogram import Histogram

__all__ = ["METHODS", "Default", "Histogram", "Michi", "Reconstructor"]
__all__ += ["axes_for", "check_cube", "find_method", "method_names"]

RATE_UNIT = "s-1 MeV-1 sr-1"
UNITS = {"rate": RATE_UNIT, "rate_error": RATE_UNIT, "counts": "", "livetime": "s", "ontime": "s"}
GROUP = "simbg.reconstructors"
METHODS = {"histogram": Histogram, "default": Default, "michi": Michi}


@runtime_checkable
class Reconstructor(Protocol):
    """Estimates the background rate of some observations, blind to the truth.

    Nobody needs to import this to conform: a ``name`` and this one method do. What it
    returns is a `BackgroundCube`, or anything with a ``rate`` (a Quantity, or an array in
    s-1 MeV-1 sr-1) over the axes it was given, and what else of a cube it knows:
    ``rate_error``, ``counts``, ``livetime``, ``ontime``, and a ``clock`` that says what a
    second of the rate is, "livetime" without.

    An author may add ``default_axes(observations)``, the binning to use where the
    user names none, a field ``executor``, which is then set to a
    `concurrent.futures.Executor`, ``threshold_bin`` (see `stack_observations`), and
    ``known``, a mapping of metrics to why the method fails them.
    """

    name: str

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate over ``axes``, ALTAZ-aligned."""


def find_method(name):
    """The method of a name: ours, an entry point ``simbg.reconstructors``, or ``module:Object``.

    Returns
    -------
    method : Reconstructor

    Raises
    ------
    ValueError
        If nothing of that name can be loaded, or it is no reconstructor.

    Examples
    --------
    >>> find_method("histogram").name
    'histogram'
    >>> find_method("simbg.reconstruction.registry:Michi").name
    'michi'
    """
    if name in METHODS:
        return METHODS[name]()
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found and ":" not in name:
        known = ", ".join([*METHODS, *found])
        raise ValueError(f"method: got {name!r}, expected one of {known}, or module:Object")
    try:
        target = found[name].load() if name in found else _load(name)
        method = target() if isinstance(target, type) else target
    except (Exception, SystemExit) as error:
        raise ValueError(f"method {name!r} cannot be loaded: {in_one_line(error)}") from error
    if not isinstance(method, Reconstructor):
        got = type(method).__name__
        raise ValueError(f"method {name!r}: got {got}, expected a name and a reconstruct()")
    return method


def method_names():
    """Our methods, and those that are installed."""
    return [*METHODS, *sorted(entry.name for entry in entry_points(group=GROUP))]


def axes_for(method, observations):
    """The axes that a method prefers for some observations, or 2015's."""
    if hasattr(method, "default_axes"):
        return method.default_axes(observations)
    return edition2015_axes(len(observations))


def check_cube(cube, axes):
    """The cube that a method returned, if it is one, over the axes that it was given.

    Raises
    ------
    ValueError
        If it is anything else, or has no rate at all.
    """
    if not isinstance(cube, BackgroundCube) or not _is_bare(cube):
        cube = _as_cube(cube, axes)
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


def _as_cube(found, axes):
    """What looks like a cube as one."""
    if not hasattr(found, "rate"):
        got = type(found).__name__
        raise ValueError(f"method returned {got}, expected a BackgroundCube or what has a rate")
    axes = getattr(found, "axes", axes)
    if not isinstance(axes, Axes):
        axes = Axes(*(getattr(axes, name) for name in ("energy", "fov_lon", "fov_lat")))
    arrays = {}
    for name, unit in UNITS.items():
        value = getattr(found, name, None)
        if isinstance(value, u.Quantity):
            value = value.to_value(unit)
        arrays[name] = None if value is None else _bare(name, value)
    return BackgroundCube(axes, **arrays, clock=getattr(found, "clock", "livetime"))


def _is_bare(cube):
    """Whether its arrays have neither units nor masks, which others would drop in silence."""
    arrays = (getattr(cube, name) for name in UNITS)
    return all(value is None or type(value) is np.ndarray for value in arrays)


def _bare(name, value):
    """An array of float, NaN where it is masked."""
    value = np.ma.asarray(value)
    if np.iscomplexobj(value):
        raise ValueError(f"method returned a complex {name}, expected real numbers")
    return value.astype(float).filled(np.nan)


def _load(name):
    module, _, attribute = name.partition(":")
    target = importlib.import_module(module)
    for part in attribute.split("."):
        target = getattr(target, part)
    return target
