"""Known gamma-ray sources, and which pointings lie too near them.

A background model is made of observations without sources: 2015's rule drops a pointing within
3 deg + 2 x (largest radius) of a source. The known sources are those of gamma-cat if it lies in
``$GAMMAPY_DATA``, else a small table that the project carries; what the user excludes is added.
"""

import logging
import os
import warnings
from dataclasses import astuple, dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, angular_separation
from astropy.table import Table

from simbg.errors import in_one_line
from simbg.io.region_files import read_circles

__all__ = ["Sources", "known_sources"]

log = logging.getLogger(__name__)

GAMMACAT = Path("catalogs", "gammacat", "gammacat.fits.gz")
CARRIED = Path(__file__).with_name("tev_sources.ecsv")

# Column names in lower case and without underscores; of names and positions, the first there is.
RAS = ("ra", "raj2000", "radeg", "coordra", "posra")
DECS = ("dec", "dej2000", "decj2000", "dedeg", "decdeg", "coorddec", "posdec")
SIZES = ("radius", "size", "extension", "morphsigma", "morphsigma2", "sizex", "sizey")
NAMES = ("name", "commonname", "sourcename", "canonicalname")


@dataclass(frozen=True, eq=False)
class Sources:
    """Circles on the sky.

    Attributes
    ----------
    name : ndarray of str, shape (n_sources,)
    ra, dec : ndarray, shape (n_sources,)
        Centres, ICRS, in deg; ra from 0 to 360.
    radius : ndarray, shape (n_sources,)
        Largest extent in deg (1 sigma of a Gaussian, the radius of a shell); 0 for a point.
    """

    name: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    radius: np.ndarray

    def __post_init__(self):
        name = np.asarray(self.name, str)
        ra, dec, radius = (np.asarray(value, float) for value in (self.ra, self.dec, self.radius))
        shapes = [value.shape for value in (name, ra, dec, radius)]
        if len(set(shapes)) > 1 or ra.ndim != 1:
            raise ValueError(f"sources: got shapes {shapes}, expected (n_sources,) for each")
        _check(name, "ra", ra, np.isfinite(ra), "a finite angle")
        _check(name, "dec", dec, np.abs(dec) <= 90, "-90 to 90 deg")
        _check(name, "radius", radius, (radius >= 0) & (radius <= 180), "0 to 180 deg")
        for key, value in {"name": name, "ra": ra % 360, "dec": dec, "radius": radius}.items():
            object.__setattr__(self, key, value)

    def __len__(self):
        return len(self.name)

    def __getitem__(self, rows):
        return Sources(*(values[rows] for values in astuple(self)))

    def near(self, ra, dec, margin=3.0):
        """The source within whose ``margin + 2 * radius`` a pointing lies deepest.

        Parameters
        ----------
        ra, dec : Quantity or array-like in deg, ICRS
            Pointings; a ValueError if one is not finite.
        margin : Quantity or float in deg

        Returns
        -------
        ndarray of int, shape of `ra` and `dec`
            Index of the source, to say why a pointing is dropped; -1 if it is farther from all.
            A pointing right at the limit is near, up to rounding.
        """
        ra, dec, margin = (u.Quantity(angle, u.deg).to_value(u.rad) for angle in (ra, dec, margin))
        ra, dec = np.broadcast_arrays(ra, dec)
        if bad := np.argwhere(~np.isfinite(ra + dec)).tolist():
            raise ValueError(f"pointings: got NaN or infinity at {bad[0]}, expected finite angles")
        nearest, deepest = np.full(ra.shape, -1), np.full(ra.shape, -1.0)
        circles = np.radians([self.ra, self.dec, self.radius]).T
        # One source at a time, as all pairs of a large archive would not fit in memory.
        for index, (source_ra, source_dec, radius) in enumerate(circles):
            depth = margin + 2 * radius - angular_separation(ra, dec, source_ra, source_dec)
            deeper = (depth >= 0) & (depth > deepest)
            nearest, deepest = np.where(deeper, index, nearest), np.where(deeper, depth, deepest)
        return nearest


def known_sources(exclude=(), data_dir=None, limit=None):
    """The sources of the catalogue and, in addition, of the user's files.

    Parameters
    ----------
    exclude : path or iterable of paths
        DS9 region files (``.reg``) and source tables (whatever `astropy.table.Table` reads), all
        added to the catalogue; the word ``none`` among them switches the catalogue off.

        A region is the circle around it, see `simbg.io.region_files.read_circles`.

        A table has ICRS positions (RA, DEC; RAJ2000, DEJ2000; ...; in deg unless the column says
        another unit, or its strings do, as 05h34m32s) and perhaps sizes, of which the largest
        counts (radius, size, extension, morph_sigma, morph_sigma2, size_x, size_y). Case and
        underscores do not matter. A size that is masked or NaN is 0.
    data_dir : path, optional
        Where ``catalogs/gammacat/gammacat.fits.gz`` may lie, by default ``$GAMMAPY_DATA``;
        without it ``simbg/data/tev_sources.ecsv`` serves.
    limit : int, optional
        Only that many sources of the catalogue, the first ones; 2015's ``--test`` takes 5.

    Returns
    -------
    Sources
        The catalogue's first, then the files' in order.

    Raises
    ------
    FileNotFoundError
        If a file of `exclude` does not exist.
    ValueError
        If a file cannot be read, or a source in it has no valid position or radius.
    """
    paths = [exclude] if isinstance(exclude, str | os.PathLike) else list(exclude)
    files = [path for path in paths if str(path) != "none"]
    catalogue = [_catalogue(data_dir)[:limit]] if len(files) == len(paths) else []
    parts = [Sources([], [], [], []), *catalogue, *(_read(path) for path in files)]
    return Sources(*(np.concatenate(values) for values in zip(*map(astuple, parts), strict=True)))


def _check(name, key, value, good, expected):
    for row in np.flatnonzero(~good):
        got = f"{key} of row {row + 1} ({name[row]}): got {value[row]}"
        raise ValueError(f"{got}, expected {expected}")


def _catalogue(data_dir):
    folder = os.environ.get("GAMMAPY_DATA") if data_dir is None else data_dir
    gammacat = Path(folder, GAMMACAT) if folder else None
    path = gammacat if gammacat and gammacat.is_file() else CARRIED
    sources = _read(path, unplaced="drop")
    log.info("%d known sources in %s", len(sources), path)
    return sources


def _read(path, **options):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"sources: got {path}, expected a region file or a source table")
    if path.suffix.lower() == ".reg":
        return Sources(*np.reshape(np.array(read_circles(path), object), (-1, 4)).T)
    try:
        return _read_table(path, **options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(parse, given, expected):
    """What a library makes of it; complaints of whatever type become a one-line ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parse(given)
        except Exception as error:
            got = in_one_line(error)[:200]
            raise ValueError(f"got {got}, expected {expected}") from error


def _read_table(path, unplaced="error"):
    table = _parse(Table.read, path, "a source table")
    table.convert_bytestring_to_unicode()
    columns = {key.lower().replace("_", ""): table[key] for key in table.colnames}
    ras, decs = ([key for key in keys if key in columns] for keys in (RAS, DECS))
    if not (ras and decs):
        got = ", ".join(table.colnames[:20]) or "none"
        raise ValueError(f"positions: got columns {got}; expected RA, DEC or RAJ2000, DEJ2000")
    keys = [ras[0], decs[0], *(key for key in SIZES if key in columns)]
    ra, dec, *sizes = (_parse(_degrees, columns[key], f"angles in column {key}") for key in keys)
    radius = np.fmax.reduce([np.full(ra.shape, np.nan), *sizes])
    radius[np.isnan(radius)] = 0
    numbered = [f"{path.name} row {row + 1}" for row in range(len(table))]
    names = [str(name) for name in next((columns[k] for k in NAMES if k in columns), numbered)]
    keep = np.isfinite(ra + dec) | (unplaced != "drop")
    return Sources(np.array(names, str)[keep], ra[keep], dec[keep], radius[keep])


def _degrees(column):
    """A column's angles in deg, NaN where masked."""
    if column.dtype.kind == "U":
        return np.array([Angle(text, unit=column.unit).deg for text in column], float)
    values = np.ma.asarray(column).astype(float).filled(np.nan)
    return u.Quantity(values, column.unit or u.deg).to_value(u.deg)
