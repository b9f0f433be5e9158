"""Defects that are planted in an otherwise perfect simulation or cube, as functions of their size.

A defect changes the expectation from which events are drawn, or the cube that is made of them. The
field is that of `simbg.validation.self_check.asymmetric_field`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from simbg.axes import edition2015_axes
from simbg.reconstruction.edition2015 import smooth, smoothing_variance
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.point_source import PSF
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.self_check.asymmetric_field import DEADTIME, GRADIENT, TRUTH, asymmetric_field

__all__ = ["DEFECTS"]

# Bounds are for a false-alarm rate of 8e-5 and a detection probability of 95 %.
BOUND_SIGMA = sigmas(8e-5) - float(ndtri(0.05))
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
        expected counts of a wrong cube that is made of correct events. "data": true and
        reconstructed cube.
    function : callable
        Function of (field, size), or of (field, size, rng) for "data".
    events : float
        Expected events of the field: 1e6, or more if the full size could not be detected with 1e6.
    """

    name: str
    description: str
    full: float
    unit: str
    kind: str
    function: Callable[..., Any]
    events: float

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
        field = asymmetric_field(self.events)
        if self.kind == "data":
            return self.function(field, size, rng)
        expected = self.function(field, size)
        if self.kind == "events":
            return field.pair(*field.draw(rng, expected))
        counts, runs = field.draw(rng, field.expected)
        factor = expected / field.expected
        return field.pair(counts, runs, counts * factor, counts * factor**2)

    @property
    def limit(self) -> float:
        """Smallest size that an ideal test detects; NaN if the defect changes no expectation.

        Notes
        -----
        By the Cramér–Rao bound (Rao 1945) the variance of a size s is at least 1 / Σ (dλ/ds)² / λ.
        """
        if self.kind == "data":
            return np.nan
        field, step = asymmetric_field(self.events), 1e-4 * self.full
        slope = (self.function(field, step) - field.expected) / step
        return float(BOUND_SIGMA / np.sqrt(float(np.sum(slope**2 / field.expected))))


def _defect(name, full=1.0, unit="", kind="events", events=1e6):
    """Decorator that registers a function as a defect, with its docstring as description."""

    def register(function):
        text = function.__doc__.splitlines()[0].rstrip(".")
        description = text[0].lower() + text[1:]
        DEFECTS[name] = Defect(name, description, full, unit, kind, function, events)
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
def _run_dropped(field, size, rng):
    """Fraction of the events of one run that is lost, with its exposure counted."""
    return _with_run(field, rng, lambda expected: rng.poisson(expected * (1 - size)))


@_defect("run twice", kind="data")
def _run_twice(field, size, rng):
    """Fraction of the events of one run that is counted twice."""

    def draw(expected):
        counts = rng.poisson(expected)
        return counts + rng.binomial(counts, size)

    return _with_run(field, rng, draw)


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
def _truncated_numbers(field, size, rng):
    """Missing fraction of the scatter of the number of events of runs.

    At the full size all runs have the expected number of events.
    """
    runs = [int(mu + (1 - size) * (rng.poisson(mu) - mu)) for mu in field.run_events]
    fractions = field.expected / field.expected.sum()
    counts = rng.multinomial(sum(runs), fractions.ravel())
    return field.pair(counts.reshape(field.axes.shape), np.array(runs))


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
def _oversmoothed(field, size, rng):
    """Fraction of a smoothed cube in one that is stated as raw."""
    counts, runs = field.draw(rng, field.expected)
    smoothed = smooth(counts, field.axes, 5)
    return field.pair(counts, runs, (1 - size) * counts + size * smoothed)


@_defect("undersmoothed", kind="data")
def _undersmoothed(field, size, rng):
    """Fraction of the error of a smoothed cube that is stated for raw counts."""
    counts, runs = field.draw(rng, field.expected)
    variance = (1 - size) * counts + size * smoothing_variance(counts, 1)
    return field.pair(counts, runs, variance=variance)


@_defect("wrong group", kind="cube")
def _wrong_group(field, size):
    """Cube of a zenith angle that is larger by 25 deg times the size."""
    return field.expected * (TRUTH.total_rate(20 + 25 * size) / TRUTH.total_rate(20))


@_defect("errors too small", 0.1, kind="data")
def _errors_too_small(field, size, rng):
    """Fraction by which stated errors are too small."""
    counts, runs = field.draw(rng, field.expected)
    return field.pair(counts, runs, variance=counts * (1 - size) ** 2)


def _toward(field, size, other):
    """Expected counts at a fraction ``size`` of the change from the right ones to ``other``."""
    return field.expected + size * (other - field.expected)


def _with_run(field, rng, draw):
    """A cube of correct runs and of one run with the counts that ``draw`` gives."""
    n_others = field.run_events.size - 1
    of_run = field.expected / (n_others + 1)
    counts, _ = field.draw(rng, field.expected - of_run)
    run = draw(of_run)
    rest = rng.multinomial(counts.sum(), np.full(n_others, 1 / n_others))
    return field.pair(counts + run, np.append(rest, run.sum()))
