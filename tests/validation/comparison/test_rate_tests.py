"""Tests of rates from one draw: right cubes pass, whatever their noise; wrong rates are found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.one_draw import AXES, TRUTH, draw, make_cube

from simbg.cube import BackgroundCube
from simbg.validation.comparison.compare import compare
from simbg.validation.metrics.metric import in_sigma

# Kinds of A and of B.
KINDS = (
    ("raw", "raw"),
    ("truth", "raw"),
    ("truth", "smooth"),
    ("truth", "smooth bare"),
    ("truth", "template"),
    ("truth", "exact"),
    ("raw", "half"),
    ("truth", "half"),
    ("raw", "smooth"),
    ("smooth", "smooth"),
)


def pairs(kinds, number, seed, livetime):
    """Independent cubes of the same truth; two of the same kind have different exposures."""
    rng = np.random.default_rng([seed, KINDS.index(kinds)])
    a, b = kinds
    for _ in range(number):
        yield draw(a, rng, livetime / 3 if a == b else livetime), draw(b, rng, livetime)


def study(kinds, number=12, seed=21, livetime=20_000.0):
    """The comparisons of pairs; with 1,500 and other exposures the study in STATISTICS.md."""
    return [compare(a, b) for a, b in pairs(kinds, number, seed, livetime)]


@pytest.mark.parametrize("kinds", KINDS)
def test_right_cubes_agree(kinds):
    """At 1e-3 more than one of 12 has odds of 7e-5; p below 0.1 in more than 6 of 12: 5e-5."""
    found = study(kinds)
    number = len(found)
    alarms = [f.verdict for f in found if not f.agree]
    assert stats.binom.sf(len(alarms) - 1, number, 1e-3) > 1e-4, alarms
    low = sum(f.pvalue < 0.1 for f in found)
    assert stats.binom.sf(low - 1, number, 0.1) > 1e-4
    for f in found:
        assert f.agree == (f.pvalue >= 1e-3)


def test_errors_of_expected_counts():
    """σ = √λ, where many bins expect less than 0.01: one count there is no difference."""
    truth, rng = draw("truth", None), np.random.default_rng(31)
    for livetime in np.repeat([200.0, 20_000.0], 5):
        expected = TRUTH.integrate(AXES) * livetime
        made = make_cube(rng.poisson(expected), np.sqrt(expected), None, livetime)
        assert compare(truth, made).agree
    # Where errors are small a wrong rate is found, too high or too low.
    for factor in (2.0, 0.2):
        rate = made.rate.copy()
        rate[0, 4, 5] *= factor
        assert not compare(truth, replace(made, rate=rate)).agree


def test_the_truth_itself_is_not_too_good():
    """The true rate, with counts: no scatter at all is no difference."""
    rng = np.random.default_rng(4)
    assert compare(draw("truth", rng), draw("exact", rng)).agree
    assert compare(draw("raw", rng), draw("exact", rng)).agree


BASES = "raw", "smooth", "smooth bare", "template"
QUADRUPOLE = np.sqrt(2) * np.cos(2 * np.arctan2(AXES.fov_lat_center, AXES.fov_lon_center[:, None]))


@pytest.mark.parametrize("base", BASES)
def test_wrong_rates_with_honest_counts_are_found(base):
    """A bin wrong by 100 %, with counts and a sum of all rates that are right."""
    cube = draw(base, np.random.default_rng(6), 60_000.0)
    events = cube.event_rate.copy()
    events[1, 4, 5] -= events[1, 2, 3]
    events[1, 2, 3] *= 2
    rate = np.where(events == cube.event_rate, cube.rate, events / AXES.volume)
    assert rate.min() >= 0
    found = compare(draw("truth", None), replace(cube, rate=rate))
    assert not found.agree
    assert found.measures["count_deviance"].value < 3
    if base == "raw":
        assert "2 of 324 bins" in found.verdict
    else:
        assert "rate_deviance" in found.differs_in or "directions" in found.differs_in


@pytest.mark.parametrize("base", BASES)
def test_smooth_differences_are_found_and_named(base):
    """A norm off by 3 %, and a quadrupole of 5 % rms, in 450,000 events.

    Without counts, bins are tested one by one; their smallest errors are 1 %.
    """
    cube, truth = draw(base, np.random.default_rng(8), 60_000.0), TRUTH.cube(AXES)
    found = compare(truth, replace(cube, rate=1.05 * cube.rate, counts=None))
    norm = compare(replace(truth, rate=truth.rate / 1.03), cube)
    assert not found.agree
    assert norm.norm_only.startswith(("+3", "+2"))
    assert norm.sentence.startswith("the shape agrees")
    assert norm.shape_agrees
    found = compare(replace(truth, rate=truth.rate * (1 + 0.05 * QUADRUPOLE)), cube)
    assert "directions" in found.differs_in
    assert any("quadrupole" in one.name and one.relative < -0.03 for one in found.directions)
    assert not found.norm_only


def test_errors_without_counts_are_tested_in_single_bins():
    """Correlations of bins are not known without counts; a template with an error of 3 % passes."""
    rng, truth = np.random.default_rng(9), TRUTH.cube(AXES)
    found = []
    for factor in 1 + 0.03 * rng.normal(size=12):
        model = BackgroundCube(AXES, factor * truth.rate, 0.03 * truth.rate)
        found.append(compare(truth, model))
        tested = [name for name, m in found[-1].measures.items() if m.limit is not None]
        assert tested == ["largest_bin"]
    assert all(f.agree for f in found)
    wrong = truth.rate.copy()
    wrong[1, 2, 3] *= 1.3
    assert not compare(truth, BackgroundCube(AXES, wrong, 0.03 * truth.rate)).agree
    assert compare(truth, BackgroundCube(AXES, wrong, 0.1 * truth.rate)).agree


def test_how_many_draws_there_are_is_said():
    rng = np.random.default_rng(10)
    a, b, truth = draw("raw", rng), draw("raw", rng), draw("truth", rng)
    assert "from one cube each" in compare(a, b).verdict
    assert "from one cube," in compare(truth, b).verdict
    assert "from one cube" not in compare(truth, truth).verdict


def test_half_of_the_events_with_the_errors_of_all_is_found():
    """Errors of √n for a cube with the noise of half of the events: too small by √2."""
    rng = np.random.default_rng(11)
    livetime = 60_000.0
    counts = rng.poisson(TRUTH.integrate(AXES) * livetime)
    half = 2 * rng.binomial(counts, 0.5)
    found = compare(draw("truth", rng), make_cube(half, np.sqrt(counts), counts, livetime))
    assert "rate_deviance" in found.differs_in


def test_smooth_cubes_are_compared_in_percent():
    """A rate that is 3 % too high, far less than the noise of raw counts: √(n bins / n events)."""
    cube = draw("exact", np.random.default_rng(5), 6_000.0)
    found = compare(draw("truth", None), replace(cube, rate=1.03 * cube.rate))
    assert found.measures["rate_deviance"].value < -found.measures["rate_deviance"].limit
    noise = np.sqrt(cube.rate.size / (TRUTH.integrate(AXES).sum() * 6_000.0))
    numbers = re.findall(r"([\d.]+)%", found.significance("rate_deviance"))
    assert numbers == ["3.00", f"{100 * noise:.2f}"]
    # Where a deviate has a meaning it is stated.
    worse = compare(draw("truth", None), replace(cube, rate=(1 + 10 * noise) * cube.rate))
    assert in_sigma(worse.measures["rate_deviance"].value) in worse.significance("rate_deviance")


def test_cubes_of_the_same_events_have_no_deviate():
    cube = draw("raw", np.random.default_rng(6))
    assert not re.search(r"\d", compare(cube, cube).significance("count_deviance"))
