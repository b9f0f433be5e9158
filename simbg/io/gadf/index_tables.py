"""Tables of index files, as they are in the file: by astropy, or as plain arrays in less time."""

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.io import tables
from simbg.io.files.plain_tables import Header
from simbg.io.safe_files import open_fits, open_tables
from simbg.observations.store import RunList

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = []

HDU_INDEX = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
# Units that astropy writes as they are, and keywords of columns that have more than the values.
PLAIN_UNITS = {None, "", "deg", "s", "m", "TeV", "GeV", "Hz", "K"}
ABOUT_COLUMNS = re.compile(r"T(?!TYPE|FORM|UNIT)[A-Z]{3,5}\d+")


def read_index(
    path: Path | str,
    needed: Iterable[str],
    units: Mapping[str, str] | None = None,
    known: Iterable[str] = (),
    text: Iterable[str] = (),
) -> "Table":
    """The first table of an index file.

    Parameters
    ----------
    path : path-like
        The index file.
    needed : iterable of str
        Columns that the table must have.
    units : dict, optional
        Column → unit. Such a column, if it exists, is converted to floats in this unit; a column
        without a unit is assumed to be in it.
    known : iterable of str
        Columns that get these names if theirs differ in case only.
    text : iterable of str
        Columns of text.

    Returns
    -------
    Table
        Not masked: NaN and empty strings are unchanged.

    Raises
    ------
    ValueError
        If a column is missing or has another type or unit than expected.
    """
    from astropy import units as u
    from astropy.table import Table

    with open_fits(path) as file:
        table = Table.read(tables.first_table(file), mask_invalid=False)
        table.convert_bytestring_to_unicode()
        upper = {name.upper(): name for name in table.colnames}
        for name in known:
            if name not in table.colnames and name in upper:
                table.rename_column(upper[name], name)
        for name in needed:
            if name not in table.colnames:
                raise ValueError(tables.missing_column(table.colnames, name))
        table["OBS_ID"] = _whole_numbers(table["OBS_ID"])
        for name in text:
            if (kind := table[name].dtype).kind != "U" or table[name].ndim != 1:
                raise ValueError(f"{name}: got values of type {kind}, expected text")
        for name, unit in (units or {}).items():
            if name in table.colnames:
                got = str(table[name].unit or unit)
                if table[name].ndim != 1:
                    shape = table[name].shape[1:]
                    raise ValueError(f"{name}: got values of shape {shape}, expected numbers")
                table[name] = tables.in_unit(table[name], got, unit, name) * u.Unit(unit)
        for name in table.colnames:
            if not _can_be_written(table[name].unit):
                table[name].unit = None
        return table


def read_plain_index(
    path: Path | str,
    needed: Iterable[str],
    units: Mapping[str, str] | None = None,
    known: Iterable[str] = (),
    text: Iterable[str] = (),
) -> tuple[RunList, Header] | None:
    """The first table of an index file as arrays; None if `read_index` has to read or refuse it.

    Parameters
    ----------
    path, needed, units, known, text
        As for `read_index`.
    """
    with open_tables(path) as file:
        table = tables.first_table(file)
        if not is_plain_index(table):
            return None
        names = {name.upper(): name for name in table.names}
        wanted = {names[name]: name for name in known if name in names and name not in table.names}
        columns = {wanted.get(name, name): table.field(name) for name in table.names}
        given = {wanted.get(name, name): table.unit(name) for name in table.names}
        header = table.header
    if any(name not in columns for name in (*needed, *text)) or any(
        (given.get(name) or unit) != unit or columns[name].dtype.kind not in "iuf"
        for name, unit in (units or {}).items()
        if name in columns
    ):
        return None
    texts = all(columns[name].dtype.kind == "U" for name in text)
    if columns["OBS_ID"].dtype.kind not in "iu" or not texts:
        return None
    for name, unit in (units or {}).items():
        if name in columns:
            columns[name], given[name] = columns[name].astype(float), unit
    return RunList(columns, {name: unit for name, unit in given.items() if unit}), header


def is_plain_index(table: Any) -> bool:
    """Whether the columns of a table are all that astropy reads of it, with units that it writes.

    Parameters
    ----------
    table : simbg.io.files.plain_tables.Table
        The table.
    """
    if table.fields is None or len({name.upper() for name in table.names}) < len(table.names):
        return False
    kinds, units = zip(*table.fields.values(), strict=True) if table.fields else ((), ())
    return (
        set(units) <= PLAIN_UNITS
        and table.header.is_plain
        and not any(kind.startswith("(") for kind in kinds)
        and not any(map(ABOUT_COLUMNS.fullmatch, table.header.cards))
    )


def _can_be_written(unit):
    """Whether FITS has a text for the unit of a column, which nobody may use."""
    from astropy import units as u

    try:
        with warnings.catch_warnings(action="error"):
            return not unit or bool(u.Unit(str(unit)).to_string("fits"))
    except Exception:  # of any type: astropy has one for each way in which a unit is odd
        return False


def check_runs(ids: list[int], path: Path) -> None:
    """Check that an index of runs has one row for each.

    Raises
    ------
    ValueError
        If a run has two rows.
    """
    if len(set(ids)) < len(ids):
        double = next(obs_id for obs_id in ids if ids.count(obs_id) > 1)
        raise ValueError(f"{path}: got OBS_ID {double} in two rows, expected one row for each run")


def _whole_numbers(column):
    """Numbers of runs as integers; texts of digits are converted."""
    if column.dtype.kind == "U" and all(text.strip().isdecimal() for text in column.tolist()):
        column = np.array([int(text) for text in column.tolist()])
    if column.dtype.kind not in "iu" or column.ndim != 1:
        raise ValueError(f"OBS_ID: got values of type {column.dtype}, expected integers")
    return column
