"""A gnomonic plane, in which great circles are straight lines: outlines in it, and their union.

Notes
-----
The gnomonic projection (TAN; Calabretta and Greisen, A&A 395 (2002) 1077, sect. 5.1.3) of a unit
vector with components (west, north, depth) about the centre is (west, north) / depth.
"""

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

__all__ = ["from_plane", "union_border"]


def to_plane(
    ra: np.ndarray, dec: np.ndarray, center: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions in the plane of directions on the sky.

    Parameters
    ----------
    ra, dec : ndarray
        Directions, deg, ICRS.
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere.

    Returns
    -------
    x, y : ndarray
        Positions to the west and to the north, tangents of angles; NaN at 90 deg or more from the
        centre.
    """
    west, north, depth = _vectors(ra, dec, center)
    depth = np.where(depth > 0, depth, np.nan)
    return west / depth, north / depth


def from_plane(
    x: np.ndarray, y: np.ndarray, center: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return ra (0 to 360) and dec, deg, ICRS, of positions in the plane; inverse of `to_plane`."""
    sin, cos = np.sin(np.radians(center[1])), np.cos(np.radians(center[1]))
    inward, up = cos - y * sin, sin + y * cos
    ra = (center[0] - np.degrees(np.arctan2(x, inward))) % 360
    return ra, np.degrees(np.arctan2(up, np.hypot(x, inward)))


def _within_window(outline, center, half):
    """Return the part of an outline within a square window about the centre of a plane.

    Parameters
    ----------
    outline : iterable of ndarray, shape (2, n)
        Closed loops of ra, dec in deg, ICRS, with sides shorter than 180 deg. A loop that leaves
        the window is closed along the window's sides.
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere.
    half : float
        Half the side of the window, the tangent of an angle.

    Returns
    -------
    list of ndarray, shape (2, n)
        Closed loops of x, y in the plane; loops outside of the window are left out.

    Notes
    -----
    The loops are clipped as by Sutherland and Hodgman, Comm. ACM 17 (1974) 32.
    """
    loops = []
    for ra, dec in outline:
        loop = _vectors(ra, dec, center)
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            height = half * loop[2] - sign * loop[axis]
            if not (height >= 0).all():
                loop = _above(loop, height)
        if loop.shape[1]:
            loops.append(loop[:2] / loop[2])
    return loops


def union_border(
    outlines: Sequence[Iterable[np.ndarray]],
    center: tuple[float, float],
    half: float,
    longest: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the border, in the plane, of the union of regions within a square window.

    Parameters
    ----------
    outlines : sequence of iterables of ndarray, shape (2, n)
        The closed loops of each region: ra, dec in deg, ICRS. A position is inside a region if an
        odd number of its loops enclose it, and inside the union if it is inside any region.
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere; also the centre of the window.
    half : float
        Half the side of the window, the tangent of an angle.
    longest : float
        Sides that are longer than this are cut into equal parts.

    Returns
    -------
    starts, stops : ndarray, shape (2, n_sides)
        x, y of the ends of the sides. The inside is to the right of a side.
    """
    import shapely  # imported here: most runs have no regions

    areas = [_area(_within_window(outline, center, half)) for outline in outlines]
    union = shapely.segmentize(shapely.union_all(areas), longest)
    parts = shapely.get_parts(shapely.orient_polygons(union, exterior_cw=True))
    vertices, ring = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    same = ring[1:] == ring[:-1]
    return vertices[:-1][same].T, vertices[1:][same].T


def _area(loops):
    """Return, as a shapely geometry, the area that an odd number of loops encloses."""
    import shapely

    # Loops may cross themselves: make_valid keeps the area that an odd number of turns encloses
    areas = (shapely.make_valid(shapely.Polygon(loop.T)) for loop in loops)
    parts = shapely.get_parts(reduce(shapely.symmetric_difference, areas, shapely.Polygon()))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def _vectors(ra, dec, center):
    """Return unit vectors (3, n): components to the west, the north and the plane's centre."""
    lon, lat = np.radians(center[0] - ra), np.radians(dec)
    sin, cos = np.sin(np.radians(center[1])), np.cos(np.radians(center[1]))
    inward, up = np.cos(lat) * np.cos(lon), np.sin(lat)
    west = np.cos(lat) * np.sin(lon)
    return np.stack([west, up * cos - inward * sin, up * sin + inward * cos])


def _above(loop, height):
    """Return the part of a closed loop of vectors (3, n) where the height is not negative."""
    inside = height >= 0
    leaves = inside[:-1] != inside[1:]
    fraction = height[:-1] / np.where(leaves, height[:-1] - height[1:], 1)
    crossing = loop[:, :-1] + fraction * (loop[:, 1:] - loop[:, :-1])
    both = np.stack([loop[:, :-1], crossing], axis=2).reshape(3, -1)
    vertices = both[:, np.stack([inside[:-1], leaves], axis=1).ravel()]
    return np.hstack([vertices, vertices[:, :1]])
