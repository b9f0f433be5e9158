"""Honesty: stated errors, compared with the scatter of replicates and with the true errors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.validation.questions.bias import LEAST_COUNTS, band_name, energy_bands
from simbg.validation.questions.cross_products import CrossProducts
from simbg.validation.questions.directions import sidak
from simbg.validation.questions.noise import scatter
from simbg.validation.questions.replicates import Replicates

__all__ = ["TOLERANCE", "measure_honesty"]

# Stated errors may be too small or too large by this fraction: intervals of 68 % then contain the
# truth with a probability of 64 to 72 %.
TOLERANCE = 0.075
# Below this p-value, errors are called wrong, and correlations are mentioned.
FALSE_ALARM = 1e-3


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
    number : int
        Number of replicates, R.
    """

    name: str
    ratio: float
    error: float
    pvalue: float
    number: int

    @property
    def deviation(self) -> float:
        """Distance of the logarithm of the ratio from 0, in standard errors."""
        if not (self.ratio > 0 and self.error > 0):
            return np.inf
        return float(abs(np.log(self.ratio)) * self.ratio / self.error)

    def too_small(self, limit: float = 1.0) -> float:
        """Probability of a ratio at least this small, if the true ratio is ``limit``.

        Parameters
        ----------
        limit : float
            The smallest ratio of the null hypothesis.
        """
        return self._tail(limit, -1)

    def too_large(self, limit: float = 1.0) -> float:
        """Probability of a ratio at least this large, if the true ratio is ``limit``.

        Parameters
        ----------
        limit : float
            The largest ratio of the null hypothesis.
        """
        return self._tail(limit, 1)

    def _tail(self, limit, side):
        """The larger of the p-values by χ² and by Student's t of the logarithm.

        The error is estimated from R replicates; with few of them, the tail of Student's t with
        R − 1 degrees of freedom is longer than that of χ².
        """
        if not self.error > 0:
            return float((self.ratio - limit) * side <= 0)
        half = (self.ratio / self.error / 2) ** 2
        tail = special.gammaincc if side < 0 else special.gammainc
        t = side * np.log(self.ratio / limit) * self.ratio / self.error
        return float(
            max(tail(half, half * (limit / self.ratio) ** 2), special.stdtr(self.number - 1, -t))
        )


@dataclass(frozen=True)
class Honesty:
    """Whether the stated errors are right.

    Errors are right if they are not smaller than the scatter of the replicates, and not larger than
    the distance to the truth. A method may therefore include its bias in the stated errors.

    Parameters
    ----------
    stated : bool
        Whether the method states errors; if not, √λ is used.
    bins : ErrorRatio
        Stated errors of single bins divided by the scatter over replicates.
    truth : ErrorRatio
        Stated errors of single bins divided by the deviation from the truth, which includes the
        bias.
    sums : tuple of ErrorRatio
        Errors of sums of bins, computed as for independent bins, divided by the scatter of these
        sums. For positively correlated bins the ratio is below 1, although the errors of single
        bins are right.
    bands : tuple of (ErrorRatio, ErrorRatio)
        The ratios `bins` and `truth` of each energy band with enough counts.
    """

    stated: bool
    bins: ErrorRatio
    truth: ErrorRatio
    sums: tuple[ErrorRatio, ...]
    bands: tuple[tuple[ErrorRatio, ErrorRatio], ...] = ()

    @property
    def pvalue(self) -> float:
        """The p-value of right errors, over all bins and all bands; NaN if no errors are stated.

        Notes
        -----
        Errors are right if stated/scatter ≥ 0.925 and stated/distance ≤ 1.075. The p-value of a
        part is twice the smaller one of these two hypotheses (Bonferroni), and the smallest one of
        n parts is 1 − (1 − p)ⁿ (Šidák 1967, doi:10.1080/01621459.1967.10482935).
        """
        return self._worst()[0] if self.stated else np.nan

    @property
    def within(self) -> bool:
        """Whether the measured ratios of all bins are those of right errors."""
        return self.bins.ratio >= 1 - TOLERANCE and self.truth.ratio <= 1 + TOLERANCE

    def _worst(self) -> tuple[float, ErrorRatio]:
        """The p-value, and the ratio that determines it."""
        tests = []
        for bins, truth in ((self.bins, self.truth), *self.bands):
            tests.append((bins.too_small(1 - TOLERANCE), bins))
            tests.append((truth.too_large(1 + TOLERANCE), truth))
        # The smallest p-values can be equal: 0.
        pvalue, ratio = min(tests, key=lambda test: (test[0], -test[1].deviation))
        smallest = float(np.log(max(min(1.0, 2 * pvalue), 1e-300)))
        return float(np.exp(sidak(smallest, len(tests) / 2))), ratio

    def __str__(self) -> str:
        if not self.stated:
            return "no errors are stated"
        pvalue, ratio = self._worst()
        if pvalue < FALSE_ALARM:
            size = f"{abs(1 - ratio.ratio):.0%}" if ratio.ratio < 2 else f"{ratio.ratio:.2g} times"
            text = f"stated errors are {size} too {'small' if ratio.ratio < 1 else 'large'}"
            text += f" ({ratio.name})"
        else:
            text = f"stated errors are {self.bins.ratio:.3g} ± {self.bins.error:.1g} times the "
            text += f"scatter and {self.truth.ratio:.3g} times the distance to the truth"
            if self.truth.too_small(1 - TOLERANCE) < FALSE_ALARM:
                text += ", since they do not contain the bias"
        whole = next(iter(self.sums), None)
        if whole and whole.pvalue < FALSE_ALARM and abs(whole.ratio / self.bins.ratio - 1) > 0.1:
            text += f"; bins are correlated: the error of their sum is {1 / whole.ratio:.2g} times "
            text += "that of independent bins"
        return text


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
    root = np.sqrt(weight)
    sums = tuple(
        _of_sum(name, (deviations[:, part] * root[part]).sum(axis=1), variance[:, part])
        for name, part in _parts(replicates)
        if part.any()
    )

    def ratios(part, where=""):
        claimed = np.sum(variance[:, part] / weight[part], axis=1)
        d = deviations[:, part]
        directions = CrossProducts.of(d).directions
        distance = np.sum(d**2, axis=1)
        return (
            _of_bins(f"scatter{where}", claimed, scatter(d), directions),
            _of_bins(f"distance to the truth{where}", claimed, distance, directions),
        )

    bands = []
    energy = np.nonzero(replicates.used)[0]
    for band in energy_bands(replicates.axes):
        part = (energy >= band.start) & (energy < band.stop)
        if weight[part].sum() * number >= LEAST_COUNTS:
            bands.append(ratios(part, f", {band_name(replicates.axes, band)}"))
    bins, truth = ratios(slice(None))
    return Honesty(stated, bins, truth, sums, tuple(bands))


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
        return _no_ratio(name, stated, true, number)
    others = np.log((stated - claimed) / (true - squares))
    jackknife = (number - 1) * np.mean((others - others.mean()) ** 2)
    return _ratio(name, stated, true, max(jackknife, 2 / (directions * (number - 1))), number)


def _of_sum(name, excess, variance):
    freedom = len(excess) - 1
    true, stated = excess.var(ddof=1), variance.sum(axis=1).mean()
    if not (true > 0 and stated > 0):
        return _no_ratio(name, stated, true, len(excess))
    return _ratio(name, stated, true, 2 / freedom, len(excess))


def _no_ratio(name, stated, true, number):
    """The ratio if the stated or the true error is 0; it is 1 if both are 0."""
    size = 1.0 if stated == true else np.inf if stated else 0.0
    return ErrorRatio(name, size, 0.0, float(stated == true), number)


def _ratio(name, stated, true, variance, number):
    half, ratio = 1 / variance, true / stated
    tail = min(special.gammainc(half, half * ratio), special.gammaincc(half, half * ratio))
    size = np.sqrt(stated / true)
    error = float(size * np.sqrt(variance) / 2)
    return ErrorRatio(name, float(size), error, float(min(1, 2 * tail)), number)
