"""Masks of pixels in any projection and frame: against the circle that they were made from."""

import pickle

import astropy.units as u
import numpy as np
import pytest
import shapely
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from simbg.sky.pixel_mask import pixel_regions
from simbg.sky.regions import excluded

CENTER = SkyCoord(83.6, 22.0, unit="deg")
RADIUS, PIXEL = 1.3, 0.05


def make_wcs(projection, frame, size=200):
    """An image about the centre; the equator of CAR, MER and AIT passes at some distance."""
    wcs = WCS(naxis=2)
    names = ("GLON", "GLAT") if frame == "galactic" else ("RA--", "DEC-")
    wcs.wcs.ctype = [f"{name}-{projection}" for name in names]
    center = CENTER.transform_to(frame).spherical
    wcs.wcs.crval = center.lon.deg, 0 if projection in ("CAR", "MER", "AIT") else center.lat.deg
    wcs.wcs.cdelt = -PIXEL, PIXEL
    if frame == "fk5":
        wcs.wcs.radesys, wcs.wcs.equinox = "FK5", 1950.0
    wcs.wcs.crpix = 1, 1
    middle = wcs.world_to_pixel(CENTER)
    wcs.wcs.crpix = [1 + size / 2 - float(v) for v in middle]
    return wcs


def make_circle(wcs, size=200, radius=RADIUS):
    """Which pixels have their centre within a distance of the centre."""
    y, x = np.indices((size, size))
    return wcs.pixel_to_world(x, y).separation(CENTER).deg < radius


@pytest.mark.parametrize("frame", ["icrs", "galactic", "fk5"])
@pytest.mark.parametrize("projection", ["TAN", "CAR", "AIT", "ZEA"])
def test_directions_inside_of_a_circle(projection, frame):
    wcs = make_wcs(projection, frame)
    regions = pixel_regions(make_circle(wcs), wcs)
    rng = np.random.default_rng(0)
    sky = CENTER.directional_offset_by(
        rng.uniform(0, 360, 3000) * u.deg, rng.uniform(0, 2 * RADIUS, 3000) * u.deg
    )
    away = sky.separation(CENTER).deg
    clear = np.abs(away - RADIUS) > PIXEL  # half a diagonal, and the distortion of AIT and MER
    got = excluded(sky.ra.deg, sky.dec.deg, regions)
    assert np.array_equal(got[clear], (away < RADIUS)[clear])
    # A copy in another process has the same pixels; directions that are none are outside.
    copy = pickle.loads(pickle.dumps(regions))
    assert copy == regions
    assert np.array_equal(excluded(sky.ra.deg, sky.dec.deg, copy), got)
    assert not excluded([np.nan], [22.0], regions).any()


@pytest.mark.parametrize("radius", [1.3, 4.9])
def test_border_encloses_the_area_of_the_pixels(radius):
    """ZEA has equal areas: pixels × the area of one. With a hole; in one or four tiles."""
    wcs = make_wcs("ZEA", "galactic")
    mask = make_circle(wcs, radius=radius) & ~make_circle(wcs, radius=0.4)
    regions = pixel_regions(mask, wcs)
    assert len(regions) == 4 if radius > 4 else 1
    union = shapely.Polygon()
    for region in regions:
        for ra, dec in region.outline:
            around = SkyCoord(ra, dec, unit="deg").transform_to(CENTER.skyoffset_frame())
            depth, *across = around.cartesian.xyz.value
            union = union.symmetric_difference(shapely.Polygon(np.transpose(across / depth)))
    x, y = shapely.get_coordinates(shapely.segmentize(union, 0.001)).T
    assert np.hypot(x, y).max() < np.tan(np.radians(radius + PIXEL))
    # The area of an element of the plane is that on the sphere times (1 + x² + y²)^(3/2).
    points = np.random.default_rng(1).uniform(-0.1, 0.1, (200000, 2))
    inside = shapely.contains_xy(union, *points.T)
    weight = (1 + (points**2).sum(axis=1)) ** -1.5
    area = 0.04 * (inside * weight).mean()
    error = 0.04 * (inside * weight).std() / np.sqrt(len(points))
    expected = mask.sum() * np.radians(PIXEL) ** 2
    assert abs(area - expected) < 4 * error


def test_an_image_of_the_whole_sky():
    """1 deg pixels in CAR and AIT: also at the ends of the image and beyond the sky's border."""
    for projection in ("CAR", "AIT"):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"GLON-{projection}", f"GLAT-{projection}"]
        wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = (0, 0), (-1, 1), (180.5, 90.5)
        y, x = np.indices((180, 360))
        _, lat = wcs.all_pix2world(x, y, 0)
        regions = pixel_regions((np.abs(lat) < 5) | ~np.isfinite(lat), wcs)
        rng = np.random.default_rng(2)
        sky = SkyCoord(
            rng.uniform(0, 360, 2000), rng.uniform(-90, 90, 2000), unit="deg", frame="galactic"
        )
        got = excluded(sky.icrs.ra.deg, sky.icrs.dec.deg, regions)
        # The pixels of AIT at the border of the sky are not complete.
        clear = np.abs(np.abs(sky.b.deg) - 5) > 1
        clear &= np.abs(sky.l.wrap_at("180d").deg) < (180 if projection == "CAR" else 175)
        assert np.array_equal(got[clear], (np.abs(sky.b.deg) < 5)[clear]), projection


def test_longitudes_beyond_the_half_turn_of_the_image():
    """CAR from 0 to 360 deg: astropy gives pixels from -180 to 180 deg of the reference."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---CAR", "DEC--CAR"]
    wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = (0, 0), (1, 1), (0.5, 30.5)
    mask = np.zeros((60, 360), bool)
    mask[:, 250:260] = True
    regions = pixel_regions(mask, wcs)
    assert excluded([255.0, 245.0, -105.0], [0.0, 0.0, 5.0], regions).tolist() == [
        True,
        False,
        True,
    ]
