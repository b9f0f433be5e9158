"""Tests of the difference of two rates whose noise may be less than that of raw counts.

Of each cube only one draw is known. Its noise is that of raw counts, or the one that it states, or
at most that of raw counts if it is smoothed and states no errors. All tests are one-sided: noise
that is smaller than expected is not a difference.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.comparison.matched_cubes import exposure, is_counted, scale_factor
from simbg.validation.metrics.metric import percent
from simbg.validation.metrics.poisson import (
    chi2_z,
    deviance,
    deviance_moments,
    two_sample_chi2,
)
from simbg.validation.questions.directions import sidak
from simbg.validation.questions.families import make_families
from simbg.validation.questions.replicates import Replicates

__all__ = []

# Largest relative difference of the counts and of the rate × exposure of raw counts: the files of
# others may be in single precision.
SAME_COUNTS = 1e-5
# Least variance of the difference of two counts for the χ² of all bins: one event in one of both.
LEAST_VARIANCE = 0.25
# Least effective counts of a bin (relative error 20 %) for which its stated error is used: errors
# from fewer counts are too uncertain.
FEWEST = 25.0
# The correction for skewness is constant beyond this number of standard deviations.
FAR = 8.0
# Largest number of named directions.
MOST_FINDINGS = 3
# ln of the smallest p-value that is distinguished from 0 (37 σ).
SMALLEST = -690.0


def is_raw(cube: BackgroundCube) -> bool:
    """Whether the rate of a cube is its counts divided by exposure and bin volume, in each bin."""
    if not is_counted(cube):
        return False
    predicted, counts = predicted_counts(cube)
    return bool(np.all(np.abs(predicted - counts) <= SAME_COUNTS * counts))


def predicted_counts(cube: BackgroundCube) -> tuple[np.ndarray, np.ndarray]:
    """Predicted counts, rate × volume × exposure, and observed counts of a cube made from counts.

    Returns
    -------
    predicted, counts : ndarray, shape (n_used,)
        In the bins with a rate and an exposure.
    """
    time = np.asarray(exposure(cube), float)
    used = np.isfinite(cube.rate) & (time > 0)
    return (cube.event_rate * time)[used], np.asarray(cube.counts, float)[used]


@dataclass(frozen=True, eq=False)
class Side:
    """The rate of one cube and its noise, as Poisson counts with the same relative error.

    Attributes
    ----------
    rate : ndarray, shape of the axes
        Event rate of each bin, s-1.
    time : ndarray, shape of the axes
        Exposure, s; infinite for a cube without noise, NaN if it is not known.
    factor : ndarray, shape (n_energy, 1, 1)
        Variance of the predicted counts over that of raw counts: stated variances, summed over
        the bins of an energy; 1 if none are stated.
    effective : ndarray, shape of the axes
        Exposure with which raw counts have the error of the bin, s; NaN if it is not known.
    stated : ndarray of bool, shape of the axes
        Bins whose stated error determines ``effective``.
    smooth : bool
        Whether the cube is not made of raw counts.
    """

    rate: np.ndarray
    time: np.ndarray
    factor: np.ndarray
    effective: np.ndarray
    stated: np.ndarray
    smooth: bool

    @classmethod
    def of(cls, cube: BackgroundCube, scale: np.ndarray) -> "Side":
        """The side of a cube whose rate is multiplied by a factor for each energy."""
        axes, raw = cube.axes, is_raw(cube)
        rate = np.nan_to_num(cube.event_rate) * scale
        shape = axes.shape[0], 1, 1
        stated = None if raw or cube.rate_error is None else cube.rate_error * axes.volume * scale
        counted = is_counted(cube)
        if not counted and (stated is None or not np.any(stated > 0)):
            none = np.full(axes.shape, np.inf)
            return cls(rate, none, np.ones(shape), none, np.zeros(axes.shape, bool), False)
        time = np.full(axes.shape, np.nan)
        if counted:
            time = np.asarray(exposure(cube), float) / np.where(scale > 0, scale, 1.0)
        factor, effective, known = np.ones(shape), time, np.zeros(axes.shape, bool)
        if stated is not None:
            variance = np.nan_to_num(stated) ** 2
            factor = _ratio(variance * time**2, rate * time) if counted else factor
            known = (variance > 0) & (rate**2 >= FEWEST * variance * counted) & (rate > 0)
            other = time / np.maximum(factor, 1.0)
            effective = np.divide(rate, variance, out=other, where=known)
        return cls(rate, time, factor, effective, known, not raw)

    def effective_beside(self, other: "Side") -> np.ndarray:
        """``effective``, for stated errors that belong to the rate of the other cube.

        Parameters
        ----------
        other : Side
            The other cube.

        Notes
        -----
        A stated error σ may be that of the counts of the bin, at the exposure r/σ², or that of
        their expectation, which is close to the rate r′ of the other cube, at r′/σ². The smaller
        exposure is used. With r/σ², one count in a bin that expects 0.001 would be 1,000 counts.
        """
        lower = self.stated & (other.rate > 0) & (other.rate < self.rate)
        ratio = np.divide(other.rate, self.rate, out=np.ones(self.rate.shape), where=lower)
        return self.effective * ratio

    @property
    def noisy(self) -> bool:
        """Whether the cube has noise."""
        return not np.isinf(self.time).all()

    @property
    def bounded(self) -> np.ndarray:
        """The factor of the variance along any direction: at least 1, as bins are correlated."""
        return np.maximum(self.factor, 1.0)


def _ratio(variance, counts):
    """Σ variance / Σ counts of each energy, or of all energies where an energy has no counts."""
    one, other = (np.nansum(v, axis=(1, 2), keepdims=True) for v in (variance, counts))
    whole = one.sum() / max(other.sum(), 1e-300)
    ratio = np.divide(one, other, out=np.full(one.shape, whole), where=other > 0)
    return np.where(ratio > 0, ratio, 1.0)


class _OneDraw(Replicates):
    """One cube in the place of replicates, for `make_families`."""

    @cached_property
    def independent(self) -> float:
        """There is one draw of the counts."""
        return 1.0


@dataclass(frozen=True)
class Direction:
    """The difference of two cubes along a named direction.

    Parameters
    ----------
    name : str
        Name of the pattern.
    relative, error : float
        The rms relative difference in its bins, with its sign, and its largest standard error.
    """

    name: str
    relative: float
    error: float

    def __str__(self) -> str:
        return f"{self.name} {percent(self.relative, self.error)}"


@dataclass(frozen=True, eq=False)
class RateDifference:
    """The difference of the rates of two cubes over the same bins, with the same clock.

    Parameters
    ----------
    axes : Axes
        The bins.
    a, b : Side
        The reference and the other cube.
    used : ndarray of bool, shape of the axes
        Bins that both cubes know.
    """

    axes: Axes
    a: Side
    b: Side
    used: np.ndarray

    @classmethod
    def of(cls, a: BackgroundCube, b: BackgroundCube, normalize: str) -> "RateDifference":
        """The difference of b and of a, which is scaled to b as `matched_cubes.scale_factor` says.

        Parameters
        ----------
        a, b : BackgroundCube
            The cubes.
        normalize : {"none", "cube", "image"}
            Whether a is scaled.
        """
        scale = np.broadcast_to(scale_factor(a, b, normalize), (a.axes.shape[0], 1, 1))
        used = np.isfinite(a.rate) & np.isfinite(b.rate)
        sides = Side.of(a, scale), Side.of(b, np.ones_like(scale))
        for side in sides:
            used &= np.isnan(side.time) | (side.time > 0)
        return cls(a.axes, *sides, used)

    @property
    def timed(self) -> bool:
        """Whether the exposure of each noisy cube is known, and one of them is noisy."""
        known = not any(np.isnan(side.time).any() for side in (self.a, self.b))
        return known and (self.a.noisy or self.b.noisy)

    @cached_property
    def _weights(self):
        """Fraction τ/t of each cube in the variance, and the common exposure τ of the difference.

        τ = t_A t_B/(t_A + t_B).
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (np.where(self.used, 1 / side.time, 0.0) for side in (self.a, self.b))
            total = one + other
            parts = [np.where(total > 0, x / total, 0.0) for x in (one, other)]
            return *parts, np.where(total > 0, 1 / total, 0.0)

    @cached_property
    def variance(self) -> np.ndarray:
        """Poisson variance W = R τ of the difference, shape of the axes.

        R is the rate of the cube without noise, or that of both, weighted with the exposures.
        """
        in_a, in_b, time = self._weights
        # The weight of a rate is the fraction of the other one in the variance.
        return (self.a.rate * in_b + self.b.rate * in_a) * time

    @cached_property
    def factor(self) -> np.ndarray:
        """Largest variance of the difference over W, shape of the axes."""
        in_a, in_b, _ = self._weights
        return in_a * self.a.bounded + in_b * self.b.bounded

    @property
    def rms(self) -> tuple[float, float]:
        """Relative difference of all bins, and the largest that noise makes of it.

        Notes
        -----
        √(Σ (r_B − r_A)²/R ÷ Σ R), and its expectation √(Σ v/τ ÷ Σ R) for the factor v.
        """
        *_, time = self._weights
        known = self.used & (self.variance > 0)
        rate = self.variance[known] / time[known]
        square = np.sum((self.b.rate - self.a.rate)[known] ** 2 / rate) / rate.sum()
        noise = np.sum(self.factor[known] / time[known]) / rate.sum()
        return float(np.sqrt(square)), float(np.sqrt(noise))

    @property
    def mean_factor(self) -> float:
        """Mean of `factor`, weighted with W."""
        return float(np.sum(self.factor * self.variance) / max(self.variance.sum(), 1e-300))

    @property
    def all_bins(self) -> float:
        """Normal deviate of the χ² of all bins; NaN if no bin can be tested.

        Notes
        -----
        x = m/v are the effective counts of a noisy cube, v its factor ≥ 1. Against a rate without
        noise, it is the deviance of x, otherwise Σ (x_B − n p)²/(n p q), n = x_A + x_B, both with
        their exact means and variances for Poisson counts. The p-value is that of a gamma
        distribution, as for `simbg.validation.metrics.shapes.ring`.
        """
        used = self.used
        if not (self.a.noisy and self.b.noisy):
            data, model = (self.a, self.b) if self.a.noisy else (self.b, self.a)
            time = (data.time / data.bounded)[used]
            counts, expected = data.rate[used] * time, model.rate[used] * time
            if np.any((counts > 0) & (expected <= 0)):
                return np.inf
            counts, expected = counts[expected > 0], expected[expected > 0]
            mean, spread = deviance_moments(expected)
            value = deviance(counts, expected).sum()
        else:
            times = [(side.time / side.bounded)[used] for side in (self.a, self.b)]
            x, y = (side.rate[used] * t for side, t in zip((self.a, self.b), times, strict=True))
            chi2, spread = two_sample_chi2(x, y, times[1] / sum(times), LEAST_VARIANCE)
            value, mean = chi2.sum(), np.ones(chi2.size)
        if not np.isfinite(value):
            return np.inf
        if not spread.sum() > 0:
            return np.nan
        return float(chi2_z(value, mean.sum(), spread.sum()))

    @property
    def largest(self) -> tuple[float, tuple[int, ...]]:
        """Normal deviate of the largest difference of a single bin, and the indices of this bin.

        Notes
        -----
        The effective counts and exposures of each cube have the stated error of the bin; see
        `Side.effective_beside`. Given x_A + x_B, x_B is binomial; if a cube has no noise, x of the
        other one is Poisson. Both tails of n bins are 2 n trials (Šidák), for any correlation of
        the bins.
        """
        used = np.flatnonzero(self.used)
        (r_a, t_a), (r_b, t_b) = (
            (side.rate.ravel()[used], side.effective_beside(other).ravel()[used])
            for side, other in ((self.a, self.b), (self.b, self.a))
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = (np.where(np.isinf(t), 0.0, r * t) for r, t in ((r_a, t_a), (r_b, t_b)))
            p = np.where(np.isinf(t_b), 1.0, t_b / (t_a + t_b))
            high, low = special.betainc(y, x + 1, p), special.betainc(x, y + 1, 1 - p)
            exact, expected = np.isinf(t_a), r_a * t_b
            high = np.where(exact, special.gammainc(y, expected), high)
            low = np.where(exact, special.gammaincc(y + 1, expected), low)
            exact, expected = np.isinf(t_b), r_b * t_a
            high = np.where(exact, special.gammaincc(x + 1, expected), high)
            low = np.where(exact, special.gammainc(x, expected), low)
        # Only cubes with noise have counts, and a cube without them can be too low.
        high = np.where((y > 0) | np.isinf(t_b), high, 1.0)
        low = np.where((x > 0) | np.isinf(t_a), low, 1.0)
        tail = np.where(np.isinf(t_a) & np.isinf(t_b), 1.0, np.fmin(high, low))
        tail = np.where(np.isnan(tail), 1.0, tail)
        best = int(np.argmin(tail))
        place = tuple(int(k) for k in np.unravel_index(used[best], self.axes.shape))
        return deviate(np.log(max(tail[best], 1e-300)), 2 * tail.size), place

    @cached_property
    def directions(self) -> tuple[float, list[Direction]]:
        """Normal deviate of the directions together, and those that are significant at 1e-4.

        Notes
        -----
        The directions u and their fractions of the false-alarm rate are those of
        `simbg.validation.questions.families.make_families`, without single bins. For
        d = (r_B − r_A) τ/√W the variance of u · d is at most Σ u² v.
        """
        weight = np.where(self.used, self.variance, 0.0)
        if not np.any(weight > 0):
            return np.nan, []
        draw = _OneDraw(self.axes, weight, np.broadcast_to(weight, (4, *weight.shape)))
        families = [f for f in make_families(draw) if f.title != "bins"]
        if not families:
            return np.nan, []
        in_a, in_b, time = (part[draw.used] for part in self._weights)
        change = (self.b.rate - self.a.rate)[draw.used] * time / np.sqrt(draw.weight)
        factor = self.factor[draw.used]
        skew = (in_b - in_a) * factor**2 / np.sqrt(draw.weight)
        noise = [(f.matrix**2 @ factor, f.matrix**3 @ skew) for f in families]
        found: list[Direction] = []
        first = 0.0
        for number in range(MOST_FINDINGS + 1):
            log_p, family, k = _smallest(families, noise, change)
            first = log_p if number == 0 else first
            if not log_p < np.log(1e-4) or number == MOST_FINDINGS:
                break
            unit = family.matrix[[k]].toarray()[0]
            size = np.sqrt(family.support[k])
            error = np.sqrt(unit**2 @ factor)
            found.append(
                Direction(family.name(k), float(unit @ change / size), float(error / size))
            )
            change = change - (unit @ change) * unit
        return deviate(first, 1.0), found


def _smallest(families, noise, change):
    """ln of the smallest p-value of all families, and the direction that it belongs to."""
    whole = sum(family.share for family in families)
    best = 0.0, families[0], 0
    for family, (variance, third) in zip(families, noise, strict=True):
        amplitude = family.matrix @ change
        z = np.abs(amplitude) / np.sqrt(variance)
        skew = np.sign(amplitude) * third / variance**1.5
        z = z - skew * (np.minimum(z, FAR) ** 2 - 1) / 6
        k = int(np.argmax(z))
        log_p = np.log(2) + special.log_ndtr(-z[k])
        log_p = sidak(float(min(log_p, 0.0)), z.size * whole / family.share)
        best = min(best, (log_p, family, k), key=lambda item: item[0])
    return best


def deviate(log_p: float, trials: float) -> float:
    """Normal deviate of the smallest of several p-values.

    Parameters
    ----------
    log_p : float
        ln of the smallest p-value.
    trials : float
        Their number.
    """
    return float(-special.ndtri_exp(min(sidak(log_p, trials), -1e-12)))
