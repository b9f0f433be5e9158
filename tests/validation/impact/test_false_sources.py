"""Expected numbers of false sources against simulated fields."""

import numpy as np
import pytest
from scipy import ndimage, signal

from simbg.axes import Axes
from simbg.validation.impact.false_sources import SignificanceMap, peak_density
from simbg.validation.impact.fit import Fit
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

PSF, PIXEL = 0.1, 0.0125
SOURCES = [TestSource(), TestSource(0.2), TestSource(0.15, "gaussian")]


def maps(source, number, mean, rng, size=400):
    """Maps of significance: white noise, filtered with the image of the source, and a mean."""
    reach = int(source.reach(PSF) / PIXEL)
    x = PIXEL * np.arange(-reach, reach + 1)
    kernel = source.density(np.hypot(x[:, None], x), PSF)
    kernel /= np.sqrt(np.sum(kernel**2))
    for _ in range(number):
        yield signal.fftconvolve(rng.normal(size=(size, size)), kernel, mode="valid") + mean


def peaks(values):
    """Heights of the local maxima that are not on the edge, and their area in deg2."""
    highest = ndimage.maximum_filter(values, 3) == values
    inside = highest[1:-1, 1:-1]
    return values[1:-1, 1:-1][inside], inside.size * PIXEL**2


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_numbers_of_peaks(source):
    """Above 2, 3 and 4 σ; 3.3 standard deviations of a Poisson number, and 2 % for the pixels."""
    rng, heights, area = np.random.default_rng(7), [], 0.0
    for one in maps(source, 40, 0.0, rng):
        found, size = peaks(one)
        heights.append(found)
        area += size
    heights = np.concatenate(heights)
    for threshold in (2.0, 3.0, 4.0):
        expected = area * float(peak_density(threshold, source, PSF))
        number = np.count_nonzero(heights > threshold)
        assert abs(number - expected) < 3.3 * expected**0.5 + 0.02 * expected
    assert np.count_nonzero(heights > 2) > 100  # a control


def test_planted_bias_makes_false_sources():
    """A field whose mean is 2.5 σ has as many peaks above 5 σ as an empty one above 2.5 σ."""
    source, area, number = TestSource(), 0.0, 0
    axes = Axes.regular(energy=(0.5, 10, 1), fov=(1, 20))
    for one in maps(source, 20, 2.5, np.random.default_rng(8)):
        found, size = peaks(one)
        number += np.count_nonzero(found > 5)
        area += size
    shifted = SignificanceMap(axes, np.full((20, 20), 2.5 / 50**0.5), source, PSF)
    field = 4.0  # deg2
    expected = shifted.expected(5.0, hours=50.0) * area / field
    # The field is a part of a sphere: 4 deg2 to 1e-4.
    assert abs(number - expected) < 3.3 * expected**0.5 + 0.02 * expected
    assert expected > 100 * area * float(peak_density(5.0, source, PSF))


@pytest.mark.parametrize(
    "edges", [np.linspace(-0.5, 0.5, 11), [-2, -1.5, -1, *np.arange(-7, 6) / 10, 1]]
)
def test_map_of_uneven_pixels_and_of_small_fields(edges):
    """The template differs from pixel to pixel."""
    axes, source = Axes([0.5, 2, 10], edges, edges), TestSource(0.4)
    lon, lat = axes.fov_lon_center[:, None], axes.fov_lat_center
    true = 1e4 * np.exp(-0.1 * (lon**2 + lat**2)) * axes.solid_angle / axes.solid_angle.max()
    true = np.broadcast_to(true, axes.shape)
    model = true * (1 + 0.01 * np.cos(3 * lon + 0.3) * np.cos(2 * lat + 0.5))
    instrument, fit = Instrument.simulated(), Fit(axes, true, model)
    shown = SignificanceMap.of(axes, true, model, source, instrument).mean
    for place in ((5, 5), (0, 3), (9, 8)):
        where = float(axes.fov_lon_center[place[0]]), float(axes.fov_lat_center[place[1]])
        exact = fit.of(Template.of(source, axes, *where, instrument)).pull
        assert shown[place] == pytest.approx(exact, rel=0.03, abs=0.02 * np.nanmax(abs(shown)))


def test_map_of_observed_counts():
    """Most bins have no count; their scatter around a perfect model is one standard deviation."""
    axes = Axes.regular(energy=(0.5, 10, 4), fov=(2, 40))
    model, source = np.full(axes.shape, 0.3), TestSource(0.3)
    counts = np.random.default_rng(10).poisson(np.repeat(model[None], 30, axis=0))
    given = Instrument.simulated(), True
    shown = [SignificanceMap.of(axes, one, model, source, *given).mean for one in counts]
    center = np.array(shown)[:, 10:30:5, 10:30:5]
    # 480 values, about half of them independent: 3.3 standard errors.
    assert abs(center.mean()) < 3.3 / 240**0.5
    assert abs(center.std() - 1) < 3.3 / 480**0.5


def test_map_is_that_of_fits_at_each_place():
    """The linear map against fits with Newton's method, for a model with small waves."""
    axes = Axes.regular(energy=(0.5, 10, 4), fov=(2, 40))
    lon, lat = axes.fov_lon_center[:, None], axes.fov_lat_center
    true = 50.0 * np.exp(-0.1 * (lon**2 + lat**2)) * np.ones(axes.shape)
    model = true * (1 + 0.02 * np.cos(3 * lon) * np.cos(2 * lat))
    source, instrument = TestSource(0.3), Instrument.simulated()
    shown = SignificanceMap.of(axes, true, model, source, instrument)
    fit = Fit(axes, true, model)
    for place in ((20, 20), (25, 14), (12, 30)):
        where = float(axes.fov_lon_center[place[0]]), float(axes.fov_lat_center[place[1]])
        exact = fit.of(Template.of(source, axes, *where, instrument)).pull
        assert shown.mean[place] == pytest.approx(exact, rel=0.03, abs=0.02 * np.nanmax(shown.mean))
