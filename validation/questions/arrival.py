"""Arrival: counts that an analysis with gammapy predicts from a cube, divided by true counts.

gammapy interpolates logarithms of the rate. The counts that it predicts therefore differ from those
of the cube by the effect of the binning, by the bias of the method, and by its noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.questions.directions import Finding, sidak
from simbg.validation.questions.gammapy_rule import fill_missing, integrated_rate, rate_response

__all__ = ["Arrival", "measure_arrival"]

# Number of rings of the map; they have equal widths.
N_RINGS = 4
# Relative differences below this are attributed to rounding.
ROUNDING = 1e-9
# Largest relative variance of the mean of a bin, v/R, for which the predicted counts are expanded
# in powers of it, averaged over the bins of a cell: 0.01 is that of 100 events.
MOST_VARIANCE = 0.01
# Largest skewness of the mean of raw counts in a cell that is tested, as for named directions.
MOST_SKEW = 0.1
# Larger ratios are not stated as numbers: empty bins give 1e98.
HUGE = 1000
# Relative loss of counts in an energy bin that is reported, and one that is reported separately.
LOSS, HALF = 0.05, 0.5
# Ratios are limited to this range before they are averaged, since empty bins give 1e98.
RANGE = 0.0, 2.0


def times(ratio: float) -> str:
    """A ratio in words."""
    return f"{ratio:.3g} times" if ratio < HUGE else f"more than {HUGE} times"


@dataclass(frozen=True)
class Loss:
    """Counts that are lost by the interpolation of noisy rates, in neighbouring energy bins.

    Parameters
    ----------
    low, high : float
        Edges of the energies, TeV.
    ratio : float
        Counts predicted from a single cube, divided by the true counts.
    counts : float
        Counts that are lost because of the noise; negative if too many are predicted.
    empty : float
        Fraction of empty bins there, weighted with their influence on the predicted counts.
    open : bool
        Whether the energies extend to the upper edge of the map.
    """

    low: float
    high: float
    ratio: float
    counts: float
    empty: float
    open: bool = False

    def __str__(self) -> str:
        size = f"{self.ratio:.0%} of" if self.ratio < RANGE[1] else times(self.ratio)
        where = f"from {self.low:.2g} to {self.high:.2g} TeV"
        where = f"above {self.low:.2g} TeV" if self.open else where
        reason = f"{self.empty:.0%} of the bins there are empty"
        reason = reason if self.empty > 0 else "it interpolates logarithms of noisy rates"
        return f"gammapy predicts {size} the counts {where}: {reason}"


@dataclass(frozen=True, eq=False)
class Arrival:
    """Ratio of predicted to true counts of a map, for each energy bin and each ring.

    Parameters
    ----------
    energy : ndarray, shape (n_energy + 1,)
        Edges of the energy axis of the map, TeV.
    radius : ndarray, shape (n_rings + 1,)
        Edges of the rings around the centre of the field, deg.
    expected : ndarray, shape (n_energy, n_rings)
        True counts.
    binning : ndarray, shape (n_energy, n_rings)
        Counts predicted from the true cube, divided by the true counts: the effect of the binning
        and of the interpolation rule.
    method : ndarray, shape (R, n_energy, n_rings)
        Counts predicted from each cube of the method, divided by those from the true cube: the
        effect of the method, its bias and its noise. NaN where the true cube predicts no counts.
    linear : ndarray, shape (R, n_energy, n_rings)
        The same to first order in the differences of the cubes and the true cube.
    mean : ndarray, shape (n_energy, n_rings)
        As `method`, for the noise-free cube, or for the mean of all cubes.
    mean_linear : ndarray, shape (n_energy, n_rings)
        `mean` to first order.
    others : ndarray, shape (R, n_energy, n_rings), optional
        As `method`, for the means of all cubes except one; None if the noise-free cube is known.
    variance : ndarray, shape (n_energy, n_rings)
        Relative variance v/R of the bins of the mean cube, averaged with their influence on the
        cell; infinite if bins are empty because of the noise.
    skewness : ndarray, shape (n_energy, n_rings)
        Skewness of the mean over R replicates of raw counts, in the linear approximation.
    empty : ndarray, shape (n_energy, n_rings)
        Fraction of bins of single cubes that are empty, weighted with their influence on the cell.
    exposed : ndarray of bool, shape (n_energy, n_rings)
        Whether all bins that influence the cell have exposure.

    Notes
    -----
    The *bias* of a cell has three forms. If the noise-free cube is known, it is `mean` − 1. If the
    mean cube has little noise (`variance` ≤ 0.01), it is the jackknife estimate of `mean` − 1,
    whose expectation is free of noise up to the order (v/R)² (Quenouille 1956,
    doi:10.1093/biomet/43.3-4.353). Otherwise it is the mean of `linear` − 1, whose expectation is
    free of noise to all orders, since it is linear in the cubes.
    """

    energy: np.ndarray
    radius: np.ndarray
    expected: np.ndarray
    binning: np.ndarray
    method: np.ndarray
    linear: np.ndarray
    mean: np.ndarray
    mean_linear: np.ndarray
    others: np.ndarray | None
    variance: np.ndarray
    skewness: np.ndarray
    empty: np.ndarray
    exposed: np.ndarray

    @property
    def number(self) -> int:
        """Number of replicates, R."""
        return len(self.method)

    @property
    def ratio(self) -> np.ndarray:
        """Mean ratio of predicted to true counts, shape (n_energy, n_rings)."""
        return self.binning * self.method.mean(axis=0)

    @property
    def method_error(self) -> np.ndarray:
        """Standard error of the mean of `method`; NaN for one cube."""
        if self.number < 2:
            return np.full(self.expected.shape, np.nan)
        return self.method.std(axis=0, ddof=1) / np.sqrt(self.number)

    @property
    def tested(self) -> np.ndarray:
        """True in cells whose bias is tested, shape (n_energy, n_rings)."""
        known = np.isfinite(self.mean) & (self.expected > 0)
        known &= self.exposed
        if self.others is None:
            return known
        return known & (self._quiet | (np.abs(self.skewness) <= MOST_SKEW))

    @property
    def _quiet(self):
        return self.variance <= MOST_VARIANCE

    @property
    def bias(self) -> tuple[np.ndarray, np.ndarray]:
        """Relative bias of the predicted counts and its standard error, in each cell."""
        mean = _limited(self.mean) - 1
        if self.others is None:
            return mean, np.zeros(mean.shape)
        number = self.number
        if number < 2:
            raise ValueError(
                "arrival: got 1 cube, expected 2 or more replicates, or the noise-free cube"
            )
        others = _limited(self.others) - 1
        jackknife = number * mean - (number - 1) * others.mean(axis=0)
        error = np.sqrt((number - 1) * others.var(axis=0))
        linear = self.linear.mean(axis=0) - 1
        linear_error = self.linear.std(axis=0, ddof=1) / np.sqrt(number)
        return (
            np.where(self._quiet, jackknife, linear),
            np.where(self._quiet, error, linear_error),
        )

    def log_pvalues(self, require: float = 0.01) -> np.ndarray:
        """ln of the p-value of the requirement in each cell; 0 in cells that are not tested.

        Parameters
        ----------
        require : float
            The largest relative bias that is allowed in an energy bin of a ring.

        Notes
        -----
        Student's test with R − 1 degrees of freedom. The requirement is increased by (v/R)², the
        order of the remainder of the jackknife estimate.
        """
        bias, error = self.bias
        remainder = np.where(self._quiet & (self.others is not None), self.variance**2, 0.0)
        beyond = np.abs(bias) - max(require, ROUNDING) - remainder
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(beyond > 0, beyond / np.where(error > ROUNDING**2, error, 0.0), 0.0)
            log_p = np.log(np.minimum(2 * special.stdtr(max(self.number - 1, 1), -t), 1.0))
        return np.where(self.tested & (beyond > 0), np.maximum(log_p, -700.0), 0.0)

    def pvalue(self, require: float = 0.01) -> float:
        """The p-value of the requirement, corrected for the number of cells.

        Parameters
        ----------
        require : float
            The largest relative bias that is allowed in an energy bin of a ring.
        """
        if not self.tested.any():
            return 1.0
        return float(np.exp(sidak(float(self.log_pvalues(require).min()), int(self.tested.sum()))))

    def findings(self, require: float = 0.01, false_alarm: float = 1e-3) -> list[Finding]:
        """Find where the bias of the method is larger than allowed, the largest effect first.

        Parameters
        ----------
        require : float
            The largest relative bias that is allowed in an energy bin of a ring.
        false_alarm : float
            Probability that a method that meets the requirement has a finding.

        Raises
        ------
        ValueError
            If there is only one cube, so that bias and noise cannot be separated.

        Notes
        -----
        The p-values are corrected for the number of cells (Šidák 1967,
        doi:10.1080/01621459.1967.10482935). Counts that only single cubes lose, because of their
        noise, are no finding; `losses` reports them.
        """
        (bias, error), log_p = self.bias, self.log_pvalues(require)
        trials = max(int(self.tested.sum()), 1)
        fraction = self.expected / self.expected.sum()
        found = []
        for e, k in np.argwhere(self.tested):
            pvalue = float(np.exp(sidak(float(log_p[e, k]), trials)))
            if pvalue < false_alarm:
                name = f"{self.energy[e]:.3g} to {self.energy[e + 1]:.3g} TeV, "
                name += f"{self.radius[k]:.2f} to {self.radius[k + 1]:.2f} deg"
                size = float(bias[e, k]), float(error[e, k])
                found.append(Finding(name, "arrival", *size, pvalue, float(fraction[e, k])))
        return sorted(found, key=lambda finding: -abs(finding.relative) * finding.share)

    @property
    def noise(self) -> np.ndarray:
        """What the noise of a single cube changes, relative to the counts of each cell.

        Notes
        -----
        The mean over replicates of `method` − `linear`, from which the same difference of the
        mean cube is subtracted if it has little noise: bias and symmetric noise do not contribute.
        For one cube without a noise-free cube, all of the difference is attributed to the noise.
        `method` is limited to twice `linear`, or to 2 if that is more.
        """
        change = np.nan_to_num(self._single - self.linear).mean(axis=0)
        bias = np.nan_to_num(_limited(self.mean) - self.mean_linear)
        return change - np.where(self._quiet | (self.others is None), bias, 0.0)

    @property
    def _single(self):
        """`method`, limited such that no replicate determines the mean."""
        return np.minimum(self.method, RANGE[1] * np.maximum(self.linear, 1.0))

    @property
    def lost(self) -> np.ndarray:
        """Counts that a single cube loses because of its noise, shape (n_energy, n_rings)."""
        return -self.expected * np.nan_to_num(self.binning) * self.noise

    def losses(self, least: float = LOSS) -> list[Loss]:
        """Energies at which single cubes lose counts because of their noise.

        Parameters
        ----------
        least : float
            Least relative loss of an energy bin that is reported.
        """
        true = self.expected.sum(axis=1)
        weight = np.nan_to_num(self.expected * self.binning)
        # Infinite ratios of cells without counts are not used.
        mean, median = (
            np.sum(weight * np.where(weight > 0, ratio, 0.0), axis=1)
            for ratio in (self._single.mean(axis=0), np.median(self.method, axis=0))
        )
        single = np.where(median > RANGE[1] * true, median, mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = np.nan_to_num(self.lost.sum(axis=1) / true)
        # Neighbouring energies with losses of one kind are reported together.
        kind = np.digitize(lost, [-least, least, max(HALF, least)])
        borders = np.r_[0, np.flatnonzero(np.diff(kind)) + 1, len(kind)]
        losses = []
        for low, high in pairwise(borders):
            if kind[low] == 1:
                continue
            losses.append(
                Loss(
                    float(self.energy[low]),
                    float(self.energy[high]),
                    float(single[low:high].sum() / true[low:high].sum()),
                    float(self.lost[low:high].sum()),
                    float(np.mean(self.empty[low:high])),
                    bool(high == len(kind)),
                )
            )
        return losses

    def __str__(self) -> str:
        whole = self.expected.sum()
        single = np.nan_to_num(self.binning * self._single.mean(axis=0))
        text = f"gammapy predicts {times((self.expected * single).sum() / whole)} the counts"
        binning = np.nan_to_num((self.expected * self.binning).sum() / whole)
        return "; ".join([f"{text} ({binning:.3g} from the true cube)", *map(str, self.losses())])


def measure_arrival(
    cubes: Sequence[BackgroundCube],
    true: BackgroundCube,
    expected: np.ndarray,
    map_axes: Axes,
    ontime: float,
    interpolate_missing: bool = True,
    noise_free: BackgroundCube | None = None,
) -> Arrival:
    """Predict counts from cubes and from the true cube by gammapy's rule.

    Parameters
    ----------
    cubes : sequence of BackgroundCube
        One for each replicate.
    true : BackgroundCube
        The true rate in the same bins, with its livetime.
    expected : ndarray, shape of map_axes
        True counts of each bin of the map, from exact integrals.
    map_axes : Axes
        Energy bins and pixels of the map. gammapy evaluates a cube at the edges of these energies
        and at the centres of these pixels.
    ontime : float
        Observation time of the map, s.
    interpolate_missing : bool
        Whether empty bins are first interpolated along the energy, as in `MapDatasetMaker`.
    noise_free : BackgroundCube, optional
        The cube that the method makes from expected counts, for a method that is linear in the
        counts. Its bias is then known without error.

    Notes
    -----
    n_pred = ontime · Ω · ∫ rate dE, by the rule of `integrated_rate`, summed over rings.
    """
    offset = map_axes.offset
    radius = np.linspace(0, offset.max() * (1 + 1e-9), N_RINGS + 1)
    rings = np.array([np.digitize(offset, radius) - 1 == k for k in range(N_RINGS)])
    pixels = rings * map_axes.solid_angle * ontime
    lon, lat = map_axes.fov_lon_center[:, None], map_axes.fov_lat_center

    def predicted(rate):
        rate = fill_missing(rate) if interpolate_missing else rate
        rates = integrated_rate(rate, true.axes, map_axes.energy, lon, lat)
        return np.einsum("exy,kxy->ek", rates, pixels)

    rates = np.array([cube.per("ontime").rate for cube in cubes])
    truth = true.per("ontime").rate
    ideal, counts = predicted(truth), np.einsum("exy,kxy->ek", expected, rings)
    total = rates.sum(axis=0)
    if noise_free is not None:
        others, center = None, noise_free.per("ontime").rate
    else:
        others = np.array([predicted((total - rate) / max(len(rates) - 1, 1)) for rate in rates])
        center = total / len(rates)
    with np.errstate(divide="ignore", invalid="ignore"):
        local = _Influence(rates, center, truth, _events(true))
        for response in rate_response(truth, true.axes, map_axes, pixels):
            local.add(response)
        return Arrival(
            map_axes.energy,
            radius,
            counts,
            ideal / counts,
            np.array([predicted(rate) / ideal for rate in rates]),
            np.stack(local.linear, axis=1),
            predicted(center) / ideal,
            np.array(local.mean),
            None if others is None else others / ideal,
            np.array(local.variance),
            np.array(local.skewness),
            np.array(local.empty),
            np.array(local.exposed),
        )


class _Influence:
    """What bins contribute to cells, for one energy bin of the map after another."""

    def __init__(
        self, rates: np.ndarray, center: np.ndarray, truth: np.ndarray, events: np.ndarray
    ) -> None:
        number = len(rates)
        self.has_exposure = (truth > 0) & (events != 0)
        self.events, self.number = events, number
        self.ratios = np.where(self.has_exposure, rates / truth, 1.0)
        self.center = np.where(self.has_exposure, center / truth, 1.0)
        mean = self.ratios.mean(axis=0)
        # The variance of a single cube is not known.
        scatter = self.ratios.var(axis=0, ddof=1) if number > 1 else np.inf
        # A bin that is empty in all cubes is right only if no events are expected.
        silent = np.where(number * events >= MOST_SKEW**-2, 0.0, np.inf)
        self.relative = np.where(mean > 0, scatter / mean**2 / number, silent)
        self.is_empty = np.mean(rates == 0, axis=0)
        self.linear: list[np.ndarray] = []
        self.mean: list[np.ndarray] = []
        self.variance: list[np.ndarray] = []
        self.skewness: list[np.ndarray] = []
        self.empty: list[np.ndarray] = []
        self.exposed: list[np.ndarray] = []

    def add(self, response: np.ndarray) -> None:
        """Append the numbers of the cells of one energy bin, from their `rate_response`."""
        size = np.abs(response)
        share = size / size.sum(axis=(1, 2, 3), keepdims=True)
        whole = response.sum(axis=(1, 2, 3))
        self.linear.append(np.einsum("rijk,cijk->rc", self.ratios, response) / whole)
        self.mean.append(np.einsum("ijk,cijk->c", self.center, response) / whole)
        used = share > 0
        weighted = np.where(used, self.relative, 0.0) * share
        self.variance.append(weighted.sum(axis=(1, 2, 3)))
        with np.errstate(divide="ignore", invalid="ignore"):
            square = np.where(used, response**2 / self.events, 0.0).sum(axis=(1, 2, 3))
            cube = np.where(used, response**3 / self.events**2, 0.0).sum(axis=(1, 2, 3))
        self.skewness.append(cube / square**1.5 / np.sqrt(self.number))
        self.exposed.append(~np.any(used & ~self.has_exposure, axis=(1, 2, 3)))
        self.empty.append((share * self.is_empty).sum(axis=(1, 2, 3)))


def _limited(ratio):
    """Ratios within `RANGE`; NaN, where the true cube predicts no counts, is 1."""
    return np.clip(np.nan_to_num(ratio, nan=1.0), *RANGE)


def _events(true: BackgroundCube) -> np.ndarray:
    """Expected events of each bin of the true cube; NaN if it has no livetime."""
    if true.livetime is None:
        return np.full(true.axes.shape, np.nan)
    return np.nan_to_num(true.per("livetime").rate) * true.axes.volume * true.livetime
