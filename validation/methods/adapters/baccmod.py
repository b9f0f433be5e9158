"""BAccMod (github.com/mdebony/BAccMod) on our bench: what it makes of a GADF store, as a cube."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.utils import iers

from simbg.cube import BackgroundCube
from simbg.sky.regions import Ellipse

__all__ = ["GRID3D_LIVETIME", "Grid3D", "Radial", "Zenith"]

RATE_UNIT = "s-1 MeV-1 sr-1"
EVEN = 1e-6  # how far from the lattice an edge may be, in pixels
N_POINTS = 8  # along each side of a pixel, over which a radial rate is averaged
# Masks follow the field's turn in steps of as many pixels, on a grid in time. By default that is
# 0.5 and 0.1 s, and it counts π times too many. Bins that masks touch differ by 0.2 % rms at two
# runs of the scenario `source`, and by 0.06 % of `near-zenith`, where it takes 10 times as long.
STEPS = {"max_fraction_pixel_rotation_fov": 5.0, "time_resolution": 10 * u.s}
# Where they depart from GADF; each line is shown by a test in tests/test_baccmod.py.
CLOCK = {"norm": "its rate is per livetime, where GADF's is per observation time"}
COMMON = {
    "threshold": "energy thresholds are ignored: all runs are taken for exposed at all energies",
    "gti": "events outside of the GTIs count, and masks are placed by the first GTI alone",
    "regions": "only circles and ellipses can be excluded",
    "errors": "it gives no counts and no errors",
    "steps": "masks follow the field's turn in steps ten times as long as its default",
}
GRID = {
    "solid angle": "pixels are flat, too large by 1 / cos(fov_lat), which is 0.24 % at 4 deg",
    "edges": "events are counted between edges that are rounded to 0.001 deg",
}
ZENITH = {
    "sparse bins": "lines through two bins of zenith are cut at 0: too large where events are few",
    "masks": "what the runs of one bin of zenith never see is unknown in the models of all runs",
    "meridian": "with azimuth split, models of runs that cross it are labelled RADEC",
}
RADIAL = {
    "gradient": "it is radial: no gradient and nothing else that depends on direction is in it",
    "rings": "a ring is the sum of the pixels centred in it, off by up to 0.6 % of its area",
    "aeff": "it needs an effective area, which the counts do not depend on",
    "drift": "a run of OBS_MODE DRIFT is exposure without events",
}


class _Adapter:
    """What the three share."""

    def reconstruct(self, observations, axes):
        """Rate over ``axes``.

        Raises
        ------
        ImportError
            If BAccMod or gammapy is missing.
        ValueError
            If BAccMod cannot do this: observations without a store, of several stores or with
            different regions, regions other than circles and ellipses, or such axes.
        """
        offset = self._offset(axes)
        if axes.align != "ALTAZ":
            raise ValueError(f"{self.name}: got axes aligned with {axes.align}, expected ALTAZ")
        store, ids = _store(self.name, observations)
        regions = [_region(self.name, region) for region in observations[0].excluded]
        with _quiet(), iers.conf.set_temp("auto_download", False):
            data, maps = _load(self.name)
            opened = data.DataStore.from_dir(store).get_observations(
                ids, required_irf="all-optional"
            )
            energy = maps.MapAxis.from_energy_edges(axes.energy * u.TeV, name="energy")
            binning = energy, maps.MapAxis.from_edges(offset * u.deg, name="offset")
            rate = self._rate(opened, axes, binning, regions)
        exposure = {
            clock: np.full(axes.shape, sum(getattr(o, clock) for o in observations))
            for clock in ("livetime", "ontime")
        }
        meta = {"METHOD": self.name, "N_OBS": len(ids)}
        return BackgroundCube(axes, rate, **exposure, clock=self.clock, meta=meta)


@dataclass(frozen=True)
class Grid3D(_Adapter):
    """Its grid over energy, fov_lon and fov_lat: one model of all runs.

    Parameters
    ----------
    settings : mapping
        Options of BAccMod's creator where its defaults are not wanted; {} for its defaults.
    clock : {"ontime", "livetime"}
        What a second of its rate is taken for. GADF says ontime.
    name : str
    """

    settings: Mapping = field(default_factory=lambda: STEPS)
    clock: str = "ontime"
    name: str = "baccmod-grid3d"

    @property
    def known(self):
        """Where it departs from GADF: topic or metric, and why."""
        return (CLOCK if self.clock == "ontime" else {}) | GRID | COMMON

    def _offset(self, axes):
        return _lattice(self.name, axes)

    def _creator(self, binning, regions):
        from baccmod import Grid3DAcceptanceMapCreator

        return Grid3DAcceptanceMapCreator(*binning, exclude_regions=regions, **self.settings)

    def _rate(self, observations, axes, binning, regions):
        model = self._creator(binning, regions).create_acceptance_model(observations)
        return _crop(model, axes)


@dataclass(frozen=True)
class Zenith(Grid3D):
    """Its grids in bins of cos(zenith), interpolated to each run; their mean over the ontime.

    Parameters
    ----------
    settings, clock, name
        See `Grid3D`.
    normalize : bool
        Whether the model of each run is fitted to it. That is BAccMod's default, but where
        a model has empty bins the fit ends at 0.
    """

    name: str = "baccmod-zenith"
    normalize: bool = False

    @property
    def known(self):
        """Where it departs from GADF: topic or metric, and why."""
        return super().known | ZENITH

    def _rate(self, observations, axes, binning, regions):
        models = self._creator(binning, regions).create_acceptance_map_per_observation(
            observations, zenith_interpolation=True, runwise_normalisation=self.normalize
        )
        rates = [_crop(models[o.obs_id], axes) for o in observations]
        ontimes = [o.observation_time_duration.to_value("s") for o in observations]
        return np.average(rates, axis=0, weights=ontimes)


@dataclass(frozen=True)
class Radial(_Adapter):
    """Its rings of offset: one model of all runs.

    Rings are as wide as the smaller side of a pixel and reach to the farthest corner. The rate
    of a pixel is the mean over its solid angle.

    Parameters
    ----------
    settings, clock, name
        See `Grid3D`.
    interpolate : bool
        As gammapy's makers of maps evaluate the rings: the logarithm of the rate is linear
        between their middles, and all but 0 where one of two is empty. Otherwise rings are
        taken as they stand.
    """

    settings: Mapping = field(default_factory=lambda: STEPS)
    clock: str = "ontime"
    name: str = "baccmod-radial"
    interpolate: bool = True

    @property
    def known(self):
        """Where it departs from GADF: topic or metric, and why."""
        return (CLOCK if self.clock == "ontime" else {}) | RADIAL | COMMON

    def _offset(self, axes):
        width = min(np.diff(axes.fov_lon).min(), np.diff(axes.fov_lat).min())
        far = [np.radians(np.abs(edges).max()) for edges in (axes.fov_lon, axes.fov_lat)]
        corner = np.degrees(np.arccos(np.prod(np.cos(far))))
        return width * np.arange(np.ceil(corner / width - EVEN) + 1)

    def _rate(self, observations, axes, binning, regions):
        from baccmod import RadialAcceptanceMapCreator

        creator = RadialAcceptanceMapCreator(*binning, exclude_regions=regions, **self.settings)
        model = creator.create_acceptance_model(observations)
        return average_over_pixels(model, axes, "linear" if self.interpolate else "nearest")


GRID3D_LIVETIME = Grid3D(clock="livetime", name="baccmod-grid3d-livetime")


def average_over_pixels(model, axes, method="linear"):
    """A `gammapy.irf.Background2D` over axes; where it is not known it stays NaN."""
    from gammapy.irf import Background2D

    # As its makers of maps do: no extrapolation beyond the middles of the first and last ring.
    padded = model.pad(1, mode="edge", axis_name="offset")
    # It evaluates NaN as 0.
    how = Background2D.default_interp_kwargs | {"fill_value": np.nan}
    model = Background2D(axes=padded.axes, data=padded.quantity, interp_kwargs=how)
    lon, lat = (_points(edges) for edges in (axes.fov_lon, axes.fov_lat))
    cosine = np.cos(np.radians(lat))
    offset = np.degrees(np.arccos(np.cos(np.radians(lon))[:, None] * cosine)) * u.deg
    rate, shape = [], (axes.shape[1], N_POINTS, axes.shape[2], N_POINTS)
    weight = np.broadcast_to(cosine, offset.shape).reshape(shape)
    for energy in axes.energy_center * u.TeV:
        values = model.evaluate(method, energy=energy, offset=offset).to_value(RATE_UNIT)
        rate.append(np.average(values.reshape(shape), axis=(1, 3), weights=weight))
    return np.array(rate)


def _points(edges):
    """Middles of ``N_POINTS`` equal parts of each bin, in a row."""
    part = (np.arange(N_POINTS) + 0.5) / N_POINTS
    return (edges[:-1, None] + np.diff(edges)[:, None] * part).ravel()


def _lattice(name, axes):
    """Offsets of the square grid, in even steps from 0, that holds the axes."""
    step = np.diff(axes.fov_lon)[0]
    edges = np.concatenate([axes.fov_lon, axes.fov_lat]) / step
    widths = np.concatenate([np.diff(axes.fov_lon), np.diff(axes.fov_lat)]) / step
    if np.abs(widths - 1).max() > EVEN or np.abs(edges - np.rint(edges)).max() > EVEN:
        raise ValueError(
            f"{name}: got fov_lon {axes.fov_lon} and fov_lat {axes.fov_lat}, expected pixels all "
            "of one width, square, with an edge at 0 deg"
        )
    return step * np.arange(np.rint(np.abs(edges).max()) + 1)


def _crop(model, axes):
    """The rate of a `gammapy.irf.Background3D` over the axes that its grid holds."""
    cut = [slice(None)]
    for name, edges in (("fov_lon", axes.fov_lon), ("fov_lat", axes.fov_lat)):
        grid = model.axes[name].edges.to_value("deg")
        start = np.argmin(np.abs(grid - edges[0]))
        cut.append(slice(start, start + edges.size - 1))
    return model.quantity.to_value(RATE_UNIT)[tuple(cut)]


def _store(name, observations):
    """The one store of the observations, and their numbers."""
    stores = {o.store and Path(o.store) for o in observations}
    if len(stores) != 1 or None in stores:
        got = ", ".join(sorted(map(str, stores))) or "no observations"
        raise ValueError(f"{name}: got stores {got}, expected observations of one GADF store")
    if len({o.excluded for o in observations}) > 1:
        raise ValueError(f"{name}: got runs with different regions, expected the same for all")
    return stores.pop(), [int(o.obs_id) for o in observations]


def _region(name, region):
    """One of theirs for one of ours."""
    if not isinstance(region, Ellipse) or region.inner_width:
        got = "an annulus" if isinstance(region, Ellipse) else type(region).__name__
        raise ValueError(f"{name}: got {got} to exclude, expected circles and ellipses")
    from regions import CircleSkyRegion, EllipseSkyRegion

    center = SkyCoord(region.ra, region.dec, unit="deg", frame="icrs")
    width, height, angle = np.array([region.width, region.height, region.angle]) * u.deg
    if width == height:
        return CircleSkyRegion(center, width / 2)
    return EllipseSkyRegion(center, width, height, angle)


def _load(name):
    try:
        import baccmod  # noqa: F401
        from gammapy import data, maps
    except ImportError as error:
        raise ImportError(f"{name}: got {error}, expected BAccMod and gammapy") from error
    return data, maps


@contextmanager
def _quiet():
    """Their warnings are about their own imports and headers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
