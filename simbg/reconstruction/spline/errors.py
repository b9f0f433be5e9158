"""The errors: the covariance of the coefficients, and the errors of bins and of sums of bins."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simbg.covariance import RateCovariance
from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.fit import Fit, strength_traces
from simbg.reconstruction.spline.penalty import Penalty

__all__ = []

# Effective parameters that are added to each term, and the largest decrease of ln λ for this.
LOOSER, LOWEST = 0.05, 4.0
# Largest error of ln λ: over more than that θ does not follow a straight line.
WIDEST = 2.0
ROUNDS = 4


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
    The covariance of θ at fixed strengths λ is V = (X'WX + A)⁻¹. Two corrections account for the
    uncertainty of the strengths. First, a shape that the data do not require has a strength so
    large that V would exclude the shape: V is therefore evaluated at strengths that give each
    term `LOOSER` more effective parameters. Second, θ depends on the strengths: J'R⁻¹J is added,
    where J = ∂θ/∂ln λ and R is the information of ln λ (Kass & Steffey 1989, J. Am. Statist.
    Assoc. 84, 717).
    """

    basis: Basis
    covariance: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, basis: Basis, penalty: Penalty, fitted: Fit, own: np.ndarray) -> "RateErrors":
        """Estimate the errors of a fit.

        Parameters
        ----------
        basis : Basis
            The functions whose sum is ln rate.
        penalty : Penalty
            The prior of their coefficients.
        fitted : Fit
            The result of the fit.
        own : ndarray, shape (n_energy, n_pixels)
            Additional variance of each bin, independent of other bins.
        """
        strength = fitted.strength.copy()
        used, covariance = strength_traces(penalty, strength, fitted.gram)
        for _ in range(ROUNDS):
            now, covariance = strength_traces(penalty, strength, fitted.gram)
            strength += np.log(np.maximum(now, 1e-12) / (used + LOOSER))
            strength = np.clip(strength, fitted.strength - LOWEST, fitted.strength)
        information = fitted.information + np.eye(strength.size) / WIDEST**2
        moves = fitted.response.T @ np.linalg.solve(information, fitted.response)
        return cls(basis, covariance + moves, own)

    @cached_property
    def factor(self) -> np.ndarray:
        """The matrix C for which the covariance is C C', shape (n_coefficients, rank)."""
        value, vector = np.linalg.eigh(self.covariance)
        keep = value > 1e-12 * value[-1]
        return vector[:, keep] * np.sqrt(value[keep])

    @property
    def of_log_rate(self) -> np.ndarray:
        """Standard error of ln rate in each bin, shape (n_energy, n_pixels)."""
        return np.sqrt(self.basis.variance(self.covariance) + self.own)

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
