"""The errors: the covariance of the coefficients, and the errors of bins and of sums of bins."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simbg.covariance import RateCovariance
from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.fit import Fit

__all__ = []

# Largest error of ln λ: over more than that θ does not follow a straight line.
WIDEST = 2.0
# Largest variance of ln rate in the standard error of a rate, so that it is finite.
LARGEST = 25.0


@dataclass(frozen=True, eq=False)
class RateErrors:
    """Errors of the logarithm of a rate, from the covariance of the coefficients.

    Parameters
    ----------
    basis : Basis
        The functions whose sum is ln rate.
    covariance : ndarray, shape (n_coefficients, n_coefficients)
        Covariance of their coefficients.
    own : ndarray, shape (n_energy, n_pixels)
        Additional variance of each bin, independent of other bins: that of sharp features.

    Notes
    -----
    The covariance of θ at fixed strengths λ is V = (X'WX + A)⁻¹. Since A is the precision of a
    prior, V contains the mean square of the bias by smoothing, averaged over bins (Nychka 1988,
    J. Am. Statist. Assoc. 83, 1134; Marra & Wood 2012, Scand. J. Statist. 39, 53). The strengths
    are uncertain too: J'R⁻¹J is added, where J = ∂θ/∂ln λ and R is the information of ln λ (Kass &
    Steffey 1989, J. Am. Statist. Assoc. 84, 717; Wood, Pya & Säfken 2016, J. Am. Statist. Assoc.
    111, 1548). R includes a normal distribution of ln λ with the standard deviation `WIDEST`.
    """

    basis: Basis
    covariance: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, basis: Basis, fitted: Fit, own: np.ndarray) -> "RateErrors":
        """Estimate the errors of a fit.

        Parameters
        ----------
        basis : Basis
            The functions whose sum is ln rate.
        fitted : Fit
            The result of the fit.
        own : ndarray, shape (n_energy, n_pixels)
            Additional variance of each bin, independent of other bins.
        """
        moves = by_strengths(fitted.information, fitted.response)
        return cls(basis, fitted.covariance + moves, own)

    @cached_property
    def factor(self) -> np.ndarray:
        """The matrix C for which the covariance is C C', shape (n_coefficients, rank)."""
        try:
            return np.linalg.cholesky(self.covariance)  # faster, and half of it is 0
        except np.linalg.LinAlgError:
            value, vector = np.linalg.eigh(self.covariance)
            keep = value > 1e-12 * value[-1]
            return vector[:, keep] * np.sqrt(value[keep])

    @property
    def of_log_rate(self) -> np.ndarray:
        """Standard error of ln rate in each bin, shape (n_energy, n_pixels)."""
        return np.sqrt(self.basis.variance(self.covariance) + self.own)

    @property
    def relative(self) -> np.ndarray:
        """Standard error of each rate divided by the rate, shape (n_energy, n_pixels).

        Notes
        -----
        If ln rate has a normal distribution with the variance v, and the rate is its median, the
        standard deviation is rate · √(exp(v) (exp(v) − 1)).
        """
        variance = np.minimum(self.of_log_rate**2, LARGEST)
        return np.sqrt(np.exp(variance) * np.expm1(variance))

    def of_rate(self, shape: tuple[int, int, int]) -> RateCovariance:
        """The covariance of ln rate for a cube.

        Parameters
        ----------
        shape : tuple of int
            Shape of the cube, (n_energy, n_lon, n_lat).
        """
        own = self.own.reshape(shape)
        return RateCovariance(
            self.basis.energy,
            self.basis.space.reshape(*shape[1:], -1),
            self.factor.reshape(*self.basis.shape, -1),
            own if own.any() else None,
        )


def by_strengths(information: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Covariance of the coefficients due to the uncertainty of the strengths, J'R⁻¹J.

    Parameters
    ----------
    information : ndarray, shape (n_terms, n_terms)
        Information of ln λ.
    response : ndarray, shape (n_terms, n_coefficients)
        Derivative of the coefficients by ln λ.
    """
    known = information + np.eye(len(information)) / WIDEST**2
    return response.T @ np.linalg.solve(known, response)
