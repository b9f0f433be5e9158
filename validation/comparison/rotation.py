"""The field of view of a cube rotated by an angle, or mirrored into the other alignment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import optimize
from scipy.interpolate import RectBivariateSpline

__all__ = ["rotate_field"]

# Angles that a fit starts from, deg apart: a field has a few lobes around its centre, not more.
STEP = 10.0


def rotate_field(cube, angle, mirror=True):
    """The cube as it looks in a field of view turned by an angle, bins outside left unexposed.

    With ``mirror`` it is the same sky in the other alignment, ALTAZ or RADEC, for the parallactic
    angle q: RADEC's fov_lon points west and ALTAZ's, zenith up, to the east of the south. For a
    point (x, y) in the tangent plane

        x' = −x cos q − y sin q,   y' = −x sin q + y cos q,

    which is its own inverse. On the sphere the same holds of the components of the direction.

    Parameters
    ----------
    cube : BackgroundCube
        Rates without noise; counts are dropped.
    angle : float
        deg; without ``mirror``, counter-clockwise with fov_lon to the right and fov_lat up.
    mirror : bool
    """
    axes = cube.axes
    lon, lat, inside = _source_places(axes, angle, mirror)
    rate = np.full(axes.shape, np.nan)
    for image, target in zip(cube.rate, rate, strict=True):
        if np.all(image > 0):
            target[inside] = np.exp(_spline(axes, np.log(image)).ev(lon[inside], lat[inside]))
    second = np.ones(axes.shape)
    exposure = {
        name: np.where(np.isfinite(rate), second if had is None else had, 0.0)
        for name, had in (("livetime", cube.livetime), ("ontime", cube.ontime))
        if had is not None or name == "livetime"
    }
    return replace(cube, rate=rate, rate_error=None, counts=None, **exposure)


def fit_rotation(model, seen, mirror=True, limit=180.0):
    """Angle in deg by which a model has to be turned to look most like what is seen.

    Least squares of the images, of rates per solid angle and at any norm.

    Parameters
    ----------
    model, seen : BackgroundCube
        Over the same edges; the model without noise.
    mirror, limit : bool, float
        As `rotate_field` has it; angles are within ± the limit.
    """
    axes = model.axes
    width = np.diff(axes.energy)[:, None, None]
    image, data = (np.nansum(cube.rate * width, axis=0) for cube in (model, seen))
    # Between the centres of fewer than two pixels there is nothing to turn.
    if min(image.shape) < 2 or not np.all(image > 0):
        return np.nan
    spline = _spline(axes, np.log(image))

    def cost(angle):
        lon, lat, inside = _source_places(axes, angle, mirror)
        expected, found = np.exp(spline.ev(lon[inside], lat[inside])), data[inside]
        expected *= found.sum() / expected.sum()
        return np.sum((found - expected) ** 2 / expected) / expected.sum()

    start = min(np.arange(-limit, limit, STEP), key=cost)
    bounds = start - STEP, start + STEP
    best = optimize.minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float((best.x + 180) % 360 - 180)


def _spline(axes, image):
    lon, lat = axes.fov_lon_center, axes.fov_lat_center
    order = {"kx": min(3, lon.size - 1), "ky": min(3, lat.size - 1)}
    return RectBivariateSpline(lon, lat, image, **order)


def _source_places(axes, angle, mirror):
    """Where the pixels of a turned field come from, deg, and which come from between centres."""
    lon, lat = np.deg2rad(axes.fov_lon_center)[:, None], np.deg2rad(axes.fov_lat_center)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    ahead, right, up = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    if mirror:
        right, up = -right * cos - up * sin, -right * sin + up * cos
    else:
        right, up = right * cos + up * sin, -right * sin + up * cos
    lon, lat = np.rad2deg(np.arctan2(right, ahead)), np.rad2deg(np.arcsin(up))
    inside = np.ones(lon.shape, bool)
    for angle_there, center in ((lon, axes.fov_lon_center), (lat, axes.fov_lat_center)):
        inside &= (angle_there >= center[0]) & (angle_there <= center[-1])
    return lon, lat, inside
