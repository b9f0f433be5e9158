"""Shapes on the sky against formulas: what is inside, and where they end."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose, assert_array_equal
from support.directions import directions_around

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
    ra, dec = directions_around(center, 1.5 * radius)
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
    ra, dec = directions_around(shape.center, 1.3 * shape.radius)
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
    ra, dec = directions_around(CENTER, 3)
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
    ra, dec = directions_around(shape.center, 1.3 * shape.radius)
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
        (lambda: circle(0, 0, 0), "width: got 0.0 deg.* 0.0 deg"),
        (lambda: circle(0, 0, 61), "width: got 122.0 deg.* 120 deg"),
        (lambda: circle(0, 0, 1, 1), "width: got 2.0 deg.* 2.0 deg"),
        (lambda: circle(0, 0, 1, -1), "width: got 2.0 deg.* -2.0 deg"),
        (lambda: circle(0, 91, 1), "position: got ra 0.0, dec 91.0 deg"),
        (lambda: circle(np.inf, 0, 1), "position: got ra inf"),
        (lambda: Ellipse(0, 0, 1, np.nan), "height: got nan deg"),
        (lambda: Ellipse(0, 0, 1, 2, np.nan), "angle: got nan deg"),
        (lambda: Ellipse(0, 0, 2, 2, 0, 1, 3), "height: got 2.0 deg.* 3.0 deg"),
        (lambda: Rectangle(0, 0, 119, 119), "radius: got 67.38.. deg, expected 60 deg or less"),
        (lambda: Polygon([0, 1], [0, 1]), "vertices: got 2 ra, 2 dec"),
        (lambda: Polygon([0, 1, 2], [0, 1]), "vertices: got 3 ra, 2 dec"),
        (lambda: Polygon([0, 1, np.nan], [0, 1, 2]), "position: got ra nan, dec 2.0 deg"),
        (lambda: Polygon([0, 120, 240], [0, 0, 0]), "radius: got 1.* deg, expected 60 deg"),
        (lambda: Polygon([0, 1, 2], [0, 0, 0]), "polygon: got"),
        (lambda: Polygon([0, 1, 1, 1], [0, 0, 1, 0]), "polygon: "),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=f"^{message}.*$"):
        make()
