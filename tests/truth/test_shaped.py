"""A truth with the features of a real background: density, integrals and events agree."""

import json
import pickle
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.quadrature import panels
from support.sampling import FALSE_ALARM, worst_p_value

from simbg.axes import Axes, edition2015_axes
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth

# What is asked of a bin that holds more than 1e-12 of all events; the reference has 1e-12.
RTOL = 1e-9

BASE = GaussianTruth(
    index=2.6,
    event_rate=50.0,
    energy_range=(0.1, 60.0),
    sigma=(1.5, 2.5),
    peak=(0.7, -0.4),
    zenith_slope=0.3,
)
DEAD = ((-1.0, -0.3, 0.5, 1.1), (1.2, 2.5, -3.0, -2.2))
FACTORS = {
    "curvature": {"curvature": 0.15},
    "zenith": {"zenith_power": -1.5, "zenith_hardening": 1.7},
    "turn-on": {"turn_on_energy": 0.17},
    "gradient": {"gradient": (0.09, -0.05)},
    "ring": {"ring_depth": 0.94},
    "dead": {"dead": DEAD},
}
FULL = ShapedTruth(BASE, **{k: v for factor in FACTORS.values() for k, v in factor.items()})
TRUTHS = {name: ShapedTruth(BASE, **factor) for name, factor in FACTORS.items()} | {
    "full": FULL,
    # Far from what is real: each scale of the quadrature is stretched.
    "harsh": replace(
        FULL,
        base=replace(BASE, sigma=(3.0, 0.6), index=1.0, normalization="center"),
        curvature=1.0,
        zenith_hardening=6.0,
        turn_on_energy=0.4,
        turn_on_power=30.0,
        gradient=(-0.7, 1.0),
        ring_depth=0.999,
        ring_radius=0.3,
        ring_energy=0.7,
        ring_power=20.0,
    ),
}


# The formula, written again ---------------------------------------------------------------------


def factor(truth, energy, lon, lat, zenith):
    """What the docstring multiplies the base with."""
    t, cosine = truth, np.cos(np.radians(zenith))
    g = 1 + np.tanh(t.gradient[0] * lon + t.gradient[1] * lat)
    depth = t.ring_depth / (1 + (t.ring_energy / energy) ** t.ring_power)
    ring = 1 - depth * np.exp(-(lon**2 + lat**2) / (2 * t.ring_radius**2))
    z = cosine**t.zenith_power * energy ** (t.zenith_hardening * abs(np.log(cosine)))
    threshold = t.turn_on_energy * cosine**-t.turn_on_zenith
    turn_on = 1 / (1 + (threshold / energy) ** t.turn_on_power)
    return np.exp(-t.curvature * np.log(energy) ** 2) * z * turn_on * g * ring


def density(truth, energy, lon, lat, zenith):
    """Events per s, TeV and deg²; dead rectangles left to the limits of the integrals."""
    base = truth.base
    s = np.log(base.sigma[1] / base.sigma[0]) / np.log(base.sigma_energy[1] / base.sigma_energy[0])
    index = base.index - (2 * s if base.normalization == "center" else 0)
    low, high = base.energy_range
    norm = np.log(high / low) if index == 1 else (low ** (1 - index) - high ** (1 - index))
    norm /= 1 if index == 1 else index - 1
    sigma = base.sigma[0] * (energy / base.sigma_energy[0]) ** s
    square = (lon - base.peak[0]) ** 2 + (lat - base.peak[1]) ** 2
    gauss = np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)
    total = base.event_rate * (1 - base.zenith_slope * zenith / 90)
    spectrum = energy**-index / norm
    return total * spectrum * gauss * factor(truth, energy, lon, lat, zenith)


def brute_box(truth, energy, lon, lat, zenith):
    """∫∫∫ over a box without dead parts: panels are doubled until nothing changes by 1e-11.

    In ln E they have a width for good: a step as E^k is smooth (its poles are π/k off) over 4/k.
    """
    last = np.inf
    log_e, w_e = panels(
        *np.log(energy),
        int(np.ceil(np.log(energy[1] / energy[0]) * max(2, truth.turn_on_power / 4))),
    )
    for number in (1, 2, 4, 8, 16):
        (x, w_x), (y, w_y) = panels(*lon, number), panels(*lat, number)
        e = np.exp(log_e)
        total = 0.0
        for i in range(0, e.size, 5):  # in the cache
            part = slice(i, i + 5)
            n = density(truth, e[part, None, None], x[:, None], y, zenith)
            total += (w_e[part] * e[part]) @ ((n @ w_y) @ w_x)
        if abs(total - last) <= 1e-11 * total:
            return total
        last = total
    raise AssertionError("the reference integral does not converge")


def brute(truth, energy, lon, lat, zenith):
    """As above, over what is alive: the box is cut along all edges of dead rectangles."""
    low, high = np.clip(energy, *truth.base.energy_range)
    if low >= high:
        return 0.0
    edges = [
        np.unique(np.clip([*pair, *(box[i + j] for box in truth.dead for j in (0, 1))], *pair))
        for i, pair in ((0, lon), (2, lat))
    ]
    total = 0.0
    for x in zip(edges[0][:-1], edges[0][1:], strict=True):
        for y in zip(edges[1][:-1], edges[1][1:], strict=True):
            middle = np.mean(x), np.mean(y)
            if not any(b[0] < middle[0] < b[1] and b[2] < middle[1] < b[3] for b in truth.dead):
                total += brute_box(truth, (low, high), x, y, zenith)
    return total


# Exact integrals --------------------------------------------------------------------------------

# Pixels are cut by dead rectangles, one lies inside of one; bins are cut by the energy range.
BINS = Axes([0.08, 0.14, 1.1, 90.0], [-2.0, -0.7, -0.4, 1.5, 2.2], [-2.7, 0.6, 1.0])


@pytest.mark.parametrize(("zenith", "energy_min"), [(0.0, 0.0), (52.0, 0.31)])
@pytest.mark.parametrize("name", TRUTHS)
def test_bin_integrals_are_exact(name, zenith, energy_min):
    """All bins, with a threshold inside one: no axis can be taken for another."""
    truth = TRUTHS[name]
    got = truth.integrate(BINS, zenith, energy_min)
    total = truth.integrate(BINS, zenith).sum()
    for i, j, k in np.ndindex(BINS.shape):
        low, high = BINS.energy[i : i + 2]
        box = (max(low, energy_min), high), BINS.fov_lon[j : j + 2], BINS.fov_lat[k : k + 2]
        expected = brute(truth, *box, zenith) if box[0][0] < high else 0.0
        if expected == 0:
            assert got[i, j, k] == 0
        elif expected > 1e-12 * total:
            assert_allclose(got[i, j, k], expected, rtol=RTOL, atol=0)
        else:
            assert 0 < got[i, j, k] < 2e-12 * total


def test_turn_on_and_threshold_inside_of_a_bin():
    """A steep turn-on in the middle of a wide bin, and one cut above, on and below it."""
    truth = replace(TRUTHS["turn-on"], turn_on_power=50.0, turn_on_energy=0.9)
    axes = Axes([0.5, 2.0], [-1.0, 0.3], [-0.2, 1.7])
    for energy_min in (0.0, 0.7, 0.9, 1.3, 1.99999):
        got = truth.integrate(axes, 0.0, energy_min).item()
        box = (max(0.5, energy_min), 2.0), axes.fov_lon, axes.fov_lat
        assert_allclose(got, brute(truth, *box, 0.0), rtol=RTOL, atol=0)
    assert truth.integrate(axes, 0.0, 2.0).item() == 0


@pytest.mark.parametrize("name", ["full", "harsh"])
def test_fine_bins_add_up(name):
    """The binning of 2015 against each 10 × 10 pixels and 2 energies of it: other panels."""
    truth, fine = TRUTHS[name], edition2015_axes()
    coarse = Axes(fine.energy[::2], fine.fov_lon[::10], fine.fov_lat[::10])
    summed = truth.integrate(fine, 40.0).reshape(10, 2, 6, 10, 6, 10).sum(axis=(1, 3, 5))
    expected = truth.integrate(coarse, 40.0)
    much = expected > 1e-12 * expected.sum()
    assert much.sum() > 0.4 * much.size
    assert_allclose(summed[much], expected[much], rtol=RTOL, atol=0)


@pytest.mark.parametrize(
    "base",
    [
        GaussianTruth(),
        GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
        GaussianTruth(index=1.0, sigma=(4.0, 1.0), sigma_energy=(0.2, 30.0)),
        BASE,
    ],
    ids=["default", "center", "narrowing", "peaked"],
)
def test_with_everything_off_it_is_its_base(base):
    """1e-12: both quadratures in energy are the same, that in the field of view is as good."""
    truth = ShapedTruth(base)
    for zenith, energy_min in ((0.0, 0.0), (37.0, 0.3), (90.0, 5.0)):
        got, expected = (t.integrate(BINS, zenith, energy_min) for t in (truth, base))
        assert_allclose(got, expected, rtol=1e-12, atol=0)
    point = [0.05, 0.3, 20.0], [1.0, -2.0, 0.5], [-0.7, 0.1, 3.0]
    assert_array_equal(truth.rate(*point, zenith=20.0), base.rate(*point, zenith=20.0))


def test_tails_in_wide_pixels():
    """To 7 σ and beyond in pixels of 2 or 3 σ, against the closed form of the base."""
    base = GaussianTruth(sigma=(0.5, 1.0), peak=(0.3, -0.8))
    axes = Axes(np.geomspace(0.1, 100, 4), np.linspace(-9, 9, 13), np.linspace(-8, 8, 12))
    got, expected = (truth.integrate(axes) for truth in (ShapedTruth(base), base))
    much = expected > 1e-12 * expected.sum()
    assert_allclose(got[much], expected[much], rtol=RTOL, atol=0)
    assert_allclose(got[~much], expected[~much], rtol=0, atol=2e-12 * expected.sum())
    assert 0.2 < much.mean() < 0.8


def test_huge_field_holds_the_base_total():
    axes = Axes(np.geomspace(0.001, 1000, 4), [-179.0, 1.0, 179.0], [-89.0, 5.0, 89.0])
    assert_allclose(
        ShapedTruth(BASE).integrate(axes, 20.0).sum(), BASE.total_rate(20.0), rtol=1e-12
    )


@pytest.mark.parametrize(
    "faint",
    [
        {"curvature": 1e-9},
        {"zenith_power": 1e-9, "zenith_hardening": 1e-9},
        {"turn_on_energy": 1e-4},
        {"gradient": (1e-10, -1e-10)},
        {"ring_depth": 1e-10},
        {"dead": ((0.1, 0.1 + 1e-10, -1.0, 1.0),)},
    ],
    ids=str,
)
def test_limits_are_the_base(faint):
    """Each factor, on but next to nothing: (1e-4 / 0.1)⁴ = 1e-12 of a turn-on is the least."""
    got = ShapedTruth(BASE, **faint).integrate(BINS, 30.0)
    assert_allclose(got, BASE.integrate(BINS, 30.0), rtol=1e-8, atol=0)
    assert np.any(got != ShapedTruth(BASE).integrate(BINS, 30.0))


# Factors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zenith", [0.0, 33.0, 75.0])
@pytest.mark.parametrize("name", TRUTHS)
def test_rate_is_the_base_times_its_factors(name, zenith):
    truth = TRUTHS[name]
    energy = np.geomspace(0.1, 59.0, 5)[:, None, None]
    lon, lat = np.linspace(-3, 2, 7)[:, None], np.linspace(-2.5, 4, 6)
    dead = np.zeros((7, 6), bool)
    for low, high, bottom, top in truth.dead:
        dead |= (lon > low) & (lon < high) & (lat > bottom) & (lat < top)
    expected = truth.base.rate(energy, lon, lat, zenith) * factor(truth, energy, lon, lat, zenith)
    # 1 + tanh loses four digits of 1e-16 in the harsh one, where it is 1e-4.
    got = truth.rate(energy, lon, lat, zenith)
    assert_allclose(got, expected * ~dead, rtol=1e-11, atol=0)
    assert dead.any() == bool(truth.dead)


def test_ring_is_as_hollow_as_its_docstring_says():
    """The figures have two digits."""
    truth = ShapedTruth(ring_depth=0.94)
    center, edge = (truth.rate([1.0, 7.5, 15.0], x, 0.0) for x in (0.0, 2.5))
    assert edge[0] < center[0]
    assert_allclose((edge / center)[1:], [2.7, 8.0], rtol=0.02)


def test_gradient_is_relative_to_the_centre():
    truth, h = ShapedTruth(gradient=(0.09, -0.05)), 1e-5
    for step, slope in (((h, 0.0), 0.09), ((0.0, h), -0.05)):
        up, down = (truth.rate(1.0, *(sign * s for s in step)) for sign in (1, -1))
        # Next in h² and in rounding, 1e-16 / 1e-5.
        assert_allclose((up - down) / (2 * h * truth.rate(1.0, 0.0, 0.0)), slope, rtol=1e-8)


def test_threshold_rises_with_zenith():
    """At E_on half is left: 0.17 TeV at zenith 0, and 2^2.5 times that at 60 deg."""
    truth, base = TRUTHS["turn-on"], BASE
    for zenith, energy in ((0.0, 0.17), (60.0, 0.17 * 2**2.5)):
        ratio = truth.rate(energy, 0.5, 0.5, zenith) / base.rate(energy, 0.5, 0.5, zenith)
        assert_allclose(ratio, 0.5, rtol=1e-12)


def test_hard_part_rises_with_zenith_while_the_total_falls():
    """As H.E.S.S. has it: above 1 TeV three times as much at 55 as at 15 deg, in all 0.6."""
    truth = replace(FULL, base=replace(BASE, zenith_slope=0.0))
    axes = Axes([0.1, 1.0, 60.0], [-2.5, 2.5], [-2.5, 2.5])
    low, high = (truth.integrate(axes, zenith)[:, 0, 0] for zenith in (15.0, 55.0))
    assert high[1] > 1.5 * low[1]
    assert high.sum() < 0.7 * low.sum()


# Events -----------------------------------------------------------------------------------------

SAMPLING_AXES = Axes(
    np.geomspace(0.1, 60, 14)[[0, 1, 2, 3, 4, 5, 7, 9, 13]],
    [-9.0, -4, -2.1, -1.0, -0.6, -0.3, 0.9, 1.2, 2.5, 4.4, 9],
    [-8.0, -4, -3.0, -2.2, -1.1, 0.0, 0.5, 1.1, 1.9, 3.3, 6, 10],
)


def drawn(truth, n_expected, zenith, seed):
    """Counts and expectation; what lies in dead rectangles is in neither."""
    expected = truth.integrate(SAMPLING_AXES, zenith)
    livetime = n_expected / expected.sum()
    events = truth.draw(livetime, zenith, np.random.default_rng(seed))
    return SAMPLING_AXES.fill(*events), expected * livetime


@pytest.mark.parametrize(("zenith", "seed"), [(0.0, 1), (40.0, 2)])
def test_events_agree_with_integrals(zenith, seed):
    counts, expected = drawn(FULL, 2_000_000, zenith, seed)
    assert np.count_nonzero(expected == 0) == 24  # three dead pixels at eight energies
    assert worst_p_value(counts, expected) > FALSE_ALARM
    # 5 σ of the number of events: 6e-7.
    assert abs(counts.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())


@pytest.mark.parametrize("name", [*FACTORS, "harsh"])
def test_events_of_each_factor_agree_with_integrals(name):
    # Of a hundred events the harsh turn-on leaves one.
    counts, expected = drawn(TRUTHS[name], 10_000 if name == "harsh" else 300_000, 40.0, 3)
    assert worst_p_value(counts, expected) > FALSE_ALARM


@pytest.fixture(scope="module")
def some_events():
    return drawn(FULL, 800_000, 40.0, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"curvature": 0.14},
        {"zenith_hardening": 1.6},
        {"turn_on_energy": 0.172},
        {"gradient": (0.08, -0.05)},
        {"gradient": (-0.05, 0.09)},
        {"ring_depth": 0.7},
        {"dead": DEAD[:1]},
    ],
    ids=str,
)
def test_control_events_of_another_truth_are_found(some_events, wrong):
    counts, expected = some_events
    truth, other = (t.integrate(SAMPLING_AXES, 40.0) for t in (FULL, replace(FULL, **wrong)))
    assert (
        worst_p_value(counts, other * expected.sum() / truth.sum())
        < FALSE_ALARM
        < worst_p_value(counts, expected)
    )


def test_number_of_events_is_poisson():
    """Variance ÷ mean of 1000 numbers is 1 ± 0.045: at 5 σ a false-alarm rate of 6e-7."""
    rng, truth = np.random.default_rng(5), TRUTHS["gradient"]
    livetime = 100 / truth.integrate(Axes([0.1, 60], [-60, 60], [-60, 60]), 20.0).sum()
    number = np.array([truth.draw(livetime, 20.0, rng)[0].size for _ in range(1000)])
    assert abs(number.mean() - 100) < 5 * np.sqrt(100 / 1000)
    assert abs(number.var() / number.mean() - 1) < 5 * np.sqrt(2 / 1000)


@pytest.mark.parametrize("zenith", [0.0, 40.0])
def test_gaussian_draws_a_poisson_number_and_then_its_events(zenith):
    """The order in which the generator is asked, which simulated data depend on."""
    energy, fov_lon, fov_lat = BASE.draw(300.0, zenith, np.random.default_rng(6))
    rng = np.random.default_rng(6)
    number = rng.poisson(BASE.total_rate(zenith) * 300.0)
    assert_array_equal((energy, fov_lon, fov_lat), BASE.sample(number, rng))


# Values -----------------------------------------------------------------------------------------


def swapped(truth):
    """The truth with fov_lon and fov_lat in each other's place."""
    dead = [(*box[2:], *box[:2]) for box in truth.dead]
    base = replace(truth.base, peak=truth.base.peak[::-1])
    return replace(truth, base=base, gradient=truth.gradient[::-1], dead=dead)


def test_what_is_kept_is_of_this_truth_and_these_axes():
    """Asked in turns, all answer as their mirror images do; and what they gave is nobody else's."""
    others = Axes(BINS.energy, BINS.fov_lat, BINS.fov_lon)
    for _ in range(2):
        for name in ("gradient", "ring", "full"):
            truth = TRUTHS[name]
            for axes, mirrored in ((BINS, others), (others, BINS)):
                for zenith, energy_min in ((0, 0), (50, 0.31)):
                    got = truth.integrate(axes, zenith, energy_min)
                    expected = swapped(truth).integrate(mirrored, zenith, energy_min)
                    assert_allclose(got, expected.transpose(0, 2, 1), rtol=1e-9, atol=1e-15)
                    got[:] = np.nan


def test_is_a_plain_value():
    assert hash(replace(FULL, curvature=0.0)) != hash(FULL) == hash(replace(FULL))
    facts = json.loads(json.dumps(asdict(FULL)))
    again = ShapedTruth(
        **facts
        | {
            "base": GaussianTruth(
                **{key: tuple(v) if isinstance(v, list) else v for key, v in facts["base"].items()}
            )
        }
    )
    assert again == FULL
    assert hash(again) == hash(FULL)
    FULL.integrate(BINS)
    assert pickle.loads(pickle.dumps(FULL)) == FULL


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": GaussianTruth(quadrant=True)},
        {"base": 7.0},
        {"curvature": -0.1},
        {"curvature": np.nan},
        {"zenith_power": np.inf},
        {"zenith_hardening": -11},
        {"turn_on_energy": -1.0},
        {"turn_on_power": 0.0},
        {"turn_on_zenith": -1.0},
        {"ring_depth": 1.0},
        {"ring_radius": 0.0},
        {"ring_energy": 0.0},
        {"ring_power": -3.0},
        {"gradient": (0.1, 2.0)},
        {"gradient": (0.1,)},
        {"dead": ((1.0, 0.0, 0.0, 1.0),)},
        {"dead": ((0.0, 1.0, 0.0),)},
        {"dead": ((0.0, 1.0, 0.0, np.nan),)},
    ],
    ids=str,
)
def test_impossible_parameters_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=re.escape(f"{name}: got {value}, expected ")) as caught:
        ShapedTruth(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zenith", "turn-on", "ring"])
@pytest.mark.parametrize("zenith", [-1.0, 91.0, np.nan])
def test_impossible_zenith_is_named(name, zenith):
    truth = TRUTHS[name]
    for call in (
        lambda: truth.integrate(BINS, zenith),
        lambda: truth.rate(1.0, 0.0, 0.0, zenith),
        lambda: truth.draw(1.0, zenith, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match=r"zenith: got .* expected 0 to"):
            call()


def test_zenith_next_to_the_horizon_is_refused_where_its_cosine_counts():
    with pytest.raises(ValueError, match="zenith: got 86 deg, expected 0 to 85"):
        FULL.integrate(BINS, 86)
    assert np.all(FULL.integrate(BINS, 75.0) >= 0)
    assert TRUTHS["ring"].integrate(BINS, 86).sum() > 0
