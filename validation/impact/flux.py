"""The flux error of one source, from several models of independent events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simbg.cube import BackgroundCube
from simbg.validation.impact.expectation import Expectation
from simbg.validation.impact.impact import ENERGY, HOURS, places
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

__all__ = ["RADII", "WITHIN", "FluxErrors", "FluxRequirement", "measure_flux"]

# Largest offset of the places, deg, and radii of the circles that they lie on.
WITHIN, RADII = 1.0, (0.5, 1.0)
FORM = re.compile(r"flux:([^%]+)%(?:@([^,]+),(.+))?")


@dataclass(frozen=True)
class FluxRequirement:
    """A requirement on the flux error.

    Parameters
    ----------
    flux : float
        Largest rms error of the flux at any place within 1 deg, Crab.
    hours : float
        Livetime for which the statistical error is stated, h.
    size : float
        Radius of the source, deg.

    Examples
    --------
    >>> FluxRequirement.parse("flux:2%@20,0.25")
    FluxRequirement(flux=0.02, hours=20.0, size=0.25)
    """

    flux: float | None = None
    hours: float = HOURS
    size: float = 0.5

    @classmethod
    def parse(cls, text: str) -> "FluxRequirement":
        """Read ``flux:PERCENT%`` or ``flux:PERCENT%@HOURS,SIZE``.

        Parameters
        ----------
        text : str
            The requirement, with hours and the radius in deg.

        Raises
        ------
        ValueError
            If it has another form, or a number is not positive.
        """
        match = FORM.fullmatch(text)
        try:
            numbers = [float(part) for part in match.groups() if part] if match else [0.0]
        except ValueError:
            numbers = [0.0]
        good = all(0 < number < np.inf for number in numbers) and numbers[0] <= 100
        if not (good and numbers[2:] < [10.0]):
            expected = "flux:PERCENT% or flux:PERCENT%@HOURS,SIZE, for example flux:1%@50,0.5"
            raise ValueError(f"got {text!r}, expected {expected} with positive numbers")
        return cls(numbers[0] / 100, *numbers[1:])


@dataclass(frozen=True, eq=False)
class FluxErrors:
    """Fitted fluxes of a source that is not there, with models of independent events.

    Parameters
    ----------
    source : TestSource
        The source.
    fluxes : ndarray, shape (n_models, n_places)
        Fitted fluxes, Crab.
    errors : ndarray, shape (n_places,)
        Statistical errors for one hour with the true background, Crab.

    Notes
    -----
    The flux error of a model at a place has a bias, which all models share, and a scatter by the
    events of the model. Both are in the rms over models. The largest of all places is the answer;
    it is larger than that of a typical place by chance as well, by about 30 % for 16 places.
    """

    source: TestSource
    fluxes: np.ndarray
    errors: np.ndarray

    @cached_property
    def worst(self) -> int:
        """Number of the place with the largest rms error."""
        return int(np.nanargmax(np.mean(self.fluxes**2, axis=0)))

    @property
    def value(self) -> float:
        """The rms error over models at the worst place, Crab."""
        return float(np.sqrt(np.mean(self.fluxes[:, self.worst] ** 2)))

    @property
    def error(self) -> float:
        """Its standard error; NaN for one model."""
        squares = self.fluxes[:, self.worst] ** 2
        if len(squares) < 2 or not self.value > 0:
            return float("nan")
        return float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * self.value))

    @property
    def bias(self) -> float:
        """Mean over models at the worst place, Crab: the part that more events do not reduce."""
        return float(np.mean(self.fluxes[:, self.worst]))

    def statistical(self, hours: float) -> float:
        """Statistical error at the worst place, Crab.

        Parameters
        ----------
        hours : float
            Livetime, h.
        """
        return float(self.errors[self.worst] / np.sqrt(hours))

    @property
    def hours(self) -> float:
        """Livetime after which the error of the flux is as large as the statistical error, h."""
        return float((self.errors[self.worst] / self.value) ** 2) if self.value else np.inf

    def pvalues(self, limit: float) -> tuple[float, float]:
        """Probabilities of so large, and of so small errors, if the rms error is a limit.

        Parameters
        ----------
        limit : float
            Largest rms error, Crab.

        Returns
        -------
        larger, smaller : float
            Corrected for the number of places. The sum of the squares over R models is compared
            with a χ² distribution of R degrees of freedom, which is exact for noise; a bias has
            less scatter, so that both probabilities are too large for it.
        """
        from scipy import stats  # imported here, since it is as slow to load as astropy

        number, n_places = self.fluxes.shape
        square = number * (self.value / limit) ** 2
        larger = min(1.0, n_places * float(stats.chi2.sf(square, number)))
        return larger, float(stats.chi2.cdf(square, number))

    def text(self, hours: float = HOURS) -> str:
        """The errors in words.

        Parameters
        ----------
        hours : float
            Livetime, h.
        """
        words = f"flux of a source ({self.source.name}) wrong by {self.value:.2%} of the Crab rms"
        words += f" at the worst place within {WITHIN:g} deg"
        limit = f"{self.hours:.2g} h" if self.hours < 1e4 else "more than 10,000 h"
        return (
            f"{words}; statistical error {self.statistical(hours):.2%} in {hours:g} h,"
            f" equal after {limit}"
        )


def measure_flux(
    true: BackgroundCube,
    cubes: Sequence[BackgroundCube],
    source: TestSource | None = None,
    instrument: Instrument | None = None,
    energy: tuple[float, float] = ENERGY,
) -> FluxErrors:
    """The flux errors of one source with each of several models.

    Parameters
    ----------
    true : BackgroundCube
        The true cube.
    cubes : sequence of BackgroundCube
        Models of independent events, with the same bins.
    source : TestSource, optional
        By default a disc of 0.5 deg.
    instrument : Instrument, optional
        By default that of the simulation.
    energy : tuple of float
        Energy range, TeV.

    Returns
    -------
    errors : FluxErrors
        At eight places on each of two circles.

    Raises
    ------
    ValueError
        If no place of the field has background in all models and in the truth.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from simbg.axes import Axes
    >>> from simbg.truth.gaussian import GaussianTruth
    >>> axes = Axes.regular(energy=(0.5, 10, 4), fov=(2.5, 20))
    >>> true = GaussianTruth().cube(axes, livetime=3600)
    >>> slope = 1 + 0.05 * axes.fov_lon_center[:, None]
    >>> errors = measure_flux(true, [replace(true, rate=true.rate * slope)])
    >>> errors.fluxes.shape, bool(errors.value > 0)
    ((1, 16), True)
    """
    source = source or TestSource(0.5)
    instrument = instrument or Instrument.simulated()
    pairs = [Expectation.of(true, cube).between(*energy) for cube in cubes]
    fits = [pair.fit() for pair in pairs]
    axes = fits[0].axes
    templates = [Template.of(source, axes, x, y, instrument) for x, y in places(axes, RADII)]
    found = [[fit.of(template) for template in templates] for fit in fits]
    fluxes = np.array([[flux.bias for flux in row] for row in found])
    if not np.isfinite(fluxes).all(axis=0).any():
        got = f"got no background {' or '.join(f'{r:g}' for r in RADII)} deg from the centre"
        raise ValueError(f"flux of a source: {got}, expected some in each model")
    right = Expectation.of(true, true).between(*energy).fit()
    return FluxErrors(source, fluxes, np.array([right.of(one).error for one in templates]))
