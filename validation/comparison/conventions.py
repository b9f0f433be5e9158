"""Which fault of convention makes two cubes differ.

A fault is named if the cubes agree without it, by the comparison that says that they differ; if it
is most of the difference (`likelihood`); and if what is no fault of convention explains it less
well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np

from simbg.axes import MEV_PER_TEV
from simbg.validation.comparison import corrections
from simbg.validation.comparison.explanation import explains, is_likelier
from simbg.validation.comparison.matched_cubes import at_equal_norms, is_counted, same_clock, scaled

__all__ = ["unit_corrections"]

DEG2_PER_SR = np.rad2deg(1.0) ** 2
# A rotation by less, without a mirror, may be a shift or a gradient.
SMALL_ROTATION = 30.0


@dataclass(frozen=True)
class Fault:
    """A fault of convention that cube b may have.

    Parameters
    ----------
    name : str
    correct : callable
        (a, b) → (in words, a, b) without the fault, for each way in which it may have come about.
    rivals : callable
        (a, b, statistical) → cubes a and b without a difference that is no fault of convention;
        the fault must be likelier than each.
    """

    name: str
    correct: Callable
    rivals: Callable = lambda a, b, statistical: ()


def find_fault(a, b, judge, original):
    """The simplest fault of b without which two cubes that differ agree.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference, and a cube that differs from it in its values or its axes.
    judge : callable
        (a, b) → Comparison.
    original : Comparison or None
        Of the two as they are; None if they have other axes.

    Returns
    -------
    comparison : Comparison or None
        Of the cubes without the fault, which it names. Faults that are as simple and cannot be
        told apart are joined with "or".
    """
    if original is None:
        # Axes may be parts of the same grid: only what differs there is a fault.
        shared = next(corrections.energy_shift(a, b, 0), None)
        original = judge(*shared[1:]) if shared else None
        if original is not None and original.agree:
            return None
    stages = FAULTS if a.axes.align == b.axes.align else ALIGNMENTS
    if original is not None and original.interpolated == (True, True):
        # Only what does not scatter is rotated into the other alignment.
        stages = stages[:-1]
    for faults in stages:
        named = [c for fault in faults if (c := _without(fault, a, b, judge, original))]
        if named:
            return replace(named[0], fault=" or ".join(comparison.fault for comparison in named))
    return None


def edge_units(a, b):
    """Units in which the edges of either axes seem to be, in words; empty if they are right."""
    if a.shape != b.shape:
        return ""
    units = [("angles in rad", 1.0, np.rad2deg(1.0))]
    units += [(f"energies in {unit}", scale, 1.0) for unit, scale in (("GeV", 1e-3), ("MeV", 1e-6))]
    for label, wrong, right in (("B", b, a), ("A", a, b)):
        for words, energy, angle in units:
            edges = [wrong.energy * energy, wrong.fov_lon * angle, wrong.fov_lat * angle]
            expected = [right.energy, right.fov_lon, right.fov_lat]
            # In a file of single precision edges are right to 1e-7.
            if np.allclose(np.hstack(edges), np.hstack(expected), 1e-6, 1e-6):
                return f"; {label} seems to have {words}"
    return ""


def unit_corrections(cube):
    """The cube without each fault of a unit that a rate may have.

    Yields
    ------
    name : str
    cube : BackgroundCube
    """
    for fault in UNITS:
        for _, _, corrected in fault.correct(cube, cube):
            yield fault.name, corrected


def _without(fault, a, b, judge, original):
    """The comparison without a fault, if that is why the cubes differ; else None."""
    for words, *corrected in fault.correct(a, b):
        comparison = judge(*corrected)
        if not comparison.agree or (original is not None and not explains(comparison, original)):
            continue
        rivals = fault.rivals(a, b, comparison.statistical)
        if all(is_likelier(comparison, judge(*rival)) for rival in rivals):
            return replace(comparison, fault=f"{fault.name} (B agrees with A when {words})")
    return None


def _other_norm(a, b, statistical):
    """With counts a norm may explain as much; without, `explains` tells it from bin centres."""
    if statistical:
        a, b = same_clock(a, b)
        yield at_equal_norms(a, b, (is_counted(a), is_counted(b)))


def _gradient_or_rotation(a, b, statistical):
    """A linear gradient, and a small rotation without a mirror."""
    a, b = same_clock(a, b)
    yield (a, _with_gradient(b, a)) if is_counted(a) else (_with_gradient(a, b), b)
    for _, *rotated in corrections.other_alignment(a, b, mirror=False, limit=SMALL_ROTATION):
        yield rotated


def _with_gradient(model, data):
    """The model times c₀ + c₁ fov_lon + c₂ fov_lat, by least squares of the data."""
    axes = model.axes
    terms = np.ones(axes.shape), axes.fov_lon_center[:, None], axes.fov_lat_center
    terms = [np.broadcast_to(term, axes.shape) for term in terms]
    used = np.isfinite(model.rate + data.rate)
    expected, observed = (np.where(used, cube.event_rate, 0.0) for cube in (model, data))
    matrix = [[np.sum(expected * s * t) for t in terms] for s in terms]
    c = np.linalg.solve(matrix, [np.sum(observed * t) for t in terms])
    return scaled(model, np.maximum(np.tensordot(c, terms, axes=1), 0.0))


def _flip(name, words, *moves):
    return Fault(name, partial(corrections.flip_or_swap, words=words, **dict.fromkeys(moves, True)))


def _unit(name, factor, power, words):
    words = f"its rates are {'divided' if power < 0 else 'multiplied'} by {words}"
    correct = partial(corrections.wrong_unit, words=words, factor=factor, power=power)
    return Fault(f"the rates are per {name}", correct)


def _units(wrong, right, factor, words):
    """Rates ``factor`` times what they should be, and the other way round."""
    yield _unit(f"{wrong} instead of per {right}", factor, -1.0, words)
    yield _unit(f"{right} instead of per {wrong}", factor, 1.0, words)


def _centers(label, mean):
    correct = partial(corrections.values_at_centers, label=label, mean=mean)
    return Fault(f"{label} holds values at bin centres, not averages", correct, _other_norm)


def _energy_widths(axes):
    return MEV_PER_TEV * np.diff(axes.energy)[:, None, None]


FIELD = (
    _flip("fov_lon is flipped", "its fov_lon is reversed", "flip_lon"),
    _flip("fov_lat is flipped", "its fov_lat is reversed", "flip_lat"),
    _flip("fov_lon and fov_lat are flipped", "it is turned by 180 deg", "flip_lon", "flip_lat"),
    _flip("fov_lon and fov_lat are swapped", "they are swapped", "swap"),
)
SWAPPED_FIELD = tuple(
    _flip(f"fov_lon and fov_lat are swapped and {name}", f"they are swapped, then {words}", *moves)
    for name, words, *moves in (
        ("one is flipped", "fov_lon reversed", "swap", "flip_lon"),
        ("one is flipped", "fov_lat reversed", "swap", "flip_lat"),
        ("both flipped", "both reversed", "swap", "flip_lon", "flip_lat"),
    )
)
CLOCK = Fault("the clock is wrong", corrections.clock)
DEAD_TIME = Fault("the dead time is corrected twice", corrections.corrected_twice)
UNITS = (
    *_units("TeV", "MeV", 1e6, "1e6"),
    _unit("GeV instead of per MeV, or per MeV instead of per keV", 1e3, -1.0, "1e3"),
    _unit("keV instead of per MeV, or per MeV instead of per GeV", 1e3, 1.0, "1e3"),
    *_units("sr", "deg2", DEG2_PER_SR, f"{DEG2_PER_SR:.1f}"),
    *_units("pixel", "sr", attrgetter("solid_angle"), "solid angles"),
    *_units("energy bin", "MeV", _energy_widths, "widths in energy"),
    *_units("bin", "MeV and sr", attrgetter("volume"), "volumes of bins"),
)
ENERGY = (
    *(Fault("energy is off by a bin", partial(corrections.energy_shift, shift=n)) for n in (-1, 1)),
    *(_centers(label, mean) for label in "BA" for mean in ("logarithmic", "arithmetic")),
)
ALIGNMENT = "the field is that of the other alignment"
# Simple ones first: a later tuple is tried if nothing in those before it helps.
FAULTS = (
    (*FIELD, CLOCK, DEAD_TIME, *UNITS, *ENERGY),
    SWAPPED_FIELD,
    (Fault(ALIGNMENT, corrections.other_alignment, _gradient_or_rotation),),
)
# Of cubes whose alignments differ; their fields then look different by right.
ALIGNMENTS = (
    (Fault("the alignments are labelled differently", corrections.other_label),),
    (Fault("the alignments differ", corrections.other_alignment),),
)
