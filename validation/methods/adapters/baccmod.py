"""Adapters of BAccMod (github.com/mdebony/BAccMod), whose models of a GADF store become cubes."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy import units as u
from astropy.utils import iers

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.region_files import to_sky_region
from simbg.observations.observation import Observation
from simbg.sky.regions import Ellipse

__all__ = ["Grid3D", "Radial", "Zenith"]

RATE_UNIT = "s-1 MeV-1 sr-1"
EVEN = 1e-6  # largest distance of an edge from a regular grid, in pixels
N_POINTS = 8  # along each side of a pixel, over which a radial rate is averaged
# Masks follow the rotation of the field in steps of this many pixels, on a grid in time. BAccMod's
# defaults are 0.5 pixels and 0.1 s, and it makes π times too many steps. In bins with masks the
# results differ by 0.2 % rms for two runs of the scenario `source`, and by 0.06 % for
# `near-zenith`, where the defaults take 10 times as long.
STEPS = {"max_fraction_pixel_rotation_fov": 5.0, "time_resolution": 10 * u.s}


@dataclass(frozen=True)
class _Adapter(ABC):
    """A class of BAccMod that creates models.

    Parameters
    ----------
    settings : mapping
        Options of the class that differ from its defaults; {} for the defaults.
    clock : {"ontime", "livetime"}
        The time to which the rate is taken to refer. GADF says ontime.
    name : str
        Name of the method.
    """

    settings: Mapping[str, Any] = field(default_factory=lambda: STEPS)
    clock: str = "ontime"
    name: str = ""

    kind: ClassVar[str]

    def reconstruct(self, observations: Sequence[Observation], axes: Axes) -> BackgroundCube:
        """Rate over ``axes``.

        Parameters
        ----------
        observations : sequence of Observation
            Runs of one GADF store.
        axes : Axes
            Aligned with ALTAZ.

        Returns
        -------
        cube : BackgroundCube
            Without counts and errors.

        Raises
        ------
        ImportError
            If BAccMod or gammapy is missing.
        ValueError
            If BAccMod cannot do this: observations without a store, of several stores or with
            different regions, regions other than circles and ellipses, or unsuitable axes.
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
        exposure: dict[str, Any] = {
            clock: np.full(axes.shape, sum(getattr(o, clock) for o in observations))
            for clock in ("livetime", "ontime")
        }
        meta = {"METHOD": self.name, "N_OBS": len(ids)}
        return BackgroundCube(axes, rate, **exposure, clock=self.clock, meta=meta)

    @abstractmethod
    def offsets(self, axes: Axes) -> np.ndarray:
        """Edges of the bins of offset, deg."""

    @abstractmethod
    def _rate(self, creator, runs, axes):
        """The rate, over all bins."""

    def _store(self, observations):
        """The one store of the observations, and their excluded regions."""
        stores = {o.store and Path(o.store) for o in observations}
        if len(stores) != 1 or None in stores:
            got = ", ".join(sorted(map(str, stores))) or "no observations"
            self._refuse(f"stores {got}", "observations of one GADF store")
        first, *others = {o.excluded for o in observations}
        if others:
            self._refuse("runs with different excluded regions", "the same for all runs")
        for region in first:
            if not isinstance(region, Ellipse) or region.inner_width:
                got = "an annulus" if isinstance(region, Ellipse) else type(region).__name__
                self._refuse(f"{got} as an excluded region", "circles and ellipses")
        return stores.pop(), first

    def _refuse(self, got, expected):
        raise ValueError(f"{self.name}: got {got}, expected {expected}")


@dataclass(frozen=True)
class Grid3D(_Adapter):
    """BAccMod's grid of energy, fov_lon and fov_lat: one model of all runs.

    Parameters
    ----------
    settings, clock, name
        See BAccMod and `simbg.cube.BackgroundCube`.
    """

    name: str = "baccmod-grid3d"

    kind = "Grid3D"

    def offsets(self, axes: Axes) -> np.ndarray:
        """Edges of the offsets of the smallest square grid that holds the axes, deg, from 0 on."""
        step = np.diff(axes.fov_lon)[0]
        edges = np.concatenate([axes.fov_lon, axes.fov_lat]) / step
        widths = np.concatenate([np.diff(axes.fov_lon), np.diff(axes.fov_lat)]) / step
        if np.abs(widths - 1).max() > EVEN or np.abs(edges - np.rint(edges)).max() > EVEN:
            got = f"fov_lon {axes.fov_lon} and fov_lat {axes.fov_lat}"
            self._refuse(got, "square pixels of one width with an edge at 0 deg")
        return step * np.arange(np.rint(np.abs(edges).max()) + 1)

    def _rate(self, creator, runs, axes):
        return _crop(creator.create_acceptance_model(runs), axes)


@dataclass(frozen=True)
class Zenith(Grid3D):
    """BAccMod's grids in bins of cos(zenith), interpolated for each run, averaged over the ontime.

    The models of runs are not normalised to their events, as BAccMod does by default: the fit of
    the norm ends at 0 where a model has empty bins.

    Parameters
    ----------
    settings, clock, name
        See `Grid3D`.
    """

    name: str = "baccmod-zenith"

    def _rate(self, creator, runs, axes):
        models = creator.create_acceptance_map_per_observation(
            runs, zenith_interpolation=True, runwise_normalisation=False
        )
        rates = [_crop(models[run.obs_id], axes) for run in runs]
        ontimes = [run.observation_time_duration.to_value("s") for run in runs]
        return np.average(rates, axis=0, weights=ontimes)


@dataclass(frozen=True)
class Radial(_Adapter):
    """BAccMod's rings of offset: one model of all runs.

    Rings are as wide as the smaller side of a pixel and reach to the farthest corner. The rate of
    a pixel is the mean over its solid angle of the rate of the rings, interpolated as in the map
    makers of gammapy: the logarithm of the rate is linear between the middles of the rings.

    Parameters
    ----------
    settings, clock, name
        See `Grid3D`.
    """

    name: str = "baccmod-radial"

    kind = "Radial"

    def offsets(self, axes: Axes) -> np.ndarray:
        """Edges of the rings, deg."""
        width = min(np.diff(axes.fov_lon).min(), np.diff(axes.fov_lat).min())
        far = [np.radians(np.abs(edges).max()) for edges in (axes.fov_lon, axes.fov_lat)]
        corner = np.degrees(np.arccos(np.prod(np.cos(far))))
        return width * np.arange(np.ceil(corner / width - EVEN) + 1)

    def _rate(self, creator, runs, axes):
        return self.average(creator.create_acceptance_model(runs), axes)

    def average(self, model: Any, axes: Axes) -> np.ndarray:
        """Mean rate of a radial model in each bin.

        Parameters
        ----------
        model : gammapy.irf.Background2D
            The rate against energy and offset.
        axes : Axes
            Bins of the mean.

        Returns
        -------
        rate : ndarray, shape of the axes
            s-1 MeV-1 sr-1; NaN where the model is not known.
        """
        from gammapy.irf import Background2D

        # As in its map makers: no extrapolation beyond the middles of the first and last ring.
        padded = model.pad(1, mode="edge", axis_name="offset")
        # By default gammapy replaces NaN by 0.
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
    """The part of the rate of a `gammapy.irf.Background3D` that the axes cover."""
    cut = [slice(None)]
    for name, edges in (("fov_lon", axes.fov_lon), ("fov_lat", axes.fov_lat)):
        grid = model.axes[name].edges.to_value("deg")
        start = np.argmin(np.abs(grid - edges[0]))
        cut.append(slice(start, start + edges.size - 1))
    return model.quantity.to_value(RATE_UNIT)[tuple(cut)]


@contextmanager
def _quiet():
    """Context without the warnings of BAccMod and gammapy about their own imports and headers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
