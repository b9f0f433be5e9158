"""Test sources: the counts of a source of one Crab in the bins of a cube."""

from dataclasses import dataclass

import numpy as np
from scipy.special import chndtr

from simbg.axes import Axes
from simbg.truth.sources import GammaSource
from simbg.validation.impact.instrument import Instrument

__all__ = ["CRAB", "SHAPES", "Template", "TestSource"]

# Differential flux of the Crab nebula at 1 TeV, cm-2 s-1 TeV-1, and its index.
NEBULA = GammaSource("Crab nebula", 83.633, 22.014)
CRAB, CRAB_INDEX = NEBULA.flux, NEBULA.index
# Energies of a bin at which the effective area is evaluated.
N_ENERGIES = 9
# A template ends at this number of σ of the point spread function beyond the source: 3e-5 of the
# events of a point source lie outside.
REACH = 4.55
# Largest side of a part of a pixel, in units of the rms radius of the image along one direction.
FINE = 0.6
SHAPES = ("disc", "gaussian")


@dataclass(frozen=True)
class TestSource:
    """A source that an analysis looks for.

    Parameters
    ----------
    size : float
        Radius of a disc, or σ of a gaussian, deg; 0 for a point source.
    shape : {"disc", "gaussian"}
        The shape.
    index : float
        Differential index of the spectrum.

    Raises
    ------
    ValueError
        If the size is not between 0 and 10 deg, the shape has another name, or the index is not
        finite.

    Examples
    --------
    >>> TestSource(0.5).name, TestSource().name
    ('disc 0.5 deg', 'point')
    """

    __test__ = False  # no test of pytest

    size: float = 0.0
    shape: str = "disc"
    index: float = CRAB_INDEX

    def __post_init__(self) -> None:
        if not 0 <= self.size < 10:
            raise ValueError(f"size of a source: got {self.size} deg, expected 0 to 10 deg")
        if self.shape not in SHAPES:
            raise ValueError(f"shape of a source: got {self.shape!r}, expected {SHAPES}")
        if not np.isfinite(self.index):
            raise ValueError(f"index of a source: got {self.index}, expected a number")

    @property
    def name(self) -> str:
        """Shape and size."""
        return f"{self.shape} {self.size:g} deg" if self.size else "point"

    def width(self, psf: float) -> float:
        """The rms radius of the image along one direction, deg.

        Parameters
        ----------
        psf : float
            σ of the point spread function, deg.
        """
        return float(np.hypot(psf, self.size / 2 if self.shape == "disc" else self.size))

    def reach(self, psf: float) -> float:
        """Radius beyond which the image is neglected, deg.

        Parameters
        ----------
        psf : float
            σ of the point spread function, deg.
        """
        if self.shape == "disc":
            return self.size + REACH * psf
        return REACH * float(np.hypot(self.size, psf))

    def density(self, radius: np.ndarray, psf: float) -> np.ndarray:
        """Density of the image at distances from its centre, deg-2; its integral is 1.

        Parameters
        ----------
        radius : ndarray
            Distances, deg.
        psf : float
            σ of the point spread function, deg.

        Notes
        -----
        The convolution of a disc of radius R with a gaussian is, at r, the probability that a
        point scattered by σ from r lies in the disc, ÷ π R²: the distribution function of the
        noncentral χ² with two degrees of freedom and noncentrality r²/σ², at R²/σ².
        """
        if self.size and self.shape == "disc":
            inside = chndtr((self.size / psf) ** 2, 2, (radius / psf) ** 2)
            return inside / (np.pi * self.size**2)
        variance = psf**2 + self.size**2
        return np.exp(-0.5 * radius**2 / variance) / (2 * np.pi * variance)

    def flux(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Flux between energies for the differential flux of the Crab nebula at 1 TeV.

        Parameters
        ----------
        low, high : ndarray
            Energies, TeV.

        Returns
        -------
        flux : ndarray
            cm-2 s-1.
        """
        k = 1 - self.index
        return CRAB * (high**k - low**k) / k if k else CRAB * np.log(high / low)


@dataclass(frozen=True, eq=False)
class Template:
    """Expected counts of a source of one Crab for a livetime of one hour.

    Parameters
    ----------
    box : tuple of slice
        Pixels that the template covers.
    parts : int
        Each of these pixels is divided into parts × parts equal parts.
    counts : ndarray, shape (n_energy, parts · n_lon, parts · n_lat)
        Counts in each part of a pixel.
    """

    box: tuple[slice, slice]
    parts: int
    counts: np.ndarray

    @classmethod
    def of(
        cls, source: TestSource, axes: Axes, lon: float, lat: float, instrument: Instrument
    ) -> "Template":
        """The template of a source.

        Parameters
        ----------
        source : TestSource
            Size, shape and spectrum.
        axes : Axes
            The bins.
        lon, lat : float
            Position in the field of view, deg. The source does not move in the field.
        instrument : Instrument
            Effective area and point spread function, of which those at the offset of the centre
            of the source apply to all of it.

        Raises
        ------
        ValueError
            If the position is outside of the field.

        Examples
        --------
        >>> axes = Axes.regular(energy=(0.5, 10, 4), fov=(2, 20))
        >>> template = Template.of(TestSource(), axes, 0.5, 0.0, Instrument.simulated())
        >>> crab = GammaSource("Crab", 0, 0).event_rate(0.5, 10) * 3600
        >>> round(float(template.counts.sum() / crab), 4)  # 3e-5 of the events lie outside
        1.0
        """
        edges = axes.fov_lon, axes.fov_lat
        if not all(e[0] < x < e[-1] for x, e in zip((lon, lat), edges, strict=True)):
            raise ValueError(f"source at ({lon:g}, {lat:g}) deg: expected a place in the field")
        offset = np.hypot(lon, lat)
        sigmas = instrument.psf_at(axes.energy_center, offset)
        reach = source.reach(float(np.max(sigmas)))
        box = tuple(_around(e, x, reach) for e, x in zip(edges, (lon, lat), strict=True))
        pixel = max(float(np.diff(e).max()) for e in edges)
        parts = int(np.ceil(pixel / (FINE * source.width(float(np.min(sigmas))))))
        fine = [_divided(e[b.start : b.stop + 1], parts) for e, b in zip(edges, box, strict=True)]
        area = np.outer(*(np.diff(f) for f in fine))
        middle = [0.5 * (f[1:] + f[:-1]) for f in fine]
        # Small angles: a longitude is shorter by the cosine of its latitude.
        stretch = np.cos(np.radians(middle[1]))
        radius = np.hypot((middle[0][:, None] - lon) * stretch, middle[1] - lat)
        images: dict[float, np.ndarray] = {}
        for sigma in np.unique(sigmas):
            images[sigma] = source.density(radius, float(sigma)) * area * stretch
        rate = _spectrum(source, axes, offset, instrument)
        shape = np.array([images[sigma] for sigma in sigmas])
        return cls(box, parts, 3600 * rate[:, None, None] * shape)


def _around(edges, center, reach):
    """Pixels at most as far from a place."""
    first, last = np.searchsorted(edges, (center - reach, center + reach))
    return slice(max(int(first) - 1, 0), min(int(last), edges.size - 1))


def _divided(edges, parts):
    """Edges of equal parts of all pixels."""
    steps = np.arange(parts) / parts
    return np.append((edges[:-1, None] + np.diff(edges)[:, None] * steps).ravel(), edges[-1])


def _spectrum(source, axes, offset, instrument):
    """Expected events per second in each energy bin, Hz."""
    ratio = np.linspace(0, 1, N_ENERGIES)
    low, high = axes.energy[:-1, None], axes.energy[1:, None]
    energy = low * (high / low) ** ratio
    flux = source.flux(energy[:, :-1], energy[:, 1:])
    middle = np.sqrt(energy[:, 1:] * energy[:, :-1])
    return (flux * instrument.area_at(middle, offset)).sum(axis=1)
