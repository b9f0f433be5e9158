"""The penalty: what a deviation from the stiff model costs, in strengths that data choose."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simbg.reconstruction.spline.basis import Basis

__all__ = ["Penalty"]

# Of functions that nothing else penalises: of the spectrum and r², and of all others.
WEAK, WEAKEST = 1e-3, 1e-6
# Hat functions in ln E between which the strength of a shape changes.
HATS = 4
# Strengths of neighbouring hats have, as far as the data say little, a ratio of about e^(1/√TIE).
TIE = 0.03


@dataclass(frozen=True, eq=False)
class Term:
    """One penalty with a strength λ of its own: Σ_k λ scale_k θ_k' M θ_k, or a common shape.

    Parameters
    ----------
    name : str
        The kind of functions, and what is penalised.
    k : ndarray of int
        The functions of the field that it acts on.
    scale : ndarray, shape (n_k,)
        Relative strength for each of these.
    matrix : ndarray, shape (n_i, n_i), or None
        M. None adds to each θ_k0 a shape that is the same at all energies, of variance
        1 / (λ scale_k).
    """

    name: str
    k: np.ndarray
    scale: np.ndarray
    matrix: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Penalty:
    """Gaussian prior θ_k ~ N(0, B_k) of the coefficients of each function of space.

    Parameters
    ----------
    fixed : ndarray, shape (n_k, n_i)
        Part of the diagonal that does not depend on strengths.
    terms : list of Term
        The penalties with a strength of their own.
    tie : ndarray, shape (n_terms, n_terms)
        Precision that a prior gives to ln λ: that of a random walk over neighbouring hats.

    Notes
    -----
    B_k = (F + Σ_j λ_j scale_jk M_j)⁻¹ + e₀ e₀' / (λ_c scale_ck), the second part for radial and
    angular functions alone. The spectrum and r² are free but for their roughness in energy;
    the linear and the elliptic functions have a strength for their level, their slope and their
    roughness, so that a gaussian that is off the centre, or wider along one direction, and a
    gradient cost a parameter each. A radial or angular shape may be the same at all energies,
    or change: then its strength is
    M_b = Σ_e hat_b(e) E(e) E(e)' / n for hats in ln E, so that it may be stiff at low
    energies, where the camera is well known, and loose at high ones.
    """

    fixed: np.ndarray
    terms: list
    tie: np.ndarray

    @classmethod
    def of(cls, basis: Basis) -> "Penalty":
        """The penalty of a basis."""
        n_i = basis.shape[1]
        level, slope = (np.diag(1.0 * (np.arange(n_i) == i)) for i in (0, 1))
        rough = np.diag(basis.energy_roughness)
        hats = list(_hats(basis.energy))
        terms = [
            *_terms(basis, "constant", {"rough": rough}),
            *_terms(basis, "square", {"slope": slope, "rough": rough}),
        ]
        matrices: dict[str, np.ndarray | None]
        for kind in ("linear", "elliptic"):
            matrices = {"level": level, "slope": slope, "rough": rough}
            terms += _terms(basis, kind, matrices)
        for kind in ("radial", "angular"):
            matrices = {"rough": rough, "common": None if n_i > 1 else 0 * rough}
            matrices |= {f"hat {b}": m for b, m in enumerate(hats)}
            terms += _terms(basis, kind, matrices)
        fixed = np.full(basis.shape, WEAKEST)
        fixed[np.isin(basis.kind, ("constant", "square")), :2] = WEAK
        return cls(fixed, terms, _ties(terms))

    def at(self, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
        """The prior at some ln λ.

        Parameters
        ----------
        strength : ndarray, shape (n_terms,)
            ln λ of each term.

        Returns
        -------
        precision, covariance : ndarray, shape (n_k, n_i, n_i)
            A_k and B_k of each function of the field.
        derivative : list of ndarray
            Of the precision of the functions in ``terms[j].k``, by each ln λ_j.
        """
        precision = self.fixed[:, :, None] * np.eye(self.fixed.shape[1])
        derivative = [
            0.0 if t.matrix is None else (np.exp(s) * t.scale)[:, None, None] * t.matrix
            for s, t in zip(strength, self.terms, strict=True)
        ]
        for term, part in zip(self.terms, derivative, strict=True):
            precision[term.k] += part
        covariance = np.linalg.inv(precision)
        for j, term in enumerate(self.terms):
            if term.matrix is None:
                variance = np.exp(-strength[j]) / term.scale
                covariance[term.k, 0, 0] += variance
                self._add_common(j, variance, precision, derivative)
        return precision, covariance, derivative

    def _add_common(self, j, variance, precision, derivative):
        """Change precision and derivatives for a further variance of θ_k0 (Sherman & Morrison)."""
        k = self.terms[j].k
        old, first = precision[k], precision[k][:, :, 0]
        shrink = 1 / (1 + variance * first[:, 0])
        new = old - (variance * shrink)[:, None, None] * first[:, :, None] * first[:, None, :]
        # Without the difference of two large numbers.
        new[:, 0] = new[:, :, 0] = first * shrink[:, None]
        precision[k] = new
        to_sum = np.eye(old.shape[1]) * np.ones((k.size, 1, 1))
        to_sum[:, :, 0] -= variance[:, None] * new[:, :, 0]
        for m, term in enumerate(self.terms):
            if term.matrix is not None and term.k is k:
                derivative[m] = to_sum @ derivative[m] @ to_sum.transpose(0, 2, 1)
        derivative[j] = variance[:, None, None] * new[:, :, :1] * new[:, :1]


def _terms(basis, kind, matrices):
    """Terms of the functions of a kind, if there are any that the matrix acts on."""
    k = np.flatnonzero(basis.kind == kind)
    scale = basis.space_roughness[k] if kind in ("radial", "angular") else np.ones(k.size)
    return [
        Term(f"{kind} {name}", k, scale, matrix)
        for name, matrix in matrices.items()
        if k.size and (matrix is None or np.any(matrix))
    ]


def _hats(energy):
    """M_b of each hat that has an energy."""
    u = energy[:, 1] if energy.shape[1] > 1 else np.zeros(len(energy))
    u = (HATS - 1) * (u - u[0]) / (np.ptp(u) or 1.0)
    for b in range(HATS):
        yield (energy.T * np.clip(1 - np.abs(u - b), 0, None)) @ energy / len(energy)


def _ties(terms):
    names = [t.name for t in terms]
    tie = np.zeros((len(names), len(names)))
    for i, j in pairwise(range(len(names))):
        if " hat " in names[i] and " hat " in names[j] and names[i][:-1] == names[j][:-1]:
            tie[np.ix_([i, j], [i, j])] += TIE * np.array([[1, -1], [-1, 1]])
    return tie
