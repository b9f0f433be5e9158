"""Rotation of the field of view of a cube, also with the reflection into the other alignment."""

from dataclasses import replace

import numpy as np
from scipy import optimize
from scipy.interpolate import RectBivariateSpline

from simbg.cube import BackgroundCube
from simbg.validation.comparison.matched_cubes import NO_ERRORS

__all__ = ["fit_rotation", "rotate_field"]

# Step of the starting angles of a fit, deg. Fields have only a few maxima around their centre.
STEP = 10.0


def rotate_field(cube: BackgroundCube, angle: float, mirror: bool = True) -> BackgroundCube:
    """The cube in a field of view that is rotated by an angle. Bins from outside have no exposure.

    Parameters
    ----------
    cube : BackgroundCube
        Rates without noise; counts are dropped.
    angle : float
        deg. With ``mirror`` the parallactic angle; without it counter-clockwise, with fov_lon to
        the right and fov_lat up.
    mirror : bool
        Whether the field is reflected into the other alignment, ALTAZ or RADEC.

    Returns
    -------
    cube : BackgroundCube
        Over the same axes, NaN in bins that come from outside the field.

    Notes
    -----
    fov_lon of RADEC points west, and that of ALTAZ with the zenith up to the east of the south. For
    the parallactic angle q a point (x, y) of the tangent plane becomes

        x' = −x cos q − y sin q,   y' = −x sin q + y cos q,

    which is its own inverse. On the sphere the same holds for the components of the direction.
    """
    axes = cube.axes
    lon, lat, inside = _source_angles(axes, angle, mirror)
    rate = np.full(axes.shape, np.nan)
    for image, target in zip(cube.rate, rate, strict=True):
        if np.all(image > 0):
            target[inside] = np.exp(_spline(axes, np.log(image)).ev(lon[inside], lat[inside]))
    known = np.isfinite(rate)
    livetime = known * (1.0 if cube.livetime is None else cube.livetime)
    ontime = None if cube.ontime is None else known * cube.ontime
    arrays = {"counts": None, "livetime": livetime, "ontime": ontime}
    return replace(cube, rate=rate, **NO_ERRORS, **arrays)


def fit_rotation(
    model: BackgroundCube, data: BackgroundCube, mirror: bool = True, limit: float = 180.0
) -> float:
    """Angle by which a model must be rotated to fit data best.

    Parameters
    ----------
    model, data : BackgroundCube
        Over the same edges; the model without noise.
    mirror : bool
        See `rotate_field`.
    limit : float
        Largest absolute angle, deg.

    Returns
    -------
    angle : float
        deg; NaN if the image has fewer than two pixels along an axis, or an empty pixel.

    Notes
    -----
    Least squares of the images, in rates per solid angle and with a free norm.
    """
    axes = model.axes
    width = np.diff(axes.energy)[:, None, None]
    image, observed = (np.nansum(cube.rate * width, axis=0) for cube in (model, data))
    # The interpolation needs two pixels along each axis.
    if min(image.shape) < 2 or not np.all(image > 0):
        return np.nan
    spline = _spline(axes, np.log(image))

    def cost(angle):
        lon, lat, inside = _source_angles(axes, angle, mirror)
        expected, counts = np.exp(spline.ev(lon[inside], lat[inside])), observed[inside]
        expected *= counts.sum() / expected.sum()
        return np.sum((counts - expected) ** 2 / expected) / expected.sum()

    start = min(np.arange(-limit, limit, STEP), key=cost)
    bounds = start - STEP, start + STEP
    best = optimize.minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float((best.x + 180) % 360 - 180)


def _spline(axes, image):
    lon, lat = axes.fov_lon_center, axes.fov_lat_center
    kx, ky = min(3, lon.size - 1), min(3, lat.size - 1)
    return RectBivariateSpline(lon, lat, image, kx=kx, ky=ky)


def _source_angles(axes, angle, mirror):
    """Original angles of the pixels of a rotated field, deg, and which are inside the others."""
    x, y = axes.fov_lon_center, axes.fov_lat_center
    lon, lat, angle = np.deg2rad(x)[:, None], np.deg2rad(y), np.deg2rad(angle)
    ahead, right, up = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    cos, sin = np.cos(angle), np.sin(angle)
    right, up = right * cos + up * sin, up * cos - right * sin
    lon, lat = np.rad2deg(np.arctan2(-right if mirror else right, ahead)), np.rad2deg(np.arcsin(up))
    return lon, lat, (lon >= x[0]) & (lon <= x[-1]) & (lat >= y[0]) & (lat <= y[-1])
