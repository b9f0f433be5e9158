"""Known gamma-ray sources, and which pointings are near them.

A background model is made from observations without sources. The rule of 2015 drops a pointing
within 3 deg + 2 × (largest radius) of a source. The known sources are those of gamma-cat if it is
in ``$GAMMAPY_DATA``, otherwise those of a small table in simbg. Files of the user are added.
"""

import logging
import os
import re
import warnings
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from simbg.errors import did_you_mean, in_one_line
from simbg.io.files.contents import check_fits_sizes, read_bytes
from simbg.io.safe_files import names_beside
from simbg.quantities import in_unit
from simbg.sky.regions import Region
from simbg.sky.vectors import separation

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["Sources", "is_image", "known_sources"]

LARGEST = 256 << 20  # bytes of a table of sources
log = logging.getLogger(__name__)

GAMMACAT = Path("catalogs", "gammacat", "gammacat.fits.gz")
BUILT_IN = Path(__file__).with_name("tev_sources.ecsv")

# Column names in lower case and without underscores; the first name and position found is used.
RAS = ("ra", "raj2000", "radeg", "coordra", "posra")
DECS = ("dec", "dej2000", "decj2000", "dedeg", "decdeg", "coorddec", "posdec")
SIZES = ("radius", "size", "extension", "morphsigma", "morphsigma2", "sizex", "sizey")
# Columns that are taken as sizes if there is none of these, and words of columns that are not.
OTHER_SIZES = r"radius|extension|extent|semimajor|sigma|^r\d\d|^rext|^rspec|roi"
NO_SIZES = r"conf|err|^e(?=r)|pos|unc|flag|lim|ul$|min$|lo$|name|ref|flux|significance|sqrt|sep"
NAMES = ("name", "commonname", "sourcename", "canonicalname")


@dataclass(frozen=True, eq=False)
class Sources:
    """Circles on the sky, with names.

    Attributes
    ----------
    name : ndarray of str, shape (n_sources,)
        Names of the sources.
    ra, dec : ndarray, shape (n_sources,)
        Centres, deg, ICRS; ra from 0 to 360.
    radius : ndarray, shape (n_sources,)
        Largest extent, deg (σ of a Gaussian, the radius of a shell); 0 for a point source.

    Raises
    ------
    ValueError
        If a position or a radius is not valid.
    """

    name: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    radius: np.ndarray

    def __post_init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.name)

    def __getitem__(self, rows: slice | np.ndarray) -> "Sources":
        return Sources(*(values[rows] for values in astuple(self)))

    def near(self, ra: ArrayLike, dec: ArrayLike, margin: "float | Quantity" = 3.0) -> np.ndarray:
        """The source that each pointing is near: within ``margin + 2 * radius`` of its centre.

        Parameters
        ----------
        ra, dec : Quantity or array_like
            Pointings, ICRS; numbers are in deg.
        margin : Quantity or float
            Margin; a number is in deg.

        Returns
        -------
        ndarray of int, shape of `ra` and `dec`
            Index of the source, or -1 if no source is near. If several sources are near, the
            source whose circle extends farthest beyond the pointing. A pointing exactly at the
            limit counts as near, except for rounding.

        Raises
        ------
        ValueError
            If a pointing is not finite.
        """
        lon, lat, extra = (np.radians(in_unit(x, "deg", "pointings")) for x in (ra, dec, margin))
        lon, lat = np.broadcast_arrays(lon, lat)
        if bad := np.argwhere(~np.isfinite(lon + lat)).tolist():
            raise ValueError(f"pointings: got NaN or infinity at {bad[0]}, expected finite angles")
        nearest, deepest = np.full(lon.shape, -1), np.full(lon.shape, -1.0)
        circles = np.radians([self.ra, self.dec, self.radius]).T
        # One source at a time: all pairs of a large archive would not fit in memory.
        for index, (source_ra, source_dec, radius) in enumerate(circles):
            depth = extra + 2 * radius - separation(lon, lat, source_ra, source_dec)
            deeper = (depth >= 0) & (depth > deepest)
            nearest, deepest = np.where(deeper, index, nearest), np.where(deeper, depth, deepest)
        return nearest


def known_sources(
    exclude: Any = (),
    data_dir: Path | str | None = None,
    max_sources: int | None = None,
) -> Sources:
    """The sources of the catalogue and those of the user's files.

    Parameters
    ----------
    exclude : path-like, Region, regions.Regions, or iterable of these
        DS9 region files and source tables (any format that `astropy.table.Table` reads), and
        regions as objects, which are added to the catalogue; the word ``none`` among them removes
        the catalogue.

        A region is replaced by the circle about it, see `simbg.io.region_files.read_circles`.
        A mask image has no such circle and is an error.

        A table has ICRS positions (RA, DEC; RAJ2000, DEJ2000; ...; in deg unless the column has
        another unit, or strings such as 05h34m32s) and optionally sizes, of which the largest
        is used (radius, size, extension, morph_sigma, morph_sigma2, size_x, size_y). Case and
        underscores are ignored. If a table has none of these, columns with similar names (r39_b,
        semi_major, ...) are used, with a warning. A size that is masked or NaN is 0.
    data_dir : path-like, optional
        Folder with ``catalogs/gammacat/gammacat.fits.gz``, by default ``$GAMMAPY_DATA``. If the
        file does not exist, ``simbg/models/tev_sources.ecsv`` is used.
    max_sources : int, optional
        Use only the first sources of the catalogue, up to this number. The option ``--test`` of
        2015 uses 5.

    Returns
    -------
    Sources
        Those of the catalogue, then those of the files in order.

    Raises
    ------
    FileNotFoundError
        If a file of `exclude` does not exist.
    ValueError
        If a file cannot be read, or a source in it has no valid position or radius.
    """
    given = list(exclude) if isinstance(exclude, list | tuple) else [exclude]
    others = [
        one for one in given if not (isinstance(one, str | os.PathLike) and str(one) == "none")
    ]
    catalogue = [_catalogue(data_dir)[:max_sources]] if len(others) == len(given) else []
    empty = Sources(*[np.array([])] * 4)
    parts = [empty, *catalogue, *map(_sources_of, others)]
    return Sources(*(np.concatenate(values) for values in zip(*map(astuple, parts), strict=True)))


def _check(name, key, value, good, expected):
    for row in np.flatnonzero(~good):
        got = f"{key} of row {row + 1} ({name[row]}): got {value[row]}"
        raise ValueError(f"{got}, expected {expected}")


def _catalogue(data_dir):
    folder = os.environ.get("GAMMAPY_DATA") if data_dir is None else data_dir
    gammacat = Path(folder, GAMMACAT) if folder else None
    path = gammacat if gammacat and gammacat.is_file() else BUILT_IN
    sources = _read(path, without_position="drop")
    log.info("%d known sources in %s", len(sources), path)
    return sources


def is_image(one: Any) -> bool:
    """Whether something to exclude is a mask image, or a part of one.

    Parameters
    ----------
    one : path-like or object
        As in `known_sources`.
    """
    # Imported here: astropy's modules for images take a quarter of a second.
    if isinstance(one, str | os.PathLike):
        from simbg.io.mask_images import is_mask_image

        return is_mask_image(Path(one))
    from simbg.sky.pixel_mask import PixelRegion

    return isinstance(one, PixelRegion)


def _sources_of(one):
    """The sources of a file, or of an object."""
    from simbg.io.region_files import circles_of

    if is_image(one):
        name = one if isinstance(one, str | os.PathLike) else "exclude"
        raise ValueError(
            f"{name}: got a mask image, expected region files or source tables to leave out runs "
            "near them; --sources mask (sources='mask') masks the pixels of the image"
        )
    if isinstance(one, str | os.PathLike):
        return _read(one)
    if isinstance(one, Region):
        return _rows([("region", *one.center, one.radius)])
    return _rows(circles_of(one))


def _rows(circles):
    return Sources(*np.reshape(np.array(circles, object), (-1, 4)).T)


def _read(path, **options):
    path = Path(path)
    if not path.is_file():
        got = "got a folder" if path.is_dir() else "no such file"
        near = did_you_mean(path.name, ["none", *names_beside(path)])
        raise FileNotFoundError(
            f"{path}: {got}, expected a region file, source table or mask image{near}"
        )
    from simbg.io.region_files import is_region_file, read_circles

    if path != BUILT_IN and is_region_file(path):
        return _rows(read_circles(path))
    try:
        return _read_table(path, **options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(parse, given, expected):
    """Result of a library function; any error becomes a ValueError of one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parse(given)
        except Exception as error:
            got = in_one_line(error)[:200]
            raise ValueError(f"got {got}, expected {expected}") from error


def _table(path):
    """A table; text whose format neither name nor contents show is ASCII."""
    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    check_fits_sizes(read_bytes(path, LARGEST))
    try:
        return Table.read(path)
    except IORegistryError:
        return Table.read(path, format="ascii")


def _read_table(path, without_position="error"):
    table = _parse(_table, path, "a source table, a region file or an image with a WCS")
    table.convert_bytestring_to_unicode()
    columns = {key.lower().replace("_", ""): table[key] for key in table.colnames}
    ras, decs = ([key for key in keys if key in columns] for keys in (RAS, DECS))
    if not (ras and decs):
        got = ", ".join(table.colnames[:20]) or "none"
        raise ValueError(f"positions: got columns {got}; expected RA, DEC or RAJ2000, DEJ2000")
    sizes = [key for key in SIZES if key in columns] or _other_sizes(columns, path)
    keys = [ras[0], decs[0], *sizes]
    ra, dec, *sizes = (_parse(_degrees, columns[key], f"angles in column {key}") for key in keys)
    radius = np.fmax.reduce([np.full(ra.shape, np.nan), *sizes])
    radius[np.isnan(radius)] = 0
    numbered = [f"{path.name} row {row + 1}" for row in range(len(table))]
    names = [str(name) for name in next((columns[k] for k in NAMES if k in columns), numbered)]
    if not len(table):
        raise ValueError("got a table without rows, expected one source or more")
    valid = np.isfinite(ra + dec) | (without_position != "drop")
    return Sources(np.array(names, str)[valid], ra[valid], dec[valid], radius[valid])


def _other_sizes(columns, path):
    """Columns that are taken as sizes because of their names, with a warning."""
    keys = [
        key
        for key, values in columns.items()
        if re.search(OTHER_SIZES, key)
        and not re.search(NO_SIZES, key)
        and values.dtype.kind in "iuf"
        and (values.unit is None or values.unit.is_equivalent("deg"))
    ]
    if keys:
        names = ", ".join(columns[key].name for key in keys)
        log.warning("%s: the sizes of the sources are taken from column %s", path, names)
    else:
        log.info("%s: no column with sizes; the sources are points", path)
    return keys


def _degrees(column):
    """A column's angles in deg, NaN where masked."""
    from astropy.coordinates import Angle
    from astropy.units import Quantity

    if column.ndim != 1 or column.dtype.kind not in "iufU":
        raise ValueError(f"got values of type {column.dtype} and shape {column.shape[1:]}")
    if column.dtype.kind == "U":
        return np.array([Angle(text, unit=column.unit).deg for text in column], float)
    values = np.ma.filled(np.ma.asarray(column).astype(float), np.nan)
    return Quantity(values, column.unit or "deg").to_value("deg")
