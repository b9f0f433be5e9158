"""The penalty: a Gaussian prior of the coefficients, with strengths estimated from the data."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simbg.reconstruction.spline.basis import Basis

__all__ = ["Penalty"]

# Precision of functions without other penalty: of the spectrum and of r², and of all others.
WEAK, WEAKEST = 1e-3, 1e-6
# Precisions of local features at all energies, and of their change with energy: factors of about
# e^±10 and e^±0.3; and errors of centre and width times the logarithm of the factor. NONE: no
# other change with energy.
LOCAL = {"local": (0.01, 10.0), "local shape": (100.0,)}
NONE = 1e6
# Number of hat functions of ln E; the strength of a shape is interpolated between them.
HATS = 4
# If the data do not determine them, strengths of neighbouring hats differ by about e^(1/√TIE).
TIE = 0.03


@dataclass(frozen=True, eq=False)
class Term:
    """One penalty with its own strength λ: Σ_k λ scale_k θ_k' M θ_k, or a common shape.

    Parameters
    ----------
    name : str
        The kind of the functions, and the penalised property.
    k : ndarray of int
        Indices of the penalised functions of the field.
    scale : ndarray, shape (n_k,)
        Relative strength for each function.
    matrix : ndarray, shape (n_i, n_i), or None
        M. For None, a variance 1 / (λ scale_k) is added to each θ_k0: that of a shape which is the
        same at all energies.
    """

    name: str
    k: np.ndarray
    scale: np.ndarray
    matrix: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Penalty:
    """Gaussian prior θ_k ~ N(0, B_k) of the coefficients of each function Φ_k.

    Parameters
    ----------
    fixed : ndarray, shape (n_k, n_i)
        Part of the diagonal of the precision that does not depend on the strengths.
    terms : list of Term
        The penalties, each with its own strength.
    tie : ndarray, shape (n_terms, n_terms)
        Precision of the prior of ln λ: that of a random walk from each hat to the next.
    free : ndarray, shape (n_terms,)
        1 for terms of r² and of linear functions, whose prior of ln λ has its factor λ^(−1/2), and
        0 for others.

    Notes
    -----
    B_k = (F + Σ_j λ_j scale_jk M_j)⁻¹ + e₀ e₀' / (λ_c scale_ck), where the second part exists
    for radial and angular functions only. For the spectrum only the roughness in energy is
    penalised, and for r² the slope and the roughness in energy. Linear and elliptic functions have
    one strength each for their level, slope and roughness: a gradient, a Gaussian that is off the
    centre, and a Gaussian that is wider along one direction need about one parameter each. A radial
    or angular shape has a part that is the same at all energies and a part that changes with
    energy. The changing part, and a linear or elliptic shape, have one strength for each hat
    function of ln E, with M_b = Σ_e hat_b(e) E(e) E(e)' / n: the penalty may be large at low
    energies and small at high energies. A local feature has a level and a slope in energy without
    a strength.
    """

    fixed: np.ndarray
    terms: list
    tie: np.ndarray
    free: np.ndarray

    @classmethod
    def of(cls, basis: Basis) -> "Penalty":
        """Make the penalty for a basis.

        Parameters
        ----------
        basis : Basis
            The functions whose coefficients are penalised.
        """
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
            matrices |= {f"hat {b}": m for b, m in enumerate(hats)}
            terms += _terms(basis, kind, matrices)
        for kind in ("radial", "angular"):
            matrices = {"rough": rough, "common": None if n_i > 1 else 0 * rough}
            matrices |= {f"hat {b}": m for b, m in enumerate(hats)}
            terms += _terms(basis, kind, matrices)
        fixed = np.full(basis.shape, WEAKEST)
        fixed[np.isin(basis.kind, ("constant", "square")), :2] = WEAK
        for kind, precision in LOCAL.items():
            fixed[basis.kind == kind] = [*precision, *[NONE] * n_i][:n_i]
        free = np.array([1.0 * t.name.startswith(("square", "linear")) for t in terms])
        return cls(fixed, terms, _ties(terms), free)

    @property
    def kinds(self) -> list[slice]:
        """The terms of each kind of functions."""
        starts = [i for i, t in enumerate(self.terms) if i == 0 or t.k is not self.terms[i - 1].k]
        return [slice(*ends) for ends in pairwise([*starts, len(self.terms)])]

    def at(self, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
        """Evaluate the prior for given strengths.

        Parameters
        ----------
        strength : ndarray, shape (n_terms,)
            ln λ of each term.

        Returns
        -------
        precision, covariance : ndarray, shape (n_k, n_i, n_i)
            Precision A_k and covariance B_k of each function of the field.
        derivative : list of ndarray
            For each term j, the derivative by ln λ_j of the precision of its functions.
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
        """Update precision and derivatives for an added variance of θ_k0 (Sherman & Morrison)."""
        k = self.terms[j].k
        old, first = precision[k], precision[k][:, :, 0]
        shrink = 1 / (1 + variance * first[:, 0])
        new = old - (variance * shrink)[:, None, None] * first[:, :, None] * first[:, None, :]
        # Computed directly: the difference above would be of two large numbers.
        new[:, 0] = new[:, :, 0] = first * shrink[:, None]
        precision[k] = new
        to_sum = np.eye(old.shape[1]) * np.ones((k.size, 1, 1))
        to_sum[:, :, 0] -= variance[:, None] * new[:, :, 0]
        for m, term in enumerate(self.terms):
            if term.matrix is not None and term.k is k:
                derivative[m] = to_sum @ derivative[m] @ to_sum.transpose(0, 2, 1)
        derivative[j] = variance[:, None, None] * new[:, :, :1] * new[:, :1]


def _terms(basis, kind, matrices):
    """Terms of the functions of a kind; none without functions or with a matrix of zeros."""
    k = np.flatnonzero(basis.kind == kind)
    scale = basis.space_roughness[k] if kind in ("radial", "angular") else np.ones(k.size)
    return [
        Term(f"{kind} {name}", k, scale, matrix)
        for name, matrix in matrices.items()
        if k.size and (matrix is None or np.any(matrix))
    ]


def _hats(energy):
    """The matrix M_b of each hat function."""
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
