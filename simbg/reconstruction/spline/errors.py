"""The errors: covariance of the coefficients, and of it the error of a bin or of a sum of bins."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.fit import Fit, strength_traces
from simbg.reconstruction.spline.penalty import Penalty

__all__ = []

# Effective parameters by which each term is loosened, and the most by which ln λ is lowered.
LOOSER, LOWEST = 0.2, 4.0
# Largest error of ln λ: over more than that θ does not follow a straight line.
WIDEST = 2.0
ROUNDS = 4


@dataclass(frozen=True, eq=False)
class RateErrors:
    """Errors of the logarithm of a rate, as the covariance of a few coefficients.

    Parameters
    ----------
    basis : Basis
        The functions whose sum is ln rate.
    covariance : ndarray, shape (n_coefficients, n_coefficients)
        Of their coefficients.
    own : ndarray, shape (n_energy, n_pixels)
        Further variance of each bin that no other shares: that of sharp features.

    Notes
    -----
    The covariance of θ at fixed strengths is V = (X'WX + A)⁻¹. Two things are added for
    strengths that are not known. A shape that the data do not need has a strength so large
    that V would exclude it: V is taken at strengths which give each term `LOOSER` more
    effective parameters. And the estimate moves with the strengths: J'R⁻¹J with J = ∂θ/∂ln λ
    and R the information of ln λ (Kass & Steffey 1989, J. Am. Statist. Assoc. 84, 717).
    """

    basis: Basis
    covariance: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, basis: Basis, penalty: Penalty, fitted: Fit, own: np.ndarray) -> "RateErrors":
        """The errors of a fit."""
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
        """C with covariance = C C', shape (n_coefficients, rank)."""
        value, vector = np.linalg.eigh(self.covariance)
        keep = value > 1e-12 * value[-1]
        return vector[:, keep] * np.sqrt(value[keep])

    @property
    def of_log_rate(self) -> np.ndarray:
        """Standard error of ln rate in each bin, shape (n_energy, n_pixels)."""
        return np.sqrt(self.basis.variance(self.covariance) + self.own)

    def of_sum(self, events: np.ndarray) -> float:
        """Standard error of a sum.

        Parameters
        ----------
        events : ndarray, shape (n_energy, n_pixels)
            What each bin adds to the sum, which changes as its rate does.
        """
        slope = self.basis.project(events)
        return float(np.sqrt(slope @ self.covariance @ slope + np.sum(events**2 * self.own)))
