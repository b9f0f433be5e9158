"""Honesty: stated errors, compared with the scatter of replicates and with the true errors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.validation.questions.bias import band_name, energy_bands
from simbg.validation.questions.cross_products import CrossProducts
from simbg.validation.questions.noise import scatter
from simbg.validation.questions.replicates import Replicates

__all__ = ["measure_honesty"]


@dataclass(frozen=True)
class ErrorRatio:
    """Stated errors divided by true errors: 0.9 if the stated errors are 10 % too small.

    Parameters
    ----------
    name : str
        Name of the compared quantity.
    ratio, error : float
        The ratio and its standard error.
    pvalue : float
        Two-sided p-value of the hypothesis that the ratio is 1.
    """

    name: str
    ratio: float
    error: float
    pvalue: float


@dataclass(frozen=True)
class Honesty:
    """Whether the stated errors are right.

    Parameters
    ----------
    stated : bool
        Whether the method states errors; if not, √λ is used.
    bins : ErrorRatio
        Stated errors of single bins divided by the scatter over replicates; this ratio is tested.
    truth : ErrorRatio
        Stated errors of single bins divided by the deviation from the truth, which includes the
        bias.
    sums : tuple of ErrorRatio
        Errors of sums of bins, computed as for independent bins, divided by the scatter of these
        sums. For positively correlated bins the ratio is below 1, although the errors of single
        bins are right.
    """

    stated: bool
    bins: ErrorRatio
    truth: ErrorRatio
    sums: tuple[ErrorRatio, ...]


def measure_honesty(replicates: Replicates) -> Honesty:
    """Compare stated errors with the scatter and with the deviation from the truth.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method.

    Notes
    -----
    The ratio of bins is √(Σ_r S_r / Σ_r q_r), S = Σ σ²/λ over bins, with the stated errors σ, and
    q_r = |d_r − d̄|² R/(R − 1) for the scatter or |d_r|² for the deviation from the truth. The
    squared ratio is distributed as χ²/k with k degrees of freedom, where 2/k is the variance of its
    logarithm: the jackknife variance over replicates, but not less than 2/(ν (R − 1)) for noise in
    ν directions (`CrossProducts.directions`). Both account for correlations between bins. For a sum
    over bins, (R − 1) variance/stated variance has k = R − 1.
    """
    number = replicates.number
    deviations, weight = replicates.deviations, replicates.weight
    stated = replicates.errors is not None
    if replicates.errors is None:
        variance = np.broadcast_to(weight, (number, weight.size))
    else:
        variance = np.asarray(replicates.errors, float)[:, replicates.used] ** 2
    claimed = np.sum(variance / weight, axis=1)
    directions = CrossProducts.of(deviations).directions
    root = np.sqrt(weight)
    sums = tuple(
        _of_sum(name, (deviations[:, part] * root[part]).sum(axis=1), variance[:, part])
        for name, part in _parts(replicates)
        if part.any()
    )
    return Honesty(
        stated,
        _of_bins("scatter of bins", claimed, scatter(deviations), directions),
        _of_bins("distance to the truth", claimed, np.sum(deviations**2, axis=1), directions),
        sums,
    )


def _parts(replicates: Replicates) -> Iterator[tuple[str, np.ndarray]]:
    energy, lon, lat = np.nonzero(replicates.used)
    axes = replicates.axes
    yield "all bins", np.ones(energy.size, bool)
    for band in energy_bands(axes):
        yield band_name(axes, band), (energy >= band.start) & (energy < band.stop)
    east, up = axes.fov_lon_center[lon] > 0, axes.fov_lat_center[lat] > 0
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        signs = " and ".join(f"{a} {'<>'[s]} 0" for a, s in (("fov_lon", x), ("fov_lat", y)))
        yield f"quadrant {signs}", (east == bool(x)) & (up == bool(y))


def _of_bins(name, claimed, squares, directions):
    number = len(squares)
    stated, true = claimed.sum(), squares.sum()
    if not (stated > 0 and true > 0):
        return _no_ratio(name, stated, true)
    others = np.log((stated - claimed) / (true - squares))
    jackknife = (number - 1) * np.mean((others - others.mean()) ** 2)
    return _ratio(name, stated, true, max(jackknife, 2 / (directions * (number - 1))))


def _of_sum(name, excess, variance):
    freedom = len(excess) - 1
    true, stated = excess.var(ddof=1), variance.sum(axis=1).mean()
    if not (true > 0 and stated > 0):
        return _no_ratio(name, stated, true)
    return _ratio(name, stated, true, 2 / freedom)


def _no_ratio(name, stated, true):
    """The ratio if the stated or the true error is 0; it is 1 if both are 0."""
    size = 1.0 if stated == true else np.inf if stated else 0.0
    return ErrorRatio(name, size, 0.0, float(stated == true))


def _ratio(name, stated, true, variance):
    half, ratio = 1 / variance, true / stated
    tail = min(special.gammainc(half, half * ratio), special.gammaincc(half, half * ratio))
    size = np.sqrt(stated / true)
    return ErrorRatio(
        name, float(size), float(size * np.sqrt(variance) / 2), float(min(1, 2 * tail))
    )
