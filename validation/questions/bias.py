"""Bias: the difference of the expectation of a cube and the truth, over all bins together."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.validation.questions.cross_products import CrossProducts
from simbg.validation.questions.replicates import Replicates

__all__ = ["energy_bands", "measure_bias"]

# Number of energy bands; they have about equal widths in ln E.
N_BANDS = 6
# A local bias may contribute this fraction of the required rms bias of all bins.
LOCAL = 0.1
# Relative biases below this are attributed to rounding.
EXACT = 1e-9
# Least counts of an energy band, summed over replicates: with fewer, the absence of events would
# appear as a bias.
LEAST_COUNTS = 100


@dataclass(frozen=True, eq=False)
class Bias:
    """The relative bias of some bins, as a root mean square weighted with the expected counts.

    Parameters
    ----------
    name : str
        Name of the bins.
    total, whole : float
        Their expected counts, Σ λ, and those of all bins.
    products : CrossProducts
        Cross products of their deviations.

    Notes
    -----
    rms² = Σ λ ((⟨μ̂⟩ − λ)/λ)² / Σ λ = |b|²/Σ λ. The noise does not contribute to the
    expectation of the estimate.
    """

    name: str
    total: float
    whole: float
    products: CrossProducts

    @property
    def square(self) -> float:
        """Estimate of rms²; it may be negative because of the noise."""
        return self.products.square / self.total

    @property
    def square_error(self) -> float:
        """Standard error of `square`."""
        return self.products.error / self.total

    @property
    def rms(self) -> float:
        """Estimate of the rms relative bias, 0 if `square` is negative."""
        return float(np.sqrt(max(self.square, 0.0)))

    def upper(self, confidence: float = 0.95) -> float:
        """One-sided upper limit of the rms relative bias.

        Parameters
        ----------
        confidence : float
            Probability that the limit is above the true value.
        """
        return float(np.sqrt(self.products.upper(confidence) / self.total))

    def lower(self, confidence: float = 0.95) -> float:
        """One-sided lower limit of the rms relative bias; 0 if no bias is significant.

        Parameters
        ----------
        confidence : float
            Probability that the limit is below the true value.
        """
        return float(np.sqrt(self.products.lower(confidence) / self.total))

    def pvalue(self, require: float = 0.0) -> float:
        """Probability of an estimate at least this large for a method that meets a requirement.

        Parameters
        ----------
        require : float
            The rms relative bias that is allowed; see `allowed`.
        """
        return self.products.pvalue(float(allowed(require, self.total, self.whole)) ** 2)


def measure_bias(replicates: Replicates) -> list[Bias]:
    """Measure the bias of all bins, of energy bands, and of the image of all energies.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method. For a method that is linear in the counts, four identical
        replicates made from the expected counts may be used: the bias then has no error.

    Returns
    -------
    biases : list of Bias
        The first is the bias of all bins. Bands with too few counts are left out.

    Examples
    --------
    >>> axes = Axes.regular(energy=(0.1, 10, 2), fov=(2, 4))
    >>> expected = np.full(axes.shape, 100.0)
    >>> first, *_ = measure_bias(Replicates(axes, expected, np.array([1.03 * expected] * 4)))
    >>> first.name, round(first.rms, 6), round(first.upper(), 6)
    ('all bins', 0.03, 0.03)
    """
    deviations, weight = replicates.deviations, replicates.weight
    energy, lon, lat = np.nonzero(replicates.used)
    whole = replicates.total
    parts = [Bias("all bins", whole, whole, CrossProducts.of(deviations, weight))]
    for band in energy_bands(replicates.axes):
        inside = (energy >= band.start) & (energy < band.stop)
        total = float(weight[inside].sum())
        if total * replicates.independent >= LEAST_COUNTS:
            name = band_name(replicates.axes, band)
            parts.append(
                Bias(name, total, whole, CrossProducts.of(deviations[:, inside], weight[inside]))
            )
    pixel = np.ravel_multi_index((lon, lat), replicates.axes.shape[1:])
    image, counts = in_cells(deviations, weight, pixel)
    return [*parts, Bias("image of all energies", whole, whole, CrossProducts.of(image, counts))]


def allowed(require: float, total: ArrayLike, whole: float) -> np.ndarray:
    """The largest √Σ bias²/λ that a requirement allows in some bins.

    Parameters
    ----------
    require : float
        The rms relative bias that is allowed in all bins, and in parts with 1 % of the counts or
        more.
    total : array_like
        Expected counts of the bins.
    whole : float
        Expected counts of all bins.

    Notes
    -----
    max(require, 1e-9) √max(Σ λ, 0.01 N). In bins with less than 1 % of the counts a larger bias is
    allowed: one that contributes a tenth of the required rms bias to that of all bins.
    """
    return max(require, EXACT) * np.sqrt(np.maximum(total, LOCAL**2 * whole))


def energy_bands(axes: Axes) -> list[slice]:
    """Neighbouring energy bins in `N_BANDS` bands of about the same number of bins.

    Parameters
    ----------
    axes : Axes
        Axes of the cube.
    """
    edges = np.linspace(0, axes.shape[0], min(N_BANDS, axes.shape[0]) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def band_name(axes: Axes, band: slice) -> str:
    """Name an energy band by its edges.

    Parameters
    ----------
    axes : Axes
        Axes of the cube.
    band : slice
        Energy bins of the band.
    """
    return f"{axes.energy[band.start]:.3g} to {axes.energy[band.stop]:.3g} TeV"


def in_cells(
    deviations: np.ndarray, weight: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of sums of bins, (Σ μ̂ − Σ λ)/√Σ λ.

    Parameters
    ----------
    deviations : ndarray, shape (R, n)
        Deviations of the bins.
    weight : ndarray, shape (n,)
        Expected counts λ of the bins.
    cell : ndarray of int, shape (n,)
        Number of the cell of each bin.

    Returns
    -------
    deviations : ndarray, shape (R, number of cells)
        Deviations of the cells with expected counts.
    total : ndarray, shape (number of cells,)
        Expected counts of these cells.
    """
    total = np.bincount(cell, weight)
    sums = np.array([np.bincount(cell, row * np.sqrt(weight)) for row in deviations])
    return sums[:, total > 0] / np.sqrt(total[total > 0]), total[total > 0]
