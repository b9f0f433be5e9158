"""Adapters of BAccMod (github.com/mdebony/BAccMod): its models of a GADF store, as cubes."""

import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.utils import iers

from simbg.cube import BackgroundCube
from simbg.io.region_files import to_sky_region
from simbg.sky.regions import Ellipse

__all__ = ["Grid3D", "Radial", "Zenith"]

RATE_UNIT = "s-1 MeV-1 sr-1"
EVEN = 1e-6  # how far from the lattice an edge may be, in pixels
N_POINTS = 8  # along each side of a pixel, over which a radial rate is averaged
# Masks follow the field's turn in steps of as many pixels, on a grid in time. By default that is
# 0.5 and 0.1 s, and it counts π times too many. Bins that masks touch differ by 0.2 % rms at two
# runs of the scenario `source`, and by 0.06 % of `near-zenith`, where it takes 10 times as long.
STEPS = {"max_fraction_pixel_rotation_fov": 5.0, "time_resolution": 10 * u.s}
# Departures from GADF; each line is shown by a test in tests/validation/methods/test_baccmod.py.
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
    **COMMON,
}
ZENITH = {
    **GRID,
    "sparse bins": "lines through two bins of zenith are cut at 0: too large where events are few",
    "masks": "what the runs of one bin of zenith never see is unknown in the models of all runs",
    "meridian": "with azimuth split, models of runs that cross it are labelled RADEC",
}
RADIAL = {
    "gradient": "it is radial: no gradient and nothing else that depends on direction is in it",
    "rings": "a ring is the sum of the pixels centred in it, off by up to 0.6 % of its area",
    "aeff": "it needs an effective area, which the counts do not depend on",
    "drift": "a run of OBS_MODE DRIFT is exposure without events",
    **COMMON,
}


@dataclass(frozen=True)
class _Adapter:
    """One of BAccMod's creators of models.

    Parameters
    ----------
    settings : mapping
        Options of the creator where its defaults are not wanted; {} for its defaults.
    clock : {"ontime", "livetime"}
        What a second of its rate is taken for. GADF says ontime.
    name : str
    """

    settings: Mapping = field(default_factory=lambda: STEPS)
    clock: str = "ontime"
    name: str = ""

    @property
    def known(self):
        """Departures from GADF: topic or metric, and why."""
        return (CLOCK if self.clock == "ontime" else {}) | self.departures

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
        offsets = self.offsets(axes)
        if axes.align != "ALTAZ":
            self._refuse(f"axes aligned with {axes.align}", "ALTAZ")
        store, regions = self._store(observations)
        ids = [int(o.obs_id) for o in observations]
        with _quiet(), iers.conf.set_temp("auto_download", False):
            try:
                import baccmod
                from gammapy import data, maps
            except ImportError as error:
                message = f"{self.name}: got {error}, expected BAccMod and gammapy"
                raise ImportError(message) from error
            creator = getattr(baccmod, f"{self.kind}AcceptanceMapCreator")(
                maps.MapAxis.from_energy_edges(axes.energy * u.TeV, name="energy"),
                maps.MapAxis.from_edges(offsets * u.deg, name="offset"),
                exclude_regions=list(map(to_sky_region, regions)),
                **self.settings,
            )
            opened = data.DataStore.from_dir(store)
            runs = opened.get_observations(ids, required_irf="all-optional")
            rate = self._rate(creator, runs, axes)
        exposure = {
            clock: np.full(axes.shape, sum(getattr(o, clock) for o in observations))
            for clock in ("livetime", "ontime")
        }
        meta = {"METHOD": self.name, "N_OBS": len(ids)}
        return BackgroundCube(axes, rate, **exposure, clock=self.clock, meta=meta)

    def _store(self, observations):
        """The one store of the observations, and their regions."""
        stores = {o.store and Path(o.store) for o in observations}
        if len(stores) != 1 or None in stores:
            got = ", ".join(sorted(map(str, stores))) or "no observations"
            self._refuse(f"stores {got}", "observations of one GADF store")
        first, *others = {o.excluded for o in observations}
        if others:
            self._refuse("runs with different regions", "the same for all")
        for region in first:
            if not isinstance(region, Ellipse) or region.inner_width:
                got = "an annulus" if isinstance(region, Ellipse) else type(region).__name__
                self._refuse(f"{got} to exclude", "circles and ellipses")
        return stores.pop(), first

    def _refuse(self, got, expected):
        raise ValueError(f"{self.name}: got {got}, expected {expected}")


@dataclass(frozen=True)
class Grid3D(_Adapter):
    """Its grid over energy, fov_lon and fov_lat: one model of all runs."""

    name: str = "baccmod-grid3d"

    kind, departures = "Grid3D", GRID

    def offsets(self, axes):
        """Offsets (deg) of the square grid, in even steps from 0, that holds the axes."""
        step = np.diff(axes.fov_lon)[0]
        edges = np.concatenate([axes.fov_lon, axes.fov_lat]) / step
        widths = np.concatenate([np.diff(axes.fov_lon), np.diff(axes.fov_lat)]) / step
        if np.abs(widths - 1).max() > EVEN or np.abs(edges - np.rint(edges)).max() > EVEN:
            got = f"fov_lon {axes.fov_lon} and fov_lat {axes.fov_lat}"
            self._refuse(got, "pixels all of one width, square, with an edge at 0 deg")
        return step * np.arange(np.rint(np.abs(edges).max()) + 1)

    def _rate(self, creator, runs, axes):
        return _crop(creator.create_acceptance_model(runs), axes)


@dataclass(frozen=True)
class Zenith(Grid3D):
    """Its grids in bins of cos(zenith), interpolated to each run; their mean over the ontime.

    The models of runs are not fitted to their events, as BAccMod does by default: where a model
    has empty bins the fit ends at 0.
    """

    name: str = "baccmod-zenith"

    departures = ZENITH

    def _rate(self, creator, runs, axes):
        models = creator.create_acceptance_map_per_observation(
            runs, zenith_interpolation=True, runwise_normalisation=False
        )
        rates = [_crop(models[run.obs_id], axes) for run in runs]
        ontimes = [run.observation_time_duration.to_value("s") for run in runs]
        return np.average(rates, axis=0, weights=ontimes)


@dataclass(frozen=True)
class Radial(_Adapter):
    """Its rings of offset: one model of all runs.

    Rings are as wide as the smaller side of a pixel and reach to the farthest corner. The rate
    of a pixel is the mean over its solid angle, of rings as gammapy's makers of maps evaluate
    them: the logarithm of the rate is linear between their middles, and all but 0 where one of
    two is empty.
    """

    name: str = "baccmod-radial"

    kind, departures = "Radial", RADIAL

    def offsets(self, axes):
        """Edges of the rings, deg."""
        width = min(np.diff(axes.fov_lon).min(), np.diff(axes.fov_lat).min())
        far = [np.radians(np.abs(edges).max()) for edges in (axes.fov_lon, axes.fov_lat)]
        corner = np.degrees(np.arccos(np.prod(np.cos(far))))
        return width * np.arange(np.ceil(corner / width - EVEN) + 1)

    def _rate(self, creator, runs, axes):
        return self.average(creator.create_acceptance_model(runs), axes)

    def average(self, model, axes):
        """A `gammapy.irf.Background2D` over axes; where it is not known it stays NaN."""
        from gammapy.irf import Background2D

        # As its makers of maps do: no extrapolation beyond the middles of the first and last ring.
        padded = model.pad(1, mode="edge", axis_name="offset")
        # It evaluates NaN as 0.
        how = Background2D.default_interp_kwargs | {"fill_value": np.nan}
        model = Background2D(axes=padded.axes, data=padded.quantity, interp_kwargs=how)
        part = (np.arange(N_POINTS) + 0.5) / N_POINTS
        lon, lat = (
            np.radians(edges[:-1, None] + np.diff(edges)[:, None] * part)
            for edges in (axes.fov_lon, axes.fov_lat)
        )
        # Axes: pixel and point in it, along fov_lon and along fov_lat.
        cosine = np.cos(lon)[:, :, None, None] * np.cos(lat)
        weight = np.broadcast_to(np.cos(lat), cosine.shape)
        energy = axes.energy_center.reshape(-1, 1, 1, 1, 1) * u.TeV
        rate = model.evaluate(energy=energy, offset=np.arccos(cosine) * u.rad).to_value(RATE_UNIT)
        return np.average(rate, axis=(2, 4), weights=np.broadcast_to(weight, rate.shape))


GRID3D_LIVETIME = Grid3D(clock="livetime", name="baccmod-grid3d-livetime")


def _crop(model, axes):
    """The rate of a `gammapy.irf.Background3D` over the axes that its grid holds."""
    cut = [slice(None)]
    for name, edges in (("fov_lon", axes.fov_lon), ("fov_lat", axes.fov_lat)):
        grid = model.axes[name].edges.to_value("deg")
        start = np.argmin(np.abs(grid - edges[0]))
        cut.append(slice(start, start + edges.size - 1))
    return model.quantity.to_value(RATE_UNIT)[tuple(cut)]


@contextmanager
def _quiet():
    """Their warnings are about their own imports and headers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
