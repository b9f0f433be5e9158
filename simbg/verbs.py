"""The functions of ``import simbg``: simulate, reconstruct, compare, validate.

Each function imports the modules that it needs when it is called. Therefore a method can call
`reconstruct` without loading modules that know the truth, and the library does not need the
validation suite.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.axes import Axes, check_axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_pair
from simbg.io.gammapy_objects import is_of_gammapy, observation_of
from simbg.notices import collected
from simbg.observations.observation import Observation
from simbg.reconstruction import DEFAULT_METHOD

if TYPE_CHECKING:
    from gammapy.data import Observations

    from simbg.radial import RadialModel
    from simbg.reconstruction.contract import Reconstructor
    from simbg.simulation.experiment import Experiment
    from simbg.simulation.scenario import Scenario
    from simbg.validation.comparison.compare import Comparison
    from simbg.validation.suite.suite import Suite

__all__ = [
    "attach",
    "compare",
    "fit_models",
    "reconstruct",
    "reconstruct_radial",
    "simulate",
    "validate",
]

log = logging.getLogger(__name__)


def simulate(
    scenario: "str | Scenario" = "realistic", seed: int = 0, n_obs: int | None = None
) -> "Experiment":
    """Simulate the observations of a scenario.

    Parameters
    ----------
    scenario : str or Scenario
        A name in `simbg.SCENARIOS`, or a scenario of your own.
    seed : int
        Seed of the runs and of their events.
    n_obs : int, optional
        Number of observations; default: the scenario's.

    Returns
    -------
    experiment : Experiment
        `reconstruct` accepts it. It has ``observations()``, ``true_cube(axes)``, and
        ``write(path)`` for a data store. Events are simulated each time they are read.

    Raises
    ------
    ValueError
        If no scenario has this name.

    Examples
    --------
    >>> import simbg
    >>> night = simbg.simulate("night", seed=1)
    >>> night
    <Experiment night: 8 runs, seed 1>
    >>> night.true_cube().axes.shape
    (10, 20, 20)
    """
    from simbg.simulation.experiment import Experiment
    from simbg.simulation.library import find_scenario

    return Experiment.of(find_scenario(scenario), seed, n_obs)


def reconstruct(
    observations: Any,
    axes: Axes | None = None,
    method: "str | type | Reconstructor" = DEFAULT_METHOD,
    executor: Executor | None = None,
    exclude: Any = (),
) -> BackgroundCube:
    """Reconstruct the background cube of some observations.

    Parameters
    ----------
    observations : sequence of Observation, Store, Experiment, or Observations of gammapy
        The observations of one cube.
    axes : Axes, optional
        Default: the axes that the method prefers. If it has none, the axes of 2015, which depend
        on the number of observations (`simbg.edition2015_axes`).
    method : str, class or Reconstructor
        A name in `simbg.METHODS`, the name of an installed method, ``module:Object``, or the
        method itself.
    executor : concurrent.futures.Executor, optional
        Reads observations in parallel; the result is the same.
    exclude : path-like, regions.Regions, WcsNDMap, Region, or list of these
        What is masked in addition to the excluded regions of the observations: DS9 files, source
        tables, mask images, or objects, as in `simbg.Selection`. The catalogue of known sources is
        not masked.

    Returns
    -------
    cube : BackgroundCube
        The rate with counts and exposure, and with errors if the method computes them. If no event
        lies inside the axes, or if the data contradict themselves, a warning says so.

    Raises
    ------
    ValueError
        If there are no observations, if no method has this name, or if the method fails.

    Examples
    --------
    >>> import simbg
    >>> axes = simbg.Axes.regular(energy=("100 GeV", "50 TeV", 10), fov=(3, 20))
    >>> cube = simbg.reconstruct(simbg.simulate("night"), axes)
    >>> cube.axes.shape, bool(cube.total > 0)
    ((10, 20, 20), True)
    """
    from simbg.reconstruction import contract
    from simbg.reconstruction.registry import find_method

    found = find_method(method)
    if axes is not None:
        check_axes(axes)
    _check_executor(executor)
    with collected() as noticed, _shown(executor) as shown:
        runs = _observations(observations, exclude)
        cube = contract.reconstruct(found, runs, axes, shown)
    for line in noticed.lines:
        log.warning(line)
    if cube.counts is not None and not cube.counts.any():
        low, *_, high = cube.axes.energy
        energy = runs[0].load().energy
        got = f"{min(energy):.3g} to {max(energy):.3g} TeV" if len(energy) else "no events"
        log.warning(
            "no event above the thresholds lies inside the axes (%.3g to %.3g TeV); run %s has %s; "
            "plain numbers are TeV: use Quantities for GeV",
            *(low, high, runs[0].obs_id, got),
        )
    return cube


def reconstruct_radial(
    observations: Any,
    axes: Axes | None = None,
    energy: Any = None,
    offset: Any = None,
    executor: Executor | None = None,
    exclude: Any = (),
) -> "RadialModel":
    """Reconstruct a radial model: the rate in rings about the pointing.

    Parameters
    ----------
    observations : sequence of Observation, Store, Experiment, or Observations of gammapy
        The observations of one model.
    axes : Axes, optional
        Axes of a cube: its energies, and rings as wide as its pixels up to its widest side.
        Default: the axes of 2015.
    energy, offset : array_like, Quantity or MapAxis, optional
        Edges in place of those of ``axes``; bare numbers are in TeV and deg.
    executor : concurrent.futures.Executor, optional
        Reads observations in parallel; the result is the same.
    exclude : path-like, regions.Regions, WcsNDMap, Region, or list of these
        What is masked, as in `reconstruct`.

    Returns
    -------
    RadialModel
        The rate with errors, counts and exposure. ``write`` writes a BKG_2D file.

    Raises
    ------
    ValueError
        If there are no observations, or edges are not valid.

    Examples
    --------
    >>> import simbg
    >>> night = simbg.simulate("night")
    >>> simbg.reconstruct_radial(night, energy=[0.2, 1, 10], offset=[0, 1, 2, 3])
    <RadialModel 2 energies × 3 rings up to 3 deg, per second of livetime>
    """
    from simbg.axes import edition2015_axes
    from simbg.quantities import in_unit
    from simbg.radial import RadialModel, rings_of
    from simbg.reconstruction import radial

    runs = _observations(observations, exclude)
    if axes is not None:
        check_axes(axes)
    axes = axes or edition2015_axes(len(runs))
    edges = [
        np.asarray(in_unit(getattr(given, "edges", given), unit, name), float)
        for given, unit, name in (
            (axes.energy if energy is None else energy, "TeV", "energy"),
            (rings_of(axes) if offset is None else offset, "deg", "offset"),
        )
    ]
    # The model checks its edges.
    RadialModel(edges[0], edges[1], np.zeros([max(edge.size - 1, 0) for edge in edges]))
    _check_executor(executor)
    with _shown(executor) as shown:
        return radial.reconstruct_radial(runs, edges[0], edges[1], shown)


def fit_models(
    observations: Any,
    axes: Axes | None = None,
    method: "str | type | Reconstructor" = DEFAULT_METHOD,
    group_by: str = "runs:10",
    executor: Executor | None = None,
    exclude: Any = (),
) -> Any:
    """Fit models from which each run has its own cube, as ``simbg reconstruct --per-run``.

    Parameters
    ----------
    observations : sequence of Observation, Store, Experiment, or Observations of gammapy
        The observations to make the models of, such as OFF runs.
    axes : Axes, optional
        Default: the axes that the method prefers, or those of 2015.
    method : str, class or Reconstructor
        As in `reconstruct`. A method that does not model runs itself makes a cube of each zenith
        group, and these are interpolated in cos(zenith).
    group_by : str
        "runs:NUMBER" or "livetime:HOURS": zenith groups with at least this number or livetime.
        "2015": groups in altitude and azimuth.
    executor : concurrent.futures.Executor, optional
        Reads observations in parallel; the result is the same.
    exclude : path-like, regions.Regions, WcsNDMap, Region, or list of these
        What is masked, as in `reconstruct`.

    Returns
    -------
    models : object
        ``at(observation)`` is the cube of any observation of simbg, without a norm of the run;
        `attach` gives observations of gammapy their backgrounds.

    Raises
    ------
    ValueError
        If there are no observations, no method has this name, or the method fails.

    Examples
    --------
    >>> import simbg
    >>> night = simbg.simulate("night", n_obs=6)
    >>> off, on = night.observations()[:5], night.observations()[5]
    >>> models = simbg.fit_models(off, simbg.Axes.regular((0.1, 50, 4), (3, 6)), group_by="runs:2")
    >>> models.at(on).axes.shape
    (4, 6, 6)
    """
    from simbg.models.selection import Selection
    from simbg.reconstruction.contract import axes_for
    from simbg.reconstruction.registry import find_method
    from simbg.reconstruction.zenith_groups import fit_runs

    found = find_method(method)
    if axes is not None:
        check_axes(axes)
    _check_executor(executor)
    runs = _observations(observations, exclude)
    groups = Selection(group_by=group_by).groups_of(runs)
    with _shown(executor) as shown:
        return fit_runs(found, runs, axes or axes_for(found, runs), groups, shown)


def attach(
    observations: Any, models: Any, exclude: Any = (), norm: bool = True, fill: bool = True
) -> "Observations":
    """Give each observation of gammapy its background.

    Parameters
    ----------
    observations : gammapy.data.Observations, or sequence of gammapy.data.Observation
        They are not changed.
    models : BackgroundCube, dict, path-like, or models of runs
        One cube for all observations; a dict from OBS_ID to a cube; the folder that
        ``simbg reconstruct --per-run`` wrote; or an object with ``at(observation)``, such as the
        result of `fit_models`, which may be made of other runs (OFF runs).
    exclude : path-like, regions.Regions, WcsNDMap, Region, or list of these
        As in `reconstruct`: what is masked when the norm is fitted. It should contain the sources
        in the field.
    norm : bool
        Whether models of runs are scaled to the events of each observation outside of ``exclude``.
    fill : bool
        Whether gammapy, which interpolates ln rate between the centres of bins, gets rates whose
        interpolation has the integrals of the cube. Bins without events then get a rate from those
        around them, with the same spectrum, and images with less than one event in a pixel are
        smoothed: an empty bin would remove background around it, or make it infinite at the ends of
        the axes. Otherwise gammapy gets the mean rates of the bins.

    Returns
    -------
    gammapy.data.Observations
        Copies with the attribute ``bkg``: per observation time, in the frame of the model.

    Raises
    ------
    ValueError
        If there is no model for an observation, or an observation is not one of gammapy.
    ImportError
        If gammapy is not installed.

    Examples
    --------
    >>> models = simbg.fit_models(off_runs, axes)  # doctest: +SKIP
    >>> observations = simbg.attach(observations, models, exclude=mask)  # doctest: +SKIP
    """
    from simbg.models.attach import attach

    given = [observations] if hasattr(observations, "obs_id") else list(observations)
    if not (given and all(map(_is_their_observation, given))):
        got = next((type(one).__name__ for one in given if not _is_their_observation(one)), "none")
        raise ValueError(f"attach: got {got}, expected one or more observations of gammapy")
    ours = _masked([observation_of(one) for one in given], exclude)
    return attach(given, ours, models, norm, fill)


def compare(
    a: BackgroundCube | Path | str,
    b: BackgroundCube | Path | str,
    normalize: str = "none",
) -> "Comparison":
    """Compare a cube with a reference.

    Parameters
    ----------
    a : BackgroundCube or path-like
        The reference, such as the truth.
    b : BackgroundCube or path-like
        The cube that is compared with it.
    normalize : {"none", "cube", "image"}
        How a is scaled to b: not at all, to the same integral of the cube, or to the same integral
        of each energy image.

    Returns
    -------
    comparison : Comparison
        `print` shows the verdict and a table of measures. ``agree`` is the verdict as a bool;
        ``measures`` contains the numbers.

    Raises
    ------
    ValueError
        If the cubes have no bins in common, or the normalization is unknown.

    Notes
    -----
    Differences beyond the noise of counts are significant. Without counts, and in bins that are
    interpolated, a measure may also deviate by a margin of 0.5 %: of its ideal value if it is a
    ratio, such as the norm or the width, and 0.005 in its own unit otherwise.

    Examples
    --------
    >>> import simbg
    >>> night = simbg.simulate("night")
    >>> cube = simbg.reconstruct(night)
    >>> simbg.compare(night.true_cube(cube.axes), cube).agree
    True
    """
    from simbg.validation.comparison.compare import compare

    if isinstance(a, str | Path) and isinstance(b, str | Path):
        return compare(*read_pair(a, b), normalize)
    return compare(_cube(a), _cube(b), normalize)


def validate(
    method: "str | type | Sequence[str]" = DEFAULT_METHOD,
    scenarios: "str | Scenario | Sequence[str | Scenario]" = ("night",),
    seed: int = 0,
    executor: Executor | None = None,
) -> "Suite":
    """Validate methods: simulate scenarios, reconstruct their cubes, compare with the truth.

    A method that is not part of simbg runs in a separate process, which must be able to import it.

    Parameters
    ----------
    method : str or class, or a sequence of these
        As in `reconstruct`, but not an instance.
    scenarios : str or Scenario, or a sequence of these
        Names in `simbg.SCENARIOS`, or scenarios of your own.
    seed : int
        Seed of the simulations.
    executor : concurrent.futures.Executor, optional
        Runs simulations in parallel; the results are the same.

    Returns
    -------
    suite : Suite
        `print` shows the verdict and a table of results. ``ok`` is the verdict as a bool;
        ``results`` contains the values.

    Raises
    ------
    ValueError
        If no method or scenario has this name.

    Examples
    --------
    >>> import simbg
    >>> simbg.validate("histogram", "night").ok
    True
    """
    from simbg.reconstruction.registry import name_of
    from simbg.simulation.library import find_scenario
    from simbg.validation.methods.candidates import Candidate
    from simbg.validation.suite.suite import Suite, run_suite

    chosen = [find_scenario(scenario) for scenario in _several(scenarios)]
    _check_executor(executor)
    candidates = [Candidate(name_of(one)) for one in _several(method)]
    for candidate in candidates:
        candidate.check()
    return Suite(tuple(run_suite(chosen, candidates, seed, executor)), seed)


def _check_executor(executor):
    if not (executor is None or hasattr(executor, "map")):
        raise ValueError(f"executor: got {executor!r}, expected a concurrent.futures.Executor")


def _cube(given: Any) -> BackgroundCube:
    """The given cube, or the cube in a file."""
    if isinstance(given, str | Path):
        return BackgroundCube.read(given)
    if not isinstance(given, BackgroundCube):
        got = type(given).__name__
        raise ValueError(
            f"compare: got type {got}, expected a BackgroundCube or the path of a file"
        )
    return given


def _several(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]


def _observations(given: Any, exclude: Any = ()) -> list[Observation]:
    """The observations of a store or an experiment, or those of any iterable, with their masks."""
    if isinstance(given, str | Path):
        raise ValueError(f"observations: got {given!r}, expected those of simbg.open_store(path)")
    if hasattr(given, "observations"):
        given = given.observations()
    found = list(given) if isinstance(given, Iterable) else [given]
    found = [observation_of(one) if _is_their_observation(one) else one for one in found]
    wrong = [type(one) for one in found if not isinstance(one, Observation)]
    if wrong or not found:
        got = f"type {wrong[0].__name__}" if wrong else "none"
        raise ValueError(
            f"observations: got {got}, expected one or more simbg.Observation or observations of "
            "gammapy, or a store or experiment that has them"
        )
    return _masked(found, exclude)


def _is_their_observation(one):
    return is_of_gammapy(one) and hasattr(one, "obs_id")


def _masked(observations, exclude):
    """The observations with more excluded regions."""
    from simbg.models.selection import Selection, exclusions

    if not (given := exclusions(exclude)):
        return observations
    regions = Selection(sources="mask", exclude=("none", *given)).regions()
    return [replace(one, excluded=(*one.excluded, *regions)) for one in observations]


def _shown(executor):
    """The executor, or in a notebook one with a progress bar that works in this process."""
    from simbg.parallel.executors import in_notebook, workers

    return (
        workers(1, "reconstruct") if executor is None and in_notebook() else nullcontext(executor)
    )
