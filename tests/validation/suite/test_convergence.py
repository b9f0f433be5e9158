"""Loss against exposure: what the fit recovers, and the exponents that theory wants."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.suite import convergence
from simbg.validation.suite.convergence import Convergence

NIGHT = replace(SCENARIOS["night"], n_obs=2)
EXPERIMENT = replace(Experiment.of(NIGHT, 2), seed=4)
EXPOSURES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)


def synthetic(cost, floor, exposures=EXPOSURES, rate=2e4):
    events = rate * np.array(exposures)
    loss = cost + floor * events
    return Convergence("s", "m", exposures, tuple(events), tuple(loss), tuple(0 * loss))


@pytest.mark.parametrize(("cost", "floor"), [(72000, 0), (2500, 1.5e-4), (4, 0), (300, 0.2)])
def test_fit_recovers_cost_and_floor(cost, floor):
    assert_allclose(synthetic(cost, floor).fit, (cost, floor), rtol=1e-9, atol=1e-12 * cost)


def test_fit_of_scattered_losses():
    """2 % of scatter: cost and floor to 5 % and 10 %, about five of their errors."""
    clean = synthetic(2500, 1.5e-4)
    rng = np.random.default_rng(64)
    noisy = replace(clean, loss=tuple(np.array(clean.loss) * (1 + 0.02 * rng.standard_normal(9))))
    cost, floor = noisy.fit
    assert_allclose(cost, 2500, rtol=0.05)
    assert_allclose(floor, 1.5e-4, rtol=0.1)


def test_fit_is_never_negative():
    falling = synthetic(2500, 0)
    falling = replace(falling, loss=tuple(np.geomspace(2600, 2400, 9)))
    assert min(falling.fit) >= 0


def test_exponents():
    """Noise alone −1/2; nothing but a floor 0; both in between."""
    assert_allclose(synthetic(100, 0).exponent, -0.5)
    assert_allclose(synthetic(0, 1e-4).exponent, 0, atol=1e-9)
    assert -0.4 < synthetic(2500, 1.5e-4).exponent < -0.1


def test_hours():
    """p_eff / N + b = accuracy², solved by hand; what lies below the floor takes forever."""
    made = synthetic(2500, 1e-4, rate=2e4)
    assert_allclose(made.hours_for(0.05), 2500 / (0.0025 - 1e-4) / 2e4)
    assert made.hours_for(0.0099) == np.inf
    assert made.hours_for(0.01) == np.inf or made.hours_for(0.01) > 1e9
    assert [made.hours_for(t) for t in made.TARGETS] == sorted(
        made.hours_for(t) for t in made.TARGETS
    )
    assert_allclose(np.interp(made.hours_for(0.05), made.hours, made.accuracy), 0.05, rtol=0.3)


def test_histogram_falls_as_the_root_and_costs_its_bins():
    """E[Q] = 72,000 bins at any exposure, to 5 of its errors: −1/2, and no floor.

    Single counts in bins that expect next to none make the loss at small exposures
    scatter; √Σ(2 + 1/λ)/4 says by how much.
    """
    found = Convergence.of(
        EXPERIMENT, "histogram", METHODS["histogram"](), exposures=(30, 3000, 10000)
    )
    assert_allclose(found.loss, 72_000, rtol=0.05)
    assert_allclose(found.exponent, -0.5, atol=0.01)
    cost, floor = found.fit
    assert_allclose(cost, 72_000, rtol=0.05)
    assert floor * found.events[-1] < 0.05 * 72_000
    assert_allclose(found.hours_for(0.05) * found.events[0] / 30, 72_000 / 0.0025, rtol=0.1)


def test_events_are_proportional_to_hours():
    found = Convergence.of(EXPERIMENT, "histogram", METHODS["histogram"](), exposures=(1, 7))
    assert_allclose(found.events[1] / found.events[0], 7, rtol=1e-9)
    table = EXPERIMENT.runs
    rate = [NIGHT.truth.total_rate(z) for z in table["ZEN_PNT"]]
    total = np.average(rate, weights=table["LIVETIME"]) * 3600
    assert 0.3 * total < found.events[0] < total  # what falls inside the axes


def test_smoothing_has_a_floor(monkeypatch):
    """`default` loses less than the histogram, but its accuracy stops improving."""
    monkeypatch.setattr(convergence, "N_REPLICATES", 2)
    found = Convergence.of(EXPERIMENT, "default", METHODS["default"](), exposures=(100, 10000))
    assert found.loss[0] < 20_000
    assert found.exponent > -0.45
    assert found.fit[1] > 0
    assert found.hours_for(0.5 * np.sqrt(found.fit[1])) == np.inf


def test_results_do_not_depend_on_the_executor():
    job = "histogram", METHODS["histogram"]()
    alone, inline = (
        Convergence.of(EXPERIMENT, *job, executor, exposures=(3, 40))
        for executor in (None, ThreadPoolExecutor(1))
    )
    assert_array_equal(alone.loss, inline.loss)
    assert alone.loss != Convergence.of(replace(EXPERIMENT, seed=5), *job, exposures=(3, 40)).loss


def test_limit_is_that_of_a_fit_of_the_true_parameters():
    """Information of counts on the true parameters, by differences: its rank is their number."""
    axes = Axes.regular(energy=(0.1, 80, 8), fov=(4, 10))
    truth = EXPERIMENT.scenario.truth
    values = {"index": truth.index, "event_rate": truth.event_rate}
    changed = [replace(truth, **{name: value * 1.001}) for name, value in values.items()]
    for name in ("sigma", "peak"):
        for i in (0, 1):
            pair = list(getattr(truth, name))
            pair[i] += 1e-3
            changed.append(replace(truth, **{name: tuple(pair)}))
    expected = truth.integrate(axes)
    slopes = [((t.integrate(axes) - expected) / np.sqrt(expected)).ravel() for t in changed]
    slopes = [slope / np.linalg.norm(slope) for slope in slopes]
    rank = np.linalg.matrix_rank(np.array(slopes), tol=1e-2)
    found = Convergence.of(EXPERIMENT, "histogram", METHODS["histogram"](), exposures=(30, 100))
    assert found.n_parameters == rank
    assert_allclose(found.limit, np.sqrt(rank / np.array(found.events)))
    assert found.limit[0] < found.accuracy[0]
