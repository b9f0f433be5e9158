"""Two cubes made comparable: the same clock, bins, norm and exposure."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.validation.metrics.cube_pair import CubePair

__all__ = ["NO_ERRORS"]

# Fields of a cube over other bins, or with another rate, whose errors are not known.
NO_ERRORS: dict[str, Any] = {"rate_error": None, "extrapolated": None, "covariance": ()}
# Expected events of a cube without exposure.
EVENTS = 1e6


def exposure(cube: BackgroundCube) -> np.ndarray | None:
    """Time of each bin by the clock of the cube, s; None if the cube does not state it."""
    return getattr(cube, cube.clock)


def is_counted(cube: BackgroundCube) -> bool:
    """Whether the cube was made from counted events: it has integer counts and an exposure."""
    if cube.counts is None or exposure(cube) is None or not cube.counts.sum() > 0:
        return False
    return bool(np.all(cube.counts == np.round(cube.counts)))


def same_clock(a: BackgroundCube, b: BackgroundCube) -> tuple[BackgroundCube, BackgroundCube]:
    """Both cubes with rates per second of the same clock.

    Parameters
    ----------
    a, b : BackgroundCube
        Two cubes.

    Returns
    -------
    a, b : BackgroundCube
        Per livetime, if both know livetime and ontime.

    Raises
    ------
    ValueError
        If the clocks differ and no cube knows the dead time.
    """
    known = [cube for cube in (a, b) if cube.livetime is not None and cube.ontime is not None]
    if len(known) == 2:
        return a.per("livetime"), b.per("livetime")
    if a.clock == b.clock:
        return a, b
    if not known:
        clocks = f"got a cube per {a.clock} and one per {b.clock}"
        raise ValueError(
            f"{clocks}, expected livetime and ontime in one of them to convert the other"
        )
    return (a.per(b.clock), b) if known[0] is a else (a, b.per(a.clock))


def find_problems(a: BackgroundCube, b: BackgroundCube) -> tuple[tuple[str, ...], bool]:
    """Missing or impossible values of two cubes.

    Parameters
    ----------
    a, b : BackgroundCube
        Two cubes over the same axes.

    Returns
    -------
    problems : tuple of str
        In words.
    comparable : bool
        Whether the other bins can be compared.
    """
    problems = []
    for label, cube, other in (("A", a, b), ("B", b, a)):
        # Without a livetime, bins have an exposure if one of the cubes has a rate there.
        known = np.isfinite(cube.rate) | np.isfinite(other.rate)
        exposed = known if cube.livetime is None else cube.livetime > 0
        if missing := np.count_nonzero(exposed & ~np.isfinite(cube.rate)):
            bins = f"{missing} of {exposed.sum()} bins with exposure"
            problems.append(f"{label} has no rate in {bins}")
        if negative := np.count_nonzero(cube.rate < 0):
            problems.append(f"{label} has negative rates in {negative} bins")
        if not cube.total > 0:
            problems.append(f"{label} is empty")
    common = np.isfinite(a.rate) & np.isfinite(b.rate)
    if not (overlap := np.any(a.rate[common] > 0) and np.any(b.rate[common] > 0)):
        problems.append("no bin holds a rate in both")
    return tuple(problems), bool(overlap and a.total > 0 and b.total > 0)


def common_bins(a: BackgroundCube, b: BackgroundCube) -> tuple[BackgroundCube, BackgroundCube]:
    """Both cubes without rate, counts and exposure in the bins that one of them does not know."""
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    for cube in (a, b):
        used &= True if cube.livetime is None else cube.livetime > 0

    def cut(cube):
        arrays = changed(cube, lambda values: np.where(used, values, 0), "counts")
        return replace(cube, rate=np.where(used, cube.rate, np.nan), **arrays)

    return cut(a), cut(b)


def changed(
    cube: BackgroundCube, change: Callable[[np.ndarray], np.ndarray], *names: str
) -> dict[str, Any]:
    """A function of the times and of other arrays of a cube, for `dataclasses.replace`.

    Parameters
    ----------
    cube : BackgroundCube
        A cube.
    change : callable
        The function.
    *names : str
        Names of the other arrays.

    Returns
    -------
    arrays : dict of str to ndarray
        The arrays that the cube has, changed.
    """
    arrays = {name: getattr(cube, name) for name in (*names, "livetime", "ontime")}
    return {name: change(values) for name, values in arrays.items() if values is not None}


def scale_factor(a: BackgroundCube, b: BackgroundCube, normalize: str) -> np.ndarray:
    """Factor that gives a the integrals of b.

    Parameters
    ----------
    a, b : BackgroundCube
        Two cubes over the same axes.
    normalize : {"none", "cube", "image"}
        The integrals: none, that of the cube, or those of the images.

    Returns
    -------
    factor : ndarray, shape () or (n_energy, 1, 1)
        1 if the integral of a is 0.
    """
    if normalize == "none":
        return np.ones(())
    total_a, total_b = (
        np.nan_to_num(cube.spectrum)[:, None, None]
        if normalize == "image"
        else np.array(cube.total)
        for cube in (a, b)
    )
    return np.divide(total_b, total_a, out=np.ones_like(total_a), where=total_a > 0)


def scaled(cube: BackgroundCube, factor: Any) -> BackgroundCube:
    """The cube with its rate multiplied by a factor, without errors."""
    return replace(cube, rate=cube.rate * factor, **NO_ERRORS)


def normalized(a: BackgroundCube, b: BackgroundCube, normalize: str) -> BackgroundCube:
    """The cube a with the integrals of b; see `scale_factor`."""
    return scaled(a, scale_factor(a, b, normalize))


def at_equal_norms(
    a: BackgroundCube, b: BackgroundCube, counted: tuple[bool, bool]
) -> tuple[BackgroundCube, BackgroundCube]:
    """Both cubes at the norm of the measured one, so that a wrong norm does not change errors."""
    if counted[0] and not counted[1]:
        return a, normalized(b, a, "cube")
    return normalized(a, b, "cube"), b


def count_pair(
    a: BackgroundCube, b: BackgroundCube, counted: tuple[bool, bool] = (False, False)
) -> CubePair:
    """Counts of both cubes at the exposure of the measured one, with a as truth.

    Parameters
    ----------
    a, b : BackgroundCube
        Two cubes over the same axes, per second of the same clock.
    counted : tuple of bool
        Which were made from counts. If neither was, a expects a million events.

    Returns
    -------
    pair : CubePair
        With a as ``true`` and b as ``reco``.
    """
    time = exposure(b if counted[1] else a) if any(counted) else None
    if time is None:
        time = np.full(a.axes.shape, EVENTS / max(a.total, 1e-300))
    used = np.isfinite(a.rate) & (time > 0)
    expected = np.where(used, a.event_rate, 0.0) * time
    # A `CubePair` is per livetime. Both cubes have the same clock, so its name does not matter.
    true = replace(a, counts=expected, livetime=np.where(used, time, 0.0), clock="livetime")
    return CubePair(true, replace(b, clock="livetime"))
