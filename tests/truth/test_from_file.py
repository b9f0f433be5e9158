"""Cubes of files as truths: averages kept, integrals exact over any axes, events that agree."""

import pickle
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import write_bkg_2d
from simbg.io.cubes import read_model, write_cube
from simbg.truth.from_file import CubeTruth
from simbg.validation.metrics.poisson import deviance

# Sums of some tens of products of doubles.
ROUNDING = 1e-13
# Of one comparison of events and integrals.
FALSE_ALARM = 1e-6
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


@pytest.fixture
def patchy(axes):
    """Steep and rising, with dark bins and unknown ones; no two bins are alike."""
    rng = np.random.default_rng(1)
    rate = 1e-6 * axes.energy_center[:, None, None] ** -2.7 * rng.uniform(0.3, 3, axes.shape)
    rate[2] *= 40
    rate[1, 2:4] = 0
    rate[:, 5, 7] = 0
    rate[0, 0] = np.nan
    return CubeTruth(axes, rate)


# Cut the bins of the fixture anywhere, stand out on all sides, and once cover a bin exactly.
OTHER = Axes([0.05, 0.1, 0.3, 0.31, 1.7, 50.0], [-4.0, -2.9, -0.3, 0.1, 3.0], [-2.0, 0.7, 1.1, 5.0])


def by_hand(truth, axes, energy_min=0.0):
    """∫ rate dE dΩ on pieces within which nothing but a power of the energy changes."""
    edges = [
        np.unique(np.clip(np.concatenate([*pair, extra]), pair[1][0], pair[1][-1]))
        for pair, extra in (
            ((truth.axes.energy, axes.energy), [energy_min]),
            ((truth.axes.fov_lon, axes.fov_lon), []),
            ((truth.axes.fov_lat, axes.fov_lat), []),
        )
    ]
    total = np.zeros(axes.shape)
    lon, lat = (0.5 * (e[1:] + e[:-1]) for e in edges[1:])
    sr = np.deg2rad(np.diff(edges[1]))[:, None] * np.diff(np.sin(np.deg2rad(edges[2])))
    j, k = (
        np.searchsorted(e, x, side="right") - 1
        for e, x in ((axes.fov_lon, lon), (axes.fov_lat, lat))
    )
    for low, high in pairwise(edges[0]):
        if low < energy_min:
            continue
        energy = np.exp(np.log(low) + 0.5 * np.log(high / low) * (NODES + 1))
        weight = 0.5 * np.log(high / low) * WEIGHTS * energy
        rate = truth.rate(energy[:, None, None], lon[:, None], lat)
        i = np.searchsorted(axes.energy, energy[0], side="right") - 1
        np.add.at(total[i], (j[:, None], k), 1e6 * np.tensordot(weight, rate, 1) * sr)
    return total


# Density and integrals --------------------------------------------------------------------------


def test_own_bins_hold_what_the_file_says(patchy, axes):
    expected = np.nan_to_num(patchy.average) * axes.volume
    assert_allclose(patchy.integrate(axes), expected, rtol=ROUNDING, atol=0)
    assert_allclose(patchy.cube(axes).rate, patchy.average, rtol=ROUNDING, atol=0)
    # The average of the rate itself, by Gauss and Legendre.
    assert_allclose(by_hand(patchy, axes), expected, rtol=ROUNDING, atol=0)


@pytest.mark.parametrize("energy_min", [0.0, 0.1, 0.2, 1.7, 60.0])
def test_other_bins_hold_the_integral_of_the_rate(patchy, energy_min):
    got = patchy.integrate(OTHER, zenith=50.0, energy_min=energy_min)
    assert_allclose(got, by_hand(patchy, OTHER, energy_min), rtol=1e-12, atol=0)
    assert got.shape == (5, 4, 3)
    assert np.any(got > 0) == (energy_min < 20)


def test_nothing_is_lost_and_nothing_is_outside(patchy, axes):
    wide = Axes([0.001, 1000.0], [-180.0, 0.3, 180.0], [-90.0, 90.0])
    whole = patchy.integrate(axes).sum()
    assert_allclose(patchy.integrate(wide).sum(), whole, rtol=ROUNDING)
    (e1, e2), (x1, x2), (y1, y2) = (e[[0, -1]] for e in (axes.energy, axes.fov_lon, axes.fov_lat))
    inside = 0.5 * (e1 + e2), -2.6, 0.5 * (y1 + y2)
    assert patchy.rate(*inside) > 0
    for i, wrong in ((0, e1 / 2), (0, e2), (0, 0.0), (1, x1 - 1), (1, x2), (2, y1 - 1), (2, y2)):
        point = list(inside)
        point[i] = wrong
        assert patchy.rate(*point) == 0


def test_power_law_comes_back_exactly():
    """Averages of E^−2.6 over even bins have its slope, and so has the rate in each of them."""
    energy = np.geomspace(0.1, 20, 5)
    average = -np.diff(energy**-1.6) / 1.6 / np.diff(energy)
    image = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]])
    truth = CubeTruth(Axes(energy, [-2.0, -1, 0, 1], [0.0, 1, 3]), average[:, None, None] * image)
    points = np.array([0.1, 0.13, 0.4, 1.0, 7.0, 19.9])
    for (x, y), norm in np.ndenumerate(image):
        got = truth.rate(points, x - 1.5, [0.5, 2.0][y])
        assert_allclose(got, norm * points**-2.6, rtol=1e-12, atol=0)


def test_slope_comes_from_the_neighbours():
    """Both, or one and the bin itself, or none: the slope within each bin, number by number."""
    energy = np.array([1.0, 2, 4, 8, 16, 32, 64])
    spectra = {
        "all lit": ([64, 16, 8, 8, 2, 1], [-2, -1.5, -0.5, -1, -1.5, -1]),
        "dark above": ([64, 16, 8, 0, 2, 0], [-2, -1.5, -1, 0, 0, 0]),
        "alone": ([0, 5, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        "an edge": ([1e-9, 1, 1e-9, 1e9, 1, 1], [10, 0, 10, 10, -10, 0]),
    }
    average = np.array([rates for rates, _ in spectra.values()], float).T[:, :, None]
    truth = CubeTruth(Axes(energy, np.arange(5.0), [0.0, 1.0]), average)
    for x, (rates, slopes) in enumerate(spectra.values()):
        for low, rate, slope in zip(energy, rates, slopes, strict=False):
            got = truth.rate(low * np.array([1.1, 1.9]), x + 0.5, 0.5)
            if rate == 0:
                assert_array_equal(got, 0)
            else:
                expected = slope * np.log(1.9 / 1.1)
                # Logarithms of rounded powers.
                assert_allclose(np.log(got[1] / got[0]), expected, rtol=1e-12, atol=1e-14)


# Events -----------------------------------------------------------------------------------------


def p_value(counts, expected):
    """Two-sided, of bins that expect 100 or more, where the deviance is χ² to a part in 600."""
    n, mu = counts[expected > 100], expected[expected > 100]
    law, value = chi2(mu.size), deviance(n, mu).sum()
    return 2 * min(law.sf(value), law.cdf(value))


@pytest.mark.parametrize("seed", [1, 2])
def test_events_agree_with_integrals_on_other_axes(patchy, seed):
    cuts = Axes(
        np.geomspace(0.1, 20, 12), np.linspace(-3, 2, 11) + 0.03, np.linspace(-1, 4, 14) - 0.07
    )
    livetime = 1e6 / patchy.integrate(patchy.axes).sum()
    events = patchy.draw(livetime, 30.0, np.random.default_rng(seed))
    for axes in (cuts, patchy.axes):
        counts, expected = axes.fill(*events), livetime * patchy.integrate(axes)
        assert not counts[expected == 0].any()
        assert p_value(counts, expected) > FALSE_ALARM
        # Controls: another order of bins.
        assert p_value(counts[:, ::-1], expected) < FALSE_ALARM
        assert p_value(counts[:, :, ::-1], expected) < FALSE_ALARM
    # All of them, a Poisson number: 5 σ, 6e-7.
    assert patchy.axes.fill(*events).sum() == events[0].size
    assert abs(events[0].size - 1e6) < 5e3


def test_spectrum_within_a_bin_is_that_of_the_rate(patchy):
    """Control: even energies in the bins, or even in ln E, are found."""
    fine = Axes(np.geomspace(0.1, 20, 41), patchy.axes.fov_lon[[0, -1]], [-1.0, 4.0])
    livetime = 1e6 / patchy.integrate(patchy.axes).sum()
    energy, lon, lat = patchy.draw(livetime, 30.0, np.random.default_rng(3))
    expected = livetime * patchy.integrate(fine)
    assert p_value(fine.fill(energy, lon, lat), expected) > FALSE_ALARM
    edges = patchy.axes.energy
    k = np.searchsorted(edges, energy, side="right") - 1
    share = np.random.default_rng(4).random(energy.size)
    for wrong in (
        edges[k] + np.diff(edges)[k] * share,
        edges[k] * (edges[k + 1] / edges[k]) ** share,
    ):
        assert p_value(fine.fill(wrong, lon, lat), expected) < FALSE_ALARM


def test_latitude_is_even_in_solid_angle():
    """One pixel up to 80 deg: cos lat, and not flat."""
    truth = CubeTruth(Axes([1.0, 2.0], [0.0, 1.0], [0.0, 80.0]), np.ones((1, 1, 1)))
    axes = Axes([1.0, 2.0], [0.0, 1.0], np.linspace(0, 80, 9))
    livetime = 1e5 / truth.integrate(axes).sum()
    counts = axes.fill(*truth.draw(livetime, 0.0, np.random.default_rng(5)))
    sine = np.diff(np.sin(np.deg2rad(axes.fov_lat)))
    assert p_value(counts[0, 0], 1e5 * sine / sine.sum()) > FALSE_ALARM
    assert p_value(counts[0, 0], np.full(8, 1e5 / 8)) < FALSE_ALARM


def test_events_come_in_random_order(patchy):
    """Times are given to them as they come: |z| of the first half's energies < 5, 6e-7."""
    livetime = 2e5 / patchy.integrate(patchy.axes).sum()
    for values in patchy.draw(livetime, 0.0, np.random.default_rng(6)):
        rank = np.argsort(np.argsort(values)) / values.size
        half = rank[: values.size // 2]
        assert abs(half.mean() - 0.5) < 5 / np.sqrt(12 * half.size)
        # And those of neighbours, whose product has a mean of 0 and a width of 1/12.
        product = (rank[1:] - 0.5) * (rank[:-1] - 0.5)
        assert abs(product.mean()) < 5 / 12 / np.sqrt(product.size)


def test_dark_cube_has_no_events(axes):
    truth = CubeTruth(axes, np.zeros(axes.shape))
    assert [x.shape for x in truth.draw(1e9, 0.0, np.random.default_rng(0))] == [(0,)] * 3
    assert not truth.integrate(OTHER).any()


# Values -----------------------------------------------------------------------------------------


def test_clock_is_livetime(cube, axes):
    """Per ontime: with the cube's own times, which differ with the energy."""
    ontime = cube.per("ontime")
    for same in (cube, ontime):
        assert_allclose(CubeTruth.from_cube(same).average, cube.rate, rtol=1e-15, atol=0)
    bare = BackgroundCube(axes, ontime.rate, clock="ontime")
    assert_array_equal(CubeTruth.from_cube(bare).average, ontime.rate)
    # Per livetime there is nothing to convert.
    assert_array_equal(CubeTruth.from_cube(BackgroundCube(axes, cube.rate)).average, cube.rate)


@pytest.mark.parametrize("format", ["gadf", "table", "image"])
def test_files_of_ours_are_read(tmp_path, cube, format):
    write_cube(tmp_path / "cube.fits", cube, format)
    # Unit and clock, there and back; an image has its edges from a linear axis.
    truth = CubeTruth.read(tmp_path / "cube.fits")
    assert_allclose(truth.average, cube.rate, rtol=1e-14, atol=0)
    assert truth.axes.same_as(cube.axes)


def test_is_a_value_by_its_content(patchy, axes):
    same = CubeTruth(Axes(axes.energy, axes.fov_lon, axes.fov_lat), patchy.average.copy())
    assert same == patchy
    assert hash(same) == hash(patchy)
    assert same.digest == patchy.digest
    assert len(patchy.digest) == 64
    shifted = replace(axes, fov_lat=axes.fov_lat + 1e-9)
    for other in (CubeTruth(shifted, patchy.average), CubeTruth(axes, patchy.average * 2)):
        assert other != patchy
        assert other.digest != patchy.digest
    assert patchy != "patchy"
    # A zero has no sign, and what is unknown is one.
    zeros = np.zeros(axes.shape)
    assert CubeTruth(axes, -zeros) == CubeTruth(axes, zeros) == CubeTruth(axes, zeros + np.nan)


def test_is_sent_to_another_process(patchy):
    livetime = 1e3 / patchy.integrate(patchy.axes).sum()
    again = pickle.loads(pickle.dumps(patchy))
    assert again == patchy
    assert_array_equal(*(t.draw(livetime, 0, np.random.default_rng(7)) for t in (again, patchy)))


def test_rates_cannot_change_afterwards(axes):
    rate = np.ones(axes.shape)
    truth = CubeTruth(axes, rate)
    rate[:] = 7
    assert np.all(truth.average == 1)
    with pytest.raises(ValueError, match="read-only"):
        truth.average[:] = 7


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1e-20, "rate: got 1 .*values .* -1e-20"),
        (np.inf, "rate: got 1 .*values .* inf"),
        (-np.inf, "rate: got 1 .*values .* -inf"),
    ],
)
def test_impossible_rates_are_named(axes, value, message):
    rate = np.ones(axes.shape)
    rate[1, 2, 3] = value
    with pytest.raises(ValueError, match=message):
        CubeTruth(axes, rate)


def test_impossible_shape_is_named(axes):
    with pytest.raises(ValueError, match=r"rate: got shape \(4, 8, 6\), expected \(4, 6, 8\)"):
        CubeTruth(axes, np.ones((4, 8, 6)))


# Files of others --------------------------------------------------------------------------------


@pytest.fixture
def irf():
    """gammapy's readers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gammapy's own imports
        return pytest.importorskip("gammapy.irf")


@pytest.mark.gammapy
@pytest.mark.gammapy_data
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")  # gammapy's, of 1/s/MeV/sr
def test_cta_1dc(gammapy_data, irf):
    """Each bin and coarser ones, against gammapy's values and solid angles made here."""
    path = gammapy_data / "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits"
    truth, theirs = CubeTruth.read(path), irf.Background3D.read(path, hdu="BACKGROUND")
    energy, lon, lat = (
        theirs.axes[name].edges.to_value(unit)
        for name, unit in (("energy", "MeV"), ("fov_lon", "rad"), ("fov_lat", "rad"))
    )
    sr = np.diff(lon)[:, None] * np.diff(np.sin(lat))
    # This file's order of axes is turned round by gammapy (and the field is symmetric).
    rate = theirs.quantity.to_value("s-1 MeV-1 sr-1").transpose(0, 2, 1)
    events = np.diff(energy)[:, None, None] * sr * rate
    # Edges of a file of single precision: 1e-7 of 6 deg in bins of 0.33 deg, 1e-6 with 18 bins.
    assert_allclose(truth.integrate(truth.axes), events, rtol=4e-6, atol=0)
    # 72 Hz above 13 GeV.
    assert_allclose(events.sum(), 72.1, rtol=1e-3)
    coarse = Axes(truth.axes.energy[::3], truth.axes.fov_lon[::6], truth.axes.fov_lat[::9])
    expected = events.reshape(7, 3, 6, 6, 4, 9).sum(axis=(1, 3, 5))
    assert_allclose(truth.integrate(coarse), expected, rtol=4e-6, atol=0)
    # At the centre of a bin the slope matters little: where the neighbours are lit, a few %.
    i, j, k = 9, 20, 14
    at_center = truth.rate(
        *(
            a[n]
            for a, n in zip(
                (truth.axes.energy_center, truth.axes.fov_lon_center, truth.axes.fov_lat_center),
                (i, j, k),
                strict=True,
            )
        )
    )
    assert_allclose(at_center, rate[i, j, k], rtol=0.1)


@pytest.mark.gammapy_data
def test_events_of_cta_1dc(gammapy_data):
    path = gammapy_data / "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits"
    truth = CubeTruth.read(path)
    axes = Axes(np.geomspace(0.01, 100, 14), np.linspace(-5, 5.5, 8), np.linspace(-6.5, 6, 12))
    counts = axes.fill(*truth.draw(10_000.0, 20.0, np.random.default_rng(8)))
    assert counts.sum() > 5e5
    assert p_value(counts, 10_000 * truth.integrate(axes)) > FALSE_ALARM


def test_rings_are_a_truth(tmp_path):
    write_bkg_2d(tmp_path / "rings.fits", [1, 2, 5], [0, 1, 2], [[1e-6, np.nan], [2e-7, 1e-7]])
    truth = CubeTruth.read(tmp_path / "rings.fits")
    assert_allclose(truth.average, read_model(tmp_path / "rings.fits").rate, rtol=1e-15)
    assert truth.rate(1.5, 0.1, 1.5) == 0 < truth.rate(2.5, 0.1, 1.5)
