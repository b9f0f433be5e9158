"""Directions as null vectors: from angles, turned, and to angles again.

A direction e is the vector (e, 1) times any positive number, in which aberration is linear: a
Lorentz boost. With the scale free, (cos, sin) = (1 - t^2, 2 t) / (1 + t^2), t the tangent of half
the angle, needs no division.
"""

import numpy as np

__all__ = ["angles", "axes_at", "checked", "chunked", "faced", "null", "turned", "unfaced"]

CHUNK = 8192  # events; temporaries stay in the cache and below malloc's mmap threshold


def axes_at(lon, lat):
    """Return unit vectors (3, 3) at a place in deg: to it, to larger lon, to larger lat."""
    (sin_lon, sin_lat), (cos_lon, cos_lat) = (f(np.deg2rad([lon, lat])) for f in (np.sin, np.cos))
    return np.array(
        [
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
            [-sin_lon, cos_lon, 0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
        ]
    )


def null(lon, lat):
    """Return null vectors (4, n) of any scale in these directions, deg."""
    t, u = np.tan(lon * (np.pi / 360)), np.tan(lat * (np.pi / 360))
    tt, uu = t * t, u * u
    across = 1 - uu
    one = 1 + tt
    return np.stack([across * (1 - tt), across * (2 * t), 2 * u * one, (1 + uu) * one])


def turned(vector, across, up):
    """Return null vectors (4, n) turned about the first axis, (0, across, up, 0) to the third."""
    x, y, z, time = vector
    norm = np.sqrt(across * across + up * up)
    return np.stack([x * norm, y * up - z * across, y * across + z * up, time * norm])


def faced(vector, pointing):
    """Return null vectors (4, n) along pointings (4, n), their decreasing lon and increasing lat.

    At a pole there is no such direction: the result is 0.
    """
    x, y, z, time = vector
    px, py, pz, scale = pointing
    flat = np.sqrt(px * px + py * py)
    along = px * x + py * y
    ahead, up = flat * (along + pz * z), flat * flat * z - pz * along
    return np.stack([ahead, scale * (py * x - px * y), up, scale * flat * time])


def unfaced(vector, pointing):
    """Return the null vectors (4, n) that `faced` has taken to these."""
    x, y, z, time = vector
    px, py, pz, scale = pointing
    flat = np.sqrt(px * px + py * py)
    along, aside = flat * x - pz * z, scale * y
    up = flat * (pz * x + flat * z)
    return np.stack([px * along + py * aside, py * along - px * aside, up, scale * flat * time])


def angles(x, y, z, *_):
    """Return longitude (-180 to 180) and latitude, deg."""
    scale = 180 / np.pi
    return np.arctan2(y, x) * scale, np.arctan2(z, np.sqrt(x * x + y * y)) * scale


def chunked(function, lon, lat, time):
    """Return longitudes and latitudes of `function`'s vectors, a chunk of events at a time."""
    flat = [a.reshape(-1) for a in (lon, lat, time)]
    result = np.empty((2, lon.size))
    for start in range(0, lon.size, CHUNK):
        part = slice(start, start + CHUNK)
        result[:, part] = angles(*function(*(a[part] for a in flat)))
    return result[0].reshape(lon.shape), result[1].reshape(lon.shape)


def checked(**columns):
    """Return float arrays of one shape, each given with the largest size its values may have."""
    for name, (values, limit) in columns.items():
        values = np.asarray(values, float)
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if not (-limit <= low and high <= limit):
            raise ValueError(f"{name}: got {low} to {high}, expected -{limit} to {limit}, finite")
        columns[name] = values, limit
    return np.broadcast_arrays(*(values for values, _ in columns.values()))
