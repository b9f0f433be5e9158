"""The figure of two cubes: what is there is drawn, on scales that compare."""

from dataclasses import replace

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.figures.style import encode
from simbg.validation.figures.two_cubes import compare_figure

AXES = Axes(np.geomspace(0.1, 50, 9), np.linspace(-3, 3, 13), np.linspace(-3, 3, 13))
CUBE = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.6, -0.3)).cube(AXES)


def spectra(figure):
    return [axes for axes in figure.axes if axes.get_legend()]


def test_images_of_what_there_is_and_a_power_law_above_a_threshold():
    """Nothing below 1 TeV: images are of what there is, and fits without the noughts."""
    rate = np.where((AXES.energy[:-1] < 1)[:, None, None], 0, CUBE.rate)
    figure = compare_figure(*[replace(CUBE, rate=rate)] * 2)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6
    assert all(np.isfinite(np.ma.filled(image, np.nan)).any() for image in images)
    labels = [text.get_text() for axes in spectra(figure) for text in axes.get_legend().get_texts()]
    indices = [float(label.split("=")[1]) for label in labels if "=" in label]
    # 2.7 at the centre: a fit of noughts below the threshold gives less than 2.
    assert len(indices) == 6
    assert max(indices) > 2.3


def test_bins_without_neighbours_are_drawn():
    """Of the reference, too: or a bin would seem to be in the other alone."""
    rate = CUBE.rate.copy()
    rate[[1, 3]] = 0
    for axes in spectra(compare_figure(replace(CUBE, rate=rate), CUBE)):
        (steps,) = axes.patches
        assert list(np.flatnonzero(np.isnan(steps.get_data().values))) == [1, 3]


@pytest.mark.parametrize("error", [None, 0.1 * CUBE.rate])
def test_residuals_or_pulls(error):
    other = replace(CUBE, rate=1.3 * CUBE.rate, rate_error=0.1 * CUBE.rate)
    figure = compare_figure(CUBE, other, ("true", "rebuilt"), "a title of $x_$", error)
    shown = [axes.images[0] for axes in figure.axes if axes.images][2::3]
    for image in shown:
        # A factor that all pixels have is stated; an image of it would have a single colour.
        assert np.allclose(image.get_array(), 0 if error is None else 3)
    if error is None:
        assert sum("1.3" in axes.get_title(loc="left") for axes in figure.axes) == 1
        assert any("1.3" in text.get_text() for axes in figure.axes for text in axes.texts)
        assert image.get_clim()[0] == -image.get_clim()[1]
    if error is not None:
        assert encode(figure) == encode(figure)


@pytest.mark.parametrize("factor", [0.0, np.nan])
def test_nothing_in_either_is_drawn_too(factor):
    encode(compare_figure(*[replace(CUBE, rate=factor * CUBE.rate)] * 2))
