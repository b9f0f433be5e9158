"""Predicted counts and norms of runs, against loops and the truth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2, norm

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.models.run_norm import fit_norm, run_counts
from simbg.observations.observation import MJDREF, Events, Observation
from simbg.simulation.seeds import named_rng
from simbg.sky.pointing import Site, Tracking
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth

# A right norm fails one test in 10⁴ of these by chance, for seeds not chosen after looking.
FALSE_ALARM = 1e-4
AXES = Axes([0.1, 0.3, 1.0, 4.0, 20.0], np.linspace(-3, 2, 6), np.linspace(-1, 4, 8))


def run_at(zenith, livetime=1000.0, threshold=0.0, events=None, obs_id=1, **kwargs):
    return Observation.in_memory(
        events,
        obs_id=obs_id,
        livetime=livetime,
        ontime=1.1 * livetime,
        energy_threshold=threshold,
        alt=90 - zenith,
        **kwargs,
    )


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
    counts, predicted, _ = run_counts(cube, run)
    for known in (counts > 0, predicted > 0):
        assert known.any(axis=(1, 2)).tolist() == [False, True, True, True]


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
    _, plain, _ = run_counts(cube, replace(run, excluded=()))
    _, masked, _ = run_counts(cube, run)
    gone = (masked == 0).all(axis=0)
    assert gone.any()
    assert_array_equal((masked == 0).any(axis=0), gone)
    share = masked / plain
    assert share.max() <= 1 + 1e-12
    # A disc in a field of 14 square deg.
    lost = np.sum((1 - share[0]) * axes.solid_angle) / np.deg2rad(1) ** 2
    # Chords and aberration, which test_masking.py bounds by 2.1e-4; a flat disc: 2e-5
    assert lost == pytest.approx(np.pi * 0.9**2, rel=2.5e-4)
    counts = axes.fill(*(getattr(run.events(), name) for name in ("energy", "fov_lon", "fov_lat")))
    assert fit_norm(cube, run).n_events == counts[:, ~gone].sum() < len(events)
