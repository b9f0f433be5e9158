"""Figures of the report: labelled, on scales that compare, and right about what they show."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simbg.simulation.scenarios import SCENARIOS
from simbg.validation.figures import distributions, maps, spectra
from simbg.validation.figures.style import label, number_text, save
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.suite.method_in_scenario import run_scenario

TINY = replace(SCENARIOS["realistic"], name="tiny", n_obs=12)


@pytest.fixture(scope="module")
def pairs():
    outcomes = run_scenario(TINY, ["histogram", "michi"], 5)
    return {outcome.method: outcome.pair for outcome in outcomes}


def drawn(pairs):
    """Every figure of a scenario."""
    yield maps.maps_figure(next(iter(pairs.values())), 0.5)
    for place in ((0.0, 0.0), (2.0, 2.0)):
        yield spectra.spectrum_figure(pairs, place, story=True)
    yield spectra.radial_figure(pairs)
    for figure in ("pull_figure", "pit_figure", "coverage_figure"):
        yield getattr(distributions, figure)(pairs)


def test_every_axis_with_numbers_has_a_label(pairs):
    n = 0
    for figure in drawn(pairs):
        for axes in figure.axes:
            for axis, side in ((axes.xaxis, "bottom"), (axes.yaxis, "left")):
                shown = axis.get_tick_params().get(f"label{side}", True)
                ticks = [t for t in axis.get_ticklabels() if t.get_text()] if shown else []
                n += bool(ticks)
                assert not ticks or axis.get_label_text(), figure
    assert n > 20


def test_residuals_and_pulls_diverge_from_zero_on_one_scale(pairs):
    limit = maps.residual_limit(pairs.values())
    scales = set()
    for pair in pairs.values():
        for axes in maps.maps_figure(pair, limit).axes:
            scales |= {
                (image.get_cmap().name, *image.get_clim())
                for image in axes.images
                if image.get_cmap().name != "viridis"
            }
    assert scales == {("RdBu_r", -limit, limit), ("RdBu_r", -maps.PULL_LIMIT, maps.PULL_LIMIT)}


def test_true_and_rebuilt_share_their_scale(pairs):
    figure = maps.maps_figure(pairs["michi"], 0.5)
    rates = [
        axes.images[0] for axes in figure.axes if axes.images and axes.get_xlabel() is not None
    ]
    rates = [image for image in rates if image.get_cmap().name == "viridis"]
    assert len(rates) == 4
    assert rates[0].get_clim() == rates[1].get_clim()
    assert rates[2].get_clim() == rates[3].get_clim() != rates[0].get_clim()


def test_images_are_the_right_way_round(cube):
    """fov_lon to the right, fov_lat upwards: three lengths, nothing symmetric."""
    pair = CubePair(cube, cube)
    figure = maps.maps_figure(pair, 0.5)
    image = figure.axes[0].images[0]
    k = maps.energy_bins(pair)[0]
    assert_allclose(np.asarray(image.get_array()), cube.rate[k].T)
    assert image.origin == "lower"
    assert image.get_extent() == [-3.0, 2.0, -1.0, 4.0]


def test_uneven_bins(cube):
    edges = cube.axes.fov_lon.copy()
    edges[1] += 0.3
    uneven = replace(cube, axes=replace(cube.axes, fov_lon=edges))
    figure = maps.maps_figure(CubePair(uneven, uneven), 0.5)
    mesh = figure.axes[0].collections[0]
    assert_allclose(mesh.get_coordinates()[0, :, 0], edges)


def test_what_was_not_seen_is_grey_and_no_number(cube):
    livetime = cube.livetime.copy()
    livetime[:, 2:4, 1:3] = 0.0
    true = replace(cube, livetime=livetime, counts=cube.rate * livetime * cube.axes.volume)
    images = [
        axes.images[0] for axes in maps.maps_figure(CubePair(true, true), 0.5).axes if axes.images
    ]
    for image in images[:1] + images[2:4]:
        masked = np.ma.masked_invalid(image.get_array()).mask
        assert masked.T[2:4, 1:3].all()


def test_spectrum_is_counts_over_exposure(cube):
    """Of a circle: the mean of the rate where all bins have the same exposure."""
    x, true, rebuilt, expected = spectra._spectrum(CubePair(cube, cube), (0.5, 1.0))
    away = np.hypot(cube.axes.fov_lon_center[:, None] - 0.5, cube.axes.fov_lat_center[None] - 1.0)
    inside = away <= spectra.RADIUS
    assert 1 < inside.sum() < inside.size
    volume = cube.axes.volume * inside
    assert_allclose(rebuilt, (cube.rate * volume).sum((1, 2)) / volume.sum((1, 2)), rtol=1e-12)
    counts = (cube.counts * inside).sum((1, 2))
    assert_allclose(true, counts / (cube.livetime * volume).sum((1, 2)), rtol=1e-12)
    assert_allclose(expected, counts)
    assert_allclose(x, cube.axes.energy_center)


def test_no_ratio_leaves_unseen(cube):
    """What lies beyond the edge is marked there, in the colour of its method."""
    wrong = replace(
        cube, rate=cube.rate * np.where(np.arange(len(cube.rate)) == 2, 9, 1)[:, None, None]
    )
    pair = CubePair(cube, wrong)
    ratio = spectra.spectrum_figure({"wrong": pair}, (0.0, 0.0)).axes[1]
    points, _, edge = ratio.lines
    assert edge.get_xdata() == [cube.axes.energy_center[2]]
    assert edge.get_ydata() == [ratio.get_ylim()[1]]
    assert edge.get_color() == points.get_color()
    right = spectra.spectrum_figure({"right": CubePair(cube, cube)}, (0.0, 0.0)).axes[1]
    assert len(right.lines) == 2


def test_a_circle_smaller_than_a_pixel(cube, monkeypatch):
    monkeypatch.setattr(spectra, "RADIUS", 1e-6)
    _, _, rebuilt, _ = spectra._spectrum(CubePair(cube, cube), (0.4, 1.1))
    assert np.isfinite(rebuilt).all()


def test_story_of_2015(pairs):
    """The rate falls with Γc + 1, which is the index at the centre."""
    figure = spectra.spectrum_figure(pairs, (0.0, 0.0), story=True)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    (low,) = [float(t.split("=")[1]) for t in labels if t.startswith("Γc =")]
    (high,) = [float(t.split("=")[1]) for t in labels if t.startswith("Γc + 1")]
    assert high - low == pytest.approx(1, abs=0.011)  # both to two digits
    assert high == pytest.approx(TINY.truth.center_index, abs=0.05)


def test_coverage_of_right_and_of_wrong_errors(pairs):
    """Errors of the histogram cover as Poisson's do; half of them do not."""
    pair = pairs["histogram"]
    share, spread = distributions._coverage(pair)
    assert np.all(np.abs(share) < 5 * spread + 0.02)  # √n errors: within 2 % of a normal's
    cube = pair.reco.per("livetime")
    halved = replace(pair, reco=replace(cube, rate_error=cube.rate_error / 2))
    wrong, _ = distributions._coverage(halved)
    assert wrong.min() < -0.25


def test_methods_with_the_same_counts_share_a_line(pairs):
    (found,) = distributions._alike(pairs, distributions.pit_values)
    assert found[0] == "histogram, michi"


def test_no_events_at_all(cube):
    """Nothing is drawn, and nothing raises or warns."""
    empty = replace(cube, rate=0 * cube.rate, counts=0 * cube.counts)
    pair = CubePair(empty, empty, 0 * cube.rate)
    assert len(list(drawn({"none": pair}))) == 7


@pytest.mark.parametrize("name", ["$\\frac{", "_hidden", "<b>&", "two\nlines", "a_b^c"])
def test_any_name_of_a_method(pairs, name):
    """As it is: no formula, no tag, and not left out."""
    figure = distributions.coverage_figure({name: pairs["histogram"]})
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert label(name) in texts
    picture = save(figure, "x", "x")
    assert b"<b>" not in picture.svg


@pytest.mark.parametrize(
    ("x", "text"),
    [(1e-5, "10⁻⁵"), (2e3, "2×10³"), (2.5e-4, "2.5×10⁻⁴"), (9.96e-4, "10⁻³"), (0.0, "0")],
)
def test_number_text(x, text):
    assert number_text(x) == text


@pytest.mark.parametrize("high", [1.1, 1.5, 3.0, 20.0, 1e4])
def test_colour_bars_have_a_few_ticks(high):
    ticks = maps._few(3e-7, 3e-7 * high)
    assert 2 <= ticks.size <= 12
    assert ticks.min() >= 3e-7
    assert ticks.max() <= 3e-7 * high
