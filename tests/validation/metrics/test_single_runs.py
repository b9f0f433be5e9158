"""Models of single runs against other events: null, control, and the size that is calculated."""

import numpy as np
import pytest
from scipy import stats

from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.single_runs import RunCounts, run_values

# A right calculation fails one test in 10⁴ by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
EXPECTED = np.outer(np.linspace(0.5, 1.5, 20), (3000.0, 900.0, 250.0, 80.0, 2.0))


def toy(rng, factor=1.0, model=0.1, norm=0.05):
    """20 runs whose model knows each band to √(model) of Poisson's, and the norm to 5 %."""
    runs = []
    for expected in EXPECTED:
        variance = model * expected
        predicted = np.maximum(rng.normal(expected, np.sqrt(variance)), 1e-3)
        predicted = predicted * rng.normal(1, norm)
        runs.append(RunCounts(rng.poisson(expected * factor), predicted, variance, norm**2))
    return runs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_null_is_normal(seed):
    """300 toys each; rich bands, so χ² of normal numbers holds to the 10 % that 5 σ allow for."""
    rng = np.random.default_rng(seed)
    found = [run_values(toy(rng)) for _ in range(300)]
    for name in ("run_norms", "run_spectra"):
        z = np.array([measures[name].value for measures in found])
        assert abs(z.mean()) * 300**0.5 < 6
        assert 0.85 < z.std() < 1.15
        assert stats.kstest(z, "norm").pvalue > FALSE_ALARM / 10


def test_control_wrong_norms_and_spectra():
    rng = np.random.default_rng(4)
    k = sigmas(FALSE_ALARM)
    norms = run_values(toy(rng, 1.3))
    assert norms["run_norms"].value > k
    assert abs(norms["run_spectra"].value) < k
    tilt = np.array([1.0, 1.1, 1.2, 1.3, 1.4])
    assert run_values(toy(rng, tilt))["run_spectra"].value > k


def test_expected_counts_say_how_large_a_failure_is():
    """Noise-free against the mean of 200 noisy sets: z is of χ², so its mean is near, to 0.5."""
    rng = np.random.default_rng(5)
    tilt = np.array([1.0, 1.1, 1.15, 1.2, 1.2])
    exact = [RunCounts(n * tilt, n, 0 * n) for n in EXPECTED]
    predicted = run_values(exact, noise_free=True)
    noisy = [
        run_values([RunCounts(rng.poisson(n * tilt), n, 0 * n) for n in EXPECTED])
        for _ in range(200)
    ]
    for name in ("run_norms", "run_spectra"):
        mean = np.mean([measures[name].value for measures in noisy])
        assert abs(mean - predicted[name].value) < 0.5


def test_without_noise_and_bias_there_is_nothing():
    exact = [RunCounts(n, n, 0 * n) for n in EXPECTED]
    for measure in run_values(exact, noise_free=True).values():
        assert abs(measure.value) < 0.3
