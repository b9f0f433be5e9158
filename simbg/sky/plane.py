"""A gnomonic plane, in which great circles are straight: outlines in it, and their union."""

from functools import reduce

import numpy as np
import shapely

__all__ = ["from_plane", "union_border"]


def to_plane(ra, dec, center):
    """Return places in the plane of directions in the sky.

    Parameters
    ----------
    ra, dec : ndarray
        Directions, deg, ICRS.
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere.

    Returns
    -------
    x, y : ndarray
        To the west and to the north, tangents of angles; NaN from 90 deg off the centre on.
    """
    west, north, depth = _vectors(ra, dec, center)
    depth = np.where(depth > 0, depth, np.nan)
    return west / depth, north / depth


def from_plane(x, y, center):
    """Return ra (0 to 360) and dec, deg, ICRS, of places in the plane, as `to_plane` has them."""
    sin, cos = np.sin(np.radians(center[1])), np.cos(np.radians(center[1]))
    inward, up = cos - y * sin, sin + y * cos
    ra = (center[0] - np.degrees(np.arctan2(x, inward))) % 360
    return ra, np.degrees(np.arctan2(up, np.hypot(x, inward)))


def _within_window(outline, center, half):
    """Return the part of an outline within a square window about the centre of a plane.

    Parameters
    ----------
    outline : iterable of ndarray, shape (2, n)
        Closed loops of ra, dec in deg, ICRS, sides shorter than 180 deg. A loop that leaves the
        window is closed along its sides (Sutherland and Hodgman, Comm. ACM 17 (1974) 32).
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere.
    half : float
        Half the side of the window, the tangent of an angle.

    Returns
    -------
    list of ndarray, shape (2, n)
        Closed loops of x, y in the plane; those outside of the window are left out.
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


def union_border(outlines, center, half, longest):
    """Return the border, in the plane, of the union of regions within a square window.

    Parameters
    ----------
    outlines : sequence of iterables of ndarray, shape (2, n)
        Of each region the closed loops of ra, dec in deg, ICRS. A place is in a region if an odd
        number of its loops is round it, and in the union if it is in any region.
    center : tuple of float
        ra, dec in deg, where the plane touches the sphere and the window has its centre.
    half : float
        Half the side of the window, the tangent of an angle.
    longest : float
        Longer sides are cut into equal parts.

    Returns
    -------
    starts, stops : ndarray, shape (2, n_sides)
        x, y of the ends of the sides. The inside is to the right of a side.
    """
    areas = [_area(_within_window(outline, center, half)) for outline in outlines]
    union = shapely.segmentize(shapely.union_all(areas), longest)
    parts = shapely.get_parts(shapely.orient_polygons(union, exterior_cw=True))
    vertices, ring = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    same = ring[1:] == ring[:-1]
    return vertices[:-1][same].T, vertices[1:][same].T


def _area(loops):
    """Return the area that an odd number of loops is round, as shapely has it."""
    # Loops may cross themselves: by lines, make_valid keeps what an odd number of turns is round
    areas = (shapely.make_valid(shapely.Polygon(loop.T)) for loop in loops)
    parts = shapely.get_parts(reduce(shapely.symmetric_difference, areas, shapely.Polygon()))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


def _vectors(ra, dec, center):
    """Return unit vectors (3, n): to the west, the north and the centre of the plane."""
    lon, lat = np.radians(center[0] - ra), np.radians(dec)
    sin, cos = np.sin(np.radians(center[1])), np.cos(np.radians(center[1]))
    inward, up = np.cos(lat) * np.cos(lon), np.sin(lat)
    west = np.cos(lat) * np.sin(lon)
    return np.stack([west, up * cos - inward * sin, up * sin + inward * cos])


def _above(loop, height):
    """Return the part of a closed loop of vectors (3, n) where the height is not negative."""
    inside = height >= 0
    leaves = inside[:-1] != inside[1:]
    share = height[:-1] / np.where(leaves, height[:-1] - height[1:], 1)
    crossing = loop[:, :-1] + share * (loop[:, 1:] - loop[:, :-1])
    both = np.stack([loop[:, :-1], crossing], axis=2).reshape(3, -1)
    kept = both[:, np.stack([inside[:-1], leaves], axis=1).ravel()]
    return np.hstack([kept, kept[:, :1]])
