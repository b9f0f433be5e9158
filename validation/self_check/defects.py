"""Defects planted in an otherwise perfect simulation or cube: each a function of its size.

A defect changes the expectation from which events are drawn, or the cube that is made of them;
nothing else is wrong. The field is that of `asymmetric_field`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from simbg.axes import edition2015_axes
from simbg.reconstruction.edition2015 import smooth, smoothing_variance
from simbg.validation.metrics.point_source import PSF
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.self_check.asymmetric_field import DEADTIME, GRADIENT, TRUTH, asymmetric_field

__all__ = ["DEFECTS"]

# Limits are stated for a false-alarm rate of 8e-5 and a power of 95 %.
LIMIT_SIGMA = sigmas(8e-5) - float(ndtri(0.05))
THRESHOLD = 0.15  # TeV
DEFECTS = {}


@dataclass(frozen=True)
class Defect:
    """A fault, and how large it is.

    Parameters
    ----------
    name, about : str
    full : float
        The size that users meet, at which it must be found.
    unit : str
    kind : {"events", "cube", "data"}
        What the function gives: (field, size) → the expected counts from which events are drawn, or
        those that a faulty cube makes of right events; (field, size, rng) → the rebuilt cube
        beside the true one.
    function : callable
    events : float
        That the field expects, more where physics cannot show the full size with 1e6.
    """

    name: str
    about: str
    full: float
    unit: str
    kind: str
    function: Callable
    events: float

    def pair(self, size, rng):
        """A rebuilt cube with the defect, and the true one: a `CubePair`."""
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
    def limit(self):
        """Smallest size that any test finds, all else known; NaN without an expectation.

        Notes
        -----
        By Cramér and Rao the variance of a size is at least 1 / Σ (dλ/ds)² / λ.
        """
        if self.kind == "data":
            return np.nan
        field, step = asymmetric_field(self.events), 1e-4 * self.full
        slope = (self.function(field, step) - field.expected) / step
        return LIMIT_SIGMA / np.sqrt(float(np.sum(slope**2 / field.expected)))


def _defect(name, full=1.0, unit="", kind="events", events=1e6):
    """Make a function a defect: the first line of its docstring says what is wrong."""

    def register(function):
        about = function.__doc__.splitlines()[0].rstrip(".")
        about = about[0].lower() + about[1:]
        DEFECTS[name] = Defect(name, about, full, unit, kind, function, events)
        return function

    return register


@_defect("norm", 0.05)
def _norm(field, size):
    """Rate too high."""
    return field.expected * (1 + size)


@_defect("index", 0.1)
def _index(field, size):
    """Index too large."""
    return field.expect(replace(TRUTH, index=TRUTH.index + size))


@_defect("width", 0.1)
def _width(field, size):
    """Widths too large."""
    return field.expect(replace(TRUTH, sigma=tuple(x * (1 + size) for x in TRUTH.sigma)))


@_defect("width slope", 0.05)
def _width_slope(field, size):
    """Width grows too fast with energy, about 0.3 TeV."""
    widths = zip(TRUTH.sigma, TRUTH.sigma_energy, strict=True)
    return field.expect(replace(TRUTH, sigma=tuple(x * (e / 0.3) ** size for x, e in widths)))


@_defect("lon gradient", 0.02, "deg-1")
def _lon_gradient(field, size):
    """Gradient along fov_lon."""
    return field.expected * (1 + size * field.axes.fov_lon_center[:, None])


@_defect("lat gradient", 0.02, "deg-1")
def _lat_gradient(field, size):
    """Gradient along fov_lat."""
    return field.expected * (1 + size * field.axes.fov_lat_center)


@_defect("ring", 0.05)
def _ring(field, size):
    """Ring of 2 deg, 0.3 deg wide."""
    return field.expected * (1 + size * np.exp(-0.5 * ((field.axes.offset - 2) / 0.3) ** 2))


@_defect("point source", 0.002)
def _point_source(field, size):
    """Share of all events from a point.

    With the background's spectrum, at a place that is no pixel's centre.
    """
    edges = field.axes.fov_lon - 1.03, field.axes.fov_lat + 0.52
    lon, lat = (np.diff(ndtr(distance / PSF)) for distance in edges)
    spectrum = field.expected.sum(axis=(1, 2), keepdims=True) / field.events
    return field.expected + size * field.events * spectrum * lon[:, None] * lat


@_defect("energy scale", 0.1)
def _energy_scale(field, size):
    """Energies too high."""
    return field.expect(axes=replace(field.axes, energy=field.axes.energy / (1 + size)))


@_defect("energy bin")
def _energy_bin(field, size):
    """Share of events one energy bin too high."""
    return _toward(field, size, np.roll(field.expected, 1, axis=0))


@_defect("lon/lat swapped")
def _swapped(field, size):
    """Share of events with angles swapped."""
    return _toward(field, size, field.expect(gradient=GRADIENT[::-1]))


@_defect("lon flipped")
def _lon_flipped(field, size):
    """Share of events with the sign of fov_lon wrong."""
    return _toward(field, size, field.expect(gradient=(-GRADIENT[0], GRADIENT[1])))


@_defect("lat flipped")
def _lat_flipped(field, size):
    """Share of events with the sign of fov_lat wrong."""
    return _toward(field, size, field.expect(gradient=(GRADIENT[0], -GRADIENT[1])))


@_defect("rotated")
def _rotated(field, size):
    """Share of events rotated by 90 deg."""
    return _toward(field, size, field.expect(gradient=(-GRADIENT[1], GRADIENT[0])))


@_defect("bin centres", kind="cube")
def _bin_centres(field, size):
    """Share of the step from bin averages to rates at centres."""
    axes = field.axes
    centers = axes.energy_center[:, None, None], axes.fov_lon_center[:, None], axes.fov_lat_center
    rate = field.scale * TRUTH.rate(*centers)
    return _toward(field, size, rate * axes.volume * field.weight(*GRADIENT))


@_defect("threshold bin")
def _threshold_bin(field, size):
    """Share of livetime too much in the bin of the threshold."""
    k = int(np.searchsorted(field.axes.energy, THRESHOLD) - 1)
    changed = field.expected.copy()
    above = field.scale * TRUTH.integrate(field.axes, energy_min=THRESHOLD)[k]
    changed[k] = above * field.weight(*GRADIENT)
    return _toward(field, size, changed)


@_defect("ontime for livetime", DEADTIME, kind="cube")
def _ontime_for_livetime(field, size):
    """Rate per livetime, said to be per observation time."""
    return field.expected * (1 / (1 - size))


@_defect("dead time forgotten", DEADTIME, kind="cube")
def _dead_time_forgotten(field, size):
    """Counts over observation time, said to be per livetime."""
    return field.expected * (1 - size)


@_defect("run dropped", kind="data")
def _run_dropped(field, size, rng):
    """Share of one run's events lost, its exposure counted."""
    return _with_run(field, rng, lambda expected: rng.poisson(expected * (1 - size)))


@_defect("run twice", kind="data")
def _run_twice(field, size, rng):
    """Share of one run's events counted twice."""

    def draw(expected):
        counts = rng.poisson(expected)
        return counts + rng.binomial(counts, size)

    return _with_run(field, rng, draw)


@_defect("flat solid angle", kind="cube", events=4e8)
def _flat_solid_angle(field, size):
    """Share of the step from exact to flat solid angles."""
    axes = field.axes
    return _toward(field, size, field.expected * axes.solid_angle / axes.flat_solid_angle)


@_defect("MeV for TeV", kind="cube")
def _wrong_unit(field, size):
    """Factor 1e6 to the power of the size."""
    return field.expected * 1e6**size


@_defect("uniform energies")
def _uniform_energies(field, size):
    """Share of energies drawn uniformly inside bins.

    Inside the 20 bins of 2015, seen in other bins.
    """
    coarse, energy = edition2015_axes().energy, field.axes.energy
    counts = field.expect(axes=replace(field.axes, energy=coarse))
    low, high = energy[:-1, None], energy[1:, None]
    overlap = np.clip(np.minimum(high, coarse[1:]) - np.maximum(low, coarse[:-1]), 0, None)
    return _toward(field, size, np.einsum("ij,jxy->ixy", overlap / np.diff(coarse), counts))


@_defect("truncated numbers", kind="data")
def _truncated_numbers(field, size, rng):
    """Scatter of runs' numbers of events that is missing.

    They scatter less than Poisson's: not at all for a size of 1.
    """
    runs = [int(mu + (1 - size) * (rng.poisson(mu) - mu)) for mu in field.run_events]
    fractions = field.expected / field.expected.sum()
    counts = rng.multinomial(sum(runs), fractions.ravel())
    return field.pair(counts.reshape(field.axes.shape), np.array(runs))


@_defect("upper edge")
def _upper_edge(field, size):
    """Share of the last column of pixels lost."""
    changed = field.expected.copy()
    changed[:, -1] *= 1 - size
    return changed


@_defect("dead quadrant")
def _dead_quadrant(field, size):
    """Share of a quadrant's events lost."""
    quadrant = (field.axes.fov_lon_center[:, None] > 0) & (field.axes.fov_lat_center > 0)
    return field.expected * (1 - size * quadrant)


@_defect("reflecting borders", kind="cube")
def _reflecting_borders(field, size):
    """Share of the step to borders of a reflecting smoother."""
    changed, inner = smooth(field.expected, field.axes, 4), np.s_[:, 5:-5, 5:-5]
    changed[inner] = field.expected[inner]
    return _toward(field, size, changed)


@_defect("oversmoothed", kind="data")
def _oversmoothed(field, size, rng):
    """Share of a smoothed cube in one said to be raw."""
    counts, runs = field.draw(rng, field.expected)
    smoothed = smooth(counts, field.axes, 5)
    return field.pair(counts, runs, (1 - size) * counts + size * smoothed)


@_defect("undersmoothed", kind="data")
def _undersmoothed(field, size, rng):
    """Share of a smoother's error stated for raw counts."""
    counts, runs = field.draw(rng, field.expected)
    variance = (1 - size) * counts + size * smoothing_variance(counts, 1)
    return field.pair(counts, runs, variance=variance)


@_defect("wrong group", kind="cube")
def _wrong_group(field, size):
    """Cube of a zenith 25 deg larger, times the size."""
    return field.expected * (TRUTH.total_rate(20 + 25 * size) / TRUTH.total_rate(20))


@_defect("errors too small", 0.1, kind="data")
def _errors_too_small(field, size, rng):
    """Stated errors underestimated."""
    counts, runs = field.draw(rng, field.expected)
    return field.pair(counts, runs, variance=counts * (1 - size) ** 2)


def _toward(field, size, other):
    """A share ``size`` of the step from right to ``other`` expected counts."""
    return field.expected + size * (other - field.expected)


def _with_run(field, rng, draw):
    """All runs but one as they should be, and one with the counts that ``draw`` gives it."""
    n_others = field.run_events.size - 1
    of_run = field.expected / (n_others + 1)
    counts, _ = field.draw(rng, field.expected - of_run)
    run = draw(of_run)
    rest = rng.multinomial(counts.sum(), np.full(n_others, 1 / n_others))
    return field.pair(counts + run, np.append(rest, run.sum()))
