"""Two cubes made comparable: the same clock, bins, norm and exposure."""

from dataclasses import replace

import numpy as np

from simbg.validation.metrics.cube_pair import CubePair

__all__ = []

# Events that a cube without exposure is taken to expect.
EVENTS = 1e6


def exposure(cube):
    """Seconds of the cube's own clock in each bin; None where it does not know them."""
    return getattr(cube, cube.clock)


def is_counted(cube):
    """Whether the cube was made from counted events: whole numbers, and an exposure."""
    if cube.counts is None or exposure(cube) is None or not cube.counts.sum() > 0:
        return False
    return not np.any(cube.counts != np.round(cube.counts))


def same_clock(a, b):
    """Both per livetime where that is known, else as they are if that is the same."""
    known = [cube for cube in (a, b) if cube.livetime is not None and cube.ontime is not None]
    if len(known) == 2:
        return a.per("livetime"), b.per("livetime")
    if a.clock == b.clock:
        return a, b
    if not known:
        clocks = f"got a cube per {a.clock} and one per {b.clock}"
        raise ValueError(f"{clocks}, and no dead time to convert with")
    return (a.per(b.clock), b) if known[0] is a else (a, b.per(a.clock))


def find_problems(a, b):
    """What is missing or impossible in either cube, in words, and whether the rest is comparable.

    Returns
    -------
    problems : tuple of str
    comparable : bool
    """
    problems = []
    for label, cube in (("A", a), ("B", b)):
        exposed = np.ones(cube.axes.shape, bool) if cube.livetime is None else cube.livetime > 0
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


def common_bins(a, b):
    """Both with neither rate, counts nor exposure in bins of which one knows nothing."""
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    for cube in (a, b):
        used &= True if cube.livetime is None else cube.livetime > 0

    def cut(cube):
        arrays = changed(cube, lambda values: np.where(used, values, 0), "counts")
        return replace(cube, rate=np.where(used, cube.rate, np.nan), **arrays)

    return cut(a), cut(b)


def changed(cube, change, *names):
    """The times and those of the named arrays that the cube has, changed, by name."""
    arrays = {name: getattr(cube, name) for name in (*names, "livetime", "ontime")}
    return {name: change(values) for name, values in arrays.items() if values is not None}


def scale_factor(a, b, normalize):
    """Factor on a that gives it the integrals of b.

    Parameters
    ----------
    a, b : BackgroundCube
    normalize : {"none", "cube", "image"}
        Which integrals: none, that of the cube, or that of each energy's image.

    Returns
    -------
    factor : ndarray, shape () or (n_energy, 1, 1)
    """
    if normalize == "none":
        return np.ones(())
    total_a, total_b = (
        cube.spectrum[:, None, None] if normalize == "image" else np.array(cube.total)
        for cube in (a, b)
    )
    return np.divide(total_b, total_a, out=np.ones_like(total_a), where=total_a > 0)


def scaled(cube, factor):
    """The cube with its rate times a factor, without an error."""
    return replace(cube, rate=cube.rate * factor, rate_error=None)


def normalized(a, b, normalize):
    """The cube a with the integrals of b, as `scale_factor` has it."""
    return scaled(a, scale_factor(a, b, normalize))


def at_equal_norms(a, b, counted):
    """Both at the norm of what was counted: a wrong one shrinks no error of a shape."""
    if counted[0] and not counted[1]:
        return a, normalized(b, a, "cube")
    return normalized(a, b, "cube"), b


def count_pair(a, b, counted=(False, False)):
    """Counts of both, a as the truth, at the exposure of the cube that was counted.

    Parameters
    ----------
    a, b : BackgroundCube
    counted : tuple of bool
        Which was made from counts. If neither was, a expects a million events.
    """
    if any(counted):
        time = exposure(b if counted[1] else a)
    else:
        time = np.full(a.axes.shape, EVENTS / max(a.total, 1e-300))
    used = np.isfinite(a.rate) & (time > 0)
    expected = np.where(used, a.event_rate, 0.0) * time
    # Pairs are per livetime; both cubes share a clock, so its name does not matter here.
    true = replace(a, counts=expected, livetime=np.where(used, time, 0.0), clock="livetime")
    return CubePair(true, replace(b, clock="livetime"))
