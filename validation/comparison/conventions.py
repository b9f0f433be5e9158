"""Which fault of convention makes two cubes differ.

A fault is named if the cubes agree without it, by the comparison that says that they
differ, if it is most of what is seen (`likelihood`), and if what is no fault of convention
does not explain as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from simbg.axes import MEV_PER_TEV
from simbg.validation.comparison.corrections import (
    alignment_label,
    bin_centers,
    clock,
    dead_time_twice,
    divided,
    energy_bin,
    other_alignment,
    permuted,
    with_gradient,
)
from simbg.validation.comparison.likelihood import beats, explains
from simbg.validation.comparison.measures import is_measured, same_clock, scale_factor, scaled

__all__ = ["ALIGNMENTS", "HYPOTHESES", "UNITS", "Fault", "Hypothesis", "edge_units", "find_fault"]

DEG2_PER_SR = np.rad2deg(1.0) ** 2
# A turn by less, without a mirror, may be a shift or a gradient.
SMALL_TURN = 30.0


class Fault(NamedTuple):
    """What differs, in words, and the comparison of the cubes without it."""

    text: str
    found: object


def find_fault(a, b, seen, judge):
    """The simplest fault of b without which two cubes that differ agree.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference, and a cube that differs from it in its values or its axes.
    seen : Comparison or None
        Of the two as they are; None if they have other axes. That these fit without a fault
        is then enough.
    judge : callable
        (a, b) → Comparison; with ``hopeful``, None may stand for cubes that differ.

    Returns
    -------
    fault : Fault or None
        Faults that are as simple and cannot be told apart are joined with "or".
    """
    aligned = a.axes.align == b.axes.align
    for hypotheses in HYPOTHESES if aligned else ALIGNMENTS:
        faults = [f for f in (_tried(h, a, b, seen, judge) for h in hypotheses) if f]
        if faults:
            return Fault(" or ".join(fault.text for fault in faults), faults[0].found)
    return None


def edge_units(a, b):
    """Units in which the edges of either axes seem to be, in words; empty if they are right."""
    units = [("angles in rad", 1.0, np.rad2deg(1.0))]
    units += [(f"energies in {unit}", scale, 1.0) for unit, scale in (("GeV", 1e-3), ("MeV", 1e-6))]
    for label, wrong, right in (("B", b, a), ("A", a, b)):
        for what, energy, angle in units:
            edges = wrong.energy * energy, wrong.fov_lon * angle, wrong.fov_lat * angle
            pairs = zip(edges, (right.energy, right.fov_lon, right.fov_lat), strict=True)
            # In a file of single precision edges are right to 1e-7.
            if all(x.size == y.size and np.allclose(x, y, 1e-6, 1e-6) for x, y in pairs):
                return f"; {label} seems to have {what}"
    return ""


@dataclass(frozen=True)
class Hypothesis:
    """A fault that B may have.

    Parameters
    ----------
    name : str
    undo : callable
        (a, b) → (in words, a, b) without the fault, for each way that it may have come about.
    accept : callable
        (comparison without the fault, a, b, judge) → whether more than agreement speaks for it.
    """

    name: str
    undo: Callable
    accept: Callable = lambda found, a, b, judge: True


def _tried(hypothesis, a, b, seen, judge):
    for cure, *pair in hypothesis.undo(a, b):
        found = judge(*pair, hopeful=True)
        if (
            found
            and found.agree
            and (seen is None or explains(found, seen))
            and hypothesis.accept(found, a, b, judge)
        ):
            return Fault(f"{hypothesis.name} (B agrees with A when {cure})", found)
    return None


def _is_shift(found, a, b, judge):
    """Whether the bins in common differ as they are: axes may be parts of the same grid."""
    seen = [judge(*pair) for _, *pair in islice(energy_bin(0)(a, b), 1)]
    return all(not one.agree and explains(found, one) for one in seen)


def _is_center(found, a, b, judge):
    """Whether a plain norm does not do as well; without counts `explains` tells them apart."""
    if not found.scatter:
        return True
    a, b = same_clock(a, b)
    norm = (
        (a, scaled(b, scale_factor(b, a, "cube")))
        if is_measured(a)
        else (scaled(a, scale_factor(a, b, "cube")), b)
    )
    return beats(found, judge(*norm))


def _is_turned(found, a, b, judge):
    """Whether neither a plain gradient nor a small turn without a mirror does as well."""
    a, b = same_clock(a, b)
    gradient = (a, with_gradient(b, a)) if is_measured(a) else (with_gradient(a, b), b)
    turns = (pair for _, *pair in other_alignment(a, b, mirror=False, limit=SMALL_TURN))
    return all(beats(found, judge(*pair)) for pair in (gradient, *turns))


def _rates(name, factor, cure):
    return Hypothesis(f"the rates are per {name}", divided(factor, f"its rates are {cure}"))


def _times(name, unit, factor, about):
    """Rates that are ``factor`` times what they should be, and the other way round."""
    return (
        _rates(f"{name} instead of per {unit}", factor, f"divided by {about}"),
        _rates(f"{unit} instead of per {name}", 1 / factor, f"multiplied by {about}"),
    )


def _parts(name, unit, part, about):
    """Rates that were multiplied by a part of the volume of their bins, or divided by it."""
    return (
        _rates(f"{name} instead of per {unit}", part, f"divided by {about}"),
        _rates(
            f"{unit} instead of per {name}",
            lambda axes: 1 / part(axes),
            f"multiplied by {about}",
        ),
    )


def _energy_width(axes):
    return MEV_PER_TEV * np.diff(axes.energy)[:, None, None]


FIELD = (
    Hypothesis("fov_lon is flipped", permuted(False, True, False, "its fov_lon is reversed")),
    Hypothesis("fov_lat is flipped", permuted(False, False, True, "its fov_lat is reversed")),
    Hypothesis(
        "fov_lon and fov_lat are flipped",
        permuted(False, True, True, "it is turned by 180 deg"),
    ),
    Hypothesis(
        "fov_lon and fov_lat are swapped",
        permuted(True, False, False, "they are swapped"),
    ),
)
UNITS = (
    *_times("TeV", "MeV", 1e6, "1e6"),
    _rates("GeV instead of per MeV, or per MeV instead of per keV", 1e3, "divided by 1e3"),
    _rates("keV instead of per MeV, or per MeV instead of per GeV", 1e-3, "multiplied by 1e3"),
    *_times("sr", "deg2", DEG2_PER_SR, f"{DEG2_PER_SR:.1f}"),
    *_parts("pixel", "sr", lambda axes: axes.solid_angle, "solid angles"),
    *_parts("energy bin", "MeV", _energy_width, "widths in energy"),
    *_parts("bin", "MeV and sr", lambda axes: axes.volume, "volumes of bins"),
)
RATE = (
    Hypothesis("the clock is wrong", clock),
    Hypothesis("the dead time is corrected twice", dead_time_twice),
    *UNITS,
)
ENERGY = (
    *(Hypothesis("energy is off by a bin", energy_bin(shift), _is_shift) for shift in (-1, 1)),
    *(
        Hypothesis(
            f"{label} holds values at bin centres, not averages",
            bin_centers(label == "B", mean),
            _is_center,
        )
        for label in "BA"
        for mean in ("logarithmic", "arithmetic")
    ),
)
TURNS = (
    Hypothesis(
        "fov_lon and fov_lat are swapped and one is flipped",
        permuted(True, True, False, "they are swapped, then fov_lon reversed"),
    ),
    Hypothesis(
        "fov_lon and fov_lat are swapped and one is flipped",
        permuted(True, False, True, "they are swapped, then fov_lat reversed"),
    ),
    Hypothesis(
        "fov_lon and fov_lat are swapped and both flipped",
        permuted(True, True, True, "they are swapped, then both reversed"),
    ),
)
# Simple ones first: a later tuple is tried if nothing in those before it helps.
HYPOTHESES = (
    (*FIELD, *RATE, *ENERGY),
    TURNS,
    (Hypothesis("the field is that of the other alignment", other_alignment, _is_turned),),
)
# Of cubes whose alignments differ; their fields then look different by right.
ALIGNMENTS = (
    (Hypothesis("the alignments are labelled differently", alignment_label),),
    (Hypothesis("the alignments differ", other_alignment),),
)
