"""Known answers of the fit, without gammapy."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource
from simbg.validation.impact.expectation import Expectation
from simbg.validation.impact.fit import Fit
from simbg.validation.impact.flux import FluxErrors, FluxRequirement, measure_flux
from simbg.validation.impact.impact import measure_impact
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

AXES = Axes.regular(energy=(0.5, 10, 6), fov=(2.5, 50))
TRUE = GaussianTruth().cube(AXES, livetime=3600)
COUNTS = TRUE.event_rate * 3600
INSTRUMENT = Instrument.simulated()
SOURCES = [TestSource(), TestSource(0.25), TestSource(0.5), TestSource(0.3, "gaussian", 2.0)]
# Fits end at 1e-6 standard errors.
EXACT = 1e-5


def template_of(source, lon=0.6, lat=-0.4):
    return Template.of(source, AXES, lon, lat, INSTRUMENT)


def in_pixels(template):
    parts, (n_energy, n_lon, n_lat) = template.parts, template.counts.shape
    cells = template.counts.reshape(n_energy, n_lon // parts, parts, n_lat // parts, parts)
    image = np.zeros(AXES.shape)
    image[:, *template.box] = cells.sum(axis=(2, 4))
    return image


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_template_holds_all_events_of_the_source(source):
    crab = GammaSource("Crab", 0, 0, index=source.index)
    expected = [float(crab.event_rate(*ends)) * 3600 for ends in pairwise(AXES.energy)]
    # The sum over parts of pixels of 0.6 widths approximates an integral; 3e-5 lie outside.
    counts = template_of(source).counts.sum(axis=(1, 2))
    np.testing.assert_allclose(counts, expected, rtol=2e-3)
    assert counts.sum() == pytest.approx(sum(expected), rel=2e-3)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_perfect_model_and_wrong_norm_give_no_flux(source):
    for factor in (1.0, 1.3, 0.2):
        flux = Fit(AXES, COUNTS, factor * COUNTS).of(template_of(source))
        assert abs(flux.pull) < EXACT
        assert flux.norm == pytest.approx(1 / factor, rel=1e-6)


def test_wrong_index_gives_no_flux_only_if_the_index_is_free():
    model = COUNTS * AXES.energy_center[:, None, None] ** 0.3
    free, fixed = (
        Fit(AXES, COUNTS, model, tilted).of(template_of(SOURCES[2])) for tilted in (1, 0)
    )
    assert abs(free.pull) < EXACT
    assert free.tilt == pytest.approx(-0.3, rel=1e-6)
    assert abs(fixed.pull) > 100 * EXACT


@pytest.mark.parametrize("size", [0.5, 0.75])
def test_bump_of_the_shape_of_the_source_is_its_flux(size):
    """Counts of a source in the true field are found as its flux, and a hole as a negative one."""
    template = template_of(TestSource(size))
    assert template.parts == 1  # otherwise the background is flat in a pixel, and the source is not
    for flux in (0.05, -0.02):
        fitted = Fit(AXES, COUNTS + flux * in_pixels(template), COUNTS).of(template)
        assert fitted.bias == pytest.approx(flux, rel=1e-6)


def test_error_is_that_of_an_optimal_weight():
    """Where the source is small, the norm is known, and the error is (Σ S²/n)^(-1/2)."""
    template = template_of(SOURCES[0])
    flux = Fit(AXES, COUNTS, COUNTS).of(template)
    parts = template.parts
    n = COUNTS[:, *template.box].repeat(parts, 1).repeat(parts, 2) / parts**2
    assert flux.error == pytest.approx(np.sum(template.counts**2 / n) ** -0.5, rel=0.01)


def test_response_is_the_derivative():
    """By finite differences, for bins of the source, next to it, and far away."""
    model = COUNTS * (1 + 0.1 * AXES.fov_lon_center[:, None])
    template, step = template_of(SOURCES[2]), 1e-2
    response = Fit(AXES, COUNTS, model).of(template).response
    for bins in ((0, 31, 21), (2, 34, 21), (5, 3, 3)):
        ends = []
        for sign in (-1, 1):
            changed = model.copy()
            changed[bins] *= np.exp(sign * step)
            ends.append(Fit(AXES, COUNTS, changed).of(template).bias)
        derivative = (ends[1] - ends[0]) / (2 * step)
        # Fits end at 1e-6 standard errors, 1e-8 Crab here.
        assert response[bins] == pytest.approx(derivative, rel=1e-3, abs=1e-8)


def test_half_the_noise_halves_its_contribution():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(40, *AXES.shape))
    scatter = []
    for size in (0.02, 0.01):
        cubes = [replace(TRUE, rate=TRUE.rate * np.exp(size * one)) for one in noise]
        scatter.append(measure_flux(TRUE, cubes).fluxes.std(axis=0))
    # The same noise of both sizes: they differ by its curvature, 0.02² of the rate.
    np.testing.assert_allclose(scatter[0] / scatter[1], 2.0, rtol=0.02)


def test_stated_errors_predict_the_scatter():
    """The error from the stated errors of bins, against models with this noise."""
    rng, size, number = np.random.default_rng(5), 0.05, 200
    stated = replace(TRUE, rate_error=size * TRUE.rate)
    place = measure_impact(TRUE, stated, sources=[TestSource(0.5)], radii=(1.0,)).places[0]
    template = template_of(place.source, place.lon, place.lat)
    biases = [
        Fit(AXES, COUNTS, COUNTS * (1 + size * rng.normal(size=AXES.shape))).of(template).bias
        for _ in range(number)
    ]
    # The standard error of a standard deviation of 200 values is 5 %; three of them.
    assert np.std(biases) == pytest.approx(place.scatter, rel=3 / (2 * number) ** 0.5)


def test_masked_bins_and_unknown_rates_are_not_used():
    """A mask over a quadrant, where the model is very wrong: no flux elsewhere."""
    hidden = np.zeros(AXES.shape, bool)
    hidden[:, :20, :20] = True
    true = replace(TRUE, rate=np.where(hidden, np.nan, TRUE.rate))
    model = replace(TRUE, rate=np.where(hidden, 5, 1) * TRUE.rate)
    impact = measure_impact(true, model, sources=[TestSource(0.5)])
    biases = [p.flux.pull for p in impact.places]
    assert np.isfinite(biases).sum() > 20
    assert np.nanmax(np.abs(biases)) < EXACT


def test_outside_of_a_round_field_nothing_is_observed():
    """A perfect model of a field that ends inside of the image of a source."""
    inside = np.hypot(AXES.fov_lon_center[:, None], AXES.fov_lat_center) < 1.3
    true = replace(TRUE, rate=np.where(inside, TRUE.rate, 0.0))
    impact = measure_impact(true, replace(true, rate=1.2 * true.rate), sources=[TestSource(0.5)])
    whole = measure_impact(TRUE, TRUE, sources=[TestSource(0.5)])
    far, near = (max(one.places, key=lambda p: p.offset).flux for one in (impact, whole))
    assert np.nanmax([abs(place.flux.pull) for place in impact.places]) < EXACT
    assert far.error > 1.2 * near.error  # a part of the source is outside


def test_models_without_livetime_have_the_dead_time_of_the_reference():
    true = replace(TRUE, ontime=1.2 * TRUE.livetime)
    other = true.per("ontime")
    other = replace(other, rate=1.1 * other.rate, livetime=None, ontime=None)
    for pair in ((true, other), (other, true)):
        data = Expectation.of(*pair)
        np.testing.assert_allclose(
            data.model.rate / data.true.rate, (1.1 if pair[0] is true else 1 / 1.1)
        )


@pytest.mark.parametrize("size", [0.0, 0.5])
def test_noise_of_observed_counts(size):
    """Fits of Poisson numbers in pixels that are wider than a point source."""
    axes = Axes.regular(energy=(0.5, 10, 3), fov=(2, 10))
    counts = 50 * GaussianTruth().cube(axes, livetime=3600).event_rate * 3600
    template = Template.of(TestSource(size), axes, 0.5, 0.3, INSTRUMENT)
    rng, number = np.random.default_rng(9), 150
    found = [Fit(axes, rng.poisson(counts), counts).of_observed(template) for _ in range(number)]
    pulls = [flux.bias / flux.noise for flux in found]
    # 3.3 standard errors of a standard deviation.
    assert np.std(pulls) == pytest.approx(1.0, abs=3.3 / (2 * number) ** 0.5)
    expected = Fit(axes, counts, counts).of(template)
    assert expected.noise <= expected.error * (1 + 1e-9)


def test_few_observed_counts():
    """One count in 50 bins: mean 0 and width 1, with free norm and index; many counts as a fit."""
    rng, number, template = np.random.default_rng(11), 200, template_of(TestSource(0.5))
    few = COUNTS * 0.02 * COUNTS.size / COUNTS.sum()
    pulls = np.array(
        [
            [flux.bias / flux.noise, flux.tilt]
            for flux in (
                Fit(AXES, rng.poisson(few), few, True).of_observed(template) for _ in range(number)
            )
        ]
    )
    assert abs(pulls[:, 0].mean()) < 3.3 / number**0.5
    assert pulls[:, 0].std() == pytest.approx(1.0, abs=3.3 / (2 * number) ** 0.5)
    many = COUNTS + 0.02 * in_pixels(template)
    model = 1.1 * COUNTS * AXES.energy_center[:, None, None] ** 0.2
    step, fit = (
        getattr(Fit(AXES, many, model, True), name)(template) for name in ("of_observed", "of")
    )
    # A flux of 2 % of the Crab: the step is linear, but for the index of the background.
    assert step.bias == pytest.approx(fit.bias, rel=0.1)
    assert step.tilt == pytest.approx(fit.tilt, abs=0.01)
    assert step.error == pytest.approx(fit.error, rel=0.1)


def test_index_of_one_energy_bin_is_not_fitted():
    one = TRUE[2:3]
    result = measure_impact(one, one, sources=[TestSource(0.5)], tilted=True)
    assert abs(result.worst(TestSource(0.5)).flux.pull) < EXACT


def test_fields_without_a_place_or_a_background_are_refused():
    small = Axes.regular(energy=(0.5, 10, 2), fov=(0.3, 3))
    true = GaussianTruth().cube(small, livetime=3600)
    with pytest.raises(ValueError, match=r"0\.3 deg"):
        measure_impact(true, true)
    with pytest.raises(ValueError, match="no background"):
        measure_flux(true, [true])
    empty = replace(TRUE, rate=0 * TRUE.rate)
    for name, pair in (("reference", (empty, TRUE)), ("model", (TRUE, empty))):
        with pytest.raises(ValueError, match=name):
            measure_impact(*pair)
    with pytest.raises(ValueError, match="nan"):
        TestSource(0.5, index=np.nan)


def test_requirement():
    assert FluxRequirement.parse("flux:1%") == FluxRequirement(0.01, 50.0, 0.5)
    assert FluxRequirement.parse("flux:2%@20,0.25") == FluxRequirement(0.02, 20.0, 0.25)
    for text in (
        "flux:",
        "flux:1",
        "flux:0%",
        "flux:200%",
        "flux:1%@50",
        "flux:1%@0,0.5",
        "flux:x%",
    ):
        with pytest.raises(ValueError, match="expected flux:PERCENT"):
            FluxRequirement.parse(text)


def test_false_alarms_of_the_requirement():
    """Models whose rms error is the limit fail at most as often as stated."""
    rng, failed, called_good = np.random.default_rng(6), 0, 0
    for _ in range(2000):
        errors = FluxErrors(TestSource(0.5), rng.normal(size=(4, 16)), np.ones(16))
        larger, smaller = errors.pvalues(1.0)
        failed += larger < 0.05
        called_good += smaller < 0.05
    # 0.05 for the largest of 16 independent places; it is never called good at the limit.
    assert 60 < failed < 140
    assert called_good == 0
    large = FluxErrors(TestSource(0.5), 3 * rng.normal(size=(8, 16)), np.ones(16))
    assert large.pvalues(1.0)[0] < 1e-3
    small = FluxErrors(TestSource(0.5), 0.1 * rng.normal(size=(8, 16)), np.ones(16))
    assert small.pvalues(1.0)[1] < 0.05
