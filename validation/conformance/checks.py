"""The promises of the contract: a check for each, and how it is judged.

Most hold the cubes of two stores that differ in one thing against each other, so that they
find a fault whatever else a method does. Only unit and norm need the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from simbg.validation.comparison.compare import compare
from simbg.validation.conformance.evidence import GROSS, MOVED, SIGMAS, turned
from simbg.validation.conformance.stores import AXES, CLUMP, FEW, LIVE, PLACE

__all__ = ["CHECKS", "FIRST", "LAST", "Check", "is_error"]

# A norm is right within 5 of its standard errors and what borders and rings may do to it.
NORM = 0.05
# A rate, where thresholds and masks are, within 5 of them and half of what the smallest fault
# there does, which is a third. Smoothing does a twentieth.
MARGIN = 0.15
# Where masks pass: twice what smoothing does to pixels, a fourth of what no mask does.
MASKED = 0.10
# What a model of rings has at places that flips and swaps lead to is this much alike.
ALIKE = 0.25
# Reasons that are no error of the method's own making.
PEEKED, WROTE = "peeked", "wrote to its input"
ENDED = "was ended by", "took more than"
CLOCKS = {0: "per ontime", 1: "per livetime", 2: "per livetime, with the dead time taken twice"}


@dataclass(frozen=True)
class Check:
    """One promise of the contract.

    Parameters
    ----------
    name, about : str
        ``about`` says what is promised.
    trial : str
        The store that it takes, besides the plain one.
    judge : callable
        (case) → status, text.
    by_energy : bool
        Whether it means nothing where energies are wrong.
    """

    name: str
    about: str
    trial: str
    judge: Callable
    by_energy: bool = False


def is_error(reason):
    """Whether a method ended by an error of its own making."""
    return not reason.startswith((PEEKED, WROTE, *ENDED))


def _runs(case):
    made = case.made["plain"]
    if made.reason.startswith((PEEKED, WROTE)):
        return "note", "its cube does not count"
    if made.reason:
        return "fail", made.reason
    return "ok", f"a cube in {made.seconds:.1f} s, {made.megabytes:.0f} MB"


def _blind(case):
    return _without(case, PEEKED, "it opened nothing else")


def _input(case):
    return _without(case, WROTE, "all files are as they were")


def _without(case, word, text):
    for name, made in case.made.items():
        if made.reason.startswith(word):
            return "fail", f"{made.reason} (store: {name})"
    return "ok", text


def _axes(case):
    axes = case.plain.axes
    if axes.same_as(AXES):
        return "ok", f"{axes.shape} bins, as asked"
    return "note", f"{axes.shape} bins of its own"


def _deterministic(case):
    cubes = case.plain, case.made["again"].cube
    for name in ("rate", "rate_error", "counts"):
        one, other = (getattr(cube, name) for cube in cubes)
        if not np.array_equal(one, other, equal_nan=one is not None):
            return "fail", f"got another {name} the second time, expected the same"
    return "ok", "the same cube twice, bit by bit"


def _field(case):
    """Where a clump of events is found: at its place, or where a flip or a swap has it."""
    found = {turn: case.clump_at(turn) for turn in product((0, 1), repeat=3)}
    best = max(found, key=found.get)
    enough = (1 - ALIKE) * found[best]
    if not found[best] > 0:
        return "fail", f"got nothing where {CLUMP} events more a run are, nor in the mirror"
    if min(found.values()) > enough:
        return "note", "it has no direction: alike at all places that flips and swaps lead to"
    if found[0, 0, 0] > enough:
        return "ok", "events are at their place"
    lon, lat = turned((0, 0, 0))
    where = "events at fov_lon {:g}, fov_lat {:g} deg are at {:g}, {:g}"
    return "fail", f"{_in_words(*best)}: " + where.format(lon, lat, *turned(best))


def _in_words(swap, lon, lat):
    """Of a swap and then flips."""
    names = [name for name, flip in (("fov_lon", lon), ("fov_lat", lat)) if flip]
    flipped = f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} flipped"
    parts = ["fov_lon and fov_lat are swapped"] * swap + [flipped] * bool(names)
    return ", then ".join(parts)


def _energy(case):
    if not np.any(case.clump > 0):
        return "note", "not judged: events more or less change nothing"
    low, high = case.plain.axes.energy[case.clump_bins[1] :][:2]
    where = "events of {:g} to {:g} TeV are at {:.3g} to {:.3g}".format(*PLACE[0], low, high)
    off = case.off_in_energy
    return ("fail", f"energy is off by {off:+d} bin: {where}") if off else ("ok", where)


def _clock(case):
    """The same events in half of the livetime double a rate per livetime, and no other."""
    text = f"for {LIVE:g} × the livetime the rate is × {case.ratio('less alive'):.4f}"
    power = round(case.power) if np.isfinite(case.power) else None
    if power not in CLOCKS or abs(LIVE ** (power - case.power) - 1) > MOVED:
        return "fail", f"{text}, expected × {1 / LIVE:g} (per livetime) or × 1 (per ontime)"
    has, says = CLOCKS[power], f"per {case.plain.clock}"
    if has == says:
        return "ok", f"{has}, as it says: {text}"
    return "fail", f"the clock is wrong: the rate is {has}, and it says {says}: {text}"


def _exposure(case):
    cube, true = case.plain, case.true()
    stated = [name for name in ("livetime", "ontime") if getattr(cube, name) is not None]
    for name in stated:
        got, runs = (float(np.max(getattr(each, name))) for each in (cube, true))
        if not np.isclose(got, runs, rtol=1e-6):
            return "fail", f"got {got:.1f} s of {name}, expected the {runs:.1f} s of the runs"
    return "ok", " and ".join(stated) or "none is stated"


def _unit(case):
    fault, _ = case.cured
    if fault is None:
        true, found = case.spectra(case.counted)
        ratios = ", ".join(f"{ratio:.3g}" for ratio in found / true)
        return "fail", f"the rate is × {ratios} in the energy bins: no unit that we know"
    return ("fail", fault) if fault else ("ok", "s-1 MeV-1 sr-1")


def _norm(case):
    """By the clock and in the unit that it has."""
    fault, cube = case.cured
    if fault is None:
        return "note", "not judged: the unit is unknown"
    true, found = (counts.sum() for counts in case.spectra(cube))
    return _near(found / true, true**-0.5, "the rate", margin=NORM)


def _shape(case):
    """What else is unlike the truth: for `simbg validate` to say how much it matters."""
    fault, cube = case.cured
    if fault is None:
        return "note", "not judged: the unit is unknown"
    # As noisy as what was counted.
    cube = replace(cube, counts=np.round(case.true().counts))
    found = compare(replace(case.true_cube, rate_error=None), cube, normalize="cube")
    return ("ok" if found.agree else "note"), found.verdict


def _near(ratio, error, what, more="", less="", margin=MARGIN):
    """A ratio that should be 1; what it means if it is not."""
    if not np.isfinite(ratio):
        return "note", f"{what} is not known"
    text = f"{what} is {ratio:.3f} ± {error:.3f} of the right one"
    if abs(ratio - 1) <= SIGMAS * error + margin:
        return "ok", text
    return "fail", text + (more if ratio > 1 else less)


def _same(name, case, where=True):
    moved = case.moved(name, where)
    if moved <= MOVED:
        return "ok", f"the same cube, but for {moved:.1e} of the rate"
    if not np.isfinite(moved):
        return "fail", "the cube has a rate in other bins than the plain one"
    ratio = case.ratio(name, where)
    return (
        "fail",
        f"the rate is {ratio:.3f} of the plain one's, and {moved:.1%} of it are elsewhere",
    )


def _thresholds(case):
    """Every other run has one, with a part of the events left below it."""
    energy, edge = case.plain.axes.energy[:, None, None], AXES.energy[2]
    above = case.ratio("thresholds", energy[:-1] >= edge * (1 - 1e-6))
    status, text = _near(above, 0.0, "the rate above", margin=NORM)
    if status != "ok":
        return status, text
    below = np.broadcast_to(energy[1:] <= edge * (1 + 1e-6), case.plain.rate.shape)
    error = _error(case.true().counts, case.true("thresholds").counts, below)
    more = ": events below the threshold of a run count"
    less = ": a run is taken for exposed below its threshold"
    return _near(case.ratio("thresholds", below), error, "the rate below", more, less)


def _masks(name, case):
    """Neither the source behind a mask is in the rate, nor the exposure that a mask takes."""
    share = case.share(name)
    # Against what no mask touches, where nothing has changed.
    outside = case.ratio(name, share == 1)
    hidden = (share == 0) & np.isfinite(case.events(name) + case.events("plain"))
    n, inside = int(hidden.sum()), case.ratio(name, hidden) / outside
    if n and not inside > 1 / GROSS:
        return "fail", f"the rate is {inside:.2g} of the right one in {n} hidden bins, expected NaN"
    rms, error, ratio = case.pixels(name, outside)
    text = (
        f"where a mask passes the rate is {ratio:.3f} of the right one, {rms:.1%} rms beyond noise"
    )
    if rms**2 > MASKED**2 + SIGMAS * error:
        off = "what it hides is taken for exposed" if ratio < 1 else "events behind it count"
        off = off if abs(ratio - 1) > MARGIN else "it is taken for where it is not"
        return "fail", f"{text}: {off}"
    if n:
        return "note", f"{text}; {n} hidden bins have a rate, {inside:.2g} of the right one"
    return "ok", text


def _error(whole, kept, where):
    """Relative standard error of what is kept of counts."""
    share = np.divide(kept, whole, out=np.ones(whole.shape), where=whole > 0)
    kept = np.where(where, kept, 0.0)
    return float(np.sqrt(np.sum(kept * (1 - share))) / np.sum(kept))


def _few(case):
    n = FEW * case.true().counts.sum()
    return _near(case.ratio("few events") / FEW, n**-0.5, "the rate")


def _refused(name, case):
    made = case.made[name]
    if made.reason:
        return ("ok" if is_error(made.reason) else "fail"), made.reason
    if not np.isfinite(made.cube.rate).any():
        return "ok", "a cube that says nothing: no bin has a rate"
    return "fail", "got a cube with rates, expected an error"


def _of(judge, name):
    """The store that a judge takes, and the judge of that store."""
    return name, partial(judge, name)


FIRST = (
    Check("runs", "makes a cube of a plain store", "plain", _runs),
    Check("blind", "opens its store and its own files, and nothing that knows", "plain", _blind),
    Check("input", "leaves its store as it is", "plain", _input),
)
LAST = (
    Check("no runs", "an error, or no rate", *_of(_refused, "no runs")),
    Check("broken file", "an error", *_of(_refused, "broken file")),
)
CHECKS = (
    *FIRST,
    Check("axes", "rates over the axes that it is given", "plain", _axes),
    Check("deterministic", "the same store gives the same cube", "again", _deterministic),
    Check("order", "so do the same runs in another order", *_of(_same, "reversed")),
    Check("field", "(energy, fov_lon, fov_lat); fov_lon falls with azimuth", "clump", _field),
    Check("energy", "events are in the bin of their energy", "clump", _energy),
    Check("clock", "a rate per second of the clock that it names", "less alive", _clock),
    Check("exposure", "the runs' livetime and ontime, where it states them", "plain", _exposure),
    Check("unit", "s-1 MeV-1 sr-1", "less alive", _unit, True),
    Check("norm", "as many events as the truth has", "less alive", _norm, True),
    Check("shape", "no promise: what else is unlike the truth", "less alive", _shape, True),
    Check("gaps", "good time is exposure, what is between is none", *_of(_same, "gaps")),
    Check("good time", "events between good times do not count", *_of(_same, "strays")),
    Check("thresholds", "no exposure below a run's threshold", "thresholds", _thresholds, True),
    Check("masks", "excluded regions take events and exposure", *_of(_masks, "masks"), True),
    Check(
        "turning masks", "in all good time, as the sky turns", *_of(_masks, "turning masks"), True
    ),
    Check("few events", "are no reason to fail", "few events", _few),
    *LAST,
)
