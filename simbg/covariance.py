"""Covariance of the logarithm of a rate: errors of sums of bins whose errors are correlated."""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["RateCovariance"]


@dataclass(frozen=True, eq=False)
class RateCovariance:
    """Covariance of ln rate, as that of a few coefficients of smooth functions.

    A factor on the rate, such as a norm or a dead time, does not change it.

    Parameters
    ----------
    energy : ndarray, shape (n_energy, n_i)
        Functions E_i of energy at each energy bin.
    space : ndarray, shape (n_lon, n_lat, n_k)
        Functions Φ_k of the field of view at each pixel.
    factor : ndarray, shape (n_k, n_i, rank)
        Factor C of the covariance of the coefficients, C C'.
    own : ndarray, shape (n_energy, n_lon, n_lat), optional
        Additional variance of each bin, independent of other bins.
    share : ndarray, shape (n_energy, n_lon, n_lat), optional
        Fraction of the rate of each bin to which this covariance applies, for a rate that is a
        sum of independent rates, as after interpolation between cubes; by default 1.

    Notes
    -----
    The deviation of ln rate in a bin is share · (Σ_ki Φ_k E_i δθ_ki + δ), where δθ has the
    covariance C C' and δ has the variance ``own``.

    Examples
    --------
    A norm with an error of 10 % is common to all bins:

    >>> one = np.ones
    >>> norm = RateCovariance(one((2, 1)), one((3, 3, 1)), np.full((1, 1, 1), 0.1))
    >>> float(round(norm.of_sum(np.full((2, 3, 3), 5.0)), 6)) / (5.0 * 18) ** 2
    0.01
    """

    energy: np.ndarray
    space: np.ndarray
    factor: np.ndarray
    own: np.ndarray | None = None
    share: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the cube, (n_energy, n_lon, n_lat).

        Examples
        --------
        >>> RateCovariance(np.ones((2, 1)), np.ones((3, 4, 1)), np.ones((1, 1, 1))).shape
        (2, 3, 4)
        """
        return len(self.energy), *self.space.shape[:2]

    def __getitem__(self, bins: slice) -> "RateCovariance":
        """The covariance of some energy bins."""
        own, share = (None if a is None else a[bins] for a in (self.own, self.share))
        return replace(self, energy=self.energy[bins], own=own, share=share)

    def times(self, share: np.ndarray) -> "RateCovariance":
        """The same covariance for a fraction of the rate of each bin.

        Parameters
        ----------
        share : ndarray, shape (n_energy, n_lon, n_lat)
            The fraction.

        Examples
        --------
        >>> norm = RateCovariance(np.ones((2, 1)), np.ones((3, 4, 1)), np.ones((1, 1, 1)))
        >>> half = norm.times(np.full(norm.shape, 0.5))
        >>> float(half.of_sum(np.ones(norm.shape)) / norm.of_sum(np.ones(norm.shape)))
        0.25
        """
        return replace(self, share=share if self.share is None else share * self.share)

    def of_sum(self, parts: np.ndarray) -> float:
        """Variance of a sum over bins.

        Parameters
        ----------
        parts : ndarray, shape (n_energy, n_lon, n_lat)
            Contribution of each bin to the sum, proportional to its rate; 0 for bins that do not
            contribute.

        Examples
        --------
        >>> norm = RateCovariance(np.ones((2, 1)), np.ones((3, 4, 1)), np.full((1, 1, 1), 0.1))
        >>> round(norm.of_sum(np.ones((2, 3, 4))) ** 0.5, 6)  # 10 % of 24
        2.4
        """
        parts = parts if self.share is None else parts * self.share
        slope = np.einsum("exy,xyk,ei->ki", parts, self.space, self.energy, optimize=True)
        variance = float(np.sum(np.tensordot(slope, self.factor, 2) ** 2))
        return variance if self.own is None else variance + float(np.sum(parts**2 * self.own))

    def roots_of_sums(self, parts: np.ndarray, kept: str) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of the sums of each energy or of each pixel, if the sum of all is given.

        Parameters
        ----------
        parts : ndarray, shape (n_energy, n_lon, n_lat)
            Contribution of each bin to the sums, proportional to its rate.
        kept : {"energy", "pixel"}
            Sums over the field of view, or over energy.

        Returns
        -------
        root : ndarray, shape (n_sums, rank)
            The covariance of the sums is R R' + diag(own).
        own : ndarray, shape (n_sums,)
            The variance of each sum that is independent of other sums.

        Notes
        -----
        The deviation of a sum s_i from its fraction of the total S, s_i − (s_i / S) S. Of the
        independent part, correlations by the total are neglected: they are s_i / S or less.

        Examples
        --------
        >>> norm = RateCovariance(np.ones((2, 1)), np.ones((3, 4, 1)), np.full((1, 1, 1), 0.1))
        >>> root, own = norm.roots_of_sums(np.ones(norm.shape), "energy")  # a norm is no shape
        >>> bool(np.allclose(root, 0))
        True
        """
        over = {"energy": (1, 2), "pixel": (0,)}[kept]
        fraction = parts.sum(axis=over).ravel() / parts.sum()
        parts = parts if self.share is None else parts * self.share
        term = {"energy": "exy,xyk,ei->eki", "pixel": "exy,xyk,ei->xyki"}[kept]
        slope = np.einsum(term, parts, self.space, self.energy, optimize=True)
        slope = slope.reshape(len(fraction), -1)
        slope = slope - fraction[:, None] * slope.sum(axis=0)
        root = slope @ self.factor.reshape(slope.shape[1], -1)
        if self.own is None:
            return root, np.zeros(len(fraction))
        own = parts**2 * self.own
        return root, (1 - 2 * fraction) * own.sum(axis=over).ravel() + fraction**2 * own.sum()
