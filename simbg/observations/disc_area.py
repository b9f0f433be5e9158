"""The solid angle inside a border and within discs about the pointing: exact for straight sides.

Notes
-----
In the zenithal equal-area plane (ZEA; Calabretta and Greisen, A&A 395 (2002) 1077, sect. 5.1.7)
about the pointing, areas are solid angles, and the directions within an offset θ are a disc of
radius 2 sin(θ/2). The area that a closed border and a disc have in common is the sum over the sides
of the area of the triangle of the side and the centre, within the disc.
"""

import numpy as np

__all__ = []


def solid_angle_within(
    starts: np.ndarray, stops: np.ndarray, weights: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Return the solid angle inside a border within each offset, as a weighted sum over times.

    Parameters
    ----------
    starts, stops : ndarray, shape (2, n_times, n_sides)
        Longitude (rad) and sine of latitude of the ends of the sides; the border is closed, and the
        inside is to the left of a side.
    weights : ndarray, shape (n_times,)
        Weights of the times.
    offset : ndarray, shape (n,)
        Offsets, deg.

    Returns
    -------
    ndarray, shape (n,)
        Solid angle, sr.
    """
    p, q = _equal_area(starts), _equal_area(stops)
    radii = 2 * np.sin(np.radians(offset) / 2)
    return np.array([(_sectors(p, q, r).sum(axis=1) * weights).sum() for r in radii])


def _equal_area(ends):
    """Positions in the plane, (2, n_times, n_sides)."""
    lon, up = ends
    cos = np.sqrt(1 - up**2)
    scale = np.sqrt(2 / (1 + cos * np.cos(lon)))
    return np.stack([cos * np.sin(lon), up]) * scale


def _sectors(p, q, radius):
    """Area of the triangles of the origin and the sides p–q, within a disc about the origin."""
    side = q - p
    a, b = (side**2).sum(axis=0), (p * side).sum(axis=0)
    # Fractions of the side at which it enters and leaves the disc.
    root = np.sqrt(np.maximum(b**2 - a * ((p**2).sum(axis=0) - radius**2), 0))
    length = np.where(a > 0, a, 1)
    enter, leave = (np.clip((-b + sign * root) / length, 0, 1) for sign in (-1, 1))
    u, v = p + enter * side, p + leave * side
    return _cross(u, v) / 2 + radius**2 / 2 * (_angle(p, u) + _angle(v, q))


def _cross(a, b):
    return a[0] * b[1] - a[1] * b[0]


def _angle(a, b):
    return np.arctan2(_cross(a, b), (a * b).sum(axis=0))
