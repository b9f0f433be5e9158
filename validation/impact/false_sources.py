"""False sources: the expected number of peaks in the significance map of an empty field."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, signal, special

from simbg.axes import Axes
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

__all__ = ["SignificanceMap", "peak_density"]

# Largest spatial frequency in units of 1/σ: e^(−k²σ²) is 1e-16 there.
LAST_FREQUENCY = 6.0
# Heights of peaks, in σ, between which their density is integrated.
HEIGHTS = np.linspace(-9, 9, 1801)


def peak_density(threshold: ArrayLike, source: TestSource, psf: float) -> np.ndarray:
    """Expected number of local maxima above a threshold in a map of significance without sources.

    Parameters
    ----------
    threshold : array_like
        Thresholds, in standard deviations.
    source : TestSource
        The source whose template is fitted at each position.
    psf : float
        σ of the point spread function, deg.

    Returns
    -------
    density : ndarray, shape of ``threshold``
        deg-2.

    Notes
    -----
    The map is a gaussian random field with the power spectrum |S(k)|² of the template. The density
    of its maxima of height ν is (Bond & Efstathiou 1987, doi:10.1093/mnras/226.3.655; for waves
    Longuet-Higgins 1957, doi:10.1098/rsta.1957.0002)
    n(ν) = e^(−ν²/2) G(γ, γν) / ((2π)^(3/2) θ²), with the moments ⟨kⁿ⟩ of the power spectrum,
    γ = ⟨k²⟩ / √⟨k⁴⟩ and θ² = 2 ⟨k²⟩ / ⟨k⁴⟩.

    Examples
    --------
    All maxima of a point source's map, 1/(4π√3 θ²), where θ is the width of the template:

    >>> density = peak_density(-8.0, TestSource(), psf=0.1)
    >>> bool(np.isclose(density, 1 / (4 * np.pi * 3**0.5 * 0.01), rtol=1e-4))
    True
    """
    second, fourth = _moments(source, psf)
    gamma, theta2 = second / np.sqrt(fourth), 2 * second / fourth
    density = np.exp(-0.5 * HEIGHTS**2) * _shape(gamma, gamma * HEIGHTS)
    density /= (2 * np.pi) ** 1.5 * theta2
    above = integrate.cumulative_simpson(density[::-1], x=-HEIGHTS[::-1], initial=0)[::-1]
    return np.interp(np.asarray(threshold, float), HEIGHTS, above)


def _moments(source, psf):
    """⟨k²⟩ and ⟨k⁴⟩ of the power spectrum of a template, deg-2 and deg-4."""
    width = psf if source.shape == "disc" else float(np.hypot(psf, source.size))
    k = np.linspace(0, LAST_FREQUENCY / width, 4001)[1:]
    power = np.exp(-((k * width) ** 2))
    if source.size and source.shape == "disc":
        power = power * (2 * special.j1(k * source.size) / (k * source.size)) ** 2
    total, second, fourth = (integrate.trapezoid(power * k**n, k) for n in (1, 3, 5))
    return second / total, fourth / total


def _shape(gamma, x):
    """G(γ, x) of Bond & Efstathiou 1987, equation A1.9."""
    rest = 1 - gamma**2
    first = (x**2 - gamma**2) * (1 - 0.5 * special.erfc(x / np.sqrt(2 * rest)))
    second = x * rest * np.exp(-(x**2) / (2 * rest)) / np.sqrt(2 * np.pi * rest)
    third = np.exp(-(x**2) / (3 - 2 * gamma**2)) / np.sqrt(3 - 2 * gamma**2)
    third *= 1 - 0.5 * special.erfc(x / np.sqrt(2 * rest * (3 - 2 * gamma**2)))
    return first + second + third


@dataclass(frozen=True, eq=False)
class SignificanceMap:
    """Mean significance of a source that is not there, at each pixel, for one hour of livetime.

    Parameters
    ----------
    axes : Axes
        The bins.
    mean : ndarray, shape (n_lon, n_lat)
        Bias of the flux ÷ its statistical error; NaN without exposure.
    source : TestSource
        The source that is fitted at the centre of each pixel.
    psf : float
        σ of the point spread function, deg.
    """

    axes: Axes
    mean: np.ndarray
    source: TestSource
    psf: float

    @classmethod
    def of(
        cls,
        axes: Axes,
        true: np.ndarray,
        model: np.ndarray,
        source: TestSource,
        instrument: Instrument,
        observed: bool = False,
    ) -> "SignificanceMap":
        """The map of a model.

        Parameters
        ----------
        axes : Axes
            The bins.
        true, model : ndarray, shape of the axes
            True background counts, and those of the model, for one hour.
        source : TestSource
            The source that is fitted.
        instrument : Instrument
            Its effective area and point spread function in the centre of the field.
        observed : bool
            Whether ``true`` are observed counts. Their errors are then those of the model, since
            bins without counts have errors, too.

        Notes
        -----
        The linear approximation of `Fit`. With the norm that the field determines, ν = Σ n / Σ B,
        the flux is Σ S (n − ν B)/n ÷ (Σ S²/n − (Σ S)²/Σ n), and its error the inverse root of the
        denominator.
        """
        template = _centered(axes, source, instrument)
        norm = true.sum() / model.sum()
        variance = norm * model if observed else true
        used = variance > 0
        inverse = np.divide(1.0, variance, out=np.zeros_like(variance), where=used)
        relative = (true - norm * model) * inverse
        values = relative, inverse, used.astype(float)
        if _same_everywhere(axes, template):
            excess, information, total = _correlations(template, values)
        else:
            excess, information, total = _sums(axes, source, instrument, values)
        information = information - total**2 / true.sum()
        exposed = used.any(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(exposed & (information > 0), excess / np.sqrt(information), np.nan)
        weights = template.counts.sum(axis=(1, 2))
        psf = float(np.average(instrument.psf_at(axes.energy_center, 0.0), weights=weights))
        return cls(axes, mean, source, psf)

    def expected(self, threshold: float, hours: float, radius: float = np.inf) -> float:
        """Expected number of peaks above a threshold.

        Parameters
        ----------
        threshold : float
            In standard deviations.
        hours : float
            Livetime, h.
        radius : float
            Only pixels closer to the centre of the field are counted, deg.

        Returns
        -------
        number : float
            Peaks of the sum of statistical fluctuations and the mean, which is taken as constant
            over the size of a peak.
        """
        lon, lat = self.axes.fov_lon_center[:, None], self.axes.fov_lat_center
        used = np.isfinite(self.mean) & (np.hypot(lon, lat) < radius)
        area = np.broadcast_to(self.axes.solid_angle * np.degrees(1) ** 2, self.mean.shape)
        shifted = threshold - self.mean[used] * np.sqrt(hours)
        return float(np.sum(area[used] * peak_density(shifted, self.source, self.psf)))


def _centered(axes, source, instrument):
    """The template in the middle of a pixel near the centre of the field."""
    place = (
        float(center[np.argmin(np.abs(center))])
        for center in (axes.fov_lon_center, axes.fov_lat_center)
    )
    lon, lat = place
    return Template.of(source, axes, lon, lat, instrument)


def _same_everywhere(axes, template):
    """Whether the template can be moved: pixels have one size, and it covers a part of them."""
    steps = [np.diff(edges) for edges in axes.edges[1:]]
    parts = (box.stop - box.start for box in template.box)
    inside = all(part < step.size for part, step in zip(parts, steps, strict=True))
    return inside and all(np.ptp(step) < 1e-6 * step.mean() for step in steps)


def _correlations(template, values):
    """Σ S v, Σ S² v and Σ S v of three values v, for the template around each pixel."""
    sums = [0.0, 0.0, 0.0]
    for e, image in enumerate(template.counts):
        whole, square = _in_pixels(image, template.parts)
        for i, kernel in enumerate((whole, square, whole)):
            sums[i] = sums[i] + _correlated(values[i][e], kernel)
    return sums


def _sums(axes, source, instrument, values):
    """The same with a template of its own for each pixel."""
    sums = np.zeros((3, *axes.shape[1:]))
    for i, lon in enumerate(axes.fov_lon_center):
        for j, lat in enumerate(axes.fov_lat_center):
            template = Template.of(source, axes, float(lon), float(lat), instrument)
            for e, image in enumerate(template.counts):
                whole, square = _in_pixels(image, template.parts)
                near = [value[e][template.box] for value in values]
                sums[:, i, j] += [
                    np.sum(k * v) for k, v in zip((whole, square, whole), near, strict=True)
                ]
    return sums


def _in_pixels(image, parts):
    """Counts of pixels, and the sum of the squares of their parts · parts²."""
    n_lon, n_lat = image.shape
    cells = image.reshape(n_lon // parts, parts, n_lat // parts, parts)
    return cells.sum(axis=(1, 3)), parts**2 * (cells**2).sum(axis=(1, 3))


def _correlated(values, kernel):
    """Correlation with a symmetric kernel around each pixel."""
    return signal.fftconvolve(values, kernel, mode="same")
