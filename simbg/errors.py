"""Errors in words: fields that are not as expected, and exceptions in one line."""

from dataclasses import field, fields

__all__ = ["bounded", "check_fields", "in_one_line"]


def in_one_line(error):
    """Kind and message of an exception.

    Examples
    --------
    >>> in_one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def bounded(default, low, high):
    """A field of a dataclass whose value, or each of whose values, lies between two bounds."""
    return field(default=default, metadata={"bounds": (low, high)})


def check_fields(value, prefix="", **rules):
    """Refuse a dataclass of which a field is outside its bounds, or not as expected.

    Parameters
    ----------
    value : dataclass
    prefix : str
        Of the message, such as the name of the value.
    **rules : (bool, str)
        For a field: whether it is as expected, and what is expected.

    Raises
    ------
    ValueError
        With the field, what was got and what was expected.
    """
    for f in fields(value):
        low, high = f.metadata.get("bounds", (None, None))
        got = getattr(value, f.name)
        parts = got if isinstance(got, tuple | list) else (got,)
        holds, expected = rules.get(f.name, (True, ""))
        if low is not None and not all(low <= part <= high for part in parts):
            holds, expected = False, f"{low} to {high}"
        if not holds:
            raise ValueError(f"{prefix}{f.name}: got {got}, expected {expected}")
