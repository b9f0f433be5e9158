"""Gamma-ray sources in a simulation: how many events, at which energies, and where on the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simbg.io.gadf_writer import GadfWriter

__all__ = ["GammaSource", "offset_by"]

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
    ra: float
    dec: float
    flux: float = 3.8e-11
    index: float = 2.5
    extension: float = 0.0
    psf: float = 0.08
    energy_range: tuple[float, float] = (0.1, 100.0)

    def __post_init__(self):
        low, high = self.energy_range
        if not (0 <= self.ra <= 360 and -90 <= self.dec <= 90):
            raise ValueError(
                f"source {self.name}: got RA {self.ra}, Dec {self.dec}, expected deg on the sky"
            )
        if not (0 <= self.flux < np.inf and np.isfinite(self.index) and 0 < low < high < np.inf):
            raise ValueError(
                f"source {self.name}: got flux {self.flux}, index {self.index} and energies "
                f"{(low, high)} TeV, expected a flux of 0 or more and low < high"
            )
        if not (self.extension >= 0 and self.psf >= 0 and 0 < self.width < 10):
            raise ValueError(
                f"source {self.name}: got extension {self.extension} and psf {self.psf}, "
                "expected deg, one above 0, below 10"
            )

    @property
    def width(self):
        """σ of the events along each direction, deg."""
        return float(np.hypot(self.extension, self.psf))

    def event_rate(self, low=0.0, high=np.inf):
        """Events per second of livetime between two energies (TeV; broadcast), Hz."""
        low, high = (np.clip(energy, *self.energy_range) for energy in (low, high))
        k = 1 - self.index
        flux = np.log(high / low) if k == 0 else (high**k - low**k) / k
        return GadfWriter.EFFECTIVE_AREA * self.flux * flux

    def draw(self, livetime, rng):
        """Energies (TeV), RA and Dec (deg) of a Poisson number of events in ``livetime`` s."""
        n_events = int(rng.poisson(self.event_rate() * livetime))
        low, high = self.energy_range
        k, u = 1 - self.index, rng.random(n_events)
        energy = low * (high / low) ** u if k == 0 else (low**k + u * (high**k - low**k)) ** (1 / k)
        radius = self.width * np.sqrt(2 * rng.standard_exponential(n_events))
        return energy, *offset_by(self.ra, self.dec, rng.uniform(0, 360, n_events), radius)

    def points(self):
        """RA and Dec (deg) of points that stand for the source's events, and their weights."""
        edges = np.linspace(0, REACH, N_RADII + 1)
        radius = 0.5 * self.width * (edges[1:] + edges[:-1])
        weight = -np.diff(np.exp(-0.5 * edges**2)) / (1 - np.exp(-0.5 * REACH**2)) / N_ANGLES
        # Each ring is turned by a golden angle against the last, so that no gap repeats.
        angle = np.arange(N_ANGLES) * 360 / N_ANGLES + 137.50776 * np.arange(N_RADII)[:, None]
        place = offset_by(self.ra, self.dec, angle.ravel(), np.repeat(radius, N_ANGLES))
        return *place, np.repeat(weight, N_ANGLES)


def offset_by(ra, dec, angle, radius):
    """RA and Dec at a distance and position angle (from north to east) from a place; all deg."""
    dec, angle, radius = (np.deg2rad(x) for x in (dec, angle, radius))
    # A unit vector, x towards the meridian of the place: good at the poles, too.
    x = np.cos(dec) * np.cos(radius) - np.sin(dec) * np.sin(radius) * np.cos(angle)
    y = np.sin(radius) * np.sin(angle)
    z = np.sin(dec) * np.cos(radius) + np.cos(dec) * np.sin(radius) * np.cos(angle)
    return (ra + np.rad2deg(np.arctan2(y, x))) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))
