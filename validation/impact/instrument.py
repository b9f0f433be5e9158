"""The instrument of an analysis: effective area and point spread function."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from astropy.io.fits import BinTableHDU
from astropy.units import Unit
from numpy.typing import ArrayLike
from scipy.interpolate import RegularGridInterpolator

from simbg.io import tables
from simbg.io.gadf.writer import GadfWriter
from simbg.io.safe_files import open_fits
from simbg.truth.sources import GammaSource

__all__ = ["Instrument"]

CM2_PER_M2 = 1e4
FULL = "FULL-ENCLOSURE"
# Radii at which the containment of a sum of gaussians is calculated.
N_RADII = 600
# 68 % containment radius of a two-dimensional gaussian, in units of its σ: √(−2 ln(1 − 0.68)).
R68 = float(np.sqrt(-2 * np.log1p(-0.68)))


@dataclass(frozen=True, eq=False)
class Instrument:
    """Effective area and point spread function, on a grid of true energy and offset.

    Between the points of the grid both are interpolated linearly in (ln E, offset), and they are
    constant outside. The energy dispersion is neglected.

    Parameters
    ----------
    energy : ndarray, shape (n_energy,)
        True energies, TeV, increasing.
    offset : ndarray, shape (n_offset,)
        Offsets from the pointing, deg, increasing.
    area : ndarray, shape (n_energy, n_offset)
        Effective area for all reconstructed directions (full enclosure), cm2.
    psf : ndarray, shape (n_energy, n_offset)
        σ of a gaussian with the 68 % containment radius of the point spread function, deg.
    origin : str
        Where they come from, in words.

    Examples
    --------
    >>> instrument = Instrument.simulated()
    >>> instrument.area_at(1.0, 0.5), instrument.psf_at(1.0, 0.5)  # cm2, deg
    (array(2.e+08), array(0.08))
    """

    energy: np.ndarray
    offset: np.ndarray
    area: np.ndarray
    psf: np.ndarray
    origin: str = ""

    @classmethod
    def simulated(cls, psf: float | None = None) -> Self:
        """The instrument of the simulation.

        Parameters
        ----------
        psf : float, optional
            σ of the point spread function, deg; by default that of the sources of a simulation.
        """
        sigma = GammaSource("any", 0.0, 0.0).psf if psf is None else psf
        one = np.ones((1, 1))
        origin = f"the simulation: {GadfWriter.EFFECTIVE_AREA / CM2_PER_M2:g} m2, σ {sigma:g} deg"
        return cls(np.ones(1), np.zeros(1), GadfWriter.EFFECTIVE_AREA * one, sigma * one, origin)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read the IRFs of a file: AEFF_2D, and PSF_TABLE, PSF_3GAUSS or PSF_KING of GADF.

        Parameters
        ----------
        path : path-like
            A FITS file.

        Returns
        -------
        instrument : Instrument
            On the grid of the effective area. Without a point spread function it has that of the
            simulation, and ``origin`` says so.

        Raises
        ------
        ValueError
            If there is no effective area, if it is for point-like sources, or if its values or axes
            are impossible.
        """
        with open_fits(path) as file:
            hdu = _with_column(file, "EFFAREA")
            if hdu is None:
                raise ValueError(f"{path}: got no column EFFAREA, expected an effective area")
            if (got := hdu.header.get("HDUCLAS3", FULL)) != FULL:
                raise ValueError(f"{path}: got an effective area {got}, expected {FULL}")
            area = _values(hdu, "EFFAREA", "cm2", 2).T
            if not (np.all(area >= 0) and area.max() > 0):
                got = f"EFFAREA: got values from {area.min():.3g} to {area.max():.3g} cm2"
                raise ValueError(f"{path}: {got}, expected 0 or more, and some above 0")
            energy, offset = _grid(hdu)
            found = {name: _with_column(file, name) for name in CONTAINMENT}
            name, hdu = next(((n, h) for n, h in found.items() if h), ("", None))
            if hdu is None:
                sigma = np.full(area.shape, cls.simulated().psf[0, 0])
                words = f"no point spread function: σ {sigma[0, 0]:g} deg of the simulation"
            else:
                sigma = _known(CONTAINMENT[name](hdu).T / R68)
                own_energy, own_offset = _grid(hdu)
                sigma = _interpolated(sigma, own_energy, own_offset, energy[:, None], offset)
                words = hdu.name
        return cls(energy, offset, area, sigma, f"{Path(path).name} ({words})")

    @classmethod
    def is_in(cls, path: Path | str) -> bool:
        """Whether a file has an effective area for all reconstructed directions.

        Parameters
        ----------
        path : path-like
            A file; False if it cannot be read as FITS.
        """
        try:
            with open_fits(path) as file:
                hdu = _with_column(file, "EFFAREA")
                return hdu is not None and hdu.header.get("HDUCLAS3", FULL) == FULL
        except (OSError, ValueError):
            return False

    @classmethod
    def first_of(cls, paths: Iterable[Path | str | None]) -> Self:
        """The instrument of the first file that has one, else that of the simulation.

        Parameters
        ----------
        paths : iterable of path-like or None
            Files.
        """
        path = next((path for path in paths if path and cls.is_in(path)), None)
        return cls.read(path) if path else cls.simulated()

    def area_at(self, energy: ArrayLike, offset: ArrayLike) -> np.ndarray:
        """Effective area, cm2, at energies (TeV) and offsets (deg), which are broadcast."""
        return _interpolated(self.area, self.energy, self.offset, energy, offset)

    def psf_at(self, energy: ArrayLike, offset: ArrayLike) -> np.ndarray:
        """σ of the point spread function, deg, at energies (TeV) and offsets (deg)."""
        return _interpolated(self.psf, self.energy, self.offset, energy, offset)


def _with_column(file, name):
    """The first table that has a column; HDUCLAS4 differs between producers."""
    found = (hdu for hdu in file if isinstance(hdu, BinTableHDU))
    return next((hdu for hdu in found if name in hdu.columns.names), None)


def _values(hdu, name, unit, ndim):
    """An array in a unit, which is assumed without one."""
    given = hdu.columns[name].unit
    factor = Unit(given).to(unit) if given else 1.0
    return factor * tables.read_array(hdu, name, ndim)


def _grid(hdu):
    """Centres of the axes of energy (TeV) and offset (deg)."""
    low, high = (_values(hdu, f"ENERG_{end}", "TeV", 1) for end in ("LO", "HI"))
    theta = 0.5 * sum(_values(hdu, f"THETA_{end}", "deg", 1) for end in ("LO", "HI"))
    energy = np.sqrt(low * high)
    for name, values in (("ENERG", energy), ("THETA", theta)):
        if not np.all(np.diff(values) > 0):
            raise ValueError(f"{hdu.name}: {name}: got values that do not increase: {values}")
    return energy, theta


def _of_table(hdu):
    """68 % containment radius of PSF_TABLE, shape (n_offset, n_energy)."""
    low, high = (_values(hdu, f"RAD_{end}", "deg", 1) for end in ("LO", "HI"))
    solid_angle = np.cos(np.radians(low)) - np.cos(np.radians(high))
    inside = np.cumsum(_values(hdu, "RPSF", "sr-1", 3) * solid_angle[:, None, None], axis=0)
    return _radius(high, inside)


def _of_gaussians(hdu):
    """68 % containment radius of PSF_3GAUSS, shape (n_offset, n_energy)."""
    sigma = [_values(hdu, f"SIGMA_{i}", "deg", 2) for i in (1, 2, 3)]
    scale = [1.0, *(tables.read_array(hdu, f"AMPL_{i}", 2) for i in (2, 3))]
    radius = np.linspace(0, 3 * np.nanmax(sigma), N_RADII + 1)[1:, None, None]
    inside = np.zeros((N_RADII, *sigma[0].shape))
    for one, amplitude in zip(sigma, scale, strict=True):
        width = np.where(one > 0, one, 1.0)
        weight = np.where(one > 0, amplitude * one**2, 0.0)
        inside += weight * -np.expm1(-0.5 * (radius / width) ** 2)
    return _radius(radius[:, 0, 0], inside)


def _of_king(hdu):
    """68 % containment radius of PSF_KING, shape (n_offset, n_energy)."""
    gamma, sigma = _values(hdu, "GAMMA", "", 2), _values(hdu, "SIGMA", "deg", 2)
    # Containment 1 − (1 + r²/(2 γ σ²))^(1 − γ).
    with np.errstate(divide="ignore", invalid="ignore"):
        return sigma * np.sqrt(2 * gamma * np.expm1(np.log1p(-0.68) / (1 - gamma)))


# By a column that only this kind of point spread function has.
CONTAINMENT = {"RPSF": _of_table, "AMPL_2": _of_gaussians, "GAMMA": _of_king}


def _radius(radius, inside):
    """Radius at which the containment reaches 68 % of its last value; NaN without events."""
    flat = inside.reshape(len(radius), -1)
    total = flat[-1]
    found = [
        np.interp(0.68 * last, column, radius) if last > 0 else np.nan
        for column, last in zip(flat.T, total, strict=True)
    ]
    return np.reshape(found, inside.shape[1:])


def _known(values):
    """Values along energy; where they are not known, those of the nearest energy that has some."""
    filled = np.array(values, float)
    for column in filled.T:
        good = np.flatnonzero(np.isfinite(column) & (column > 0))
        if not good.size:
            raise ValueError("got a point spread function without a width, expected some above 0")
        nearest = np.abs(np.arange(len(column))[:, None] - good).argmin(axis=1)
        column[:] = column[good[nearest]]
    return filled


def _interpolated(values, energy, offset, energies, offsets):
    """Bilinear in (ln E, offset), constant outside."""
    points = np.log(energy), offset
    wide = [k for k, one in enumerate(points) if one.size > 1]
    places = np.broadcast_arrays(np.log(energies), np.asarray(offsets, float))
    if not wide:
        return np.broadcast_to(values[0, 0], places[0].shape)
    inside = [np.clip(places[k], points[k][0], points[k][-1]) for k in wide]
    grid = RegularGridInterpolator([points[k] for k in wide], np.squeeze(values))
    return grid(np.stack(inside, axis=-1))
