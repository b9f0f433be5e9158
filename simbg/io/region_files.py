"""DS9 region files: reading and writing. No other module parses them."""

import re
import warnings
from bisect import bisect_left
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.utils.exceptions import AstropyUserWarning

from simbg.errors import did_you_mean, in_one_line
from simbg.io.files.contents import read_text
from simbg.io.safe_files import names_beside, new_file
from simbg.sky.regions import Ellipse, Polygon, Rectangle, Region, circle

__all__ = [
    "circles_of",
    "is_region_file",
    "read_circles",
    "read_regions",
    "regions_of",
    "to_sky_region",
    "write_regions",
]

# `regions` is imported where a file is read or written: the import is slower than most commands.
SHAPES = "circle, ellipse, box, annulus, polygon or point on the sky"
CENTRED = {"Ellipse": Ellipse, "Rectangle": Rectangle}
KINDS = ("Point", "Circle", "Polygon", *CENTRED)
# A text is a DS9 file, whatever its name, by its first line or by a shape at the start of a line.
DS9 = (
    r"\A\s*# Region file format: DS9|(^|;)\s*[-+]?(circle|ellipse|box|rotbox|annulus|polygon|point"
    r"|e?panda|bpanda|line|vector|ruler|text)\s*\("
)


def read_regions(path: Path | str, radius: float = 0.4) -> tuple[Region, ...]:
    """Read the regions of a DS9 file.

    Parameters
    ----------
    path : path-like
        A file with circles, ellipses, boxes, annuli, polygons and points in any celestial frame. A
        minus sign before a region is ignored, and so is text. A rotated shape keeps its direction
        on the sky.
    radius : float
        Radius of the circle that replaces a point, deg.

    Returns
    -------
    tuple of Region
        In the order of the file; annuli with several rings are separate regions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file contains anything else, or no region: a region that is ignored would leave a
        source in the background.
    """
    results = _read(path, lambda shape, _: _region(shape, radius))
    if not results:
        raise ValueError(f"{path}: got no regions, expected {SHAPES}")
    return tuple(results)


def read_circles(path: Path | str) -> list[tuple[str, float, float, float]]:
    """Read the circles about the regions of a DS9 file.

    Parameters
    ----------
    path : path-like
        As for `read_regions`, with the same errors.

    Returns
    -------
    list of (name, ra, dec, radius)
        The region's text, or the name of the file and the region's number; ICRS, deg. The radius
        of a point is 0, that of a box half of its diagonal; the centre of a polygon is the mean of
        its vertices.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file contains no region or anything else, or a circle is not valid.
    """
    circles = _read(path, partial(_named_circle, file=f"{Path(path).name} "))
    if not circles:
        raise ValueError(f"{path}: got no regions, expected {SHAPES}")
    return circles


def is_region_file(path: Path | str) -> bool:
    """Whether a file is a DS9 region file: by its name in .reg, or else by its text.

    Parameters
    ----------
    path : path-like
        Any file, compressed or not.
    """
    if str(path).lower().removesuffix(".gz").endswith(".reg"):
        return True
    try:
        return bool(re.search(DS9, _text(Path(path)), re.IGNORECASE | re.MULTILINE))
    except (OSError, ValueError):
        return False


def regions_of(shapes: Any, radius: float = 0.4) -> tuple[Region, ...]:
    """Regions from objects of the package `regions`.

    Parameters
    ----------
    shapes : regions.Regions, regions.SkyRegion, or iterable of these
        Shapes on the sky, as in `read_regions`.
    radius : float
        Radius of the circle that replaces a point, deg.

    Raises
    ------
    ValueError
        If there is another shape, such as one in image coordinates.
    """
    return tuple(_converted(shapes, lambda shape, _: _region(shape, radius)))


def circles_of(shapes: Any) -> list[tuple[str, float, float, float]]:
    """The circles about objects of the package `regions`; see `read_circles`.

    Parameters
    ----------
    shapes : regions.Regions, regions.SkyRegion, or iterable of these
        Shapes on the sky.
    """
    return _converted(shapes, _named_circle)


def _named_circle(shape, number, file=""):
    ra, dec, radius = _circle(shape)
    if not (np.isfinite(ra + dec) and 0 <= radius <= 180):
        got = f"ra {ra}, dec {dec}, radius {radius} deg"
        raise ValueError(f"got {got}, expected finite values and a radius of 0 to 180 deg")
    return shape.meta.get("text") or f"{file}region {number}", ra, dec, radius


def write_regions(path: Path | str, regions: Iterable[Region]) -> None:
    """Write regions to a DS9 file, in ICRS, with a precision of 1e-9 deg."""
    from regions import Regions

    shapes = Regions([to_sky_region(region) for region in regions])
    with new_file(path) as temporary:
        temporary.write_text(shapes.serialize(format="ds9", precision=9))


def _read(path, convert):
    """List of ``convert(shape, number)`` for each shape of `regions` in a file, without text."""
    path = Path(path)
    if not path.is_file():
        got = "got a folder" if path.is_dir() else "no such file"
        near = did_you_mean(path.name, names_beside(path))
        raise FileNotFoundError(f"{path}: {got}, expected a DS9 region file{near}")
    try:
        return _converted(_parse(path), convert)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _converted(shapes, convert):
    """List of ``convert(shape, number)`` for each shape of `regions`, without text."""
    results = []
    for number, shape in enumerate(_several(shapes), start=1):
        if _kind(shape) == "Text":
            continue
        try:
            if type(shape).__name__.endswith("PixelRegion"):
                raise ValueError(
                    f"got {type(shape).__name__}, a shape in image coordinates, expected {SHAPES}; "
                    "save it in sky coordinates (DS9: Region, Save Regions, icrs; Python: "
                    "region.to_sky(wcs))"
                )
            if _kind(shape) not in KINDS:
                raise ValueError(f"got {type(shape).__name__}, expected {SHAPES}")
            results.append(convert(shape, number))
        except ValueError as error:
            raise ValueError(f"region {number}: {error}") from error
    return results


def _several(shapes):
    return list(shapes) if hasattr(shapes, "__getitem__") else [shapes]  # `Regions`, or a list


def _text(path):
    """The text of a file, compressed or not."""
    return read_text(path)


def _parse(path):
    """The shapes of a file, as objects of `regions`."""
    try:
        lines = _text(path).splitlines()
    except ValueError as error:
        raise ValueError(f"{path}: got a binary file, expected DS9 regions") from error
    shapes, failure = _trial(lines)
    if failure is None:
        return shapes
    # Lines that fail also fail together with the lines after them: search the first such line
    bad = bisect_left(range(len(lines)), True, key=lambda n: _trial(lines[: n + 1])[1] is not None)
    number = len(_trial(lines[:bad])[0]) + 1
    got = in_one_line(failure)[:200]
    raise ValueError(f"{path}: region {number}: got {got}, expected {SHAPES}") from failure


def _trial(lines):
    """The shapes that `regions` reads from these lines, and its error of any type, or None."""
    from regions import Regions

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # it skips unknown shapes with a warning only
        warnings.simplefilter("error", AstropyUserWarning)
        try:
            return Regions.parse("\n".join(lines), format="ds9"), None
        except Exception as error:
            return [], error


def _kind(shape):
    return type(shape).__name__.removesuffix("SkyRegion").removesuffix("Annulus")


def _size(shape, name):
    """Size of a shape, or of the outer border of an annulus, deg; 0 if it has no such size."""
    value = getattr(shape, name, getattr(shape, f"outer_{name}", 0 * u.deg))
    return value.to_value(u.deg)


def _region(shape, radius):
    """The `Region` of a shape; ``radius`` is that for points, deg."""
    kind = _kind(shape)
    if kind == "Polygon":
        return Polygon(shape.vertices.icrs.ra.deg, shape.vertices.icrs.dec.deg)
    center = shape.center.icrs.ra.deg, shape.center.icrs.dec.deg
    if kind == "Point":
        return circle(*center, radius)
    if kind == "Circle":
        return circle(*center, _size(shape, "radius"), _size(shape, "inner_radius"))
    # Angles are from north to east in any frame: add the direction of its north in ICRS
    north = shape.center.directional_offset_by(0 * u.deg, 1 * u.deg).icrs
    angle = (shape.angle + shape.center.icrs.position_angle(north)).to_value(u.deg)
    # An infinite angle is refused later, in words.
    angle = angle % 360 if np.isfinite(angle) else angle
    width, height, *hole = (
        _size(shape, name) for name in ("width", "height", "inner_width", "inner_height")
    )
    return CENTRED[kind](*center, width, height, angle, *hole)


def _circle(shape):
    """Centre and radius, deg, of a circle about a shape."""
    if _kind(shape) == "Polygon":
        vertices = shape.vertices.icrs
        center = SkyCoord(vertices.cartesian.mean(), frame="icrs")
        return center.ra.deg, center.dec.deg, vertices.separation(center).deg.max()
    width, height = _size(shape, "width"), _size(shape, "height")
    extent = np.hypot(width, height) if _kind(shape) == "Rectangle" else max(width, height)
    radius = max(_size(shape, "radius"), extent / 2)
    return shape.center.icrs.ra.deg, shape.center.icrs.dec.deg, radius


def to_sky_region(region: Any) -> Any:
    """A region as a shape of the package `regions`, in ICRS."""
    import regions as ds9

    if isinstance(region, Polygon):
        return ds9.PolygonSkyRegion(SkyCoord(list(region.ra), list(region.dec), unit="deg"))
    center, angle = SkyCoord(region.ra, region.dec, unit="deg"), [region.angle * u.deg]
    kind, sizes = type(region).__name__, u.Quantity([region.width, region.height], u.deg)
    holes = u.Quantity([region.inner_width, region.inner_height], u.deg)
    if kind == "Ellipse" and sizes[0] == sizes[1] and holes[0] == holes[1]:
        kind, sizes, holes, angle = "Circle", sizes[:1] / 2, holes[:1] / 2, []
    if not region.inner_width:
        return getattr(ds9, f"{kind}SkyRegion")(center, *sizes, *angle)
    both = np.stack([holes, sizes], axis=1).ravel()
    return getattr(ds9, f"{kind}AnnulusSkyRegion")(center, *both, *angle)
