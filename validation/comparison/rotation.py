"""The field of view of a cube rotated by an angle, or mirrored into the other alignment."""

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
    known = np.isfinite(rate)
    livetime = known * (1.0 if cube.livetime is None else cube.livetime)
    ontime = None if cube.ontime is None else known * cube.ontime
    times = {"livetime": livetime, "ontime": ontime}
    return replace(cube, rate=rate, rate_error=None, counts=None, **times)


def fit_rotation(model, data, mirror=True, limit=180.0):
    """Angle in deg by which a model has to be turned to look most like data.

    Least squares of the images, of rates per solid angle and at any norm.

    Parameters
    ----------
    model, data : BackgroundCube
        Over the same edges; the model without noise.
    mirror, limit : bool, float
        As `rotate_field` has it; angles are within ± the limit.
    """
    axes = model.axes
    width = np.diff(axes.energy)[:, None, None]
    image, observed = (np.nansum(cube.rate * width, axis=0) for cube in (model, data))
    # Between the centres of fewer than two pixels there is nothing to turn.
    if min(image.shape) < 2 or not np.all(image > 0):
        return np.nan
    spline = _spline(axes, np.log(image))

    def cost(angle):
        lon, lat, inside = _source_places(axes, angle, mirror)
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


def _source_places(axes, angle, mirror):
    """Where the pixels of a turned field come from, deg, and which come from between centres."""
    x, y = axes.fov_lon_center, axes.fov_lat_center
    lon, lat, angle = np.deg2rad(x)[:, None], np.deg2rad(y), np.deg2rad(angle)
    ahead, right, up = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    cos, sin = np.cos(angle), np.sin(angle)
    right, up = right * cos + up * sin, up * cos - right * sin
    lon, lat = np.rad2deg(np.arctan2(-right if mirror else right, ahead)), np.rad2deg(np.arcsin(up))
    return lon, lat, (lon >= x[0]) & (lon <= x[-1]) & (lat >= y[0]) & (lat <= y[-1])
