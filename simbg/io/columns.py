"""Columns and keywords of FITS tables, checked: there, in the right unit, and finite."""

from __future__ import annotations

import numpy as np
from astropy import units as u

__all__ = ["column", "keyword"]


def column(hdu, name, unit, path, positive=False, default_unit=None):
    """Values of a column as float64 in ``unit``.

    Parameters
    ----------
    hdu : BinTableHDU
    name, unit : str
    path : path-like
        Of the file, for messages.
    positive : bool
        Whether values must be above zero.
    default_unit : str, optional
        For a column that names none; without it that is an error.

    Raises
    ------
    ValueError
        If the column is missing, its unit does not convert, or a value is not finite.
    """
    if name not in hdu.columns.names:
        raise ValueError(f"{path}[{hdu.name}]: got columns {hdu.columns.names}, expected {name}")
    got = hdu.columns[name].unit or hdu.header.get(
        "EUNIT" if name == "ENERGY" else "", default_unit
    )
    try:
        factor = u.Unit(got or "").to(unit)
    except (ValueError, u.UnitConversionError) as error:
        raise ValueError(f"{path}[{hdu.name}]: {name} in unit {got!r}, expected {unit}") from error
    values = np.array(hdu.data[name], dtype=float)
    if factor != 1:
        values *= factor
    bad = ~np.isfinite(values) | ((values <= 0) & positive)
    if bad.any():
        first = values[bad][0]
        expected = "finite and positive" if positive else "finite"
        raise ValueError(
            f"{path}[{hdu.name}]: {bad.sum()} of {bad.size} values of {name} are bad, "
            f"the first {first}, expected {expected}"
        )
    return values


def keyword(header, name, path):
    """A number from a header."""
    try:
        value = float(header[name])
    except (KeyError, TypeError, ValueError) as error:
        got = header.get(name, "nothing")
        raise ValueError(f"{path}: keyword {name} is {got!r}, expected a number") from error
    if not np.isfinite(value):
        raise ValueError(f"{path}: keyword {name} is {value}, expected a finite number")
    return value
