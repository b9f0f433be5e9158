"""The fit: coefficients by Newton's method, strengths from their marginal likelihood."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.penalty import Penalty

__all__ = ["Fit", "fit", "scores"]

# Largest number of iterations; a typical cube needs 10 to 25.
MOST = 60
# The fit has converged if a Newton step increases 2 ln L by less than CONVERGED, a twentieth of the
# increase by one additional parameter. Strengths change once a step increases 2 ln L by less than
# ROUGHLY; the prior that ties the strengths of hats applies after a step of less than NEARLY.
CONVERGED, NEARLY, ROUGHLY = 0.05, 0.3, 20.0
# The same limit for a step of the strengths, in 2 ln of their marginal likelihood.
SETTLED = 1.0
# X'WX is computed again when the steps since the last time have increased 2 ln L by more than this:
# in bins with hundreds of events the weights have then changed by a few per mille.
OUTDATED = 2.0
# ln λ: start value, range, largest step, and growth of the step limit while the sign is the same.
START, RANGE, STEP, GROW = 3.0, (-8.0, 20.0), 4.0, 1.5
# Prior of ln λ: a penalty of STIFF nats where the leading deviation is of order 1, and a normal
# distribution of precision WIDE, so that strengths which the data do not determine are finite.
STIFF, WIDE = 4.0, 0.002
# Largest |ln rate| relative to the mean (87 decades), so that no exponential overflows.
LARGEST = 200.0


@dataclass(frozen=True, eq=False)
class Fit:
    """The fitted coefficients and strengths.

    Parameters
    ----------
    constant : float
        Logarithm of the mean rate; `Basis.log_rate` is relative to it.
    theta : ndarray, shape (n_coefficients,)
        Coefficients of the basis.
    covariance : ndarray, shape (n_coefficients, n_coefficients)
        Covariance of θ at the fitted strengths, (X'WX + A)⁻¹.
    strength : ndarray, shape (n_terms,)
        Logarithm of the strength of each penalty, ln λ.
    information : ndarray, shape (n_terms, n_terms)
        Expected information of ln λ.
    response : ndarray, shape (n_terms, n_coefficients)
        Derivative of the coefficients by the strengths, ∂θ / ∂ln λ.
    gram : ndarray, shape (n_coefficients, n_coefficients)
        X'WX, the information of θ in the counts.
    n_iterations : int
        Number of Newton steps.
    converged : bool
        Whether the last step increased 2 ln L by less than the limit of convergence.
    """

    constant: float
    theta: np.ndarray
    covariance: np.ndarray
    strength: np.ndarray
    information: np.ndarray
    response: np.ndarray
    gram: np.ndarray
    n_iterations: int
    converged: bool

    @property
    def n_effective(self) -> float:
        """Effective parameters, tr(X'WX (X'WX + A)⁻¹)."""
        return float(np.sum(self.gram * self.covariance))

    def extended(self, basis: Basis) -> "Fit":
        """The fit with coefficients of 0 for the last functions of a larger basis.

        Parameters
        ----------
        basis : Basis
            The functions of this fit, and others.
        """
        n_more = np.prod(basis.shape) - self.theta.size
        return replace(self, theta=np.append(self.theta, np.zeros(n_more)))

    def rate(self, basis: Basis) -> np.ndarray:
        """Rates that are never 0, (n_energy, n_pixels)."""
        return np.exp(self.constant + _log_rate(basis, self.theta))


def fit(
    basis: Basis,
    penalty: Penalty,
    counts: np.ndarray,
    exposure: np.ndarray,
    start: Fit | None = None,
) -> Fit:
    """Fit the logarithm of a rate to Poisson counts.

    Parameters
    ----------
    basis : Basis
        The functions whose sum is ln rate.
    penalty : Penalty
        The prior of their coefficients.
    counts, exposure : ndarray, shape (n_energy, n_pixels)
        Observed counts and exposure; a bin with an exposure of 0 is not used.
    start : Fit, optional
        A fit to similar data, whose result is the start value.

    Returns
    -------
    fit : Fit
        The result, also if the fit has not converged.

    Notes
    -----
    Newton steps maximise ln L(θ) − θ'Aθ / 2; a step is halved until this function does not
    decrease. Each Newton step is followed by one step of ln λ: Fisher scoring of the marginal
    likelihood of λ in Laplace's approximation, with the weights W = μ of this iteration. With
    B = A⁻¹, V = (X'WX + A)⁻¹ and A_j = ∂A / ∂ln λ_j, the gradient is
    [tr(A_j B) − tr(A_j V) − θ'A_j θ] / 2; it is zero at the fixed point of the iteration of Wood &
    Fasiolo 2017 (Biometrics 73, 1071). The expected information is
    tr((B − V) A_i (B − V) A_j) / 2, taken as zero between different kinds of functions. If the step
    of a strength changes its sign, its largest size is halved. The prior of ln λ favours the stiff
    model, as a penalised complexity prior does (Simpson et al. 2017, Statist. Sci. 32, 1): the
    standard deviation λ^(−1/2) of the coefficients is distributed exponentially. Without it, the
    fit would describe a single isolated event by a peak. The density of ln λ contains the factor
    dλ^(−1/2)/d ln λ ∝ λ^(−1/2), which the most probable ln λ keeps for r² and linear functions
    only: a coefficient that the data neither require nor exclude is then not set to zero. For other
    functions the factor is left out: most of them are not needed, and noise would increase.
    """
    state = _Poisson.of(basis, counts, exposure, start)
    n_terms = len(penalty.terms)
    strength = np.full(n_terms, START) if start is None else start.strength
    theta = state.first_guess(penalty.at(strength)[0]) if start is None else start.theta
    largest, last, tied = np.full(n_terms, STEP), np.zeros(n_terms), start is not None
    n_iterations, since_gram = 0, 0.0
    while n_iterations < MOST:
        n_iterations += 1
        precision, prior_covariance, derivative = penalty.at(strength)
        rate = state.rate(theta)
        if n_iterations == 1 or since_gram > OUTDATED:
            gram, since_gram = basis.gram(rate), 0.0
        covariance = inverse(gram + dense(precision))
        theta, gain = state.step(theta, rate, precision, covariance)
        since_gram += gain
        if gain > ROUGHLY and n_iterations < MOST:
            continue
        gradient, information = scores(penalty, prior_covariance, derivative, covariance, theta)
        gradient, information = with_prior(penalty, strength, gradient, information, tied)
        change = np.linalg.solve(information, gradient)
        if tied and gain < CONVERGED and gradient @ change < SETTLED:
            break
        tied |= gain < NEARLY
        largest = np.where(change * last < 0, largest / 2, np.minimum(STEP, GROW * largest))
        last = change = np.clip(change, -largest, largest)
        strength = np.clip(strength + change, *RANGE)
    return Fit(
        *(state.constant, theta, covariance, strength, information),
        _response(penalty, derivative, covariance, theta.reshape(basis.shape)),
        gram,
        n_iterations,
        bool(gain < CONVERGED),
    )


def _response(penalty, derivative, covariance, theta):
    """∂θ / ∂ln λ = −A_j θ V for each strength."""
    force = np.zeros((len(penalty.terms), *theta.shape))
    for row, term, d in zip(force, penalty.terms, derivative, strict=True):
        row[term.k] = (d @ theta[term.k, :, None])[..., 0]
    return -force.reshape(len(force), theta.size) @ covariance


@dataclass(frozen=True, eq=False)
class _Poisson:
    """Counts, and the counts that the mean rate predicts."""

    basis: Basis
    counts: np.ndarray
    flat: np.ndarray
    constant: float

    @classmethod
    def of(
        cls, basis: Basis, counts: np.ndarray, exposure: np.ndarray, start: Fit | None
    ) -> "_Poisson":
        constant = (
            np.log((counts.sum() + 0.5) / exposure.sum()) if start is None else start.constant
        )
        return cls(basis, counts, exposure * np.exp(constant), constant)

    def first_guess(self, precision: np.ndarray) -> np.ndarray:
        """θ of a weighted least-squares fit to the counts summed over the field of view."""
        counts, flat = self.counts.sum(axis=1), self.flat.sum(axis=1)
        log_rate = np.log((counts + 0.5) / (flat + 0.5))[:, None]
        rate = self.flat * np.exp(log_rate)
        covariance = inverse(self.basis.gram(rate) + dense(precision))
        theta = covariance @ self.basis.project(rate * log_rate)
        # The mean rate, if the result is worse: its extrapolation may exceed all bounds.
        values = (self.objective(t, self.rate(t), precision) for t in (theta, 0 * theta))
        return theta if next(values) >= next(values) else 0 * theta

    def rate(self, theta: np.ndarray) -> np.ndarray:
        """Predicted counts of each bin."""
        return self.flat * np.exp(_log_rate(self.basis, theta))

    def objective(self, theta: np.ndarray, rate: np.ndarray, precision: np.ndarray) -> float:
        """Penalised log-likelihood, without terms that do not depend on θ."""
        log_rate = _log_rate(self.basis, theta)
        return np.sum(self.counts * log_rate - rate) - 0.5 * theta @ apply_blocks(precision, theta)

    def step(
        self, theta: np.ndarray, rate: np.ndarray, precision: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """θ after a Newton step, and the expected increase of 2 ln L by a full step."""
        slope = self.basis.project(self.counts - rate) - apply_blocks(precision, theta)
        change, least = covariance @ slope, self.objective(theta, rate, precision)
        gain = float(slope @ change)
        least -= 1e-12 * abs(least)
        for _ in range(30):
            new = self.rate(theta + change)
            if self.objective(theta + change, new, precision) >= least:
                break
            change = change / 2
        return theta + change, gain


def _log_rate(basis, theta):
    return np.clip(basis.log_rate(theta), -LARGEST, LARGEST)


def with_prior(
    penalty: Penalty,
    strength: np.ndarray,
    gradient: np.ndarray,
    information: np.ndarray,
    tied: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and information of ln λ, including its prior."""
    stiff = 0.5 * STIFF * np.exp(-0.5 * strength)
    precision = WIDE * np.eye(strength.size) + tied * penalty.tie
    pull = stiff - 0.5 * penalty.free - WIDE * (strength - START) - tied * (penalty.tie @ strength)
    return gradient + pull, information + precision + np.diag(0.5 * stiff)


def scores(
    penalty: Penalty,
    prior: np.ndarray,
    derivative: list,
    covariance: np.ndarray,
    theta: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and expected information of ln λ by the marginal likelihood, kind by kind."""
    n_k, n_i, _ = prior.shape
    k, theta = np.arange(n_k), theta.reshape(n_k, n_i)
    learned = -covariance.reshape(n_k, n_i, n_k, n_i)
    learned[k, :, k] += prior
    unexplained = learned[k, :, k] - theta[:, :, None] * theta[:, None, :]
    gradient = list[float]()
    information = np.zeros((len(derivative), len(derivative)))
    for terms in penalty.kinds:
        k, changes = penalty.terms[terms.start].k, derivative[terms]
        gradient += [np.vdot(change, unexplained[k]) for change in changes]
        blocks, change = learned[k][:, :, k].transpose(0, 2, 1, 3), np.array(changes)
        # B − V is symmetric: the trace is a sum of products (B − V)_kl A_il · A_jk (B − V)_kl.
        for row, own in zip(blocks, change.swapaxes(0, 1), strict=True):
            left, right = row @ change, own[:, None] @ row
            information[terms, terms] += left.reshape(len(own), -1) @ right.reshape(len(own), -1).T
    return 0.5 * np.array(gradient), 0.5 * information


def dense(blocks: np.ndarray) -> np.ndarray:
    """A block-diagonal matrix."""
    n_k, n_i, _ = blocks.shape
    full = np.zeros((n_k, n_i, n_k, n_i))
    full[np.arange(n_k), :, np.arange(n_k)] = blocks
    return full.reshape(n_k * n_i, n_k * n_i)


def apply_blocks(blocks: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """The product of a block-diagonal matrix and θ."""
    return (blocks @ theta.reshape(len(blocks), -1, 1)).ravel()


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a positive definite matrix; the diagonal is increased if rounding requires it."""
    diagonal, more = np.diag(matrix).copy(), 0.0
    while True:
        factor, info = lapack.dpotrf(matrix, lower=1)
        if info == 0:
            break
        more = max(10 * more, 1e-12)
        matrix = matrix + more * np.diag(diagonal)
    # The other triangle of the result is zero, as that of the factor.
    lower = lapack.dpotri(factor, lower=1, overwrite_c=1)[0]
    full = lower + lower.T
    np.fill_diagonal(full, np.diag(lower))
    return full
