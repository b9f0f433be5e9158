"""Models between zenith angles and norms of runs, against lines, loops and the truth."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, norm

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.models.per_run import model_of_run
from simbg.observations.observation import MJDREF, Events, Observation
from simbg.reconstruction.zenith import (
    ZenithModel,
    fit_norm,
    predict,
    zenith_models,
)
from simbg.simulation.simulate import named_rng
from simbg.sky.pointing import Site, Tracking
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth

# A right norm fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
AXES = Axes([0.1, 0.3, 1.0, 4.0, 20.0], np.linspace(-3, 2, 6), np.linspace(-1, 4, 8))
# Groups in no order; energy 0 is seen near the zenith only.
ZENITHS = (35.0, 12.0, 55.0, 48.0)
NONE = Events(*np.empty((3, 0)))


def line(zenith):
    """A rate linear in cos(zenith), of which no two bins have the same slope."""
    number = np.arange(np.prod(AXES.shape), dtype=float).reshape(AXES.shape)
    return 1e-6 * (2 + number) + 3e-6 * (number - 70) / 70 * np.cos(np.deg2rad(zenith))


def run_at(zenith, livetime=1000.0, threshold=0.0, events=NONE, obs_id=1, **kwargs):
    return Observation.in_memory(
        events,
        obs_id=obs_id,
        livetime=livetime,
        ontime=1.1 * livetime,
        energy_threshold=threshold,
        alt=90 - zenith,
        **kwargs,
    )


def model(zeniths=ZENITHS, rate=line, thresholds=(0, 0, 0.3, 0.3)):
    """One run a group; a rate is unknown below its threshold, and in one pixel of one group."""
    cubes, groups = [], []
    for zenith, threshold in zip(zeniths, thresholds, strict=False):
        values = rate(zenith)
        values[: np.searchsorted(AXES.energy, threshold * 0.999)] = np.nan
        if zenith == 35:
            values[2, 1, 4] = np.nan
        cubes.append(BackgroundCube(AXES, values, rate_error=0.1 * values))
        groups.append([run_at(zenith, threshold=threshold)])
    return ZenithModel.of_groups(cubes, groups)


@pytest.mark.parametrize("zenith", [12.0, 12.01, 20.0, 35.0, 41.3, 48.0, 51.9, 55.0])
def test_a_line_in_cos_zenith_comes_back(zenith):
    cube = model().at(zenith)
    # A weighted mean of two, once more rounded in their cosines.
    assert_allclose(cube.rate[1:], line(zenith)[1:], rtol=1e-12)
    assert cube.clock == "livetime"
    assert cube.meta["ZENITH"] == zenith
    if zenith <= 35:
        assert_allclose(cube.rate[0], line(zenith)[0], rtol=1e-12)


@pytest.mark.parametrize(("zenith", "nearest"), [(0.0, 12), (11.9, 12), (55.1, 55), (80.0, 55)])
def test_outside_the_nearest_group_holds(zenith, nearest):
    cube = model().at(zenith)
    assert_allclose(cube.rate[1:], line(nearest)[1:], rtol=1e-15)
    assert_allclose(cube.rate_error[1:], 0.1 * line(nearest)[1:], rtol=1e-15)


def test_an_energy_or_a_bin_has_the_groups_that_know_it():
    for zenith in (40.0, 50.0, 80.0):
        # Energy 0 is known up to 35 deg.
        assert_allclose(model().at(zenith).rate[0], line(35)[0], rtol=1e-15)
    # One pixel skips the group at 35 deg: from 12 to 48 it is a line, too.
    exact = model().at(30.0)
    assert_allclose(exact.rate[2], line(30.0)[2], rtol=1e-12)

    def steep(zenith):
        return line(zenith) / np.cos(np.deg2rad(zenith)) ** 4

    # The control: with another law the two ways differ.
    curved = model(rate=steep).at(30.0).rate
    whole = model(rate=steep, zeniths=(35.0001, 12.0, 55.0, 48.0))
    differs = np.abs(curved / whole.at(30.0).rate - 1) > 1e-3
    assert np.argwhere(differs).tolist() == [[2, 1, 4]]


def test_nothing_known_is_nan():
    cube = model(thresholds=(0.3, 0.3, 0.3, 0.3)).at(40.0)
    assert np.isnan(cube.rate[0]).all()
    assert np.isnan(cube.rate_error[0]).all()
    assert np.isfinite(cube.rate[1:]).all()
    assert np.isfinite(cube.rate_error[1:]).all()


def test_groups_may_come_in_any_order():
    for zenith in (5.0, 30.0, 50.0, 70.0):
        found = [
            model(zeniths=order, thresholds=[0 if z < 40 else 0.3 for z in order]).at(zenith)
            for order in permutations(ZENITHS)
        ]
        for cube in found[1:]:
            assert_array_equal(cube.rate, found[0].rate)
            assert_array_equal(cube.rate_error, found[0].rate_error)


def test_interpolation_is_never_negative_nor_outside_of_its_neighbours():
    rng = np.random.default_rng(2)
    rates = {
        zenith: rng.exponential(1, AXES.shape) * (rng.random(AXES.shape) > 0.4)
        for zenith in ZENITHS
    }
    made = model(rate=lambda zenith: rates[zenith].copy(), thresholds=(0, 0, 0, 0))
    both = np.array([rates[zenith] for zenith in (12.0, 48.0)])
    for zenith in np.linspace(0, 89, 60):
        rate = made.at(zenith).rate
        assert rate.min() >= 0
        if 12 <= zenith <= 35:
            low, high = np.sort([rates[12.0], rates[35.0]], axis=0)
            pixel = np.ones(AXES.shape, bool)
            pixel[2, 1, 4] = False
            assert np.all((rate >= low * (1 - 1e-12)) & (rate <= high * (1 + 1e-12)) | ~pixel)
            assert both[:, 2, 1, 4].min() <= rate[2, 1, 4] <= both[:, 2, 1, 4].max()


def test_errors_are_those_of_a_weighted_mean():
    cube = model().at(42.0)
    cosines = np.cos(np.deg2rad([42.0, 35.0, 48.0]))
    share = (cosines[0] - cosines[2]) / (cosines[1] - cosines[2])
    expected = 0.1 * np.hypot(share * line(35)[1], (1 - share) * line(48)[1])
    assert_allclose(cube.rate_error[1], expected, rtol=1e-12)
    bare = ZenithModel(
        tuple(replace(each, rate_error=None) for each in model().cubes), model().cosines
    )
    assert bare.at(42.0).rate_error is None


def test_cosines_are_means_of_the_runs_that_expose_an_energy():
    groups = [
        [run_at(20, 1000.0), run_at(40, 3000.0, 0.3), run_at(60, 500.0, 5.0)],
        [run_at(50, threshold=30.0)],
    ]
    cubes = [BackgroundCube(AXES, line(30))] * 2
    found = ZenithModel.of_groups(cubes, groups).cosines
    cos = np.cos(np.deg2rad([20, 40, 60]))
    two = (1000 * cos[0] + 3000 * cos[1]) / 4000
    # 5 TeV lies inside of the last bin, which the run exposes in part.
    three = (1000 * cos[0] + 3000 * cos[1] + 500 * cos[2]) / 4500
    assert_allclose(found[0], [cos[0], two, two, three], rtol=1e-14)
    assert np.isnan(found[1]).all()


def test_cubes_per_ontime_are_converted():
    livetime, ontime = (np.full(AXES.shape, seconds) for seconds in (900.0, 1200.0))
    cube = BackgroundCube(AXES, line(30), livetime=livetime, ontime=ontime).per("ontime")
    made = ZenithModel.of_groups([cube], [[run_at(30)]])
    assert_allclose(made.at(10).rate, line(30), rtol=1e-14)


def test_each_bin_in_azimuth_has_its_own_model():
    """GROUP_ID counts azimuths fastest; a bin in azimuth may lack altitudes."""
    zeniths = {0: 60.0, 1: 62.0, 2: 40.0, 5: 20.0}
    cubes = {g: BackgroundCube(AXES, (1 + g % 2) * line(z)) for g, z in zeniths.items()}
    groups = {g: [run_at(z)] for g, z in zeniths.items()}
    found = zenith_models(cubes, groups, 2)
    assert sorted(found) == [0, 1]
    assert_allclose(found[0].at(50).rate, line(50), rtol=1e-12)
    assert_allclose(found[1].at(50).rate, 2 * line(50), rtol=1e-12)
    (one,) = zenith_models(cubes, groups).values()
    assert len(one.cubes) == 4


def test_models_that_do_not_fit():
    cube = BackgroundCube(AXES, line(30))
    with pytest.raises(ValueError, match="zenith model: got 0 cubes"):
        ZenithModel((), np.ones((0, 4)))
    with pytest.raises(ValueError, match=r"cosines of shape \(1, 3\), expected"):
        ZenithModel((cube,), np.ones((1, 3)))
    axes = replace(AXES, fov_lon=AXES.fov_lon + 0.1)
    with pytest.raises(ValueError, match="expected the same axes"):
        ZenithModel((cube, BackgroundCube(axes, line(30))), np.ones((2, 4)))


# Norms.

# So bright that no run is left without events above 1 TeV, whose norm would be no estimate.
TRUTH = GaussianTruth(event_rate=8.0, peak=(0.4, -0.3))


def drawn(number, zenith=30.0, factor=1.0, threshold=0.0, seed=5):
    columns = TRUTH.draw(factor * 1000.0, zenith, named_rng(seed, "zenith test", number))
    keep = columns[0] >= threshold
    events = Events(*(column[keep] for column in columns))
    return run_at(zenith, 1000.0, threshold, events, number)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_norms_are_unbiased_and_their_errors_are_right(threshold):
    """χ² of 300 runs, whose factors differ, and their mean."""
    cube = TRUTH.cube(AXES, 30.0)
    factors = np.exp(np.random.default_rng(1).normal(0, 0.2, 300))
    norms = [fit_norm(cube, drawn(n, 30.0, f, threshold)) for n, f in enumerate(factors)]
    values, errors = (np.array([getattr(n, key) for n in norms]) for key in ("value", "error"))
    # By the expected errors: those from counts go with them, so that weights would be biased.
    first = int(np.searchsorted(AXES.energy, threshold))
    predicted = 1000 * TRUTH.integrate(AXES, 30.0)[first:].sum()
    assert_allclose([n.predicted for n in norms], predicted, rtol=1e-10)
    pulls = (values - factors) / np.sqrt(factors / predicted)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 300)
    assert low < np.sum(pulls**2) < high
    assert abs(pulls.sum()) / np.sqrt(300) < norm.isf(FALSE_ALARM / 2)
    assert_allclose(errors, np.sqrt(values / predicted), rtol=1e-10)


def test_the_threshold_bin_takes_no_part_in_a_norm():
    """Its prediction is for the whole bin and its events are of a part: it takes no part."""
    cube, run = TRUTH.cube(AXES, 30.0), drawn(1, threshold=0.2)
    first = np.isfinite(predict(cube, run)).any(axis=(1, 2))
    assert first.tolist() == [False, True, True, True]


@pytest.mark.parametrize("where", ["none", "outside", "below"])
def test_run_without_events_keeps_its_norm(where):
    n = {"none": 0, "outside": 4, "below": 4}[where]
    energy = np.full(n, 0.05 if where == "below" else 1.0)
    events = Events(energy, np.full(n, 30.0 if where == "outside" else 0.0), np.zeros(n))
    found = fit_norm(TRUTH.cube(AXES), run_at(20, events=events))
    assert (found.value, found.error, found.n_events) == (1.0, np.inf, 0)
    assert found.predicted > 100


def test_run_of_which_nothing_is_predicted_keeps_its_norm():
    run = run_at(20, threshold=50.0, events=Events(*np.array([[60.0], [0.0], [0.0]])))
    found = fit_norm(TRUTH.cube(AXES), run)
    assert (found.value, found.error, found.predicted) == (1.0, np.inf, 0.0)
    unknown = BackgroundCube(AXES, np.full(AXES.shape, np.nan))
    assert fit_norm(unknown, drawn(0)).value == 1.0


def test_prediction_outside_of_masks():
    """Wholly masked pixels predict nothing, and their events do not count."""
    site = Site(16.5, -23.27, 1835.0)
    pointing = Tracking(83.6, -45.0, site, MJDREF)
    gti = np.array([[1.0e8, 1.0e8 + 1800]])
    axes = Axes([0.1, 1, 20], np.linspace(-2, 2, 9), np.linspace(-1.5, 2, 8))
    rng = np.random.default_rng(3)
    energy, lon, lat = TRUTH.sample(5000, rng)
    events = Events(energy, lon, lat, rng.uniform(*gti[0], energy.size), gti=gti, pointing=pointing)
    masks = (circle(83.6, -44.5, 0.9),)
    run = run_at(30, 1800.0, events=events, ra=83.6, dec=-45.0, excluded=masks)
    cube = TRUTH.cube(axes, 30.0)
    plain = predict(cube, replace(run, excluded=()))
    masked = predict(cube, run)
    gone = np.isnan(masked).all(axis=0)
    assert gone.any()
    assert_array_equal(np.isnan(masked).any(axis=0), gone)
    share = np.nan_to_num(masked) / plain
    assert share.max() <= 1 + 1e-12
    # A disc in a field of 14 square deg.
    lost = np.sum((1 - share[0]) * axes.solid_angle) / np.deg2rad(1) ** 2
    assert lost == pytest.approx(np.pi * 0.9**2, rel=0.01)
    counts = axes.fill(*(getattr(run.events(), name) for name in ("energy", "fov_lon", "fov_lat")))
    assert fit_norm(cube, run).n_events == counts[:, ~gone].sum() < len(events)


def test_model_of_a_run_has_its_norm_and_its_dead_time():
    truth_of = {zenith: TRUTH.cube(AXES, zenith) for zenith in (12.0, 55.0)}
    made = ZenithModel.of_groups(list(truth_of.values()), [[run_at(z)] for z in truth_of])
    run = drawn(1, 30.0, 1.3, threshold=0.5)
    cube, found = model_of_run(made, run)
    at_zenith = made.at(30.0)
    assert_allclose(cube.rate[1:], found.value * at_zenith.rate[1:], rtol=1e-14)
    assert found.value == pytest.approx(1.3, abs=5 * found.error)
    # Below its threshold nothing was measured: neither rate nor exposure.
    assert np.isnan(cube.rate[0]).all()
    assert not cube.livetime[0].any()
    assert_array_equal(cube.livetime[1:], np.full((3, 5, 7), run.livetime))
    assert_allclose(cube.per("ontime").rate[1:], cube.rate[1:] / 1.1, rtol=1e-14)
