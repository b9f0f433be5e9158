"""The unmasked fraction of each pixel's exposure: what excluded regions leave of time and area.

The border of the union of the regions is found once, in the sky. Then it is laid over the pixels
at some times of the run, of which each is exact. These are times at which the border has moved on
by equal steps, so that a field that turns fast, near the zenith, gets as many as it needs.
"""

import numpy as np
from astropy.coordinates import angular_separation

from simbg.observations.border_area import covered_solid_angle
from simbg.sky.plane import from_plane, union_border
from simbg.sky.pointing import Tracking

__all__ = ["unmasked_fraction"]

MAX_OFFSET = 60.0  # deg, of the pixels' farthest corner
MARGIN = 1.02  # the window is so much larger than the field, which aberration squeezes by 1e-4
SIDE = 0.25  # deg; longer sides are cut, for great circles to be straight in the field
STEPS = 25  # for a border that moves by one pixel; goes with the root of the distance
FEWEST_STEPS = 16
GRID = 1024  # times at which the motion is looked at
PATH = 9  # times at which the pointing is looked at
SOME = 6  # places of a drifting border whose motion is looked at
EXACT = 1e-9  # a fraction as near to 0 or 1 is that
CHUNK = 1 << 15  # sides laid over the pixels at a time: temporaries stay in the cache


def unmasked_fraction(axes, pointing, gti, regions, weight=None):
    """Return the part of each pixel's exposure that lies outside of all regions.

    Accurate to 1e-3 or better; 3e-4 is the largest error seen. For a drift the border is placed
    anew at each time and not turned, which takes some three times as long.

    Parameters
    ----------
    axes : Axes
        ALTAZ-aligned; the farthest corner is 60 deg or less from the centre. Energies do not
        matter.
    pointing : Tracking or Drift
        Where the telescopes look. What is no `Tracking` needs its methods and is taken to drift.
    gti : array_like, shape (n, 2)
        Starts and stops of good time intervals, s since ``pointing.mjdref``.
    regions : iterable of Region
        They may overlap.
    weight : callable, optional
        Relative exposure per second, 0 or more: it is given times, ndarray in s since
        ``pointing.mjdref``, and returns as many values. By default the same at all times.

    Returns
    -------
    ndarray, shape (n_fov_lon, n_fov_lat)
        0 to 1, the mean over solid angle and (weighted) time. Exactly 0 in a pixel that is wholly
        excluded at all times, and exactly 1 in one that no region touches.

    Raises
    ------
    ValueError
        If pixels are too far out, intervals or weights are none, or a drift goes too far.
    """
    times, exposure = _timeline(_intervals(gti), weight)
    path = np.stack(pointing.radec(np.linspace(times[0], times[-1], PATH)))
    center = tuple(path[:, PATH // 2].tolist())
    sweep = _separation(center, path).max()
    reach = _farthest_corner(axes) * MARGIN + sweep
    border = _border(regions, center, reach, sweep)
    if not border.size:
        return np.ones(axes.shape[1:])
    field = _Turning if isinstance(pointing, Tracking) else _Drifting
    field = field(pointing, times, border.reshape(2, -1), center)
    edges = np.radians(axes.fov_lon), np.sin(np.radians(axes.fov_lat))
    pixel = min(np.diff(edge).min() for edge in edges)
    nodes, shares = _nodes(times, exposure, field.motion / pixel)
    covered = np.zeros(axes.shape[1:])
    step = max(1, CHUNK // border.shape[2])
    for first in range(0, nodes.size, step):
        part = slice(first, first + step)
        ends = field.at(nodes[part])
        covered += covered_solid_angle(*np.split(ends, 2, axis=2), shares[part], *edges)
    # The plane's x goes west, fov_lon east: what is to the right of a side is to its left here
    unmasked = 1 + covered / axes.solid_angle
    unmasked[np.abs(unmasked) < EXACT] = 0
    unmasked[np.abs(unmasked - 1) < EXACT] = 1
    return unmasked


class _Turning:
    """A border (places in the plane) in the field of a tracked pointing: it turns, rigid."""

    def __init__(self, pointing, times, border, center):
        n = border.shape[1]
        farthest = np.argmax((border**2).sum(axis=0))
        ra, dec = from_plane(*border, center)
        # In one call: the Earth's orientation takes longer than all places
        which = np.append(np.arange(n), np.full(times.size, farthest))
        when = np.append(np.full(n, (times[0] + times[-1]) / 2), times)
        vectors = _vectors(*pointing.sky_to_fov(ra[which], dec[which], when))
        self.times, self.border = times, vectors[:, :n]
        _, across, up = vectors[:, n:]
        angle = np.unwrap(np.arctan2(up, across))
        self.motion = np.abs(np.diff(angle)) * np.hypot(across, up)[1:]
        _, across, up = vectors[:, farthest]
        self.turn = angle - np.arctan2(up, across)

    def at(self, times):
        """Return fov_lon in rad and sin(fov_lat), shape (2, n_times, n)."""
        turn = np.interp(times, self.times, self.turn)[:, None]
        cos, sin = np.cos(turn), np.sin(turn)
        inward, across, up = self.border
        lon = np.arctan2(across * cos - up * sin, inward)
        return np.stack([lon, across * sin + up * cos])


class _Drifting:
    """A border (places in the plane) in any field, through which it moves as it likes."""

    def __init__(self, pointing, times, border, center):
        self.pointing = pointing
        self.ra, self.dec = from_plane(*border, center)
        some = np.linspace(0, border.shape[1] - 1, SOME).astype(int)[:, None]
        seen = _vectors(*pointing.sky_to_fov(self.ra[some], self.dec[some], times))
        self.motion = np.sqrt((np.diff(seen) ** 2).sum(axis=0)).max(axis=0)

    def at(self, times):
        """Return fov_lon in rad and sin(fov_lat), shape (2, n_times, n)."""
        lon, lat = self.pointing.sky_to_fov(self.ra, self.dec, times[:, None])
        return np.stack([np.radians(lon), np.sin(np.radians(lat))])


def _border(regions, center, reach, sweep):
    """Return the border of the union of regions, (2, 2, n): x, y of all starts, then stops.

    In the plane about the centre, out to `reach` (deg) at least.
    """
    half = np.tan(np.radians(reach))
    if np.degrees(np.arctan(np.sqrt(2) * half)) + sweep > 85:
        raise ValueError(f"pointing: got a drift by {2 * sweep:.0f} deg, expected less")
    regions = list(regions)
    places = np.array([(*region.center, region.radius) for region in regions]).reshape(-1, 3).T
    near = np.flatnonzero(_separation(center, places[:2]) < reach + places[2])
    outlines = [regions[i].outline for i in near]
    return np.stack(union_border(outlines, center, half, np.radians(SIDE)), axis=1)


def _timeline(gti, weight):
    """Return times and the exposure up to each, 1 in all, which grows evenly in between."""
    times = np.unique(np.append(np.linspace(gti.min(), gti.max(), GRID + 1), gti))
    middle = (times[1:] + times[:-1]) / 2
    rate = ((gti[:, :1] < middle) & (middle < gti[:, 1:])).any(axis=0).astype(float)
    if weight is not None:
        rate = np.where(rate, weight(middle), 0)
    exposure = np.append(0, np.cumsum(rate * np.diff(times)))
    if not ((rate >= 0).all() and 0 < exposure[-1] < np.inf):
        got = f"weight: got {rate.min()} to {rate.max()}"
        raise ValueError(f"{got}, expected 0 or more, finite, not all 0")
    return times, exposure / exposure[-1]


def _nodes(times, exposure, motion):
    """Return times to look at the border, and each one's share of the exposure.

    When a side of the border begins to cover a pixel or has done so, a step that it moves (in
    pixels) is wrong by an eighth of this times its share of the exposure, at most: steps for
    which that is the same need the fewest.
    """
    effort = np.append(0, np.cumsum(np.sqrt(np.diff(exposure) * motion)))
    ends = times[[0, -1]]
    if effort[-1] > 0:
        number = int(max(FEWEST_STEPS, np.ceil(STEPS * effort[-1])))
        # A step does not reach over a gap, in which the field may have moved far
        live = np.diff(exposure) > 0
        gaps = times[1:-1][live[1:] != live[:-1]]
        even = np.interp(np.linspace(0, effort[-1], number + 1), effort, times)
        ends = np.unique(np.concatenate([ends, even, gaps]))
    upto = np.interp(ends, times, exposure)
    shares = np.diff(upto)
    nodes = np.interp((upto[1:] + upto[:-1]) / 2, exposure, times)
    return nodes[shares > 0], shares[shares > 0]


def _intervals(gti):
    """Return good time intervals (n, 2), checked."""
    gti = np.asarray(gti, float)
    if gti.ndim != 2 or gti.shape[1] != 2 or not len(gti):
        raise ValueError(f"gti: got shape {gti.shape}, expected (n, 2), one interval or more")
    if not (np.isfinite(gti).all() and (gti[:, 0] < gti[:, 1]).all()):
        raise ValueError(f"gti: got {gti.tolist()}, expected finite starts before stops")
    return gti


def _farthest_corner(axes):
    """Return the largest offset in the pixels, deg."""
    lon, lat = np.radians([np.abs(axes.fov_lon).max(), np.abs(axes.fov_lat).max()])
    offset = np.degrees(np.arccos(np.cos(lon) * np.cos(lat)))
    if offset > MAX_OFFSET:
        raise ValueError(f"axes: got a corner at {offset:g} deg, expected {MAX_OFFSET:g} or less")
    return offset


def _separation(one, other):
    """Return the angle between directions, deg."""
    return np.degrees(angular_separation(*np.radians(one), *np.radians(other)))


def _vectors(lon, lat):
    """Return unit vectors to the pointing, larger fov_lon and fov_lat, of places in deg."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
