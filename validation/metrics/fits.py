"""Maximum-likelihood fits of a power law to a spectrum and of a normal distribution to an image."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

__all__ = ["fit_index", "fit_width"]

# Range of fitted indices. An index outside it comes from counts in a single bin.
INDEX_RANGE = -10.0, 20.0


def fit_index(
    counts: ArrayLike, energy: ArrayLike, exposure: ArrayLike | None = None
) -> tuple[float, float]:
    """Maximum-likelihood index of a power law from binned counts, with a free norm.

    Parameters
    ----------
    counts : array_like, shape (n_energy,)
        Counts, or expected counts; not negative.
    energy : array_like, shape (n_energy + 1,)
        Edges, in any unit.
    exposure : array_like, shape (n_energy,), optional
        Relative exposure of each bin; by default the same for all.

    Returns
    -------
    index, error : float
        NaN if fewer than two bins contain counts.

    Notes
    -----
    The expected counts of a bin are proportional to exposure · ∫ E^−Γ dE. Given their sum, the
    counts are multinomial, and the likelihood equation is Σ n_k ⟨ln E⟩_k = N ⟨ln E⟩: the mean of
    ln E over the counts is that of the model. The error is from the Fisher information of the
    multinomial distribution, N Var(⟨ln E⟩_k).

    Examples
    --------
    >>> edges = np.geomspace(0.1, 100, 11)
    >>> counts = -np.diff(edges**-1.7)
    >>> index, _ = fit_index(counts, edges)
    >>> float(round(index, 9))
    2.7
    """
    counts = np.asarray(counts, float)
    log_edges = np.log(np.asarray(energy, float))
    weight = np.ones(counts.size) if exposure is None else np.asarray(exposure, float)
    used = weight > 0
    if np.count_nonzero(counts[used]) < 2:
        return np.nan, np.nan

    n, low_edge, high_edge = counts[used], log_edges[:-1][used], log_edges[1:][used]
    log_weight = np.log(weight[used])

    def model(index):
        """Fraction of the counts in each bin, and the mean ln E of each bin."""
        fraction = special.softmax(_log_integrals(1 - index, low_edge, high_edge) + log_weight)
        return fraction, _mean_log(1 - index, low_edge, high_edge)

    def score(index):
        fraction, mean = model(index)
        return n @ (fraction @ mean - mean)

    # The score decreases with the index, since this is an exponential family.
    low, high = INDEX_RANGE
    if score(low) <= 0 or score(high) >= 0:
        index = low if score(low) <= 0 else high
    else:
        index = optimize.brentq(score, low, high, xtol=1e-13)
    # Fisher information of a multinomial: N Var(mean ln E).
    fraction, mean = model(index)
    information = n.sum() * (fraction @ (mean - fraction @ mean) ** 2)
    return float(index), float(1 / np.sqrt(information))


def fit_width(image: ArrayLike, fov_lon: ArrayLike, fov_lat: ArrayLike) -> tuple[float, float]:
    """Maximum-likelihood width of a centred normal distribution cut off at the edges of the field.

    Parameters
    ----------
    image : array_like, shape (n_fov_lon, n_fov_lat)
        Counts, or expected counts.
    fov_lon, fov_lat : array_like, shape (n_fov_lon + 1,) and (n_fov_lat + 1,)
        Edges, deg.

    Returns
    -------
    width, error : float
        Standard deviation, deg, the same in both directions. NaN if the image contains less than
        one count or is flatter than any normal distribution.

    Notes
    -----
    The distribution is a product of one of fov_lon and one of fov_lat, so that the sums of the
    image along rows and columns are sufficient statistics.
    """
    image = np.asarray(image, float)
    sides = ((image.sum(axis=1), np.asarray(fov_lon)), (image.sum(axis=0), np.asarray(fov_lat)))
    if not image.sum() >= 1:
        return np.nan, np.nan

    def cost(log_width):
        return -sum(n @ _log_normal_bins(edges, np.exp(log_width)) for n, edges in sides)

    def score(log_width):
        return sum(n @ _width_slopes(edges, np.exp(log_width)) for n, edges in sides)

    half = min(np.ptp(edges) for _, edges in sides) / 2
    bounds = np.log([0.02 * half, 20 * half])
    best = optimize.minimize_scalar(cost, bounds=bounds, options={"xatol": 1e-7}).x
    if min(best - bounds[0], bounds[1] - best) < 1e-3:
        return np.nan, np.nan
    # The minimum has half of the digits of a double; the root of the slope has nearly all.
    bracket = best - 1e-4, best + 1e-4
    if score(bracket[0]) > 0 > score(bracket[1]):
        best = optimize.brentq(score, *bracket, xtol=1e-14)
    width = np.exp(best)
    information = sum(
        n.sum() * (np.exp(_log_normal_bins(edges, width)) @ _width_slopes(edges, width) ** 2)
        for n, edges in sides
    )
    return float(width), float(width / np.sqrt(information))


def _log_integrals(power, low, high):
    """ln ∫ E^(power − 1) dE of bins between ln E ``low`` and ``high``, up to a common constant."""
    width = high - low
    return power * (low - low[0]) + np.log(width * special.exprel(power * width))


def _mean_log(power, low, high):
    """Mean ln E of bins between ln E ``low`` and ``high`` for the density E^(power − 1) dE."""
    x = power * (high - low)
    small = np.abs(x) < 1e-3
    wide = np.where(small, 1.0, x)
    part = np.where(small, 0.5 + x / 12 - x**3 / 720, 0.5 + 0.5 / np.tanh(wide / 2) - 1 / wide)
    return low + (high - low) * part


def _log_normal_bins(edges, width):
    """ln of the fraction in each bin of a centred normal distribution truncated at the edges."""
    fraction = np.diff(special.ndtr(np.asarray(edges) / width))
    return np.log(np.maximum(fraction, 1e-300)) - np.log(fraction.sum())


def _width_slopes(edges, width):
    """Derivative of `_log_normal_bins` with respect to ln width."""
    z = np.asarray(edges) / width
    fraction = np.diff(special.ndtr(z))
    change = -np.diff(z * np.exp(-0.5 * z**2)) / np.sqrt(2 * np.pi)
    # `_log_normal_bins` is constant where the fraction underflows.
    slopes = np.divide(change, fraction, out=np.zeros_like(fraction), where=fraction > 1e-300)
    return slopes - change.sum() / fraction.sum()
