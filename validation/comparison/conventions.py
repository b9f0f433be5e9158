"""Faults of convention: the one that explains the difference of two cubes.

A fault is named if three conditions hold: without it the cubes agree by the same comparison that
found the difference; it explains most of the difference
(`simbg.validation.comparison.explanation`); and it is likelier than an explanation without a fault.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube
from simbg.validation.comparison import corrections
from simbg.validation.comparison.explanation import explains, is_likelier
from simbg.validation.comparison.matched_cubes import at_equal_norms, is_counted, same_clock, scaled

__all__ = ["unit_corrections"]

DEG2_PER_SR = np.rad2deg(1.0) ** 2
# A smaller rotation without reflection may be a shift or a gradient.
SMALL_ROTATION = 30.0


@dataclass(frozen=True)
class Fault:
    """A fault of convention that cube b may have.

    Parameters
    ----------
    name : str
        The fault in words.
    correct : callable
        Function of (a, b) that yields (description, a, b) without the fault, for each way in which
        it may have arisen.
    rivals : callable
        Function of (a, b, statistical) that yields cubes a and b with a correction that is not a
        fault of convention. The fault must be likelier than each of them.
    """

    name: str
    correct: Callable[..., Iterable[tuple[str, BackgroundCube, BackgroundCube]]]
    rivals: Callable[..., Iterable[Sequence[BackgroundCube]]] = lambda a, b, statistical: ()


def find_fault(
    a: BackgroundCube, b: BackgroundCube, compare_matched: Callable[..., Any], original: Any
) -> Any:
    """The simplest fault of b without which two different cubes agree.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference, and a cube that differs from it in its values or axes.
    compare_matched : callable
        Function of (a, b) that returns a `Comparison`.
    original : Comparison or None
        The comparison with the fault; None if the axes differ.

    Returns
    -------
    comparison : Comparison or None
        The comparison without the fault, which it names. Equally simple faults that cannot be
        distinguished are joined with "or".
    """
    if original is None:
        # If both axes are parts of the same grid, only a difference in the common part is a fault.
        shared = next(corrections.energy_shift(a, b, 0), None)
        original = compare_matched(*shared[1:]) if shared else None
        if original is not None and original.agree:
            return None
    stages: Sequence[tuple[Fault, ...]] = FAULTS if a.axes.align == b.axes.align else ALIGNMENTS
    if original is not None and original.interpolated == (True, True):
        # Only a cube without noise can be rotated into the other alignment.
        stages = stages[:-1]
    for faults in stages:
        named = [c for fault in faults if (c := _without(fault, a, b, compare_matched, original))]
        if named:
            return replace(named[0], fault=" or ".join(comparison.fault for comparison in named))
    return None


def edge_units(a: Axes, b: Axes) -> str:
    """Description of a wrong unit of the edges of either axes; empty if there is none."""
    if a.shape != b.shape:
        return ""
    units = [("angles", "rad", 1.0, np.rad2deg(1.0))]
    units += [("energies", unit, scale, 1.0) for unit, scale in (("GeV", 1e-3), ("MeV", 1e-6))]
    for label, wrong, right in (("B", b, a), ("A", a, b)):
        for quantity, unit, energy, angle in units:
            edges = [wrong.energy * energy, wrong.fov_lon * angle, wrong.fov_lat * angle]
            expected = [right.energy, right.fov_lon, right.fov_lat]
            # Edges in a file of single precision have errors of 1e-7.
            if np.allclose(np.hstack(edges), np.hstack(expected), 1e-6, 1e-6):
                return f"; the {quantity} of {label} seem to be in {unit}"
    return ""


def unit_corrections(cube: BackgroundCube) -> Iterator[tuple[str, BackgroundCube]]:
    """The cube without each possible fault of the unit of its rate.

    Parameters
    ----------
    cube : BackgroundCube
        A cube whose unit may be wrong.

    Yields
    ------
    name : str
        The fault.
    cube : BackgroundCube
        The cube without it.
    """
    for fault in UNITS:
        for _, _, corrected in fault.correct(cube, cube):
            yield fault.name, corrected


def _without(fault, a, b, compare_matched, original):
    """The comparison without a fault, if the fault explains the difference; else None."""
    for words, *corrected in fault.correct(a, b):
        comparison = compare_matched(*corrected)
        if not comparison.agree or (original is not None and not explains(comparison, original)):
            continue
        rivals = fault.rivals(a, b, comparison.statistical)
        if all(is_likelier(comparison, compare_matched(*rival)) for rival in rivals):
            return replace(comparison, fault=f"{fault.name} (B agrees with A when {words})")
    return None


def _other_norm(a, b, statistical):
    """With counts a norm may explain as much. Without counts, `explains` distinguishes them."""
    if statistical:
        a, b = same_clock(a, b)
        yield at_equal_norms(a, b, (is_counted(a), is_counted(b)))


def _gradient_or_rotation(a, b, statistical):
    """A linear gradient, and a small rotation without reflection."""
    a, b = same_clock(a, b)
    yield (a, _with_gradient(b, a)) if is_counted(a) else (_with_gradient(a, b), b)
    for _, *rotated in corrections.other_alignment(a, b, mirror=False, limit=SMALL_ROTATION):
        yield rotated


def _gradient(a, b, statistical):
    """A linear gradient."""
    yield next(_gradient_or_rotation(a, b, statistical))


def _with_gradient(model, data):
    """The model times c₀ + c₁ fov_lon + c₂ fov_lat, fitted to the data by least squares."""
    axes = model.axes
    linear = np.ones(axes.shape), axes.fov_lon_center[:, None], axes.fov_lat_center
    terms = [np.broadcast_to(term, axes.shape) for term in linear]
    used = np.isfinite(model.rate + data.rate)
    expected, observed = (np.where(used, cube.event_rate, 0.0) for cube in (model, data))
    matrix = [[np.sum(expected * s * t) for t in terms] for s in terms]
    c = np.linalg.solve(matrix, [np.sum(observed * t) for t in terms])
    return scaled(model, np.maximum(np.tensordot(c, terms, axes=1), 0.0))


def _flip(name, words, *moves):
    options: dict[str, Any] = {"words": words, **dict.fromkeys(moves, True)}
    return Fault(name, partial(corrections.flip_or_swap, **options))


def _unit(name, factor, power, words):
    words = f"its rates are {'divided' if power < 0 else 'multiplied'} by {words}"
    correct = partial(corrections.wrong_unit, words=words, factor=factor, power=power)
    return Fault(f"the rates are per {name}", correct)


def _units(wrong, right, factor, words):
    """Rates that are too large by a factor, and rates that are too small by the same factor."""
    yield _unit(f"{wrong} instead of per {right}", factor, -1.0, words)
    yield _unit(f"{right} instead of per {wrong}", factor, 1.0, words)


def _centers(label, mean):
    correct = partial(corrections.values_at_centers, label=label, mean=mean)
    return Fault(f"{label} holds values at bin centres, not averages", correct, _other_norm)


def _energy_widths(axes):
    return MEV_PER_TEV * np.diff(axes.energy)[:, None, None]


# A swap cannot be distinguished from these.
LIKE_ANGLE = "the other alignment with a parallactic angle of {} deg has the same effect"
TURNED = "a field that is rotated by 90 deg, as by a forgotten angle, looks the same"
FIELD = (
    _flip("fov_lon is flipped", "its fov_lon is reversed", "flip_lon"),
    _flip("fov_lat is flipped", "its fov_lat is reversed", "flip_lat"),
    _flip("fov_lon and fov_lat are flipped", "it is rotated by 180 deg", "flip_lon", "flip_lat"),
    _flip("fov_lon and fov_lat are swapped", f"they are swapped; {LIKE_ANGLE.format(-90)}", "swap"),
)
SWAPPED_FIELD = tuple(
    _flip(f"fov_lon and fov_lat are swapped and {name}", f"they are swapped, then {words}", *moves)
    for name, words, *moves in (
        ("one is flipped", f"fov_lon reversed; {TURNED}", "swap", "flip_lon"),
        ("one is flipped", f"fov_lat reversed; {TURNED}", "swap", "flip_lat"),
        (
            "both flipped",
            f"both reversed; {LIKE_ANGLE.format(90)}",
            "swap",
            "flip_lon",
            "flip_lat",
        ),
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
ROTATED = partial(corrections.other_alignment, mirror=False, least=SMALL_ROTATION)
ALIGNMENT = "the field is that of the other alignment"
# In order of complexity: a tuple is tried if no fault of the earlier ones explains the difference.
FAULTS = (
    (*FIELD, CLOCK, DEAD_TIME, *UNITS, *ENERGY),
    SWAPPED_FIELD,
    (
        Fault(ALIGNMENT, corrections.other_alignment, _gradient_or_rotation),
        Fault("the field is rotated", ROTATED, _gradient),
    ),
)
# Faults of cubes with different alignments, whose fields differ without any fault.
ALIGNMENTS = (
    (Fault("the alignments are labelled differently", corrections.other_label),),
    (Fault("the alignments differ", corrections.other_alignment),),
)
