"""The fit of one model to all runs: coefficients, norms of the runs, and strengths of penalties."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from simbg.reconstruction.covariates import most_probable_norms
from simbg.reconstruction.spline.cells import RunStatistics
from simbg.reconstruction.spline.design import Design
from simbg.reconstruction.spline.fit import (
    CONVERGED,
    GROW,
    LARGEST,
    MOST,
    RANGE,
    ROUGHLY,
    SETTLED,
    START,
    STEP,
    Fit,
    apply_blocks,
    dense,
    inverse,
    scores,
    with_prior,
)

__all__ = []

# σ of ln norm at the start, its range, and the largest factor of one step of σ².
START_SIGMA, SIGMAS, SIGMA_STEP = 0.1, (1e-3, 3.0), 4.0
# σ² has converged if it changes by less than this, relative to its error. It is not determined by
# fewer runs than FEWEST.
SIGMA_SETTLED, FEWEST = 0.1, 3


@dataclass(frozen=True, eq=False)
class RunFit:
    """The fitted coefficients, norms and strengths.

    Parameters
    ----------
    constant : float
        Logarithm of the mean rate.
    theta : ndarray, shape (n_coefficients,)
        Coefficients of the design.
    log_norm : ndarray, shape (n_runs,)
        Logarithm of the norm of each run.
    sigma, sigma_error : float
        Standard deviation of the logarithm of norms, and its error.
    covariance, gram : ndarray, shape (n_coefficients, n_coefficients)
        Covariance of θ at the fitted strengths, and the information of the counts, both with free
        norms of the runs.
    strength : tuple of ndarray
        ln λ of the terms of each block.
    information, response : tuple of ndarray
        For each block, as in `simbg.reconstruction.spline.fit.Fit`.
    predicted : ndarray, shape (n_energy, n_pixels)
        Counts of all runs that the model predicts.
    spectra : ndarray, shape (n_runs, n_energy)
        Counts of each run that the model predicts, without its norm.
    n_iterations : int
        Number of Newton steps.
    converged : bool
        Whether the last step increased 2 ln L by less than the limit of convergence.
    """

    constant: float
    theta: np.ndarray
    log_norm: np.ndarray
    sigma: float
    sigma_error: float
    covariance: np.ndarray
    gram: np.ndarray
    strength: tuple[np.ndarray, ...]
    information: tuple[np.ndarray, ...]
    response: tuple[np.ndarray, ...]
    predicted: np.ndarray
    spectra: np.ndarray
    n_iterations: int
    converged: bool

    @property
    def n_effective(self) -> float:
        """Effective parameters, without the norms of runs."""
        return float(np.sum(self.gram * self.covariance))


def fit_all_runs(
    design: Design,
    runs: RunStatistics,
    offset: np.ndarray,
    values: np.ndarray,
    seconds: np.ndarray,
    per_second: np.ndarray,
    start: Fit | RunFit,
) -> RunFit:
    """Fit one model to all runs.

    Parameters
    ----------
    design : Design
        The functions and their penalties.
    runs : RunStatistics
        Counts and exposures of the runs.
    offset : ndarray, shape (n_runs, n_z)
        Functions of the zenith angle of each run, minus those of its cell.
    values : ndarray, shape (n_runs, n_covariates)
        Functions of other covariates of each run.
    seconds : ndarray, shape (n_runs, n_energy)
        Livetime of each run and energy, without masks.
    per_second : ndarray, shape (n_energy, n_pixels)
        Counts per second in a bin for a rate of 1.
    start : Fit or RunFit
        A fit to the sum of all runs, or an earlier result, as the start value.

    Returns
    -------
    RunFit
        The result, also if the fit has not converged.

    Notes
    -----
    Events of run r in a bin have the expectation t_r R exp(ν_r), with the exposure t_r, the rate R
    of the model and a normal ν_r of variance σ². For given θ the most probable ν_r is the zero of
    N_r − P_r exp(ν_r) − ν_r / σ², where N_r and P_r are observed counts, and those predicted for a
    norm of 1. Newton steps in θ maximise the penalised likelihood with these ν_r: with the counts
    M_r that the model predicts, and u_r = Σ μ x over the bins of the run, the information is
    X'WX − Σ_r u_r u_r' / (M_r + 1 / σ²), the Schur complement of the norms. For u_r the image of a
    run is the mean one of its cell; the gradient is exact. The image of a run is that at the mean
    zenith angle of its cell; its spectrum is that at its own zenith angle. σ² follows the score of
    its marginal likelihood, Σ_r (ν_r² + var ν_r − σ²) / 2σ⁴, where var ν_r contains the error of θ.
    Strengths change as in `simbg.reconstruction.spline.fit.fit`.
    """
    problem = _Problem(design, runs, offset, values, seconds, per_second * np.exp(start.constant))
    theta, strength, sigma = _start(design, start)
    state = problem.state(theta, sigma)
    steps = [_Strengths(block.penalty) for block in design.all_blocks]
    n_iterations = 0
    while n_iterations < MOST:
        n_iterations += 1
        priors = [b.penalty.at(s) for b, s in zip(design.all_blocks, strength, strict=True)]
        precisions = [prior[0] for prior in priors]
        gram, means = problem.gram(state, sigma)
        covariance = inverse(gram + joined(precisions))
        state, gain = problem.step(state, sigma, precisions, covariance)
        if gain > ROUGHLY and n_iterations < MOST:
            continue
        sigma_step = problem.sigma_step(state, sigma, covariance, means)
        done = gain < CONVERGED and sigma_step.settled
        parts = zip(steps, priors, strength, design.parts, strict=True)
        for step, prior, strengths, part in parts:
            step.update(prior, strengths, covariance[part, part], state.theta[part])
            done &= step.settled
        if done:
            break
        sigma = sigma_step.sigma
        strength = [np.clip(s + c.change, *RANGE) for s, c in zip(strength, steps, strict=True)]
    response = tuple(
        _response(block.penalty, prior[2], covariance[part], state.theta[part])
        for block, prior, part in zip(design.all_blocks, priors, design.parts, strict=True)
    )
    return RunFit(
        start.constant,
        state.theta,
        state.log_norm,
        sigma,
        sigma_step.error,
        covariance,
        gram,
        tuple(strength),
        tuple(step.information for step in steps),
        response,
        (state.exposure * state.rate).sum(axis=1),
        state.predicted * np.exp(-state.log_norm)[:, None],
        n_iterations,
        bool(gain < CONVERGED),
    )


def joined(precisions: list[np.ndarray]) -> np.ndarray:
    """The matrix of all blocks on its diagonal."""
    return block_diag(*map(dense, precisions))


def _start(design, start):
    """Coefficients, strengths and σ at the start."""
    strength, sigma = [start.strength], START_SIGMA
    if isinstance(start, RunFit):
        strength, sigma = list(start.strength), start.sigma
    theta = np.zeros(sum(block.size for block in design.all_blocks))
    theta[: start.theta.size] = start.theta
    others = design.all_blocks[len(strength) :]
    return theta, strength + [np.full(len(b.penalty.terms), START) for b in others], sigma


def _response(penalty, derivative, covariance, theta):
    """∂θ / ∂ln λ = −V A_j θ for each strength of a block, shape (n_terms, n_coefficients)."""
    theta = theta.reshape(penalty.fixed.shape)
    force = np.zeros((len(penalty.terms), *theta.shape))
    for row, term, d in zip(force, penalty.terms, derivative, strict=True):
        row[term.k] = (d @ theta[term.k, :, None])[..., 0]
    return -force.reshape(len(force), theta.size) @ covariance


class _Strengths:
    """Steps of the strengths of one block, as in `simbg.reconstruction.spline.fit.fit`."""

    def __init__(self, penalty):
        self.penalty = penalty
        self.largest, self.change = (np.full(len(penalty.terms), s) for s in (STEP, 0.0))
        self.settled, self.information = False, np.eye(len(penalty.terms))

    def update(self, prior, strength, covariance, theta):
        gradient, information = scores(self.penalty, prior[1], prior[2], covariance, theta)
        gradient, information = with_prior(self.penalty, strength, gradient, information, True)
        change = np.linalg.solve(information, gradient)
        self.settled, self.information = bool(gradient @ change < SETTLED), information
        turned = change * self.change < 0
        self.largest = np.where(turned, self.largest / 2, np.minimum(STEP, GROW * self.largest))
        self.change = np.clip(change, -self.largest, self.largest)


@dataclass(frozen=True, eq=False)
class _State:
    """Coefficients, norms, rates per second, exposures, and predicted counts of runs."""

    theta: np.ndarray
    log_norm: np.ndarray
    log_rate: np.ndarray
    of_runs: np.ndarray
    rate: np.ndarray
    exposure: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class _Sigma:
    """The next σ, the error of σ, and whether it has converged."""

    sigma: float
    error: float
    settled: bool


@dataclass(frozen=True, eq=False)
class _Problem:
    """Counts of runs, and what a design predicts for them."""

    design: Design
    runs: RunStatistics
    offset: np.ndarray
    values: np.ndarray
    seconds: np.ndarray
    per_second: np.ndarray

    def state(self, theta, sigma):
        """Rates and the most probable norms for given coefficients."""
        log_rate = np.clip(self.design.log_rate(theta), -LARGEST, LARGEST)
        rate = self.per_second[:, None] * np.exp(log_rate)
        of_runs = self.design.of_runs(theta, self.offset, self.values)
        predicted = self.seconds * np.exp(of_runs) * self.runs.spectrum(rate)
        observed = self.runs.spectra.sum(axis=1)
        log_norm = most_probable_norms(observed, predicted.sum(axis=1), sigma)
        exposure = self.runs.exposure(self.seconds * np.exp(of_runs + log_norm[:, None]))
        predicted = predicted * np.exp(log_norm[:, None])
        return _State(theta, log_norm, log_rate, of_runs, rate, exposure, predicted)

    def objective(self, state, sigma, precisions):
        """Penalised log-likelihood, without terms that do not depend on θ."""
        value = np.sum(self.runs.counts * state.log_rate)
        value += np.sum(self.runs.spectra * (state.of_runs + state.log_norm[:, None]))
        value -= np.sum(state.predicted) + 0.5 * np.sum(state.log_norm**2) / sigma**2
        return value - 0.5 * state.theta @ self._pull(state.theta, precisions)

    def step(self, state, sigma, precisions, covariance):
        """The state after a Newton step, and the expected increase of 2 ln L by a full step."""
        slope = self._slope(state) - self._pull(state.theta, precisions)
        change = covariance @ slope
        gain = float(slope @ change)
        least = self.objective(state, sigma, precisions)
        least -= 1e-12 * abs(least)
        for _ in range(30):
            new = self.state(state.theta + change, sigma)
            if self.objective(new, sigma, precisions) >= least:
                break
            change = change / 2
        return new, gain

    def gram(self, state, sigma):
        """Information of the coefficients with free norms, and functions in the mean of cells."""
        design, weight = self.design, state.exposure * state.rate
        number, gram = design.n_smooth, self._gram_of_covariates(state)
        gram[:number, :number] = design.gram(weight)
        means = [design.means(weight[:, cell], cell) for cell in range(weight.shape[1])]
        variance = 1 / (state.predicted.sum(axis=1) + sigma**-2)
        slopes = self._covariate_slopes(state)
        for cell, mean in enumerate(means):
            mine = self.runs.cell == cell
            predicted, slope, v = state.predicted[mine], slopes[mine], variance[mine][:, None]
            gram[:number, :number] -= mean.T @ (predicted.T @ (v * predicted)) @ mean
            if design.covariates is not None:
                energy = design.basis.energy[:, : design.covariates.shape[1]]
                both = np.einsum("re,rq,ei->eqi", predicted, self.values[mine], energy)
                both = both.reshape(len(mean), -1) - predicted.T @ (v * slope)
                gram[:number, number:] += mean.T @ both
                gram[number:, number:] -= slope.T @ (v * slope)
        gram[number:, :number] = gram[:number, number:].T
        return gram, means

    def sigma_step(self, state, sigma, covariance, means):
        """The next σ of ln norm; see `fit_all_runs`."""
        number, total = self.design.n_smooth, state.predicted.sum(axis=1)
        slopes, of_theta = self._covariate_slopes(state), np.zeros(total.size)
        smooth, both, others = (
            covariance[:number, :number],
            covariance[:number, number:],
            covariance[number:, number:],
        )
        for cell, mean in enumerate(means):
            mine = self.runs.cell == cell
            predicted, slope = state.predicted[mine], slopes[mine]
            variance = np.sum(predicted @ (mean @ smooth @ mean.T) * predicted, axis=1)
            variance += 2 * np.sum(predicted @ (mean @ both) * slope, axis=1)
            of_theta[mine] = variance + np.sum(slope @ others * slope, axis=1)
        shrink = 1 / (1 + sigma**2 * total)
        gradient = np.sum((state.log_norm / sigma**2) ** 2 - total * shrink + of_theta * shrink**2)
        information = np.sum((total * shrink) ** 2)
        if total.size < FEWEST or not information:
            return _Sigma(sigma, np.inf, True)
        change = np.clip(gradient / information, -0.75 * sigma**2, 3 * sigma**2)
        new = float(np.clip(np.sqrt(sigma**2 + change), *SIGMAS))
        error = 1 / np.sqrt(0.5 * information)
        settled = abs(new**2 - sigma**2) < SIGMA_SETTLED * error
        return _Sigma(new, float(error / (2 * new)), bool(settled))

    def _slope(self, state):
        """Derivative of the likelihood by θ."""
        slope = self.design.project_runs(
            self.runs.spectra - state.predicted, self.offset, self.values
        )
        cells = self.design.project(self.runs.counts - state.exposure * state.rate)
        slope[: cells.size] += cells
        return slope

    def _covariate_slopes(self, state):
        """Σ over the bins of a run of counts times functions, (n_runs, n_coefficients)."""
        if self.design.covariates is None:
            return np.zeros((len(state.predicted), 0))
        energy = self.design.basis.energy[:, : self.design.covariates.shape[1]]
        slopes = np.einsum("rq,re,ei->rqi", self.values, state.predicted, energy)
        return slopes.reshape(len(slopes), -1)

    def _gram_of_covariates(self, state):
        number = sum(block.size for block in self.design.all_blocks)
        gram = np.zeros((number, number))
        if self.design.covariates is not None:
            energy = self.design.basis.energy[:, : self.design.covariates.shape[1]]
            pairs = np.einsum("rq,rs,re->qse", self.values, self.values, state.predicted)
            block = np.einsum("qse,ei,ej->qisj", pairs, energy, energy)
            size = self.design.covariates.size
            gram[-size:, -size:] = block.reshape(size, size)
        return gram

    def _pull(self, theta, precisions):
        parts = zip(precisions, self.design.parts, strict=True)
        return np.concatenate([apply_blocks(p, theta[part]) for p, part in parts])
