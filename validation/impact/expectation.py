"""Expected counts of an empty field: the true ones, and those of a model."""

from dataclasses import dataclass

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
        """As the class, for rates of any clock."""
        if true.clock != model.clock:
            true, model = true.per("livetime"), model.per("livetime")
        return cls(true, model, exposure)

    def __post_init__(self) -> None:
        if not self.true.axes.same_as(self.model.axes):
            got, expected = self.model.axes, self.true.axes
            raise ValueError(f"model: got {got}, expected the bins of the truth: {expected}")

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
        """
        axes = self.true.axes
        time = HOUR * axes.volume * (1.0 if self.exposure is None else self.exposure)
        # Bins without exposure are not part of the analysis, although a model may predict them.
        time = np.where(np.isfinite(self.true.rate), time, 0.0)
        true, model = (np.nan_to_num(cube.rate) * time for cube in (self.true, self.model))
        return Fit(axes, true, model, tilted, self.exposure)
