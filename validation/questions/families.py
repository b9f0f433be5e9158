"""Families of directions of a bias; each direction is a normalised pattern with a name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from simbg.validation.questions.bias import band_name, energy_bands
from simbg.validation.questions.replicates import Replicates

__all__ = ["Family", "make_families"]

# A direction is tested if the mean over R replicates of raw counts has at most this skewness: for a
# single bin with λ expected counts, R λ ≥ 100. The sum over its bins must have R λ ≥ 100, too.
MOST_SKEW = 0.1
# Largest degree of the polynomials of the field, for all energies together and for each band.
DEGREES = {"shape": 2, "shape by energy": 4}
# Distance of the radii of rings, and their width (standard deviation), deg.
RADII, RING = 0.25, 0.3
# Width of the images of point sources in deg, and the relative height below which they are 0.
PSF, LEAST = 0.1, 1e-3
# A mask touches a bin whose exposure is lower than the largest by more than this fraction.
TOUCHED = 1e-3
# Relative fraction of the false-alarm rate for each family.
SHARES = {
    "shape": 8,
    "parameters": 4,
    "shape by energy": 4,
    "energies": 1,
    "energies above": 1,
    "rings": 1,
    "quadrants": 1,
    "rows": 1,
    "columns": 1,
    "pixels": 1,
    "bins": 1,
    "mask borders": 1,
    "mask borders by energy": 1,
    "point sources": 2,
}
ANGLES = {"fov_lon": 1, "fov_lat": 0}
NAMES = {
    (0, 0): "norm",
    (1, 1): "gradient along fov_lon",
    (1, -1): "gradient along fov_lat",
    (2, 0): "width",
    (2, 2): "quadrupole along the axes",
    (2, -2): "quadrupole along the diagonals",
    (4, 0): "ring",
}
# Pairs of smooth directions, and the names of their sum and difference.
PAIRS = {
    ("norm", "index"): ("rate at low energies", "rate at high energies"),
    ("width", "change of the width with energy"): ("r^2 at high energies", "r^2 at low energies"),
    (NAMES[1, 1], NAMES[1, -1]): tuple(f"gradient along fov_lon {s} fov_lat" for s in "+-"),
    (NAMES[2, 2], NAMES[2, -2]): ("quadrupole at 22.5 deg", "quadrupole at -22.5 deg"),
}


@dataclass(frozen=True, eq=False)
class Family:
    """Directions of one kind.

    Parameters
    ----------
    title : str
        Name of the family.
    share : float
        Relative fraction of the false-alarm rate; the fractions of all families are normalised.
    matrix : scipy.sparse.csr_array, shape (n_directions, n_used)
        Unit vectors u over the used bins, u ∝ h √λ for a bias λ → λ (1 + ε h).
    support : ndarray, shape (n_directions,)
        Expected counts, Σ λ, of the bins in which h is not 0.
    skewness : ndarray, shape (n_directions,)
        Skewness of one draw of raw counts, Σ u³/√λ.
    name : callable
        Function of the index of a direction that returns its name.
    """

    title: str
    share: float
    matrix: sparse.csr_array
    support: np.ndarray
    skewness: np.ndarray
    name: Callable[[int], str]


def make_families(replicates: Replicates) -> list[Family]:
    """Make all families: first those of smooth directions, then those of local ones.

    Parameters
    ----------
    replicates : Replicates
        Replicates of one method. Directions with too few counts in them are left out.

    Notes
    -----
    The directions of most families are orthonormal in the Fisher metric, Σ u_k u_l = δ_kl. The
    smooth directions are products of polynomials of the field, r^n cos mφ and r^n sin mφ, and of
    powers of ln E, made orthonormal in the order of their degree.
    The directions of the families of parameters, energies above a bound, rings and point sources
    are not orthogonal. Each is the change that one cause makes. A larger width, for example,
    changes the rate λ(x) to λ(x/(1 + ε))/(1 + ε)², and with it the norm within the field. Such a
    direction gives one name to a bias that orthogonal directions divide among several names.
    Each single bin is a direction, too, if it has enough counts; `measure_bias` tests all bins
    together.
    """
    field = _Field(replicates)
    shape, by_energy = field.shapes()
    families = [
        shape,
        field.parameters(shape),
        field.cells("energies", field.energy, lambda k: f"energy bin {field.energies(k)}"),
        field.above(),
        by_energy,
        field.rings(),
        field.quadrants(),
        field.cells("rows", field.lat, lambda k: f"row of pixels at {field.at_lat(k)}"),
        field.cells("columns", field.lon, lambda k: f"column of pixels at {field.at_lon(k)}"),
        field.cells("pixels", field.pixel, lambda k: f"pixel at {field.at(k)}"),
        field.cells(
            "bins", field.bin, lambda k: f"bin at {field.at(k % field.n_pixels)}, {field.e(k)}"
        ),
        *field.borders(),
        field.sources(),
    ]
    return [family for family in families if family.support.size]


class _Field:
    """Coordinates and expected counts of the used bins, and the families of these bins."""

    def __init__(self, replicates: Replicates) -> None:
        self.axes, self.weight = replicates.axes, replicates.weight
        self.energy, self.lon, self.lat = np.nonzero(replicates.used)
        self.n_pixels = int(np.prod(self.axes.shape[1:]))
        self.pixel = self.lon * self.axes.shape[2] + self.lat
        self.bin = self.energy * self.n_pixels + self.pixel
        self.livetime, self.used = replicates.livetime, replicates.used
        self.most_skew = MOST_SKEW * np.sqrt(replicates.independent)
        self.least = MOST_SKEW**-2 / replicates.independent

    def family(
        self,
        title: str,
        matrix: sparse.csr_array,
        support: np.ndarray,
        name: Callable[[int], str],
    ) -> Family:
        """A family of the directions with enough counts."""
        skewness = (matrix**3) @ self.weight**-0.5
        tested = np.flatnonzero((np.abs(skewness) <= self.most_skew) & (support >= self.least))
        columns = matrix[tested], support[tested], skewness[tested]
        return Family(title, SHARES[title], *columns, lambda k: name(int(tested[k])))

    def energies(self, k: int) -> str:
        """Edges of an energy bin."""
        return f"{self.axes.energy[k]:.3g} to {self.axes.energy[k + 1]:.3g} TeV"

    def e(self, k: int) -> str:
        """Edges of the energy bin that contains a bin of the cube."""
        return self.energies(k // self.n_pixels)

    def at_lon(self, k: int) -> str:
        """Centre of a column of pixels."""
        return f"fov_lon {self.axes.fov_lon_center[k]:+.2f} deg"

    def at_lat(self, k: int) -> str:
        """Centre of a row of pixels."""
        return f"fov_lat {self.axes.fov_lat_center[k]:+.2f} deg"

    def at(self, k: int) -> str:
        """Centre of a pixel."""
        lon, lat = divmod(int(k), self.axes.shape[2])
        return f"{self.at_lon(lon)}, {self.at_lat(lat)}"

    def cells(self, title: str, cell: np.ndarray, name: Callable[[int], str]) -> Family:
        """Sums of bins over cells; ``cell`` is the number of the cell of each bin, −1 for none."""
        used = np.flatnonzero(cell >= 0)
        found, row = np.unique(cell[used], return_inverse=True)
        total = np.bincount(row, self.weight[used])
        values = np.sqrt(self.weight[used] / total[row])
        shape = (found.size, self.weight.size)
        matrix = sparse.csr_array((values, (row, used)), shape=shape)
        return self.family(title, matrix, total, lambda k: name(int(found[k])))

    def shapes(self) -> Iterator[Family]:
        """The families of smooth directions: for all energies together and for energy bands."""
        log_energy = np.log(self.axes.energy_center)[self.energy]
        log_energy = log_energy - np.average(log_energy, weights=self.weight)
        names, patterns = map(list, zip(*self._polynomials(DEGREES["shape"]), strict=True))
        extra = [
            ("index", -log_energy),
            ("curvature of the spectrum", log_energy**2),
            ("change of the width with energy", patterns[names.index("width")] * log_energy),
            ("ring", patterns[names.index("width")] ** 2),
        ]
        names += [name for name, _ in extra]
        patterns += [pattern for _, pattern in extra]
        everywhere = np.arange(self.weight.size)
        yield self._smooth("shape", [(everywhere, names, patterns)])
        parts = []
        for band in energy_bands(self.axes):
            inside = np.flatnonzero((self.energy >= band.start) & (self.energy < band.stop))
            if not inside.size:
                continue
            polynomials = list(self._polynomials(DEGREES["shape by energy"]))
            names = [f"{name}, {band_name(self.axes, band)}" for name, _ in polynomials]
            parts.append((inside, names, [pattern[inside] for _, pattern in polynomials]))
        yield self._smooth("shape by energy", parts)

    def _polynomials(self, degree):
        """Names and values of r^n cos mφ and r^n sin mφ up to a degree."""
        half = max(np.abs(self.axes.fov_lon).max(), np.abs(self.axes.fov_lat).max())
        place = (
            self.axes.fov_lon_center[self.lon] + 1j * self.axes.fov_lat_center[self.lat]
        ) / half
        for n in range(degree + 1):
            for m in range(n % 2, n + 1, 2):
                wave = np.abs(place) ** (n - m) * place**m
                for sign, pattern in ((1, wave.real), (-1, wave.imag)):
                    if m or sign > 0:
                        lobes = f"r^{n} {'cos' if sign > 0 else 'sin'} {m}φ"
                        yield NAMES.get((n, sign * m), lobes), pattern

    def _smooth(self, title, parts):
        """A family of patterns, made orthonormal in their order in each part of the bins."""
        values, columns, names, support = [], [], [], []
        for bins, labels, patterns in parts:
            root = np.sqrt(self.weight[bins])
            basis, upper = np.linalg.qr(np.array(patterns).T * root[:, None])
            # A linear combination of the patterns before it is left out; with fewer bins than
            # patterns, the last ones are.
            upper = upper[:, : len(upper)]
            own = np.abs(np.diag(upper)) > 1e-6 * np.linalg.norm(upper, axis=0)
            sign = np.where(np.diag(upper) < 0, -1.0, 1.0)
            for k in np.flatnonzero(own):
                values.append(basis[:, k] * sign[k])
                columns.append(bins)
                names.append(labels[k])
                support.append(self.weight[bins].sum())
        start = np.cumsum([0, *(len(bins) for bins in columns)])
        matrix = sparse.csr_array(
            (np.concatenate(values), np.concatenate(columns), start),
            shape=(len(names), self.weight.size),
        )
        return self.family(title, matrix, np.array(support), names.__getitem__)

    def borders(self) -> Iterator[Family]:
        """Bins on the border of a mask, for each energy band."""
        if self.livetime is None:
            return
        time = np.asarray(self.livetime, float)
        touched = time < time.max(axis=(1, 2), keepdims=True) * (1 - TOUCHED)
        touched = touched[self.used]
        if touched.any() and not touched.all():
            yield self.cells("mask borders", np.where(touched, 0, -1), lambda k: "borders of masks")
            bands = energy_bands(self.axes)
            number = np.searchsorted([band.stop for band in bands], self.energy, "right")
            yield self.cells(
                "mask borders by energy",
                np.where(touched, number, -1),
                lambda k: f"borders of masks, {band_name(self.axes, bands[k])}",
            )

    def parameters(self, shape: Family) -> Family:
        """Changes of one parameter of the true model; they are not orthogonal.

        The reference energy of a slope, and the orientation of a gradient or a quadrupole, are not
        known. Pairs of directions are therefore also tested at 45 deg: any combination of two then
        has an angle of at most 22.5 deg with one direction, and loses at most 8 % of its amplitude.

        Parameters
        ----------
        shape : Family
            The smooth directions of all energies together.
        """
        log_energy = np.log(self.axes.energy_center)[self.energy]
        log_energy = log_energy - np.average(log_energy, weights=self.weight)
        spread = np.sqrt(np.average(log_energy**2, weights=self.weight))
        width = self._dilation()
        patterns = {
            "index": -log_energy,
            "curvature of the spectrum": log_energy**2
            - np.average(log_energy**2, weights=self.weight),
            "width": width,
            "change of the width with energy": width * log_energy,
        }
        if self.axes.shape[0] > 1:
            patterns["width at low energies"] = width * (log_energy - spread)
            patterns["width at high energies"] = width * (log_energy + spread)
        known = {shape.name(k): k for k in range(shape.support.size)}
        for (one, other), names in PAIRS.items():
            if one in known and other in known:
                rows = shape.matrix[[known[one], known[other]]].toarray() / np.sqrt(self.weight)
                patterns |= {
                    name: rows[0] + sign * rows[1]
                    for sign, name in zip((1, -1), names, strict=True)
                }
        return self._dense("parameters", patterns)

    def _dilation(self):
        """ln of the change of the rate for a larger width, −2 − r · ∇ ln λ; 0 beside empty bins."""
        rate = np.full(self.axes.shape, np.nan)
        rate[self.used] = np.log(self.weight)
        if self.livetime is not None:
            rate[self.used] -= np.log(np.asarray(self.livetime, float)[self.used])
        rate -= np.log(self.axes.solid_angle)
        slope = np.zeros(self.axes.shape)
        lon, lat = self.axes.fov_lon_center, self.axes.fov_lat_center
        if len(lon) > 1:
            slope += lon[:, None] * np.gradient(rate, lon, axis=1)
        if len(lat) > 1:
            slope += lat * np.gradient(rate, lat, axis=2)
        return np.nan_to_num(-2 - slope[self.used])

    def rings(self) -> Family:
        """Rings around the centre of the field, one for each radius."""
        offset = self.axes.offset[self.lon, self.lat]
        patterns = {}
        for radius in np.arange(2 * RADII, offset.max(), RADII):
            values = np.exp(-0.5 * ((offset - radius) / RING) ** 2)
            patterns[f"ring at {radius:.2f} deg"] = np.where(values > LEAST, values, 0.0)
        return self._dense("rings", patterns)

    def above(self) -> Family:
        """All bins above an energy; the lowest bins alone are among the energies."""
        edges = range(1, self.axes.shape[0] - 1)
        patterns = {
            f"all energies above {self.axes.energy[k]:.3g} TeV": (self.energy >= k).astype(float)
            for k in edges
        }
        return self._dense("energies above", patterns)

    def quadrants(self) -> Family:
        """Quadrants of the field."""
        east = self.axes.fov_lon_center[self.lon] > 0
        up = self.axes.fov_lat_center[self.lat] > 0

        def name(k):
            signs = (f"{angle} {'<>'[k >> shift & 1]} 0" for angle, shift in ANGLES.items())
            return f"quadrant {' and '.join(signs)}"

        return self.cells("quadrants", 2 * east + up, name)

    def _dense(self, title, patterns):
        """A family of patterns h that are not orthogonal, from names and values."""
        names = [name for name, pattern in patterns.items() if np.any(pattern)]
        values = np.array([patterns[name] for name in names]).reshape(len(names), self.weight.size)
        values = values * np.sqrt(self.weight)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        matrix = sparse.csr_array(values)
        return self.family(title, matrix, (matrix != 0) @ self.weight, names.__getitem__)

    def sources(self) -> Family:
        """A point source in each pixel, with its image at all energies together (matched filter).

        In an image with expected counts λ, a source with the shape f has the direction h = f/λ.
        """
        image = np.bincount(self.pixel, self.weight, self.n_pixels)
        filled = np.where(image > 0, image, np.inf)
        near = [
            _neighbours(centers) for centers in (self.axes.fov_lon_center, self.axes.fov_lat_center)
        ]
        kernel = sparse.kron(*near) @ sparse.diags_array(filled**-0.5)
        found = np.flatnonzero(image > 0)
        size = np.sqrt((kernel**2).sum(axis=1))[found]
        kernel = sparse.diags_array(1 / size) @ sparse.csr_array(kernel)[found]
        own = np.sqrt(self.weight / image[self.pixel])
        places = self.pixel, np.arange(self.weight.size)
        images = sparse.csr_array((own, places), shape=(self.n_pixels, self.weight.size))
        return self.family(
            "point sources",
            sparse.csr_array(kernel @ images),
            (kernel > 0) @ image,
            lambda k: f"point source at {self.at(found[k])}",
        )


def _neighbours(centers):
    """A normal distribution around each centre; values below `LEAST` are 0."""
    values = np.exp(-0.5 * ((centers[:, None] - centers) / PSF) ** 2)
    return sparse.csr_array(np.where(values > LEAST, values, 0.0))
