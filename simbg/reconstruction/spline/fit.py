"""The fit: coefficients by Newton's method, strengths by their marginal likelihood."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.penalty import Penalty

__all__ = ["fit", "scores"]

# Iterations; those of a typical cube are 10 to 25.
MOST = 60
# The fit has converged where a Newton step gains less than CONVERGED, in 2 ln L: a twentieth of
# what one parameter costs. Strengths change from ROUGHLY on, those of hats are tied from NEARLY.
CONVERGED, NEARLY, ROUGHLY = 0.05, 0.3, 20.0
# The same for the marginal likelihood of strengths and a step of these.
SETTLED = 1.0
# X'WX is made anew when steps since the last one gained more than this: as bins have hundreds of
# events, weights have changed by some per mille.
OUTDATED = 2.0
# ln λ: where it starts, its range, the largest step, and how steps grow while their sign stays.
START, RANGE, STEP, GROW = 3.0, (-8.0, 20.0), 4.0, 1.5
# Prior of ln λ: it costs STIFF nats where the leading deviation is of order 1, and WIDE is the
# precision of a normal that keeps strengths finite which the data say nothing of.
STIFF, WIDE = 4.0, 0.002
# Of |ln rate| relative to the mean, so that no exponential overflows: 87 decades.
LARGEST = 200.0


@dataclass(frozen=True, eq=False)
class Fit:
    """The coefficients and strengths that were found.

    Parameters
    ----------
    constant : float
        Logarithm of the mean rate, which `Basis.log_rate` is relative to.
    theta : ndarray, shape (n_coefficients,)
        Coefficients of the basis.
    covariance : ndarray, shape (n_coefficients, n_coefficients)
        Of θ at the strengths found, (X'WX + A)⁻¹.
    strength : ndarray, shape (n_terms,)
        ln λ
    information : ndarray, shape (n_terms, n_terms)
        Of ln λ, expected.
    response : ndarray, shape (n_terms, n_coefficients)
        ∂θ / ∂ln λ
    gram : ndarray, shape (n_coefficients, n_coefficients)
        X'WX, the information of θ in the counts.
    n_iterations : int
        Newton steps that were made.
    converged : bool
        Whether the last step changed nothing that matters.
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
        An exposure of 0 is a bin that says nothing.
    start : Fit, optional
        Of nearly the same data.

    Returns
    -------
    fit : Fit
        Also where it has not converged.

    Notes
    -----
    θ maximises ln L(θ) − θ'Aθ / 2 by Newton steps, halved until it does not fall. After each
    step ln λ makes one of Fisher scoring on the marginal likelihood of λ in Laplace's
    approximation, with the weights W = μ of this iteration. With B = A⁻¹, V = (X'WX + A)⁻¹ and
    A_j = ∂A / ∂ln λ_j its gradient is [tr(A_j B) − tr(A_j V) − θ'A_j θ] / 2, which is zero where
    the rule of Wood & Fasiolo 2017 (Biometrics 73, 1071) stays, and its expected information
    tr((B − V) A_i (B − V) A_j) / 2, taken as zero between kinds of functions.
    Steps whose sign changes are halved. The prior of ln λ favours the stiff model, as a
    penalised complexity prior does (Simpson et al. 2017, Statist. Sci. 32, 1): else a single
    event where there are no others has a peak of its own.
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
        covariance = _inverse(gram + _dense(precision))
        theta, gain = state.step(theta, rate, precision, covariance)
        since_gram += gain
        if gain > ROUGHLY and n_iterations < MOST:
            continue
        gradient, information = scores(penalty, prior_covariance, derivative, covariance, theta)
        gradient, information = _with_prior(penalty, strength, gradient, information, tied)
        change = np.linalg.solve(information, gradient)
        if tied and gain < CONVERGED and gradient @ change < SETTLED:
            break
        tied |= gain < NEARLY
        largest = np.where(change * last < 0, largest / 2, np.minimum(STEP, GROW * largest))
        last = change = np.clip(change, -largest, largest)
        strength = np.clip(strength + change, *RANGE)
    pull = np.zeros((n_terms, *basis.shape))
    for row, term, d in zip(pull, penalty.terms, derivative, strict=True):
        row[term.k] = (d @ theta.reshape(basis.shape)[term.k, :, None])[..., 0]
    return Fit(
        *(state.constant, theta, covariance, strength, information),
        -pull.reshape(n_terms, theta.size) @ covariance,
        gram,
        n_iterations,
        bool(gain < CONVERGED),
    )


@dataclass(frozen=True, eq=False)
class _Poisson:
    """Counts, and the counts that the mean rate predicts."""

    basis: Basis
    counts: np.ndarray
    flat: np.ndarray
    constant: float

    @classmethod
    def of(cls, basis, counts, exposure, start):
        constant = (
            np.log((counts.sum() + 0.5) / exposure.sum()) if start is None else start.constant
        )
        return cls(basis, counts, exposure * np.exp(constant), constant)

    def first_guess(self, precision):
        """θ of a weighted least-squares fit to the spectrum, the same in all pixels."""
        counts, flat = self.counts.sum(axis=1), self.flat.sum(axis=1)
        log_rate = np.log((counts + 0.5) / (flat + 0.5))[:, None]
        rate = self.flat * np.exp(log_rate)
        covariance = _inverse(self.basis.gram(rate) + _dense(precision))
        return covariance @ self.basis.project(rate * log_rate)

    def rate(self, theta):
        """Predicted counts."""
        return self.flat * np.exp(_log_rate(self.basis, theta))

    def objective(self, theta, rate, precision):
        """Penalised log-likelihood without what does not depend on θ."""
        log_rate = _log_rate(self.basis, theta)
        return np.sum(self.counts * log_rate - rate) - 0.5 * theta @ _apply(precision, theta)

    def step(self, theta, rate, precision, covariance):
        """θ after a Newton step, and what a whole step should gain, in 2 ln L."""
        slope = self.basis.project(self.counts - rate) - _apply(precision, theta)
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


def _with_prior(penalty, strength, gradient, information, tied):
    """Gradient and information of ln λ with the prior of ln λ."""
    stiff = 0.5 * STIFF * np.exp(-0.5 * strength)
    precision = WIDE * np.eye(strength.size) + tied * penalty.tie
    gradient = gradient + stiff - WIDE * (strength - START) - tied * (penalty.tie @ strength)
    return gradient, information + precision + np.diag(0.5 * stiff)


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
    gradient, information = [], np.zeros((len(derivative), len(derivative)))
    products: list[np.ndarray] = []
    for i, (term, change) in enumerate(zip(penalty.terms, derivative, strict=True)):
        gradient.append(np.sum(change * unexplained[term.k]))
        if i == 0 or term.k is not penalty.terms[i - 1].k:
            products, size = [], term.k.size * n_i
            block = learned[term.k][:, :, term.k].reshape(size, term.k.size, n_i).transpose(1, 0, 2)
        # (B − V) A_i
        product = (block @ change).transpose(1, 0, 2).reshape(size, size)
        products.append(product)
        first = i + 1 - len(products)
        information[i, first : i + 1] = [np.sum(p * product.T) for p in products]
    information += np.tril(information, -1).T
    return 0.5 * np.array(gradient), 0.5 * information


def strength_traces(
    penalty: Penalty, strength: np.ndarray, gram: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Effective parameters that each term governs, tr(A_j B) − tr(A_j V), and V."""
    precision, prior, derivative = penalty.at(strength)
    covariance = _inverse(gram + _dense(precision))
    n_k, n_i, _ = prior.shape
    learned = prior - covariance.reshape(n_k, n_i, n_k, n_i)[np.arange(n_k), :, np.arange(n_k)]
    terms = zip(derivative, penalty.terms, strict=True)
    return np.array([np.sum(d * learned[term.k]) for d, term in terms]), covariance


def _dense(blocks):
    """A block-diagonal matrix."""
    n_k, n_i, _ = blocks.shape
    full = np.zeros((n_k, n_i, n_k, n_i))
    full[np.arange(n_k), :, np.arange(n_k)] = blocks
    return full.reshape(n_k * n_i, n_k * n_i)


def _apply(blocks, theta):
    """The product of a block-diagonal matrix and θ."""
    return (blocks @ theta.reshape(len(blocks), -1, 1)).ravel()


def _inverse(matrix):
    """Inverse of a positive definite matrix, with a larger diagonal where rounding needs it."""
    diagonal, more = np.diag(matrix).copy(), 0.0
    while True:
        factor, info = lapack.dpotrf(matrix, lower=1)
        if info == 0:
            break
        more = max(10 * more, 1e-12)
        matrix = matrix + more * np.diag(diagonal)
    lower = np.tril(lapack.dpotri(factor, lower=1)[0])
    return lower + np.tril(lower, -1).T
