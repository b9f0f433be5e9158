"""Gamma-ray sources of a simulation: number, energies and directions of their events."""

from __future__ import annotations

from dataclasses import MISSING, dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from simbg.errors import bounded, check_fields
from simbg.io.gadf.writer import GadfWriter
from simbg.quantities import convert_fields

__all__ = ["GammaSource"]

# Numbers of rings, and of angles in each, of the points that represent a source; the rings end at
# REACH σ, beyond which 1e-12 of the events lie.
N_RADII, N_ANGLES, REACH = 180, 32, 7.4


@dataclass(frozen=True)
class GammaSource:
    """A gamma-ray source: a power law in energy, and a gaussian on the sky.

    Parameters
    ----------
    name : str
        Name of the source.
    ra, dec : float
        Position, deg, ICRS.
    flux : float
        Differential flux at 1 TeV, cm-2 s-1 TeV-1; the Crab nebula has 3.8e-11.
    index : float
        Differential index; the Crab nebula has 2.5.
    extension, psf : float
        Widths (σ along each direction) of the source and of the point spread function, deg;
        they are added in quadrature.
    energy_range : tuple of float
        Smallest and largest energy, TeV. There are no events outside.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Examples
    --------
    >>> crab = GammaSource("Crab", 83.633, 22.014)
    >>> float(crab.event_rate(1.0, 10.0).round(4))  # Hz
    0.0049
    """

    name: str
    ra: float = bounded(MISSING, 0, 360, "deg")
    dec: float = bounded(MISSING, -90, 90, "deg")
    flux: float = bounded(3.8e-11, 0, 1, "cm-2 s-1 TeV-1")
    index: float = bounded(2.5, -100, 100)
    extension: float = bounded(0.0, 0, 10, "deg")
    psf: float = bounded(0.08, 0, 10, "deg")
    energy_range: tuple[float, float] = bounded((0.1, 100.0), 1e-9, 1e9, "TeV")

    def __post_init__(self) -> None:
        convert_fields(self, f"source {self.name}: ")
        check_fields(
            self,
            f"source {self.name}: ",
            energy_range=(np.diff(self.energy_range) > 0, "two increasing values in TeV"),
            psf=(
                0 < self.width < 10,
                "a width above 0 and below 10 deg, together with the extension",
            ),
        )

    @property
    def width(self) -> float:
        """σ of the events along each direction, deg.

        Examples
        --------
        >>> round(GammaSource("Crab", 83.633, 22.014, extension=0.06, psf=0.08).width, 3)
        0.1
        """
        return float(np.hypot(self.extension, self.psf))

    def event_rate(self, low: ArrayLike = 0.0, high: ArrayLike = np.inf) -> np.ndarray:
        """Expected events per second of livetime between two energies (TeV; broadcast), Hz.

        Notes
        -----
        A F ∫ (E / TeV)^−Γ dE, with the effective area A of the stores that simbg writes.

        Examples
        --------
        >>> GammaSource("Crab", 83.633, 22.014).event_rate([0.1, 1], [1, 10]).round(4)  # Hz
        array([0.1552, 0.0049])
        """
        start, stop = (np.clip(energy, *self.energy_range) for energy in (low, high))
        k = 1 - self.index
        area = GadfWriter.EFFECTIVE_AREA
        return area * self.flux * start**k * scipy.special.boxcox(stop / start, k)

    def draw(
        self, livetime: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies (TeV), RA and Dec (deg) of a Poisson number of events in ``livetime`` s.

        Examples
        --------
        >>> crab = GammaSource("Crab", 83.633, 22.014)
        >>> energy, ra, dec = crab.draw(3600, np.random.default_rng(0))
        >>> bool(energy.size > 0), float(dec.mean().round(1))
        (True, 22.0)
        """
        n_events = int(rng.poisson(self.event_rate() * livetime))
        low, high = self.energy_range
        k = 1 - self.index
        boxcox, inverse = scipy.special.boxcox, scipy.special.inv_boxcox
        energy = low * inverse(rng.random(n_events) * boxcox(high / low, k), k)
        radius = self.width * np.sqrt(2 * rng.standard_exponential(n_events))
        ra, dec = self._around(rng.uniform(0, 360, n_events), radius)
        return energy, ra, dec

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RA and Dec (deg) of points that represent the source's events, and their weights.

        Examples
        --------
        >>> ra, dec, weight = GammaSource("Crab", 83.633, 22.014).points()
        >>> float(weight.sum().round(6)), float(np.average(dec, weights=weight).round(3))
        (1.0, 22.014)
        """
        edges = np.linspace(0, REACH, N_RADII + 1)
        radius = 0.5 * self.width * (edges[1:] + edges[:-1])
        weight = -np.diff(np.exp(-0.5 * edges**2)) / (1 - np.exp(-0.5 * REACH**2)) / N_ANGLES
        # Each ring is rotated by the golden angle relative to the previous one: no gaps align.
        angle = np.arange(N_ANGLES) * 360 / N_ANGLES + 137.50776 * np.arange(N_RADII)[:, None]
        ra, dec = self._around(angle.ravel(), np.repeat(radius, N_ANGLES))
        return ra, dec, np.repeat(weight, N_ANGLES)

    def _around(self, angle, radius):
        """RA and Dec at position angles and distances from the source; all deg."""
        from astropy import units as u
        from astropy.coordinates import offset_by

        position = offset_by(self.ra * u.deg, self.dec * u.deg, angle * u.deg, radius * u.deg)
        return [coordinate.deg for coordinate in position]
