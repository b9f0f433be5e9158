"""FITS tables: columns, edges of bins, rates and keywords, checked for presence, unit and value.

Errors are ValueErrors without the name of the file; `simbg.io.safe_files.open_fits` adds it.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.axes import Axes
from simbg.errors import did_you_mean, in_brief
from simbg.io.files.plain_tables import as_table

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.table import Table

__all__ = []

# Edges between bins may differ by this fraction of a bin: they are rounded in many files.
SAME_EDGE = 1e-3
RATE_UNIT = "s-1 MeV-1 sr-1"
LARGEST_RATE = 1e50  # s-1 MeV-1 sr-1; the square of a larger one may be no number
# Columns of rates: the names in GADF, and in the first CTA data challenge.
RATE_COLUMNS = {"BKG", "BGD"}
GADF = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
    "HDUVERS": "0.3",
}
# Units of keywords in GADF, for messages.
KEYWORD_UNITS = {
    **dict.fromkeys(("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "GEOLON", "GEOLAT"), "deg"),
    **dict.fromkeys(("TSTART", "TSTOP", "ONTIME", "LIVETIME"), "s"),
    **dict.fromkeys(("MJDREFI", "MJDREFF"), "d"),
    "ALTITUDE": "m",
    "LO_THRES": "TeV",
}
# Types that Python converts to a float, and that are no numbers, or more than one.
NO_REAL = (bool, np.bool_, complex, np.complexfloating)
# Class of a background; HDUCLAS4 is added for each format.
GADF_BKG = {**GADF, "HDUCLAS1": "RESPONSE", "HDUCLAS2": "BKG", "HDUCLAS3": "FULL-ENCLOSURE"}


def column(
    hdu: "fits.BinTableHDU",
    name: str,
    unit: str,
    positive: bool = False,
    default_unit: str | None = None,
) -> np.ndarray:
    """Values of a column as float64 in ``unit``.

    Parameters
    ----------
    hdu : BinTableHDU
        The table.
    name, unit : str
        Name of the column, and unit of the result.
    positive : bool
        Whether all values must be above zero.
    default_unit : str, optional
        Unit of a column without one. By default a missing unit is an error.

    Returns
    -------
    ndarray of float, shape (n_rows,)
        The values.

    Raises
    ------
    ValueError
        If the column is missing, its unit cannot be converted, or a value is not valid.
    """
    table, where = as_table(hdu), f"{hdu.name}: {name}"
    known = _known_name(table, name)
    if known is None:
        raise ValueError(f"{hdu.name}: {missing_column(table.names, name)}")
    data = table.field(known)
    if data.ndim != 1 or data.dtype.kind not in "iuf":
        raise ValueError(
            f"{where}: got values of type {data.dtype} and shape {data.shape[1:]}, expected numbers"
        )
    values = in_unit(data, table.unit(known) or default_unit, unit, where)
    good = np.isfinite(values)
    if positive:
        good &= values > 0
    if not good.all():
        bad = ~good
        expected = "finite and positive" if positive else "finite"
        raise ValueError(
            f"{where}: got {bad.sum()} of {bad.size} values that are not {expected}, such as "
            f"{values[bad][0]}, expected {expected} values"
        )
    return values


def raw_column(hdu: "fits.BinTableHDU", name: str) -> np.ndarray | None:
    """Values of a column as they are, None without it; case does not matter in names (FITS)."""
    table = as_table(hdu)
    known = _known_name(table, name)
    return None if known is None else table.field(known)


def _known_name(table, name):
    """Name of a column with the case of the file; None without it."""
    if name in table.names:
        return name
    return next((known for known in table.names if known.upper() == name), None)


def keyword(header: "Mapping[str, Any] | fits.Header", name: str) -> float:
    """A number from a header, or from another mapping.

    Raises
    ------
    ValueError
        If the keyword is missing, not a number, or not finite.
    """
    got: Any = header.get(name)
    try:
        value = np.nan if isinstance(got, NO_REAL) else float(got)
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if not np.isfinite(value):
        unit = f" ({KEYWORD_UNITS[name]})" if name in KEYWORD_UNITS else ""
        raise ValueError(f"keyword {name}: got {got!r}, expected a finite number{unit}")
    return value


def first_table(file: "fits.HDUList") -> "fits.BinTableHDU":
    """The first table of an open HDU list.

    Raises
    ------
    ValueError
        If there is no table.
    """
    for hdu in file:
        if as_table(hdu).is_table:
            return hdu
    raise ValueError(f"got HDUs {[hdu.name for hdu in file]}, expected a table")


def named_hdu(file: "fits.HDUList", name: str) -> Any:
    """The HDU of an open HDU list with this name.

    Raises
    ------
    ValueError
        If there is no such HDU.
    """
    found = next((hdu for hdu in file if hdu.name == name.upper()), None)
    if found is None:
        raise ValueError(f"got HDUs {[hdu.name for hdu in file]}, expected {name}")
    return found


def find_rate(file: "fits.HDUList") -> "tuple[fits.BinTableHDU, str] | None":
    """The first HDU with a column of background rates, and the column's name; None without one."""
    for hdu in file:
        columns = hdu.columns.names if hasattr(hdu, "columns") else ()
        for name in RATE_COLUMNS.intersection(columns):
            return hdu, name
    return None


def read_rate(hdu: "fits.BinTableHDU", name: str, lengths: Mapping[str, int]) -> np.ndarray:
    """Rates in s-1 MeV-1 sr-1, with axes in the order of ``lengths``.

    Parameters
    ----------
    hdu : BinTableHDU
        A table with one row.
    name : str
        Name of the column.
    lengths : dict
        Name of an axis → number of its bins.

    Returns
    -------
    ndarray, shape tuple(lengths.values())
        The rates.

    Raises
    ------
    ValueError
        If the shape of the column does not fit the axes.
    """
    data, axes = read_array(hdu, name, len(lengths)), list(lengths)
    # Fastest axis first: the order in the file's CREF, the one of GADF, the one of older files.
    for order in (_stated_order(hdu, name), axes, [*axes[1:], axes[0]]):
        slowest_first = order[::-1]
        if set(order) == set(axes) and data.shape == tuple(lengths[a] for a in slowest_first):
            data = data.transpose([slowest_first.index(axis) for axis in axes])
            data = data * rate_factor(hdu, name)
            check_rates(data, f"{hdu.name}: {name}")
            return data
    got = f"{hdu.name}: {name}: got shape {data.shape}"
    raise ValueError(f"{got}, expected {tuple(lengths.values())[::-1]}")


def check_rates(rate: np.ndarray, where: str) -> None:
    """Refuse infinite rates, and rates whose squares may be no numbers. NaN is no exposure.

    Raises
    ------
    ValueError
        If there is one.
    """
    infinite = np.argwhere(np.isinf(rate))
    if infinite.size:
        raise ValueError(
            f"{where}: got {len(infinite)} of {rate.size} infinite rates (the first in bin "
            f"{tuple(infinite[0].tolist())} of energy and field of view), expected finite numbers, "
            "or NaN where there is no exposure"
        )
    largest = np.abs(rate).max(initial=0, where=np.isfinite(rate))
    if largest > LARGEST_RATE:
        raise ValueError(
            f"{where}: got rates up to {largest:.3g} {RATE_UNIT}, expected {LARGEST_RATE:g} or less"
        )


def has_unknown_order(hdu: "fits.BinTableHDU", name: str) -> bool:
    """Whether neither the keyword CREF nor the numbers of bins tell the axes of a rate apart."""
    shape = hdu.data[name].shape[1:]
    return max(shape, default=1) > 1 and len(set(shape)) == 1 and not _stated_order(hdu, name)


def rate_factor(hdu: "fits.BinTableHDU", name: str) -> float:
    """Factor from the unit of a column to s-1 MeV-1 sr-1.

    Several slashes, as in CTA's 1/s/MeV/sr, are read from left to right.

    Raises
    ------
    ValueError
        If the column has no unit, or one that cannot be converted.
    """
    from astropy import units as u

    unit = hdu.columns[name].unit
    first, *others = (unit or "").replace(" ", "").split("/")
    try:
        if len(others) < 2:
            return u.Unit(unit or "").to(RATE_UNIT)
        return (u.Unit(first) / np.prod([u.Unit(other) for other in others])).to(RATE_UNIT)
    except (ValueError, TypeError) as error:
        got = f"unit {unit!r}" if unit else "no unit"
        raise ValueError(
            f"{hdu.name}: {name}: got {got}, expected a unit of a rate, such as {RATE_UNIT}"
        ) from error


def read_array(hdu: "fits.BinTableHDU", name: str, ndim: int) -> np.ndarray:
    """The array in the single row of a table; a scalar gets ``ndim`` dimensions of length 1.

    Raises
    ------
    ValueError
        If the table has not exactly one row.
    """
    if len(hdu.data) != 1:
        raise ValueError(
            f"{hdu.name}: got a table with {len(hdu.data)} rows, expected one row; a file with "
            "a model for each of several zenith angles is not supported: write one file for each"
        )
    data = np.asarray(hdu.data[name][0])
    if data.dtype.kind not in "iuf":
        raise ValueError(f"{name}: got values of type {data.dtype}, expected real numbers")
    data = np.array(data, float)
    return data if data.ndim else data.reshape((1,) * ndim)


def _stated_order(hdu, name):
    """The axes of a column in the keyword CREF, fastest first."""
    reference = str(hdu.header.get(f"CREF{hdu.columns.names.index(name) + 1}", ""))
    return re.findall(r"(\w+)_LO", reference)


def read_axes(hdu: "fits.BinTableHDU", align: str) -> Axes:
    """The axes of a cube from the edges in its table; ``align`` is their alignment."""
    units = {"ENERG": "TeV", "DETX": "deg", "DETY": "deg"}
    energy, fov_lon, fov_lat = (read_edges(hdu, name, unit) for name, unit in units.items())
    return Axes(energy, fov_lon, fov_lat, align=align)


def read_edges(hdu: "fits.BinTableHDU", name: str, unit: str) -> np.ndarray:
    """Edges of the bins of an axis in ``unit``, which is assumed for columns without a unit.

    Raises
    ------
    ValueError
        If a column is missing, its unit cannot be converted, or bins overlap or leave gaps.
    """
    ends = f"{name}_LO", f"{name}_HI"
    if not set(ends) <= set(hdu.columns.names):
        raise ValueError(f"{hdu.name}: got columns {hdu.columns.names}, expected {ends}")
    low, high = (
        in_unit(read_array(hdu, end, 1), hdu.columns[end].unit or unit, unit, end) for end in ends
    )
    if low.shape != high.shape:
        raise ValueError(
            f"{hdu.name}: {name}: got {low.size} lower and {high.size} upper edges, expected equal "
            "numbers"
        )
    if bad := np.count_nonzero(~np.isfinite([low, high])):
        raise ValueError(
            f"{hdu.name}: {name}: got {bad} of {2 * low.size} edges that are not finite, expected "
            f"numbers in {unit}"
        )
    apart = ~(np.abs(low[1:] - high[:-1]) <= SAME_EDGE * np.abs(high - low)[1:])
    if apart.any():
        at = int(np.argmax(apart))
        raise ValueError(
            f"{hdu.name}: {name}: got bins {low[at]:g} to {high[at]:g} and {low[at + 1]:g} to "
            f"{high[at + 1]:g} {unit}, expected bins without gaps or overlaps"
        )
    return np.append(low, high[-1])


def cube_edge_columns(axes: Axes) -> list[tuple[str, np.ndarray, str]]:
    """Columns of edges as `edge_columns` returns them, for the axes of a cube."""
    return edge_columns(
        ("DETX", axes.fov_lon, "deg"), ("DETY", axes.fov_lat, "deg"), ("ENERG", axes.energy, "TeV")
    )


def edge_columns(*axes: tuple[str, Any, str]) -> list[tuple[str, np.ndarray, str]]:
    """Columns of lower and upper edges of bins; an axis is a name, edges and a unit."""
    return [
        (f"{name}_{end}", edges[part], unit)
        for name, edges, unit in axes
        for end, part in (("LO", slice(None, -1)), ("HI", slice(1, None)))
    ]


def table_hdu(name: str | None, table: "Table", header: Any = ()) -> "fits.BinTableHDU":
    """HDU of an astropy table, with a name (or None) and additional keywords."""
    from astropy.io import fits

    hdu = fits.table_to_hdu(table)
    if name:
        hdu.name = name
    hdu.header.update(header)
    return hdu


def missing_column(names: Iterable[str], name: str) -> str:
    """The message for a column that is not there."""
    return f"got columns {in_brief(names)}, expected {name}{did_you_mean(name, names)}"


def in_unit(values: Any, got: str | None, unit: str, where: str) -> np.ndarray:
    """Numbers as floats in another unit.

    Parameters
    ----------
    values : array_like
        The numbers.
    got, unit : str
        Their unit, and the wanted one.
    where : str
        What they are, for the message.

    Raises
    ------
    ValueError
        If they are no real numbers, or cannot be converted.
    """
    if (kind := np.asarray(values).dtype).kind not in "iuf":
        raise ValueError(f"{where}: got values of type {kind}, expected real numbers")
    try:
        scale = factor(got or "", unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: got unit {got!r}, expected {unit}") from error
    numbers = np.array(values, float)
    return numbers if scale == 1 else numbers * scale


@lru_cache(maxsize=256)  # a store has few units, and many columns
def factor(got: str, unit: str) -> float:
    """Factor between two units.

    Parameters
    ----------
    got, unit : str
        The units; the same ones need no library.
    """
    if got == unit:
        return 1.0
    from astropy import units as u  # imported here, as where else it is used: it is slow

    return u.Unit(got).to(unit)
