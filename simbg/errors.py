"""Error messages: checks of dataclass fields, and exceptions in one line."""

from dataclasses import field, fields
from typing import Any

__all__ = ["bounded", "check_fields", "in_one_line"]


def in_one_line(error: BaseException) -> str:
    r"""Class and message of an exception, without line breaks.

    Examples
    --------
    >>> in_one_line(ValueError("two\nlines"))
    'ValueError: two lines'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def bounded(default: Any, low: float, high: float) -> Any:
    """A dataclass field whose value, or each of whose values, must lie between two bounds."""
    return field(default=default, metadata={"bounds": (low, high)})


def check_fields(value: Any, prefix: str = "", **rules: tuple[Any, str]) -> None:
    """Raise an error if a field of a dataclass is outside its bounds or breaks a rule.

    Parameters
    ----------
    value : dataclass
        The instance to check.
    prefix : str
        Start of the message, such as the name of the instance.
    **rules : (bool, str)
        For each field: whether the rule is fulfilled, and what is expected.

    Raises
    ------
    ValueError
        With the field's name, its value and what was expected.
    """
    for f in fields(value):
        low, high = f.metadata.get("bounds", (None, None))
        got: Any = getattr(value, f.name)
        parts = got if isinstance(got, tuple | list) else (got,)
        valid, expected = rules.get(f.name, (True, ""))
        if low is not None and not all(low <= part <= high for part in parts):
            valid, expected = False, f"{low} to {high}"
        if not valid:
            raise ValueError(f"{prefix}{f.name}: got {got}, expected {expected}")
