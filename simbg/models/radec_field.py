"""The model of a run in the field of view that is aligned with RADEC: its mean over the run.

In this frame the field of a tracked run rotates, and a rate that is constant in ALTAZ moves.
"""

from dataclasses import replace

import numpy as np

from simbg.cube import BackgroundCube
from simbg.observations.observation import Observation
from simbg.sky.plane import from_plane

__all__ = ["aligned_with_radec"]

# Points in a pixel along each axis, and times in a run, for means over pixels and the run.
POINTS, TIMES = 4, 9


def aligned_with_radec(cube: BackgroundCube, run: Observation) -> BackgroundCube:
    """The mean of an ALTAZ-aligned cube over a run, with the same edges in the RADEC-aligned field.

    Parameters
    ----------
    cube : BackgroundCube
        The model of the run.
    run : Observation
        The run, whose events have good time intervals and a pointing that is fixed on the sky.

    Returns
    -------
    BackgroundCube
        Without counts. Its rate is known in pixels of which more than half is in the field of the
        cube, and extrapolated in others, from the nearest pixels.

    Notes
    -----
    The rate of a pixel is the mean of those at points in the pixel at times in good time. The rate
    of a point is that of the bin of the cube, or of the nearest one. The integral of each energy
    over the part of the sky that both fields cover is kept. Variances are averaged as rates are.
    The functions of space of a covariance are averaged, too: this neglects that the weights of
    their mean are proportional to the rate of each point, and that independent parts are averaged.
    """
    mean, inside = _means(cube.axes, run)

    def turned(values):
        return (mean @ values.reshape(len(values), -1).T).T.reshape(values.shape)

    known = np.isfinite(cube.rate)
    weight = turned(known.astype(float))
    total = turned(np.where(known, cube.rate, 0.0))
    rate = np.divide(total, weight, out=np.full(weight.shape, np.nan), where=weight > 0)
    factor = _factors(cube, inside)
    error = cube.rate_error
    if error is not None:
        variance = turned(np.where(known, error, 0.0) ** 2)
        error = factor * np.sqrt(np.divide(variance, weight, out=rate * 0, where=weight > 0))
    outside = np.asarray(inside.sum(axis=1)).reshape(cube.axes.shape[1:]) < 0.5
    if cube.extrapolated is not None:
        outside = outside | (turned(cube.extrapolated.astype(float)) > 0.5)
    exposed = np.isfinite(rate) & ~outside
    return replace(
        cube,
        axes=replace(cube.axes, align="RADEC"),
        rate=rate * factor,
        rate_error=error,
        counts=None,
        livetime=np.where(exposed, run.livetime, 0.0),
        ontime=np.where(exposed, run.ontime, 0.0),
        extrapolated=np.isfinite(rate) & outside,
        covariance=tuple(_turned_covariance(part, turned) for part in cube.covariance),
    )


def _turned_covariance(part, turned):
    """A part of the covariance with the means of its functions of space."""
    return replace(
        part,
        space=np.moveaxis(turned(np.moveaxis(part.space, -1, 0)), 0, -1),
        own=None if part.own is None else turned(part.own),
        share=None if part.share is None else turned(part.share),
    )


def _means(axes, run):
    """Weights of the pixels of ALTAZ in those of RADEC: with the nearest ones, and inside only."""
    events = run.events()
    pointing, times = events.pointing, _times(events.gti)
    lon, lat = (_points(edges) for edges in (axes.fov_lon, axes.fov_lat))
    x, y = np.radians(np.meshgrid(lon, lat, indexing="ij"))
    ra, dec = from_plane(np.tan(x), np.tan(y) / np.cos(x), (pointing.ra, pointing.dec))
    places = pointing.sky_to_fov(ra[..., None], dec[..., None], times)
    inside, pixels = np.ones(places[0].shape, bool), []
    for place, edges in zip(places, (axes.fov_lon, axes.fov_lat), strict=True):
        inside &= (place >= edges[0]) & (place <= edges[-1])
        found = np.searchsorted(edges, place, side="right") - 1
        pixels.append(np.clip(found, 0, edges.size - 2))
    from scipy.sparse import csr_array  # imported here: only models of runs need it

    source = np.ravel_multi_index(tuple(pixels), axes.shape[1:]).ravel()
    own = np.meshgrid(
        *(np.arange(edges.size) // POINTS for edges in (lon, lat)), times, indexing="ij"
    )
    target = np.ravel_multi_index(tuple(i.astype(int).ravel() for i in own[:2]), axes.shape[1:])
    number = axes.shape[1] * axes.shape[2]
    each = 1 / (POINTS**2 * times.size)
    return tuple(
        csr_array((weight * each, (target, source)), shape=(number, number))
        for weight in (np.ones(source.size), inside.ravel().astype(float))
    )


def _factors(cube, inside):
    """Factor of each energy that keeps the integral over what both fields cover."""
    axes = cube.axes
    area = axes.volume[0] / axes.volume[0].sum()
    covered = (inside.T @ area.ravel()).reshape(area.shape)
    # Pixels of ALTAZ that are in the field of RADEC at all angles: their whole area is covered.
    half = min(*np.abs(axes.fov_lon[[0, -1]]), *np.abs(axes.fov_lat[[0, -1]]))
    lon, lat = (
        np.maximum(np.abs(edges[1:]), np.abs(edges[:-1])) for edges in (axes.fov_lon, axes.fov_lat)
    )
    far = np.hypot(lon[:, None], lat)
    exact = np.where(far < half, area, covered)
    rate = np.nan_to_num(cube.rate)
    whole, found = ((rate * weight).sum(axis=(1, 2), keepdims=True) for weight in (exact, covered))
    return np.divide(whole, found, out=np.ones(found.shape), where=found > 0)


def _points(edges):
    """Points in each bin between edges, in equal steps."""
    part = (np.arange(POINTS) + 0.5) / POINTS
    return (edges[:-1, None] + np.diff(edges)[:, None] * part).ravel()


def _times(gti):
    """Times in equal steps of good time."""
    seconds = np.concatenate([[0.0], np.cumsum(np.diff(gti, axis=1))])
    wanted = (np.arange(TIMES) + 0.5) / TIMES * seconds[-1]
    number = np.searchsorted(seconds, wanted, side="right") - 1
    return gti[number, 0] + wanted - seconds[number]
