"""The basis: products of functions of energy and functions of the field of view."""

from dataclasses import dataclass, replace

import numpy as np

from simbg.axes import Axes

__all__ = ["Basis", "offsets"]

# Number of functions of ln E, segments of their splines, order of the penalised differences.
N_ENERGY, SEGMENTS_ENERGY, ORDER_ENERGY = 10, 16, 3
# The same for functions of the offset; largest degree of the polynomials that depend on φ.
N_RADIAL, SEGMENTS_RADIAL, ORDER_RADIAL = 10, 26, 3
DEGREE = 8
# Weights r^OUTER of the pixels in the orthogonality of splines in the offset to 1 and r².
OUTER = 4
# Roughness of the first spline of energy, relative to that of (ln E)².
BEYOND_SQUARE = 10.0
# Index of the power law that is assumed for the spectrum within a bin.
TYPICAL_INDEX = 2.7
# A function is left out if its rms, after the others are projected out, falls below this fraction.
INDEPENDENT = 1e-7


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions whose sum is the logarithm of the rate, at the centres of bins.

    ln rate = constant + Σ_ki θ_ki Φ_k(fov_lon, fov_lat) E_i(ln E). All functions have a mean
    square of about 1 over the bins. The functions of energy are orthogonal to each other. The
    polynomials that depend on φ are orthogonal to each other and to 1 and r². The splines in r are
    orthogonal to 1 and r² with weights r⁴.

    Parameters
    ----------
    energy : ndarray, shape (n_energy, n_i)
        E_i: 1, ln E, (ln E)² and splines.
    energy_roughness : ndarray, shape (n_i,)
        Relative penalty of each E_i: 0, 0, 1 and larger values.
    space : ndarray, shape (n_pixels, n_k)
        Φ_k: 1, r², splines in the offset r from the centre of the field, and polynomials that
        depend on the direction φ.
    space_roughness : ndarray, shape (n_k,)
        Relative penalty of each Φ_k among those of its kind.
    kind : ndarray of str, shape (n_k,)
        "constant", "square", "radial", "linear" and "elliptic" (polynomials of degree 1 and 2),
        "angular" (of higher degrees), "local" and "local shape".

    Notes
    -----
    A Gaussian in the field of view times a curved power law is a sum of functions with no or
    a small penalty. Splines are cubic B-splines with a penalty on differences of
    their coefficients (Eilers & Marx 1996, Statist. Sci. 11, 89), in the basis where that
    penalty is diagonal (Demmler & Reinsch 1975, Numer. Math. 24, 375). With the difference matrix
    D and the values B of the splines at the bins, these are the eigenvectors of B (D'D)⁻ B' that
    are orthogonal to the polynomials for which D is zero. Their roughness is 1 / eigenvalue; in
    the field of view it is raised to the power 2/3, so that it grows as for differences of
    order 2. The splines in r are orthogonal to 1 and r² with weights r⁴: a feature near the centre
    at some energies, such as a ring, is then a sum of few of them, and the coefficients of 1 and r²
    are those of the outer field, which change slowly with energy.
    Functions of r are even splines from −R to R, where R is the offset of the farthest pixel. The
    polynomials are r^(m + 2n) cos mφ and r^(m + 2n) sin mφ with m ≥ 1. They are made orthogonal in
    the order of their degree, m + 2n, and their roughness is (degree / 2)⁶.
    A tensor product is evaluated one axis after the other (Currie, Durban & Eilers 2006,
    J. R. Statist. Soc. B 68, 259).
    """

    energy: np.ndarray
    energy_roughness: np.ndarray
    space: np.ndarray
    space_roughness: np.ndarray
    kind: np.ndarray

    @classmethod
    def of(cls, axes: Axes) -> "Basis":
        """Make the basis for some axes; if there are few bins, it has fewer functions.

        Parameters
        ----------
        axes : Axes
            Axes of the cube.
        """
        x, y = (a.ravel() for a in _from_center(axes))
        farthest = np.hypot(x, y).max() or 1.0
        radial, radial_roughness = _radial(np.hypot(x, y) / farthest)
        angular, degree = _angular(x / farthest, y / farthest, radial[:, :2])
        kind = ["constant", "square", *["radial"] * N_RADIAL][: radial.shape[1]]
        kind += [{1: "linear", 2: "elliptic"}.get(n, "angular") for n in degree.tolist()]
        energy, energy_roughness = _energy(np.log(axes.energy_center))
        return cls(
            energy,
            energy_roughness,
            np.hstack([radial, angular]),
            np.concatenate([radial_roughness, (degree / 2.0) ** 6]),
            np.array(kind),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of functions of the field and of energy, (n_k, n_i)."""
        return self.space.shape[1], self.energy.shape[1]

    def with_local(self, functions: np.ndarray) -> "Basis":
        """A basis that also has the functions of a local feature.

        Parameters
        ----------
        functions : ndarray, shape (n_pixels, n)
            The feature, and its derivatives by centre and width.
        """
        n = functions.shape[1]
        return replace(
            self,
            space=np.hstack([self.space, functions]),
            space_roughness=np.append(self.space_roughness, np.ones(n)),
            kind=np.append(self.kind, ["local", *["local shape"] * (n - 1)]),
        )

    def log_rate(self, theta: np.ndarray) -> np.ndarray:
        """Σ θ_ki Φ_k E_i, shape (n_energy, n_pixels)."""
        return (self.energy @ theta.reshape(self.shape).T) @ self.space.T

    def project(self, values: np.ndarray) -> np.ndarray:
        """Σ over bins of values Φ_k E_i, shape (n_k n_i,)."""
        return ((values @ self.space).T @ self.energy).ravel()

    def gram(self, weight: np.ndarray) -> np.ndarray:
        """Σ over bins of weight Φ_k E_i Φ_l E_j, shape (n_k n_i, n_k n_i)."""
        n_k, n_i = self.shape
        images = np.empty((len(weight), n_k * n_k))
        for image, row in zip(images, weight, strict=True):
            image[:] = (self.space.T @ (row[:, None] * self.space)).ravel()
        pairs = (self.energy[:, :, None] * self.energy[:, None, :]).reshape(len(weight), -1)
        gram = (images.T @ pairs).reshape(n_k, n_k, n_i, n_i)
        return gram.transpose(0, 2, 1, 3).reshape(n_k * n_i, n_k * n_i)

    def variance(self, covariance: np.ndarray) -> np.ndarray:
        """Variance of `log_rate` from the covariance of θ, shape (n_energy, n_pixels)."""
        n_k, n_i = self.shape
        by_energy = covariance.reshape(n_k, n_i, n_k, n_i).transpose(0, 2, 1, 3).reshape(-1, n_i**2)
        pairs = (self.energy[:, :, None] * self.energy[:, None, :]).reshape(-1, n_i**2)
        images = (pairs @ by_energy.T).reshape(-1, n_k, n_k)
        rows = [np.einsum("pk,pk->p", self.space @ image, self.space) for image in images]
        return np.maximum(np.array(rows), 0.0)


def offsets(axes: Axes) -> np.ndarray:
    """Offset of each pixel from the centre of the field of view, in deg, (n_lon, n_lat).

    Parameters
    ----------
    axes : Axes
        Axes of the cube.
    """
    return np.hypot(*_from_center(axes))


def _from_center(axes):
    """Differences of the pixels to the centre of the field along each axis."""
    lon, lat = (0.5 * (e[0] + e[-1]) for e in (axes.fov_lon, axes.fov_lat))
    return np.meshgrid(axes.fov_lon_center - lon, axes.fov_lat_center - lat, indexing="ij")


def _energy(x):
    """E_i and their roughness."""
    u = 2 * (x - x[0]) / (np.ptp(x) or 1.0) - 1
    powers = np.vander(u, min(ORDER_ENERGY, u.size), increasing=True)
    low, degree = _orthonormal(powers, np.arange(powers.shape[1]))
    splines, roughness = _demmler_reinsch(u, SEGMENTS_ENERGY, ORDER_ENERGY, low, N_ENERGY)
    return np.hstack([low, splines]), np.append(1.0 * (degree == 2), BEYOND_SQUARE * roughness)


def _radial(r):
    """1, r² and splines in r, and their roughness."""
    low, degree = _orthonormal(np.column_stack([np.ones(r.size), r**2]), np.arange(2))
    splines, roughness = _demmler_reinsch(r, SEGMENTS_RADIAL, ORDER_RADIAL, low, N_RADIAL, True)
    # r² is 0 at the centre: so a Gaussian whose width changes with energy changes only its own
    # coefficients, and not the spectrum at the centre.
    if low.shape[1] > 1:
        low[:, 1] = r**2 / np.sqrt(np.mean(r**4))
    # A ring or a peak near the centre changes splines only, and not the spectrum far from it.
    weight = (r**OUTER)[:, None] * low
    if r.any():
        splines -= low @ np.linalg.solve(weight.T @ low, weight.T @ splines)
    return np.hstack([low, splines]), np.append(0.0 * degree, roughness ** (2 / 3))


def _angular(x, y, given):
    """Polynomials that depend on φ, orthogonal to ``given``, and their degrees."""
    r, phi, columns, degrees = np.hypot(x, y), np.arctan2(y, x), [], []
    for degree in range(1, DEGREE + 1):
        for m in range(degree, 0, -2):
            columns += [r**degree * np.cos(m * phi), r**degree * np.sin(m * phi)]
            degrees += [degree, degree]
    return _orthonormal(np.column_stack(columns), np.array(degrees), given)


def _orthonormal(columns, labels, given=None):
    """Make columns orthogonal to the columns before them, with mean square 1; with their labels."""
    n = len(columns)
    done = np.empty((n, 0)) if given is None else np.linalg.qr(given)[0] * np.sqrt(n)
    first, used = done.shape[1], []
    for column, label in zip(columns.T, labels, strict=True):
        size = np.sqrt(np.mean(column**2))
        for _ in range(2):
            column = column - done @ (done.T @ column) / n
        left = np.sqrt(np.mean(column**2))
        if left > INDEPENDENT * size:
            done = np.column_stack([done, column / left])
            used.append(label)
    return done[:, first:], np.array(used, dtype=int)


def _demmler_reinsch(x, segments, order, polynomials, most, even=False):
    """Splines from −1 to 1, orthogonal to the polynomials, and their roughness, 1 or more."""
    step = 2.0 / segments
    centers = -1.0 + step * np.arange(-1, segments + 2)
    splines = _cubic((x[:, None] - centers) / step)
    if even:
        splines = 0.5 * (splines + splines[:, ::-1])
    root = splines @ np.linalg.pinv(np.diff(np.eye(centers.size), order, axis=0))
    for _ in range(2):
        root -= polynomials @ (polynomials.T @ root) / x.size
    value, vector = np.linalg.eigh(root.T @ root / x.size)
    value, vector = value[::-1], vector[:, ::-1]
    number = min(most - polynomials.shape[1], x.size - polynomials.shape[1])
    number = min(number, np.count_nonzero(value > INDEPENDENT**2)) if number > 0 else 0
    functions = root @ vector[:, :number] / np.sqrt(value[:number])
    # The sign of an eigenvector is arbitrary: its largest value is made positive.
    largest = functions[np.abs(functions).argmax(axis=0), np.arange(number)]
    return functions * np.sign(largest), value[:1] / value[:number]


def _cubic(t):
    """The cubic B-spline of equidistant knots, at t steps from its centre."""
    t = np.abs(t)
    return np.where(t < 1, 4 - 6 * t**2 + 3 * t**3, np.clip(2 - t, 0, None) ** 3) / 6


def mean_of_bin(energy: np.ndarray) -> np.ndarray:
    """ln of the mean of a power law over each bin, divided by its value at the bin centre."""
    low, high = energy[:-1], energy[1:]
    power = 1 - TYPICAL_INDEX
    center = np.sqrt(low * high)
    mean = ((high / center) ** power - (low / center) ** power) / power / ((high - low) / center)
    return np.log(mean)
