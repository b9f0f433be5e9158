"""Expected counts of an empty field: the true ones, and those of a model."""

from dataclasses import dataclass, replace

import numpy as np

from simbg.cube import BackgroundCube
from simbg.validation.impact.fit import Fit

__all__ = ["Expectation"]

HOUR = 3600.0


@dataclass(frozen=True, eq=False)
class Expectation:
    """True and modelled rate in the same bins.

    Parameters
    ----------
    true, model : BackgroundCube
        Rates of the same clock. Bins where the true rate is NaN are not used.
    exposure : ndarray, shape of the axes, optional
        Exposure of each bin in relation to one hour; by default 1.

    Raises
    ------
    ValueError
        If the bins differ.
    """

    true: BackgroundCube
    model: BackgroundCube
    exposure: np.ndarray | None = None

    @classmethod
    def of(
        cls, true: BackgroundCube, model: BackgroundCube, exposure: np.ndarray | None = None
    ) -> "Expectation":
        """As the class, for rates of any clock: a cube without times has the other's dead time."""
        _check_bins(true, model)
        if true.clock != model.clock:
            pairs = (true, model), (model, true)
            true, model = (_timed(cube, other).per("livetime") for cube, other in pairs)
        return cls(true, model, exposure)

    def __post_init__(self) -> None:
        _check_bins(self.true, self.model)

    def bins(self, low: float, high: float) -> np.ndarray:
        """Numbers of the bins whose centre lies between two energies, TeV."""
        energy = self.true.axes.energy_center
        return np.flatnonzero((energy > low) & (energy < high))

    def between(self, low: float, high: float) -> "Expectation":
        """The bins whose centre lies between two energies.

        Parameters
        ----------
        low, high : float
            Energies, TeV.

        Raises
        ------
        ValueError
            If there is none.
        """
        inside = self.bins(low, high)
        if not inside.size:
            edges = self.true.axes.energy
            got = f"got bins from {edges[0]:.3g} to {edges[-1]:.3g} TeV"
            raise ValueError(f"{got}, expected one or more between {low:g} and {high:g} TeV")
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        exposure = None if self.exposure is None else self.exposure[bins]
        return Expectation(self.true[bins], self.model[bins], exposure)

    def fit(self, tilted: bool = False) -> Fit:
        """The fit with the counts of one hour.

        Parameters
        ----------
        tilted : bool
            Whether the index of the background is free as well as its norm.

        Raises
        ------
        ValueError
            If the truth or the model has no counts.
        """
        axes, exposure = self.true.axes, self.exposure
        rates = [np.nan_to_num(cube.rate) for cube in (self.true, self.model)]
        if exposure is None:
            # Neither has background there, as outside of a round field: it is not observed.
            exposure = np.where((rates[0] == 0) & (rates[1] == 0), 0.0, 1.0)
        # Bins without exposure are not part of the analysis, although a model may predict them.
        exposure = np.where(np.isfinite(self.true.rate), exposure, 0.0)
        true, model = (rate * HOUR * axes.volume * exposure for rate in rates)
        for name, counts in (("reference", true), ("model", model)):
            if not counts.sum() > 0:
                ends = f"{axes.energy[0]:.3g} to {axes.energy[-1]:.3g} TeV"
                raise ValueError(f"{name}: got no background from {ends}, expected some")
        return Fit(axes, true, model, tilted, exposure)


def _check_bins(true, model):
    if not true.axes.same_as(model.axes):
        got, expected = model.axes, true.axes
        raise ValueError(f"model: got {got}, expected the bins of the truth: {expected}")


def _timed(cube, other):
    """A cube; without times of its own, with those of another one."""
    if cube.livetime is None or cube.ontime is None:
        return replace(cube, livetime=other.livetime, ontime=other.ontime)
    return cube
