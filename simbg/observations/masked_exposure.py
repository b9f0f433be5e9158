"""The unmasked fraction of each pixel's exposure: the part outside of excluded regions.

Notes
-----
The border of the union of the regions is computed once, on the sky. The solid angle that it covers
in each pixel is then computed exactly at some times of the run (nodes), and averaged. Between two
nodes the border moves by the same distance, so a field that rotates fast, near the zenith, has more
of them.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.observations.border_area import covered_solid_angle
from simbg.observations.disc_area import solid_angle_within
from simbg.observations.observation import Events, Observation
from simbg.radial import ring_solid_angle
from simbg.sky.plane import from_plane, union_border
from simbg.sky.pointing import Drift, Tracking
from simbg.sky.regions import Region, applies
from simbg.sky.vectors import separation

__all__ = ["unmasked_fraction", "unmasked_fraction_of_rings", "unmasked_fraction_of_run"]

MAX_OFFSET = 60.0  # deg, of the pixels' farthest corner
MARGIN = 1.02  # ratio of window and field sizes; aberration changes the field's size by 1e-4
SIDE = 0.25  # deg; longer sides are cut, so that great circles are straight in the field
STEPS = 25  # for a border that moves by one pixel; proportional to the root of the distance
FEWEST_STEPS = 16
N_MOTION = 1024  # times at which the motion of the border is computed
N_PATH = 9  # times at which the pointing is computed
N_POSITIONS = 6  # positions of a border in drift mode whose motion is computed
EXACT = 1e-9  # a fraction this close to 0 or 1 is set to that value
CHUNK = 1 << 15  # sides computed together: temporaries stay in the cache


def unmasked_fraction(
    axes: Axes,
    pointing: Tracking | Drift,
    gti: ArrayLike,
    regions: Iterable[Region],
    weight: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the part of each pixel's exposure that lies outside of all regions.

    The error is 1e-3 or less; the largest error observed is 3e-4. In drift mode the border is
    computed again at each time, not rotated; this takes about three times as long.

    Parameters
    ----------
    axes : Axes
        ALTAZ-aligned; the farthest corner is 60 deg or less from the centre. Only the pixels are
        used, not the energies.
    pointing : Tracking or Drift
        Pointing of the telescopes. Any other object with the same methods is treated as `Drift`.
    gti : array_like, shape (n, 2)
        Starts and stops of good time intervals, s since ``pointing.mjdref``.
    regions : iterable of Region
        Excluded regions, which may overlap.
    weight : callable, optional
        Relative exposure per second, 0 or more, as a function of times (ndarray, s since
        ``pointing.mjdref``). By default it is constant.

    Returns
    -------
    ndarray, shape (n_fov_lon, n_fov_lat)
        Mean over solid angle and (weighted) time, 0 to 1. Exactly 0 in a pixel that is completely
        excluded at all times, and exactly 1 in a pixel outside of all regions.

    Raises
    ------
    ValueError
        If a pixel is too far from the centre, intervals or weights are not valid, or the pointing
        moves too far on the sky.
    """
    edges = np.radians(axes.fov_lon), np.sin(np.radians(axes.fov_lat))
    pixel = min(np.diff(edge).min() for edge in edges)
    covered = np.zeros(axes.shape[1:])
    farthest = _farthest_corner(axes)
    for starts, stops, weights in _borders(pointing, gti, regions, farthest, pixel, weight):
        covered += covered_solid_angle(starts, stops, weights, *edges)
    # x of the plane increases to the west, fov_lon to the east: left and right of a side change
    return _exact(1 + covered / axes.solid_angle)


def unmasked_fraction_of_rings(
    offset: np.ndarray,
    pointing: Tracking | Drift,
    gti: ArrayLike,
    regions: Iterable[Region],
) -> np.ndarray:
    """Return the part of each ring's exposure that lies outside of all regions.

    A ring of a tracked pointing is always at the same place on the sky, so its fraction is exact.

    Parameters
    ----------
    offset : ndarray, shape (n_ring + 1,)
        Edges of the rings, deg, up to 60.
    pointing, gti, regions
        As for `unmasked_fraction`.

    Returns
    -------
    ndarray, shape (n_ring,)
        Mean over solid angle and time, 0 to 1.
    """
    if offset[-1] > MAX_OFFSET:
        raise ValueError(
            f"rings: got an edge at {offset[-1]:g} deg, expected {MAX_OFFSET:g} or less"
        )
    narrowest, within = np.radians(np.diff(offset).min()), np.zeros(offset.size)
    still = isinstance(pointing, Tracking)
    borders = _borders(pointing, gti, regions, offset[-1], narrowest, still=still)
    for starts, stops, weights in borders:
        within += solid_angle_within(starts, stops, weights, offset)
    return _exact(1 - np.diff(within) / ring_solid_angle(offset))


def _borders(pointing, gti, regions, farthest, pixel, weight=None, still=False):
    """The border of the regions at some times: starts and stops of its sides, and weights.

    The field of view reaches to ``farthest``, deg; its narrowest pixel is ``pixel`` wide, rad.
    If what is asked for does not change while the field turns (``still``), one time is enough.
    """
    times, exposure = _timeline(_intervals(gti), weight)
    path = np.stack(pointing.radec(np.linspace(times[0], times[-1], N_PATH)))
    center = path[0, N_PATH // 2].item(), path[1, N_PATH // 2].item()
    sweep = _separation(center, path).max()
    border = _border(regions, center, farthest * MARGIN + sweep, sweep)
    if not border.size:
        return
    kind = _Turning if isinstance(pointing, Tracking) else _Drifting
    field = kind(pointing, times, border.reshape(2, -1), center)
    nodes, weights = _nodes(times, exposure, field.motion / pixel)
    if still:
        nodes, weights = nodes[nodes.size // 2 :][:1], np.ones(1)
    step = max(1, CHUNK // border.shape[2])
    for first in range(0, nodes.size, step):
        part = slice(first, first + step)
        starts, stops = np.split(field.at(nodes[part]), 2, axis=2)
        yield starts, stops, weights[part]


def _exact(unmasked):
    """Fractions that are 0 or 1 except for rounding are set to that value."""
    unmasked[np.abs(unmasked) < EXACT] = 0
    unmasked[np.abs(unmasked - 1) < EXACT] = 1
    return unmasked


def unmasked_fraction_of_run(
    axes: Any, observation: Observation, events: Events | None
) -> np.ndarray | None:
    """Return the unmasked fraction of a run, or None if it has no excluded regions.

    Parameters
    ----------
    axes : Axes or Rings
        ALTAZ-aligned axes, or rings about the pointing.
    observation : Observation
        The run, with its excluded regions.
    events : Events or None
        Events of the run, with pointing and good time intervals if regions are excluded.

    Returns
    -------
    ndarray, shape (n_fov_lon, n_fov_lat), or None
        See `unmasked_fraction`. If a region applies to some energies only, the shape is that of
        ``axes``: a region applies to a bin as a whole.

    Raises
    ------
    ValueError
        If regions are excluded and there is no pointing or good time interval.
    """
    if not observation.excluded:
        return None
    if events is None or events.pointing is None or events.gti is None:
        raise ValueError(
            f"run {observation.obs_id}: got events without pointing or good time intervals, "
            "expected both because the run has excluded regions"
        )
    pointing, gti = events.pointing, events.gti

    def compute(regions):
        if isinstance(axes, Axes) and _is_constant(pointing):
            edges = axes.fov_lon.tobytes(), axes.fov_lat.tobytes()
            return _fraction_of_run(*edges, pointing, _intervals(gti).tobytes(), tuple(regions))
        if isinstance(axes, Axes):
            return unmasked_fraction(axes, pointing, gti, regions)
        return unmasked_fraction_of_rings(axes.offset, pointing, gti, regions)[:, None]

    return for_each_energy(axes.energy, observation.excluded, compute)


def _is_constant(pointing):
    """Whether a pointing is one of ours, whose values do not change."""
    return isinstance(pointing, Tracking | Drift) and not any(
        isinstance(value, np.ndarray) for value in vars(pointing).values()
    )


@lru_cache(maxsize=128)  # a run is used for its group, for a model of all runs and for its norm
def _fraction_of_run(fov_lon, fov_lat, pointing, gti, regions):
    axes = Axes(np.array([1.0, 2.0]), np.frombuffer(fov_lon), np.frombuffer(fov_lat))
    fraction = unmasked_fraction(axes, pointing, np.frombuffer(gti).reshape(-1, 2), regions)
    fraction.setflags(write=False)
    return fraction


def for_each_energy(
    energy: np.ndarray,
    regions: Sequence[Region],
    compute: Callable[[Sequence[Region]], np.ndarray],
) -> np.ndarray:
    """Compute an array for the regions that apply to each energy bin.

    Parameters
    ----------
    energy : ndarray
        Edges of the bins, TeV.
    regions : sequence of Region
        The regions.
    compute : callable
        Returns the array for some regions. It is called once for bins with the same regions.

    Returns
    -------
    ndarray
        The array; if the regions differ between bins, with a first axis for the energy bins.
    """
    applied = np.array([applies(region, energy[:-1], energy[1:]) for region in regions])
    kinds, bins = np.unique(applied, axis=1, return_inverse=True)
    results = [
        compute([region for region, used in zip(regions, kind, strict=True) if used])
        for kind in kinds.T
    ]
    return results[0] if len(results) == 1 else np.stack(results)[bins.ravel()]


class _Turning:
    """A border (positions in the plane) in the field of a tracked pointing: it rotates rigidly."""

    def __init__(self, pointing, times, border, center):
        n = border.shape[1]
        farthest = np.argmax((border**2).sum(axis=0))
        x, y = border
        ra, dec = from_plane(x, y, center)
        # In one call: computing the Earth's orientation takes longer than all positions
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
    """A border (positions in the plane) in any field of view, in which it may move in any way."""

    def __init__(self, pointing, times, border, center):
        self.pointing = pointing
        x, y = border
        self.ra, self.dec = from_plane(x, y, center)
        index = np.linspace(0, border.shape[1] - 1, N_POSITIONS).astype(int)[:, None]
        vectors = _vectors(*pointing.sky_to_fov(self.ra[index], self.dec[index], times))
        self.motion = np.sqrt((np.diff(vectors) ** 2).sum(axis=0)).max(axis=0)

    def at(self, times):
        """Return fov_lon in rad and sin(fov_lat), shape (2, n_times, n)."""
        lon, lat = self.pointing.sky_to_fov(self.ra, self.dec, times[:, None])
        return np.stack([np.radians(lon), np.sin(np.radians(lat))])


def _border(regions, center, reach, sweep):
    """Return the border of the union of regions, (2, 2, n): x, y of all starts, then stops.

    In the plane about the centre, for directions up to `reach` (deg) from it.
    """
    half = np.tan(np.radians(reach))
    if np.degrees(np.arctan(np.sqrt(2) * half)) + sweep > 85:
        raise ValueError(
            f"pointing: got a motion of {2 * sweep:.0f} deg on the sky, which is too large; use "
            "smaller axes or shorter good time intervals"
        )
    return _union(tuple(regions), center, reach, half)


@lru_cache(maxsize=16)  # runs of one pointing have the same one
def _union(regions, center, reach, half):
    circles = np.array([(*region.center, region.radius) for region in regions]).reshape(-1, 3).T
    near = np.flatnonzero(_separation(center, circles[:2]) < reach + circles[2])
    outlines = [regions[i].outline for i in near]
    border = np.stack(union_border(outlines, center, half, np.radians(SIDE)), axis=1)
    border.setflags(write=False)
    return border


def _timeline(gti, weight):
    """Return times, and the fraction of the exposure before each; it is linear in between."""
    times = np.unique(np.append(np.linspace(gti.min(), gti.max(), N_MOTION + 1), gti))
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
    """Return the times at which the border is computed, and the fraction of the exposure of each.

    When a side of the border reaches or leaves a pixel, a step that moves it by d pixels and has
    the fraction f of the exposure gives an error of d f / 8 or less. Steps with equal d f are the
    fewest for a given error.
    """
    effort = np.append(0, np.cumsum(np.sqrt(np.diff(exposure) * motion)))
    ends = times[[0, -1]]
    if effort[-1] > 0:
        number = int(max(FEWEST_STEPS, np.ceil(STEPS * effort[-1])))
        # Steps end at gaps, in which the field may move far
        live = np.diff(exposure) > 0
        gaps = times[1:-1][live[1:] != live[:-1]]
        even = np.interp(np.linspace(0, effort[-1], number + 1), effort, times)
        ends = np.unique(np.concatenate([ends, even, gaps]))
    upto = np.interp(ends, times, exposure)
    fraction = np.diff(upto)
    nodes = np.interp((upto[1:] + upto[:-1]) / 2, exposure, times)
    return nodes[fraction > 0], fraction[fraction > 0]


def _intervals(gti):
    """Return good time intervals (n, 2), checked."""
    gti = np.asarray(gti, float)
    if gti.ndim != 2 or gti.shape[1] != 2 or not len(gti):
        raise ValueError(f"gti: got shape {gti.shape}, expected (n, 2), one interval or more")
    if not (np.isfinite(gti).all() and (gti[:, 0] < gti[:, 1]).all()):
        raise ValueError(f"gti: got {gti.tolist()}, expected finite starts before stops")
    return gti


def _farthest_corner(axes):
    """Return the largest offset of a pixel corner from the centre, deg."""
    lon, lat = np.radians([np.abs(axes.fov_lon).max(), np.abs(axes.fov_lat).max()])
    offset = np.degrees(np.arccos(np.cos(lon) * np.cos(lat)))
    if offset > MAX_OFFSET:
        raise ValueError(f"axes: got a corner at {offset:g} deg, expected {MAX_OFFSET:g} or less")
    return offset


def _separation(one, other):
    """Return the angle between directions, deg."""
    return np.degrees(separation(*np.radians(one), *np.radians(other)))


def _vectors(lon, lat):
    """Return unit vectors to the pointing, larger fov_lon and fov_lat, of positions in deg."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
