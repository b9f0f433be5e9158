"""Figures of a scenario: labelled, on scales that compare, and right about what they show."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simbg.simulation.library import SCENARIOS
from simbg.validation.figures.scenario import map_figures, scenario_figures
from simbg.validation.figures.style import encode
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.suite.method_in_scenario import run_scenario

TINY = replace(SCENARIOS["realistic"], name="tiny", n_obs=12)
SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


@pytest.fixture(scope="module")
def pairs():
    *outcomes, _ = run_scenario(TINY, ["histogram", "michi"], 5)
    return {outcome.method: outcome.cubes for outcome in outcomes}


def map_figure(pair):
    ((_, figure),) = map_figures({"method": pair}, ["method"])
    return figure


def drawn(pairs):
    """Every figure of a scenario."""
    yield map_figure(next(iter(pairs.values())))
    yield from scenario_figures(pairs, laws=True).values()


def images(figure, cmap):
    found = [image for axes in figure.axes for image in axes.images]
    return [image for image in found if image.get_cmap().name == cmap]


def points(axes):
    """Name → values and half the length of their errors."""
    values = {}
    for bars in axes.containers:
        line, _, errors = bars.lines
        ends = np.array(errors[0].get_segments())[..., 1] if errors else np.zeros((1, 2))
        values[bars.get_label()] = line.get_ydata(), np.ptp(ends, axis=1) / 2
    return values


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


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
    scales = {
        image.get_clim()
        for _, figure in map_figures(pairs, pairs)
        for image in images(figure, "RdBu_r")
    }
    # That of the pulls, and that of the residuals of each method.
    assert len(scales) == 3
    assert all(low == -high for low, high in scales)


def test_pulls_near_zero_say_how_near(cube, pairs):
    """All of a rate that is a bit too high; those of raw counts need no words."""
    high = replace(cube, rate=cube.rate * 1.001)
    pair = CubePair(cube, high)
    words = [text.get_text() for axes in map_figure(pair).axes for text in axes.texts]
    excess = np.where(pair.expected > 0, np.abs(pair.predicted - pair.expected), 0.0)
    pulls = excess / np.sqrt(np.maximum(pair.true_variance, 1e-9))
    assert len(words) == 2
    assert {text.split("±")[1] for text in words} <= {f"{x:.2g} σ" for x in pulls.max(axis=(1, 2))}
    assert not [text for axes in map_figure(pairs["histogram"]).axes for text in axes.texts]


def test_true_and_rebuilt_share_their_scale(pairs):
    rates = images(map_figure(pairs["michi"]), "viridis")
    assert len(rates) == 4
    assert rates[0].get_clim() == rates[1].get_clim()
    assert rates[2].get_clim() == rates[3].get_clim() != rates[0].get_clim()


def test_images_are_the_right_way_round(cube):
    """fov_lon to the right, fov_lat upwards: three lengths, nothing symmetric."""
    true, *_ = images(map_figure(CubePair(cube, cube)), "viridis")
    shown = np.asarray(true.get_array())
    assert any(np.allclose(shown, image.T) for image in cube.rate)
    assert true.origin == "lower"
    assert true.get_extent() == [-3.0, 2.0, -1.0, 4.0]


def test_uneven_bins(cube):
    edges = cube.axes.fov_lon.copy()
    edges[1] += 0.3
    uneven = replace(cube, axes=replace(cube.axes, fov_lon=edges))
    mesh = map_figure(CubePair(uneven, uneven)).axes[0].collections[0]
    assert_allclose(mesh.get_coordinates()[0, :, 0], edges)


def test_what_was_not_seen_is_no_number(cube):
    livetime = cube.livetime.copy()
    livetime[:, 2:4, 1:3] = 0.0
    true = replace(cube, livetime=livetime, counts=cube.rate * livetime * cube.axes.volume)
    figure = map_figure(CubePair(true, true))
    shown = images(figure, "viridis") + images(figure, "RdBu_r")
    assert len(shown) == 8
    for image in shown:
        assert np.ma.masked_invalid(image.get_array()).mask.T[2:4, 1:3].all()


@pytest.mark.parametrize("high", [1.0, 1.1, 1.5, 3.0, 20.0, 1e4])
def test_colour_bars_have_a_few_ticks_with_their_numbers(cube, high):
    rate = np.geomspace(3e-7, 3e-7 * high, cube.rate.size).reshape(cube.rate.shape)
    flat = np.broadcast_to(rate[:1], rate.shape)
    true = replace(cube, rate=flat, counts=flat * cube.livetime * cube.axes.volume)
    figure = map_figure(CubePair(true, true))
    bar = next(axes for axes in figure.axes if axes.get_ylabel().startswith("rate"))
    encode(figure)
    low, top = bar.get_ylim()
    shown = [
        (y, t.get_text()) for y, t in zip(bar.get_yticks(), bar.get_yticklabels(), strict=True)
    ]
    shown = [(y, text) for y, text in shown if low <= y <= top]
    assert 2 <= len(shown) <= 12
    for y, text in shown:
        mantissa, _, power = text.rpartition("×") if "×" in text else ("1", "", text)
        assert float(
            f"{mantissa}e{power.removeprefix('10').translate(SUPERSCRIPT)}"
        ) == pytest.approx(y, rel=5e-3)  # three digits


def test_spectrum_is_counts_over_exposure(cube):
    """Of a circle: the mean of the rate where all bins have the same exposure."""
    top, ratio = scenario_figures({"same": CubePair(cube, cube)})["center"].axes[::-1]
    away = np.hypot(cube.axes.fov_lon_center[:, None], cube.axes.fov_lat_center[None])
    inside = away <= 0.75
    assert 1 < inside.sum() < inside.size
    volume = cube.axes.volume * inside
    rebuilt, _ = points(top)["same"]
    assert_allclose(rebuilt, (cube.rate * volume).sum((1, 2)) / volume.sum((1, 2)), rtol=1e-12)
    counts = (cube.counts * inside).sum((1, 2))
    true = counts / (cube.livetime * volume).sum((1, 2))
    assert_allclose(top.patches[0].get_data().values, true, rtol=1e-12)
    (compared,) = ratio.containers
    assert_allclose(compared.lines[0].get_ydata(), rebuilt / true)
    band = ratio.collections[0].get_paths()[0].vertices[:, 1]
    assert_allclose(band.max(), 1 + counts.min() ** -0.5)


def test_no_ratio_leaves_unseen(cube):
    """What lies beyond the edge is marked there, in the colour of its method."""
    wrong = cube.rate * np.where(np.arange(len(cube.rate)) == 2, 9, 1)[:, None, None]
    for method, rate, marked in (
        ("wrong", wrong, [cube.axes.energy_center[2]]),
        ("right", cube.rate, []),
    ):
        pair = CubePair(cube, replace(cube, rate=rate))
        ratio = scenario_figures({method: pair})["center"].axes[0]
        compared = ratio.containers[0].lines[0]
        edges = [line for line in ratio.lines if line.get_color() == compared.get_color()]
        edges.remove(compared)
        assert [x for line in edges for x in line.get_xdata()] == marked
        assert all(line.get_ydata() == ratio.get_ylim()[1] for line in edges)
    million = replace(cube, rate=1e6 * cube.rate)
    ratio = scenario_figures({"million": CubePair(cube, million)})["center"].axes[0]
    low, high = ratio.get_ylim()
    assert low < 1 < 1e6 < high


def test_power_laws_of_2015(pairs):
    """The rate falls with an index that is that at the centre; 2015's is one less."""
    names = [
        name for name in legend(scenario_figures(pairs, laws=True)["center"].axes[1]) if "=" in name
    ]
    high, low = sorted((float(name.split("=")[1]) for name in names), reverse=True)
    assert high - low == pytest.approx(1, abs=0.011)  # both to two digits
    assert high == pytest.approx(TINY.truth.center_index, abs=0.05)
    assert len(legend(scenario_figures(pairs)["center"].axes[1])) == 1 + len(pairs)


def test_coverage_of_right_and_of_wrong_errors(pairs):
    """Errors of the histogram cover as Poisson's do; half of them do not."""
    pair = pairs["histogram"]
    cube = pair.reco.per("livetime")
    halved = replace(pair, reco=replace(cube, rate_error=cube.rate_error / 2))
    shown = points(scenario_figures({"right": pair, "halved": halved})["coverage"].axes[0])
    share, spread = shown["right"]
    assert np.all(np.abs(share) < 5 * spread + 2)  # √n errors: within 2 % of a normal's
    assert shown["halved"][0].min() < -25


def test_methods_with_the_same_counts_share_a_line(pairs):
    assert "histogram, michi" in legend(scenario_figures(pairs)["pit"].axes[0])


def test_no_events_at_all(cube):
    """Nothing is drawn, and nothing raises or warns."""
    empty = replace(cube, rate=0 * cube.rate, counts=0 * cube.counts)
    for figure in drawn({"none": CubePair(empty, empty, 0 * cube.rate)}):
        encode(figure)


def test_any_name_of_a_method(pairs):
    """As it is: no formula, no tag, and not left out."""
    names = ["$\\frac{", "_hidden", "<b>&", "two\nlines", "a_b^c"]
    figure = scenario_figures(dict.fromkeys(names, pairs["histogram"]))["coverage"]
    assert set(names) <= {text.strip(" ") for text in legend(figure.axes[0])}
    assert b"<b>" not in encode(figure, "svg")
