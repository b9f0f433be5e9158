"""The fit of `spline`: known answers, stationary coefficients and strengths."""

import numpy as np
from numpy.testing import assert_allclose
from support.smooth_fields import expected_counts, field_axes

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.fit import fit, scores
from simbg.reconstruction.spline.penalty import Penalty

AXES = field_axes(8, 12, 10)
BASIS = Basis.of(AXES)
PENALTY = Penalty.of(BASIS)
EXPOSURE = (1e4 * AXES.volume).reshape(8, -1)


def counts_of(n_events, seed=None):
    expected = expected_counts(AXES, n_events, peak=(0.5, -0.4)).reshape(8, -1)
    return expected if seed is None else 1.0 * np.random.default_rng(seed).poisson(expected)


def test_coefficients_are_stationary():
    """The slope of the penalised likelihood vanishes: A θ is the projection of what is left."""
    counts = counts_of(3e4, seed=3)
    fitted = fit(BASIS, PENALTY, counts, EXPOSURE)
    rate = EXPOSURE * fitted.rate(BASIS)
    precision = PENALTY.at(fitted.strength)[0]
    pull = (precision @ fitted.theta.reshape(*BASIS.shape, 1)).ravel()
    slope = BASIS.project(counts - rate) - pull
    # What another Newton step would gain, in units of 2 ln L.
    assert slope @ fitted.covariance @ slope < 0.05
    assert fitted.converged
    assert_allclose(rate.sum(), counts.sum(), rtol=1e-3)


def log_marginal(strength, gram, data):
    """Of a normal model with information ``gram`` and X'Wz = ``data``, up to a constant."""
    precision = block_diagonal(PENALTY.at(strength)[0])
    whole = gram + precision
    volume = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(whole)[1]
    return 0.5 * (volume + data @ np.linalg.solve(whole, data))


def block_diagonal(blocks):
    n = blocks.shape[1]
    full = np.zeros((len(blocks) * n,) * 2)
    for k, block in enumerate(blocks):
        full[k * n : (k + 1) * n, k * n : (k + 1) * n] = block
    return full


def test_scores_are_the_slope_of_the_marginal_likelihood():
    """By finite differences of a dense calculation."""
    rng = np.random.default_rng(4)
    gram = BASIS.gram(counts_of(1e4))
    data = gram @ rng.normal(0, 0.3, len(gram))
    strength = rng.uniform(0, 4, len(PENALTY.terms))
    precision, prior, derivative = PENALTY.at(strength)
    covariance = np.linalg.inv(gram + block_diagonal(precision))
    gradient, information = scores(PENALTY, prior, derivative, covariance, covariance @ data)
    for j, term in enumerate(PENALTY.terms):
        step = 1e-3 * (np.arange(strength.size) == j)
        up, down = (log_marginal(s, gram, data) for s in (strength + step, strength - step))
        assert_allclose(gradient[j], (up - down) / 2e-3, rtol=1e-4, atol=1e-4, err_msg=term.name)
    assert np.linalg.eigvalsh(information).min() > -1e-9 * information.max()


def test_exact_counts_of_the_stiff_model_come_back():
    """A gaussian times a power law, 1e6 events without noise: bias below 0.1 % rms."""
    counts = counts_of(1e6)
    rate = EXPOSURE * fit(BASIS, PENALTY, counts, EXPOSURE).rate(BASIS)
    assert np.sqrt(np.sum((rate - counts) ** 2 / counts) / counts.sum()) < 1e-3


def test_few_parameters_cost_little():
    """Six parameters cost 6 in Σ (m − λ)² / λ on average, and any method that knows less more."""
    expected, lost = counts_of(2e4), []
    for seed in range(5):
        counts = counts_of(2e4, seed=100 + seed)
        rate = EXPOSURE * fit(BASIS, PENALTY, counts, EXPOSURE).rate(BASIS)
        lost.append(np.sum((rate - expected) ** 2 / expected))
    # Bins of raw counts lose 960 each time.
    assert np.mean(lost) < 20


def test_start_from_a_fit_ends_there():
    counts = counts_of(3e4, seed=5)
    first = fit(BASIS, PENALTY, counts, EXPOSURE)
    again = fit(BASIS, PENALTY, counts, EXPOSURE, start=first)
    assert again.n_iterations <= 3
    assert_allclose(again.rate(BASIS), first.rate(BASIS), rtol=2e-3)
