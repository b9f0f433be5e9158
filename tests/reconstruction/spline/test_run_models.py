"""One model of all runs: known answers, errors, norms, and runs that are unusual."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from simbg.axes import Axes
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.spline.method import Spline
from simbg.reconstruction.spline.run_models import fit_run_models
from simbg.sky.pointing import Site, Tracking

AXES = Axes(np.geomspace(0.2, 20, 6), np.linspace(-2, 2, 7), np.linspace(-1.5, 1.5, 6))
LIVETIME = 1000.0
COSINES = np.linspace(0.55, 0.98, 16)


def regressors(axes=AXES):
    """1, ln E, r², lon and lat in each bin, shape (5, n_bins)."""
    lon, lat = np.meshgrid(axes.fov_lon_center, axes.fov_lat_center, indexing="ij")
    log_energy = np.log(axes.energy_center)[:, None, None]
    columns = 1.0, log_energy, lon**2 + lat**2, lon, lat
    return np.array([np.broadcast_to(c, axes.shape).ravel() for c in columns])


def log_rate(cosine, axes=AXES):
    """A Gaussian times a power law, with a level, an index and a width that follow the zenith."""
    u = cosine - 0.75
    coefficients = [-2.0 + 1.5 * u, -2.5 - 0.8 * u, -0.15 + 0.1 * u, 0.1, -0.05 + 0.2 * u]
    return (np.array(coefficients) @ regressors(axes)).reshape(axes.shape)


def expected(cosine, n_events, axes=AXES):
    counts = np.exp(log_rate(cosine, axes)) * axes.volume
    # The same scale for all runs: the level depends on the zenith angle.
    return counts * n_events / (np.exp(log_rate(0.75, axes)) * axes.volume).sum()


def run_of(counts, cosine, obs_id, threshold=0.0, axes=AXES, **kwargs):
    """A run with these counts, at the centres of bins."""
    places = np.repeat(np.arange(counts.size), counts.ravel())
    energy, lon, lat = np.unravel_index(places, axes.shape)
    events = Events(axes.energy_center[energy], axes.fov_lon_center[lon], axes.fov_lat_center[lat])
    return Observation.in_memory(
        events,
        obs_id=obs_id,
        livetime=LIVETIME,
        ontime=1.1 * LIVETIME,
        energy_threshold=threshold,
        alt=float(np.degrees(np.arcsin(cosine))),
        az=180.0,
        **kwargs,
    )


def runs_of(n_events, seed, sigma=0.0, cosines=COSINES, thresholds=None):
    rng = np.random.default_rng(seed)
    thresholds = np.zeros(cosines.size) if thresholds is None else thresholds
    norms = np.exp(sigma * rng.normal(size=cosines.size))
    return [
        run_of(rng.poisson(norm * expected(cosine, n_events)), cosine, number, threshold)
        for number, (cosine, norm, threshold) in enumerate(
            zip(cosines, norms, thresholds, strict=True)
        )
    ]


def true_rate(cosine, n_events):
    return expected(cosine, n_events) / LIVETIME / AXES.volume


def poisson_regression(runs, sigma):
    """ln rate of each run by scipy: 5 functions of the bins × (1, u), and a norm of each run."""
    cosine = np.sin(np.radians([run.alt for run in runs]))
    counts = np.array([AXES.fill(*columns_of(run)).ravel() for run in runs])
    base, number = regressors(), len(runs)
    volume = AXES.volume.ravel() * LIVETIME

    def rates(parameters):
        c = parameters[:10].reshape(2, 5)
        return (c[0] + (cosine - 0.75)[:, None] * c[1]) @ base

    def loss(parameters):
        norm = parameters[10:]
        log_mu = np.clip(rates(parameters) + norm[:, None], -50, 50)
        mu = np.exp(log_mu) * volume
        rest = mu - counts
        slopes = rest @ base.T
        slope = np.concatenate([slopes.sum(axis=0), (cosine - 0.75) @ slopes])
        slope = np.concatenate([slope, rest.sum(axis=1) + norm / sigma**2])
        return mu.sum() - (counts * log_mu).sum() + 0.5 * np.sum(norm**2) / sigma**2, slope

    start = np.zeros(10 + number)
    start[0] = np.log(counts.sum() / volume.sum() / number)
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-3, "maxiter": 500})
    return np.exp(rates(found.x)).reshape(number, *AXES.shape)


def columns_of(run):
    events = run.events()
    return events.energy, events.fov_lon, events.fov_lat


def test_agrees_with_a_poisson_regression():
    """For counts without noise, which both describe with their common functions."""
    runs = [
        run_of(np.round(expected(cosine, 50_000)).astype(int), cosine, number)
        for number, cosine in enumerate(COSINES)
    ]
    models = Spline().fit(runs, AXES)
    by_scipy = poisson_regression(runs, sigma=models.at(runs[0]).meta["RUN_SIG"])
    for run, other in list(zip(runs, by_scipy, strict=True))[::5]:
        cube = models.at(run)
        pull = np.log(cube.rate / other) / (cube.rate_error / cube.rate)
        assert np.sqrt(np.mean(pull**2)) < 0.2
        assert_allclose(np.sum(cube.rate * AXES.volume), np.sum(other * AXES.volume), rtol=1e-3)


def test_norms_scatter_as_they_were_drawn():
    cosines = np.linspace(0.55, 0.98, 60)
    runs = runs_of(3_000, seed=2, sigma=0.15, cosines=cosines)
    norms = 0.15 * np.random.default_rng(2).normal(size=60)
    found = Spline().fit(runs, AXES).at(runs[0]).meta["RUN_SIG"]
    # The error of a standard deviation of 60 values, of which five functions of the zenith angle
    # can take a part; three of them.
    assert abs(found - norms.std()) < 3 * 0.15 / np.sqrt(2 * 55)


def test_runs_without_scatter_have_equal_norms():
    runs = runs_of(3_000, seed=3)
    assert Spline().fit(runs, AXES).at(runs[0]).meta["RUN_SIG"] < 0.02


def test_errors_cover_at_the_zenith_of_runs():
    """68 % and 95 % of bins of runs, in the mean of 6 draws with some ten parameters each."""
    inside = []
    for seed in range(6):
        runs = runs_of(2_000, 100 + seed)
        models = Spline().fit(runs, AXES)
        for run, cosine in list(zip(runs, COSINES, strict=True))[::5]:
            cube = models.at(run)
            pull = np.log(cube.rate / true_rate(cosine, 2_000)) / (cube.rate_error / cube.rate)
            inside.append([(np.abs(pull) < limit).mean() for limit in (1, 1.96)])
    low, high = np.mean(inside, axis=0)
    assert 0.6 < low < 0.88
    assert high > 0.9


def test_runs_whose_zenith_changes_have_the_mean_rate_of_their_track():
    """Counts of two hours with a rate that is proportional to cos³(zenith), without noise."""
    site, seconds = Site(0.0, -23.0, 0.0), np.linspace(0, 7200, 201)
    runs, expectations = [], []
    for number, start in enumerate(np.linspace(-4 * 3600, 3600, 12)):
        pointing = Tracking(80.0, -20.0, site, 55197.0)
        gti = np.array([[start, start + 7200]])
        cosine = np.sin(np.radians(pointing.altaz(start + seconds)[0]))
        assert cosine.min() > 0.3
        counts = expected(0.75, 4000) * np.mean(cosine**3)
        events = run_of(np.round(counts).astype(int), 0.7, number).load()
        events = replace(events, gti=gti, pointing=pointing)
        times = {"livetime": LIVETIME, "ontime": LIVETIME, "alt": 50.0, "az": 180.0}
        runs.append(Observation.in_memory(events, obs_id=number, **times))
        expectations.append(np.round(counts).sum())
    models = Spline().fit(runs, AXES)
    found = [models.at(run).total * LIVETIME for run in runs]
    assert np.ptp(expectations) > 1000
    assert_allclose(found, expectations, rtol=0.01)


def test_information_is_that_of_all_runs():
    """Q over all runs is a small multiple of the parameters of the truth, not that of bins."""
    runs = runs_of(10_000, seed=5)
    models = Spline().fit(runs, AXES)
    lost = 0.0
    for run, cosine in zip(runs, COSINES, strict=True):
        true = expected(cosine, 10_000)
        predicted = models.at(run).rate * LIVETIME * AXES.volume
        lost += np.sum((predicted - true) ** 2 / true)
    # Some 20 effective parameters, each with 1 ± 1.4; a cube for each run has 150 × 16 bins.
    assert lost < 50


def test_cells_do_not_change_the_model():
    """Within a tenth of the error, against cells of a single run."""
    cosines = np.random.default_rng(0).uniform(0.55, 0.98, 50)
    runs = runs_of(2_000, seed=6, sigma=0.1, cosines=cosines)
    coarse, fine = (fit_run_models(runs, AXES, width=width) for width in (1 / 64, 1e-9))
    for run in runs[::7]:
        cube, other = coarse.at(run), fine.at(run)
        assert_allclose(cube.rate, other.rate, rtol=0, atol=(0.1 * cube.rate_error).max())
        assert (np.abs(cube.rate - other.rate) / cube.rate_error).max() < 0.1


def test_thresholds_inside_bins():
    """Each run has events above its threshold only, which is inside of a bin."""
    rng = np.random.default_rng(7)
    thresholds = rng.uniform(0.25, 0.9, COSINES.size)
    runs = runs_of(20_000, 8)
    cut = []
    for run, threshold in zip(runs, thresholds, strict=True):
        events = run.events()
        # Energies in a bin follow the power law of the run instead of being at its centre.
        bins = np.searchsorted(AXES.energy, events.energy) - 1
        power = -1.5 - 0.8 * (np.sin(np.radians(run.alt)) - 0.75)
        low, high = (AXES.energy[bins + i] ** power for i in (0, 1))
        energy = (low + rng.random(low.size) * (high - low)) ** (1 / power)
        events = replace(events, energy=energy).take(energy >= threshold)
        times = {"livetime": run.livetime, "ontime": run.ontime, "alt": run.alt, "az": run.az}
        cut.append(
            Observation.in_memory(events, obs_id=run.obs_id, energy_threshold=threshold, **times)
        )
    models = Spline().fit(cut, AXES)
    for run, cosine in list(zip(cut, COSINES, strict=True))[::5]:
        cube, true = models.at(run), true_rate(cosine, 20_000)
        known = ~cube.extrapolated
        pull = (np.log(cube.rate / true) / (cube.rate_error / cube.rate))[known]
        assert np.sqrt(np.mean(pull**2)) < 2
        in_bins = np.where(known, AXES.volume, 0.0)
        difference = np.sum((cube.rate - true) * in_bins)
        assert abs(difference) < 3 * cube.error_of_sum(in_bins)


def test_the_same_for_any_number_of_workers_and_order_of_runs():
    runs = runs_of(500, seed=9)
    alone = Spline().fit(runs, AXES).at(runs[3])
    with ThreadPoolExecutor(3) as executor:
        together = Spline(executor).fit(runs, AXES).at(runs[3])
    assert_array_equal(alone.rate, together.rate)
    assert_array_equal(alone.rate_error, together.rate_error)
    turned = Spline().fit(runs[::-1], AXES).at(runs[3])
    assert_allclose(alone.rate, turned.rate, rtol=0, atol=(0.02 * alone.rate_error).max())


def test_beyond_the_range_the_model_is_held_and_marked(caplog):
    runs = runs_of(2_000, seed=10)
    models = Spline().fit(runs, AXES)
    assert not models.at(runs[0]).extrapolated.any()
    low, far = (models.at(run_of(np.zeros(AXES.shape, int), c, 99)) for c in (0.55, 0.2))
    assert_allclose(far.rate, low.rate, rtol=1e-9)
    assert far.extrapolated.all()
    assert abs(far.meta["ZEN_HELD"] - np.degrees(np.arccos(0.55))) < 0.1
    assert any("99" in record.message for record in caplog.records)


def test_low_energies_that_near_runs_alone_expose_are_marked_far_away():
    thresholds = np.where(COSINES < 0.8, 1.0, 0.0)
    runs = runs_of(2_000, seed=11, thresholds=thresholds)
    models = Spline().fit(runs, AXES)
    assert models.at(runs[0]).extrapolated[0].all()
    assert not models.at(runs[-1]).extrapolated.any()


UNUSUAL = {
    "one run": lambda: runs_of(500, 12)[:1],
    "two runs": lambda: runs_of(500, 12)[:2],
    "one zenith": lambda: runs_of(500, 13, cosines=np.full(6, 0.8)),
    "no events": lambda: [run_of(np.zeros(AXES.shape, int), c, 1) for c in (0.6, 0.9)],
    "a run without events": lambda: [
        *runs_of(500, 14),
        run_of(np.zeros(AXES.shape, int), 0.7, 99),
    ],
    "events of one run": lambda: [
        *(run_of(np.zeros(AXES.shape, int), c, 1) for c in (0.6, 0.7, 0.8)),
        *runs_of(500, 15)[-1:],
    ],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_runs_give_finite_rates(name):
    runs = UNUSUAL[name]()
    models = Spline().fit(runs, AXES)
    for run in runs[:3]:
        cube = models.at(run)
        assert (np.isfinite(cube.rate) & (cube.rate > 0) & np.isfinite(cube.rate_error)).all()
    assert cube.meta["CONVERGE"]


def test_a_run_without_events_is_said_and_does_not_change_the_model(caplog):
    """But one in which few are expected is used."""
    runs = runs_of(500, 14)
    silent = run_of(np.zeros(AXES.shape, int), 0.7, 99)
    models = Spline().fit([*runs, silent], AXES)
    assert any("run 99" in record.message for record in caplog.records)
    assert_allclose(models.at(runs[0]).rate, Spline().fit(runs, AXES).at(runs[0]).rate, rtol=1e-9)
    assert models.at(silent).meta["N_OBS"] == 16
    short = replace(silent, livetime=LIVETIME / 100)
    assert Spline().fit([*runs, short], AXES).at(short).meta["N_OBS"] == 17


def test_one_zenith_is_the_cube_of_all_runs():
    runs = runs_of(5_000, 16, cosines=np.full(8, 0.8))
    cube, alone = Spline().fit(runs, AXES).at(runs[0]), Spline().reconstruct(runs, AXES)
    assert (np.abs(cube.rate - alone.rate) / alone.rate_error).max() < 0.3


def test_a_run_without_altitude_is_refused():
    runs = runs_of(100, 17)
    with pytest.raises(ValueError, match="run 3"):
        Spline().fit([*runs[:3], replace(runs[3], alt=np.nan)], AXES)


def with_covariate(runs, values, name="MUONEFF"):
    pairs = zip(runs, values, strict=True)
    return [replace(run, covariates={name: value}) for run, value in pairs]


def test_a_covariate_that_matters_is_used(caplog):
    rng = np.random.default_rng(18)
    cosines, x = np.linspace(0.55, 0.98, 40), rng.uniform(0.6, 1.0, 40)
    runs = [
        run_of(rng.poisson(expected(c, 3_000) * np.exp(1.5 * (v - 0.8))), c, n)
        for n, (c, v) in enumerate(zip(cosines, x, strict=True))
    ]
    models = Spline().fit(with_covariate(runs, x), AXES)
    before = Spline().fit(runs, AXES)
    last = {"covariates": {"MUONEFF": 0.9}}
    cube = models.at(replace(runs[0], **last))
    ratio = cube.rate.sum() / models.at(replace(runs[0], covariates={"MUONEFF": 0.7})).rate.sum()
    assert_allclose(ratio, np.exp(0.3), rtol=0.02)
    assert cube.meta["RUN_SIG"] < 0.3 * before.at(runs[0]).meta["RUN_SIG"]
    assert "MUONEFF" in cube.meta["COVARS"]
    with pytest.raises(ValueError, match="MUONEFF"):
        models.at(runs[0])
    # Far outside of the range it is held, which is said.
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    far, end = (models.at(replace(runs[0], covariates={"MUONEFF": v})) for v in (5.0, x.max()))
    assert_array_equal(far.rate, end.rate)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.args[:3] == (0, "MUONEFF", 5.0)


def test_covariates_without_effect_are_not_used():
    """The held-out likelihood keeps a column of noise by chance only, not most of six columns."""
    rng = np.random.default_rng(19)
    runs = runs_of(1_000, 19, sigma=0.1, cosines=np.linspace(0.55, 0.98, 30))
    noise = {f"x{n}": rng.normal(size=30) for n in range(6)}
    named = [
        replace(run, covariates={k: float(v[i]) for k, v in noise.items()})
        for i, run in enumerate(runs)
    ]
    assert Spline().fit(named, AXES).at(named[0]).meta["COVARS"].count("not used") >= 4


def test_azimuth_is_an_angle():
    rng = np.random.default_rng(20)
    azimuth = rng.uniform(0, 360, 40)
    cosines = np.linspace(0.55, 0.98, 40)
    runs = [
        run_of(rng.poisson(expected(c, 3_000) * np.exp(0.2 * np.cos(np.radians(a)))), c, n)
        for n, (c, a) in enumerate(zip(cosines, azimuth, strict=True))
    ]
    models = Spline().fit(with_covariate(runs, azimuth, "azimuth"), AXES)
    north, turned, south = (
        models.at(replace(runs[5], covariates={"azimuth": a})) for a in (0.0, 360.0, 180.0)
    )
    assert_allclose(north.rate, turned.rate, rtol=1e-9)
    assert_allclose(north.rate.sum() / south.rate.sum(), np.exp(0.4), rtol=0.03)


def test_a_constant_covariate_is_said(caplog):
    runs = runs_of(200, 21)
    models = Spline().fit(with_covariate(runs, np.full(16, 0.7)), AXES)
    assert any("MUONEFF" in record.message for record in caplog.records)
    assert_array_equal(models.at(runs[0]).rate, Spline().fit(runs, AXES).at(runs[0]).rate)


@pytest.mark.parametrize("value", [np.nan, None, np.inf, "high", 10**400])
def test_a_missing_value_is_refused(value):
    runs = with_covariate(runs_of(200, 22), np.linspace(0.6, 1, 16))
    other = {} if value is None else {"MUONEFF": value}
    runs[4] = replace(runs[4], covariates=other)
    with pytest.raises(ValueError, match=r"MUONEFF.*run 4"):
        Spline().fit(runs, AXES)
