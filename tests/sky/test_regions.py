"""Shapes on the sky against formulas and against `regions` on an image; files of them."""

import pickle

import astropy.units as u
import numpy as np
import pytest
import regions as ds9
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from simbg.io.region_files import read_regions, write_regions
from simbg.models.known_sources import Sources
from simbg.sky.regions import Ellipse, Polygon, Rectangle, circle, circles, excluded

CENTER = 80.0, 35.0
TRIANGLE = Polygon([80, 83, 81], [34, 35, 37])
# One of each kind: none round but the first, none upright
SHAPES = [
    circle(*CENTER, 1.2),
    circle(*CENTER, 1.2, 0.7),
    Ellipse(*CENTER, 3, 1, 25),
    Ellipse(*CENTER, 3, 1, 25, 2, 0.4),
    Rectangle(*CENTER, 1, 2.5, 110),
    Rectangle(*CENTER, 1, 2.5, 110, 0.3, 2),
    TRIANGLE,
]
FRAMES = {"icrs": "icrs", "fk5": "fk5", "fk4": "fk4", "galactic": "galactic"}
FRAMES |= {"ecliptic": "barycentricmeanecliptic"}


@pytest.fixture
def region_file(tmp_path):
    def write(*lines, name="some.reg"):
        path = tmp_path / name
        path.write_text("# Region file format: DS9 version 4.1\n" + "\n".join(lines) + "\n")
        return path

    return write


def sky(center, radius, n=20_000, seed=1):
    """Directions all over the surroundings of one, ra and dec."""
    rng = np.random.default_rng(seed)
    away = SkyCoord(*center, unit="deg").directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, radius * np.sqrt(rng.random(n)) * u.deg
    )
    return away.ra.deg, away.dec.deg


def solid_angle(ra, dec):
    """Of a loop of great circles, sr: triangles from its mean (van Oosterom and Strackee 1983)."""
    vertices = SkyCoord(ra, dec, unit="deg").cartesian.xyz.value
    middle = vertices[:, :-1].mean(axis=1)
    middle /= np.hypot.reduce(middle)
    one, other = vertices[:, :-1], vertices[:, 1:]
    volume = middle @ np.cross(one, other, axis=0)
    scale = 1 + middle @ one + middle @ other + (one * other).sum(axis=0)
    return abs(2 * np.arctan2(volume, scale).sum())


# What is inside


@pytest.mark.parametrize(
    "center", [(120.0, 40.0), (0.1, -35.0), (359.9, 10.0), (77.0, 89.5), (200.0, -90.0), (-30.0, 0)]
)
@pytest.mark.parametrize("radius", [0.05, 2.0, 50.0])
def test_circles_are_great_circle_distances(center, radius):
    ra, dec = sky(center, 1.5 * radius)
    separation = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(*center, unit="deg")).deg
    expected = separation <= radius
    assert 0.3 < expected.mean() < 0.6
    assert_array_equal(circle(*center, radius).contains(ra, dec), expected)
    # The RA of an event and of a region may be given in any turn
    assert_array_equal(circle(*center, radius).contains(ra - 360, dec), expected)
    ring = circle(center[0] + 360, center[1], radius, 0.6 * radius)
    assert_array_equal(ring.contains(ra, dec), expected & (separation > 0.6 * radius))


def test_the_border_of_a_circle():
    # 1e-10 deg: rounding of angles of up to 360 deg is 8e-14 deg
    for ra, dec in [(10.0, 2.0), (12.0, 0.0), (10.0, -2.0), (8.0, 0.0)]:
        assert circle(10, 0, 2 + 1e-10).contains(ra, dec)
        assert not circle(10, 0, 2 - 1e-10).contains(ra, dec)


def test_half_a_width_is_the_angle_along_the_axis():
    center = SkyCoord(*CENTER, unit="deg")
    for shape in (Ellipse(*CENTER, 30, 6, 25), Rectangle(*CENTER, 30, 6, 25)):
        for position_angle, half in [(25 - 90, 15), (25, 3), (25 + 90, 15), (25 + 180, 3)]:
            for factor in (0.9999, 1.0001):
                end = center.directional_offset_by(position_angle * u.deg, factor * half * u.deg)
                assert shape.contains(end.ra.deg, end.dec.deg) == (factor < 1)


def test_polygon_sides_are_great_circles():
    # Along a great circle from RA -40 to 40 deg through dec 45 deg at both ends, the middle is at
    # tan(dec) = tan(45 deg) / cos(40 deg)
    top = np.degrees(np.arctan(1 / np.cos(np.radians(40))))
    polygon = Polygon([-40, 40, 0], [45, 45, 30])
    assert_array_equal(polygon.contains([0, 360], [top - 1e-9, top + 1e-9]), [True, False])


def test_even_odd():
    turn = np.radians(144 * np.arange(5) + 90)
    star = Polygon(180 + 2 * np.cos(turn), 2 * np.sin(turn))
    # The tips are inside, the middle, which the border goes round twice, is not
    assert_array_equal(star.contains([180, 180, 180], [0, 1.5, -1.5]), [False, True, False])


def test_polygon_round_the_pole():
    polygon = Polygon([0, 90, 180, 270], [88, 88, 88, 88])
    assert_array_equal(polygon.contains([0, 45, 45, 200], [88.1, 88.1, 88.7, 90]), [1, 0, 1, 1])


@pytest.mark.parametrize("shape", SHAPES)
def test_bounding_circle(shape):
    ra, dec = sky(shape.center, 1.3 * shape.radius)
    center = SkyCoord(*shape.center, unit="deg")
    inside = shape.contains(ra, dec)
    farthest = SkyCoord(ra, dec, unit="deg").separation(center).deg[inside].max()
    # Of 20,000 directions one is near the farthest place, and none beyond
    assert 0.9 * shape.radius < farthest <= shape.radius


def test_shapes_of_arrays():
    shape = SHAPES[0]
    assert shape.contains(80, 35).shape == ()
    assert shape.contains([], []).shape == (0,)
    assert shape.contains(np.full((2, 1), 80), np.linspace(33, 37, 3)).tolist() == [[0, 1, 0]] * 2
    assert not shape.contains([80, np.nan], [np.nan, 35]).any()


def test_excluded_is_inside_of_any():
    ra, dec = sky(CENTER, 3)
    expected = np.array([shape.contains(ra, dec) for shape in SHAPES])
    assert 0 < expected.any(axis=0).sum() < expected.sum()
    assert_array_equal(excluded(ra, dec, SHAPES), expected.any(axis=0))
    assert_array_equal(excluded([80, 81], [35], ()), [False, False])


def test_circles_of_sources():
    sources = Sources(["a", "b"], [10.0, 20.0], [-5.0, 6.0], [0.0, 1.5])
    assert circles(sources) == (circle(10, -5, 0.4), circle(20, 6, 3.4))
    assert circles(sources, margin=0.1)[0].radius == 0.1
    assert circles(sources[:0]) == ()


# The outline


@pytest.mark.parametrize("radius", [0.05, 0.4, 5.0, 60.0])
def test_outline_of_a_circle_has_its_solid_angle(radius):
    (outline,) = circle(*CENTER, radius).outline
    expected = 2 * np.pi * (1 - np.cos(np.radians(radius)))
    # 1e-5 is asked for; in the plane areas are the same
    assert_allclose(solid_angle(*outline), expected, rtol=1e-5)
    away = SkyCoord(*outline, unit="deg").separation(SkyCoord(*CENTER, unit="deg")).deg
    assert_allclose(away, radius, atol=2e-4)  # deg


def test_outline_of_a_rectangle():
    (outline,) = Rectangle(*CENTER, 20, 8, 30).outline
    # The solid angle of a pyramid
    a, b = np.tan(np.radians([10, 4]))
    expected = 4 * np.arctan(a * b / np.sqrt(1 + a * a + b * b))
    assert_allclose(solid_angle(*outline), expected, rtol=1e-12)
    assert outline.shape == (2, 5)


def test_outline_of_a_polygon():
    (outline,) = TRIANGLE.outline
    assert_allclose(outline, [[80, 83, 81, 80], [34, 35, 37, 34]], rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_outline_is_where_inside_ends(shape):
    """Inside by the crossings of a meridian with the outline, as even and odd."""
    ra, dec = sky(shape.center, 1.3 * shape.radius)
    inside = np.zeros(ra.size, bool)
    for loop in shape.outline:
        assert_array_equal(loop[:, 0], loop[:, -1])
        # Between vertices dec goes as the tangent's
        for one, other in zip(loop.T[:-1], loop.T[1:], strict=True):
            between = (one[0] > ra) != (other[0] > ra)
            x, x0, x1 = np.radians([ra, np.full_like(ra, one[0]), np.full_like(ra, other[0])])
            y0, y1 = np.tan(np.radians([one[1], other[1]]))
            with np.errstate(divide="ignore", invalid="ignore"):
                top = (y0 * np.sin(x1 - x) + y1 * np.sin(x - x0)) / np.sin(x1 - x0)
            inside ^= between & (np.tan(np.radians(dec)) < top)
    # Chords are 2.6e-4 deg off at most, of shapes with 1 deg of width: fewer than 1e-3
    assert np.mean(inside != shape.contains(ra, dec)) < 1e-3
    assert 0.1 < inside.mean() < 0.9


# DS9 files


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    "shape",
    [
        "circle({},1.2)",
        "annulus({},0.6,1.2)",
        "ellipse({},1.2,0.3,{angle})",
        "ellipse({},0.6,0.2,1.2,0.4,{angle})",
        "box({},0.8,2.0,{angle})",
        "box({},0.5,0.9,1,1.8,{angle})",
        "polygon({},{},{})",
    ],
)
def test_files_against_regions_on_an_image(region_file, frame, shape):
    """`regions` decides in pixels of an image, given the file's numbers as if they were ICRS.

    In an image of another frame its releases differ: angles are from the north of the file's
    frame up to 0.11, and of the image's from 0.12 on. DS9, and we, take that of the file.
    """
    center = SkyCoord(*CENTER, unit="deg").transform_to(FRAMES[frame])
    corners = center.spherical_offsets_by([0, 1, -1] * u.deg, [0, 0.3, 1.3] * u.deg)
    places = [f"{p.data.lon.deg:.9f},{p.data.lat.deg:.9f}" for p in (center, *corners[1:])]
    line = shape.format(*places, angle=25)
    (region,) = read_regions(region_file(frame, line))
    (theirs,) = ds9.Regions.read(region_file("icrs", line, name="icrs.reg"), format="ds9")
    image = WCS(naxis=2)
    image.wcs.ctype = "RA---TAN", "DEC--TAN"
    image.wcs.crval = center.data.lon.deg, center.data.lat.deg
    image.wcs.cdelt = -0.01, 0.01
    ra, dec = sky(region.center, 2)
    seen = SkyCoord(ra, dec, unit="deg").transform_to(FRAMES[frame]).data
    pixel = ds9.PixCoord.from_sky(SkyCoord(seen.lon, seen.lat), image)
    expected = theirs.to_pixel(image).contains(pixel)
    # They take lengths in the plane for angles: 1.5e-4 at 1.2 deg, so 3e-4 of an area
    assert np.sum(region.contains(ra, dec) != expected) <= 1e-3 * expected.sum()
    assert expected.mean() > 0.05
    if "angle" in shape:
        for control in (-25, 25 + 90, 25 + 5):
            (other,) = read_regions(region_file(frame, shape.format(*places, angle=control)))
            assert np.sum(other.contains(ra, dec) != expected) > 0.05 * expected.sum()


def test_angles_are_from_west_to_north(region_file):
    (region,) = read_regions(region_file("icrs", "ellipse(80,35,2,0.3,30)"))
    tip = SkyCoord(80, 35, unit="deg").directional_offset_by([-60, 60] * u.deg, 1.9 * u.deg)
    assert_array_equal(region.contains(tip.ra.deg, tip.dec.deg), [True, False])


def test_a_strip_along_the_galactic_plane(region_file):
    (region,) = read_regions(region_file("galactic", "box(30,0,20,1,0)"))
    along = SkyCoord([21, 30, 39, 30, 30], [0, 0, 0, 2, -2], unit="deg", frame="galactic").icrs
    assert_array_equal(region.contains(along.ra.deg, along.dec.deg), [1, 1, 1, 0, 0])


def test_what_files_may_hold(region_file):
    lines = [
        'global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 fixed=0',
        "fk5",
        'circle(5:20:00,+20:00:00,36") # text={a name}',
        "-circle(80,20,30')",
        "# text(80,20) text={nothing}",
        "text(80,20) # text={nothing}",
        "point(80,20) # point=cross",
        "annulus(80,20,1,2,3)",
    ]
    found = read_regions(region_file(*lines), radius=0.25)
    assert [region.radius for region in found] == pytest.approx([0.01, 0.5, 0.25, 2, 3])
    assert [region.inner_width for region in found] == [0, 0, 0, 2, 4]
    for region in found:  # ICRS and FK5 differ by 0.02 arcsec
        assert_allclose(region.center, (80, 20), atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "got no regions, expected circle, ellipse"),
        (["icrs", "text(1,1) # text={a}"], "got no regions, expected circle"),
        (["hello"], "region 1: got .*hello.*, expected circle"),
        (["image", "circle(100,100,20)"], "region 1: got CirclePixelRegion, expected circle"),
        (["icrs", "point(1,2)", "line(1,2,3,4)"], "region 2: got LineSkyRegion, expected"),
        (["icrs", "point(1,2)", "panda(1,2,0,90,1,1,2,1)", "x"], 'region 2: got .*"panda"'),
        (["fk5", "circle(1,2,3);point(1,2)", "physical", "circle(1,2,3)"], "region 3: .*physical"),
        (["circle(1,2,3)"], "region 1: got .*frame was not found"),
        (["icrs", "circle(1,2"], "region 1: got TypeError"),
        (["icrs", "circle(1,2,1)", "circle(1,95,3)"], "region 2: got ValueError.*Latitude"),
        (["icrs", "circle(1,nan,3)"], "region 1: place: got ra 1.0, dec nan deg, expected finite"),
        (["icrs", "circle(1,2,0)"], "region 1: got ValueError"),
        (["icrs", "circle(1,2,70)"], "region 1: width: got 140.0 deg, .* up to 120 deg"),
        (["icrs", "polygon(1,2,3,4,5,6)", "polygon(1,0,2,0,3,0)"], "region 2: polygon: got one"),
    ],
)
def test_bad_files(region_file, lines, message):
    with pytest.raises(ValueError, match=rf"some\.reg: {message}") as error:
        read_regions(region_file(*lines))
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"got .*missing\.reg, expected a DS9 region file"):
        read_regions(tmp_path / "missing.reg")
    path = tmp_path / "image.reg"
    path.write_bytes(b"\xff\xfe\x00icrs")
    with pytest.raises(ValueError, match=r"image\.reg: got bytes that are no text, expected DS9"):
        read_regions(path)


# Values


def test_regions_are_values():
    for shape in SHAPES:
        before = len(pickle.dumps(shape))
        assert shape.outline
        again = pickle.loads(pickle.dumps(shape))
        assert again == shape
        assert hash(again) == hash(shape)
        assert len(pickle.dumps(shape)) == before  # what is worked out is not kept
    assert len({*SHAPES, *SHAPES}) == len(SHAPES)
    assert Ellipse(*CENTER, 2, 1) != Rectangle(*CENTER, 2, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: circle(0, 0, 0), "width: got 0.0 deg, hole 0.0 deg, expected more than"),
        (lambda: circle(0, 0, 61), "width: got 122.0 deg, .* up to 120 deg"),
        (lambda: circle(0, 0, 1, 1), "width: got 2.0 deg, hole 2.0 deg, expected more than the"),
        (lambda: circle(0, 0, 1, -1), "width: got 2.0 deg, hole -2.0 deg"),
        (lambda: circle(0, 91, 1), "place: got ra 0.0, dec 91.0 deg, expected finite, dec -90"),
        (lambda: circle(np.inf, 0, 1), "place: got ra inf"),
        (lambda: Ellipse(0, 0, 1, np.nan), "height: got nan deg"),
        (lambda: Ellipse(0, 0, 1, 2, np.nan), "angle: got nan deg, expected a finite one"),
        (lambda: Ellipse(0, 0, 2, 2, 0, 1, 3), "height: got 2.0 deg, hole 3.0 deg"),
        (lambda: Rectangle(0, 0, 119, 119), "radius: got 67.38.. deg, expected 60 deg or less"),
        (lambda: Polygon([0, 1], [0, 1]), "vertices: got 2 ra, 2 dec, expected as many of each"),
        (lambda: Polygon([0, 1, 2], [0, 1]), "vertices: got 3 ra, 2 dec"),
        (lambda: Polygon([0, 1, np.nan], [0, 1, 2]), "place: got ra nan, dec 2.0 deg"),
        (lambda: Polygon([0, 120, 240], [0, 0, 0]), "radius: got 1.* deg, expected 60 deg"),
        (lambda: Polygon([0, 1, 2], [0, 0, 0]), "polygon: got one without an inside, expected"),
        (lambda: Polygon([0, 1, 1, 1], [0, 0, 1, 0]), "polygon: got one without an inside"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=f"^{message}.*$"):
        make()


def test_regions_that_are_written_are_read_again(tmp_path):
    """All shapes, with holes and angles, to 1e-9 deg of each border."""
    shapes = (
        circle(83.6, 22.0, 0.3),
        circle(10.0, -60.0, 0.5, 0.2),
        Ellipse(120.0, 30.0, 0.8, 0.4, 35.0),
        Ellipse(120.0, -30.0, 0.8, 0.4, 35.0, 0.4, 0.2),
        Rectangle(359.9, 0.1, 1.0, 0.5, 100.0),
        Rectangle(0.1, 70.0, 1.0, 0.5, 280.0, 0.5, 0.25),
        Polygon((10.0, 11.0, 10.5), (5.0, 5.2, 6.0)),
    )
    write_regions(tmp_path / "all.reg", shapes)
    again = read_regions(tmp_path / "all.reg")
    for region, other in zip(shapes, again, strict=True):
        assert type(other) is type(region)
        for loop, same in zip(region.outline, other.outline, strict=True):
            assert_allclose(same, loop, rtol=0, atol=3e-9)
