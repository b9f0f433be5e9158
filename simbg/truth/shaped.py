"""A true background rate with the features of a real one; each feature is optional.

A gaussian truth is multiplied by factors in energy and in the field of view. There is no closed
form, but the rate is smooth: integrals are Gauss–Legendre sums, and events are those of the
gaussian truth, thinned.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.errors import bounded, check_fields
from simbg.quantities import bare_coordinates, convert_fields
from simbg.truth.gaussian import RAD_PER_DEG, GaussianTruth
from simbg.truth.protocol import Truth
from simbg.truth.quadrature import FOLDS, PANEL, energy_nodes, panel_nodes

__all__ = ["ShapedTruth"]

# Gauss–Legendre in the field of view: on panels of σ/3, over which a normal changes by e³ at 9 σ, 6
# nodes have an error of 1e-10 there and of 1e-13 at 5 σ; the error of a panel as wide as the ring,
# or as half of 1/gradient, is not larger. Beyond 9 σ, with 1e-18 of the events, and beyond 9 ρ of
# the ring, one panel per pixel is enough.
NODES = 6
PANELS_PER_SIGMA = 3.0
REACH = 9.0
# A step that rises as E^k has poles at a distance of π/k from the real axis of ln E: 12 nodes have
# an error of 1e-12 on a panel of width 4/k.
STEP_PANEL = 4.0
# Near the horizon 1/cos(z) is no longer the air mass.
ZENITH_MAX = 85.0
# Events thinned at a time: their arrays stay in the cache of one core.
CHUNK = 1 << 14
# Number of energy bins whose angular integrals are cached: 0.4 MB for each with 60 × 60 pixels.
N_CACHED = 128


@dataclass(frozen=True)
class ShapedTruth(Truth):
    """A gaussian truth times factors of energy, direction and zenith angle.

    With E in TeV, lon, lat and r = √(lon² + lat²) in deg, and z the zenith angle,

        n = n_base(E, lon, lat, z) · C(E) · Z(E, z) · T(E, z) · G(lon, lat) · R(E, r) · D(lon, lat),
        C = exp(−β ln² E),                    Z = cos(z)^a · E^(b |ln cos z|),
        T = 1 / (1 + (E_on / E)^k),           E_on = E₀ · cos(z)^−c,
        G = 1 + tanh(g_lon lon + g_lat lat),  R = 1 − d(E) exp(−r² / 2ρ²),
        d = depth / (1 + (E_ring / E)^p),     D = 0 in a dead rectangle and 1 elsewhere.

    By default each factor is 1.

    Parameters
    ----------
    base : GaussianTruth
        The gaussian truth, without ``quadrant``. Its ``zenith_slope`` also applies; set it to 0
        if Z is the only dependence on the zenith angle.
    curvature : float
        β ≥ 0
    zenith_power, zenith_hardening : float
        a and b. With a > 0 the rate falls with the zenith angle; with b > 0 the index is smaller
        by b |ln cos z|, so that the rate at high energies may rise while the total falls.
    turn_on_energy : float
        E₀ in TeV, at which the factor T is 0.5 at zenith 0; with 0 there is no threshold.
    turn_on_power : float
        k: below the threshold T falls as E^k.
    turn_on_zenith : float
        c ≥ 0: the threshold rises with the zenith angle.
    gradient : tuple of float
        g_lon and g_lat in deg-1, relative to the rate at the centre, within ±1.
    ring_depth : float
        Relative decrease at the centre at the highest energies, 0 or more and less than 1. With
        0.94, and the other defaults, the rate at an offset of 2.5 deg is 2.7 times that at the
        centre at 7.5 TeV and 8.0 times at 15 TeV; in H.E.S.S. data it is 2.8 and 7.8 times.
    ring_radius : float
        ρ in deg
    ring_energy, ring_power : float
        E_ring in TeV, at which d is half of the depth, and p.
    dead : tuple of tuple of float
        (lon_low, lon_high, lat_low, lat_high) in deg: rectangles without events, as from a
        broken drawer of the camera.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Examples
    --------
    >>> from simbg.axes import Axes
    >>> sides = Axes([0.1, 100], [-60, 60], [-3, 0, 3])
    >>> steep = ShapedTruth(GaussianTruth(), gradient=(0.0, 0.09)).integrate(sides).ravel()
    >>> float(round(steep[1] / steep[0], 3))
    1.273
    """

    base: GaussianTruth = field(default_factory=GaussianTruth)
    curvature: float = bounded(0.0, 0, 10)
    zenith_power: float = bounded(0.0, -10, 10)
    zenith_hardening: float = bounded(0.0, -10, 10)
    turn_on_energy: float = bounded(0.0, 0, 1e3, "TeV")
    turn_on_power: float = bounded(4.0, 0.1, 50)
    turn_on_zenith: float = bounded(2.5, 0, 10)
    gradient: tuple[float, float] = bounded((0.0, 0.0), -1, 1, "deg-1")
    ring_depth: float = bounded(0.0, 0, 0.999)
    ring_radius: float = bounded(1.2, 0.05, 60, "deg")
    ring_energy: float = bounded(5.0, 1e-3, 1e3, "TeV")
    ring_power: float = bounded(3.0, 0.1, 50)
    dead: tuple[tuple[float, float, float, float], ...] = ()

    def __post_init__(self) -> None:
        convert_fields(self)
        # JSON gives lists, which are not hashable.
        object.__setattr__(self, "gradient", tuple(self.gradient))
        object.__setattr__(self, "dead", tuple(map(tuple, self.dead)))
        gaussian = isinstance(self.base, GaussianTruth)
        whole_field = gaussian and not self.base.quadrant  # type: ignore[redundant-expr]
        sizes = all(len(box) == 4 for box in self.dead)
        boxes = sizes and all(left < right and low < high for left, right, low, high in self.dead)
        check_fields(
            self,
            base=(whole_field, "a GaussianTruth without quadrant"),
            gradient=(len(self.gradient) == 2, "two values in deg-1 within ±1"),
            dead=(boxes, "(lon_low, lon_high, lat_low, lat_high) in deg"),
        )

    def rate(
        self, energy: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike, zenith: float = 0.0
    ) -> np.ndarray:
        """Differential rate at points; see `Truth.rate`.

        Examples
        --------
        >>> hollow = ShapedTruth(ring_depth=0.94)
        >>> hollow.rate(15, fov_lon=0, fov_lat=[0, 2.5]) / hollow.rate(15, 0, 0)
        array([1.        , 8.03549086])
        """
        energy, fov_lon, fov_lat = bare_coordinates(energy, fov_lon, fov_lat)
        density = self._tilted(zenith).rate(energy, fov_lon, fov_lat, zenith)
        log_energy, lon, lat = np.broadcast_arrays(np.log(energy), fov_lon, fov_lat)
        factor = self._in_energy(log_energy, zenith) * self._in_camera(lon, lat)
        return density * factor * self._in_ring(log_energy, lon, lat)

    def integrate(self, axes: Axes, zenith: float = 0.0, energy_min: float = 0.0) -> np.ndarray:
        """Expected events per second of livetime in each bin, exact; see `Truth.integrate`.

        Notes
        -----
        Gauss–Legendre quadrature in ln E, and in each pixel. The factors that depend on the zenith
        angle depend on energy only, so the sums over pixels are computed once and cached.

        Examples
        --------
        >>> axes = Axes([0.1, 1, 10], [-3, 0, 3], [-3, 3])
        >>> ShapedTruth(dead=((-3, 0, -3, 3),)).integrate(axes)[:, :, 0].round(4)
        array([[0.    , 1.897 ],
               [0.    , 0.0271]])
        """
        low, high = self.base.energy_range
        edges = np.clip(axes.energy, np.clip(energy_min, low, high), high)
        tilted, events = self._tilted(zenith), np.zeros(axes.shape)
        pixels = tuple(axes.fov_lon), tuple(axes.fov_lat)
        for i in np.flatnonzero(np.diff(edges) > 0):
            energy, weight, images = self._pixels(*pixels, edges[i], edges[i + 1])
            weight = weight * energy * tilted.spectrum(energy)
            events[i] = np.tensordot(weight * self._in_energy(np.log(energy), zenith), images, 1)
        return tilted.total_rate(zenith) * events

    def draw(
        self, livetime: float, zenith: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw events, a Poisson number of them; see `Truth.draw`.

        Notes
        -----
        Events of the gaussian truth are accepted with a probability proportional to the factors:
        thinning a Poisson process gives a Poisson process with the thinned rate. The factor
        G = 1 + tanh is 2 at most, so with a gradient twice as many events are drawn first.

        Examples
        --------
        >>> truth = ShapedTruth(dead=((-60, 0, -60, 60),))
        >>> energy, fov_lon, fov_lat = truth.draw(100, 20, np.random.default_rng(0))
        >>> bool(energy.size > 0), bool(fov_lon.min() >= 0)
        (True, True)
        """
        tilted, most = self._tilted(zenith), 2.0 if any(self.gradient) else 1.0
        number = int(rng.poisson(most * tilted.total_rate(zenith) * livetime))
        sizes = (min(CHUNK, number - start) for start in range(0, number, CHUNK))
        chunks = [self._thinned(tilted, size, most, zenith, rng) for size in sizes]
        parts = zip([np.empty(0)] * 3, *chunks, strict=True)
        energy, fov_lon, fov_lat = map(np.concatenate, parts)
        return energy, fov_lon, fov_lat

    def _thinned(self, tilted, n_events, most, zenith, rng):
        """Draw events and thin them: first by energy, so that rejected events need no direction."""
        log_energy, lowest = np.empty(n_events), np.log(tilted.energy_range[0])
        tilted.fill_log_energy(log_energy, rng)
        (energy,) = _thin(self._in_energy(log_energy + lowest, zenith), rng, log_energy)
        fov_lon, fov_lat = np.empty((2, energy.size))
        tilted.fill_directions((fov_lon, fov_lat), energy, rng)
        probability = self._in_camera(fov_lon, fov_lat) / most
        probability = probability * self._in_ring(energy + lowest, fov_lon, fov_lat)
        tilted.exponentiate(energy)
        return _thin(probability, rng, energy, fov_lon, fov_lat)

    def _tilted(self, zenith):
        """The base at a zenith angle, times Z: a gaussian truth with another index and norm.

        Z · p(E) is a power law; the norm is the ratio of the two densities at the lowest energy.
        """
        a, b = self.zenith_power, self.zenith_hardening
        changes = a or b or (self.turn_on_energy and self.turn_on_zenith)
        highest = ZENITH_MAX if changes else 90.0
        if not 0 <= zenith <= highest:
            raise ValueError(f"zenith: got {zenith} deg, expected 0 to {highest:g} deg")
        if not (a or b):
            return self.base
        log_cos, low = _log_cos(zenith), self.base.energy_range[0]
        tilted = replace(self.base, index=self.base.index + b * log_cos)
        norm = self.base.spectrum(low) / tilted.spectrum(low)
        norm *= np.exp((a - b * np.log(low)) * log_cos)
        return replace(tilted, event_rate=float(self.base.event_rate * norm))

    def _in_energy(self, log_energy, zenith):
        """The factor C · T."""
        factor = 1.0
        if self.curvature:
            factor = np.exp(-self.curvature * log_energy**2)
        if self.turn_on_energy:
            threshold = np.log(self.turn_on_energy) - self.turn_on_zenith * _log_cos(zenith)
            factor = factor * _expit(self.turn_on_power * (log_energy - threshold))
        return factor

    def _in_camera(self, fov_lon, fov_lat):
        """The factor G · D."""
        factor: np.ndarray | float = 1.0
        if any(self.gradient):
            # 1 + tanh(x), without the difference of two numbers close to 1.
            factor = 2 * _expit(2 * (self.gradient[0] * fov_lon + self.gradient[1] * fov_lat))
        for low, high, bottom, top in self.dead:
            inside = (fov_lon >= low) & (fov_lon < high)
            factor = np.where(inside & ((fov_lat >= bottom) & (fov_lat < top)), 0.0, factor)
        return factor

    def _in_ring(self, log_energy, fov_lon, fov_lat):
        """The factor R."""
        if not self.ring_depth:
            return 1.0
        square = fov_lon**2 + fov_lat**2
        return 1 - self._depth(log_energy) * np.exp(-0.5 / self.ring_radius**2 * square)

    def _depth(self, log_energy):
        """d(E) of the factor R."""
        return self.ring_depth * _expit(self.ring_power * (log_energy - np.log(self.ring_energy)))

    @lru_cache(maxsize=N_CACHED)  # noqa: B019, truths are small
    def _pixels(self, fov_lon, fov_lat, low, high):
        """Nodes between two energies and the integrals over pixels there; cached.

        Returns
        -------
        energy, weight : ndarray, shape (n_nodes,)
            Energies of the nodes in TeV, and the weights in ln E.
        images : ndarray, shape (n_nodes, n_fov_lon, n_fov_lat)
            ∫ N(lon) N(lat) G R D over each pixel.
        """
        axes = Axes(np.array([low, high]), fov_lon, fov_lat)
        steps = self._panels_per_log_energy(axes)
        energy, weight = (a[0] for a in energy_nodes(np.log([low]), np.log([high]), steps))
        sigma, (peak_lon, peak_lat) = self.base.width(energy)[:, None], self.base.peak
        lon, w_lon, first_lon = self._nodes(axes.fov_lon, peak_lon, 0, sigma)
        lat, w_lat, first_lat = self._nodes(axes.fov_lat, peak_lat, 1, sigma)
        camera = np.broadcast_to(self._in_camera(lon[:, None], lat), (lon.size, lat.size))
        in_lon = w_lon * _normal(lon - peak_lon, sigma)
        in_lat = w_lat * _normal(lat - peak_lat, sigma)
        images = _sum_pixels(in_lon, in_lat, camera, first_lon, first_lat)
        if self.ring_depth:
            in_lon *= np.exp(-0.5 * (lon / self.ring_radius) ** 2)
            in_lat *= np.exp(-0.5 * (lat / self.ring_radius) ** 2)
            hollow = _sum_pixels(in_lon, in_lat, camera, first_lon, first_lat)
            images -= self._depth(np.log(energy))[:, None, None] * hollow
        return energy, weight, images

    def _panels_per_log_energy(self, axes):
        """Panels per unit of ln E, so that no factor changes too much in one, at any zenith."""
        log_range = np.abs(np.log(self.base.energy_range)).max()
        folds = self.base.steepest(axes) + 2 * self.curvature * log_range
        folds += abs(self.zenith_hardening * _log_cos(ZENITH_MAX))
        turn_on = self.turn_on_power * bool(self.turn_on_energy)
        ring = self.ring_power * bool(self.ring_depth)
        return max(1 / PANEL, folds / FOLDS, turn_on / STEP_PANEL, ring / STEP_PANEL)

    def _nodes(self, edges, peak, direction, sigma):
        """Nodes and weights along one direction, and the index of the first node in each pixel.

        Panels are narrow near the peak and the ring; they end at the edges of pixels and of dead
        rectangles.
        """
        reach = REACH * max(sigma.max(), self.ring_radius) + abs(peak)
        density = PANELS_PER_SIGMA / sigma.min() + 2 * abs(self.gradient[direction])
        density += bool(self.ring_depth) / self.ring_radius
        dead = [edge for box in self.dead for edge in box[2 * direction : 2 * direction + 2]]
        breaks = np.unique([*edges, *np.clip([-reach, reach, *dead], edges[0], edges[-1])])
        low, width = breaks[:-1], np.diff(breaks)
        near = np.abs(low + 0.5 * width) < reach
        panels = np.maximum(1, np.ceil(width * density * near)).astype(int)
        step = np.repeat(width / panels, panels)
        number = np.arange(step.size) - np.repeat(np.cumsum(panels) - panels, panels)
        start = np.repeat(low, panels) + number * step
        nodes, weights = panel_nodes(start, step, NODES)
        return nodes.ravel(), weights.ravel(), NODES * np.searchsorted(start, edges[:-1])


def _thin(probability, rng, *values):
    """The values of events that are accepted, each with its probability; all if it is a scalar."""
    if np.ndim(probability) == 0:
        return values
    accepted = np.flatnonzero(rng.random(probability.size) < probability)
    return [value.take(accepted) for value in values]


def _log_cos(zenith):
    return np.log(np.cos(RAD_PER_DEG * zenith))


def _normal(x, sigma):
    """Density of a normal distribution, (n_energy, n_nodes)."""
    return np.exp(-0.5 * (x / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def _sum_pixels(in_lon, in_lat, camera, first_lon, first_lat):
    """Σ in_lon · camera · in_lat over the nodes of each pixel, (n_energy, n_fov_lon, n_fov_lat)."""
    sums = np.empty((in_lon.shape[0], first_lon.size, first_lat.size))
    for i, (start, end) in enumerate(pairwise([*first_lat, in_lat.shape[1]])):
        column = in_lat[:, start:end] @ camera[:, start:end].T
        sums[:, :, i] = np.add.reduceat(in_lon * column, first_lon, axis=1)
    return sums


def _expit(x):
    """The logistic function; scipy loads it when it is first used."""
    return scipy.special.expit(x)
