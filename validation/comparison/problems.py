"""Cubes that contradict themselves or each other: counts, exposures, clocks, and their runs."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.store import Store
from simbg.validation.comparison.matched_cubes import exposure, is_counted
from simbg.validation.comparison.rate_tests import SAME_COUNTS, Side, is_raw, predicted_counts
from simbg.validation.metrics.poisson import sigmas

__all__ = ["wrong_counts"]

CLOCKS = "livetime", "ontime"
# Smoothing preserves the counts of the cube and of its energies to this relative accuracy.
PRESERVED = 0.02
# Least number of bins of an energy whose ratio may be the same by chance.
FEWEST = 3
# Probability that the counts of a smoothed cube are said not to belong to its rate.
FALSE_ALARM_RATE = 1e-4
# A livetime may exceed the observation time by rounding only.
ROUNDING = 1e-6
# Largest relative difference of livetime / observation time of two cubes: dead times differ by a
# few percent from run to run.
DEAD_TIME = 0.05
# Largest relative difference of the exposures of the same runs: thresholds and masks may differ,
# but a bin has the whole exposure.
SAME_RUNS = 0.01


def contradictions(a: BackgroundCube, b: BackgroundCube) -> tuple[str, ...]:
    """What contradicts itself in one of two cubes, or in both of them together.

    Parameters
    ----------
    a, b : BackgroundCube
        The cubes.
    """
    cubes = (("A", a), ("B", b))
    found = [text for label, cube in cubes for text in _of_one(cube, label)]
    return (*found, *_of_both(a, b))


def _of_one(cube, label):
    if text := wrong_counts(cube):
        yield f"{label}: {text}"
    live, on = cube.livetime, cube.ontime
    if live is None or on is None:
        return
    if wrong := np.count_nonzero(live > on * (1 + ROUNDING)):
        yield f"{label}: got a livetime above the observation time in {wrong} bins, expected less"


def wrong_counts(cube: BackgroundCube) -> str:
    """How the counts of a cube contradict its rate; empty if they belong to it.

    Parameters
    ----------
    cube : BackgroundCube
        A cube.

    Notes
    -----
    m = rate × volume × exposure must be the counts n. A cube is raw if m = n in most bins with
    counts, or if m/n is the same in all bins of an energy: smoothing changes all bins, each by
    another factor. Then m = n must hold in all bins. Otherwise Σ m = Σ n must hold to 2 % beyond
    the noise of n, for all bins and for each energy: smoothing preserves these sums.
    """
    if not is_counted(cube) or is_raw(cube):
        return ""
    predicted, counts = predicted_counts(cube)
    unequal = np.abs(predicted - counts) > SAME_COUNTS * counts
    filled = counts > 0
    same = np.count_nonzero(filled & ~unequal) > 0.5 * np.count_nonzero(filled)
    if same or _factor_of_energies(cube):
        ratio = predicted[unequal].sum() / max(counts[unequal].sum(), 1)
        return (
            f"got counts that do not belong to the rate in {np.count_nonzero(unequal)} of "
            f"{counts.size} bins (rate × volume × {cube.clock} is {ratio:.4g} × the counts there), "
            "expected equal numbers"
        )
    return _wrong_sums(cube, f"rate × volume × {cube.clock}")


def _factor_of_energies(cube):
    """Whether the rate is that of the counts, multiplied by a factor for each energy."""
    known = _used(cube) & (cube.counts > 0)
    pairs = zip(cube.event_rate * exposure(cube), cube.counts, known, strict=True)
    ratios = [m[used] / n[used] for m, n, used in pairs if np.count_nonzero(used) >= FEWEST]
    return bool(ratios) and all(np.ptp(r) <= 2 * SAME_COUNTS * r.max() for r in ratios)


def _used(cube):
    """Bins with a rate and an exposure."""
    return np.isfinite(cube.rate) & (np.asarray(exposure(cube), float) > 0)


def _wrong_sums(cube, time):
    """The same for a smoothed cube: sums of all bins and of each energy."""
    used = _used(cube)
    predicted = np.where(used, cube.event_rate * exposure(cube), 0.0).sum(axis=(1, 2))
    counts = np.where(used, cube.counts, 0.0).sum(axis=(1, 2))
    factor = Side.of(cube, np.ones((counts.size, 1, 1))).bounded.ravel()
    z = sigmas(FALSE_ALARM_RATE / (1 + counts.size))
    energy = cube.axes.energy
    names = [f"from {low:.4g} to {high:.4g} TeV" for low, high in pairwise(energy)]
    sums = [(predicted.sum(), counts.sum(), np.sum(factor * counts), "of all bins")]
    sums += zip(predicted, counts, factor * counts, names, strict=True)
    for m, n, variance, name in sums:
        # The noise of m is at most that of n; 1 is added for few counts.
        if abs(m - n) > PRESERVED * n + z * (np.sqrt(variance + 1) + z / 4):
            return (
                f"got counts that do not belong to the rate (sums {name}: {time} is {m:.6g}, "
                f"the counts are {n:.6g}), expected equal sums to {PRESERVED:.0%}"
            )
    return ""


def _of_both(a, b):
    live = [_live_fraction(cube) for cube in (a, b)]
    if None not in live and abs(live[0] / live[1] - 1) > DEAD_TIME:
        yield (
            f"the livetime is {live[0]:.1%} of the observation time in A and {live[1]:.1%} in B, "
            f"expected a difference below {DEAD_TIME:.0%}: rates per observation time differ by "
            f"{live[1] / live[0] - 1:+.1%}"
        )
    if _common(a, b) != 1 or len(a.made_from) != len(b.made_from):
        return
    for clock in CLOCKS:
        one, other = (_longest(cube, clock) for cube in (a, b))
        if one and other and abs(one / other - 1) > SAME_RUNS:
            yield f"got a {clock} of {one:.0f} s in A and {other:.0f} s in B from the same runs"


def _live_fraction(cube):
    """Σ livetime / Σ observation time; None if it is not known, or if no dead time is stated."""
    if cube.livetime is None or cube.ontime is None or not np.any(cube.ontime > 0):
        return None
    live = float(cube.livetime.sum() / cube.ontime.sum())
    return None if live == 1 else live


def _longest(cube, clock):
    """Largest exposure of a bin, s; None if it is not known."""
    time = getattr(cube, clock)
    return None if time is None else float(np.nanmax(time))


def _common(a, b):
    """Fraction of the runs of the cube with fewer runs that both have, with the same events."""
    one, other = a.made_from, b.made_from
    if not one or not other:
        return 0.0
    return len(one.common(other)) / min(len(one), len(other))


def common_events(a: BackgroundCube, b: BackgroundCube) -> tuple[str, ...]:
    """What must be said of two cubes that have events in common.

    Parameters
    ----------
    a, b : BackgroundCube
        The cubes.
    """
    if not (fraction := _common(a, b)):
        return ()
    text = (
        f"made from the same events ({fraction:.0%} of the runs in common): their noise is "
        "correlated, and the test assumes that it is independent"
    )
    return (text,)


def against_store(cube: BackgroundCube, label: str, store: Store) -> Iterator[str]:
    """How the exposure of a cube contradicts the runs of a store.

    Parameters
    ----------
    cube : BackgroundCube
        A cube; one that does not state its runs is not checked.
    label : {"A", "B"}
        Name of the cube.
    store : Store
        The data store.

    Yields
    ------
    text : str
        One for each contradiction.

    Notes
    -----
    No bin has a longer exposure than the runs together, and the ratio of both clocks is that of the
    runs. Masks and thresholds shorten both clocks by the same factor.
    """
    if not cube.made_from:
        return
    # A record has numbers above 2^63 modulo 2^64, as signed integers.
    known = {(int(n) + 2**63) % 2**64 - 2**63: int(n) for n in store.obs_ids}
    if missing := [int(n) for n in cube.made_from.obs_id if int(n) not in known]:
        yield f"{label}: {len(missing)} of its runs are not in the store, such as {missing[0]}"
        return
    runs = store.observations([known[int(n)] for n in cube.made_from.obs_id])
    total = {clock: sum(getattr(run, clock) for run in runs) for clock in CLOCKS}
    times = {clock: _longest(cube, clock) for clock in CLOCKS}
    for clock, time in times.items():
        if time is not None and time > total[clock] * (1 + SAME_RUNS):
            yield (
                f"{label}: got a {clock} of {time:.0f} s, expected that of its runs in the store, "
                f"{total[clock]:.0f} s"
            )
    live, on = times.values()
    if live and on and abs(live / on / (total["livetime"] / total["ontime"]) - 1) > SAME_RUNS:
        yield (
            f"{label}: got livetime / observation time = {live / on:.3f}, expected that of its "
            f"runs in the store, {total['livetime'] / total['ontime']:.3f}"
        )
