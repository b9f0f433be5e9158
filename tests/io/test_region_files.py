"""DS9 region files against `regions` on an image, and against what was written."""

import astropy.units as u
import numpy as np
import pytest
import regions as ds9
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from support.directions import directions_around

from simbg.io.region_files import read_regions, write_regions
from simbg.sky.regions import Ellipse, Polygon, Rectangle, circle

CENTER = 80.0, 35.0
FRAMES = {"icrs": "icrs", "fk5": "fk5", "fk4": "fk4", "galactic": "galactic"}
FRAMES |= {"ecliptic": "barycentricmeanecliptic"}


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
    ra, dec = directions_around(region.center, 2)
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
        ([], "got no regions"),
        (["icrs", "text(1,1) # text={a}"], "got no regions"),
        (["hello"], "region 1: .*hello"),
        (["image", "circle(100,100,20)"], "region 1: .*CirclePixelRegion"),
        (["icrs", "point(1,2)", "line(1,2,3,4)"], "region 2: .*LineSkyRegion"),
        (["icrs", "point(1,2)", "panda(1,2,0,90,1,1,2,1)", "x"], "region 2: .*panda"),
        (["fk5", "circle(1,2,3);point(1,2)", "physical", "circle(1,2,3)"], "region 3: .*physical"),
        (["circle(1,2,3)"], "region 1: .*frame"),
        (["icrs", "circle(1,2"], "region 1: .*TypeError"),
        (["icrs", "circle(1,2,1)", "circle(1,95,3)"], "region 2: .*Latitude"),
        (["icrs", "circle(1,nan,3)"], "region 1: .*ra 1.0, dec nan"),
        (["icrs", "circle(1,2,0)"], "region 1: .*ValueError"),
        (["icrs", "circle(1,2,70)"], "region 1: width.*140.0"),
        (["icrs", "point(1,2)", "box(1,2,3,4,1e400)"], "region 2: angle: got inf"),
        (["icrs", "polygon(1,2,3,4,5,6)", "polygon(1,0,2,0,3,0)"], "region 2: polygon"),
    ],
)
def test_bad_files(region_file, lines, message):
    with pytest.raises(ValueError, match=rf"some\.reg: {message}.*expected") as error:
        read_regions(region_file(*lines))
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.reg"):
        read_regions(tmp_path / "missing.reg")
    path = tmp_path / "image.reg"
    path.write_bytes(b"\xff\xfe\x00icrs")
    with pytest.raises(ValueError, match=r"image\.reg"):
        read_regions(path)


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
