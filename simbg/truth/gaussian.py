"""True background rates: a density, its exact integrals over bins, and events drawn from it.

All three come from the same object, so a simulation and the cube that it is
compared with cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from simbg import portable
from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube

__all__ = ["GaussianTruth", "edition2015_cube"]

# Gauss–Legendre in ln E: 12 nodes reach 1e-13 (see tests) on panels of at most this width, over
# which the integrand changes by at most that many powers of e.
X, W = np.polynomial.legendre.leggauss(12)
PANEL = 0.7
FOLDS = 8.0
# exp(−700) is where doubles end; how fast the tail changes there does not matter.
LAST_EXPONENT = 700.0
# Events drawn at a time: their arrays stay in the cache of one core.
CHUNK = 1 << 15
RAD_PER_DEG = np.pi / 180


@dataclass(frozen=True)
class GaussianTruth:
    """A power law in energy times a gaussian acceptance whose width changes with energy.

    Events are normal in (fov_lon, fov_lat), with the same width σ(E) in both:
    their density per TeV and deg² is

        n(E, lon, lat) = R · f(z) · p(E) · N(lon − lon₀; σ(E)) · N(lat − lat₀; σ(E)),
        σ(E) = σ₁ (E / E₁)^s,   s = ln(σ₂/σ₁) / ln(E₂/E₁),   f(z) = 1 − zenith_slope · z / 90 deg,

    with p(E) a power law normalised to 1 on ``energy_range`` and zero outside. The
    rate per solid angle is n / cos(lat).

    Parameters
    ----------
    index : float
        Differential index Γ of the rate, positive for a falling spectrum. What
        falls with it, `normalization` says.
    normalization : {"integral", "center"}
        "integral": the rate integrated over the field of view falls as E^−Γ, so
        that at the centre falls as E^−(Γ + 2s). "center": the rate at the centre
        falls as E^−Γ (constant central amplitude), and the integral as E^−(Γ − 2s).
    event_rate : float
        R: events per second of livetime at zenith 0, all energies and directions, Hz.
    energy_range : tuple of float
        TeV. No events outside.
    sigma : tuple of float
        σ₁ and σ₂ in deg.
    sigma_energy : tuple of float
        E₁ and E₂ in TeV, where the width is σ₁ and σ₂.
    zenith_slope : float
        Loss of rate from zenith 0 to 90 deg; 0.5 as in 2015.
    quadrant : bool
        Whether only fov_lon ≤ 0 and fov_lat ≤ 0 is lit, as with ``apply_mask`` in 2015.
    peak : tuple of float
        fov_lon and fov_lat of the maximum in deg, the centre above. Away from zero and
        from the diagonals no flip, rotation or swap maps the field to itself.

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

    Density, bin integrals and events are of the same thing:

    >>> from simbg.axes import Axes
    >>> half = Axes([0.1, 100], [-60, 0, 60], [-60, 60])
    >>> truth.integrate(half).ravel().round(6)
    array([150., 150.])
    >>> energy, fov_lon, fov_lat = truth.draw(10.0, zenith=0.0, rng=np.random.default_rng(0))
    >>> energy.size
    3022
    """

    index: float = 2.7
    normalization: str = "integral"
    event_rate: float = 7.0
    energy_range: tuple[float, float] = (0.1, 100.0)
    sigma: tuple[float, float] = (2.5, 5.0)
    sigma_energy: tuple[float, float] = (0.1, 80.0)
    zenith_slope: float = 0.5
    quadrant: bool = False
    peak: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        if self.normalization not in ("integral", "center"):
            raise ValueError(
                f"normalization: got {self.normalization!r}, expected 'integral' or 'center'"
            )
        for name in ("energy_range", "sigma_energy"):
            low, high = getattr(self, name)
            if not 0 < low < high < np.inf:
                raise ValueError(f"{name}: got {(low, high)}, expected 0 < low < high TeV")
        if not all(0 < sigma < 60 for sigma in self.sigma):
            raise ValueError(f"sigma: got {self.sigma}, expected deg between 0 and 60")
        if not (0 <= self.event_rate < np.inf and np.isfinite(self.index)):
            raise ValueError(
                f"event_rate and index: got {self.event_rate} Hz and {self.index}, "
                "expected finite numbers and a rate of 0 or more"
            )
        if not 0 <= self.zenith_slope <= 1:
            raise ValueError(f"zenith_slope: got {self.zenith_slope}, expected 0 to 1")
        if not all(abs(angle) <= 60 for angle in self.peak) or (self.quadrant and any(self.peak)):
            raise ValueError(
                f"peak: got {self.peak}, expected deg within ±60, and (0, 0) with a quadrant"
            )

    @cached_property
    def sigma_slope(self):
        """s, the power with which the width grows with energy."""
        ratio, span = (pair[1] / pair[0] for pair in (self.sigma, self.sigma_energy))
        return float(np.log(ratio) / np.log(span))

    @cached_property
    def integral_index(self):
        """Differential index of the rate integrated over the whole field of view."""
        return self.index - 2 * self.sigma_slope * (self.normalization == "center")

    @property
    def center_index(self):
        """Differential index of the rate at the centre of the field of view."""
        return self.integral_index + 2 * self.sigma_slope

    def width(self, energy):
        """σ(E) in deg; energy in TeV."""
        return self.sigma[0] * (energy / self.sigma_energy[0]) ** self.sigma_slope

    def total_rate(self, zenith=0.0):
        """Events per second of livetime, all energies and directions; zenith in deg."""
        if not 0 <= zenith <= 90:
            raise ValueError(f"zenith: got {zenith}, expected deg between 0 and 90")
        share = 0.25 if self.quadrant else 1.0
        return share * self.event_rate * (1 - self.zenith_slope * zenith / 90)

    def rate(self, energy, fov_lon, fov_lat, zenith=0.0):
        """Differential rate in s-1 MeV-1 sr-1 at points (TeV, deg), broadcast together."""
        energy, fov_lon, fov_lat = np.broadcast_arrays(energy, fov_lon, fov_lat)
        sigma = self.width(energy)
        square = (fov_lon - self.peak[0]) ** 2 + (fov_lat - self.peak[1]) ** 2
        radial = np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)
        density = self._energy_density(energy) * radial * self.total_rate(zenith)
        if self.quadrant:
            density = density * 4 * ((fov_lon <= 0) & (fov_lat <= 0))
        return density / (MEV_PER_TEV * RAD_PER_DEG**2 * np.cos(RAD_PER_DEG * fov_lat))

    def integrate(self, axes, zenith=0.0, energy_min=0.0):
        """Events per second of livetime in each bin, exact: s-1, shape of ``axes``.

        Of a bin that holds ``energy_min`` (TeV) only what lies above is counted.

        ∫ p(E) P_lon(σ(E)) P_lat(σ(E)) dE with P_lon, P_lat differences of the
        normal's cumulative, and Gauss–Legendre nodes in ln E.
        """
        lowest, highest = self.energy_range
        low, high = (
            np.log(np.clip(edges, np.clip(energy_min, lowest, highest), highest))
            for edges in (axes.energy[:-1], axes.energy[1:])
        )
        energy, weight = _log_nodes(low, high, max(1 / PANEL, self._steepest(axes) / FOLDS))
        weight = weight * energy * self._energy_density(energy)
        lon, lat = (self._pixels(edges, energy) for edges in self._from_peak(axes))
        return self.total_rate(zenith) * np.einsum(
            "kn,knx,kny->kxy", weight, lon, lat, optimize=True
        )

    def cube(self, axes, zenith=0.0, livetime=None):
        """The true cube: bin-average rate over exact solid angles.

        Parameters
        ----------
        axes : Axes
        zenith : float
            deg
        livetime : float, optional
            s; with it the cube holds the expected counts, too.

        Examples
        --------
        >>> from simbg.axes import edition2015_axes
        >>> cube = GaussianTruth().cube(edition2015_axes(), zenith=20.0, livetime=3600.0)
        >>> cube.rate.shape, round(cube.counts.sum())
        ((20, 60, 60), 16889)
        """
        events = self.integrate(axes, zenith)
        exposure = {}
        if livetime is not None:
            full = np.full(axes.shape, float(livetime))
            exposure = {"counts": events * livetime, "livetime": full, "ontime": full}
        meta = {"METHOD": "truth", "ZENITH": float(zenith)}
        return BackgroundCube(axes, events / axes.volume, meta=meta, **exposure)

    def draw(self, livetime, zenith, rng):
        """Draw a Poisson number of events.

        Parameters
        ----------
        livetime : float
            s
        zenith : float
            deg
        rng : numpy.random.Generator

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV, deg, deg; unbinned and exact, in random order.
        """
        return self.sample(int(rng.poisson(self.total_rate(zenith) * livetime)), rng)

    def sample(self, n_events, rng):
        """Draw events: unbinned and exact.

        Parameters
        ----------
        n_events : int
        rng : numpy.random.Generator

        Returns
        -------
        energy, fov_lon, fov_lat : ndarray, shape (n_events,)
            TeV, deg, deg
        """
        energy, fov_lon, fov_lat = (np.empty(n_events) for _ in range(3))
        for start in range(0, n_events, CHUNK):
            part = slice(start, min(start + CHUNK, n_events))
            self._sample_into(energy[part], fov_lon[part], fov_lat[part], rng)
        return energy, fov_lon, fov_lat

    def _sample_into(self, energy, fov_lon, fov_lat, rng):
        self._log_energies_into(energy, rng)
        self._directions_into(fov_lon, fov_lat, energy, rng)
        self._exp_into(energy)

    def _log_energies_into(self, log_energy, rng):
        """ln(E / lowest): the inverse of the cumulative."""
        low, high = self.energy_range
        span, steepness = np.log(high / low), self.integral_index - 1
        rng.random(out=log_energy)
        if steepness:
            log_energy *= np.expm1(-steepness * span)
            np.log1p(log_energy, out=log_energy)
            log_energy *= -1 / steepness
        else:
            log_energy *= span

    def _directions_into(self, fov_lon, fov_lat, log_energy, rng):
        """A normal in each direction, at energies ln(E / lowest)."""
        sigma = np.exp(self.sigma_slope * log_energy)
        sigma *= self.width(self.energy_range[0])
        for angle, peak in zip((fov_lon, fov_lat), self.peak, strict=True):
            rng.standard_normal(out=angle)
            angle *= sigma
            if self.quadrant:
                np.negative(np.abs(angle, out=angle), out=angle)
            if peak:
                angle += peak

    def _exp_into(self, log_energy):
        """TeV in the place of ln(E / lowest)."""
        low, high = self.energy_range
        np.exp(log_energy, out=log_energy)
        log_energy *= low
        np.minimum(log_energy, high, out=log_energy)

    def _from_peak(self, axes):
        """Edges in fov_lon and fov_lat relative to the peak."""
        return axes.fov_lon - self.peak[0], axes.fov_lat - self.peak[1]

    def _steepest(self, axes):
        """Largest change of ln n with ln E, in the farthest corner, where the width is least."""
        corner = sum(np.abs(edges).max() ** 2 for edges in self._from_peak(axes))
        exponent = corner / self.width(np.array(self.energy_range)).min() ** 2
        change = 2 + min(exponent, 2 * LAST_EXPONENT)
        return abs(self.integral_index - 1) + abs(self.sigma_slope) * change

    def _energy_density(self, energy):
        """p(E) in TeV-1: E^−Γ ÷ ∫E^−Γ dE, the integral as expm1 so that Γ = 1 is no exception."""
        low, high = self.energy_range
        steepness, span = self.integral_index - 1, np.log(high / low)
        norm = -np.expm1(-steepness * span) / steepness if steepness else span
        inside = (energy >= low) & (energy <= high)
        return np.where(inside, (energy / low) ** -self.integral_index / (low * norm), 0.0)

    def _pixels(self, edges, energy):
        """Probability of each pixel along one direction, (n_energy, n_nodes, n_pixel)."""
        if self.quadrant:
            edges = np.minimum(edges, 0.0)
        scaled = edges / self.width(energy)[..., None]
        # In the upper half the difference of two small tails, not of two numbers near one.
        upper = scaled[..., :-1] > 0
        low, high = scaled[..., :-1], scaled[..., 1:]
        share = np.where(upper, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
        return 2 * share if self.quadrant else share


def edition2015_cube(
    axes=None,
    altitude=70.0,
    sigma=5.0,
    index_counts=2.7,
    apply_mask=False,
):
    """The true cube of 2015's ``make_test_bg_cube_model``, its inconsistencies kept.

    Model values at bin centres stand for bin contents, the gaussian is
    exp(−r²/σ²), solid angles are flat, ``index_counts`` is that of the counts per
    logarithmic energy bin (the rate falls with one more), and the norm is
    arbitrary. For a truth that a simulation agrees with take `GaussianTruth`.

    Parameters
    ----------
    axes : Axes, optional
        Default: 14 × 24 × 24 bins over 0.01–100 TeV and ±10 deg, as in 2015.
    altitude, sigma : float
        deg
    index_counts : float
        2015's ``spectral_index`` Γc.
    apply_mask : bool
        Keep only the quadrant below the centre in both directions. (2015's text
        says that it masks a quadrant; its code masks the other three.)

    Returns
    -------
    cube : BackgroundCube
        Counts, a livetime of 1 s, and the rate, at least 1e-10 s-1 TeV-1 sr-1.

    Examples
    --------
    >>> cube = edition2015_cube(altitude=81.0, sigma=5.0, index_counts=1.5)
    >>> cube.rate.shape
    (14, 24, 24)
    """
    if axes is None:
        angle = np.linspace(-10, 10, 25)
        axes = Axes(np.geomspace(0.01, 100, 15), angle, angle)
    energy = axes.energy_center[:, None, None]
    lon, lat = axes.fov_lon_center[:, None], axes.fov_lat_center
    # This becomes a file that is the same everywhere, so functions are correctly rounded.
    slope = float(portable.log(2) / portable.log(axes.energy[-1] / axes.energy[0]))
    width = 0.5 * sigma * portable.power(energy / axes.energy[0], slope)
    norm = 0.5 + 0.5 * altitude / 90
    image = portable.exp(-(lon**2) / width**2) * portable.exp(-(lat**2) / width**2)
    counts = norm * image * portable.power(energy, -index_counts)
    keep = np.ones(axes.shape)
    if apply_mask:
        middle = [0.5 * (edges[0] + edges[-1]) for edges in (axes.fov_lon, axes.fov_lat)]
        keep = keep * ((lon <= middle[0]) & (lat <= middle[1]))
    rate = np.maximum(counts / axes.flat_volume, 1e-10 / MEV_PER_TEV)
    return BackgroundCube(
        axes,
        rate * keep,
        counts=counts * keep,
        livetime=keep.copy(),
        ontime=keep.copy(),
        meta={"METHOD": "edition2015"},
    )


def _log_nodes(low, high, density):
    """Nodes (TeV) and weights (in ln E) of ``density`` panels a unit, (n_bins, panels · 12)."""
    panels = max(1, int(np.ceil((high - low).max() * density)))
    step = (high - low)[:, None] / panels
    start = low[:, None] + step * np.arange(panels)
    nodes = start[..., None] + 0.5 * step[..., None] * (X + 1)
    weights = np.broadcast_to(0.5 * step[..., None] * W, nodes.shape)
    return np.exp(nodes).reshape(low.size, -1), weights.reshape(low.size, -1)
