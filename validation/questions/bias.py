"""Bias: the expectation of a cube against the truth, in all directions at once."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from simbg.axes import Axes
from simbg.validation.questions.cross_products import CrossProducts
from simbg.validation.questions.replicates import Replicates

__all__ = ["energy_bands", "measure_bias"]

# Bands of energy, of about equal width in ln E.
N_BANDS = 6
# A local bias may contribute this fraction of the rms that is required of all bins.
LOCAL = 0.1
# Relative biases below this are those of rounding.
EXACT = 1e-9
# Counts of all replicates that a part needs: with less, no event at all looks like a bias.
LEAST_COUNTS = 100


@dataclass(frozen=True, eq=False)
class Bias:
    """The relative bias of some bins, as a root mean square weighted with the expected counts.

    Parameters
    ----------
    name : str
        Which bins.
    total, whole : float
        Their expected counts, Σ λ, and those of all bins.
    products : CrossProducts
        Of their deviations.

    Notes
    -----
    rms² = Σ λ ((⟨μ̂⟩ − λ)/λ)² / Σ λ = |b|²/Σ λ. The estimate has no contribution of the noise.
    """

    name: str
    total: float
    whole: float
    products: CrossProducts

    @property
    def square(self) -> float:
        """Estimate of rms²; negative if the noise makes it so."""
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
            Probability that a limit is above the true value.
        """
        return float(np.sqrt(self.products.upper(confidence) / self.total))

    def lower(self, confidence: float = 0.95) -> float:
        """One-sided lower limit of the rms relative bias; 0 if no bias is significant.

        Parameters
        ----------
        confidence : float
            Probability that a limit is below the true value.
        """
        return float(np.sqrt(self.products.lower(confidence) / self.total))

    def pvalue(self, require: float = 0.0) -> float:
        """Probability of an estimate as large as this one for a method that meets a requirement.

        Parameters
        ----------
        require : float
            The rms relative bias that is allowed; see `allowed`.
        """
        return self.products.pvalue(float(allowed(require, self.total, self.whole)) ** 2)


def measure_bias(replicates: Replicates) -> list[Bias]:
    """The bias of all bins, of bands of energy, and of the image of all energies.

    Parameters
    ----------
    replicates : Replicates
        Of a method; four identical ones if its cube of expected counts is its expectation (of a
        method that is linear in the counts): the bias then has no error.

    Returns
    -------
    biases : list of Bias
        First the one of all bins. Bands with too few counts are left out.

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
    parts = [Bias("all bins", whole, whole, CrossProducts.of(deviations))]
    for band in energy_bands(replicates.axes):
        inside = (energy >= band.start) & (energy < band.stop)
        total = float(weight[inside].sum())
        if total * replicates.independent >= LEAST_COUNTS:
            name = band_name(replicates.axes, band)
            parts.append(Bias(name, total, whole, CrossProducts.of(deviations[:, inside])))
    pixel = np.ravel_multi_index((lon, lat), replicates.axes.shape[1:])
    image = in_cells(deviations, weight, pixel)
    return [*parts, Bias("image of all energies", whole, whole, CrossProducts.of(image))]


def allowed(require: float, total: ArrayLike, whole: float) -> np.ndarray:
    """The largest √Σ bias²/λ that a requirement allows in some bins.

    Parameters
    ----------
    require : float
        The rms relative bias that is allowed in all bins, and in parts of them that matter.
    total : array_like
        Expected counts of the bins.
    whole : float
        Expected counts of all bins.

    Notes
    -----
    max(require, 1e-9) √max(Σ λ, 0.01 N). In bins with less than 1 % of the counts more is allowed:
    what contributes a tenth of the required rms to that of all bins.
    """
    return max(require, EXACT) * np.sqrt(np.maximum(total, LOCAL**2 * whole))


def energy_bands(axes: Axes) -> list[slice]:
    """Neighbouring energy bins in `N_BANDS` bands of about the same number of bins.

    Parameters
    ----------
    axes : Axes
        Of the cube.
    """
    edges = np.linspace(0, axes.shape[0], min(N_BANDS, axes.shape[0]) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def band_name(axes: Axes, band: slice) -> str:
    """The energies of a band in words.

    Parameters
    ----------
    axes : Axes
        Of the cube.
    band : slice
        Of the energy bins.
    """
    return f"{axes.energy[band.start]:.3g} to {axes.energy[band.stop]:.3g} TeV"


def in_cells(deviations: np.ndarray, weight: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Deviations of sums of bins, (Σ μ̂ − Σ λ)/√Σ λ.

    Parameters
    ----------
    deviations : ndarray, shape (R, n)
        Of the bins.
    weight : ndarray, shape (n,)
        λ of the bins.
    cell : ndarray of int, shape (n,)
        The cell of each bin.

    Returns
    -------
    deviations : ndarray, shape (R, number of cells)
        Of the cells that expect counts.
    """
    total = np.bincount(cell, weight)
    sums = np.array([np.bincount(cell, row * np.sqrt(weight)) for row in deviations])
    return sums[:, total > 0] / np.sqrt(total[total > 0])
