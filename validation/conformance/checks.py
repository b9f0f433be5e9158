"""Checks of the contract: one for each promise of a method.

Most compare the cubes of two stores that differ in one thing, so that they find a fault whatever
else a method does. Only unit and norm need the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from simbg.validation.comparison.compare import compare
from simbg.validation.conformance.evidence import MAX_DISPLACED, MAX_FACTOR, SIGMAS, turned_center
from simbg.validation.conformance.stores import AXES, CLUMP, FEW, LIVE, N_CLUMP, VARIANTS

__all__ = ["CHECKS"]

# A norm is right within 5 of its standard errors and what borders and rings may do to it.
NORM_MARGIN = 0.05
# A rate, where thresholds and masks are, within 5 of them and half of what the smallest fault
# there does, which is a third. Smoothing does a twentieth.
MARGIN = 0.15
# Where masks pass: twice what smoothing does to pixels, a fourth of what no mask does.
MASKED_RMS = 0.10
# A model of rings has rates at places that flips and swaps lead to that are this much alike.
ALIKE = 0.25
# First words of reasons that are no error of the method's own making.
PEEKED, WROTE = "peeked", "wrote to its input"
NO_ERROR = PEEKED, WROTE, "was ended by", "took more than"
CLOCKS = {0: "per ontime", 1: "per livetime", 2: "per livetime, with the dead time taken twice"}


@dataclass(frozen=True)
class Check:
    """One promise of the contract.

    Parameters
    ----------
    name, promise : str
    store : str
        The store that it takes, besides the plain one.
    judge : callable
        (evidence, store) → status, text.
    needs : {"cube", "energy", "unit", ""}
        What must be had for it to mean something: a cube of the store, one with the energies or
        the unit right, too, or nothing.
    """

    name: str
    promise: str
    store: str
    judge: Callable
    needs: str = "cube"

    def __call__(self, evidence):
        """Status and text for a method."""
        reason = evidence.attempts[self.store].reason
        if reason and self.needs:
            # A method need not know how to mask.
            masked = self.store in VARIANTS and VARIANTS[self.store].masked
            return "note" if masked and is_error(reason) else "fail", reason
        try:
            if self.needs in ("energy", "unit") and evidence.energy_offset:
                return "note", "not judged: energy is off"
            if self.needs == "unit" and evidence.corrected[0] is None:
                return "note", "not judged: the unit is unknown"
            return self.judge(evidence, self.store)
        except ValueError as error:
            return "fail", str(error)


def is_error(reason):
    """Whether a method ended by an error of its own making."""
    return not reason.startswith(NO_ERROR)


def _runs(evidence, store):
    attempt = evidence.attempts[store]
    if attempt.reason.startswith((PEEKED, WROTE)):
        return "note", "its cube does not count"
    if attempt.reason:
        return "fail", attempt.reason
    return "ok", f"a cube in {attempt.seconds:.1f} s, {attempt.megabytes:.0f} MB"


def _blind(evidence, store):
    return _never(evidence, PEEKED) or ("ok", "it opened nothing else")


def _input(evidence, store):
    return _never(evidence, WROTE) or ("ok", "all files are as they were")


def _never(evidence, words):
    """The failure of the first store whose reason begins with these words."""
    for store, attempt in evidence.attempts.items():
        if attempt.reason.startswith(words):
            return "fail", f"{attempt.reason} (store: {store})"
    return None


def _axes(evidence, store):
    axes = evidence.plain.axes
    if axes.same_as(AXES):
        return "ok", f"{axes.shape} bins, as asked"
    return "note", f"{axes.shape} bins of its own"


def _deterministic(evidence, store):
    for name in ("rate", "rate_error", "counts"):
        one, other = (getattr(evidence.attempts[key].cube, name) for key in ("plain", store))
        if not np.array_equal(one, other, equal_nan=one is not None):
            return "fail", f"got another {name} the second time, expected the same"
    return "ok", "the same cube twice, bit by bit"


def _field(evidence, store):
    """A clump of events is at its place, or where a flip or a swap has it."""
    rates = {turn: evidence.clump_at(turn) for turn in product((0, 1), repeat=3)}
    best = max(rates, key=rates.get)
    enough = (1 - ALIKE) * rates[best]
    if not rates[best] > 0:
        return "fail", f"got nothing where {N_CLUMP} events more a run are, nor in the mirror"
    if min(rates.values()) > enough:
        return "note", "it has no direction: alike at all places that flips and swaps lead to"
    if rates[0, 0, 0] > enough:
        return "ok", "events are at their place"
    swap, *flips = best
    names = [name for name, flip in zip(("fov_lon", "fov_lat"), flips, strict=True) if flip]
    parts = ["fov_lon and fov_lat are swapped"] * swap
    parts += [f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} flipped"] * bool(names)
    where = "events at fov_lon {:g}, fov_lat {:g} deg are at {:g}, {:g}"
    where = where.format(*turned_center((0, 0, 0)), *turned_center(best))
    return "fail", f"{', then '.join(parts)}: {where}"


def _energy(evidence, store):
    if not np.any(evidence.clump > 0):
        return "note", "not judged: events more or less change nothing"
    low, high = evidence.plain.axes.energy[evidence.clump_bin :][:2]
    where = "events of {:g} to {:g} TeV are at {:.3g} to {:.3g}".format(*CLUMP[0], low, high)
    if offset := evidence.energy_offset:
        return "fail", f"energy is off by {offset:+d} bin: {where}"
    return "ok", where


def _clock(evidence, store):
    """The same events in half of the livetime double a rate per livetime, and no other."""
    ratio, power = evidence.ratio(store), evidence.livetime_power
    text = f"for {LIVE:g} × the livetime the rate is × {ratio:.4f}"
    clock = CLOCKS.get(round(power)) if np.isfinite(power) else None
    if not clock or abs(LIVE ** (round(power) - power) - 1) > MAX_DISPLACED:
        expected = f"× {1 / LIVE:g} (per livetime) or × 1 (per ontime)"
        return "fail", f"{text}, expected {expected}"
    named = f"per {evidence.plain.clock}"
    if clock == named:
        return "ok", f"{clock}, as it says: {text}"
    return "fail", f"the clock is wrong: the rate is {clock}, and it says {named}: {text}"


def _exposure(evidence, store):
    cube, expected = evidence.plain, evidence.expected()
    stated = [name for name in ("livetime", "ontime") if getattr(cube, name) is not None]
    for name in stated:
        got, runs = (float(np.max(getattr(each, name))) for each in (cube, expected))
        if not np.isclose(got, runs, rtol=1e-6):
            return "fail", f"got {got:.1f} s of {name}, expected the {runs:.1f} s of the runs"
    return "ok", " and ".join(stated) or "none is stated"


def _unit(evidence, store):
    fault, _ = evidence.corrected
    if fault is None:
        true, predicted = evidence.spectra(evidence.per_livetime)
        ratios = ", ".join(f"{ratio:.3g}" for ratio in predicted / true)
        return "fail", f"the rate is × {ratios} in the energy bins: no unit that we know"
    return ("fail", fault) if fault else ("ok", "s-1 MeV-1 sr-1")


def _norm(evidence, store):
    """By the clock and in the unit that the rate has."""
    true, predicted = (counts.sum() for counts in evidence.spectra(evidence.corrected[1]))
    return _near(predicted / true, true**-0.5, "the rate", margin=NORM_MARGIN)


def _shape(evidence, store):
    """What else is unlike the truth; `simbg validate` says how much it matters."""
    # As noisy as what was counted.
    cube = replace(evidence.corrected[1], counts=np.round(evidence.expected().counts))
    compared = compare(replace(evidence.true_cube, rate_error=None), cube, normalize="cube")
    return "ok" if compared.agree else "note", compared.verdict


def _near(ratio, error, what, more="", less="", margin=MARGIN):
    """A ratio that should be 1; what it means if it is not."""
    if not np.isfinite(ratio):
        return "note", f"{what} is not known"
    text = f"{what} is {ratio:.3f} ± {error:.3f} of the right one"
    if abs(ratio - 1) <= SIGMAS * error + margin:
        return "ok", text
    return "fail", text + (more if ratio > 1 else less)


def _same(evidence, store):
    displaced = evidence.displaced(store)
    if displaced <= MAX_DISPLACED:
        return "ok", f"the same cube, but for {displaced:.1e} of the rate"
    if not np.isfinite(displaced):
        return "fail", "the cube has a rate in other bins than the plain one"
    text = f"the rate is {evidence.ratio(store):.3f} of the plain one's"
    return "fail", f"{text}, and {displaced:.1%} of it are elsewhere"


def _thresholds(evidence, store):
    """Every other run has one, with a part of the events left below it."""
    energy, edge = evidence.plain.axes.energy[:, None, None], AXES.energy[2]
    above = evidence.ratio(store, energy[:-1] >= edge * (1 - 1e-6))
    status, text = _near(above, 0.0, "the rate above", margin=NORM_MARGIN)
    if status != "ok":
        return status, text
    below = np.broadcast_to(energy[1:] <= edge * (1 + 1e-6), evidence.plain.rate.shape)
    counts = (evidence.expected(each).counts for each in ("plain", store))
    whole, left = (np.where(below, each, 0.0) for each in counts)
    # Of events that are left, each with its own probability.
    fraction = np.divide(left, whole, out=np.ones(whole.shape), where=whole > 0)
    error = float(np.sqrt(np.sum(left * (1 - fraction))) / np.sum(left))
    more = ": events below the threshold of a run count"
    less = ": a run is taken for exposed below its threshold"
    return _near(evidence.ratio(store, below), error, "the rate below", more, less)


def _masks(evidence, store):
    """Neither the source behind a mask is in the rate, nor the exposure that a mask takes."""
    fraction = evidence.unmasked_fraction(store)
    # Against what no mask touches, where nothing has changed.
    norm = evidence.ratio(store, fraction == 1)
    known = np.isfinite(evidence.event_rate(store) + evidence.event_rate("plain"))
    hidden = (fraction == 0) & known
    n, inside = int(hidden.sum()), evidence.ratio(store, hidden) / norm
    if n and not inside > 1 / MAX_FACTOR:
        return "fail", f"the rate is {inside:.2g} of the right one in {n} hidden bins, expected NaN"
    rms, error, ratio = evidence.partly_masked(store, norm)
    text = f"where a mask passes the rate is {ratio:.3f} of the right one"
    text = f"{text}, {rms:.1%} rms beyond noise"
    if rms**2 > MASKED_RMS**2 + SIGMAS * error:
        fault = "what it hides is taken for exposed" if ratio < 1 else "events behind it count"
        fault = fault if abs(ratio - 1) > MARGIN else "it is taken for where it is not"
        return "fail", f"{text}: {fault}"
    if n:
        return "note", f"{text}; {n} hidden bins have a rate, {inside:.2g} of the right one"
    return "ok", text


def _few(evidence, store):
    n = FEW * evidence.expected().counts.sum()
    return _near(evidence.ratio(store) / FEW, n**-0.5, "the rate")


def _refused(evidence, store):
    attempt = evidence.attempts[store]
    if attempt.reason:
        return "ok" if is_error(attempt.reason) else "fail", attempt.reason
    if not np.isfinite(attempt.cube.rate).any():
        return "ok", "a cube that says nothing: no bin has a rate"
    return "fail", "got a cube with rates, expected an error"


CHECKS = (
    Check("runs", "makes a cube of a plain store", "plain", _runs, ""),
    Check(
        "blind", "opens its store and its own files, and nothing that knows", "plain", _blind, ""
    ),
    Check("input", "leaves its store as it is", "plain", _input, ""),
    Check("axes", "rates over the axes that it is given", "plain", _axes),
    Check("deterministic", "the same store gives the same cube", "again", _deterministic),
    Check("order", "so do the same runs in another order", "reversed", _same),
    Check("field", "(energy, fov_lon, fov_lat); fov_lon falls with azimuth", "clump", _field),
    Check("energy", "events are in the bin of their energy", "clump", _energy),
    Check("clock", "a rate per second of the clock that it names", "less alive", _clock),
    Check("exposure", "the runs' livetime and ontime, where it states them", "plain", _exposure),
    Check("unit", "s-1 MeV-1 sr-1", "less alive", _unit, "energy"),
    Check("norm", "as many events as the truth has", "less alive", _norm, "unit"),
    Check("shape", "no promise: what else is unlike the truth", "less alive", _shape, "unit"),
    Check("gaps", "good time is exposure, what is between is none", "gaps", _same),
    Check("good time", "events between good times do not count", "strays", _same),
    Check("thresholds", "no exposure below a run's threshold", "thresholds", _thresholds, "energy"),
    Check("masks", "excluded regions take events and exposure", "masks", _masks, "energy"),
    Check("turning masks", "in all good time, as the sky turns", "turning masks", _masks, "energy"),
    Check("few events", "are no reason to fail", "few events", _few),
    Check("no runs", "an error, or no rate", "no runs", _refused, ""),
    Check("broken file", "an error", "broken file", _refused, ""),
)
