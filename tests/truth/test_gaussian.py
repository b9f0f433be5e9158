"""The three faces of a truth agree: its density, its integrals over bins, its events."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, norm
from support.quadrature import panels
from support.sampling import FALSE_ALARM, worst_p_value

from simbg.axes import Axes, edition2015_axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.metrics.poisson import deviance_z

# The reference has converged to 1e-12; the brief of the integrals is 1e-10.
RTOL = 1e-10


# Exact integrals ------------------------------------------------------------------------------


def density(truth, energy, lon, lat):
    """Events per s, TeV and deg² as the docstring has them, energies × lon × lat, zenith 0."""
    s = np.log(truth.sigma[1] / truth.sigma[0]) / np.log(
        truth.sigma_energy[1] / truth.sigma_energy[0]
    )
    index = truth.index - (2 * s if truth.normalization == "center" else 0)
    low, high = truth.energy_range
    span = np.log(high / low)
    norm_ = span if index == 1 else (low ** (1 - index) - high ** (1 - index)) / (index - 1)
    sigma = truth.sigma[0] * (energy / truth.sigma_energy[0]) ** s

    def normal(x):
        return np.exp(-0.5 * (x / sigma[:, None]) ** 2) / (np.sqrt(2 * np.pi) * sigma[:, None])

    weight = truth.event_rate * energy**-index / norm_
    return weight, normal(lon), normal(lat)


def brute(truth, energy, lon, lat):
    """∫∫∫ of the density over a box: panels are doubled until nothing changes by 1e-12.

    Nothing is subtracted and no cumulative is used, so tails lose no digits.
    """
    energy = np.clip(energy, *truth.energy_range)
    if truth.quadrant:
        lon, lat = np.minimum(lon, 0), np.minimum(lat, 0)
    last = np.inf
    for number in 2 ** np.arange(1, 12):
        log_e, w_e = panels(*np.log(energy), number)
        (x, w_x), (y, w_y) = panels(*lon, number), panels(*lat, number)
        weight, n_lon, n_lat = density(truth, np.exp(log_e), x, y)
        total = np.sum(w_e * np.exp(log_e) * weight * (n_lon @ w_x) * (n_lat @ w_y))
        if abs(total - last) <= 1e-12 * abs(total):
            return total
        last = total
    raise AssertionError("the reference integral does not converge")


TRUTHS = {
    "integral": GaussianTruth(),
    "center": GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
    "index 1": GaussianTruth(index=1.0),
    "index 0.3": GaussianTruth(index=0.3, normalization="center"),
    "rising": GaussianTruth(index=-1.0),
    "steep": GaussianTruth(index=6.0),
    "quadrant": GaussianTruth(quadrant=True),
    "narrowing": GaussianTruth(sigma=(4.0, 1.0), sigma_energy=(0.2, 30.0)),
    "one width": GaussianTruth(sigma=(3.0, 3.0)),
    "narrow": GaussianTruth(sigma=(0.3, 0.9), energy_range=(0.05, 150.0)),
}
BOXES = {
    "on axis": ((0.9, 1.1), (-0.1, 0.1), (-0.1, 0.1)),
    "corner": ((0.1, 0.14), (3.877, 4.01), (-4.01, -3.877)),
    "edge, at the highest energies": ((57.0, 80.0), (-0.07, 0.07), (3.8, 4.01)),
    "all decades": ((0.01, 1000.0), (-3.0, 2.0), (-1.0, 4.0)),
    "cut by the energy range below": ((0.07, 0.12), (-1.0, 0.5), (0.3, 0.9)),
    "cut by the energy range above": ((60.0, 200.0), (-1.0, 0.5), (-0.9, -0.3)),
    "hair's breadth": ((1.0, 1.0001), (-1.0001, -1.0), (-2.0, -1.9999)),
}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("name", TRUTHS)
def test_bin_integrals_are_exact(name, box):
    truth, edges = TRUTHS[name], BOXES[box]
    got = truth.integrate(Axes(*edges)).item()
    if truth.quadrant and max(edges[1][0], edges[2][0]) >= 0:
        assert got == 0
    else:
        # The hair's breadth is 1e-4: a difference of two cumulatives loses up to four digits.
        rtol = 1e-9 if box == "hair's breadth" else RTOL
        assert_allclose(got, brute(truth, *edges), rtol=rtol, atol=0)


@pytest.mark.parametrize("sigma", [(2.5, 5.0), (0.8, 2.4), (5.0, 2.0)])
@pytest.mark.parametrize("place", [(9.0, 10.0), (20.0, 24.0), (59.0, 60.0)])
def test_far_tails(sigma, place):
    """Up to 60 deg, 75 σ in a direction: as relative an error as on axis, to where doubles end."""
    truth = GaussianTruth(sigma=sigma)
    low, high = place
    axes = Axes([0.1, 0.3, 40.0, 100.0], [-high, -low, low, high], [-1.0, 2.0])
    got = truth.integrate(axes)
    for i, j in np.ndindex(3, 3):
        if j == 1:
            continue
        expected = brute(truth, axes.energy[i : i + 2], axes.fov_lon[j : j + 2], axes.fov_lat)
        if expected < 1e-250:
            assert got[i, j, 0] < 1e-240
        else:
            # exp(−x²/2) itself has a relative error of x² ε, 1e-13 at 35 σ.
            assert_allclose(got[i, j, 0], expected, rtol=RTOL, atol=0)


def test_bins_come_out_in_their_places(axes):
    """All bins of an uneven grid, so that no axis can be taken for another."""
    axes = Axes([0.1, 0.5, 0.7, 9.0], [-3.0, -2.5, 0.0, 1.0, 2.0], [-1.0, 0.2, 4.0])
    truth = TRUTHS["center"]
    expected = np.empty(axes.shape)
    for i, j, k in np.ndindex(axes.shape):
        expected[i, j, k] = brute(
            truth, axes.energy[i : i + 2], axes.fov_lon[j : j + 2], axes.fov_lat[k : k + 2]
        )
    assert_allclose(truth.integrate(axes), expected, rtol=RTOL, atol=0)


@pytest.mark.parametrize("energy_min", [0.0, 0.05, 0.1, 0.3, 0.55, 9.0, 20.0, 500.0])
def test_threshold_inside_a_bin_cuts_it(energy_min):
    truth = GaussianTruth(energy_range=(0.1, 8.0))
    axes = Axes([0.05, 0.3, 1.0, 9.0], [-3.0, 2.0], [-1.0, 4.0])
    got = truth.integrate(axes, energy_min=energy_min)[:, 0, 0]
    for i, (low, high) in enumerate(zip(axes.energy[:-1], axes.energy[1:], strict=True)):
        low, high = np.clip(max(low, energy_min), 0.1, 8.0), min(high, 8.0)
        if low >= high:
            assert got[i] == 0
        else:
            expected = brute(truth, (low, high), axes.fov_lon, axes.fov_lat)
            assert_allclose(got[i], expected, rtol=RTOL, atol=0)


@pytest.mark.parametrize("point", [(0.2, 0.0, 0.0), (3.0, -2.0, -1.5), (50.0, -0.5, -40.0)])
def test_rate_at_a_point_is_the_limit_of_a_small_bin(point):
    energy, lon, lat = point
    for truth in TRUTHS.values():
        if abs(lat) > 10 and min(truth.sigma) < 2:
            continue
        h = 1e-3
        # At the centre the quadrant ends, and so does the bin.
        end = 0 if truth.quadrant and lon == 0 else h
        axes = Axes(energy * np.array([1 - h, 1 + h]), [lon - h, lon + end], [lat - h, lat + end])
        # A bin's average differs from its centre by h² f''/6f, here up to 1.3e-5.
        assert_allclose(
            truth.cube(axes).rate.item(), truth.rate(energy, lon, lat), rtol=2e-5, atol=0
        )


@pytest.mark.parametrize("name", TRUTHS)
def test_huge_field_holds_the_total_rate(name):
    truth = TRUTHS[name]
    axes = Axes(np.geomspace(0.001, 1000, 4), [-179.0, 1.0, 179.0], [-89.0, 5.0, 89.0])
    # Beyond 89 deg lie 4e-71 of the widest; the energy integral is a sum of three.
    for zenith in (0.0, 37.0, 90.0):
        total = truth.integrate(axes, zenith).sum()
        assert_allclose(total, truth.total_rate(zenith), rtol=1e-12)
    assert truth.total_rate(90.0) == 0.5 * truth.total_rate(0.0)


def test_outside_of_the_energy_range_there_is_nothing():
    truth = GaussianTruth(energy_range=(0.2, 10.0))
    assert_array_equal(truth.rate([0.19, 10.1], 0.0, 0.0), 0)
    axes = Axes([0.05, 0.1, 0.2, 10.0, 20.0], [-1.0, 1.0], [-1.0, 1.0])
    assert_array_equal(truth.integrate(axes)[:, 0, 0] > 0, [False, False, True, False])


def test_quadrant_is_lit_as_2015_has_it():
    truth = GaussianTruth(quadrant=True)
    axes = Axes([0.1, 1.0], [-2.0, 0.0, 1.0], [-3.0, 0.0, 4.0])
    image = truth.integrate(axes)[0]
    assert_array_equal(image > 0, [[True, False], [False, False]])
    # What is lit is as bright as without a mask.
    full = GaussianTruth().integrate(axes)[0]
    assert_allclose(image[0, 0], full[0, 0], rtol=1e-14)
    lon, lat = [-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]
    rate = truth.rate(1.0, lon, lat)
    assert_array_equal(rate, GaussianTruth().rate(1.0, lon, lat) * [1, 0, 0, 0])


@pytest.mark.parametrize("name", ["integral", "center", "narrowing", "index 1", "one width"])
def test_indices_are_what_their_names_say(name):
    truth = TRUTHS[name]
    energy, h = 2.0, 1e-5
    ends = energy * np.exp([-h, h])
    center = -np.diff(np.log(truth.rate(ends, 0.0, 0.0))) / (2 * h)
    everything = [[-179.0, 179.0], [-89.0, 89.0]]
    # dN/dE from bins a hair wide; over the whole sphere.
    bins = [truth.integrate(Axes([e * (1 - h), e * (1 + h)], *everything)).item() for e in ends]
    whole = -np.diff(np.log(np.array(bins) / ends)) / (2 * h)
    # Rounding of a logarithm, 1e-16, over 2e-5, and more of a difference of edges.
    assert_allclose(center, truth.center_index, atol=1e-6)
    assert_allclose(whole, truth.integral_index, atol=1e-6)
    asked = truth.integral_index if truth.normalization == "integral" else truth.center_index
    assert asked == pytest.approx(truth.index, abs=1e-12)


def test_cube_holds_rate_counts_and_livetime():
    axes = edition2015_axes(20)
    truth = GaussianTruth()
    cube = truth.cube(axes, zenith=20.0, livetime=100.0)
    events = truth.integrate(axes, zenith=20.0)
    assert_allclose(cube.counts, 100 * events, rtol=1e-15)
    # Solid angle: Δlon · Δ(sin lat).
    lat, lon = np.deg2rad(axes.fov_lat), np.deg2rad(axes.fov_lon)
    sr = np.diff(lon)[:, None] * np.diff(np.sin(lat))
    volume = 1e6 * np.diff(axes.energy)[:, None, None] * sr
    assert_allclose(cube.rate, events / volume, rtol=1e-13)
    assert_array_equal(cube.livetime, 100.0)
    assert cube.clock == "livetime"
    assert truth.cube(axes).counts is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalization": "peak"},
        {"energy_range": (1.0, 0.1)},
        {"energy_range": (0.0, 1.0)},
        {"sigma_energy": (0.1, np.nan)},
        {"sigma": (0.0, 1.0)},
        {"sigma": (1.0, 70.0)},
        {"event_rate": -1.0},
        {"event_rate": np.inf},
        {"event_rate": np.nan},
        {"index": np.nan},
        {"zenith_slope": 1.5},
    ],
    ids=str,
)
def test_impossible_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GaussianTruth(**wrong)


@pytest.mark.parametrize("zenith", [-1.0, 91.0, np.nan])
def test_impossible_zenith_is_named(zenith):
    with pytest.raises(ValueError, match="zenith"):
        GaussianTruth().integrate(edition2015_axes(5), zenith)


# Sampled events -------------------------------------------------------------------------------

# Edges on none of the axes that the project uses: events drawn evenly in its bins would show.
SAMPLING_AXES = Axes(
    np.geomspace(0.1, 100, 14)[[0, 1, 2, 3, 4, 5, 7, 9, 13]],
    np.array([-9.0, -5, -3.1, -1.7, -0.6, 0.0, 0.9, 2.2, 4.4, 9]),
    np.array([-8.0, -4, -2.3, -1.1, 0.0, 0.3, 1.9, 3.3, 4.1, 6, 10]),
)


def p_value(truth, sample, n_expected, seed, fill=SAMPLING_AXES.fill):
    """Of a Poisson number of events; see `worst_p_value`."""
    rng = np.random.default_rng(seed)
    expected = truth.integrate(SAMPLING_AXES) * n_expected / truth.total_rate()
    left = int(rng.poisson(n_expected))
    counts = np.zeros(SAMPLING_AXES.shape)
    while left:
        n = min(left, 4_000_000)
        counts += fill(*sample(n, rng))
        left -= n
    return worst_p_value(counts, expected)


SAMPLED = ("integral", "center", "index 1", "index 0.3", "quadrant", "narrowing")


@pytest.mark.parametrize("name", SAMPLED)
def test_events_follow_the_integrals(name):
    """False-alarm rate 1e-6 each; finds 1 % of a width, see the controls."""
    truth = TRUTHS[name]
    assert p_value(truth, truth.sample, 2e6, seed=1) > FALSE_ALARM


@pytest.mark.slow
def test_100_million_events_follow_the_integrals():
    """False-alarm rate 1e-6; with so many it finds 0.2 % of a width (ln σ: 5.6 · 1.7/√N · 2)."""
    truth = TRUTHS["center"]
    assert p_value(truth, truth.sample, 1e8, seed=2) > FALSE_ALARM


def uniform_in_bins(truth, n, rng):
    """Events of right number in each bin of 2015's axes, and evenly distributed inside."""
    energy, lon, lat = truth.sample(n, rng)
    edges = np.geomspace(0.1, 100, 21)
    k = np.clip(np.searchsorted(edges, energy, side="right") - 1, 0, 19)
    return rng.uniform(edges[k], edges[k + 1]), lon, lat


def as_in_2015(truth, n, rng):
    """Exponent −Γ where the inverse of the cumulative needs 1 − Γ."""
    _, lon, lat = truth.sample(n, rng)
    low, high = (e**-truth.integral_index for e in truth.energy_range)
    return rng.uniform(high, low, n) ** (-1 / truth.integral_index), lon, lat


def one_percent_wide(truth, n, rng):
    return replace(truth, sigma=tuple(1.01 * s for s in truth.sigma)).sample(n, rng)


def shuffled(truth, n, rng):
    """The right energies and the right angles, but not of one event."""
    energy, lon, lat = truth.sample(n, rng)
    return rng.permutation(energy), lon, lat


def flip_lon(truth, n, rng):
    energy, lon, lat = truth.sample(n, rng)
    return energy, -lon, lat


def flip_lat(truth, n, rng):
    energy, lon, lat = truth.sample(n, rng)
    return energy, lon, -lat


def too_clumpy(truth, n, rng):
    """Each event four times: not independent."""
    return tuple(np.tile(values, 4) for values in truth.sample(n // 4, rng))


@pytest.mark.parametrize(
    "wrong",
    [uniform_in_bins, as_in_2015, one_percent_wide, shuffled, flip_lon, flip_lat, too_clumpy],
)
def test_control_wrong_samplers_are_found(wrong):
    """Each at the number of events with which the right sampler passes above."""
    truth = TRUTHS["quadrant"]
    sample = lambda n, rng: wrong(truth, n, rng)  # noqa: E731
    assert p_value(truth, sample, 2e6, seed=1) < FALSE_ALARM


@pytest.mark.parametrize("name", SAMPLED)
def test_energies_follow_the_cumulative(name):
    """Unbinned: Kolmogorov–Smirnov against the exact law; false-alarm rate 1e-6 each."""
    truth = TRUTHS[name]
    energy, lon, lat = truth.sample(400_000, np.random.default_rng(4))
    low, high = truth.energy_range
    assert low <= energy.min() < low * 1.01
    assert energy.max() <= high
    steepness = truth.integral_index - 1

    def cumulative(e, k=steepness):
        if abs(k) < 1e-12:
            return np.log(e / low) / np.log(high / low)
        return (low**-k - e**-k) / (low**-k - high**-k)

    assert kstest(energy, cumulative).pvalue > FALSE_ALARM
    # Control: an index off by 0.02.
    assert kstest(energy, lambda e: cumulative(e, steepness + 0.02)).pvalue < FALSE_ALARM
    # Angles over their width are standard normal (folded for a quadrant), and independent.
    scaled = np.array([lon, lat]) / truth.width(energy)
    law = (lambda x: 2 * norm.cdf(x)) if truth.quadrant else norm.cdf
    assert all(kstest(x, law).pvalue > FALSE_ALARM for x in scaled)
    assert abs(np.corrcoef(scaled)[0, 1]) < 4.9 / np.sqrt(energy.size)


def test_same_seed_same_events_and_chunks_leave_no_seam():
    truth = GaussianTruth()
    first, again, other = (truth.sample(100_001, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert_array_equal(first, again)
    assert not np.any(np.array(first) == np.array(other))
    assert len(np.unique(first[0])) == 100_001


@pytest.mark.parametrize("n", [0, 1])
def test_few_events(n):
    assert [x.shape for x in GaussianTruth().sample(n, np.random.default_rng(0))] == [(n,)] * 3


# The peak -------------------------------------------------------------------------------------

PEAKED = GaussianTruth(index=2.6, sigma=(1.5, 2.5), peak=(0.7, -0.4))


def test_peak_moves_the_field_and_nothing_else():
    """Bins shifted with the peak hold the same; the rate differs by the cosine alone."""
    edges = np.linspace(-2, 3, 8), np.linspace(-3, 2, 6)
    energy = np.geomspace(0.1, 50, 5)
    shifted = Axes(energy, edges[0] + 0.7, edges[1] - 0.4)
    unmoved = replace(PEAKED, peak=(0.0, 0.0))
    moved = PEAKED.integrate(shifted)
    # Edges differ by rounding only: 1e-16 over bins of 0.7 deg.
    np.testing.assert_allclose(moved, unmoved.integrate(Axes(energy, *edges)), rtol=1e-12, atol=0)
    assert PEAKED.rate(1.0, 0.7, -0.4) > PEAKED.rate(1.0, [-0.7, -0.4, 0.7], [-0.4, 0.7, 0.4]).max()


@pytest.mark.parametrize("seed", [1, 2])
def test_peaked_events_agree_with_peaked_integrals_and_with_no_mirror_image(seed):
    """False-alarm rate 1e-5 a direction; the mirror images and the swap are hundreds of σ off."""
    axes = Axes(np.geomspace(0.1, 50, 5), np.linspace(-3, 3, 13), np.linspace(-3, 3, 13))
    n_events = 1_000_000
    counts = axes.fill(*PEAKED.sample(n_events, np.random.default_rng(seed)))
    expected = n_events * PEAKED.integrate(axes) / PEAKED.total_rate()
    assert abs(deviance_z(counts, expected)) < 4.4
    for wrong in (counts[:, ::-1], counts[:, :, ::-1], counts.transpose(0, 2, 1)):
        assert deviance_z(wrong, expected) > 100


def test_peak_outside_or_with_a_quadrant_is_refused():
    with pytest.raises(ValueError, match=r"peak: got \(80, 0\), expected"):
        GaussianTruth(peak=(80, 0))
    with pytest.raises(ValueError, match="quadrant"):
        GaussianTruth(peak=(1.0, 0.0), quadrant=True)
