"""A gnomonic plane, in which great circles are straight: outlines in it, and their union."""

import numpy as np

__all__ = ["from_plane", "to_plane", "union_border", "within_window"]

SHORT = 1e-13  # rad; vertical sides no longer than this are rounding
INNER = 0.5 - 1e-9  # of a side's length, from its middle; at its ends there is a cut already


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


def within_window(outline, center, half):
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


def union_border(outlines):
    """Return the border of the union of regions.

    The plane is cut into strips, at all vertices and crossings, in which sides do not meet:
    what is inside follows from their order. An error of rounding so costs no more than the
    sliver that it is about, and the border is always closed.

    Parameters
    ----------
    outlines : sequence of lists of ndarray, shape (2, n)
        The closed loops of each region, in the plane. Even-odd in a region, any among regions.

    Returns
    -------
    starts, stops : ndarray, shape (2, n_sides)
        x, y of the ends of the sides, in no order. The inside is to the right of a side.
    """
    loops = [(loop, owner) for owner, outline in enumerate(outlines) for loop in outline]
    starts = np.hstack([loop[:, :-1] for loop, _ in loops] or [np.empty((2, 0))])
    stops = np.hstack([loop[:, 1:] for loop, _ in loops] or [np.empty((2, 0))])
    owner = np.repeat([owner for _, owner in loops], [loop.shape[1] - 1 for loop, _ in loops])
    oblique = starts[0] != stops[0]
    starts, stops, owner = starts[:, oblique], stops[:, oblique], owner[oblique]
    forward = starts[0] < stops[0]
    left, right = np.where(forward, starts, stops), np.where(forward, stops, starts)
    cuts = np.unique(np.concatenate([left[0], right[0], _crossings(left, right)]))
    side, strip, jump, low, high = _transitions(left, right, owner, cuts)
    flat = _joined(side, strip, jump, cuts, low, high)
    upright = _uprights(strip, jump, cuts, low, high)
    return np.hstack([flat[0], upright[0]]), np.hstack([flat[1], upright[1]])


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


def _crossings(left, right):
    """Return x of where sides cross that are not parallel."""
    order = np.argsort(left[0])
    left, right = left[:, order], right[:, order]
    # Sides that begin to the right of where this one does, up to where it ends
    first = np.arange(1, left.shape[1] + 1)
    number = np.searchsorted(left[0], right[0]) - first
    one, other = _pairs(first, np.maximum(number, 0))
    low, high = np.minimum(left[1], right[1]), np.maximum(left[1], right[1])
    near = (low[one] <= high[other]) & (low[other] <= high[one])
    one, other = one[near], other[near]
    along, across = (right - left)[:, one], (right - left)[:, other]
    apart = left[:, other] - left[:, one]
    scale = along[0] * across[1] - along[1] * across[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (apart[0] * across[1] - apart[1] * across[0]) / scale
        other_share = (apart[0] * along[1] - apart[1] * along[0]) / scale
    inside = (np.abs(share - 0.5) < INNER) & (np.abs(other_share - 0.5) < INNER)
    return (left[0, one] + share * along[0])[inside]


def _transitions(left, right, owner, cuts):
    """Return where in each strip the union begins (jump 1, upwards) and ends (-1).

    And on which side, in which strip, and y at the strip's left and right ends.
    """
    first, last = np.searchsorted(cuts, left[0]), np.searchsorted(cuts, right[0])
    side, strip = _pairs(first, last - first)
    x, y = left[:, side]
    slope = (right[1, side] - y) / (right[0, side] - x)
    low, high = y + slope * (cuts[strip] - x), y + slope * (cuts[strip + 1] - x)
    middle = low + high
    # In a strip a region has an even number of sides: every other one begins it
    order = np.lexsort((middle, owner[side], strip))
    jump = np.empty(order.size, int)
    jump[order] = 1 - 2 * (np.arange(order.size) % 2)
    order = np.lexsort((middle, strip))
    jump, depth = jump[order], np.cumsum(jump[order])
    kept = depth == (jump > 0)
    order = order[kept]
    return side[order], strip[order], jump[kept], low[order], high[order]


def _joined(side, strip, jump, cuts, low, high):
    """Return starts and stops of the pieces of sides, of all strips in a row as one."""
    order = np.lexsort((strip, side))
    side, strip, jump = side[order], strip[order], jump[order]
    new = (np.diff(side) != 0) | (np.diff(strip) != 1) | (np.diff(jump) != 0)
    first, last = np.append(True, new)[: side.size], np.append(new, True)[: side.size]
    lefts = np.stack([cuts[strip[first]], low[order][first]])
    rights = np.stack([cuts[strip[last] + 1], high[order][last]])
    above = jump[first] < 0
    return np.where(above, lefts, rights), np.where(above, rights, lefts)


def _uprights(strip, jump, cuts, low, high):
    """Return starts and stops of vertical sides: where strips side by side differ."""
    cut, y = np.append(strip, strip + 1), np.append(low, high)
    order = np.lexsort((y, cut))
    cut, y = cut[order], y[order]
    begins = np.cumsum(np.append(jump, -jump)[order])[:-1]  # to the right, less to the left
    kept = np.flatnonzero((begins != 0) & (np.diff(y) > SHORT))
    x, lower, upper = cuts[cut[kept]], y[kept], y[kept + 1]
    begins = begins[kept] > 0
    return (
        np.stack([x, np.where(begins, lower, upper)]),
        np.stack([x, np.where(begins, upper, lower)]),
    )


def _pairs(first, number):
    """Return index of a row and counter, from `first` on, for a number of items a row."""
    row = np.repeat(np.arange(first.size), number)
    return row, first[row] + np.arange(row.size) - (np.cumsum(number) - number)[row]
