"""One known answer for all truths: the integral of the rate, the bins and the events agree."""

from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose
from support.quadrature import panels
from support.sampling import FALSE_ALARM, worst_p_value

from simbg.axes import Axes
from simbg.truth.from_file import CubeTruth
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.protocol import Truth
from simbg.truth.shaped import ShapedTruth

PEAKED = GaussianTruth(event_rate=50.0, energy_range=(0.1, 60.0), peak=(0.7, -0.4))
# Where panels end: neither dead rectangles nor the pixels of the file cut what lies between.
AXES = Axes([0.2, 0.5, 1.1, 4.0, 20.0], [-3.0, -1.0, -0.3, 1.5], [-2.7, 0.5, 1.1, 4.0])
FILE = Axes(AXES.energy, [-3.0, -2, -1.0, -0.3, 0.6, 1.5], [-2.7, -1, 0.5, 1.1, 2.0, 3.0, 4.0])
TRUTHS = {
    "gaussian": PEAKED,
    "center": GaussianTruth(index=2.5, normalization="center", event_rate=300.0),
    "quadrant": GaussianTruth(quadrant=True),
    "shaped": ShapedTruth(
        PEAKED,
        curvature=0.15,
        zenith_power=-1.5,
        zenith_hardening=1.7,
        turn_on_energy=0.17,
        gradient=(0.09, -0.05),
        ring_depth=0.94,
        dead=((-1.0, -0.3, 0.5, 1.1),),
    ),
    "file": CubeTruth(FILE, PEAKED.integrate(FILE) / FILE.volume),
}
ZENITH = 50.0


@pytest.fixture(params=TRUTHS)
def truth(request):
    return TRUTHS[request.param]


def integral(truth, energy, lon, lat, cuts):
    """∫ rate dE dΩ over a bin, solid angle and all; panels end at the cuts of each direction."""
    (x, w_x), (y, w_y) = (
        map(np.concatenate, zip(*(panels(*p, 2) for p in parts), strict=True))
        for parts in (pieces(lon, cuts[0]), pieces(lat, cuts[1]))
    )
    log_e, w_e = panels(*np.log(energy), 8)
    e = np.exp(log_e)
    rate = truth.rate(e[:, None, None], x[:, None], y, ZENITH)
    per_lat = rate @ (w_y * np.cos(np.deg2rad(y)))
    return 1e6 * np.deg2rad(1) ** 2 * (w_e * e) @ (per_lat @ w_x)


def pieces(ends, cuts):
    edges = np.unique(np.clip([*ends, *cuts], *ends))
    return pairwise(edges)


def test_is_a_truth(truth):
    assert isinstance(truth, Truth)
    assert not isinstance(AXES, Truth)
    hash(truth)


def test_bins_hold_the_integral_of_the_rate(truth):
    """Quadratures of the reference have converged to 1e-11."""
    got = truth.integrate(AXES, ZENITH)
    # At 0 a quadrant ends.
    cuts = [*FILE.fov_lon, 0.0], [*FILE.fov_lat, 0.0]
    for i, j, k in np.ndindex(AXES.shape):
        box = AXES.energy[i : i + 2], AXES.fov_lon[j : j + 2], AXES.fov_lat[k : k + 2]
        assert_allclose(got[i, j, k], integral(truth, *box, cuts), rtol=1e-9, atol=0)


def test_threshold_cuts_a_bin(truth):
    """What lies above a threshold is what bins that start there hold."""
    above = Axes([0.7, *AXES.energy[2:]], AXES.fov_lon, AXES.fov_lat)
    got = truth.integrate(AXES, ZENITH, energy_min=0.7)
    assert not got[0].any()
    assert_allclose(got[1:], truth.integrate(above, ZENITH), rtol=1e-9, atol=0)


def test_cube_is_the_integral_over_volumes(truth):
    cube, events = truth.cube(AXES, ZENITH, livetime=100.0), truth.integrate(AXES, ZENITH)
    assert_allclose(cube.counts, 100 * events, rtol=1e-15)
    assert_allclose(cube.rate, events / AXES.volume, rtol=1e-15)
    assert np.all(cube.livetime == 100.0)
    assert cube.clock == "livetime"
    assert truth.cube(AXES).counts is None


def test_events_follow_the_integrals(truth):
    """With the control of a field the other way round."""
    expected = truth.integrate(AXES, ZENITH)
    livetime = 300_000 / expected.sum()
    counts = AXES.fill(*truth.draw(livetime, ZENITH, np.random.default_rng(7)))
    assert worst_p_value(counts, expected * livetime) > FALSE_ALARM
    # 5 σ of the number of events: 6e-7.
    assert abs(counts.sum() - 300_000) < 5 * np.sqrt(300_000)
    assert worst_p_value(counts[:, ::-1], expected * livetime) < FALSE_ALARM


def test_seeds(truth):
    """The same events for the same seed, and none in no time."""
    first, again, other = (truth.draw(50.0, ZENITH, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first[0].size != other[0].size
    assert [x.shape for x in truth.draw(0.0, ZENITH, np.random.default_rng(1))] == [(0,)] * 3


def test_points_in_any_unit(truth):
    energy, lon, lat = [300.0, 2000.0] * u.GeV, -0.01 * u.rad, 60 * u.arcmin
    bare = truth.rate([0.3, 2.0], -np.rad2deg(0.01), 1.0, ZENITH)
    # A rounding in the angle, where the rate falls by e² a degree at most.
    assert_allclose(truth.rate(energy, lon, lat, ZENITH), bare, rtol=1e-13, atol=0)
    with pytest.raises(ValueError, match=r"energy: .*TeV"):
        truth.rate(lat, lon, lat)
