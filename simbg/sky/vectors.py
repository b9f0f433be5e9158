"""Directions on the sphere as null vectors: made from angles, rotated, and converted to angles.

Notes
-----
A direction with unit vector e is written as the null vector s (e, 1) with any scale s > 0. In this
form aberration is linear: it is a Lorentz boost (Klioner, AJ 125 (2003) 1580, sect. 5). Since the
scale is free, a rotation by an angle a needs no division: with t = tan(a / 2),
(cos a, sin a) = (1 - t^2, 2 t) / (1 + t^2), and the denominator is part of the scale.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["separation"]

CHUNK = 8192  # events; temporaries stay in the cache and below malloc's mmap threshold


def local_axes(lon: float, lat: float) -> np.ndarray:
    """Return unit vectors (3, 3) at a direction, deg: to it, to larger lon, to larger lat."""
    (sin_lon, sin_lat), (cos_lon, cos_lat) = (f(np.deg2rad([lon, lat])) for f in (np.sin, np.cos))
    return np.array(
        [
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
            [-sin_lon, cos_lon, 0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
        ]
    )


def separation(lon1: ArrayLike, lat1: ArrayLike, lon2: ArrayLike, lat2: ArrayLike) -> np.ndarray:
    """Return the angle between two directions, rad; all arguments are in rad and broadcast.

    Notes
    -----
    Vincenty's formula, as in `astropy.coordinates.angular_separation`, whose package takes a fifth
    of a second to load.
    """
    turn = np.subtract(lon2, lon1)
    sin, sin1, sin2 = np.sin(turn), np.sin(lat1), np.sin(lat2)
    cos, cos1, cos2 = np.cos(turn), np.cos(lat1), np.cos(lat2)
    across = np.hypot(cos2 * sin, cos1 * sin2 - sin1 * cos2 * cos)
    return np.arctan2(across, sin1 * sin2 + cos1 * cos2 * cos)


def null_vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return null vectors (4, n) of any scale in these directions, deg."""
    t, u = np.tan(lon * (np.pi / 360)), np.tan(lat * (np.pi / 360))
    tt, uu = t * t, u * u
    across = 1 - uu
    one = 1 + tt
    return np.stack([across * (1 - tt), across * (2 * t), 2 * u * one, (1 + uu) * one])


def rotated_about_first(vector: np.ndarray, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rotate null vectors (4, n) about the first axis: (0, across, up) goes to the third axis.

    The rotation is R = [[up, -across], [across, up]] / norm in the second and third components,
    norm = sqrt(across^2 + up^2); the scale of the result is multiplied by the norm.
    """
    x, y, z, time = vector
    norm = np.sqrt(across * across + up * up)
    return np.stack([x * norm, y * up - z * across, y * across + z * up, time * norm])


def to_angles(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, *_: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude (-180 to 180) and latitude, deg, of vectors with these components."""
    scale = 180 / np.pi
    return np.arctan2(y, x) * scale, np.arctan2(z, np.sqrt(x * x + y * y)) * scale


def in_chunks(
    function: Callable[..., np.ndarray], lon: np.ndarray, lat: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes, deg, of the vectors from ``function``, chunk by chunk."""
    flat = [a.reshape(-1) for a in (lon, lat, time)]
    result = np.empty((2, lon.size))
    for start in range(0, lon.size, CHUNK):
        part = slice(start, start + CHUNK)
        result[:, part] = to_angles(*function(*(a[part] for a in flat)))
    return result[0].reshape(lon.shape), result[1].reshape(lon.shape)


def checked_arrays(**columns: tuple[ArrayLike, float]) -> tuple[np.ndarray, ...]:
    """Return float arrays, broadcast to one shape.

    Parameters
    ----------
    **columns : tuple of array_like and float
        For each name the values, and the largest absolute value that they may have.

    Returns
    -------
    tuple of ndarray
        In the order of the arguments.

    Raises
    ------
    ValueError
        If a value is not finite or too large.
    """
    arrays = []
    for name, (given, limit) in columns.items():
        values = np.asarray(given, float)
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if not (-limit <= low and high <= limit):
            raise ValueError(f"{name}: got {low} to {high}, expected -{limit} to {limit}, finite")
        arrays.append(values)
    return np.broadcast_arrays(*arrays)
