"""FITS tables: columns, edges of bins, rates and keywords, checked for presence, unit and value.

Errors are ValueErrors without the name of the file: `simbg.io.safe_files.open_fits` adds it.
"""

import re

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from simbg.axes import Axes
from simbg.io.safe_files import open_fits

__all__ = []

RATE_UNIT = "s-1 MeV-1 sr-1"
# Columns of rates: GADF's name, and that of CTA's first data challenge.
RATE_COLUMNS = {"BKG", "BGD"}
GADF = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
    "HDUVERS": "0.3",
}
HDU_INDEX = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
# Class of a background, but for what it depends on.
GADF_BKG = {**GADF, "HDUCLAS1": "RESPONSE", "HDUCLAS2": "BKG", "HDUCLAS3": "FULL-ENCLOSURE"}


def column(hdu, name, unit, positive=False, default_unit=None):
    """Values of a column as float64 in ``unit``.

    Parameters
    ----------
    hdu : BinTableHDU
    name, unit : str
    positive : bool
        Whether values must be above zero.
    default_unit : str, optional
        For a column that names none; without it that is an error.

    Returns
    -------
    values : ndarray of float, shape (n_rows,)

    Raises
    ------
    ValueError
        If the column is missing, its unit does not convert, or a value is not a finite number.
    """
    if name not in hdu.columns.names:
        raise ValueError(f"{hdu.name}: got columns {hdu.columns.names}, expected {name}")
    data, where = hdu.data[name], f"{hdu.name}: {name}"
    if data.ndim != 1 or data.dtype.kind not in "iuf":
        raise ValueError(f"{where} holds {data.dtype} {data.shape[1:]}, expected numbers")
    values = _in_unit(data, hdu.columns[name].unit or default_unit, unit, where)
    bad = ~np.isfinite(values) | ((values <= 0) & positive)
    if bad.any():
        expected = "finite and positive" if positive else "finite"
        raise ValueError(
            f"{where}: {bad.sum()} of {bad.size} values are bad, the first {values[bad][0]}, "
            f"expected {expected}"
        )
    return values


def keyword(header, name):
    """A number from a header; an error if it is missing, no number, or not finite."""
    got = header.get(name, "nothing")
    try:
        value = float(got)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"keyword {name} is {got!r}, expected a finite number")
    return value


def first_table(file):
    """The first table of an open HDU list."""
    for hdu in file:
        if isinstance(hdu, fits.BinTableHDU):
            return hdu
    raise ValueError(f"got HDUs {[hdu.name for hdu in file]}, expected a table")


def read_index(path, needed, units=None):
    """The first table of an index file.

    Parameters
    ----------
    path : path-like
    needed : sequence of str
        Columns that must be there.
    units : dict, optional
        Column → unit; such a column, if there, is turned to floats in it. One
        without a unit is taken to be in it.

    Returns
    -------
    table : Table
        Not masked; NaN and empty strings are what they are.
    """
    with open_fits(path) as file:
        table = Table.read(first_table(file), mask_invalid=False)
        table.convert_bytestring_to_unicode()
        for name in needed:
            if name not in table.colnames:
                raise ValueError(f"got columns {table.colnames}, expected {name}")
        if (kind := table["OBS_ID"].dtype).kind not in "iu":
            raise ValueError(f"OBS_ID is of type {kind}, expected whole numbers")
        for name, unit in (units or {}).items():
            if name in table.colnames:
                got = str(table[name].unit or unit)
                table[name] = _in_unit(table[name], got, unit, name) * u.Unit(unit)
        return table


def named_hdu(file, name):
    """An HDU of an open HDU list."""
    if name not in file:
        raise ValueError(f"got HDUs {[hdu.name for hdu in file]}, expected {name}")
    return file[name]


def find_rate(file):
    """The first HDU with a column of background rates, and the column's name; or None."""
    for hdu in file:
        columns = hdu.columns.names if isinstance(hdu, fits.BinTableHDU) else ()
        for name in RATE_COLUMNS.intersection(columns):
            return hdu, name
    return None


def read_rate(hdu, name, lengths):
    """Rates in s-1 MeV-1 sr-1, their axes in the order of ``lengths``.

    Parameters
    ----------
    hdu : BinTableHDU
        Of one row.
    name : str
        Column.
    lengths : dict
        Name of an axis → number of its bins.
    """
    data, axes = read_array(hdu, name, len(lengths)), list(lengths)
    said = str(hdu.header.get(f"CREF{hdu.columns.names.index(name) + 1}", ""))
    # Fastest first: as the file says, or else as GADF recommends, or as older files are.
    for order in (re.findall(f"({'|'.join(axes)})_LO", said), axes, [*axes[1:], axes[0]]):
        slowest_first = order[::-1]
        if set(order) == set(axes) and data.shape == tuple(lengths[a] for a in slowest_first):
            data = data.transpose([slowest_first.index(axis) for axis in axes])
            return data * rate_factor(hdu.columns[name].unit)
    raise ValueError(f"{name} of shape {data.shape}, expected {tuple(lengths.values())[::-1]}")


def rate_factor(unit):
    """Factor to our unit. More than one slash, as in CTA's 1/s/MeV/sr, is read from the left."""
    first, *others = (unit or "").replace(" ", "").split("/")
    if len(others) < 2:
        return u.Unit(unit or "").to(RATE_UNIT)
    return (u.Unit(first) / np.prod([u.Unit(other) for other in others])).to(RATE_UNIT)


def read_array(hdu, name, ndim):
    """The array in the one row of a table; a single value comes without its dimensions."""
    data = np.array(hdu.data[name][0], float)
    return data if data.ndim else data.reshape((1,) * ndim)


def read_axes(hdu, align):
    """The axes of a cube from the edges in its table."""
    units = {"ENERG": "TeV", "DETX": "deg", "DETY": "deg"}
    return Axes(*(read_edges(hdu, name, unit) for name, unit in units.items()), align=align)


def read_edges(hdu, name, unit):
    """Edges of the bins of an axis in ``unit``, which is also that of a column without one."""
    ends = f"{name}_LO", f"{name}_HI"
    if not set(ends) <= set(hdu.columns.names):
        raise ValueError(f"{hdu.name}: got columns {hdu.columns.names}, expected {ends}")
    low, high = (
        _in_unit(read_array(hdu, end, 1), hdu.columns[end].unit or unit, unit, end) for end in ends
    )
    return np.append(low, high[-1])


def cube_edge_columns(axes):
    """As `edge_columns`, of the axes of a cube."""
    return edge_columns(
        ("DETX", axes.fov_lon, "deg"), ("DETY", axes.fov_lat, "deg"), ("ENERG", axes.energy, "TeV")
    )


def edge_columns(*axes):
    """Columns, for `one_row_hdu`, of lower and upper edges; of each axis a name, edges, a unit."""
    return [
        (f"{name}_{end}", edges[part], unit)
        for name, edges, unit in axes
        for end, part in (("LO", slice(None, -1)), ("HI", slice(1, None)))
    ]


def table_hdu(name, table, header=()):
    """The HDU of an astropy table, with a name, or None, and more keywords."""
    hdu = fits.table_to_hdu(table)
    if name:
        hdu.name = name
    hdu.header.update(header)
    return hdu


def one_row_hdu(name, columns, header=()):
    """A binary table of (name, values, unit) columns of one row, each an array of any shape."""
    made = []
    for label, values, unit in columns:
        row = np.asarray(values, float, order="C")[None]
        dim = str(row.shape[:0:-1]).replace(" ", "") if row.ndim > 2 else None
        made.append(fits.Column(label, f"{row.size}D", unit or None, dim=dim, array=row))
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update(header)
    return hdu


def _in_unit(values, got, unit, where):
    try:
        return np.array(values, float) * u.Unit(got or "").to(unit)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise ValueError(f"{where} in unit {got!r}, expected {unit}") from error
