"""The design of the model of all runs: its functions, and the penalties of those of the runs."""

from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise

import numpy as np

from simbg.reconstruction.spline.basis import Basis
from simbg.reconstruction.spline.penalty import WEAKEST, Penalty, Term

__all__ = []

# Largest degree in cos(zenith), and that for shapes of the field other than r² and gradients.
DEGREE, DEGREE_OF_SHAPES = 3, 1
# Number of functions of energy for shapes of the field, and for other covariates.
N_ENERGY_OF_SHAPES, N_ENERGY_OF_COVARIATES = 3, 3
# Precision of the coefficients of degree j, relative to that of degree 1: GROWTH^(j − 1).
GROWTH = 16.0
# A range of cos(zenith) below this is one zenith angle.
NARROWEST = 0.01


@dataclass(frozen=True)
class Zenith:
    """Functions of the zenith angle: Legendre polynomials of cos(zenith), constant outside.

    Parameters
    ----------
    low, high : float
        Range of cos(zenith).
    degree : int
        Largest degree.
    """

    low: float
    high: float
    degree: int

    @classmethod
    def of(cls, cosines: np.ndarray) -> "Zenith":
        """Make the functions for some runs.

        Parameters
        ----------
        cosines : ndarray, shape (n_runs, n_times)
            cos(zenith) along the track of each run.
        """
        mean = cosines.mean(axis=1)
        distinct = np.unique(np.round((mean - mean.min()) / NARROWEST)).size
        degree = min(DEGREE, distinct - 1)
        return cls(float(cosines.min()), float(cosines.max()), degree)

    def __call__(self, cosine: np.ndarray) -> np.ndarray:
        """Values of each function, shape (..., degree + 1).

        Parameters
        ----------
        cosine : ndarray
            cos(zenith).
        """
        if not self.degree:
            return np.ones((*np.shape(cosine), 1))
        x = 2 * (cosine - self.low) / (self.high - self.low) - 1
        return np.polynomial.legendre.legvander(np.clip(x, -1, 1), self.degree)


@dataclass(frozen=True, eq=False)
class Block:
    """Products of functions of the field, of the zenith angle and of energy, with one penalty.

    Parameters
    ----------
    k, z : ndarray of int, shape (n_functions,)
        Function of the field, and of the zenith angle or another covariate.
    penalty : Penalty
        Of the coefficients, with ``penalty.fixed`` of shape (n_functions, n_energy functions).
    """

    k: np.ndarray
    z: np.ndarray
    penalty: Penalty

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of functions, and of functions of energy."""
        return self.penalty.fixed.shape

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.penalty.fixed.size


@dataclass(frozen=True, eq=False)
class Design:
    """ln rate of all runs as a sum of functions, and how its coefficients act on data.

    ln rate = constant + Σ θ Φ_k(fov_lon, fov_lat) Z_z(cos zenith) E_i(ln E) + Σ γ q E_i(ln E),
    where q are other covariates of a run. All Φ_k and E_i without Z are the first block; the last
    block is that of other covariates, if there are any.

    Parameters
    ----------
    basis : Basis
        Functions of the field and of energy.
    zenith : ndarray, shape (n_cells, n_z)
        Functions of the zenith angle in each cell.
    blocks : tuple of Block
        The functions that depend on the field and the zenith angle.
    image : ndarray, shape (n_pixels,)
        Weights of pixels, whose sum is 1, for the mean of functions over the field.
    covariates : Block or None
        The functions of other covariates.
    """

    basis: Basis
    zenith: np.ndarray
    blocks: tuple[Block, ...]
    image: np.ndarray
    covariates: Block | None = None

    @classmethod
    def of(
        cls, basis: Basis, zenith: np.ndarray, image: np.ndarray, n_covariates: int = 0
    ) -> "Design":
        """Make the design.

        Parameters
        ----------
        basis : Basis
            Functions of the field and of energy.
        zenith : ndarray, shape (n_cells, n_z)
            Functions of the zenith angle in each cell.
        image : ndarray, shape (n_pixels,)
            Counts of each pixel.
        n_covariates : int
            Number of functions of other covariates.
        """
        n_k = basis.shape[0]
        blocks = [Block(np.arange(n_k), np.zeros(n_k, int), Penalty.of(basis))]
        degree = zenith.shape[1] - 1
        smooth = ("constant", "square", "linear")
        shapes = ("elliptic", "radial", "angular")
        if degree:
            blocks.append(_block(basis, smooth, degree, basis.shape[1]))
            n_energy = min(N_ENERGY_OF_SHAPES, basis.shape[1])
            shape_block = _block(basis, shapes, min(DEGREE_OF_SHAPES, degree), n_energy)
            blocks += [shape_block] * bool(shape_block.size)
        covariates = _covariates(basis, n_covariates) if n_covariates else None
        weight = image + 1 / image.size
        return cls(basis, zenith, tuple(blocks), weight / weight.sum(), covariates)

    @property
    def all_blocks(self) -> tuple[Block, ...]:
        """The blocks, with that of other covariates."""
        return (*self.blocks, *([self.covariates] if self.covariates else ()))

    @property
    def n_smooth(self) -> int:
        """Number of coefficients without those of other covariates."""
        return sum(block.size for block in self.blocks)

    @property
    def parts(self) -> list[slice]:
        """The coefficients of each block."""
        ends = np.cumsum([0, *(block.size for block in self.all_blocks)])
        return [slice(*pair) for pair in pairwise(ends)]

    def by_degree(self, theta: np.ndarray) -> np.ndarray:
        """Coefficients of each degree of the zenith angle, shape (n_z, n_k, n_i, ...).

        Parameters
        ----------
        theta : ndarray, shape (n_coefficients, ...)
            Coefficients; other dimensions are kept.
        """
        found = np.zeros((self.zenith.shape[1], *self.basis.shape, *theta.shape[1:]))
        for block, part in zip(self.blocks, self.parts, strict=False):
            n_i = block.shape[1]
            found[block.z, block.k, :n_i] = theta[part].reshape(*block.shape, *theta.shape[1:])
        return found

    def log_rate(self, theta: np.ndarray) -> np.ndarray:
        """Σ θ Φ_k Z_z E_i in the bins of each cell, shape (n_energy, n_cells, n_pixels).

        Parameters
        ----------
        theta : ndarray, shape (n_coefficients,)
            Coefficients.
        """
        each = np.array([self.basis.log_rate(c) for c in self.by_degree(theta)])
        return np.einsum("cz,zep->ecp", self.zenith, each, optimize=True)

    def of_runs(self, theta: np.ndarray, offset: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Difference of ln rate of each run from that of its cell, shape (n_runs, n_energy).

        It is Σ γ q E_i, and Σ θ (Z_z − mean of the cell) E_i times the mean of Φ_k over the field.

        Parameters
        ----------
        theta : ndarray, shape (n_coefficients,)
            Coefficients.
        offset : ndarray, shape (n_runs, n_z)
            Functions of the zenith angle of a run, minus those of its cell.
        values : ndarray, shape (n_runs, n_covariates)
            The functions of other covariates, q.
        """
        energy, smooth = self.basis.energy, self.by_degree(theta)
        mean = np.einsum("k,zki,ei->ze", self.image @ self.basis.space, smooth, energy)
        return offset @ mean + self.of_covariates(theta, values)

    def of_covariates(self, theta: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Σ γ q E_i of each run, shape (n_runs, n_energy).

        Parameters
        ----------
        theta : ndarray, shape (n_coefficients,)
            Coefficients.
        values : ndarray, shape (n_runs, n_covariates)
            The functions of other covariates, q.
        """
        if self.covariates is None:
            return np.zeros((len(values), len(self.basis.energy)))
        gamma = theta[self.n_smooth :].reshape(self.covariates.shape)
        return values @ gamma @ self.basis.energy[:, : gamma.shape[1]].T

    def project_runs(
        self, values: np.ndarray, offset: np.ndarray, covariates: np.ndarray
    ) -> np.ndarray:
        """Σ over runs and energies of values times the derivative of `of_runs` by each coefficient.

        Parameters
        ----------
        values : ndarray, shape (n_runs, n_energy)
            One for each run and energy.
        offset, covariates : ndarray
            As in `of_runs`.
        """
        energy, mean = self.basis.energy, self.image @ self.basis.space
        found = mean[None, :, None] * (offset.T @ values @ energy)[:, None]
        parts = [found[b.z, b.k, : b.shape[1]].ravel() for b in self.blocks]
        if self.covariates is not None:
            n_i = self.covariates.shape[1]
            parts.append((covariates.T @ values @ energy[:, :n_i]).ravel())
        return np.concatenate(parts)

    def project(self, values: np.ndarray) -> np.ndarray:
        """Σ over bins and cells of values Φ_k Z_z E_i, shape (n_smooth,).

        Parameters
        ----------
        values : ndarray, shape (n_energy, n_cells, n_pixels)
            One for each bin and cell.
        """
        each = np.einsum("cz,ecp->zep", self.zenith, values, optimize=True)
        found = np.array([self.basis.project(v).reshape(self.basis.shape) for v in each])
        return np.concatenate([found[b.z, b.k, : b.shape[1]].ravel() for b in self.blocks])

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """Σ of weight times all products of two functions, shape (n_smooth, n_smooth).

        Parameters
        ----------
        weight : ndarray, shape (n_energy, n_cells, n_pixels)
            One for each bin and cell.
        """
        basis, n_z = self.basis, self.zenith.shape[1]
        n_i, gram = basis.shape[1], np.zeros((self.n_smooth,) * 2)
        z, k, i = self.index
        used = [np.unique(k[z == degree]) for degree in range(n_z)]
        pairs = (basis.energy[:, :, None] * basis.energy[:, None, :]).reshape(len(weight), -1)
        for a, b in combinations_with_replacement(range(n_z), 2):
            both = np.einsum("c,ecp->ep", self.zenith[:, a] * self.zenith[:, b], weight)
            left, right = basis.space[:, used[a]], basis.space[:, used[b]]
            images = np.array([(left.T @ (row[:, None] * right)).ravel() for row in both])
            each = (images.T @ pairs).reshape(used[a].size, used[b].size, n_i, n_i)
            rows, columns = (np.flatnonzero(z == degree) for degree in (a, b))
            at = (
                np.searchsorted(used[degree], k[chosen])
                for degree, chosen in ((a, rows), (b, columns))
            )
            first, second = at
            found = each[first[:, None], second, i[rows][:, None], i[columns]]
            gram[np.ix_(rows, columns)] = found
            gram[np.ix_(columns, rows)] = found.T
        return gram

    @property
    def index(self) -> np.ndarray:
        """Functions of the zenith angle, the field and energy of each coefficient, (3, n)."""
        columns = []
        for block in self.blocks:
            n_i = block.shape[1]
            energy = np.tile(np.arange(n_i), block.k.size)
            columns.append(np.array([np.repeat(block.z, n_i), np.repeat(block.k, n_i), energy]))
        return np.hstack(columns)

    def means(self, image: np.ndarray, cell: int) -> np.ndarray:
        """Functions of a cell at each energy, in the mean over its pixels, (n_energy, n_smooth).

        Parameters
        ----------
        image : ndarray, shape (n_energy, n_pixels)
            Weights of the pixels.
        cell : int
            Number of the cell.
        """
        total = image.sum(axis=1, keepdims=True)
        space = image @ self.basis.space / np.where(total > 0, total, 1)
        z, k, i = self.index
        return self.zenith[cell, z] * space[:, k] * self.basis.energy[:, i]


def _block(basis, kinds, degree, n_energy):
    """The products of some functions of the field with Z of degree 1 to ``degree``."""
    k: list[int] = []
    z: list[int] = []
    terms = []
    energies = np.arange(n_energy)
    rough = basis.energy_roughness[:n_energy]
    matrices = {
        "level": np.diag(1.0 * (energies == 0)),
        "slope": np.diag(1.0 * (energies == 1)),
        "rough": np.diag(rough),
    }
    for kind in kinds:
        members = np.flatnonzero(basis.kind == kind)
        relative = np.ones(members.size)
        if kind in ("radial", "angular"):
            relative = basis.space_roughness[members]
        number = len(k) + np.arange(members.size * degree)
        k += np.tile(members, degree).tolist()
        z += np.repeat(np.arange(1, degree + 1), members.size).tolist()
        scale = np.tile(relative, degree) * GROWTH ** (np.array(z)[number] - 1.0)
        terms += [
            Term(f"{kind} {name} of zenith", number, scale, matrix)
            for name, matrix in matrices.items()
            if number.size and matrix.any()
        ]
    fixed = np.full((len(k), n_energy), WEAKEST)
    return Block(np.array(k, int), np.array(z, int), _penalty(fixed, terms))


def _covariates(basis, number):
    """The functions of other covariates, which change the spectrum only."""
    n_energy = min(N_ENERGY_OF_COVARIATES, basis.shape[1])
    energies, every = np.arange(n_energy), np.arange(number)
    terms = [
        Term(f"covariates {name}", every, np.ones(number), np.diag(1.0 * chosen))
        for name, chosen in (("level", energies == 0), ("slope", energies > 0))
        if chosen.any()
    ]
    fixed = np.full((number, n_energy), WEAKEST)
    return Block(np.zeros(number, int), every, _penalty(fixed, terms))


def _penalty(fixed, terms):
    """A penalty in which strengths of different terms are independent."""
    free = np.array([1.0 * t.name.startswith(("constant", "square", "linear")) for t in terms])
    return Penalty(fixed, terms, np.zeros((len(terms), len(terms))), free)
