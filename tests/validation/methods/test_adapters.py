"""Adapters of BAccMod: what they convert, what they refuse, and the rates that come of it."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from simbg.axes import Axes
from simbg.io.gadf.store import GadfStore
from simbg.io.region_files import to_sky_region
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.contract import Reconstructor, check_cube
from simbg.reconstruction.registry import find_method
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.regions import Ellipse, Polygon, Rectangle, circle, excluded
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.methods.adapters.baccmod import Grid3D, Radial, Zenith
from simbg.validation.metrics.poisson import sigmas

NAMES = ("baccmod-grid3d", "baccmod-grid3d-livetime", "baccmod-radial", "baccmod-zenith")
# 12 × 10 pixels of half a degree, on no square grid of their own.
AXES = Axes(np.geomspace(0.1, 10, 5), np.linspace(-3, 3, 13), np.linspace(-2.5, 2.5, 11))
# Larger steps of the field's turn in time, for all that turns little.
QUICK = {"max_fraction_pixel_rotation_fov": 2.0, "time_resolution": 10 * u.s}
N_SIGMA = sigmas(1e-5)  # false-alarm rate of each comparison with a truth


def observation(store, **how):
    events = Events(np.array([1.0]), np.array([0.1]), np.array([0.1]))
    how = {"obs_id": 1, "livetime": 900.0, "ontime": 1000.0} | how
    return Observation.in_memory(events, store=store, **how)


@pytest.mark.parametrize("name", NAMES)
def test_found_by_name(name):
    method = find_method(name)
    assert isinstance(method, Reconstructor)
    assert method.name == name
    assert method.clock == ("livetime" if name.endswith("livetime") else "ontime")


def test_starts_light():
    code = "import sys, simbg.validation.methods.adapters.baccmod; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "simbg.validation.methods.adapters.baccmod" in loaded
    assert not loaded & {
        "baccmod",
        "gammapy",
        "simbg.truth.gaussian",
        "simbg.simulation.library",
        "simbg.simulation.experiment",
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("missing", ["baccmod", "gammapy"])
def test_missing_library_is_named_in_one_line(monkeypatch, tmp_path, name, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "baccmod", raising=False) if missing == "gammapy" else None
    with pytest.raises(ImportError, match=f"^{name}: got .*, expected BAccMod and gammapy$"):
        find_method(name).reconstruct([observation(tmp_path)], AXES)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ([observation(None)], "got stores None, expected observations of one GADF store"),
        ([observation("a"), observation("b")], "got stores a, b, expected"),
        ([], "got stores no observations, expected"),
        (
            [observation("a"), observation("a", excluded=(circle(1, 2, 0.3),))],
            "got runs with different excluded regions",
        ),
        (
            [observation("a", excluded=(Rectangle(1, 2, 0.3, 0.3),))],
            "got Rectangle as",
        ),
        ([observation("a", excluded=(circle(1, 2, 0.3, 0.1),))], "got an annulus"),
        ([observation("a", excluded=(Polygon((0, 1, 1), (0, 0, 1)),))], "got Polygon"),
    ],
)
def test_refused_observations(observations, message):
    with pytest.raises(ValueError, match=f"^baccmod-grid3d: {message}"):
        Grid3D().reconstruct(observations, AXES)


@pytest.mark.parametrize(
    ("lon", "lat"),
    [
        (np.linspace(-3, 3, 13), np.linspace(-3, 3, 7)),  # not square
        (np.linspace(-3, 3, 6), np.linspace(-3, 3, 6)),  # no edge at 0
        (np.array([-1, 0, 2.0]), np.array([-1, 0, 1.0])),  # not even
        (np.linspace(-2.9, 3.1, 13), np.linspace(-3, 3, 13)),  # shifted
    ],
)
def test_axes_that_are_on_no_lattice_are_refused(lon, lat):
    for method in (Grid3D(), Zenith()):
        with pytest.raises(ValueError, match="expected square pixels of one width with an"):
            method.reconstruct([observation("a")], Axes(AXES.energy, lon, lat))


def test_axes_aligned_with_the_sky_are_refused():
    for method in (Grid3D(), Radial(), Zenith()):
        with pytest.raises(ValueError, match="got axes aligned with RADEC, expected ALTAZ"):
            method.reconstruct([observation("a")], replace(AXES, align="RADEC"))


def test_lattice_holds_the_axes():
    np.testing.assert_allclose(Grid3D().offsets(AXES), np.arange(7) / 2)
    aside = replace(AXES, fov_lon=np.linspace(1, 4, 7))
    np.testing.assert_allclose(Grid3D().offsets(aside), np.arange(9) / 2)
    # Radial: from the centre to beyond the farthest corner.
    offset = Radial().offsets(AXES)
    np.testing.assert_allclose(np.diff(offset), 0.5)
    assert offset[0] == 0
    assert offset[-2] < np.hypot(3, 2.5) < offset[-1]


@pytest.mark.parametrize("region", [circle(80, -40, 0.5), Ellipse(80, -40, 1.2, 0.5, 30.0)])
def test_regions_are_the_same_places(region):
    """Away from the border, which in a TAN image of regions is off by 1e-4 of the radius."""
    rng = np.random.default_rng(0)
    ra, dec = 80 + rng.uniform(-1, 1, 4000), -40 + rng.uniform(-0.8, 0.8, 4000)
    wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 80.0, "CRVAL2": -40.0})
    wcs.wcs.cdelt = -0.001, 0.001
    theirs = to_sky_region(region).contains(SkyCoord(ra, dec, unit="deg"), wcs)
    ours = excluded(ra, dec, [region])
    assert 200 < ours.sum() < 3000
    assert np.count_nonzero(ours != theirs) <= 2
    turned = to_sky_region(Ellipse(80, -40, 1.2, 0.5, -30.0))
    turned = turned.contains(SkyCoord(ra, dec, unit="deg"), wcs)
    assert np.count_nonzero(ours != turned) > 100


# With BAccMod.


@pytest.fixture(scope="module")
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own imports
        return pytest.importorskip("baccmod", reason="BAccMod is not installed: nox -s adapters")


class SimulatedStore:
    """A store of some runs of a scenario, and their truth over our axes."""

    def __init__(self, folder, scenario, n_obs):
        experiment = Experiment.of(scenario, 2, n_obs)
        table = experiment.runs
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # A name draws its own events; of these no bin of 5 or more is cut at 0 by zenith.
            replace(experiment, scenario=replace(scenario, name="")).write(folder)
        store = GadfStore(folder)
        self.observations = store.observations(store.table)
        self.masked = [replace(o, excluded=scenario.regions) for o in self.observations]
        self.livetime, self.ontime = float(table["LIVETIME"].sum()), float(table["ONTIME"].sum())
        true = experiment.background(AXES, "whole")
        self.kept = true.livetime / self.livetime
        # As if nothing was excluded.
        self.expected = true.counts / self.kept

    def pulls(self, rate, seconds):
        """Of bins of 5 or more events; masks take their part of the information."""
        many = self.expected * self.kept >= 5
        found = (rate * AXES.volume * seconds)[many]
        expected, kept = self.expected[many], self.kept[many]
        return (found - expected) / np.sqrt(expected / kept), kept

    def chi2_z(self, rate, seconds):
        """Σ pull² − n, in its standard deviations: Var = 2 + 1/μ a bin for Poisson counts."""
        pulls, _ = self.pulls(rate, seconds)
        return (np.sum(pulls**2) - pulls.size) / np.sqrt(pulls.size * (2 + 1 / 5))

    def norm(self, rate, seconds):
        """Model over truth, and its statistical error."""
        total = self.expected.sum()
        return np.sum(rate * AXES.volume * seconds) / total, 1 / np.sqrt(total)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, library):
    """A background whose peak lies off the centre: nothing can be flipped or swapped."""
    return SimulatedStore(tmp_path_factory.mktemp("plain") / "store", SCENARIOS["realistic"], 6)


@pytest.fixture(scope="module")
def masked(tmp_path_factory, library):
    return SimulatedStore(tmp_path_factory.mktemp("masked") / "store", SCENARIOS["source"], 4)


pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


@pytest.mark.gammapy
def test_grid_is_the_truth_per_livetime(plain):
    cube = check_cube(Grid3D(QUICK).reconstruct(plain.observations, AXES), AXES)
    assert cube.clock == "ontime"
    np.testing.assert_allclose(cube.livetime, plain.livetime)
    np.testing.assert_allclose(cube.ontime, plain.ontime)
    assert abs(plain.chi2_z(cube.rate, plain.livetime)) < N_SIGMA
    norm, error = plain.norm(cube.rate, plain.livetime)
    assert abs(norm - 1) < N_SIGMA * error
    # Controls: its clock is not GADF's, nothing may be turned round.
    assert plain.norm(cube.rate, plain.ontime)[0] - 1 > 2 * N_SIGMA * error
    swapped = cube.rate.copy()
    swapped[:, 1:-1] = cube.rate[:, 1:-1].swapaxes(1, 2)
    for wrong in (cube.rate[:, ::-1], cube.rate[:, :, ::-1], swapped):
        assert plain.chi2_z(wrong, plain.livetime) > 2 * N_SIGMA


@pytest.mark.gammapy
def test_clock_is_what_the_rate_is_taken_for(plain):
    method = replace(find_method("baccmod-grid3d-livetime"), settings=QUICK)
    right = method.reconstruct(plain.observations[:2], AXES)
    taken = Grid3D(QUICK).reconstruct(plain.observations[:2], AXES)
    np.testing.assert_array_equal(right.rate, taken.rate)
    assert (right.clock, taken.clock) == ("livetime", "ontime")
    np.testing.assert_allclose(right.per("ontime").rate, 0.91 * taken.rate)


@pytest.mark.gammapy
def test_zenith_is_the_truth_of_the_mean_run(plain):
    """Of two bins of zenith the mean over the runs is the grid, but for what is cut at 0."""
    cube = check_cube(Zenith(QUICK).reconstruct(plain.observations, AXES), AXES)
    grid = Grid3D(QUICK).reconstruct(plain.observations, AXES)
    many = plain.expected >= 5
    np.testing.assert_allclose(cube.rate[many], grid.rate[many], rtol=1e-5)  # sums of float32
    # The line through two sparse bins is negative at some runs.
    assert (cube.rate > 1.01 * grid.rate).any()
    assert (cube.rate >= 0.99999 * grid.rate).all()
    norm, error = plain.norm(cube.rate, plain.livetime)
    assert abs(norm - 1) < N_SIGMA * error
    assert plain.norm(cube.rate, plain.ontime)[0] - 1 > 2 * N_SIGMA * error


@pytest.mark.gammapy
def test_radial_is_the_truth_where_that_is_radial(tmp_path, library):
    scenario = replace(SCENARIOS["realistic"], truth=GaussianTruth(index=2.7, event_rate=30.0))
    simulated = SimulatedStore(tmp_path / "store", scenario, 6)
    cube = check_cube(Radial().reconstruct(simulated.observations, AXES), AXES)
    found = (cube.rate * AXES.volume * simulated.livetime)[:2]
    expected = simulated.expected[:2]
    inner = AXES.offset < 2.5
    # 0.6 % are the pixels that make a ring, 0.5 % the curvature between its edges, the rest noise.
    many = found[:, inner] / expected[:, inner] - 1
    assert np.abs(many).max() < 0.011 + N_SIGMA / np.sqrt(expected[1, inner].min())
    norm, error = simulated.norm(cube.rate, simulated.livetime)
    assert abs(norm - 1) < 0.006 + N_SIGMA * error
    assert simulated.norm(cube.rate, simulated.ontime)[0] - 1 > 2 * (0.006 + N_SIGMA * error)


@pytest.mark.gammapy
@pytest.mark.parametrize("method", [Grid3D(QUICK), Radial(), Zenith(QUICK)], ids=lambda m: m.name)
def test_sources_are_masked(masked, method):
    """The sources are not in it, and their pixels are as full as without."""
    touched = masked.kept < 0.99
    assert 0 < touched.mean() < 0.5
    expected = masked.expected[touched].sum()
    bound = N_SIGMA / np.sqrt((masked.expected * masked.kept)[touched].sum())

    def excess(observations):
        rate = method.reconstruct(observations, AXES).rate
        return (rate * AXES.volume * masked.livetime)[touched].sum() / expected - 1

    # 2 % of the sources leak; a radial model is not that of a peak off the centre.
    slack = 0.1 if method.name == "baccmod-radial" else 0.02
    assert abs(excess(masked.masked)) < slack + bound
    # The sources are a fifth of what is there.
    assert excess(masked.observations) > excess(masked.masked) + 0.1


@pytest.fixture
def rings(library):
    from gammapy.irf import Background2D
    from gammapy.maps import MapAxis

    energy = MapAxis.from_energy_edges(AXES.energy * u.TeV, name="energy")
    offset = MapAxis.from_edges(np.arange(10) / 2 * u.deg, name="offset")

    def make(profile):
        data = np.outer([4.0, 3, 2, 1], profile) * u.Unit("s-1 MeV-1 sr-1")
        return Background2D(axes=[energy, offset], data=data)

    return make


PROFILE = np.exp(-0.5 * (np.arange(9) / 4 + 0.125) ** 2)


@pytest.mark.gammapy
def test_rings_are_averaged_over_pixels(rings):
    """Against sums over 40 × 40 points of a pixel, of rates interpolated by numpy."""
    averages = Radial().average(rings(PROFILE), AXES)
    middles = np.arange(9) / 2 + 0.25
    assert averages.shape == AXES.shape
    for i, j in ((0, 0), (5, 4), (6, 5), (11, 2), (3, 9)):
        part = (np.arange(40) + 0.5) / 40
        lon = AXES.fov_lon[i] + 0.5 * part[:, None]
        lat = AXES.fov_lat[j] + 0.5 * part
        offset = SkyCoord(lon * u.deg, lat * u.deg).separation(SkyCoord(0 * u.deg, 0 * u.deg))
        rate = np.exp(np.interp(offset.deg, middles, np.log(PROFILE)))
        mean = np.average(rate, weights=np.broadcast_to(np.cos(np.radians(lat)), rate.shape))
        # Steps of 1/16 deg, of a profile that changes by 30 % between rings.
        np.testing.assert_allclose(averages[:, i, j], [4 * mean, 3 * mean, 2 * mean, mean], 1e-3)


@pytest.mark.gammapy
def test_a_ring_that_is_not_known_is_not_0(rings):
    unknown = PROFILE.copy()
    unknown[2] = np.nan  # 1 to 1.5 deg
    averages = Radial().average(rings(unknown), AXES)
    assert np.isnan(averages[:, 8, 5]).all()
    assert np.isfinite(averages[:, 5:7, 4:6]).all()
    assert np.isfinite(averages[:, 0]).all()
    assert not (averages == 0).any()
