"""The contract of a method: its arguments, its result, and how it is called."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from simbg.axes import Axes, edition2015_axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.observations.exposure import stack_observations
from simbg.observations.observation import Observation
from simbg.observations.stacked_counts import EventRecord, digest_of_events
from simbg.observations.threshold import resolve
from simbg.parallel.executors import Watched
from simbg.quantities import in_unit

__all__ = ["Reconstructor", "axes_for", "check_cube", "reconstruct", "reconstruct_groups"]

OURS = "simbg.reconstruction"
RATE_UNIT = "s-1 MeV-1 sr-1"
UNITS = {"rate": RATE_UNIT, "rate_error": RATE_UNIT, "counts": "", "livetime": "s", "ontime": "s"}


@runtime_checkable
class Reconstructor(Protocol):
    """Estimates the background rate of some observations, without access to the truth.

    A class conforms if it has a ``name`` and the method `reconstruct`; it does not need to import
    this protocol. The result is a `BackgroundCube`, or any object with a ``rate`` (a Quantity, or
    an array in s-1 MeV-1 sr-1) over the given axes. Optional attributes of the result are
    ``rate_error``, ``counts``, ``livetime``, ``ontime``, and ``clock``, which says whether the rate
    is per "livetime" (default) or per "ontime".

    A method that models each run also has ``fit(observations, axes)``, whose result has
    ``at(observation)``: the cube of an observation, which need not be one of those in the fit. All
    other methods model each run with `simbg.reconstruction.zenith_groups.ZenithGroups`.

    Other optional attributes are ``default_axes(observations)``, the binning to use if the user
    gives none; a dataclass field ``executor``, which is then set to a
    `concurrent.futures.Executor`; ``threshold_bin`` (see `stack_observations`); and ``promises``, a
    mapping with the largest rms relative "bias" (0.01 if not given), and the largest "noise" as a
    multiple of that of raw counts (1.05 if not given), by which the suite judges the method. A
    method of simbg may have a function ``estimate(stack)`` that gives the cube of a
    `StackedCounts`; ``linear``, whether this cube is linear in the counts; and ``costly``, whether
    a cube takes more than a tenth of a second, so that the suite makes fewer of them.

    Examples
    --------
    >>> class Flat:
    ...     name = "flat"
    ...
    ...     def reconstruct(self, observations, axes):
    ...         return BackgroundCube(axes, np.full(axes.shape, 1e-6))
    >>> isinstance(Flat(), Reconstructor)
    True
    """

    name: str

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Estimate the rate.

        Parameters
        ----------
        observations : sequence of Observation
            The observations.
        axes : Axes
            Axes of the cube, ALTAZ-aligned.

        Returns
        -------
        BackgroundCube
            The rate over ``axes``.

        Examples
        --------
        >>> from simbg.reconstruction.histogram import Histogram
        >>> from simbg.simulation.experiment import Experiment
        >>> from simbg.simulation.library import SCENARIOS
        >>> observations = Experiment.of(SCENARIOS["night"], seed=0, n_obs=2).observations()
        >>> axes = Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))
        >>> Histogram().reconstruct(observations, axes).rate.shape
        (4, 6, 6)
        """


def axes_for(method: Reconstructor, observations: Sequence[Observation]) -> Axes:
    """The axes that a method prefers for some observations, or those of 2015."""
    default_axes = getattr(method, "default_axes", None)
    if default_axes is not None:
        return default_axes(observations)
    return edition2015_axes(len(observations))


def reconstruct(
    method: Reconstructor,
    observations: Sequence[Observation],
    axes: Axes | None = None,
    executor: Executor | None = None,
) -> BackgroundCube:
    """Run a method, check its cube, and add counts and exposure if it has none.

    Parameters
    ----------
    method : Reconstructor
        The method.
    observations : sequence of Observation
        The observations.
    axes : Axes, optional
        Axes of the cube, by default those that the method prefers.
    executor : concurrent.futures.Executor, optional
        Used by a method that has a field with this name.

    Returns
    -------
    BackgroundCube
        A cube over ``axes`` with counts, livetime, ontime and the runs that it was made from.

    Raises
    ------
    ValueError
        If the method raises an error or its result is not valid. The message has one line.
        Errors of files (OSError) and of executors are raised as they are.
    """
    method = with_executor(method, executor)
    axes = axes_for(method, observations) if axes is None else axes
    runs = dict[int, tuple[int, int, int]]()
    given = observations
    if not _is_ours(method):  # ours state their runs
        given = [replace(run, load=partial(_load, run, runs)) for run in observations]
    with errors_in_one_line(method):
        cube = check_cube(method.reconstruct(given, axes), axes, observations)
    # A method that reads events in other processes may not know its runs.
    if cube.made_from is None and len(runs) == len(observations):
        cube = replace(cube, made_from=EventRecord.of(runs.values()))
    if cube.livetime is not None and cube.ontime is not None:
        return cube
    stack = stack_observations(observations, axes, getattr(method, "threshold_bin", "drop"))
    names = "counts", "livetime", "ontime", "made_from"
    added: dict[str, Any] = {name: getattr(stack, name) for name in names}
    return replace(cube, **added)


def reconstruct_groups(
    method: Reconstructor,
    groups: Mapping[int, tuple[Sequence[Observation], Axes]],
    executor: Executor | None = None,
) -> Iterator[BackgroundCube]:
    """Cubes of groups in order; the fits of several groups run in parallel.

    Parameters
    ----------
    method : Reconstructor
        The method.
    groups : mapping of int to tuple
        Observations and axes of each group.
    executor : concurrent.futures.Executor, optional
        Adds up the runs of a group, and fits groups, if the method is one of simbg.
    """
    if not (_is_ours(method) and isinstance(executor, Watched) and len(groups) > 1):
        for observations, axes in groups.values():
            yield reconstruct(method, observations, axes, executor)
        return
    rule = getattr(method, "threshold_bin", "drop")
    stacks = ((resolve(stack_observations(*group, rule, executor)),) for group in groups.values())
    # The next group is added up while others are fitted.
    fits = executor.results(
        partial(_estimate, method), stacks, [0] * len(groups), executor.n_workers
    )
    for (observations, axes), (cube, lines) in zip(groups.values(), fits, strict=True):
        for name, level, line in lines:
            logging.getLogger(name).log(level, "%s", line)
        yield check_cube(cube, axes, observations)


def _is_ours(method):
    """Whether a method is one of simbg, which estimates a cube from a stack of its runs."""
    return hasattr(method, "estimate") and type(method).__module__.startswith(OURS)


class Lines(logging.Handler):
    """Collects what is logged in a worker."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the line of a record."""
        self.lines.append((record.name, record.levelno, record.getMessage()))


def _estimate(method, stack):
    """The cube of a stack, and the lines that were logged."""
    logger, handler = logging.getLogger(OURS), Lines()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with errors_in_one_line(method):
            return method.estimate(stack), handler.lines
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def _load(observation, runs):
    """The events of a run, which is recorded."""
    events = observation.load()
    number = observation.obs_id
    runs[number] = number, len(events), digest_of_events(events.energy)
    return events


def with_executor(method: Any, executor: Executor | None) -> Any:
    """The method with its field ``executor`` set, if it has this field."""
    if executor and is_dataclass(method) and not isinstance(method, type):
        names = {field.name for field in fields(method)}
        return replace(method, executor=executor) if "executor" in names else method
    return method


@contextmanager
def errors_in_one_line(method: Reconstructor) -> Iterator[None]:
    """Convert errors of a method to a ValueError of one line that names the method.

    Raises
    ------
    ValueError
        For any error except OSError and errors of executors, which are raised as they are.
    """
    try:
        yield
    except (ValueError, OSError, BrokenExecutor):
        raise
    except (Exception, SystemExit) as error:
        raise ValueError(f"method {method.name!r}: {in_one_line(error)}") from error


def check_cube(
    returned: Any, axes: Axes, observations: Sequence[Observation] = ()
) -> BackgroundCube:
    """Check the result of a method and return it as a cube over the axes that it was given.

    Parameters
    ----------
    returned : object
        Result of a method: a `BackgroundCube`, or an object with a ``rate``.
    axes : Axes
        The axes that the method was given.
    observations : sequence of Observation
        The observations that it was given, whose exposure may explain infinite rates.

    Returns
    -------
    BackgroundCube
        A cube without units or masked values.

    Raises
    ------
    ValueError
        If the result has no rate, other axes, no finite rate although there is exposure, an
        infinite rate (the message says in which bins, and whether they have an exposure) or a
        negative error.
    """
    cube = _as_cube(returned, axes)
    if not cube.axes.same_as(axes):
        raise ValueError(
            f"method returned a cube with other axes ({cube.axes.shape} bins), expected the given "
            f"axes ({axes.shape} bins)"
        )
    exposed = cube.livetime is None or np.any(cube.livetime > 0)
    if exposed and not np.isfinite(cube.rate).any():
        raise ValueError("method returned a cube without a finite rate, expected one or more")
    if np.isinf(cube.rate).any():
        raise ValueError(_infinite(cube, observations))
    if cube.rate_error is not None and (bad := np.count_nonzero(cube.rate_error < 0)):
        raise ValueError(f"method returned {bad} negative errors, expected errors of 0 or more")
    return cube


def _infinite(cube, observations):
    """Which rates are infinite, and why."""
    infinite, axes = np.isinf(cube.rate), cube.axes
    ranges = []
    for edges, bins in zip(
        (axes.energy, axes.fov_lon, axes.fov_lat), infinite.nonzero(), strict=True
    ):
        ranges.append(f"{edges[bins.min()]:.3g} to {edges[bins.max() + 1]:.3g}")
    text = (
        "method returned {} of {} rates that are infinite, at {} TeV, fov_lon {} and fov_lat {} deg"
    )
    text = text.format(infinite.sum(), infinite.size, *ranges)
    livetime = cube.livetime
    if livetime is None and observations:
        livetime = stack_observations(observations, axes).livetime
    if livetime is not None:
        n = np.count_nonzero(infinite & (livetime == 0))
        text += f"; {n} of them have no exposure (below all thresholds, or always masked)"
    return f"{text}; expected finite rates, and NaN without exposure"


def _as_cube(returned, axes):
    """An object with a rate as a cube without units or masks, which other code would ignore."""
    if not hasattr(returned, "rate"):
        got = type(returned).__name__
        raise ValueError(
            f"method returned {got}, expected a BackgroundCube or an object with a rate"
        )
    arrays: dict[str, Any] = {name: getattr(returned, name, None) for name in UNITS}
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
    if getattr(value, "unit", None) is not None:
        value = in_unit(value, UNITS[name], name)
    value = np.ma.asarray(value)
    if np.iscomplexobj(value):
        raise ValueError(f"method returned a complex {name}, expected real numbers")
    return value.astype(float).filled(np.nan)
