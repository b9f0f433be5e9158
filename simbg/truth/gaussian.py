"""A gaussian truth: a power law in energy, and an acceptance whose width changes with energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import ArrayLike

from simbg.axes import MEV_PER_TEV, Axes
from simbg.errors import bounded, check_fields
from simbg.quantities import bare_coordinates, convert_fields, warn_of_gev
from simbg.truth.protocol import Truth
from simbg.truth.quadrature import FOLDS, PANEL, energy_nodes

__all__ = ["GaussianTruth"]

# exp(−700) is near the smallest double; the slope of the tail beyond it does not matter.
LAST_EXPONENT = 700.0
# Number of events that are drawn at once: their arrays fit in the cache of one core.
CHUNK = 1 << 15
RAD_PER_DEG = np.pi / 180


@dataclass(frozen=True)
class GaussianTruth(Truth):
    """A power law in energy times a gaussian acceptance whose width changes with energy.

    Events are normal in (fov_lon, fov_lat), with the same width σ(E) in both:
    their density per TeV and deg² is

        n(E, lon, lat) = R · f(z) · p(E) · N(lon − lon₀; σ(E)) · N(lat − lat₀; σ(E)),
        σ(E) = σ₁ (E / E₁)^s,   s = ln(σ₂/σ₁) / ln(E₂/E₁),   f(z) = 1 − zenith_slope · z / 90 deg,

    where p(E) is a power law normalised to 1 on ``energy_range`` and zero outside. The
    rate per solid angle is n / cos(lat).

    Parameters
    ----------
    index : float
        Differential index Γ of the rate, positive for a falling spectrum; ``normalization``
        defines which rate has this index.
    normalization : {"integral", "center"}
        "integral": the rate integrated over the field of view falls as E^−Γ, and the rate
        at the centre as E^−(Γ + 2s). "center": the rate at the centre falls as E^−Γ
        (constant central amplitude), and the integral as E^−(Γ − 2s).
    event_rate : float
        R: events per second of livetime at zenith 0, all energies and directions, Hz.
    energy_range : tuple of float
        Smallest and largest energy, TeV. There are no events outside.
    sigma : tuple of float
        Widths σ₁ and σ₂, deg.
    sigma_energy : tuple of float
        Energies E₁ and E₂ at which the width is σ₁ and σ₂, TeV.
    zenith_slope : float
        Decrease of the rate from zenith 0 to 90 deg, as a fraction; 0.5 as in 2015.
    quadrant : bool
        Whether there are events at fov_lon ≤ 0 and fov_lat ≤ 0 only, as with ``apply_mask``
        in 2015.
    peak : tuple of float
        fov_lon and fov_lat of the maximum (lon₀, lat₀), deg. If it is neither on an axis nor on
        a diagonal, no flip, rotation or swap maps the field of view to itself.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Examples
    --------
    >>> truth = GaussianTruth(index=2.5, normalization="center", event_rate=300.0)
    >>> truth.center_index, round(truth.integral_index, 3)
    (2.5, 2.293)
    >>> truth.width(np.array([0.1, 80.0]))
    array([2.5, 5. ])

    Density, bin integrals and events describe the same rate:

    >>> from simbg.axes import Axes
    >>> half = Axes([0.1, 100], [-60, 0, 60], [-60, 60])
    >>> truth.integrate(half).ravel().round(6)
    array([150., 150.])
    >>> energy, fov_lon, fov_lat = truth.draw(10.0, zenith=0.0, rng=np.random.default_rng(0))
    >>> energy.size
    3022
    """

    index: float = bounded(2.7, -100, 100)
    normalization: str = "integral"
    event_rate: float = bounded(7.0, 0, 1e300, "Hz")
    energy_range: tuple[float, float] = bounded((0.1, 100.0), 1e-9, 1e9, "TeV")
    sigma: tuple[float, float] = bounded((2.5, 5.0), 1e-3, 60, "deg")
    sigma_energy: tuple[float, float] = bounded((0.1, 80.0), 1e-9, 1e9, "TeV")
    zenith_slope: float = bounded(0.5, 0, 1)
    quadrant: bool = False
    peak: tuple[float, float] = bounded((0.0, 0.0), -60, 60, "deg")

    def __post_init__(self) -> None:
        convert_fields(self)
        check_fields(
            self,
            normalization=(self.normalization in ("integral", "center"), "integral or center"),
            energy_range=(np.diff(self.energy_range) > 0, "two increasing values in TeV"),
            sigma_energy=(np.diff(self.sigma_energy) > 0, "two increasing values in TeV"),
            peak=(not (self.quadrant and any(self.peak)), "(0, 0) with a quadrant"),
        )
        warn_of_gev(self.energy_range[0], "lowest energy of the truth")

    @cached_property
    def sigma_slope(self) -> float:
        """s, the exponent of the width as a function of energy.

        Examples
        --------
        >>> round(GaussianTruth(sigma=(2, 4), sigma_energy=(0.1, 10)).sigma_slope, 4)
        0.1505
        """
        ratio, span = (pair[1] / pair[0] for pair in (self.sigma, self.sigma_energy))
        return float(np.log(ratio) / np.log(span))

    @cached_property
    def integral_index(self) -> float:
        """Differential index of the rate integrated over the whole field of view.

        Examples
        --------
        >>> round(GaussianTruth(index=2.5, normalization="center").integral_index, 3)
        2.293
        """
        return self.index - 2 * self.sigma_slope * (self.normalization == "center")

    @property
    def center_index(self) -> float:
        """Differential index of the rate at the centre of the field of view.

        Examples
        --------
        >>> round(GaussianTruth(index=2.5, normalization="integral").center_index, 3)
        2.707
        """
        return self.integral_index + 2 * self.sigma_slope

    def width(self, energy: np.ndarray | float) -> np.ndarray:
        """σ(E) in deg; energy in TeV.

        Examples
        --------
        >>> GaussianTruth(sigma=(2, 4), sigma_energy=(0.1, 10)).width(np.array([0.1, 10]))
        array([2., 4.])
        """
        return self.sigma[0] * (energy / self.sigma_energy[0]) ** self.sigma_slope

    def total_rate(self, zenith: float = 0.0) -> float:
        """Expected events per second of livetime, all energies and directions.

        Parameters
        ----------
        zenith : float
            Zenith angle, deg.

        Returns
        -------
        float
            Event rate, Hz.

        Raises
        ------
        ValueError
            If the zenith angle is not between 0 and 90 deg.

        Examples
        --------
        >>> GaussianTruth(event_rate=300, zenith_slope=0.5).total_rate(zenith=45)
        225.0
        """
        if not 0 <= zenith <= 90:
            raise ValueError(f"zenith: got {zenith} deg, expected 0 to 90 deg")
        fraction = 0.25 if self.quadrant else 1.0
        return fraction * self.event_rate * (1 - self.zenith_slope * zenith / 90)

    def rate(
        self, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike, zenith: float = 0.0
    ) -> np.ndarray:
        """Differential rate at points; see `Truth.rate`.

        Examples
        --------
        >>> GaussianTruth().rate(energy=[1, 10], fov_lon=0, fov_lat=0.5, zenith=20)
        array([1.08100045e-05, 1.34426746e-08])
        """
        coordinates = bare_coordinates(energy, fov_lon, fov_lat)
        energies, lon, lat = np.broadcast_arrays(*coordinates)
        sigma = self.width(energies)
        square = (lon - self.peak[0]) ** 2 + (lat - self.peak[1]) ** 2
        radial = np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)
        density = self.spectrum(energies) * radial * self.total_rate(zenith)
        if self.quadrant:
            density = density * 4 * ((lon <= 0) & (lat <= 0))
        return density / (MEV_PER_TEV * RAD_PER_DEG**2 * np.cos(RAD_PER_DEG * lat))

    def integrate(self, axes: Axes, zenith: float = 0.0, energy_min: float = 0.0) -> np.ndarray:
        """Expected events per second of livetime in each bin, exact; see `Truth.integrate`.

        Notes
        -----
        ∫ p(E) P_lon(σ(E)) P_lat(σ(E)) dE, where P_lon and P_lat are differences of the cumulative
        normal distribution, by Gauss–Legendre quadrature in ln E.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-3, 0, 3], [-3, 3])
        >>> GaussianTruth().integrate(axes, zenith=20)[:, :, 0].round(4)
        array([[1.6862, 1.6862],
               [0.0241, 0.0241]])
        """
        lowest, highest = self.energy_range
        edges = np.log(np.clip(axes.energy, np.clip(energy_min, lowest, highest), highest))
        density = max(1 / PANEL, self.steepest(axes) / FOLDS)
        energy, weight = energy_nodes(edges[:-1], edges[1:], density)
        weight = weight * energy * self.spectrum(energy)
        lon, lat = (self._pixels(edges, energy) for edges in self._from_peak(axes))
        events = np.einsum("kn,knx,kny->kxy", weight, lon, lat, optimize=True)
        return self.total_rate(zenith) * events

    def draw(
        self, livetime: float, zenith: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw events, a Poisson number of them; see `Truth.draw`.

        Examples
        --------
        >>> energy, fov_lon, fov_lat = GaussianTruth().draw(100, 20, np.random.default_rng(0))
        >>> energy.size, bool(energy.min() >= 0.1)
        (632, True)
        """
        return self.sample(int(rng.poisson(self.total_rate(zenith) * livetime)), rng)

    def sample(
        self, n_events: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw a given number of events, unbinned and exact.

        Parameters
        ----------
        n_events : int
            Number of events.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            Energies in TeV and positions in the field of view in deg.

        Examples
        --------
        >>> energy, fov_lon, fov_lat = GaussianTruth().sample(1000, np.random.default_rng(0))
        >>> energy.size, fov_lon.size, fov_lat.size
        (1000, 1000, 1000)
        """
        events = np.empty((3, n_events))
        for start in range(0, n_events, CHUNK):
            log_energy, *angles = events[:, start : start + CHUNK]
            self.fill_log_energy(log_energy, rng)
            self.fill_directions(angles, log_energy, rng)
            self.exponentiate(log_energy)
        energy, fov_lon, fov_lat = events
        return energy, fov_lon, fov_lat

    # These methods fill arrays in place: new arrays would not be in the cache.

    def fill_log_energy(self, log_energy: np.ndarray, rng: np.random.Generator) -> None:
        """Draw ln(E / E_min) into ``log_energy`` with the inverse of the cumulative.

        Examples
        --------
        >>> log_energy = np.empty(1000)
        >>> GaussianTruth().fill_log_energy(log_energy, np.random.default_rng(0))
        >>> bool(0 <= log_energy.min() < log_energy.max() <= np.log(1000))
        True
        """
        low, high = self.energy_range
        span, steepness = np.log(high / low), self.integral_index - 1
        rng.random(out=log_energy)
        if steepness:
            log_energy *= np.expm1(-steepness * span)
            np.log1p(log_energy, out=log_energy)
            log_energy *= -1 / steepness
        else:
            log_energy *= span

    def fill_directions(
        self, angles: Sequence[np.ndarray], log_energy: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Draw fov_lon and fov_lat (deg) into ``angles``, at energies ln(E / E_min).

        Examples
        --------
        >>> angles, log_energy = np.empty((2, 1000)), np.zeros(1000)
        >>> truth, rng = GaussianTruth(quadrant=True), np.random.default_rng(0)
        >>> truth.fill_directions(angles, log_energy, rng)
        >>> bool(angles.max() <= 0)
        True
        """
        sigma = np.exp(self.sigma_slope * log_energy)
        sigma *= self.width(self.energy_range[0])
        for angle, peak in zip(angles, self.peak, strict=True):
            rng.standard_normal(out=angle)
            angle *= sigma
            if self.quadrant:
                np.negative(np.abs(angle, out=angle), out=angle)
            if peak:
                angle += peak

    def exponentiate(self, log_energy: np.ndarray) -> None:
        """Replace ln(E / E_min) by E in TeV, in place.

        Examples
        --------
        >>> energy = np.log([1.0, 10.0, 100.0])
        >>> GaussianTruth(energy_range=(0.1, 100)).exponentiate(energy)
        >>> energy.round(6)
        array([ 0.1,  1. , 10. ])
        """
        low, high = self.energy_range
        np.exp(log_energy, out=log_energy)
        log_energy *= low
        np.minimum(log_energy, high, out=log_energy)

    def _from_peak(self, axes):
        """Edges in fov_lon and fov_lat relative to the peak."""
        return axes.fov_lon - self.peak[0], axes.fov_lat - self.peak[1]

    def steepest(self, axes: Axes) -> float:
        """Largest |d ln n / d ln E|: in the farthest corner, where the width is smallest.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-3, 0, 3], [-3, 3])
        >>> float(GaussianTruth().steepest(axes).round(3))
        2.206
        """
        corner = sum(np.abs(edges).max() ** 2 for edges in self._from_peak(axes))
        exponent = corner / self.width(np.array(self.energy_range)).min() ** 2
        change = 2 + min(exponent, 2 * LAST_EXPONENT)
        return abs(self.integral_index - 1) + abs(self.sigma_slope) * change

    def spectrum(self, energy: np.ndarray | float) -> np.ndarray:
        """p(E) = E^−Γ ÷ ∫ E^−Γ dE, TeV-1; energy in TeV, Γ the index of the integrated rate.

        Examples
        --------
        >>> truth = GaussianTruth(index=2.7, energy_range=(0.1, 100))
        >>> truth.spectrum(np.array([0.01, 0.1, 1])).round(4)
        array([ 0.    , 17.0001,  0.0339])
        """
        low, high = self.energy_range
        norm = scipy.special.boxcox(high / low, 1 - self.integral_index)
        inside = (energy >= low) & (energy <= high)
        return np.where(inside, (energy / low) ** -self.integral_index / (low * norm), 0.0)

    def _pixels(self, edges, energy):
        """Probability of each pixel along one direction, (n_energy, n_nodes, n_pixel)."""
        if self.quadrant:
            edges = np.minimum(edges, 0.0)
        scaled = edges / self.width(energy)[..., None]
        # In the upper half, the difference of two small tails is the more exact one.
        low, high = scaled[..., :-1], scaled[..., 1:]
        ndtr = scipy.special.ndtr
        probability = np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
        return 2 * probability if self.quadrant else probability
