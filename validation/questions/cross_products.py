"""Products of the deviations of different replicates: the size of the bias without the noise.

Deviations are d_r = (μ̂_r − λ)/√λ of replicate r, a vector over bins with mean b (the bias) and
covariance C (the noise). Only independence of the replicates is assumed.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import optimize, special

__all__ = ["CrossProducts"]

# The noise along the bias is measured only if the bias exceeds this number of standard errors.
CLEAR = 3.0
# Above this order a beta distribution is equal to a normal distribution within rounding.
NORMAL = 1e8
# With fewer replicates than FEW, F is used if the kurtosis of T is at most NEARLY_NORMAL and the
# noise has MANY directions.
FEW, NEARLY_NORMAL, MANY = 20, 0.01, 20
# Quantiles of the number of directions of the noise in this case, and their weights.
EDGES = np.concatenate([[0.0], np.geomspace(1e-9, 0.1, 17), np.linspace(0.2, 1.0, 9)])
LEVELS, WEIGHTS = (EDGES[1:] + EDGES[:-1]) / 2, np.diff(EDGES)
# Noise below this, relative to |b|², is attributed to rounding (of sums of 1e5 numbers).
ROUNDING = 1e-20


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """The estimate of |b|² = Σ bias²/λ, with its error, tests and limits.

    Parameters
    ----------
    gram : ndarray, shape (R, R)
        Scalar products d_r · d_s.
    sparse : float
        Σ λ^−2/(n² R) of the n components, the excess kurtosis of T for raw counts; by default it is
        not known.

    Notes
    -----
    T = Σ_{r≠s} d_r·d_s / (R (R − 1)) has the expectation |b|² for any noise. Its variance is
    4 x/R + 2 y/(R (R − 1)), x = bᵀCb, y = tr C² (Hoeffding 1948, doi:10.1214/aoms/1177730196). The
    products decompose into T + e_r + e_s + residual; y is the mean square of the residuals, with
    R (R − 3)/2 degrees of freedom, and x is the variance of the e_r minus the contribution of the
    residuals.

    The test of |b|² ≤ τ changes the signs of replicates at random: without bias, d_r and −d_r have
    the same probability. Let A be the Gram matrix minus τ. The statistic W = Σ A_rs/(R Σ A_rr) has
    the mean 1/R. Σ_{r≠s} A_rs has over all signs the mean 0, the variance 2 tr A² and the third
    moment 8 tr A³ (without the diagonal of A). The noise along a bias of size √τ adds
    4 (bᵀCb)_τ R (R − 1)² to the variance. The distribution of W is approximated by a beta
    distribution of mean 1/R (Pitman 1937, doi:10.2307/2984124) with this variance and skewness.
    For noise of equal variance in ν directions it has the parameters ν/2 and ν (R − 1)/2
    (Dempster 1958, doi:10.1214/aoms/1177706437); ν = 1 is Student's t, and the largest skewness.

    R replicates have only 2^(R−1) signs: with few replicates this test finds a bias only if each
    replicate shows it. If T is nearly normal (`sparse` ≤ 0.01) and R < 20, the p-value is therefore
    that of Dempster's F = 1 + Σ_{r≠s} A_rs/((R − 1) tr C) with ν and ν (R − 1) degrees of freedom,
    if ν ≥ 20. If the noise has different variances, the distribution has the skewness of
    ν′ = (tr C²)³/(tr C³)² directions. The p-value is averaged over ν, since y has the relative
    variance 4/(R (R − 3)) + 8/(ν′ R).
    """

    gram: np.ndarray
    sparse: float = np.inf

    @classmethod
    def of(cls, deviations: np.ndarray, weight: np.ndarray | None = None) -> "CrossProducts":
        """Compute the products of deviations.

        Parameters
        ----------
        deviations : ndarray, shape (R, n)
            Components of d_r along any orthonormal directions.
        weight : ndarray, shape (n,), optional
            Expected counts of the components.
        """
        if weight is None or not weight.size:
            return cls(deviations @ deviations.T)
        sparse = np.sum(weight**-2.0) / weight.size**2 / len(deviations)
        return cls(deviations @ deviations.T, float(sparse))

    @property
    def number(self) -> int:
        """Number of replicates, R."""
        return len(self.gram)

    @cached_property
    def square(self) -> float:
        """T, the estimate of |b|²; it may be negative."""
        n = self.number
        return float((self.gram.sum() - np.trace(self.gram)) / (n * (n - 1)))

    @cached_property
    def noise(self) -> float:
        """Estimate of tr C, the sum of the variances."""
        return max(float(np.trace(self.gram)) / self.number - self.square, 0.0)

    @property
    def directions(self) -> float:
        """Effective number of directions of the noise, ν = (tr C)²/tr C², at least 1."""
        pair = self._parts[1]
        return max(1.0, self.noise**2 / pair) if pair > 0 else 1.0

    @cached_property
    def _parts(self) -> tuple[float, float]:
        """Estimates of x = bᵀCb and of y = tr C²."""
        n = self.number
        pair = float(np.sum(self._residual**2)) / (n * (n - 3))
        return max(float(self._effect.var(ddof=1)) - pair / (n - 2), 0.0), pair

    @cached_property
    def _effect(self):
        """The e_r of each replicate."""
        n = self.number
        sums = self.gram.sum(axis=1) - np.diag(self.gram)
        return (sums / (n - 1) - self.square) * (n - 1) / (n - 2)

    @cached_property
    def _residual(self):
        """The residuals of the products of different replicates; 0 on the diagonal."""
        rest = self.gram - self.square - self._effect[:, None] - self._effect
        np.fill_diagonal(rest, 0.0)
        return rest

    @property
    def error(self) -> float:
        """Standard error of `square`."""
        along, pair = self._parts
        return float(np.sqrt(self._variance(along, pair, self.number)))

    def pvalue(self, square: float = 0.0) -> float:
        """Probability of a larger estimate than this one, if |b|² is at most ``square``.

        Parameters
        ----------
        square : float
            τ, the largest |b|² of the null hypothesis.
        """
        return self._tail(square, upper=True)

    def upper(self, confidence: float = 0.95) -> float:
        """One-sided upper limit of |b|²; a negative estimate is replaced by 0.

        Parameters
        ----------
        confidence : float
            Probability that the limit is above the true value.
        """
        # A negative estimate is a fluctuation: its limit must not be lower than that of 0.
        likely = self if self.square >= 0 else replace(self, gram=self.gram - self.square)
        return likely._limit(1 - confidence, upper=True)

    def lower(self, confidence: float = 0.95) -> float:
        """One-sided lower limit of |b|², 0 if no bias is significant.

        Parameters
        ----------
        confidence : float
            Probability that the limit is below the true value.
        """
        return self._limit(1 - confidence, upper=False)

    def replicates_to_decide(self, square: float, false_alarm: float, missed: float) -> int:
        """Number of replicates that distinguish |b|² = ``square`` from four times this value.

        Parameters
        ----------
        square : float
            The required |b|², τ; a method with twice the required bias has 4 τ.
        false_alarm : float
            Probability that a method with |b|² = τ is called biased.
        missed : float
            Probability that a method with |b|² = 4 τ is not called biased.
        """
        pair = self._parts[1]
        quantiles = -special.ndtri(false_alarm), -special.ndtri(missed)

        def decided(number):
            widths = (
                np.sqrt(self._variance(self._along(size), pair, number))
                for size in (square, 4 * square)
            )
            return sum(q * w for q, w in zip(quantiles, widths, strict=True)) <= 3 * square

        low, high = 1, 4
        while not decided(high):
            low, high = high, 2 * high
            if high > 1e9:
                return high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decided(middle) else (middle, high)
        return high

    @staticmethod
    def _variance(along, pair, number):
        return 4 * along / number + 2 * pair / (number * (number - 1))

    def _along(self, size):
        """bᵀCb for |b|² = ``size``: measured if the bias is significant, else of typical noise."""
        along, pair = self._parts
        typical = pair / self.noise if self.noise > 0 else 0.0
        clear = self.square > CLEAR * np.sqrt(self._variance(0.0, pair, self.number))
        return size * max(typical, along / self.square if clear else 0.0)

    def _tail(self, size, upper):
        if self.noise <= ROUNDING * abs(self.square):
            return float((self.square <= size) == upper)
        shifted, n = self.gram - size, self.number
        if upper and n < FEW and self.sparse <= NEARLY_NORMAL and self._skewed >= MANY:
            return self._dempster(size)
        pairs = shifted - np.diag(np.diag(shifted))
        square = pairs @ pairs
        variance = 2 * float(np.trace(square)) + 4 * self._along(size) * (n - 1) ** 2 * n
        # The skewness is at most that of noise in one direction.
        skewness = 8 * float(np.sum(square * pairs)) / variance**1.5
        order = max(_order(skewness, n), n / 2)
        if order > NORMAL:
            z = float(pairs.sum() / np.sqrt(variance))
            return float(special.ndtr(-z if upper else z))
        total = np.sqrt(variance * (order + 1) / (n - 1))
        value = float(np.clip((pairs.sum() + total) / (n * total), 0.0, 1.0))
        tail = special.betaincc if upper else special.betainc
        return float(tail(order / n, order * (1 - 1 / n), value))

    def _dempster(self, size):
        """Upper tail of Dempster's F; see the Notes."""
        n, pair = self.number, self._parts[1]
        known = 2 / (4 / (n * (n - 3)) + 8 / (n * self._skewed))
        directions = np.maximum(1.0, self.directions * special.chdtri(known, 1 - LEVELS) / known)
        variance = self._variance(0.0, pair, n)
        wider = np.sqrt(1 + 4 * self._along(size) / n / variance) if variance > 0 else 1.0
        excess = (self.square - size) * n / wider / self.noise
        # The skewness is that of fewer directions if their noise is not equal.
        order = np.minimum(directions, self._skewed)
        value = np.maximum(1 + excess * np.sqrt(directions / order), 0.0)
        return float(WEIGHTS @ special.fdtrc(order, order * (n - 1), value))

    @property
    def _skewed(self):
        """Number of directions with the skewness of the noise, (tr C²)³/(tr C³)², at most ν."""
        n, pair = self.number, self._parts[1]
        rest = self._residual
        cube = max(float(np.sum((rest @ rest) * rest)) / (n * (n - 1) * (n - 2)), 0.0)
        # The root of the ratio does not overflow for rates that are much too large.
        skewed = (pair / cube ** (2 / 3)) ** 3 if cube > 0 else np.inf
        return min(self.directions, max(1.0, skewed))

    def _limit(self, probability, upper):
        """The |b|² for which the opposite tail has this probability."""

        def excess(size):
            return self._tail(size, upper=not upper) - probability

        estimate = max(self.square, 0.0)
        if self.noise <= ROUNDING * abs(self.square):
            return estimate
        if not upper:
            if excess(0.0) >= 0:
                return 0.0
            return float(optimize.brentq(excess, 0.0, estimate, rtol=1e-6))
        high = estimate + max(self.error, 1e-12)
        while excess(high) > 0:
            high = 2 * high
        return float(optimize.brentq(excess, estimate, high, rtol=1e-6))


def _order(skewness, number):
    """The order s = a + b of a beta distribution of mean 1/R with this skewness.

    The skewness is 2 (R − 2) √(s + 1)/((s + 2) √(R − 1)).
    """
    ratio = skewness * np.sqrt(number - 1) / (2 * (number - 2))
    if ratio <= 0:
        return np.inf
    # ratio = √u/(u + 1), u = s + 1 ≥ 1.
    return ((1 + np.sqrt(max(1 - 4 * ratio**2, 0.0))) / (2 * ratio)) ** 2 - 1
