"""Bins: their edges, volumes, and what falls into them."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes, edition2015_axes

UNEVEN = Axes([0.1, 0.3, 0.31, 5.0, 80.0], [-3.0, -2.5, 0.0, 2.0], [-1.0, 0.2, 0.3, 1.0, 4.0, 5.0])
EVEN_AXES = Axes(np.geomspace(0.1, 20, 5), np.linspace(-3, 2, 7), np.linspace(-1, 4, 9))
# Even but for one edge, 1 % of a bin off.
NEARLY = Axes(
    EVEN_AXES.energy * np.array([1, 1, 1.01, 1, 1]),
    EVEN_AXES.fov_lon + np.array([0, 0, 0, 0.01, 0, 0, 0]),
    EVEN_AXES.fov_lat + np.array([0, 0, 0, 0, 0, 0, 0, 0.01, 0]),
)
MIXED = Axes(UNEVEN.energy, EVEN_AXES.fov_lon, UNEVEN.fov_lat)
ALL = {"uneven": UNEVEN, "even": EVEN_AXES, "nearly even": NEARLY, "mixed": MIXED}


def edges_of(axes):
    return axes.energy, axes.fov_lon, axes.fov_lat


def reference(axes, energy, lon, lat):
    """Half-open bins by a search in the edges, in doubles."""
    counts = np.zeros(axes.shape, int)
    index = [
        np.searchsorted(edges, np.asarray(values, float), side="right") - 1
        for edges, values in zip(edges_of(axes), (energy, lon, lat), strict=True)
    ]
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, axes.shape, strict=True)], axis=0)
    np.add.at(counts, tuple(i[inside] for i in index), 1)
    return counts


def events(n, dtype=float, seed=1):
    """More than the axes hold, in all directions."""
    rng = np.random.default_rng(seed)
    columns = np.exp(rng.uniform(-4, 6, n)), rng.uniform(-4, 3, n), rng.uniform(-2, 6, n)
    return tuple(column.astype(dtype) for column in columns)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f4"])
@pytest.mark.parametrize("n", [0, 1, 1000, 200_000])
def test_fill_counts_as_histogramdd(name, dtype, n):
    """Random doubles never come within 1e-9 of a bin of an edge often enough to matter: equal."""
    axes, columns = ALL[name], events(n, dtype)
    counts = axes.fill(*columns)
    assert counts.dtype == np.int64
    doubles = [column.astype(float) for column in columns]
    assert_array_equal(counts, np.histogramdd(doubles, edges_of(axes))[0])
    assert_array_equal(counts, reference(axes, *columns))
    if n > 1000:
        assert 0 < counts.sum() < n
        # The control: no two axes can be taken for each other.
        assert not np.array_equal(counts, axes.fill(columns[0], columns[2], columns[1]))


@pytest.mark.parametrize("energy_min", [0.05, 0.3, 0.7, 1e9])
def test_fill_above_a_threshold(energy_min):
    energy, lon, lat = events(5000)
    energy[:100] = energy_min
    keep = energy >= energy_min
    expected = reference(UNEVEN, energy[keep], lon[keep], lat[keep])
    assert_array_equal(UNEVEN.fill(energy, lon, lat, energy_min), expected)
    assert expected.sum() < UNEVEN.fill(energy, lon, lat).sum() or energy_min < 0.1


def on_edges(axes, which, shift=0.0):
    """One event on each edge of an axis (or so far, in bins, above), inside all others."""
    columns = [np.full(edges_of(axes)[which].size, edges.mean()) for edges in edges_of(axes)]
    columns[0][:] = axes.energy_center[0]
    edges = edges_of(axes)[which]
    step = np.append(np.diff(edges), np.diff(edges)[-1])
    columns[which] = edges + shift * step
    return columns


@pytest.mark.parametrize("which", range(3))
def test_a_bin_holds_its_lower_edge_and_not_its_upper(which):
    """Exactly, where a search finds the bin."""
    columns = on_edges(UNEVEN, which)
    others = tuple(i for i in range(3) if i != which)
    assert_array_equal(UNEVEN.fill(*columns).sum(axis=others), 1)
    # The last edge is outside: numpy's histogram counts it in.
    assert np.histogramdd(columns, edges_of(UNEVEN))[0].sum() == UNEVEN.shape[which] + 1


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("n_bins", [1, 7, 20, 60])
def test_edges_of_even_bins(which, n_bins):
    """Calculated bins: the outermost edges are exact, inner ones to 1e-9 of a bin."""
    axes = Axes(*(np.geomspace(0.1, 80, n_bins + 1),) + (np.linspace(-4.01, 4.0, n_bins + 1),) * 2)
    others = tuple(i for i in range(3) if i != which)
    # In energy a step is up to 800 times one of ln E here, at worst for a single bin.
    for shift in (1e-6, -1e-6):
        counts = axes.fill(*on_edges(axes, which, shift)).sum(axis=others)
        assert_array_equal(counts, 1)
    exact = axes.fill(*(column[[0, -1]] for column in on_edges(axes, which))).sum(axis=others)
    assert_array_equal(exact, np.eye(n_bins, dtype=int)[0])
    assert axes.fill(*on_edges(axes, which)).sum() == n_bins


def test_what_is_outside_is_left_out_without_a_word():
    """Energies of zero and below, infinities and NaN, too."""
    energy = np.array([0.0, -1.0, np.nan, np.inf, 0.09, 20.1, 1.0, 1.0, 1.0, 1.0])
    lon = np.array([0, 0, 0, 0, 0, 0, np.nan, -3.1, 2.1, 0.0])
    lat = np.array([0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, np.inf])
    for axes in (EVEN_AXES, MIXED):
        assert axes.fill(energy, lon, lat)[:, :, :].sum() == (1 if axes is MIXED else 0)


def test_volumes_are_exact():
    axes = Axes([1.0, 3.0, 10.0], [-10.0, 20.0], [0.0, 30.0, 90.0])
    deg = np.pi / 180
    # A lune of 30 deg between the equator, 30 deg and the pole.
    assert_allclose(axes.solid_angle, [[30 * deg * 0.5, 30 * deg * 0.5]], rtol=1e-14)
    assert_allclose(axes.volume[:, 0, 0], [2e6 * 15 * deg, 7e6 * 15 * deg], rtol=1e-14)
    assert_allclose(axes.flat_solid_angle, [[900 * deg**2, 1800 * deg**2]], rtol=1e-14)
    assert_allclose(axes.flat_volume[1, 0], [7e6 * 900 * deg**2, 7e6 * 1800 * deg**2], rtol=1e-14)
    whole = Axes([1.0, 2.0], np.linspace(-180, 180, 5), np.linspace(-90, 90, 8))
    assert whole.solid_angle.sum() == pytest.approx(4 * np.pi, rel=1e-14)


def test_flat_pixels_are_too_large_off_axis():
    """+0.24 % at the edge of ±4 deg, as the fact sheet has it."""
    axes = edition2015_axes()
    ratio = axes.flat_solid_angle / axes.solid_angle
    assert ratio.max() - 1 == pytest.approx(0.0024, abs=5e-5)  # four decimals
    assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-12)


def test_centers_and_offset():
    assert_allclose(UNEVEN.energy_center**2, UNEVEN.energy[1:] * UNEVEN.energy[:-1], rtol=1e-15)
    assert_allclose(UNEVEN.fov_lon_center, [-2.75, -1.25, 1.0])
    assert_allclose(UNEVEN.fov_lat_center, [-0.4, 0.25, 0.65, 2.5, 4.5])
    assert UNEVEN.offset.shape == UNEVEN.shape[1:]
    assert UNEVEN.offset[0, 3] == pytest.approx(np.hypot(2.75, 2.5))


@pytest.mark.parametrize(
    ("n_obs", "shape"),
    [
        (1, (10, 20, 20)),
        (9, (10, 20, 20)),
        (10, (11, 24, 24)),
        (55, (15, 40, 40)),
        (99, (19, 56, 56)),
        (100, (20, 60, 60)),
        (1000, (20, 60, 60)),
    ],
)
def test_binning_of_2015(n_obs, shape):
    axes = edition2015_axes(n_obs)
    assert axes.shape == shape
    assert_allclose(axes.energy[[0, -1]], [0.1, 80], rtol=1e-14)
    for edges in (axes.fov_lon, axes.fov_lat):
        assert_allclose(edges[[0, -1]], np.rad2deg([-0.07, 0.07]), rtol=1e-14)
        assert_allclose(np.diff(edges), np.diff(edges)[0], rtol=1e-12)
    assert_allclose(axes.energy[1:] / axes.energy[:-1], 800 ** (1 / shape[0]), rtol=1e-12)


def test_binning_from_another_lowest_energy():
    axes = edition2015_axes(energy_min=0.5)
    assert axes.shape == (20, 60, 60)
    assert_allclose(axes.energy[[0, -1]], [0.5, 80], rtol=1e-14)


@pytest.mark.parametrize("energy_min", [0.0, -1.0, 80.0, 100.0, np.nan])
def test_impossible_lowest_energies_are_errors(energy_min):
    with pytest.raises(ValueError, match=r"lowest energy: got .* 80"):
        edition2015_axes(energy_min=energy_min)


GOOD = {"energy": [0.1, 1.0, 2.0], "fov_lon": [-1.0, 1.0], "fov_lat": [-2.0, 0.0, 1.0]}


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("energy", [1.0]),
        ("energy", [1.0, 0.5]),
        ("energy", [0.0, 1.0]),
        ("energy", [-1.0, 1.0]),
        ("energy", [1.0, np.inf]),
        ("energy", [1.0, np.nan, 2.0]),
        ("energy", [[1.0, 2.0], [3.0, 4.0]]),
        ("fov_lon", [1.0, 1.0]),
        ("fov_lon", [0.0, 181.0]),
        ("fov_lat", [-91.0, 0.0]),
        ("fov_lat", [-1.0, np.nan]),
    ],
)
def test_impossible_edges_are_errors(name, edges):
    Axes(**GOOD)
    with pytest.raises(ValueError, match=f"{name}|field-of-view"):
        Axes(**GOOD | {name: edges})


def test_unknown_alignment_is_an_error():
    with pytest.raises(ValueError, match=r"'altaz'.*ALTAZ"):
        Axes(**GOOD, align="altaz")


@pytest.mark.parametrize("name", GOOD)
def test_same_as(name):
    axes = Axes(**GOOD)
    edges = np.array(GOOD[name])
    step = edges[1] - edges[0]

    def changed(by, at=0):
        moved = edges.copy()
        moved[at] += by * step
        return Axes(**GOOD | {name: moved})

    assert axes.same_as(Axes(**GOOD))
    assert axes.same_as(changed(1e-10))
    for at in (0, -1):
        assert not axes.same_as(changed(1e-8, at))
    assert not axes.same_as(Axes(**GOOD | {name: np.append(edges, edges[-1] + 0.1)}))
    assert not axes.same_as(Axes(**GOOD, align="RADEC"))


def test_edges_are_copies_that_nobody_changes():
    edges = np.array([0.1, 1.0, 10.0])
    axes = Axes(edges, [-1, 1], [-1, 1])
    edges[0] = 5
    assert axes.energy[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        axes.energy[0] = 5


def test_axes_travel_to_other_processes():
    axes = edition2015_axes(50)
    assert axes.volume.shape == axes.shape
    for copied in (pickle.loads(pickle.dumps(axes)), copy.copy(axes), copy.deepcopy(axes)):
        assert all(map(np.array_equal, copied.edges, axes.edges))
        assert not any(edges.flags.writeable for edges in copied.edges)


@dataclass
class MapAxis:
    """What gammapy's has."""

    edges: u.Quantity


def test_axes_of_gammapy():
    energy, angle = MapAxis([100, 300, 5000] * u.GeV), MapAxis([-1, 0.2, 1] * u.deg)
    axes = Axes(energy, angle, angle)
    assert_allclose(axes.energy, [0.1, 0.3, 5], rtol=1e-15)
    assert_array_equal(axes.fov_lon, [-1, 0.2, 1])
    assert_array_equal(Axes.regular(energy, (3, 6)).energy, axes.energy)


def test_regular_axes():
    """Typed in: 100 GeV to 50 TeV in 20 bins is a factor of 500^(1/20)."""
    axes = Axes.regular((100 * u.GeV, 50 * u.TeV, 20), ((3.5 * u.deg, 30), (0.02 * u.rad, 10)))
    assert axes.shape == (20, 30, 10)
    assert_allclose(axes.energy[1:] / axes.energy[:-1], 500 ** (1 / 20), rtol=1e-12)
    assert_allclose(axes.energy[[0, -1]], [0.1, 50], rtol=1e-15)
    assert_allclose(axes.fov_lon[[0, 15, -1]], [-3.5, 0, 3.5], atol=1e-15)
    assert_allclose(axes.fov_lat[[0, -1]], np.rad2deg([-0.02, 0.02]), rtol=1e-15)
    square = Axes.regular((0.1, 50, 20), (3.5, 30))
    assert_array_equal(square.fov_lon, square.fov_lat)
    assert Axes.regular((0.1, 50, 20), (3.5, 30), "RADEC").align == "RADEC"


@pytest.mark.parametrize(
    ("energy", "fov"),
    [
        ((0.1, 50), (3.5, 30)),
        ((50, 0.1, 20), (3.5, 30)),
        ((0, 50, 20), (3.5, 30)),
        ((0.1, 50, 20), 3.5),
        ((0.1, 50, 20), (3.5, 30.5)),
        ((0.1, 50, 0), (3.5, 30)),
        ((0.1, 50, 20), (-3.5, 30)),
        ((0.1 * u.s, 50, 20), (3.5, 30)),
    ],
)
def test_regular_axes_refuse_in_one_line(energy, fov):
    with pytest.raises(ValueError, match="expected") as error:
        Axes.regular(energy, fov)
    assert "\n" not in str(error.value)


def test_bins_between_two_energies():
    """Whole bins; an edge in another unit is met."""
    axes = Axes.regular((0.1, 100, 9), (1, 2))  # three bins a decade
    assert axes.slice_by_energy() == slice(0, 9)
    assert axes.slice_by_energy(1000 * u.GeV, 10 * u.TeV) == slice(3, 6)
    assert axes.slice_by_energy(1.01, 9.99) == slice(4, 5)
    assert axes.slice_by_energy(energy_max=1e9 * u.eV * 1e3) == slice(0, 3)
    with pytest.raises(ValueError, match=r"2 to 3 TeV"):
        axes.slice_by_energy(2, 3)
    with pytest.raises(ValueError, match=r"energy_min: got 1.0 s"):
        axes.slice_by_energy(1 * u.s)


def test_axes_show_in_one_line():
    text = repr(edition2015_axes())
    assert "\n" not in text
    assert len(text) < 150
    assert "20 × 60 × 60" in text
