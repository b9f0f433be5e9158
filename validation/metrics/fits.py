"""Fits of a power law to a spectrum and of a normal to an image, by maximum likelihood."""

import numpy as np
from scipy import optimize, special

__all__ = ["fit_index", "fit_width"]

# An index outside of this is no spectrum, but one bin and its neighbour.
INDEX_RANGE = -10.0, 20.0


def fit_index(counts, energy, exposure=None):
    """Maximum-likelihood index of a power law from binned counts, its norm left free.

    Bins hold ∝ exposure · ∫E^−Γ dE; conditional on their sum the counts are
    multinomial, and the score is Σ n_k (ln E)_k = N ⟨ln E⟩.

    Parameters
    ----------
    counts : array_like, shape (n_energy,)
        Counts, or expected counts; not negative.
    energy : array_like, shape (n_energy + 1,)
        Edges.
    exposure : array_like, shape (n_energy,), optional

    Returns
    -------
    index, error : float
        NaN where fewer than two bins hold counts.

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

    n, log_edges = counts[used], (log_edges[:-1][used], log_edges[1:][used])
    log_weight = np.log(weight[used])

    def mean_logs(index):
        """Shares of the bins, and the mean ln E in each."""
        share = special.softmax(_log_integrals(1 - index, *log_edges) + log_weight)
        return share, _mean_log(1 - index, *log_edges)

    def score(index):
        share, mean = mean_logs(index)
        return n @ (share @ mean - mean)

    # It falls with the index: this is an exponential family.
    low, high = INDEX_RANGE
    if score(low) <= 0 or score(high) >= 0:
        index = low if score(low) <= 0 else high
    else:
        index = optimize.brentq(score, low, high, xtol=1e-13)
    # Fisher information of a multinomial: N Var(mean ln E).
    share, mean = mean_logs(index)
    information = n.sum() * (share @ (mean - share @ mean) ** 2)
    return float(index), float(1 / np.sqrt(information))


def fit_width(image, fov_lon, fov_lat):
    """Maximum-likelihood width of a centred normal, cut off at the edges of the field.

    Both directions have the same width; rows and columns of the image are
    sufficient, since the normal factorises.

    Parameters
    ----------
    image : array_like, shape (n_fov_lon, n_fov_lat)
        Counts, or expected counts.
    fov_lon, fov_lat : array_like
        Edges in deg.

    Returns
    -------
    width, error : float
        deg; NaN with less than one count, or when the image is flatter than any normal.
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
    # A minimum is found to the square root of the precision, a root of its slope to the whole.
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
    """Mean ln E in bins where E^(power − 1) dE is the density."""
    x = power * (high - low)
    small = np.abs(x) < 1e-3
    wide = np.where(small, 1.0, x)
    part = np.where(small, 0.5 + x / 12 - x**3 / 720, 0.5 + 0.5 / np.tanh(wide / 2) - 1 / wide)
    return low + (high - low) * part


def _log_normal_bins(edges, width):
    """ln of the share of each bin of a centred normal inside the edges."""
    share = np.diff(special.ndtr(np.asarray(edges) / width))
    return np.log(np.maximum(share, 1e-300)) - np.log(share.sum())


def _width_slopes(edges, width):
    """d/d ln width of `_log_normal_bins`."""
    z = np.asarray(edges) / width
    share = np.diff(special.ndtr(z))
    change = -np.diff(z * np.exp(-0.5 * z**2)) / np.sqrt(2 * np.pi)
    # Where there is no share, `_log_normal_bins` is constant.
    slopes = np.divide(change, share, out=np.zeros_like(share), where=share > 1e-300)
    return slopes - change.sum() / share.sum()
