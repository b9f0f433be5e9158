"""Checks of the contract: one for each promise of a method.

Most checks compare the cubes of two stores that differ in one respect. They therefore find a fault
independently of other properties of the method. Only the unit and the norm need the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from simbg.validation.comparison.compare import compare
from simbg.validation.conformance.evidence import (
    MAX_DISPLACED,
    MAX_FACTOR,
    SIGMAS,
    Evidence,
    turned_center,
)
from simbg.validation.conformance.stores import AXES, CLUMP, FEW, LIVE, N_CLUMP, VARIANTS

__all__ = ["CHECKS"]

# Accepted error of a norm, in addition to 5 standard errors: the effect of borders and of rings.
NORM_MARGIN = 0.05
# Accepted error of a rate near thresholds and masks, in addition to 5 standard errors. It is half
# of the effect of the smallest fault, which is 1/3. The effect of smoothing is 1/20.
MARGIN = 0.15
# Accepted rms in partly masked pixels: twice the effect of smoothing, and 1/4 of the effect of a
# missing mask.
MASKED_RMS = 0.10
# Largest relative difference of a radial model at positions that flips and swaps exchange.
RADIAL_DIFFERENCE = 0.25
# First words of reasons that are not exceptions of the method.
FORBIDDEN, WROTE = "forbidden access", "wrote to its input"
NO_ERROR = FORBIDDEN, WROTE, "was ended by", "took more than"
# First words of the reason if the method returned something that is no valid cube.
RETURNED = "ValueError: method returned"
CLOCKS = {0: "per ontime", 1: "per livetime", 2: "per livetime, corrected twice for the dead time"}


@dataclass(frozen=True)
class Check:
    """The check of one promise of the contract.

    Parameters
    ----------
    name, promise : str
        The name, and the promise in words.
    store : str
        The store whose cube is compared with the cube of the plain (unchanged) store.
    function : callable
        Function of (evidence, store) that returns a status and a text.
    needs : {"cube", "energy", "unit", ""}
        Condition of the check: a cube of the store; in addition the right energies; in addition
        the right unit; or no condition.
    """

    name: str
    promise: str
    store: str
    function: Callable[[Evidence, str], tuple[str, str]]
    needs: str = "cube"

    def __call__(self, evidence: Evidence) -> tuple[str, str]:
        """Status and text for a method."""
        reason = evidence.attempts[self.store].reason
        if reason and self.needs:
            # A method may raise an error if it does not support masks.
            masked = self.store in VARIANTS and VARIANTS[self.store].masked
            refuses = masked and is_error(reason) and not reason.startswith(RETURNED)
            return "note" if refuses else "fail", reason
        try:
            if self.needs in ("energy", "unit") and evidence.energy_offset:
                return "note", "not checked: the energy is wrong"
            if self.needs == "unit" and evidence.corrected[0] is None:
                return "note", "not checked: the unit is not known"
            return self.function(evidence, self.store)
        except ValueError as error:
            return "fail", str(error)


def is_error(reason: str) -> bool:
    """Whether a method ended with an exception of its own.

    Parameters
    ----------
    reason : str
        Reason of an `simbg.validation.methods.isolation.Attempt`.

    Returns
    -------
    error : bool
        False for forbidden access, a crash, or a time-out.
    """
    return not reason.startswith(NO_ERROR)


def _runs(evidence, store):
    attempt = evidence.attempts[store]
    if attempt.reason.startswith((FORBIDDEN, WROTE)):
        return "note", "its cube is not used"
    if attempt.reason:
        return "fail", attempt.reason
    return "ok", f"a cube in {attempt.seconds:.1f} s, {attempt.megabytes:.0f} MB"


def _blind(evidence, store):
    return _never(evidence, FORBIDDEN) or ("ok", "it opened no other file")


def _input(evidence, store):
    return _never(evidence, WROTE) or ("ok", "all files are unchanged")


def _never(evidence, words):
    """The failure of the first store whose reason begins with these words."""
    for store, attempt in evidence.attempts.items():
        if attempt.reason.startswith(words):
            return "fail", f"{attempt.reason} (store: {store})"
    return None


def _axes(evidence, store):
    axes = evidence.plain.axes
    if axes.same_as(AXES):
        return "ok", f"{axes.shape} bins, as requested"
    return "note", f"{axes.shape} bins, which are not the requested ones"


def _deterministic(evidence, store):
    for name in ("rate", "rate_error", "counts"):
        one, other = (getattr(evidence.attempts[key].cube, name) for key in ("plain", store))
        if not np.array_equal(one, other, equal_nan=one is not None):
            return "fail", f"got another {name} in the second run, expected the same"
    return "ok", "the same cube twice, to the last bit"


def _field(evidence, store):
    """Position of a clump of events: right, or where a flip or a swap moves it."""
    rates = {turn: evidence.clump_at(turn) for turn in product((0, 1), repeat=3)}
    best = max(rates, key=lambda turn: rates[turn])
    enough = (1 - RADIAL_DIFFERENCE) * rates[best]
    if not rates[best] > 0:
        return "fail", f"got no excess from {N_CLUMP} more events in each run, expected one"
    if min(rates.values()) > enough:
        return "note", "the rate is radial: flips and swaps cannot be seen"
    if rates[0, 0, 0] > enough:
        return "ok", "events are at the right position"
    swap, *flips = best
    names = [name for name, flip in zip(("fov_lon", "fov_lat"), flips, strict=True) if flip]
    parts = ["fov_lon and fov_lat are swapped"] * swap
    parts += [f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} flipped"] * bool(names)
    where = "events at fov_lon {:g}, fov_lat {:g} deg are at {:g}, {:g}"
    where = where.format(*turned_center((0, 0, 0)), *turned_center(best))
    return "fail", f"{', then '.join(parts)}: {where}"


def _energy(evidence, store):
    if not np.any(evidence.clump > 0):
        return "note", "not checked: additional events do not change the rate"
    low, high = evidence.plain.axes.energy[evidence.clump_bin :][:2]
    where = "events of {:g} to {:g} TeV are in the bin of {:.3g} to {:.3g} TeV".format(
        *CLUMP[0], low, high
    )
    if offset := evidence.energy_offset:
        return "fail", f"the energy is wrong by {offset:+d} bin: {where}"
    return "ok", where


def _clock(evidence, store):
    """The same events in half of the livetime double a rate per livetime, not one per ontime."""
    ratio, power = evidence.ratio(store), evidence.livetime_power
    text = f"for {LIVE:g} × the livetime the rate is × {ratio:.4f}"
    clock = CLOCKS.get(round(power)) if np.isfinite(power) else None
    if not clock or abs(LIVE ** (round(power) - power) - 1) > MAX_DISPLACED:
        expected = f"× {1 / LIVE:g} (per livetime) or × 1 (per ontime)"
        return "fail", f"{text}, expected {expected}"
    named = f"per {evidence.plain.clock}"
    if clock == named:
        return "ok", f"{clock}, as stated: {text}"
    return "fail", f"the clock is wrong: the rate is {clock}, but the cube states {named}: {text}"


def _exposure(evidence, store):
    cube, expected = evidence.plain, evidence.expected()
    stated = [name for name in ("livetime", "ontime") if getattr(cube, name) is not None]
    for name in stated:
        got, runs = (float(np.max(getattr(each, name))) for each in (cube, expected))
        if not np.isclose(got, runs, rtol=1e-6):
            return "fail", f"got {got:.1f} s of {name}, expected the {runs:.1f} s of the runs"
    return "ok", " and ".join(stated) or "the cube states no exposure"


def _unit(evidence, store):
    fault, _ = evidence.corrected
    if fault is None:
        true, predicted = evidence.spectra(evidence.per_livetime)
        ratios = ", ".join(f"{ratio:.3g}" for ratio in predicted / true)
        return "fail", f"the rate is × {ratios} in the energy bins: no known unit explains this"
    return ("fail", fault) if fault else ("ok", "s-1 MeV-1 sr-1")


def _norm(evidence, store):
    """The norm, with the clock and in the unit of the rate."""
    true, predicted = (counts.sum() for counts in evidence.spectra(evidence.corrected[1]))
    return _near(predicted / true, true**-0.5, "the rate", margin=NORM_MARGIN)


def _shape(evidence, store):
    """Differences from the truth that no other check finds."""
    cube = evidence.corrected[1]
    # Counts that belong to the rate: rounded, with the same sums at each energy. They say how large
    # the noise is.
    counts = np.nan_to_num(cube.event_rate * evidence.expected().livetime)
    sums = np.round(np.cumsum(counts.reshape(len(counts), -1), axis=1))
    counts = np.diff(sums, axis=1, prepend=0.0).reshape(counts.shape)
    cube = replace(cube, counts=counts)
    compared = compare(replace(evidence.true_cube, rate_error=None), cube, normalize="cube")
    return "ok" if compared.agree else "note", compared.verdict


def _near(ratio, error, what, more="", less="", margin=MARGIN):
    """Status of a ratio that should be 1, and the meaning of a deviation."""
    if not np.isfinite(ratio):
        return "note", f"{what} is not known"
    text = f"{what} is {ratio:.3f} ± {error:.3f} of the true one"
    if abs(ratio - 1) <= SIGMAS * error + margin:
        return "ok", text
    return "fail", text + (more if ratio > 1 else less)


def _same(evidence, store):
    displaced = evidence.displaced(store)
    if displaced <= MAX_DISPLACED:
        return "ok", f"the same cube, except for {displaced:.1e} of the rate"
    if not np.isfinite(displaced):
        return "fail", "got a rate in other bins than for the plain store, expected the same bins"
    text = f"the rate is {evidence.ratio(store):.3f} of that for the plain store"
    return "fail", f"{text}, and {displaced:.1%} of it are in other bins"


def _thresholds(evidence, store):
    """Every second run has a threshold, and some of its events are below it."""
    energy, edge = evidence.plain.axes.energy[:, None, None], AXES.energy[2]
    above = evidence.ratio(store, energy[:-1] >= edge * (1 - 1e-6))
    status, text = _near(above, 0.0, "the rate above", margin=NORM_MARGIN)
    if status != "ok":
        return status, text
    below = np.broadcast_to(energy[1:] <= edge * (1 + 1e-6), evidence.plain.rate.shape)
    counts = (evidence.expected(each).counts for each in ("plain", store))
    whole, remaining = (np.where(below, each, 0.0) for each in counts)
    # Binomial error of the remaining events.
    fraction = np.divide(remaining, whole, out=np.ones(whole.shape), where=whole > 0)
    error = float(np.sqrt(np.sum(remaining * (1 - fraction))) / np.sum(remaining))
    more = ": events below the threshold of a run are counted"
    less = ": a run counts as exposed below its threshold"
    return _near(evidence.ratio(store, below), error, "the rate below", more, less)


def _masks(evidence, store):
    """A mask removes its source from the rate, and its pixels from the exposure."""
    fraction = evidence.unmasked_fraction(store)
    # Relative to the bins without masks, where nothing has changed.
    norm = evidence.ratio(store, fraction == 1)
    known = np.isfinite(evidence.event_rate(store) + evidence.event_rate("plain"))
    hidden = (fraction == 0) & known
    n, inside = int(hidden.sum()), evidence.ratio(store, hidden) / norm
    if n and not inside > 1 / MAX_FACTOR:
        return "fail", f"the rate is {inside:.2g} of the true one in {n} masked bins, expected NaN"
    rms, error, ratio = evidence.partly_masked(store, norm)
    text = f"in partly masked bins the rate is {ratio:.3f} of the true one"
    text = f"{text}, {rms:.1%} rms beyond noise"
    if rms**2 > MASKED_RMS**2 + SIGMAS * error:
        fault = "masked bins count as exposed" if ratio < 1 else "masked events are counted"
        fault = fault if abs(ratio - 1) > MARGIN else "the mask is at a wrong position"
        return "fail", f"{text}: {fault}"
    if n:
        return "note", f"{text}; {n} masked bins have a rate, {inside:.2g} of the true one"
    return "ok", text


def _few(evidence, store):
    n = FEW * evidence.expected().counts.sum()
    return _near(evidence.ratio(store) / FEW, n**-0.5, "the rate")


def _refused(evidence, store):
    attempt = evidence.attempts[store]
    if attempt.reason:
        return "ok" if is_error(attempt.reason) else "fail", attempt.reason
    if not np.isfinite(attempt.cube.rate).any():
        return "ok", "a cube without any rate"
    return "fail", "got a cube with rates, expected an error"


CHECKS = (
    Check("runs", "the method makes a cube of a store", "plain", _runs, ""),
    Check("blind", "the method opens only its store and its own files", "plain", _blind, ""),
    Check("input", "the method does not change its store", "plain", _input, ""),
    Check("axes", "the rate is over the given axes", "plain", _axes),
    Check("deterministic", "the same store gives the same cube", "again", _deterministic),
    Check("order", "another order of the runs gives the same cube", "reversed", _same),
    Check(
        "field",
        "axes are (energy, fov_lon, fov_lat); fov_lon decreases with azimuth",
        "clump",
        _field,
    ),
    Check("energy", "events are in the bin of their energy", "clump", _energy),
    Check("clock", "the rate is per second of the stated clock", "less alive", _clock),
    Check("exposure", "stated livetime and ontime are those of the runs", "plain", _exposure),
    Check("unit", "the rate is in s-1 MeV-1 sr-1", "less alive", _unit, "energy"),
    Check("norm", "the number of events is that of the truth", "less alive", _norm, "unit"),
    Check(
        "shape", "other differences from the truth (not a promise)", "less alive", _shape, "unit"
    ),
    Check("gaps", "only good time intervals are exposure", "gaps", _same),
    Check("good time", "events between good time intervals are not counted", "strays", _same),
    Check(
        "thresholds",
        "runs have no exposure below their threshold",
        "thresholds",
        _thresholds,
        "energy",
    ),
    Check("masks", "excluded regions remove events and exposure", "masks", _masks, "energy"),
    Check(
        "turning masks",
        "excluded regions follow the rotation of the field",
        "turning masks",
        _masks,
        "energy",
    ),
    Check("few events", "few events do not cause an error", "few events", _few),
    Check("no runs", "a store without runs gives an error or no rate", "no runs", _refused, ""),
    Check("broken file", "a broken file gives an error", "broken file", _refused, ""),
)
