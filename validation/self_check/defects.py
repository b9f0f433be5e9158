"""Defects that are planted in an otherwise perfect simulation or cube, as functions of their size.

A defect changes the expectation from which events are drawn, or the cube that is made of them. The
field is that of `simbg.validation.self_check.asymmetric_field`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special
from scipy.special import ndtr

from simbg.axes import edition2015_axes
from simbg.reconstruction.edition2015 import smooth, smoothing_variance
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.point_source import PSF
from simbg.validation.self_check.asymmetric_field import (
    AXES,
    DEADTIME,
    GRADIENT,
    TRUTH,
    AsymmetricField,
    asymmetric_field,
)

__all__ = ["DEFECTS"]

# Fraction of the data sets that must be detected: 19 of 20.
POWER = 0.95
THRESHOLD = 0.15  # TeV
DEFECTS: dict[str, "Defect"] = {}


@dataclass(frozen=True)
class Defect:
    """A defect and its full size.

    Parameters
    ----------
    name : str
        Its name.
    description : str
        The defect in words.
    full : float
        A size that occurs in practice and must be detected.
    unit : str
        Unit of the size; empty if it has none.
    kind : {"events", "cube", "data"}
        The result of the function. "events": expected counts, from which events are drawn. "cube":
        expected counts of a wrong cube that is made of correct events. "data": a `Sample`.
    function : callable
        Function of (field, size), or of (field, size, rng, number) for "data".
    events : float
        Expected events of a replicate: 1e6, or more if the full size is too small for them.
    unknown : int
        Number of unknown numbers of the pattern: 1, or more for a random pattern.
    """

    name: str
    description: str
    full: float
    unit: str
    kind: str
    function: Callable[..., Any]
    events: float
    unknown: int = 1

    def sample(self, size: float, rng: np.random.Generator, number: int) -> "Sample":
        """Replicates of a cube with the defect.

        Parameters
        ----------
        size : float
            Size of the defect.
        rng : numpy.random.Generator
            Source of random numbers.
        number : int
            Number of replicates.
        """
        field = asymmetric_field(self.events)
        if self.kind == "data":
            return self.function(field, size, rng, number)
        expected = self.function(field, size)
        if self.kind == "events":
            counts, runs = field.draw(rng, expected, number)
            return Sample.raw(field, counts, runs)
        counts, runs = field.draw(rng, field.expected, number)
        factor = expected / field.expected
        return replace(
            Sample.raw(field, counts, runs),
            predicted=counts * factor,
            errors=np.sqrt(counts) * factor,
        )

    def pair(self, size: float, rng: np.random.Generator) -> CubePair:
        """A reconstructed cube with the defect, and the true one.

        Parameters
        ----------
        size : float
            Size of the defect.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        pair : CubePair
            True and reconstructed cube.
        """
        one = self.sample(size, rng, 1)
        return one.field.pair(one.counts[0], one.runs[0], one.predicted[0], one.errors[0] ** 2)

    def limit(self, number: int, false_alarm: float = BUDGET) -> float:
        """Size that an optimal test detects; NaN if the defect changes no expectation.

        Parameters
        ----------
        number : int
            Number of replicates, R.
        false_alarm : float
            False-alarm rate of the test.

        Notes
        -----
        The test has a power of 95 %. For a known direction, the variance of a size s is at least
        1/(R Σ (dλ/ds)²/λ) (Cramér–Rao bound, Rao 1945). For a pattern of n unknown numbers, such
        as the gains of pixels, the optimal test is that of χ² with n degrees of freedom.
        s² R Σ (dλ/ds)²/λ is then its noncentrality.
        """
        if self.kind == "data":
            return np.nan
        field, step = asymmetric_field(self.events), 1e-4 * self.full
        slope = (self.function(field, step) - field.expected) / step
        information = number * float(np.sum(slope**2 / field.expected))
        border = special.chdtri(self.unknown, false_alarm)
        return float(np.sqrt(special.chndtrinc(border, self.unknown, 1 - POWER) / information))


@dataclass(frozen=True, eq=False)
class Sample:
    """Replicates of a cube, and what they were made from.

    Parameters
    ----------
    field : AsymmetricField
        The field.
    counts, predicted, errors : ndarray, shape (R, *axes.shape)
        Observed counts, predicted counts, and stated errors of these.
    runs : ndarray, shape (R, n_runs)
        Events of each run.
    ontime : float
        The stated observation time divided by the true one.
    """

    field: AsymmetricField
    counts: np.ndarray
    predicted: np.ndarray
    errors: np.ndarray
    runs: np.ndarray
    ontime: float = 1.0

    @classmethod
    def raw(cls, field: AsymmetricField, counts: np.ndarray, runs: np.ndarray) -> "Sample":
        """Cubes of raw counts.

        Parameters
        ----------
        field : AsymmetricField
            The field.
        counts : ndarray, shape (R, *axes.shape)
            Counts.
        runs : ndarray, shape (R, n_runs)
            Events of each run.
        """
        return cls(field, counts, counts, np.sqrt(counts), runs)


def _defect(name, full=1.0, unit="", kind="events", events=1e6, unknown=1):
    """Decorator that registers a function as a defect, with its docstring as description."""

    def register(function):
        text = function.__doc__.splitlines()[0].rstrip(".")
        description = text[0].lower() + text[1:]
        DEFECTS[name] = Defect(name, description, full, unit, kind, function, events, unknown)
        return function

    return register


@_defect("norm", 0.05)
def _norm(field, size):
    """Excess of the rate."""
    return field.expected * (1 + size)


@_defect("index", 0.1)
def _index(field, size):
    """Excess of the index."""
    return field.expect(replace(TRUTH, index=TRUTH.index + size))


@_defect("width", 0.1)
def _width(field, size):
    """Relative excess of the widths."""
    return field.expect(replace(TRUTH, sigma=tuple(x * (1 + size) for x in TRUTH.sigma)))


@_defect("width slope", 0.05)
def _width_slope(field, size):
    """Excess of the slope of the width with energy, around 0.3 TeV."""
    widths = zip(TRUTH.sigma, TRUTH.sigma_energy, strict=True)
    return field.expect(replace(TRUTH, sigma=tuple(x * (e / 0.3) ** size for x, e in widths)))


@_defect("lon gradient", 0.02, "deg-1")
def _lon_gradient(field, size):
    """Additional gradient along fov_lon."""
    return field.expected * (1 + size * field.axes.fov_lon_center[:, None])


@_defect("lat gradient", 0.02, "deg-1")
def _lat_gradient(field, size):
    """Additional gradient along fov_lat."""
    return field.expected * (1 + size * field.axes.fov_lat_center)


@_defect("ring", 0.05)
def _ring(field, size):
    """Ring with a radius of 2 deg and a width of 0.3 deg."""
    return field.expected * (1 + size * np.exp(-0.5 * ((field.axes.offset - 2) / 0.3) ** 2))


@_defect("point source", 0.002)
def _point_source(field, size):
    """Fraction of all events from a point source.

    It has the spectrum of the background, and is not at the centre of a pixel.
    """
    edges = field.axes.fov_lon - 1.03, field.axes.fov_lat + 0.52
    lon, lat = (np.diff(ndtr(distance / PSF)) for distance in edges)
    spectrum = field.expected.sum(axis=(1, 2), keepdims=True) / field.events
    return field.expected + size * field.events * spectrum * lon[:, None] * lat


@_defect("energy scale", 0.1)
def _energy_scale(field, size):
    """Relative excess of the energies."""
    return field.expect(axes=replace(field.axes, energy=field.axes.energy / (1 + size)))


@_defect("energy bin")
def _energy_bin(field, size):
    """Fraction of the events in the next higher energy bin."""
    return _toward(field, size, np.roll(field.expected, 1, axis=0))


@_defect("lon/lat swapped")
def _swapped(field, size):
    """Fraction of the events with swapped angles."""
    return _toward(field, size, field.expect(gradient=GRADIENT[::-1]))


@_defect("lon flipped")
def _lon_flipped(field, size):
    """Fraction of the events with the wrong sign of fov_lon."""
    return _toward(field, size, field.expect(gradient=(-GRADIENT[0], GRADIENT[1])))


@_defect("lat flipped")
def _lat_flipped(field, size):
    """Fraction of the events with the wrong sign of fov_lat."""
    return _toward(field, size, field.expect(gradient=(GRADIENT[0], -GRADIENT[1])))


@_defect("rotated")
def _rotated(field, size):
    """Fraction of the events rotated by 90 deg."""
    return _toward(field, size, field.expect(gradient=(-GRADIENT[1], GRADIENT[0])))


@_defect("bin centres", kind="cube")
def _bin_centres(field, size):
    """Fraction of the change from bin averages to rates at bin centres."""
    axes = field.axes
    centers = axes.energy_center[:, None, None], axes.fov_lon_center[:, None], axes.fov_lat_center
    rate = field.scale * TRUTH.rate(*centers)
    return _toward(field, size, rate * axes.volume * field.weight(*GRADIENT))


@_defect("threshold bin")
def _threshold_bin(field, size):
    """Fraction of the missing correction of the livetime in the bin of the threshold."""
    k = int(np.searchsorted(field.axes.energy, THRESHOLD) - 1)
    changed = field.expected.copy()
    above = field.scale * TRUTH.integrate(field.axes, energy_min=THRESHOLD)[k]
    changed[k] = above * field.weight(*GRADIENT)
    return _toward(field, size, changed)


@_defect("ontime for livetime", DEADTIME, kind="cube")
def _ontime_for_livetime(field, size):
    """Rate per livetime that is stated as per observation time."""
    return field.expected * (1 / (1 - size))


@_defect("dead time forgotten", DEADTIME, kind="cube")
def _dead_time_forgotten(field, size):
    """Counts over observation time that are stated as per livetime."""
    return field.expected * (1 - size)


@_defect("run dropped", kind="data")
def _run_dropped(field, size, rng, number):
    """Fraction of the events of one run that is lost, with its exposure counted."""
    return _with_run(field, rng, number, lambda counts: rng.binomial(counts, 1 - size))


@_defect("run twice", kind="data")
def _run_twice(field, size, rng, number):
    """Fraction of the events of one run that is counted twice."""
    return _with_run(field, rng, number, lambda counts: counts + rng.binomial(counts, size))


@_defect("flat solid angle", kind="cube", events=4e8)
def _flat_solid_angle(field, size):
    """Fraction of the change from exact to flat solid angles."""
    axes = field.axes
    return _toward(field, size, field.expected * axes.solid_angle / axes.flat_solid_angle)


@_defect("MeV for TeV", kind="cube")
def _wrong_unit(field, size):
    """Factor 1e6 to the power of the size."""
    return field.expected * 1e6**size


@_defect("uniform energies")
def _uniform_energies(field, size):
    """Fraction of the energies that are drawn uniformly inside bins.

    The bins are the 20 of 2015; the cube has other bins.
    """
    coarse, energy = edition2015_axes().energy, field.axes.energy
    counts = field.expect(axes=replace(field.axes, energy=coarse))
    low, high = energy[:-1, None], energy[1:, None]
    overlap = np.clip(np.minimum(high, coarse[1:]) - np.maximum(low, coarse[:-1]), 0, None)
    return _toward(field, size, np.einsum("ij,jxy->ixy", overlap / np.diff(coarse), counts))


@_defect("truncated numbers", kind="data")
def _truncated_numbers(field, size, rng, number):
    """Missing fraction of the scatter of the number of events of runs.

    At the full size all runs have the expected number of events.
    """
    mu = field.run_events
    runs = np.floor(mu + (1 - size) * (rng.poisson(mu, (number, mu.size)) - mu)).astype(int)
    fractions = (field.expected / field.expected.sum()).ravel()
    counts = rng.multinomial(runs.sum(axis=1), fractions)
    return Sample.raw(field, counts.reshape(number, *field.axes.shape), runs)


@_defect("upper edge")
def _upper_edge(field, size):
    """Fraction of the last column of pixels that is lost."""
    changed = field.expected.copy()
    changed[:, -1] *= 1 - size
    return changed


@_defect("dead quadrant")
def _dead_quadrant(field, size):
    """Fraction of the events of a quadrant that is lost."""
    quadrant = (field.axes.fov_lon_center[:, None] > 0) & (field.axes.fov_lat_center > 0)
    return field.expected * (1 - size * quadrant)


@_defect("reflecting borders", kind="cube")
def _reflecting_borders(field, size):
    """Fraction of the change by a smoother with reflecting borders."""
    changed, inner = smooth(field.expected, field.axes, 4), np.s_[:, 5:-5, 5:-5]
    changed[inner] = field.expected[inner]
    return _toward(field, size, changed)


@_defect("oversmoothed", kind="data")
def _oversmoothed(field, size, rng, number):
    """Fraction of a smoothed cube in one that is stated as raw."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    smoothed = np.array([smooth(counts, field.axes, 5) for counts in raw.counts])
    return replace(raw, predicted=(1 - size) * raw.counts + size * smoothed)


@_defect("undersmoothed", kind="data")
def _undersmoothed(field, size, rng, number):
    """Fraction of the error of a smoothed cube that is stated for raw counts."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    smoothed = np.array([smoothing_variance(counts, 1) for counts in raw.counts])
    return replace(raw, errors=np.sqrt((1 - size) * raw.counts + size * smoothed))


@_defect("wrong group", kind="cube")
def _wrong_group(field, size):
    """Cube of a zenith angle that is larger by 25 deg times the size."""
    return field.expected * (TRUTH.total_rate(20 + 25 * size) / TRUTH.total_rate(20))


@_defect("errors too small", 0.1, kind="data")
def _errors_too_small(field, size, rng, number):
    """Fraction by which stated errors are too small."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    return replace(raw, errors=raw.errors * (1 - size))


@_defect("errors too large", 9, kind="data")
def _errors_too_large(field, size, rng, number):
    """Fraction by which stated errors are too large."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    return replace(raw, errors=raw.errors * (1 + size))


@_defect("events not used", 0.1, kind="data")
def _events_not_used(field, size, rng, number):
    """Fraction of the events and of the exposure that the method does not use."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    used = rng.binomial(raw.counts, 1 - size)
    return replace(raw, predicted=used / (1 - size), errors=np.sqrt(used) / (1 - size))


@_defect("quadrupole", 0.05)
def _quadrupole(field, size):
    """Excess of the rate along fov_lon, and a deficit along fov_lat, at 4 deg."""
    lon, lat = field.axes.fov_lon_center[:, None], field.axes.fov_lat_center
    return field.expected * (1 + size * (lon**2 - lat**2) / 16)


@_defect("row of pixels", 0.1)
def _row_of_pixels(field, size):
    """Fraction of the events that a row of pixels loses."""
    return _lose(field, size, np.s_[:, :, 9])


@_defect("dead pixel")
def _dead_pixel(field, size):
    """Fraction of the events that one pixel loses."""
    return _lose(field, size, np.s_[:, 12, 17])


@_defect("gains of pixels", 0.05, unknown=int(np.prod(AXES.shape[1:])))
def _gains_of_pixels(field, size):
    """Rates of pixels that are too high or too low, with random signs."""
    signs = np.random.default_rng(1).choice([-1, 1], field.axes.shape[1:])
    return field.expected * (1 + size * signs)


@_defect("gains of bins", 0.1, unknown=int(np.prod(AXES.shape)))
def _gains_of_bins(field, size):
    """Rates of bins that are too high or too low, with random signs."""
    signs = np.random.default_rng(2).choice([-1, 1], field.axes.shape)
    return field.expected * (1 + size * signs)


@_defect("nothing above 30 TeV")
def _nothing_above(field, size):
    """Fraction of the events above about 26 TeV that is lost."""
    k = int(np.searchsorted(field.axes.energy, 30.0)) - 1
    return _lose(field, size, np.s_[k:])


@_defect("one bin", kind="cube")
def _one_bin(field, size):
    """Fraction of a cube that has one bin over the whole field at each energy."""
    volume = field.axes.volume
    rate = field.expected.sum(axis=(1, 2)) / volume.sum(axis=(1, 2))
    return _toward(field, size, rate[:, None, None] * volume)


@_defect("empty runs dropped", kind="cube")
def _empty_runs_dropped(field, size):
    """Fraction of the runs without an event at an energy that is not in the exposure."""
    events = field.expected.sum(axis=(1, 2), keepdims=True) / field.run_events.size
    return field.expected / (1 - size * np.exp(-events))


@_defect("wrong ontime", 0.1, kind="data")
def _wrong_ontime(field, size, rng, number):
    """Relative excess of the stated observation time; the livetime is right."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    return replace(raw, ontime=1 + size)


@_defect("dishonest counts", kind="data")
def _dishonest_counts(field, size, rng, number):
    """Rates that differ from the counts of the cube: too high and too low by this fraction."""
    raw = Sample.raw(field, *field.draw(rng, field.expected, number))
    pattern = 1 + size * (-1.0) ** np.indices(field.axes.shape).sum(axis=0)
    return replace(raw, predicted=raw.counts * pattern, errors=raw.errors * pattern)


@_defect("empty bins", kind="cube")
def _empty_bins(field, size):
    """Fraction of the rate that is lost in a tenth of the pixels at energies above 1 TeV."""
    pixels = np.random.default_rng(3).random(field.axes.shape[1:]) < 0.1
    high = field.axes.energy[:-1] > 1
    return field.expected * (1 - size * (high[:, None, None] & pixels))


def _lose(field, size, bins):
    """Expected counts if this fraction of the events of some bins is lost."""
    changed = field.expected.copy()
    changed[bins] *= 1 - size
    return changed


def _toward(field, size, other):
    """Expected counts at a fraction ``size`` of the change from the right ones to ``other``."""
    return field.expected + size * (other - field.expected)


def _with_run(field, rng, number, change):
    """Cubes of correct runs and of one run whose counts ``change`` changes."""
    n_others = field.run_events.size - 1
    of_run = field.expected / (n_others + 1)
    counts, _ = field.draw(rng, field.expected - of_run, number)
    run = change(rng.poisson(of_run, counts.shape))
    rest = rng.multinomial(counts.sum(axis=(1, 2, 3)), np.full(n_others, 1 / n_others))
    own = run.sum(axis=(1, 2, 3))
    return Sample.raw(field, counts + run, np.concatenate([rest, own[:, None]], axis=1))
