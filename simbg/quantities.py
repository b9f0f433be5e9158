"""Units: Quantities that a user gives are converted to numbers in the units of simbg."""

import logging
import re
from dataclasses import fields
from functools import cache
from typing import Any

__all__ = ["bare_coordinates", "convert_fields", "in_unit", "warn_of_gev"]

log = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
# A lowest energy from here on, TeV, may be meant in GeV.
SUSPICIOUS = 100.0


def in_unit(value: Any, unit: str, what: str) -> Any:
    """Convert a value to numbers in a unit.

    Parameters
    ----------
    value : float, array_like, Quantity or str
        A Quantity, a sequence of Quantities, or a text such as "100 GeV" is converted. Bare numbers
        are assumed to be in the unit, and are returned unchanged; a text may be a bare number.
    unit : str
        The unit of the result; empty for pure numbers.
    what : str
        Name of the value in error messages.

    Returns
    -------
    float or array_like
        Bare numbers in the unit.

    Raises
    ------
    ValueError
        If the unit of the value cannot be converted, or if a sequence contains numbers with and
        without units.

    Examples
    --------
    >>> in_unit("100 GeV", "TeV", "energy")
    0.1
    >>> in_unit([1, 2], "TeV", "energy")
    [1, 2]
    """
    is_sequence = isinstance(value, list | tuple)
    parts = list(value) if is_sequence else [value]
    marked = [isinstance(p, str) or getattr(p, "unit", None) is not None for p in parts]
    if not any(marked):
        return value
    if all(isinstance(part, str) and NUMBER.fullmatch(part) for part in parts):
        numbers = [float(part) for part in parts]
        return type(value)(numbers) if is_sequence else numbers[0]
    from astropy import units as u  # imported here: bare numbers do not need it

    try:
        if not all(marked):
            raise ValueError("some numbers have a unit and some do not")
        # A text without a unit is a bare number.
        quantities = [u.Quantity(part, unit if isinstance(part, str) else None) for part in parts]
        numbers = [_plain(quantity.to_value(unit)) for quantity in quantities]
    except (TypeError, ValueError) as error:
        got = "an array" if getattr(value, "ndim", 0) else str(value)
        reason = str(error).partition(" If this ")[0]  # astropy continues with advice
        raise ValueError(f"{what}: got {got} ({reason}), expected {unit or 'no unit'}") from None
    if is_sequence:
        return type(value)(numbers)
    return numbers[0]


def bare_coordinates(energy: Any, fov_lon: Any, fov_lat: Any) -> tuple[Any, Any, Any]:
    """Convert energies to TeV and angles to deg.

    Parameters
    ----------
    energy, fov_lon, fov_lat : float, array_like or Quantity
        Bare numbers are assumed to be in TeV and deg.

    Returns
    -------
    energy, fov_lon, fov_lat : float or array_like
        Bare numbers in TeV, deg and deg.
    """
    lon, lat = (in_unit(x, "deg", name) for x, name in ((fov_lon, "fov_lon"), (fov_lat, "fov_lat")))
    return in_unit(energy, "TeV", "energy"), lon, lat


def convert_fields(value: Any, prefix: str = "") -> None:
    """Convert the fields of a dataclass to their units; called in its ``__post_init__``.

    The unit of a field is ``metadata["unit"]``. A field without a unit accepts bare numbers only.

    Parameters
    ----------
    value : dataclass
        The instance; its fields are replaced, even if it is frozen.
    prefix : str
        Start of error messages, such as the name of the instance.

    Raises
    ------
    ValueError
        If a unit cannot be converted, or if a field without a unit has a Quantity.
    """
    for name, unit, default in _fields(type(value)):  # type: ignore[arg-type]
        got = getattr(value, name)
        if isinstance(got, float | int):
            continue
        if unit is not None or _has_unit(got):
            bare = in_unit(got, unit or "", f"{prefix}{name}")
            # A tuple must not become an array or a list, which are not hashable.
            if isinstance(default, tuple) and hasattr(bare, "__len__"):
                bare = tuple(bare.tolist() if hasattr(bare, "tolist") else bare)
                if len(bare) != len(default) == 2:
                    raise ValueError(f"{prefix}{name}: got {bare}, expected 2 values")
            object.__setattr__(value, name, bare)


@cache  # an archive has as many observations as runs
def _fields(cls: type) -> Any:
    """Name, unit and default of each field of a class."""
    return [(f.name, f.metadata.get("unit"), f.default) for f in fields(cls)]


def _plain(number: Any) -> Any:
    return number if getattr(number, "ndim", 0) else float(number)


def _has_unit(value: Any) -> bool:
    """Whether a value is a Quantity or contains one."""
    parts = value if isinstance(value, list | tuple) else (value,)
    return any(getattr(part, "unit", None) is not None for part in parts)


def warn_of_gev(energy: float, what: str) -> None:
    """Warn if a lowest energy in TeV is so large that it may be meant in GeV."""
    if energy >= SUSPICIOUS:
        log.warning(
            "%s: got %g TeV; a plain number is in TeV: GeV must be given, as in '300 GeV'",
            *(what, energy),
        )
