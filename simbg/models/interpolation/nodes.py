"""Rates at nodes, between which gammapy's rule of integration gives the integrals of a cube.

gammapy interpolates ln rate linearly in (ln E, fov_lon, fov_lat) between the centres of bins. It
evaluates the rate at the energy edges of a map, and integrates power laws between these.
"""

from dataclasses import dataclass, replace

import numpy as np

from simbg.cube import BackgroundCube
from simbg.models.interpolation.empty_bins import without_empty_bins

__all__ = ["at_nodes"]

# ln of half the width of the outermost bins: gammapy has no rate on the outer edges of a file.
END = 1e-4
# Steps of Newton's method in energy, and repetitions of these with new ratios in the pixels.
# They end when no integral changes by more than SETTLED, as do those for sums over the field.
STEPS, REPEATS, MOST, SETTLED = 3, 3, 20, 1e-3
# The integrals do not determine rates that alternate from edge to edge. Such changes are
# suppressed: ε² in the normal equations of a step. The largest change of ln rate in a step.
RIDGE, LARGEST = 0.05**2, 1.0
# Errors of integrals smaller than this part of a neighbouring bin are accepted. Energies below
# the threshold have less than FAINT of the next one; they are left out.
SMALL, FAINT = 3e-3, 1e-3
# Largest |ln| of the rate in the centre of a pixel divided by the mean of the pixel.
CONTRAST = np.log(4.0)
# Index of a spectrum of one bin.
INDEX = 2.7
# Relative difference of the integral of a bin that is counted.
DIFFERENT = 0.01
# Points of Gauss and Legendre in both halves of a pixel from 0 to 1; their weights are equal.
POINTS = np.array([1, 1, 3, 3]) / 4 + np.array([-1, 1, -1, 1]) / (4 * np.sqrt(3))


def at_nodes(cube: BackgroundCube) -> BackgroundCube:
    """The cube for gammapy: its rates are those at the centres of bins, which are the nodes.

    Parameters
    ----------
    cube : BackgroundCube
        Any cube.

    Returns
    -------
    BackgroundCube
        Per observation time, without counts and errors. In energy there is a node at each edge of
        the bins of ``cube`` that have a rate, and one between two edges. A cube without any rate is
        returned as it is. ``N_DIFFER`` of its ``meta`` is the number of bins of which the integral
        differs by more than 1 %, because rates of neighbouring bins scatter.

    Notes
    -----
    Between nodes the rate is a power law of the energy. So the integral over a bin of the cube is
    right for each map whose energy edges contain those of the bin, also if the map has narrower
    bins. Rates that rise by orders of magnitude from one bin to the next are smoothed, and the
    lowest energies, if they are fainter than the next one by 1000, are left out: power laws with
    such integrals would oscillate. Let a_k be the logarithm of rate times energy at edge k. The
    integral over bin k, of width h in ln E, is h exp((a_k + a_{k+1}) / 2) sinh(s/2) / (s/2) with
    s = a_{k+1} − a_k. Newton's method solves for the a_k that change least. In the field of view
    the mean of the interpolated rate over a pixel is that of the pixel. Bins without events or
    exposure are filled first, see `without_empty_bins`.
    """
    cube = cube.per("ontime")
    filled = without_empty_bins(replace(cube, rate=np.maximum(cube.rate, 0.0)))
    used = np.flatnonzero((np.nan_to_num(filled.rate) > 0).any(axis=(1, 2)))
    if not used.size:
        return cube
    part = slice(_first(filled, used), int(used[-1]) + 1)
    axes, known = cube[part].axes, np.isfinite(cube.rate[part])
    wanted = filled.rate[part] * np.diff(axes.energy)[:, None, None]
    values, integrals = _solve(wanted, axes, known, _variance(cube[part]))
    different = np.abs(integrals / wanted - 1)[known] > DIFFERENT
    energy, values = _with_middle(axes.energy, values)
    return BackgroundCube(
        replace(axes, energy=energy),
        values,
        clock="ontime",
        meta=cube.meta | {"N_DIFFER": int(different.sum())},
    )


def _first(cube, used):
    """The first of the used energies, without those below a threshold."""
    sums, first = np.nansum(cube.event_rate, axis=(1, 2)), int(used[0])
    while first < used[-1] and sums[first] < FAINT * sums[first + 1]:
        first += 1
    return first


def _tolerance(integrals):
    """Relative variance of integrals that are small compared with those of neighbouring bins."""
    padded = np.pad(integrals, ((1, 1), (0, 0), (0, 0)))
    return (SMALL * np.maximum(padded[:-2], padded[2:]) / integrals) ** 2


def _variance(cube):
    """Relative variance of the rates; that of two events in bins without an event."""
    error = np.zeros(cube.rate.shape) if cube.rate_error is None else cube.rate_error
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (error / cube.rate) ** 2
    return 4 * np.where(np.isfinite(variance), variance, 0.5)


def _solve(wanted, axes, known, variance):
    """Rates at edges and centres of pixels, and their integrals, for the wanted integrals."""
    pixels, widths = _Pixels.of(axes), np.diff(np.log(axes.energy))[:, None, None]
    goal, edges, peak = np.log(wanted), _start(wanted, axes.energy), np.zeros(1)
    missing, variance = goal, variance + _tolerance(wanted)
    for _ in range(REPEATS):
        for _ in range(STEPS):
            edges = edges + _step(edges, goal - _log_integral(edges, widths), variance)
        peak = pixels.peak(edges, peak)
        missing = np.log(wanted / pixels.integrals(edges + peak, widths))
        if np.abs(missing).max() < SETTLED:
            break
        goal = goal + np.clip(missing, -LARGEST, LARGEST)
    logs, weight = edges + peak, axes.solid_angle * known
    integrals = wanted * np.exp(-missing)
    # The sums over the field are right also where rates of neighbouring bins scatter.
    for _ in range(MOST):
        total, found = ((x * weight).sum(axis=(1, 2), keepdims=True) for x in (wanted, integrals))
        lacking = np.log(np.divide(total, found, out=np.ones(found.shape), where=found > 0))
        if np.abs(lacking).max() < SETTLED:
            break
        mean = np.log((np.exp(logs) * weight.max(axis=0)).sum(axis=(1, 2), keepdims=True))
        logs = logs + _step(mean, lacking, _tolerance(np.maximum(total, 1e-300)))
        integrals = pixels.integrals(logs, widths)
    return np.exp(logs) / axes.energy[:, None, None], integrals


def _start(wanted, energy):
    """ln(rate · energy) at the edges, interpolated linearly between the means of bins."""
    x = np.log(energy)
    means = np.log(wanted / np.diff(x)[:, None, None])
    if len(means) == 1:
        return means + ((1 - INDEX) * (x - x.mean()))[:, None, None]
    center = 0.5 * (x[1:] + x[:-1])
    left = np.clip(np.searchsorted(center, x, "right") - 1, 0, center.size - 2)
    part = ((x - center[left]) / (center[left + 1] - center[left]))[:, None, None]
    return (1 - part) * means[left] + part * means[left + 1]


def _log_integral(logs, widths):
    """ln of the integral of power laws between edges, from ln(rate · energy) at the edges."""
    half = np.maximum(np.abs(0.5 * np.diff(logs, axis=0)), 1e-6)
    # ln(sinh x) = x + ln(1 − exp(−2x)) − ln 2, which does not overflow.
    slope = half + np.log(-np.expm1(-2 * half) / (2 * half))
    return np.log(widths) + 0.5 * (logs[1:] + logs[:-1]) + slope


def _step(logs, missing, variance):
    """The change of ln(rate · energy) at the edges, as small as possible, by Newton's method.

    ``missing`` is what the logarithms of the integrals lack. Their derivatives by the values at the
    two edges, p and q, have the sum 1. With the matrix A of these the change is A'(AA' + ε²)⁻¹
    ``missing``; AA' is tridiagonal.
    """
    half = 0.5 * np.diff(logs, axis=0)
    half = np.where(np.abs(half) < 1e-3, 1e-3, half)
    q = 0.5 + 0.5 / np.tanh(half) - 0.5 / half
    p = 1 - q
    diagonal, beside = p**2 + q**2 + RIDGE + variance, q[:-1] * p[1:]
    factor = np.empty_like(diagonal)
    force = np.array(missing)
    factor[0] = diagonal[0]
    for k in range(1, len(p)):
        ratio = beside[k - 1] / factor[k - 1]
        factor[k] = diagonal[k] - ratio * beside[k - 1]
        force[k] -= ratio * force[k - 1]
    force[-1] /= factor[-1]
    for k in range(len(p) - 2, -1, -1):
        force[k] = (force[k] - beside[k] * force[k + 1]) / factor[k]
    change = np.zeros_like(logs)
    change[:-1] += p * force
    change[1:] += q * force
    return np.clip(change, -LARGEST, LARGEST)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Weights of the centres of pixels at points in pixels, of linear interpolation."""

    lon: np.ndarray
    lat: np.ndarray

    @classmethod
    def of(cls, axes):
        return cls(_weights(axes.fov_lon), _weights(axes.fov_lat))

    def _at_points(self, image):
        return self.lon @ image @ self.lat.T

    def _mean(self, values):
        return values.reshape(values.shape[0] // 4, 4, -1, 4).mean(axis=(1, 3))

    def peak(self, logs, peak):
        """ln of rate in the centre / mean of a pixel, for which the interpolated mean is right."""
        found = np.zeros_like(logs) + peak
        for image, one in zip(logs, found, strict=True):
            points = self._at_points(image + one)
            scale = points.max()
            one += image - scale - np.log(self._mean(np.exp(points - scale)))
        return np.clip(found, -CONTRAST, CONTRAST)

    def integrals(self, logs, widths):
        """Integrals over bins, the mean over points of pixels."""
        result = np.empty((len(logs) - 1, *logs.shape[1:]))
        low = self._at_points(logs[0])
        for k, width in enumerate(widths):
            high = self._at_points(logs[k + 1])
            result[k] = self._mean(np.exp(_log_integral(np.stack([low, high]), width)[0]))
            low = high
        return result


def _weights(edges):
    """Weights of linear interpolation between centres, at points in each bin, (4 n, n)."""
    center = 0.5 * (edges[1:] + edges[:-1])
    number = center.size
    weights = np.zeros((4 * number, number))
    if number == 1:
        return weights + 1
    places = (edges[:-1, None] + np.diff(edges)[:, None] * POINTS).ravel()
    left = np.clip(np.searchsorted(center, places) - 1, 0, number - 2)
    part = (places - center[left]) / (center[left + 1] - center[left])
    rows = np.arange(places.size)
    weights[rows, left], weights[rows, left + 1] = 1 - part, part
    return weights


def _with_middle(energy, rate):
    """Edges of bins in whose centres the nodes are, and the rates of all nodes.

    A bin about each edge extends by a quarter of the narrower bin beside it; the others lie between
    these. For equal bins in ln E the nodes have equal distances, without the outermost bins.
    """
    x = np.log(energy)
    step = np.diff(x)
    half = np.concatenate([[END], np.minimum(step[1:], step[:-1]) / 4, [END]])
    edges = np.exp(np.stack([x - half, x + half], axis=1).ravel())
    middle = 0.5 * ((x + half)[:-1] + (x - half)[1:])
    part = ((middle - x[:-1]) / step)[:, None, None]
    values = np.empty((2 * len(rate) - 1, *rate.shape[1:]))
    values[::2] = rate
    values[1::2] = rate[:-1] ** (1 - part) * rate[1:] ** part
    return edges, values
