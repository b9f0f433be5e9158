"""Defects: every fault we can think of, planted in an otherwise perfect simulation or cube.

A defect of size s changes the expectation from which events are drawn, or the cube that is made of
them; nothing else is wrong. The field is that of `asymmetric_field`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simbg.axes import edition2015_axes
from simbg.reconstruction.edition2015 import smooth, smoothing_variance
from simbg.validation.metrics.point_source import PSF
from simbg.validation.self_check.asymmetric_field import (
    DEADTIME,
    GRADIENT,
    N_RUNS,
    asymmetric_field,
)

__all__ = ["DEFECTS", "Defect"]

THRESHOLD = 0.15  # TeV


@dataclass(frozen=True)
class Defect:
    """A fault, and how large it is.

    Parameters
    ----------
    name, about : str
    full : float
        The size that users meet, at which it must be found.
    unit : str
    expected : callable, optional
        (field, size) → counts that the faulty cube predicts on average. Drives `plant`
        and the Cramér–Rao limit.
    plant : callable, optional
        (field, size, rng) → CubePair, where an expectation does not say it all.
    drawn : bool
        Whether the fault lies in what the events come from, rather than in the cube made of them.
    events : float
        Of the field, more where physics cannot show the full size with 1e6.
    """

    name: str
    about: str
    full: float
    unit: str = ""
    expected: Callable | None = None
    plant: Callable | None = None
    drawn: bool = True
    events: float = 1e6

    def pair(self, size, rng):
        """A rebuilt cube with the defect, and the truth."""
        b = asymmetric_field(self.events)
        if self.plant:
            return self.plant(b, size, rng)
        expected = self.expected(b, size)
        if self.drawn:
            return b.pair(*b.draw(rng, expected))
        counts, runs = b.draw(rng, b.expected)
        factor = expected / b.expected
        return b.pair(counts, runs, counts * factor, counts * factor**2)

    @property
    def information(self):
        """Fisher information of the size, all else known: Σ (dλ/ds)² / λ; None without one."""
        if not self.expected:
            return None
        b, step = asymmetric_field(self.events), 1e-4 * self.full
        slope = (self.expected(b, step) - b.expected) / step
        return float(np.sum(slope**2 / b.expected))


def _truth(**change):
    """A defect of the truth's parameters: functions of the size."""
    return lambda b, s: b.counts(
        replace(b.truth, **{key: f(b.truth, s) for key, f in change.items()})
    )


def _toward(other):
    """A share s of what another cube expects."""
    return lambda b, s: b.expected + s * (other(b) - b.expected)


def _factor(function):
    return lambda b, s: b.expected * function(b, s)


def _ring(b, s):
    return 1 + s * np.exp(-0.5 * ((b.axes.offset - 2) / 0.3) ** 2)


def _source(b, s):
    """A point source with the background's spectrum, at a place that is no pixel's centre."""
    from scipy.special import ndtr

    lon, lat = (
        np.diff(ndtr((edges - x) / PSF))
        for edges, x in ((b.axes.fov_lon, 1.03), (b.axes.fov_lat, -0.52))
    )
    spectrum = b.expected.sum(axis=(1, 2), keepdims=True) / b.events
    return b.expected + s * b.events * spectrum * lon[:, None] * lat


def _energy_scale(b, s):
    axes = replace(b.axes, energy=b.axes.energy / (1 + s))
    return b.counts(axes=axes)


def _shifted(b):
    return np.roll(b.expected, 1, axis=0)


def _weights(lon, lat):
    """Another pair of gradients for the field's own."""
    return _toward(lambda b: b.counts(weight=b.weight(lon, lat)))


def _centers(b):
    axes = b.axes
    rate = b.truth.rate(
        axes.energy_center[:, None, None], axes.fov_lon_center[:, None], axes.fov_lat_center
    )
    return b.scale * rate * axes.volume * b.weight()


def _threshold(b):
    k = int(np.searchsorted(b.axes.energy, THRESHOLD) - 1)
    part = b.scale * b.truth.integrate(b.axes, energy_min=THRESHOLD)[k] * b.weight()
    changed = b.expected.copy()
    changed[k] = part
    return changed


def _uniform(b):
    """Energies uniform inside the 20 bins of 2015, seen in other bins."""
    coarse = edition2015_axes().energy
    counts = b.counts(axes=replace(b.axes, energy=coarse))
    low, high = b.axes.energy[:-1, None], b.axes.energy[1:, None]
    overlap = np.clip(np.minimum(high, coarse[1:]) - np.maximum(low, coarse[:-1]), 0, None)
    return np.einsum("ij,jxy->ixy", overlap / np.diff(coarse), counts)


def _last_column(b, s):
    factor = np.ones(b.axes.shape)
    factor[:, -1] = 1 - s
    return factor


def _quadrant(b, s):
    return 1 - s * ((b.axes.fov_lon_center[:, None] > 0) & (b.axes.fov_lat_center > 0))


def _borders(b):
    near = 4 + 1
    changed = smooth(b.expected, b.axes, 4)
    inner = np.s_[:, near:-near, near:-near]
    changed[inner] = b.expected[inner]
    return changed


def _run(sign):
    """One run of all loses, or gives twice, a share s of its events."""

    def plant(b, s, rng):
        share = b.expected / N_RUNS
        counts, _ = b.draw(rng, b.expected - share)
        one = rng.poisson(share * (1 - s)) if sign < 0 else rng.poisson(share)
        again = rng.binomial(one, s) if sign > 0 else 0
        rest = rng.multinomial(counts.sum(), np.full(N_RUNS - 1, 1 / (N_RUNS - 1)))
        return b.pair(counts + one + again, np.append(rest, np.sum(one) + np.sum(again)))

    return plant


def _truncated(b, s, rng):
    """Runs' numbers of events scatter less than Poisson's: not at all for s = 1."""
    runs = np.array([int(mu + (1 - s) * (rng.poisson(mu) - mu)) for mu in b.runs])
    counts = rng.multinomial(runs.sum(), (b.expected / b.expected.sum()).ravel())
    return b.pair(counts.reshape(b.axes.shape), runs)


def _oversmoothed(b, s, rng):
    counts, runs = b.draw(rng, b.expected)
    smoothed = smooth(counts, b.axes, 5)
    return b.pair(counts, runs, (1 - s) * counts + s * smoothed)


def _undersmoothed(b, s, rng):
    counts, runs = b.draw(rng, b.expected)
    return b.pair(counts, runs, variance=(1 - s) * counts + s * smoothing_variance(counts, 1))


def _errors(b, s, rng):
    counts, runs = b.draw(rng, b.expected)
    return b.pair(counts, runs, variance=counts * (1 - s) ** 2)


DEFECTS = {
    defect.name: defect
    for defect in (
        Defect("norm", "rate too high", 0.05, "", _factor(lambda b, s: 1 + s)),
        Defect("index", "index too large", 0.1, "", _truth(index=lambda t, s: t.index + s)),
        Defect(
            "width",
            "widths too large",
            0.1,
            "",
            _truth(sigma=lambda t, s: (t.sigma[0] * (1 + s), t.sigma[1] * (1 + s))),
        ),
        Defect(
            "width slope",
            "width grows too fast with energy, about 0.3 TeV",
            0.05,
            "",
            _truth(
                sigma=lambda t, s: tuple(
                    x * (e / 0.3) ** s for x, e in zip(t.sigma, t.sigma_energy, strict=True)
                )
            ),
        ),
        Defect(
            "lon gradient",
            "gradient along fov_lon",
            0.02,
            "deg-1",
            _factor(lambda b, s: 1 + s * b.axes.fov_lon_center[:, None]),
        ),
        Defect(
            "lat gradient",
            "gradient along fov_lat",
            0.02,
            "deg-1",
            _factor(lambda b, s: 1 + s * b.axes.fov_lat_center),
        ),
        Defect("ring", "ring of 2 deg, 0.3 deg wide", 0.05, "", _factor(_ring)),
        Defect("point source", "share of all events from a point", 0.002, "", _source),
        Defect("energy scale", "energies too high", 0.1, "", _energy_scale),
        Defect("energy bin", "share of events one energy bin too high", 1.0, "", _toward(_shifted)),
        Defect(
            "lon/lat swapped",
            "share of events with angles swapped",
            1.0,
            "",
            _weights(*GRADIENT[::-1]),
        ),
        Defect(
            "lon flipped",
            "share of events with the sign of fov_lon wrong",
            1.0,
            "",
            _weights(-GRADIENT[0], GRADIENT[1]),
        ),
        Defect(
            "lat flipped",
            "share of events with the sign of fov_lat wrong",
            1.0,
            "",
            _weights(GRADIENT[0], -GRADIENT[1]),
        ),
        Defect(
            "rotated",
            "share of events rotated by 90 deg",
            1.0,
            "",
            _weights(-GRADIENT[1], GRADIENT[0]),
        ),
        Defect(
            "bin centres",
            "share of the step from bin averages to rates at centres",
            1.0,
            "",
            _toward(_centers),
            drawn=False,
        ),
        Defect(
            "threshold bin",
            "share of livetime too much in the bin of the threshold",
            1.0,
            "",
            _toward(_threshold),
        ),
        Defect(
            "ontime for livetime",
            "rate per livetime, said to be per observation time",
            DEADTIME,
            "",
            _factor(lambda b, s: 1 / (1 - s)),
            drawn=False,
        ),
        Defect(
            "dead time forgotten",
            "counts over observation time, said to be per livetime",
            DEADTIME,
            "",
            _factor(lambda b, s: 1 - s),
            drawn=False,
        ),
        Defect(
            "run dropped",
            "share of one run's events lost, its exposure counted",
            1.0,
            "",
            plant=_run(-1),
        ),
        Defect("run twice", "share of one run's events counted twice", 1.0, "", plant=_run(+1)),
        Defect(
            "flat solid angle",
            "share of the step from exact to flat solid angles",
            1.0,
            "",
            _toward(lambda b: b.expected * b.axes.solid_angle / b.axes.flat_solid_angle),
            drawn=False,
            events=4e8,
        ),
        Defect(
            "MeV for TeV",
            "factor 1e6 to the power of the size",
            1.0,
            "",
            _factor(lambda b, s: 1e6**s),
            drawn=False,
        ),
        Defect(
            "uniform energies",
            "share of energies drawn uniformly inside bins",
            1.0,
            "",
            _toward(_uniform),
        ),
        Defect(
            "truncated numbers",
            "scatter of runs' numbers of events that is missing",
            1.0,
            "",
            plant=_truncated,
        ),
        Defect(
            "upper edge", "share of the last column of pixels lost", 1.0, "", _factor(_last_column)
        ),
        Defect("dead quadrant", "share of a quadrant's events lost", 1.0, "", _factor(_quadrant)),
        Defect(
            "reflecting borders",
            "share of the step to borders of a reflecting smoother",
            1.0,
            "",
            _toward(_borders),
            drawn=False,
        ),
        Defect(
            "oversmoothed",
            "share of a smoothed cube in one said to be raw",
            1.0,
            "",
            plant=_oversmoothed,
        ),
        Defect(
            "undersmoothed",
            "share of a smoother's error stated for raw counts",
            1.0,
            "",
            plant=_undersmoothed,
        ),
        Defect(
            "wrong group",
            "cube of a zenith 25 deg larger, times the size",
            1.0,
            "",
            _factor(lambda b, s: b.truth.total_rate(20 + 25 * s) / b.truth.total_rate(20)),
            drawn=False,
        ),
        Defect("errors too small", "stated errors underestimated", 0.1, "", plant=_errors),
    )
}
