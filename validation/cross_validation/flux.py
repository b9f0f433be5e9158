"""What models of real runs do to the flux of a source: fitted to the sum of the held-out runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.models.run_norm import run_counts
from simbg.observations.observation import Observation
from simbg.validation.impact.fit import Fit
from simbg.validation.impact.flux import RADII
from simbg.validation.impact.impact import ENERGY, places
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

__all__ = ["HeldOutFlux", "flux_of_held_out", "part_of_run"]

HOUR = 3600.0


@dataclass(frozen=True)
class HeldOutFlux:
    """Fitted fluxes of a source that is not there, in the sum of the held-out runs.

    Parameters
    ----------
    source : TestSource
        The source.
    fluxes, errors : tuple of float
        At each place, Crab, with the statistical errors of the runs.
    hours : float
        Largest livetime of a bin, h.
    origin : str
        The instrument, in words.
    """

    source: TestSource
    fluxes: tuple[float, ...]
    errors: tuple[float, ...]
    hours: float
    origin: str

    @property
    def rms(self) -> float:
        """Rms over places of the fluxes, Crab: the error of the model and the noise of the runs."""
        return float(np.sqrt(np.mean(np.square(self.fluxes))))

    @property
    def noise(self) -> float:
        """Rms over places that a perfect model has, Crab."""
        return float(np.sqrt(np.mean(np.square(self.errors))))

    @property
    def in_one_hour(self) -> float:
        """Rms of the statistical errors for a livetime of one hour, Crab."""
        return self.noise * self.hours**0.5

    @property
    def text(self) -> str:
        """The result in words."""
        worst = int(np.argmax(np.abs(self.fluxes)))
        return (
            f"flux of a source ({self.source.name}) wrong by {self.rms:.1%} of the Crab rms over "
            f"places, of which {self.noise:.1%} are statistical ({self.hours:.0f} h); largest "
            f"{self.fluxes[worst]:+.1%} ± {self.errors[worst]:.1%}; statistical error in 1 h "
            f"{self.in_one_hour:.1%}"
        )


def part_of_run(cube: BackgroundCube, observation: Observation, norm: float) -> np.ndarray:
    """What a held-out run adds to the sum of all runs.

    Parameters
    ----------
    cube : BackgroundCube
        The model of the run, per livetime.
    observation : Observation
        The run.
    norm : float
        Norm of the run.

    Returns
    -------
    ndarray, shape (3, n_energy, n_lon, n_lat)
        Observed counts, predicted counts, and livetime (s) of each bin.
    """
    counts, predicted, _ = run_counts(cube, observation)
    rate = np.nan_to_num(cube.event_rate)
    seconds = np.divide(predicted, rate, out=np.zeros(rate.shape), where=rate > 0)
    return np.stack([counts, norm * predicted, seconds])


def flux_of_held_out(
    axes: Axes,
    total: Sequence[np.ndarray],
    instrument: Instrument,
    energy: tuple[float, float] = ENERGY,
) -> HeldOutFlux | None:
    """Fit a disc of 0.5 deg at 16 places within 1 deg.

    Parameters
    ----------
    axes : Axes
        The bins.
    total : sequence of ndarray
        The sum of the results of `part_of_run`.
    instrument : Instrument
        Effective area and point spread function.
    energy : tuple of float
        Energy range, TeV.

    Returns
    -------
    flux : HeldOutFlux or None
        None if no bin is in the energy range, or no place has counts.
    """
    inside = np.flatnonzero((axes.energy_center > energy[0]) & (axes.energy_center < energy[1]))
    if not inside.size:
        return None
    bins = slice(inside[0], inside[-1] + 1)
    counts, predicted, seconds = (values[bins] for values in total)
    part = Axes(axes.energy[inside[0] : inside[-1] + 2], axes.fov_lon, axes.fov_lat, axes.align)
    fit, source = Fit(part, counts, predicted, exposure=seconds / HOUR), TestSource(0.5)
    found = [
        fit.of_observed(Template.of(source, part, lon, lat, instrument))
        for lon, lat in places(part, RADII)
    ]
    good = [one for one in found if np.isfinite(one.bias)]
    if not good:
        return None
    fluxes, errors = ([getattr(one, name) for one in good] for name in ("bias", "noise"))
    hours = float(seconds.max() / HOUR)
    return HeldOutFlux(source, tuple(fluxes), tuple(errors), hours, instrument.origin)
