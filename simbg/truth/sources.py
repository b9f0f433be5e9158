"""Gamma-ray sources in a simulation: how many events, at which energies, and where on the sky."""

from dataclasses import MISSING, dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import offset_by
from scipy.special import boxcox, inv_boxcox

from simbg.errors import bounded, check_fields
from simbg.io.gadf_writer import GadfWriter

__all__ = ["GammaSource"]

# Rings, as far out (in σ) as a millionth of a millionth of the events, and angles of the points
# that stand for a source.
N_RADII, N_ANGLES, REACH = 180, 32, 7.4


@dataclass(frozen=True)
class GammaSource:
    """A gamma-ray source: a power law, and a gaussian on the sky.

    Parameters
    ----------
    name : str
    ra, dec : float
        deg, ICRS.
    flux : float
        cm-2 s-1 TeV-1 at 1 TeV; the Crab nebula has 3.8e-11.
    index : float
        Differential index; the Crab's is 2.5.
    extension, psf : float
        Widths (one σ along each direction) of the source and of the point spread
        function, deg; they add in quadrature.
    energy_range : tuple of float
        TeV. No events outside.

    Examples
    --------
    >>> crab = GammaSource("Crab", 83.633, 22.014)
    >>> float(crab.event_rate(1.0, 10.0).round(4))  # Hz
    0.0049
    """

    name: str
    ra: float = bounded(MISSING, 0, 360)
    dec: float = bounded(MISSING, -90, 90)
    flux: float = bounded(3.8e-11, 0, 1)
    index: float = bounded(2.5, -100, 100)
    extension: float = bounded(0.0, 0, 10)
    psf: float = bounded(0.08, 0, 10)
    energy_range: tuple[float, float] = bounded((0.1, 100.0), 1e-9, 1e9)

    def __post_init__(self):
        check_fields(
            self,
            f"source {self.name}: ",
            energy_range=(np.diff(self.energy_range) > 0, "two increasing TeV"),
            psf=(0 < self.width < 10, "deg above 0, with the extension"),
        )

    @property
    def width(self):
        """σ of the events along each direction, deg."""
        return float(np.hypot(self.extension, self.psf))

    def event_rate(self, low=0.0, high=np.inf):
        """Events per second of livetime between two energies (TeV; broadcast), Hz."""
        low, high = (np.clip(energy, *self.energy_range) for energy in (low, high))
        k = 1 - self.index
        return GadfWriter.EFFECTIVE_AREA * self.flux * low**k * boxcox(high / low, k)

    def draw(self, livetime, rng):
        """Energies (TeV), RA and Dec (deg) of a Poisson number of events in ``livetime`` s."""
        n_events = int(rng.poisson(self.event_rate() * livetime))
        low, high = self.energy_range
        k = 1 - self.index
        energy = low * inv_boxcox(rng.random(n_events) * boxcox(high / low, k), k)
        radius = self.width * np.sqrt(2 * rng.standard_exponential(n_events))
        return energy, *self._around(rng.uniform(0, 360, n_events), radius)

    def points(self):
        """RA and Dec (deg) of points that stand for the source's events, and their weights."""
        edges = np.linspace(0, REACH, N_RADII + 1)
        radius = 0.5 * self.width * (edges[1:] + edges[:-1])
        weight = -np.diff(np.exp(-0.5 * edges**2)) / (1 - np.exp(-0.5 * REACH**2)) / N_ANGLES
        # Each ring is turned by a golden angle against the last, so that no gap repeats.
        angle = np.arange(N_ANGLES) * 360 / N_ANGLES + 137.50776 * np.arange(N_RADII)[:, None]
        place = self._around(angle.ravel(), np.repeat(radius, N_ANGLES))
        return *place, np.repeat(weight, N_ANGLES)

    def _around(self, angle, radius):
        """RA and Dec at position angles and distances from the source; all deg."""
        place = offset_by(self.ra * u.deg, self.dec * u.deg, angle * u.deg, radius * u.deg)
        return [coordinate.deg for coordinate in place]
