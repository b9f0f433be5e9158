"""Exclusion response: bias of the background by a source, against the radius of its mask."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from simbg.axes import edition2015_axes
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.sky.regions import circle

__all__ = ["ExclusionResponse"]

# Radii of the mask, deg; the point spread function has σ = 0.08 deg.
RADII = (0.0, 0.08, 0.12, 0.16, 0.2, 0.24, 0.3, 0.4)
CRAB = 3.8e-11  # cm-2 s-1 TeV-1 at 1 TeV
# Radius of a circle around the source, deg. The pixels that it crosses are the sector.
SECTOR = 0.4
N_OBS = 8


@dataclass(frozen=True)
class ExclusionResponse:
    """Relative bias of the rate by a source of one Crab; it is proportional to the flux.

    Parameters
    ----------
    radii : tuple of float
        Radii of the mask, deg; 0 is no mask.
    total, sector : tuple of float
        Relative bias in all bins, and in the pixels that the source crosses.
    psf : float
        σ of the point spread function, deg.
    fluxes : tuple of float
        Fluxes for which the bias is shown, in Crab.
    """

    radii: tuple[float, ...]
    total: tuple[float, ...]
    sector: tuple[float, ...]
    psf: float
    fluxes: tuple[float, ...] = (0.1, 1.0, 10.0)

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        seed: int,
        executor: Executor | None = None,
        radii: Sequence[float] = RADII,
    ) -> Self:
        """Calculate the biases from expected counts with and without the source.

        Parameters
        ----------
        scenario : Scenario
            With a target, where a point source of one Crab replaces all sources.
        seed : int
            Seed of its runs.
        executor : concurrent.futures.Executor, optional
            Calculates radii in parallel.
        radii : sequence of float
            Radii of the mask, deg.

        Returns
        -------
        response : ExclusionResponse
            Without noise.
        """
        source = replace(scenario.sources[0], flux=CRAB, extension=0.0)
        shining = Experiment.of(replace(scenario, sources=(source,)), seed, N_OBS)
        axes = edition2015_axes(N_OBS)
        seen = _masked(shining, SECTOR).background(axes).livetime
        sector = seen < seen.max(axis=(1, 2), keepdims=True)
        job = partial(_biases, shining, axes, sector)
        biases = list((executor.map if executor else map)(job, radii))
        total, sector_bias = zip(*biases, strict=True)
        return cls(tuple(radii), total, sector_bias, source.psf)

    def adequate(self, flux: float = 1.0, limit: float = 0.002) -> float:
        """Smallest radius at which both biases are below a limit.

        Parameters
        ----------
        flux : float
            Flux of the source, Crab.
        limit : float
            Largest relative bias.

        Returns
        -------
        radius : float
            deg; NaN if no radius is large enough.
        """
        good = np.maximum(self.total, self.sector) * flux < limit
        return min(np.array(self.radii)[good].tolist(), default=np.nan)


def _masked(experiment, radius):
    """The experiment with one mask around its target, deg; 0 is no mask."""
    ra, dec = experiment.scenario.target
    regions = (circle(ra, dec, radius),) if radius else ()
    return replace(experiment, scenario=replace(experiment.scenario, regions=regions))


def _biases(shining, axes, sector, radius):
    """Relative bias of the rate in total and in the sector, weighted with the true counts."""
    shining = _masked(shining, radius)
    with_source, without = shining.expected(axes).counts, shining.background(axes).counts
    excess = with_source - without
    return tuple(float(excess[part].sum() / without[part].sum()) for part in (..., sector))
