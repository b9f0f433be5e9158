"""The unmasked fraction of each pixel, against dense samples of time and area."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import qmc

from simbg.axes import Axes
from simbg.observations import masked_exposure
from simbg.observations.masked_exposure import unmasked_fraction, unmasked_fraction_of_run
from simbg.observations.observation import Events, Observation
from simbg.sky.pointing import Drift, Site, Tracking, altaz_to_radec
from simbg.sky.regions import Ellipse, Polygon, Rectangle, circle, excluded

HESS = Site(16.5002, -23.2718, 1835.0)
RUN = 1680.0  # s
GTI = [[0.0, RUN]]
MOMENT = [[RUN / 2 - 0.5, RUN / 2 + 0.5]]  # in which the field turns by 0.01 deg or less
THREE = [[0.0, 300.0], [500.0, 520.0], [1100.0, RUN]]
# Asked for. A sample of 2**16 is known to 3e-4 or so; a sample of 2**20 agreed to 1.1e-4 or better
TOLERANCE = 1e-3
SAMPLE = 1 << 16
SEED = 1
SHOWN = 10  # pixels that are sampled densely


def make_axes():
    """7 x 10 pixels, nothing symmetric and no two widths alike in longitude."""
    lon = [-4, -3.0, -2.5, -1, 0, 0.4, 2, 3.5]
    return Axes([0.1, 1, 10, 100], lon, np.linspace(-3, 4.5, 11))


def make_tracking(zenith=20.0, azimuth=20.0):
    """A pointing that is there in the middle of the run."""
    mjdref = 56585.0
    place = altaz_to_radec(90 - zenith, azimuth, mjdref + RUN / 2 / 86400, HESS)
    return Tracking(*map(float, place), HESS, mjdref)


def at(pointing, lon, lat):
    """The direction that is there in the field in the middle of the run."""
    return tuple(map(float, pointing.fov_to_sky(lon, lat, RUN / 2)))


def sampled(axes, pointing, gti, regions, i, j, weight=None, n=SAMPLE):
    """The fraction of a pixel, by an even (Sobol) sample of its area and of time."""
    across, up, when = qmc.Sobol(3, seed=np.random.default_rng((SEED, i, j))).random(n).T
    lon = axes.fov_lon[i] + across * (axes.fov_lon[i + 1] - axes.fov_lon[i])
    low, high = np.sin(np.radians(axes.fov_lat[j : j + 2]))
    lat = np.degrees(np.arcsin(low + up * (high - low)))
    starts, stops = np.transpose(gti)
    ontime = np.append(0, np.cumsum(stops - starts))
    late = when * ontime[-1]
    which = np.searchsorted(ontime[1:-1], late)
    time = starts[which] + late - ontime[which]
    outside = ~excluded(*pointing.fov_to_sky(lon, lat, time), regions)
    return np.average(outside, weights=None if weight is None else weight(time))


def check(axes, pointing, gti, regions, weight=None, fewest=4):
    """Whether unmasked_fraction is right: in some pixels it touches, and in all others."""
    kept = unmasked_fraction(axes, pointing, gti, regions, weight)
    assert kept.shape == axes.shape[1:]
    assert kept.min() >= 0
    assert kept.max() <= 1
    partly = np.argwhere((kept > 0) & (kept < 1))
    assert len(partly) >= fewest
    shown = partly[:: -(-len(partly) // SHOWN)]
    for i, j in shown:
        expected = sampled(axes, pointing, gti, regions, i, j, weight)
        assert_allclose(kept[i, j], expected, rtol=0, atol=TOLERANCE, err_msg=f"pixel {i}, {j}")
    for i, j in np.argwhere((kept == 0) | (kept == 1)):
        assert sampled(axes, pointing, gti, regions, i, j, weight, 256) == kept[i, j]
    return kept


# Against samples


def test_circle():
    axes, pointing = make_axes(), make_tracking()
    region = circle(*at(pointing, 2.1, 3.1), 0.6)
    kept = check(axes, pointing, GTI, [region])
    # Controls: a mirrored field, one that does not turn, and half of the run
    mirrored = unmasked_fraction(axes, pointing, GTI, [circle(*at(pointing, -2.1, 3.1), 0.6)])
    still = unmasked_fraction(axes, pointing, [[839, 841]], [region])
    half = unmasked_fraction(axes, pointing, [[0, 840]], [region])
    for control in (mirrored, still, half):
        assert np.abs(control - kept).max() > 10 * TOLERANCE


def test_shapes_that_overlap():
    pointing = make_tracking()
    corners = [at(pointing, *place) for place in [(-3, -2), (1, -1.5), (0, 3)]]
    regions = [
        Ellipse(*at(pointing, 1, 2), 2, 1, 30),
        Rectangle(*at(pointing, 0.5, 1.5), 3, 0.7, 100),
        Polygon(*np.transpose(corners)),
    ]
    kept = check(make_axes(), pointing, GTI, regions)
    assert (kept == 0).any()
    assert (kept == 1).any()


@pytest.mark.parametrize("shape", ["circles", "rectangles"])
def test_rings_about_the_pointing(shape):
    pointing = make_tracking()
    ra, dec = pointing.ra, pointing.dec
    ring = circle(ra, dec, 2, 1.1) if shape == "circles" else Rectangle(ra, dec, 5, 3, 20, 1, 2)
    check(make_axes(), pointing, GTI, [ring])


def test_the_pointing_inside():
    pointing = make_tracking()
    kept = check(make_axes(), pointing, GTI, [Ellipse(*at(pointing, 0.3, 0.2), 5, 2.2, 20)])
    assert kept[4, 4] == 0


@pytest.mark.parametrize("zenith", [0.5, 0.001])
def test_past_the_zenith(zenith):
    # The field turns by 162 deg and by 180 deg: many pixels are touched
    pointing = make_tracking(zenith)
    regions = [circle(*at(pointing, 1, 2), 0.4), Rectangle(*at(pointing, -2, 0.5), 2, 1, 20)]
    check(make_axes(), pointing, GTI, regions, fewest=25)


@pytest.mark.parametrize("zenith", [0.5, 20])
def test_three_intervals_with_gaps(zenith):
    pointing = make_tracking(zenith)
    region = Rectangle(*at(pointing, 1, 2), 0.8, 1.4, 20)
    kept = check(make_axes(), pointing, THREE, [region])
    assert (
        np.abs(kept - unmasked_fraction(make_axes(), pointing, GTI, [region])).max()
        > 10 * TOLERANCE
    )


def test_weight_in_time():
    axes, pointing = make_axes(), make_tracking(0.5)
    regions = [circle(*at(pointing, 1, 2), 0.4)]
    kept = check(axes, pointing, GTI, regions, weight=lambda time: 5 * time)
    assert np.abs(kept - unmasked_fraction(axes, pointing, GTI, regions)).max() > 10 * TOLERANCE
    # A weight that is an interval
    window = unmasked_fraction(axes, pointing, [[200, 700]], regions)
    weighted = unmasked_fraction(axes, pointing, GTI, regions, lambda t: (t > 200) & (t < 700))
    # The grid of times is 1.6 s: 3 ms of an interval
    assert_allclose(weighted, window, rtol=0, atol=5e-3)


@pytest.mark.parametrize("alt", [75.0, 23.5], ids=["fast", "pole"])
def test_drift(alt):
    # 23.5 deg in the south is 0.2 deg from the celestial pole
    axes, pointing = make_axes(), Drift(alt, 180.0 if alt < 30 else 130.0, HESS, 56585.0)
    regions = [
        circle(*at(pointing, 1, 2), 0.5),
        Ellipse(*at(pointing, 3, 1), 2, 1, 30),
        circle(*at(pointing, -2, 0), 0.6, 0.2),
    ]
    check(axes, pointing, THREE, regions, fewest=8)


def test_wide_field_and_wide_regions():
    axes = Axes([0.1, 1], np.linspace(-40, 40, 9), np.linspace(-42, 30, 7))
    pointing = make_tracking()
    # The last one reaches to 121 deg from the pointing
    regions = [
        circle(*at(pointing, 20, 20), 15),
        Rectangle(*at(pointing, 0, 55), 60, 20, 30),
        circle(*at(pointing, -61, 0), 60, 30),
    ]
    check(axes, pointing, GTI, regions)


def test_strip_through_the_sky():
    # 100 deg by 2 deg, one corner 60 deg from the pointing
    pointing = make_tracking()
    region = Rectangle(*at(pointing, 1, 0), 100, 2, 70)
    check(make_axes(), pointing, GTI, [region])


def test_what_is_not_tracking_is_looked_at_anew():
    class Followed:
        def __init__(self, pointing):
            self.radec, self.sky_to_fov = pointing.radec, pointing.sky_to_fov

    pointing = make_tracking(0.5)
    regions = [circle(*at(pointing, 1, 2), 0.4), Rectangle(*at(pointing, -2, 0.5), 2, 1, 20)]
    kept = unmasked_fraction(make_axes(), pointing, THREE, regions)
    # Both are accurate to 1e-4 and choose other times
    other = unmasked_fraction(make_axes(), Followed(pointing), THREE, regions)
    assert_allclose(other, kept, rtol=0, atol=3e-4)


# Against formulas


def test_the_solid_angle_of_a_circle():
    """What pixels lose together is what the circle has."""
    pointing = make_tracking()
    expected = 2 * np.pi * (1 - np.cos(np.radians(0.7)))
    region = circle(*at(pointing, 0.5, 1.5), 0.7)
    # Chords are off by 4e-4 of the radius and have the same area; aberration makes solid angles
    # 2 v / c = 2e-4 larger or smaller
    axes = make_axes()
    unmasked = unmasked_fraction(axes, pointing, THREE, [region])
    assert_allclose(np.sum((1 - unmasked) * axes.solid_angle), expected, rtol=2.1e-4)


def test_ring_about_the_pointing_in_one_pixel():
    axes = Axes([1, 10], [-3, 0, 5], [-4, 0, 3.5])
    pointing = make_tracking()
    ring = circle(pointing.ra, pointing.dec, 2, 1)
    unmasked = unmasked_fraction(axes, pointing, GTI, [ring])
    quarter = np.pi / 2 * (np.cos(np.radians(1)) - np.cos(np.radians(2)))
    # In 70 chords a quarter of a ring ends at a chord's middle or end: 1e-4; and aberration, 2e-4
    assert_allclose((1 - unmasked) * axes.solid_angle, np.full((2, 2), quarter), rtol=3.1e-4)


def test_pixels_of_pixels():
    """A pixel has what the parts of it have together."""
    coarse, pointing = make_axes(), make_tracking(3)
    lon, lat = (
        np.interp(np.arange(n * (edges.size - 1) + 1) / n, np.arange(edges.size), edges)
        for n, edges in ((3, coarse.fov_lon), (2, coarse.fov_lat))
    )
    fine = Axes(coarse.energy, lon, lat)
    regions = [circle(*at(pointing, 1, 2), 0.4), Rectangle(*at(pointing, -2, 0.5), 2, 1, 20)]
    parts = (unmasked_fraction(fine, pointing, GTI, regions) * fine.solid_angle).reshape(
        7, 3, 10, 2
    )
    kept = unmasked_fraction(coarse, pointing, GTI, regions)
    # Finer pixels have more times, and so other ones
    assert_allclose(parts.sum(axis=(1, 3)) / coarse.solid_angle, kept, rtol=0, atol=2e-4)


def test_a_pixel_as_a_region():
    axes, pointing = make_axes(), make_tracking()
    lon, lat = axes.fov_lon[2:4], axes.fov_lat[5:8]
    places = [(lon[i], lat[j]) for i, j in [(0, 0), (0, 2), (1, 2), (1, 0)]]
    corners = [at(pointing, *place) for place in places]
    kept = unmasked_fraction(axes, pointing, MOMENT, [Polygon(*np.transpose(corners))])
    expected = np.ones((7, 10))
    expected[2, 5:7] = 0
    # A great circle is 2e-5 deg above the parallel, and 2.5 times that at the farther end
    assert_allclose(kept, expected, rtol=0, atol=5e-4)


# Unions


def triangles(corners, whole):
    """The two halves of a quadrangle, or itself."""
    ra, dec = np.transpose(corners)
    parts = [[0, 1, 2, 3]] if whole else [[0, 1, 2], [0, 2, 3]]
    return [Polygon(ra[part], dec[part]) for part in parts]


def cut_elsewhere(axes, side):
    """The most that a fraction changes by when sides of this length (deg) begin elsewhere.

    Each is a chord in longitude and sine of latitude, in which great circles are bent: at a
    latitude b and a bearing θ by cos θ tan b (1 + 2 sin²θ), which is √2 tan b or less. A chord so
    stays within √2 tan b side²/8 of its arc, and there is no more border in a pixel than its
    perimeter, if it is convex.
    """
    bend = np.sqrt(2) * np.tan(np.radians(np.abs(axes.fov_lat).max()))
    lon, height = np.diff(np.radians(axes.fov_lon)), np.diff(np.sin(np.radians(axes.fov_lat)))
    return bend * np.radians(side) ** 2 / 8 * 2 * (1 / lon.min() + 1 / height.min())


@pytest.mark.parametrize("finer", [1, 16])
def test_halves_make_a_whole(finer, monkeypatch):
    """A common side leaves no seam, nor does a part of a side.

    Equal sides whose ends differ in the last bits cross somewhere on the way. The border has
    another corner there, from which it is cut for the field at other places.
    """
    monkeypatch.setattr(masked_exposure, "SIDE", masked_exposure.SIDE / finer)
    axes, pointing = make_axes(), make_tracking()
    corners = [at(pointing, *place) for place in [(-2, -1), (1, -1.3), (2, 3), (-1.5, 2)]]
    shift = 1e-12 * np.array([[1, 0], [-1, 0], [1, 0], [-1, 0]])  # deg: the sides cross
    whole = triangles(corners, whole=True)
    expected = unmasked_fraction(axes, pointing, GTI, whole)
    tolerance = cut_elsewhere(axes, masked_exposure.SIDE)
    assert tolerance < 1.2e-4 / finer**2
    for regions in (
        triangles(corners, whole=False),
        whole + triangles(corners, whole=False),
        whole + triangles(corners + shift, whole=False),
        [*triangles(corners[1:] + corners[:1], whole=False), *whole, *whole],
    ):
        kept = unmasked_fraction(axes, pointing, GTI, regions)
        assert_allclose(kept, expected, rtol=0, atol=tolerance)
    # Control: a seam of 0.04 arcsec, 7e-6 of a pixel
    if finer > 1:
        parts = triangles(corners, whole=False)
        apart = [parts[0], triangles(corners + 1e7 * shift, whole=False)[1]]
        seam = unmasked_fraction(axes, pointing, GTI, apart) - expected
        assert np.abs(seam).max() > 4 * tolerance


def test_regions_all_but_the_same():
    """The same source from two catalogues, 0.02 arcsec apart and less."""
    axes, pointing = make_axes(), make_tracking()
    ra, dec = at(pointing, 1, 2)
    expected = unmasked_fraction(axes, pointing, GTI, [circle(ra, dec, 0.4)])
    regions = [circle(ra + 5e-6 * i, dec, 0.4 + 1e-9 * i**2) for i in (0, 1, -1, 1e-4, 1e-7, 0)]
    # A shift of 1e-5 deg over a pixel of 0.4 deg
    assert_allclose(unmasked_fraction(axes, pointing, GTI, regions), expected, rtol=0, atol=3e-5)


def test_many_regions():
    pointing = make_tracking()
    rng = np.random.default_rng(2)
    regions = [
        circle(*at(pointing, *rng.uniform(-4, 4, 2)), rng.uniform(0.1, 0.6)) for _ in range(40)
    ]
    kept = check(make_axes(), pointing, GTI, regions)
    assert_allclose(unmasked_fraction(make_axes(), pointing, GTI, regions[::-1]), kept, atol=1e-9)


# Exactly nothing, exactly all


def test_nothing_near():
    axes, pointing = make_axes(), make_tracking()
    for regions in ([], [circle(*at(pointing, 8, 0), 0.5)], [circle(*at(pointing, -170, 0), 50)]):
        assert_array_equal(unmasked_fraction(axes, pointing, GTI, regions), np.ones((7, 10)))


def test_near_but_not_in_the_field():
    # Within the circle through the corner, not in any pixel
    axes, pointing = make_axes(), make_tracking()
    region = circle(*at(pointing, 5, 0), 0.5)
    assert_array_equal(unmasked_fraction(axes, pointing, MOMENT, [region]), np.ones((7, 10)))


def test_the_whole_field():
    pointing = make_tracking(0.5)
    for region in (
        circle(*at(pointing, 1, 2), 12),
        circle(*at(pointing, 40, 0), 60),
        Rectangle(*at(pointing, 1, 2), 50, 80, 30),
    ):
        kept = unmasked_fraction(make_axes(), pointing, THREE, [region])
        assert_array_equal(kept, np.zeros((7, 10)))


def test_in_the_field_for_a_part_of_the_run():
    """What comes by after the end does not count."""
    pointing = Drift(75.0, 130.0, HESS, 56585.0)
    region = circle(*map(float, pointing.fov_to_sky(0, 0, 3000.0)), 0.5)
    assert_array_equal(unmasked_fraction(make_axes(), pointing, [[0, 600]], [region]), 1)
    assert unmasked_fraction(make_axes(), pointing, [[0, 600], [2900, 3100]], [region]).min() < 0.9


def test_control_too_few_times_show(monkeypatch):
    """What the samples of these tests would see."""
    monkeypatch.setattr(masked_exposure, "STEPS", 2)
    monkeypatch.setattr(masked_exposure, "FEWEST_STEPS", 2)
    with pytest.raises(AssertionError, match="pixel"):
        test_past_the_zenith(0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gti": [0, 1]}, r"gti: got shape \(2,\), expected \(n, 2\), one interval or more"),
        ({"gti": np.empty((0, 2))}, r"gti: got shape \(0, 2\)"),
        ({"gti": [[0, 1], [3, 2]]}, r"gti: got \[\[0.0, 1.0\], \[3.0, 2.0\]\], expected finite"),
        ({"gti": [[0, np.inf]]}, r"gti: got \[\[0.0, inf\]\]"),
        ({"weight": lambda t: 0 * t}, "weight: got 0.0 to 0.0, expected 0 or more, finite, not"),
        ({"weight": lambda t: 500 - t}, "weight: got -11"),
        ({"weight": lambda t: np.nan * t}, "weight: got nan to nan"),
        ({"axes": Axes([1, 2], [-50, 2], [0, 40])}, "axes: got a corner at 60.5013 deg, expected"),
        (
            {"pointing": Drift(60.0, 0.0, HESS, 56585.0), "gti": [[0, 36000]]},
            "pointing: got .* 1.. deg",
        ),
    ],
)
def test_errors(change, message):
    given = {"axes": make_axes(), "pointing": make_tracking(), "gti": GTI, "weight": None}
    given |= {"regions": [circle(10, 20, 1)]} | change
    with pytest.raises(ValueError, match=f"^{message}"):
        unmasked_fraction(**given)


class OfAnother:
    """A pointing of another library, whose objects can neither be hashed nor are constant."""

    __hash__ = None

    def __init__(self, pointing):
        self.sky_to_fov, self.fov_to_sky = pointing.sky_to_fov, pointing.fov_to_sky
        self.radec, self.altaz = pointing.radec, pointing.altaz


@pytest.mark.parametrize("gti", [np.array(GTI, int), np.array(GTI, ">f8"), np.array(GTI, "f4")])
@pytest.mark.parametrize("kind", [lambda pointing: pointing, OfAnother], ids=["ours", "another"])
def test_the_fraction_of_a_run_with_times_of_any_type(gti, kind):
    axes, pointing = make_axes(), make_tracking()
    regions = (circle(*at(pointing, 1.0, 1.0), 0.7),)
    events = Events(*np.zeros((3, 0)), gti=gti, pointing=kind(pointing))
    run = Observation.in_memory(events, obs_id=1, livetime=RUN, ontime=RUN, excluded=regions)
    expected = unmasked_fraction(axes, pointing, GTI, regions)
    assert expected.min() < 0.5
    found = unmasked_fraction_of_run(axes, run, events)
    assert_allclose(found, expected, rtol=0, atol=1e-6)
