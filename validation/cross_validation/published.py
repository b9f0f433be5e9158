"""The models that a data store itself carries as BKG HDUs, on the axes of a comparison."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.cubes import read_model
from simbg.observations.observation import Observation
from simbg.sky.pointing import Tracking

__all__ = ["PUBLISHED", "PublishedModels"]

# The name of these models among methods.
PUBLISHED = "published"
# Points in a bin along energy and along each axis of the field, and times in a run.
ENERGIES, POINTS, TIMES = 4, 2, 5
# Rates of 0 have no logarithm; they are replaced by this part of the largest one of an energy.
FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class PublishedModels:
    """Models of runs from the BKG HDUs of a store.

    Parameters
    ----------
    store : GadfStore
        The store.
    axes : Axes
        Axes of the cubes, aligned with ALTAZ.

    Notes
    -----
    A model over the same axes is used as it is. Of others, ln rate is interpolated between the bins
    of the file, linear in the two angles and, if the energies differ, in ln E, and averaged over
    each bin. The rate of a model aligned with RADEC is averaged over the track of the run. Where
    gammapy ignores the alignment of the file, its alignment is used here, too.
    """

    store: Any
    axes: Axes

    def at(self, observation: Observation) -> BackgroundCube:
        """The cube of an observation, per livetime; NaN outside of the axes of the file.

        Parameters
        ----------
        observation : Observation
            A run of the store.

        Raises
        ------
        ValueError
            If the store has no model of the run.
        """
        number = observation.obs_id
        place = self.store.hdu_index.place(number, "bkg")
        if place is None:
            raise ValueError(
                f"{self.store.path}: got no background model of run {number} (HDU_TYPE bkg), "
                f"expected one for each run; leave out the method {PUBLISHED}"
            )
        model, run = read_model(place[0]), observation.read()
        if model.axes.same_as(self.axes):
            return BackgroundCube(self.axes, model.rate * run.ontime / run.livetime)
        rate = self._rates(model, run)
        if not np.isfinite(rate).any():
            raise ValueError(
                f"{place[0]}: got a background over {model.axes!r}, expected one that "
                f"contains bins of {self.axes!r} (--energy, --fov)"
            )
        return BackgroundCube(self.axes, rate * run.ontime / run.livetime)

    def _rates(self, model, run):
        """Mean rate of each bin, per ontime."""
        lon, lat = self._directions(model, run)
        given = model.axes
        floor = FLOOR * np.nanmax(model.rate, axis=(1, 2), keepdims=True, initial=1e-300)
        values = np.log(np.maximum(np.nan_to_num(model.rate), floor))
        grid = np.log(given.energy_center), given.fov_lon_center, given.fov_lat_center
        number = 1 if np.array_equal(given.energy, self.axes.energy) else ENERGIES
        wanted = grid[0] if number == 1 else _inner(np.log(self.axes.energy), number)
        inside = (lon >= given.fov_lon[0]) & (lon <= given.fov_lon[-1])
        inside &= (lat >= given.fov_lat[0]) & (lat <= given.fov_lat[-1])
        place = [np.clip(v, g[0], g[-1]) for v, g in zip((lon, lat), grid[1:], strict=True)]
        found = np.empty((wanted.size, *self.axes.shape[1:]))
        # Beyond the outermost centres, lines are extended.
        interpolate = RegularGridInterpolator(grid, values, bounds_error=False, fill_value=None)
        for image, energy in zip(found, wanted, strict=True):
            points = np.stack([np.full(lon.shape, energy), *place], axis=-1)
            rates = np.exp(interpolate(points))
            image[:] = np.where(inside, rates, np.nan).mean(axis=(1, 3, 4))
        known = (np.exp(wanted) >= given.energy[0]) & (np.exp(wanted) <= given.energy[-1])
        weight = np.exp(wanted).reshape(-1, number, 1, 1)  # dE = E d ln E
        found[~known] = np.nan
        found = found.reshape(-1, number, *self.axes.shape[1:])
        return np.sum(found * weight, axis=1) / weight.sum(axis=1)

    def _directions(self, model, run):
        """Points of pixels in the field of the file, (n_lon, POINTS, n_lat, POINTS, n_times)."""
        lon, lat = (_inner(edges, POINTS) for edges in (self.axes.fov_lon, self.axes.fov_lat))
        lon, lat = (x[..., None] for x in np.meshgrid(lon, lat, indexing="ij"))
        events = run.load()
        reversed_lon = self.store.has_reversed_background(run.obs_id)
        if (model.axes.align == "RADEC" or reversed_lon) and isinstance(events.pointing, Tracking):
            times = np.linspace(events.gti.min(), events.gti.max(), 2 * TIMES + 1)[1::2]
            lon, lat = _to_radec(events.pointing, lon, lat, times)
            if reversed_lon:
                lon = -lon
        shape = (self.axes.shape[1], POINTS, self.axes.shape[2], POINTS, -1)
        return lon.reshape(shape), lat.reshape(shape)


def _to_radec(pointing, lon, lat, times):
    """Points of the ALTAZ-aligned field in the field that is aligned with RADEC, at some times.

    fov_lon increases with decreasing right ascension.
    """
    shape = (*lon.shape[:2], times.size)
    lon, lat, at = (np.broadcast_to(x, shape).ravel() for x in (lon, lat, times))
    ra, dec = (np.radians(x) for x in pointing.fov_to_sky(lon, lat, at))
    ra0, dec0 = np.radians(pointing.ra), np.radians(pointing.dec)
    # Longitude and latitude in the frame whose equator passes through the pointing.
    x = np.cos(dec) * np.cos(ra - ra0) * np.cos(dec0) + np.sin(dec) * np.sin(dec0)
    y = np.cos(dec) * np.sin(ra - ra0)
    z = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.cos(ra - ra0) * np.sin(dec0)
    found = -np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(np.clip(z, -1, 1)))
    return tuple(v.reshape(shape) for v in found)


def _inner(edges, number):
    """Points in each bin, in equal steps."""
    part = (np.arange(number) + 0.5) / number
    return (edges[:-1, None] + np.diff(edges)[:, None] * part).ravel()
