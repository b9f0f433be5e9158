"""`spline` as a user meets it: cubes, errors, hidden bins, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.runs import blob_runs
from support.smooth_fields import expected_counts, field_axes, stack_with

from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.spline.method import Spline

AXES = field_axes(8, 12, 10)


def draw(n_events, seed, axes=AXES, livetime=1e4, **shape):
    expected = expected_counts(axes, n_events, **shape) * np.sign(livetime)
    return stack_with(axes, np.random.default_rng(seed).poisson(expected), livetime)


def test_found_by_name_and_keeps_the_contract():
    method = find_method("spline")
    runs = list(blob_runs(2000))
    cube = reconstruct(method, runs, AXES)
    assert (cube.rate > 0).all()
    assert (cube.rate_error > 0).all()
    predicted = (cube.rate * cube.livetime * AXES.volume).sum()
    assert_allclose(predicted, cube.counts.sum(), rtol=0.01)


def test_same_bytes_each_time():
    first, again = (Spline().estimate(draw(1e4, seed=1)) for _ in range(2))
    assert_array_equal(first.rate, again.rate)
    assert_array_equal(first.rate_error, again.rate_error)


def test_same_bytes_for_any_number_of_workers():
    runs = list(blob_runs(2000))
    alone = Spline().reconstruct(runs, AXES)
    with ThreadPoolExecutor(3) as executor:
        together = Spline(executor).reconstruct(runs, AXES)
    assert_array_equal(alone.rate, together.rate)
    assert_array_equal(alone.rate_error, together.rate_error)


def test_error_of_a_sum_is_that_of_a_dense_calculation():
    model = Spline().model(draw(1e4, seed=2, axes=field_axes(3, 4, 5)))
    basis, rate = model.errors.basis, model.cube.rate
    whole = np.einsum("pk,ei->epki", basis.space, basis.energy).reshape(rate.size, -1)
    covariance = whole @ model.errors.covariance @ whole.T * np.outer(rate, rate)
    variance = np.diag(whole @ model.errors.covariance @ whole.T)
    log_normal = np.sqrt(np.exp(variance) * (np.exp(variance) - 1))
    assert_allclose((model.cube.rate_error / rate).ravel(), log_normal, rtol=1e-8)
    weight = np.random.default_rng(0).random(rate.shape)
    expected = np.sqrt(weight.ravel() @ covariance @ weight.ravel())
    assert_allclose(model.cube.error_of_sum(weight), expected, rtol=1e-8)
    factor = model.errors.factor
    assert_allclose(factor @ factor.T, model.errors.covariance, atol=1e-9 * np.abs(factor).max())


def test_errors_cover():
    """68 % and 95 % of bins, in the mean of 40 draws.

    Bins of a draw share some ten parameters, so that a draw scatters by 0.15 and 0.06, the
    mean by 0.024 and 0.01. The truth is the stiff model: errors that allow for other shapes are
    larger than it needs.
    """
    axes = field_axes(5, 7, 6)
    expected, inside = expected_counts(axes, 2e4, peak=(0.5, -0.4)), []
    for seed in range(40):
        cube = Spline().estimate(draw(2e4, 1000 + seed, axes, peak=(0.5, -0.4)))
        error = cube.rate_error * cube.livetime * axes.volume
        pull = np.abs(cube.rate * cube.livetime * axes.volume - expected) / error
        inside.append([(pull[expected > 1] < limit).mean() for limit in (1, 1.96)])
    low, high = np.mean(inside, axis=0)
    assert 0.62 < low < 0.88
    assert high > 0.92


@pytest.mark.parametrize(
    "hidden",
    [np.s_[:, :6], np.s_[:, 4:8, 3:7], np.s_[:2], np.s_[-3:]],
    ids=["half", "centre", "low energies", "high energies"],
)
def test_hidden_bins_are_predicted_and_marked(hidden):
    livetime = np.full(AXES.shape, 1e4)
    livetime[hidden] = 0
    model = Spline().model(draw(1e5, 3, livetime=livetime))
    assert_array_equal(model.cube.extrapolated, livetime == 0)
    both = (model, Spline().model(draw(1e5, 3)))
    error, seen = (m.errors.of_log_rate.reshape(AXES.shape) for m in both)
    assert (error / seen)[model.cube.extrapolated].mean() > 1.1
    true = expected_counts(AXES, 1e5) / (1e4 * AXES.volume)
    pull = (np.log(model.cube.rate / true) / error)[model.cube.extrapolated]
    # All hidden bins share few parameters: 4 σ of one of them.
    assert np.sqrt(np.mean(pull**2)) < 4
    assert model.cube.meta["N_EXTRAP"] == np.count_nonzero(livetime == 0)


GUARDS = {
    "no events": ((8, 12, 10), lambda n, rng: np.zeros(n)),
    "one pixel": ((8, 1, 1), lambda n, rng: rng.poisson(9.0, n)),
    "one energy": ((1, 9, 8), lambda n, rng: rng.poisson(9.0, n)),
    "one bin": ((1, 1, 1), lambda n, rng: np.full(n, 7.0)),
    "few bins": ((2, 3, 3), lambda n, rng: rng.poisson(3.0, n)),
    "one event": ((8, 12, 10), lambda n, rng: np.arange(np.prod(n)).reshape(n) == 100),
    "one corner": ((8, 12, 10), lambda n, rng: 1e5 * (np.arange(np.prod(n)).reshape(n) == 0)),
    "one bin of many": (
        (8, 12, 10),
        lambda n, rng: 1e3 * (np.arange(np.prod(n)).reshape(n) == 500),
    ),
}


@pytest.mark.parametrize("name", GUARDS)
def test_odd_counts_give_finite_rates(name):
    shape, counts = GUARDS[name]
    stack = stack_with(field_axes(*shape), counts(shape, np.random.default_rng(0)))
    cube = Spline().estimate(stack)
    assert (np.isfinite(cube.rate) & (cube.rate > 0)).all()
    assert np.isfinite(cube.rate_error).all()
    assert cube.meta["CONVERGE"]
    assert cube.meta["N_ITER"] <= 60
    predicted = (cube.rate * cube.livetime * stack.axes.volume).sum()
    assert abs(predicted - stack.counts.sum()) < 0.1 + 0.1 * stack.counts.sum()


def test_what_does_not_converge_warns(caplog):
    """Neighbours that differ by up to 14 decades."""
    counts = np.floor(10 ** np.random.default_rng(1).uniform(-2, 12, AXES.shape))
    cube = Spline().estimate(stack_with(AXES, counts))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(cube.meta["N_ITER"]) in record.message
    assert "\n" not in record.message
    assert not cube.meta["CONVERGE"]
    assert cube.meta["N_ITER"] == 60
    assert (np.isfinite(cube.rate) & (cube.rate > 0) & np.isfinite(cube.rate_error)).all()


def test_few_events_warn(caplog):
    stack = draw(1e4, 5)
    Spline().estimate(stack)
    assert not caplog.records
    some = np.zeros(AXES.shape)
    some[2, 4, 3:6] = 1
    Spline().estimate(stack.with_counts(some))
    (record,) = caplog.records
    assert "3 events" in record.message


def test_diagnostics_name_the_energies_without_exposure():
    livetime = np.full(AXES.shape, 1e4)
    livetime[[0, 1, -1]] = 0
    cube = Spline().estimate(draw(1e4, 6, livetime=livetime))
    low, first, last, high = AXES.energy[[0, 2, -2, -1]]
    assert cube.meta["E_EXTRAP"] == f"{low:.3g}-{first:.3g}, {last:.3g}-{high:.3g} TeV"
    for text in (cube.meta["E_EXTRAP"], str(cube.meta["N_EFF"]), str(cube.meta["N_ITER"])):
        assert text in cube.meta["FIT"]
    assert "E_EXTRAP" not in Spline().estimate(draw(1e4, 6)).meta


@pytest.mark.parametrize("index", [6.4, -6.4])
def test_many_decades_of_rate(index):
    """A spectrum over 38 decades: counts of the bins that have some come back."""
    axes = field_axes(20, 6, 5)
    axes = type(axes)(np.geomspace(1e-3, 1e3, 21), axes.fov_lon, axes.fov_lat)
    stack = draw(1e7, 4, axes, index=index)
    cube = Spline().estimate(stack)
    predicted = cube.rate * cube.livetime * axes.volume
    assert_allclose(
        predicted.sum(axis=(1, 2))[stack.counts.sum(axis=(1, 2)) > 1e5].sum(), 1e7, rtol=0.01
    )
    assert np.isfinite(np.log(cube.rate)).all()


def test_the_centre_of_the_field_may_lie_anywhere():
    here, there = (
        Spline().estimate(draw(1e4, 5, field_axes(6, 8, 7, center), peak=center))
        for center in ((0.0, 0.0), (40.0, 0.0))
    )
    assert_allclose(there.rate, here.rate, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
@pytest.mark.parametrize("what", ["counts", "livetime"])
def test_nonsense_is_refused(bad, what):
    arrays = {"counts": np.ones(AXES.shape), "livetime": np.ones(AXES.shape)}
    arrays[what][0, 0, 0] = bad
    with pytest.raises(ValueError, match=f"spline.*{what}"):
        Spline().estimate(stack_with(AXES, **arrays))


def test_no_exposure_is_refused():
    with pytest.raises(ValueError, match="exposure"):
        Spline().estimate(stack_with(AXES, np.zeros(AXES.shape), 0.0))
