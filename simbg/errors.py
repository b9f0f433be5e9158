"""Error messages: checks of dataclass fields, and exceptions in one line."""

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

__all__ = [
    "Names",
    "bounded",
    "check_fields",
    "check_version",
    "did_you_mean",
    "in_brief",
    "in_markdown",
    "in_one_line",
    "printable",
    "unknown_name",
]

Value = TypeVar("Value")
# Unicode categories of characters that control a terminal or the order of the text, or break lines.
CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")


class Names(dict[str, Value]):
    """A dict whose KeyError suggests a name.

    Parameters
    ----------
    kind : str
        What the names are names of.
    values : dict or iterable of pairs
        The items.
    """

    def __init__(self, kind: str, values: Any) -> None:
        super().__init__(values)
        self.kind = kind

    def __missing__(self, name: str) -> Value:
        raise KeyError(str(unknown_name(self.kind, name, self)))


def in_brief(value: Any) -> str:
    """A value in one short line: the start and the end of a long one.

    Examples
    --------
    >>> in_brief(list(range(100)))
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9 ... 93, 94, 95, 96, 97, 98, 99]'
    """
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:30].rstrip(', ')} ... {text[-30:].lstrip(', ')}"


def in_one_line(error: BaseException) -> str:
    r"""Class and message of an exception, without line breaks.

    Examples
    --------
    >>> in_one_line(ValueError("two\nlines"))
    'ValueError: two lines'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def printable(text: str) -> str:
    r"""A text in which control characters are replaced, other than line breaks and tabs.

    Text of foreign files and names of folders must not steer a terminal.

    Examples
    --------
    >>> printable("a\x1b]0;title\x07b")
    'a�]0;title�b'
    """
    if text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in CONTROL and c not in "\n\t" else c
        for c in text
    )


def in_markdown(text: Any) -> str:
    r"""A text in one line of Markdown in which nothing is markup.

    Examples
    --------
    >>> print(in_markdown("<b>a_b"))
    &lt;b&gt;a\_b
    """
    line = " ".join(printable(html.escape(str(text), quote=False)).split())
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", line)


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """The end of an error message: the name that is most similar, or an empty text.

    Parameters
    ----------
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.

    Examples
    --------
    >>> did_you_mean("sorces.reg", ["sources.reg", "none"])
    "; did you mean 'sources.reg'?"
    """
    near = get_close_matches(str(name), list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown_name(kind: str, name: Any, known: Iterable[str], others: str = "") -> ValueError:
    """The error for a name that does not exist, with a suggestion if one is similar.

    Parameters
    ----------
    kind : str
        Kind of the name, such as "scenario".
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.
    others : str
        Text about other accepted values.

    Returns
    -------
    ValueError
        The error, to be raised.

    Examples
    --------
    >>> unknown_name("scenario", "nihgt", ["seed-2015", "night"])
    ValueError("scenario: got 'nihgt', expected one of seed-2015, night; did you mean 'night'?")
    """
    text = f"{kind}: got {name!r}, expected one of {', '.join(known := list(known))}{others}"
    return ValueError(text + did_you_mean(name, known))


def check_version(got: Any, known: int, where: object, name: str = "format version") -> None:
    """Raise an error if a file has a newer format than this release can read.

    Parameters
    ----------
    got : int
        The version in the file.
    known : int
        The newest version that can be read; older ones can be read, too.
    where : object
        The file, or the position in it.
    name : str
        Name of the version in the file.

    Raises
    ------
    ValueError
        If the version is newer, or not a positive integer.
    """
    if type(got) is not int or not 0 < got <= known:
        newer = "; a newer release of simbg may read it" if type(got) is int and got > known else ""
        raise ValueError(f"{where}: got {name} {got}, expected {known} or less{newer}")


def bounded(default: Any, low: float | None, high: float | None, unit: str | None = None) -> Any:
    """A dataclass field whose value, or each of whose values, must lie between two bounds.

    Parameters
    ----------
    default : object
        Default of the field.
    low, high : float, optional
        Bounds in the unit of the field; None for no bounds.
    unit : str, optional
        Unit of the field, to which Quantities are converted.

    Returns
    -------
    dataclasses.Field
        The field, with bounds and unit in its metadata.
    """
    return field(default=default, metadata={"bounds": (low, high), "unit": unit})


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
