"""Directions: the bias along named patterns, with p-values corrected for the number of trials."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from simbg.validation.questions.bias import allowed
from simbg.validation.questions.cross_products import CrossProducts
from simbg.validation.questions.families import Family, make_families
from simbg.validation.questions.replicates import Replicates

__all__ = ["combined", "find_biases", "measure_directions", "sidak"]

# Largest number of findings.
MOST_FINDINGS = 5
# Amplitudes are equal above this ratio. A point source in a much larger pixel is equal to it.
EQUAL = 0.99
# Families whose noise is estimated together with that of another family.
JOIN = {
    "parameters": "shape",
    "rings": "shape",
    "quadrants": "shape",
    "energies above": "energies",
    "mask borders": "shape",
}
# Quantile of the number of independent directions, for a conservative estimate.
LOW = 0.25
# The correction for skewness is constant beyond this number of standard deviations.
FAR = 8.0


@dataclass(frozen=True, eq=False)
class FamilyTest:
    """The bias along each direction of a family.

    Parameters
    ----------
    family : Family
        The directions.
    amplitude : ndarray, shape (n_directions,)
        Mean over replicates of u · (μ̂ − λ)/√λ. The unit is the standard deviation of one draw of
        raw counts.
    error : ndarray, shape (n_directions,)
        Standard error of each amplitude.
    log_pvalue : ndarray, shape (n_directions,)
        ln of the two-sided p-value of each direction.

    Notes
    -----
    With s_k² the variance over replicates (d = R − 1 degrees of freedom), the error is s̃_k/√R,
    s̃_k² = (d₀ s₀² + d s_k²)/(d₀ + d). The prior d₀, s₀² follows from the scatter of the ln s_k² of
    the family (Smyth 2004, doi:10.2202/1544-6115.1027): d₀ is large if all directions have
    the same noise, and small if their noise differs. The few directions of single causes (width,
    rings, ...) are estimated together with the smooth ones. If the noise of the family has ν
    independent directions, d₀ is at most (ν − 1) d. The pull has Student's t distribution with
    d₀ + d degrees of freedom. Its skewness is corrected to first order for Poisson counts: by
    −κ (z² − 1)/6 for a known variance (Cornish–Fisher) and +κ (2 z² + 1)/6 for a measured one
    (Hall 1992, doi:10.1007/978-1-4612-4384-7), in proportion to d₀ and d; κ = √(s̃²/R) Σ u³/√λ.
    """

    family: Family
    amplitude: np.ndarray
    error: np.ndarray
    log_pvalue: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """Rms relative bias in the bins of each direction, with the sign of the amplitude."""
        return self.amplitude / np.sqrt(self.family.support)

    @property
    def log_best(self) -> float:
        """ln of the p-value of the family, 1 − (1 − p)ⁿ with the smallest p of its n p-values."""
        return sidak(float(self.log_pvalue.min()), self.log_pvalue.size)


@dataclass(frozen=True)
class Finding:
    """A bias along a named direction.

    Parameters
    ----------
    name : str
        Name of the pattern.
    family : str
        Title of its family.
    relative, error : float
        The rms relative bias in its bins, with its sign, and its standard error.
    pvalue : float
        p-value, corrected for the number of trials.
    share : float
        Fraction of Σ bias²/λ, without noise, that this direction explains.
    """

    name: str
    family: str
    relative: float
    error: float
    pvalue: float
    share: float

    def __str__(self) -> str:
        size = f"{self.relative:+.2%} ± {self.error:.2%}"
        return f"{self.name}: {size} (p = {self.pvalue:.1g})"


def measure_directions(
    replicates: Replicates, require: float = 0.0, families: list[Family] | None = None
) -> list[FamilyTest]:
    """Test the bias along all named directions.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method.
    require : float
        The rms relative bias that is allowed in the bins of a direction; see `allowed` of `bias`.
    families : list of Family, optional
        The result of `make_families` for the same bins, if it is already available.

    Returns
    -------
    tests : list of FamilyTest
        One for each family.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> expected, rng = np.full(axes.shape, 100.0), np.random.default_rng(1)
    >>> draws = 1.05 * rng.poisson(expected, (20, *axes.shape))
    >>> shape, *_ = measure_directions(Replicates(axes, expected, draws))
    >>> shape.family.name(0), bool(abs(shape.relative[0] - 0.05) < 3 * shape.error[0])
    ('norm', True)
    """
    families = make_families(replicates) if families is None else families
    return _measure(replicates.deviations, families, require, replicates.total)


def combined(tests: list[FamilyTest]) -> float:
    """The p-value of all families together.

    Parameters
    ----------
    tests : list of FamilyTest
        Result of `measure_directions`.

    Notes
    -----
    The p-value is the smallest of 1 − (1 − p_f)^(1/w_f), where w_f is the fraction of the
    false-alarm rate of family f. Without bias it is distributed uniformly if the families are
    independent, and is larger (conservative) if they are correlated.
    """
    whole = sum(test.family.share for test in tests)
    return float(np.exp(min(sidak(t.log_best, whole / t.family.share) for t in tests)))


def find_biases(
    replicates: Replicates,
    require: float = 0.0,
    false_alarm: float = 1e-3,
    families: list[Family] | None = None,
) -> list[Finding]:
    """Find biases along named directions; each is removed before the next search.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method.
    require : float
        The rms relative bias that is allowed in the bins of a direction; see `allowed` of `bias`.
    false_alarm : float
        Probability of a finding although no bias is larger than allowed.
    families : list of Family, optional
        The result of `make_families` for the same bins, if it is already available.

    Returns
    -------
    findings : list of Finding
        At most five, in the order in which they were found.
    """
    families = make_families(replicates) if families is None else families
    deviations, found = replicates.deviations, []
    whole = CrossProducts.of(deviations).square
    shares = sum(family.share for family in families)
    for _ in range(MOST_FINDINGS):
        tests = _measure(deviations, families, require, replicates.total)
        pvalues = [
            sidak(float(t.log_pvalue.min()), t.log_pvalue.size * shares / t.family.share)
            for t in tests
        ]
        if not min(pvalues) < np.log(false_alarm):
            break
        # The significant direction that explains most of the bias; of equal ones, the first.
        clear = [t for t, p in zip(tests, pvalues, strict=True) if p < np.log(false_alarm)]
        sizes = [np.where(_clear(t, false_alarm, shares), np.abs(t.amplitude), -1.0) for t in clear]
        largest = max(size.max() for size in sizes)
        best, size = next(
            (t, s) for t, s in zip(clear, sizes, strict=True) if s.max() >= EQUAL * largest
        )
        k = int(np.argmax(size))
        log_p = sidak(float(best.log_pvalue[k]), best.log_pvalue.size * shares / best.family.share)
        size = np.sqrt(best.family.support[k])
        found.append(
            Finding(
                best.family.name(k),
                best.family.title,
                float(best.amplitude[k] / size),
                float(best.error[k] / size),
                float(np.exp(log_p)),
                float(best.amplitude[k] ** 2 / max(whole, best.amplitude[k] ** 2)),
            )
        )
        unit = best.family.matrix[[k]].toarray()[0]
        deviations = deviations - np.outer(deviations @ unit, unit)
    return found


def _clear(test, false_alarm, shares):
    trials = test.log_pvalue.size * shares / test.family.share
    return test.log_pvalue < np.log(false_alarm / trials)


def _measure(deviations, families, require, whole):
    number = len(deviations)
    tests, all_along = [], {}
    for family in families:
        along = all_along[family.title] = family.matrix @ deviations.T
        amplitude = along.mean(axis=1)
        # Directions of causes are combinations of those of the family that they join.
        joined = np.concatenate([all_along.get(JOIN.get(family.title), along[:0]), along])
        variance, prior = _moderated(joined)
        variance = variance[len(joined) - len(along) :]
        error = np.sqrt(variance / number)
        limit = allowed(require, family.support, whole)
        skew = np.sign(amplitude) * family.skewness * error
        known = prior / (prior + number - 1)
        size, freedom = np.abs(amplitude), prior + number - 1
        log_p = np.logaddexp(
            *(_log_tail(size + s * limit, error, freedom, skew, known) for s in (-1, 1))
        )
        tests.append(FamilyTest(family, amplitude, error, np.minimum(log_p, 0.0)))
    return tests


def _log_tail(excess, error, freedom, skew, known):
    """ln of the probability of a pull above ``excess/error``, corrected for the skewness."""
    t = np.divide(excess, error, out=np.where(excess > 0, np.inf, -np.inf), where=error > 0)
    with np.errstate(divide="ignore"):
        z = np.sign(t) * -special.ndtri(special.stdtr(freedom, -np.abs(t)))
    near = np.minimum(np.abs(z), FAR) ** 2
    z = z - skew * (known * (near - 1) - (1 - known) * (2 * near + 1)) / 6
    return special.log_ndtr(-z)


def _moderated(along):
    """Variances of a family and the d₀ of their prior; Smyth's estimates by moments of ln s²."""
    freedom = along.shape[1] - 1
    variance = along.var(axis=1, ddof=1)
    # A few replicates of a bin can have equal counts: the others tell its variance.
    scattered = variance > 0
    if np.count_nonzero(scattered) < 3:
        return variance, 0.0
    pulls = (along - along.mean(axis=1, keepdims=True))[scattered]
    pulls = pulls / np.sqrt(variance[scattered])[:, None]
    independent = min(CrossProducts.of(pulls.T).directions, float(len(pulls)))
    # The estimate has R (R − 3)/2 degrees of freedom: a low quantile of it is used.
    known = (freedom + 1) * (freedom - 2) / 2
    independent = max(1.0, independent * special.chdtri(known, 1 - LOW) / known)
    logs = np.log(variance[scattered]) - special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = logs.var(ddof=1) - (1 - 1 / independent) * special.polygamma(1, freedom / 2)
    prior = 2 * _inverse_trigamma(excess) if excess > 0 else np.inf
    center = logs.mean()
    if np.isfinite(prior):
        center += special.digamma(prior / 2) - np.log(prior / 2)
    # The prior is limited to the information of the independent directions.
    prior = min(prior, (independent - 1) * freedom)
    return (prior * np.exp(center) + freedom * variance) / (prior + freedom), prior


def _inverse_trigamma(value):
    """x with ψ′(x) = ``value``, by Newton's method for 1/ψ′ (Smyth 2004)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = special.polygamma(1, x)
        step = trigamma * (1 - trigamma / value) / special.polygamma(2, x)
        x += step
        if abs(step) < 1e-8 * x:
            break
    return float(x)


def sidak(log_p: float, trials: float) -> float:
    """ln of the p-value of the smallest of several p-values, 1 − (1 − p)ⁿ.

    Parameters
    ----------
    log_p : float
        ln of the smallest p-value.
    trials : float
        Number n of p-values.
    """
    if log_p + np.log(trials) < -30:
        return log_p + float(np.log(trials))
    inside = -np.expm1(trials * np.log1p(-np.exp(min(log_p, -1e-15))))
    return float(np.log(max(inside, 1e-300)))
