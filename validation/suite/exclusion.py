"""Exclusion response: what a source leaves in the background, by its mask and its flux."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from simbg.axes import edition2015_axes
from simbg.simulation.experiment import Experiment
from simbg.sky.regions import circle

__all__ = ["ExclusionResponse"]

# deg; the point spread function is 0.08 wide.
RADII = (0.0, 0.08, 0.12, 0.16, 0.2, 0.24, 0.3, 0.4)
CRAB = 3.8e-11  # cm-2 s-1 TeV-1 at 1 TeV
# The sector: pixels that this circle round the source passes through, deg.
SECTOR = 0.4
N_OBS = 8


@dataclass(frozen=True)
class ExclusionResponse:
    """Relative bias of the rate for a source of one Crab; it goes with the flux.

    Parameters
    ----------
    radii : tuple of float
        deg, of the mask; 0 is none.
    total, sector : tuple of float
        Of all events, and of those in pixels that the source passes through.
    psf : float
        deg
    fluxes : tuple of float
        Crab nebulae, for which biases are shown.
    """

    radii: tuple
    total: tuple
    sector: tuple
    psf: float
    fluxes: tuple = (0.1, 1.0, 10.0)

    @classmethod
    def of(cls, scenario, seed, executor=None, radii=RADII):
        """Biases by exact expectations, without noise: with the source less without it.

        Parameters
        ----------
        scenario : Scenario
            With a target: a point source of one Crab is put there, and nothing else.
        seed : int
            Of its runs.
        executor : concurrent.futures.Executor, optional
        radii : sequence of float

        Returns
        -------
        response : ExclusionResponse
        """
        source = replace(scenario.sources[0], flux=CRAB, extension=0.0)
        shining = Experiment.of(replace(scenario, sources=(source,)), seed, N_OBS)
        axes = edition2015_axes(N_OBS)
        seen = _masked(shining, SECTOR).background(axes).livetime
        sector = seen < seen.max(axis=(1, 2), keepdims=True)
        job = partial(_biases, shining, axes, sector)
        biases = list((executor.map if executor else map)(job, radii))
        return cls(tuple(radii), *map(tuple, zip(*biases, strict=True)), source.psf)

    def adequate(self, flux=1.0, limit=0.002):
        """Smallest radius at which both biases are below ``limit``; NaN if there is none."""
        good = np.maximum(self.total, self.sector) * flux < limit
        return min(np.array(self.radii)[good].tolist(), default=np.nan)


def _masked(experiment, radius):
    """The experiment with one mask round its target, deg; 0 is none."""
    regions = (circle(*experiment.scenario.target, radius),) if radius else ()
    return replace(experiment, scenario=replace(experiment.scenario, regions=regions))


def _biases(shining, axes, sector, radius):
    """Bias in total and in the sector, of the rates, weighted with the true counts."""
    shining = _masked(shining, radius)
    with_source, without = shining.expected(axes).counts, shining.background(axes).counts
    excess = with_source - without
    return tuple(float(excess[part].sum() / without[part].sum()) for part in (..., sector))
