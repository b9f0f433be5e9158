"""What holds for each of our methods: its errors, the index of its cubes, what it may see."""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import chi2
from support.runs import stack_of

from simbg.axes import Axes, edition2015_axes
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.edition2015 import smoothing_variance
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import METHODS
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.fits import fit_index
from simbg.validation.metrics.poisson import sigmas

# Of each statistical test; seeds were not chosen after looking (ten others pass, too).
FALSE_ALARM = 1e-6
TRUTH = GaussianTruth(index=2.2, event_rate=60.0)


@pytest.mark.parametrize("name", METHODS)
def test_methods_see_observations_and_axes_alone(name):
    assert list(inspect.signature(METHODS[name]().reconstruct).parameters) == [
        "observations",
        "axes",
    ]
    assert {field.name for field in fields(METHODS[name])} == {"executor"}
    seen = {field.name for field in fields(Observation)}
    assert seen == {
        *("obs_id", "load", "livetime", "ontime", "energy_threshold", "ra", "dec", "alt", "az"),
        # Covariates are columns of the table that a user names.
        *("excluded", "store", "covariates"),
    }


@pytest.mark.parametrize("scale", [30.0, 1000.0, 5000.0])
@pytest.mark.parametrize("method", [METHODS[m] for m in ("histogram", "default", "michi")])
def test_standard_errors_are_the_scatter(method, scale):
    """600 replicates: (N − 1) s² / σ² is χ² in each bin, in corners and on edges, too.

    False-alarm rate 1e-6 over all bins; finds an error wrong by 20 % in a single bin.
    """
    axes = Axes([0.5, 1.0, 4.0], np.linspace(-2, 2, 13), np.linspace(-3, 1, 11))
    rng = np.random.default_rng(11)
    # A gradient in each direction, and enough in each bin for a Poisson number to be about normal.
    x, y = np.linspace(0.5, 2, 12)[:, None], np.linspace(1, 3, 10)
    mean = scale * np.array([1.0, 0.6])[:, None, None] * x * y
    number = 600
    rates = [method().estimate(stack_of(rng.poisson(mean), axes)).rate for _ in range(number)]
    stated = method().estimate(stack_of(mean, axes)).rate_error
    ratio = np.var(rates, axis=0, ddof=1) / stated**2
    law = chi2(number - 1)
    alpha = FALSE_ALARM / mean.size / 2
    assert np.all(ratio * (number - 1) > law.ppf(alpha))
    assert np.all(ratio * (number - 1) < law.isf(alpha))
    if method is not Histogram:
        # The control: without reflection a corner would claim the inner bins' variance factor.
        passes = 5 if mean.sum() < 1e5 else 4 if mean.sum() < 1e6 else 3
        inner = smoothing_variance(np.ones((1, 41, 41)), passes)[0, 20, 20]
        corner = smoothing_variance(np.ones((1, 12, 10)), passes)[0, 0, 0]
        assert corner / inner > law.isf(alpha) / law.ppf(alpha)


def fitted_index(energy, low, high):
    """Unbinned maximum likelihood of a power law from low to high: index, standard error.

    ⟨ln E⟩ is sufficient; the information an event holds is the variance of ln E, which tends
    to (Γ − 1)⁻² as the range grows. 1000 bins of ln E are as good as none.
    """
    edges = np.geomspace(low, high, 1001)
    return fit_index(np.histogram(energy, edges)[0], edges)


def power_law_error(index, n_events, low, high):
    """1 / √(N Var[ln E]) of a power law cut off on both sides."""
    k, span = index - 1, np.log(high / low)
    x = k * span
    variance = 1 / k**2 - span**2 * np.exp(-x) / (-np.expm1(-x)) ** 2
    return 1 / np.sqrt(n_events * variance)


def test_error_of_an_index():
    """The formula in use below, for a finite range, tends to (Γ − 1)/√N."""
    assert power_law_error(2.7, 1e4, 0.1, 1e9) == pytest.approx(
        0.017, rel=1e-12
    )  # but for (1e10)^−1.7
    energy = TRUTH.sample(300_000, np.random.default_rng(0))[0]
    _, error = fitted_index(energy, 0.1, 100.0)
    # Of 300,000 events the error itself scatters by some 1/√N = 0.2 %.
    assert error == pytest.approx(power_law_error(2.2, 300_000, 0.1, 100.0), rel=0.01)


def test_events_asked_for_with_1_5_in_2015_have_2_5():
    """2015's index 1.5 is that of counts per ln E; the rate's is 2.5, and so is the sample's.

    One million events: σ = 0.0015; 4.9 σ, false-alarm rate 1e-6, and 650 σ from 1.5.
    """
    truth = replace(SCENARIOS["seed-2015"].truth, normalization="integral")
    assert truth.index == 1.5 + 1
    n_events = 1_000_000
    energy, _, _ = truth.sample(n_events, np.random.default_rng(21))
    index, error = fitted_index(energy, *truth.energy_range)
    assert error == pytest.approx(power_law_error(2.5, n_events, 0.1, 100.0), rel=0.01)
    assert abs(index - 2.5) < sigmas(FALSE_ALARM) * error
    assert abs(index - 1.5) > 600 * error


def test_errors_of_indices_are_their_scatter():
    """100 samples of 20,000: Σ pull² is χ² of 100; false-alarm rate 1e-6."""
    rng = np.random.default_rng(22)
    fits = np.array([fitted_index(TRUTH.sample(20_000, rng)[0], 0.1, 100.0) for _ in range(100)])
    total = np.sum((fits[:, 0] - 2.2) ** 2 / fits[:, 1] ** 2)
    assert chi2(100).ppf(FALSE_ALARM / 2) < total < chi2(100).isf(FALSE_ALARM / 2)


@pytest.mark.parametrize("method", METHODS)
def test_index_of_the_rebuilt_cube(method):
    """Over the field 2.29 and at the centre 2.5 for "center": within errors of the fit.

    False-alarm rate 1e-6 each. Smoothing moves counts off the centre by the same share at all
    energies to a few parts in 1000 only, 0.01 in index: allowed for at the centre.
    """
    truth = replace(SCENARIOS["seed-2015"].truth, event_rate=1000.0)
    rng = np.random.default_rng(23)
    run = Observation.in_memory(
        Events(*truth.sample(rng.poisson(1000.0 * 2000), rng)),
        obs_id=1,
        livetime=2000.0,
        ontime=2400.0,
        energy_threshold=0.1,
    )
    axes = edition2015_axes()
    cube = METHODS[method]().reconstruct([run], axes)
    true = truth.cube(axes)
    center = axes.offset < 1
    for region, allowed in ((np.ones_like(center), 0.002), (center, 0.01)):
        rebuilt, ideal = (
            fit_index((c.event_rate * 2000)[:, region].sum(axis=1), axes.energy)[0]
            for c in (cube, true)
        )
        counts = (true.event_rate * 2000)[:, region].sum(axis=1)
        _, error = fit_index(counts, axes.energy)
        slack = 0 if method == "histogram" else allowed
        assert abs(rebuilt - ideal) < sigmas(FALSE_ALARM) * error + slack
        assert abs(rebuilt - 1.5) > 40 * error
    # The centre's own index is what the scenario is named for.
    assert ideal == pytest.approx(truth.center_index, abs=0.02)
    assert truth.center_index == pytest.approx(2.5)
