"""Models of runs between zenith groups, against lines and the methods' own."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes
from simbg.covariance import RateCovariance
from simbg.cube import BackgroundCube
from simbg.observations.groups import Groups
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.zenith_groups import ZenithGroups, fit_runs

AXES = Axes([0.1, 0.3, 1.0, 4.0, 20.0], np.linspace(-3, 2, 6), np.linspace(-1, 4, 8))
# Each in another group of 2015. Energy 0 is seen near the zenith only.
ZENITHS = (35.0, 12.0, 55.0, 48.0)


def line(zenith):
    """A rate linear in cos(zenith), of which no two bins have the same slope."""
    number = np.arange(np.prod(AXES.shape), dtype=float).reshape(AXES.shape)
    return 1e-6 * (4 + number) + 3e-6 * (number - 70) / 70 * np.cos(np.deg2rad(zenith))


def run_at(zenith, livetime=1000.0, threshold=0.0, az=0.0, obs_id=1):
    return Observation.in_memory(
        Events(*np.empty((3, 0))),
        obs_id=obs_id,
        livetime=livetime,
        ontime=1.1 * livetime,
        energy_threshold=threshold,
        alt=90 - zenith,
        az=az,
    )


@dataclass(frozen=True)
class Given:
    """A method that returns a cube made from the first run of a group."""

    cube_of: object
    name = "given"

    def reconstruct(self, observations, axes):
        return self.cube_of(observations[0])


def fit(runs, cube_of, groups=None):
    return ZenithGroups(Given(cube_of), groups or Groups()).fit(runs, AXES)


def model(zeniths=ZENITHS, rate=line, thresholds=(0, 0, 0.3, 0.3), errors=True):
    """One run a group; a rate is unknown below its threshold, and in one pixel of one group."""

    def cube_of(run):
        zenith = 90 - run.alt
        values = rate(zenith)
        values[: np.searchsorted(AXES.energy, run.energy_threshold * 0.999)] = np.nan
        if zenith == 35:
            values[2, 1, 4] = np.nan
        return BackgroundCube(AXES, values, rate_error=0.1 * values if errors else None)

    runs = [run_at(z, threshold=t) for z, t in zip(zeniths, thresholds, strict=False)]
    return fit(runs, cube_of)


def at(models, zenith, az=0.0):
    return models.at(run_at(zenith, az=az))


@pytest.mark.parametrize("zenith", [12.0, 12.01, 20.0, 35.0, 41.3, 48.0, 51.9, 55.0])
def test_a_line_in_cos_zenith_comes_back(zenith):
    cube = at(model(), zenith)
    # A weighted mean of two, once more rounded in their cosines.
    assert_allclose(cube.rate[1:], line(zenith)[1:], rtol=1e-12)
    assert cube.clock == "livetime"
    assert cube.meta["ZENITH"] == pytest.approx(zenith, rel=1e-14)
    if zenith <= 35:
        assert_allclose(cube.rate[0], line(zenith)[0], rtol=1e-12)


@pytest.mark.parametrize(("zenith", "nearest"), [(0.0, 12), (11.9, 12), (55.1, 55), (80.0, 55)])
def test_outside_the_nearest_group_holds(zenith, nearest):
    cube = at(model(), zenith)
    assert_allclose(cube.rate[1:], line(nearest)[1:], rtol=1e-15)
    assert_allclose(cube.rate_error[1:], 0.1 * line(nearest)[1:], rtol=1e-15)


def test_an_energy_or_a_bin_has_the_groups_that_know_it():
    for zenith in (40.0, 50.0, 80.0):
        # Energy 0 is known up to 35 deg.
        assert_allclose(at(model(), zenith).rate[0], line(35)[0], rtol=1e-15)
    # One pixel skips the group at 35 deg: from 12 to 48 it is a line, too.
    exact = at(model(), 30.0)
    assert_allclose(exact.rate[2], line(30.0)[2], rtol=1e-12)

    def steep(zenith):
        return line(zenith) / np.cos(np.deg2rad(zenith)) ** 4

    # The control: with another law the two ways differ.
    curved = at(model(rate=steep), 30.0).rate
    whole = model(rate=steep, zeniths=(35.0001, 12.0, 55.0, 48.0))
    differs = np.abs(curved / at(whole, 30.0).rate - 1) > 1e-3
    assert np.argwhere(differs).tolist() == [[2, 1, 4]]


def test_nothing_known_is_nan():
    cube = at(model(thresholds=(0.3, 0.3, 0.3, 0.3)), 40.0)
    assert np.isnan(cube.rate[0]).all()
    assert np.isnan(cube.rate_error[0]).all()
    assert np.isfinite(cube.rate[1:]).all()
    assert np.isfinite(cube.rate_error[1:]).all()


def test_runs_may_come_in_any_order():
    for zenith in (5.0, 30.0, 50.0, 70.0):
        cubes = [
            at(model(zeniths=order, thresholds=[0 if z < 40 else 0.3 for z in order]), zenith)
            for order in permutations(ZENITHS)
        ]
        for cube in cubes[1:]:
            assert_array_equal(cube.rate, cubes[0].rate)
            assert_array_equal(cube.rate_error, cubes[0].rate_error)


def test_interpolation_is_never_negative_nor_outside_of_its_neighbours():
    rng = np.random.default_rng(2)
    rates = {
        zenith: rng.exponential(1, AXES.shape) * (rng.random(AXES.shape) > 0.4)
        for zenith in ZENITHS
    }
    made = model(rate=lambda zenith: rates[zenith].copy(), thresholds=(0, 0, 0, 0))
    both = np.array([rates[zenith] for zenith in (12.0, 48.0)])
    for zenith in np.linspace(0, 89, 60):
        rate = at(made, zenith).rate
        assert rate.min() >= 0
        if 12 <= zenith <= 35:
            low, high = np.sort([rates[12.0], rates[35.0]], axis=0)
            pixel = np.ones(AXES.shape, bool)
            pixel[2, 1, 4] = False
            assert np.all((rate >= low * (1 - 1e-12)) & (rate <= high * (1 + 1e-12)) | ~pixel)
            assert both[:, 2, 1, 4].min() <= rate[2, 1, 4] <= both[:, 2, 1, 4].max()


def test_errors_are_those_of_a_weighted_mean():
    cube = at(model(), 42.0)
    cosines = np.cos(np.deg2rad([42.0, 35.0, 48.0]))
    share = (cosines[0] - cosines[2]) / (cosines[1] - cosines[2])
    expected = 0.1 * np.hypot(share * line(35)[1], (1 - share) * line(48)[1])
    assert_allclose(cube.rate_error[1], expected, rtol=1e-12)
    assert at(model(errors=False), 42.0).rate_error is None


def test_errors_of_sums_and_extrapolated_bins_between_groups():
    """Errors of 10 % that are common to all bins of a group, and independent between groups."""
    one, first = np.ones(AXES.shape), np.arange(AXES.shape[0])[:, None, None] == 0
    norm = RateCovariance(one[:, 0, :1], one[0, :, :, None], np.full((1, 1, 1), 0.1))

    def cube_of(run):
        rate = line(90 - run.alt)
        hidden = one * first * (run.alt < 50) > 0
        return BackgroundCube(AXES, rate, 0.1 * rate, extrapolated=hidden, covariance=(norm,))

    cube = at(fit([run_at(35), run_at(48)], cube_of), 42.0)
    cosines = np.cos(np.deg2rad([42.0, 35.0, 48.0]))
    share = (cosines[0] - cosines[2]) / (cosines[1] - cosines[2])
    expected = 0.1 * np.hypot(share * line(35).sum(), (1 - share) * line(48).sum())
    assert_allclose(cube.error_of_sum(1.0), expected, rtol=1e-12)
    assert_array_equal(cube.extrapolated, first & (one > 0))
    assert not at(fit([run_at(35), run_at(48)], cube_of), 20.0).extrapolated.any()


def test_a_group_stands_at_the_mean_of_the_runs_that_expose_an_energy():
    """A line through that mean and another group comes back; through any other it would not."""
    near = [run_at(20, 1000.0), run_at(21, 3000.0, 0.3), run_at(19, 500.0, 5.0)]
    groups = Groups((0, 60, 90), (-90, 270))
    cos = np.cos(np.deg2rad([20, 21, 19]))
    two = (1000 * cos[0] + 3000 * cos[1]) / 4000
    # 5 TeV lies inside of the last bin, which the run exposes in part.
    three = (1000 * cos[0] + 3000 * cos[1] + 500 * cos[2]) / 4500
    means = np.array([cos[0], two, two, three])

    def cube_of(run):
        cosine = means if run.alt > 60 else np.cos(np.deg2rad(50))
        rate = 1e-6 * (1 + np.broadcast_to(cosine, 4)[:, None, None] * np.ones(AXES.shape))
        return BackgroundCube(AXES, rate)

    rate = at(fit([*near, run_at(50)], cube_of, groups), 35).rate
    assert_allclose(rate, 1e-6 * (1 + np.cos(np.deg2rad(35))), rtol=1e-14)


def test_a_group_whose_runs_expose_no_energy_takes_no_part():
    models = fit(
        [run_at(20), run_at(50, threshold=30.0)], lambda run: BackgroundCube(AXES, line(20))
    )
    assert_allclose(at(models, 60).rate, line(20), rtol=1e-15)
    alone = at(fit([run_at(50, threshold=30.0)], lambda run: BackgroundCube(AXES, line(20))), 50)
    assert np.isnan(alone.rate).all()


def test_cubes_per_ontime_are_converted():
    livetime, ontime = (np.full(AXES.shape, seconds) for seconds in (900.0, 1200.0))
    cube = BackgroundCube(AXES, line(30), livetime=livetime, ontime=ontime).per("ontime")
    assert_allclose(at(fit([run_at(30)], lambda run: cube), 10).rate, line(30), rtol=1e-14)


def test_each_bin_in_azimuth_has_its_own_model():
    """A bin in azimuth may lack altitudes, or all of them: then nothing is known there."""
    runs = [run_at(60), run_at(40), run_at(62, az=180.0), run_at(20, az=180.0)]

    def cube_of(run):
        return BackgroundCube(AXES, (2 if run.az else 1) * line(90 - run.alt))

    models = fit(runs, cube_of)
    assert_allclose(at(models, 50, az=350).rate, line(50), rtol=1e-12)
    assert_allclose(at(models, 50, az=100).rate, 2 * line(50), rtol=1e-12)
    one = fit(runs, cube_of, Groups(azimuth_edges=(-90, 270)))
    assert_allclose(at(one, 20).rate, 2 * line(20), rtol=1e-12)
    assert_array_equal(at(one, 50).rate, at(one, 50, az=180.0).rate)
    lost = at(fit(runs[:2], cube_of), 50, az=180.0)
    assert np.isnan(lost.rate).all()
    assert not lost.livetime.any()


def test_any_method_models_runs_by_zenith_groups():
    models = fit_runs(Histogram(), [run_at(20), run_at(50)], AXES, Groups())
    assert_array_equal(at(models, 30).rate, np.zeros(AXES.shape))


class Fits:
    """A method with models of its own; what it raises is told in one line."""

    name = "fits"

    def __init__(self, models):
        self.models = models

    def reconstruct(self, observations, axes):
        raise AssertionError("a method with fit is asked for that alone")

    def fit(self, observations, axes):
        return self.models(observations, axes)


def test_a_method_may_model_runs_itself():
    models = fit_runs(Fits(lambda *given: given), [1, 2], AXES, Groups())
    assert models == ([1, 2], AXES)
    with pytest.raises(ValueError, match=r"^method 'fits': TypeError: .*argument"):
        fit_runs(Fits(lambda: None), [1, 2], AXES, Groups())
