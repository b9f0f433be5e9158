"""FITS files as most stores have them, read from their bytes in a tenth of the time of astropy.

Only what is plain is read here: cards of one value, and tables of numbers and texts without
scaling. astropy reads everything else, and whole files whose structure is not plain, so that it
also reports what is damaged. The classes have those attributes of astropy's that the readers of
stores use.
"""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from simbg.io.files.contents import FitsPart

__all__ = ["Header", "Table", "as_table", "tables_of"]

BLOCK, CARD = 2880, 80
SIMPLE = b"SIMPLE  =                    T"
VALUE = re.compile(
    rb"= +(?:'(?P<text>(?:[ -&(-~]|'')*)'|(?P<bool>[TF])|(?P<int>[+-]?\d+)"
    rb"|(?P<float>[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[ED]))(?:[ED][+-]?\d+)?)) *(?:/.*)?",
    re.DOTALL,
)
KEYWORD = re.compile(rb"[A-Z0-9_-]+ *")
# Cards without a value, or that continue another one.
COMMENTS = (b"COMMENT ", b"HISTORY ", b" " * 8, b"END     ")
FORM = re.compile(r"(\d*)([BIJKEDA])")
TYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
# Keywords of columns whose values are not those in the file, or not numbers.
NOT_PLAIN = re.compile(r"TSCAL\d+|TZERO\d+|TDIM\d+|TNULL\d+|THEAP")


def tables_of(content: bytes, parts: Sequence[FitsPart], read: Callable[[], Any]) -> list[Any]:
    """The HDUs of a file, in order; one that is no table has no columns.

    Parameters
    ----------
    content : bytes
        The file.
    parts : sequence of FitsPart
        From `simbg.io.files.contents.fits_parts`.
    read : callable
        Returns the HDU list of astropy.
    """
    other = lru_cache(maxsize=1)(read)
    try:
        return list(_plain(content, parts, other))
    except NotPlain:
        return [as_table(hdu) for hdu in other()]


def _plain(content, parts, other):
    if not parts or parts[-1].end != len(content):
        raise NotPlain
    for number, part in enumerate(parts):
        block = content[part.start : part.data]
        cards = block.rstrip(b" ")
        ends = cards.endswith(b"END") and len(block) - len(cards) < BLOCK
        starts = block.startswith(b"XTENSION= '" if number else SIMPLE)
        if not (starts and ends and block.isascii()):
            raise NotPlain
        header = Header(cards[:-3])
        name = header.get("EXTNAME", "" if number else "PRIMARY")
        kind = header["XTENSION"] if number else "IMAGE"
        if not isinstance(name, str) or kind not in ("BINTABLE", "IMAGE") or "ZIMAGE" in header:
            raise NotPlain
        rows = memoryview(content)[part.data : part.data + part.size]
        yield Table(header, name.upper(), rows, partial(_item, other, number), kind == "BINTABLE")


def _item(other, number):
    return other()[number]


def as_table(hdu: Any) -> "Table":
    """An HDU of astropy, or a `Table`, with the attributes of `Table`."""
    if isinstance(hdu, Table):
        return hdu
    table = Table(hdu.header, hdu.name, memoryview(b""), lambda: hdu, hasattr(hdu, "columns"))
    vars(table)["fields"] = None
    return table


class NotPlain(Exception):
    """A file that astropy has to read."""


class Header:
    """The cards of a header; the value of a card is read when it is used.

    Parameters
    ----------
    block : bytes
        The cards, 80 bytes each.

    Raises
    ------
    NotPlain
        If a keyword is not one of FITS.
    """

    def __init__(self, block: bytes) -> None:
        self.cards = dict[str, bytes]()
        last = ""
        for at in range(0, len(block), CARD):
            card = block[at : at + CARD]
            name = card[:8]
            if name in COMMENTS:
                continue
            if name == b"CONTINUE" and last:
                self.cards[last] += card
                continue
            if not KEYWORD.fullmatch(name):
                raise NotPlain
            last = name.rstrip().decode()
            if last in self.cards:
                raise NotPlain
            self.cards[last] = card

    def __contains__(self, name: str) -> bool:
        return name in self.cards

    @property
    def is_plain(self) -> bool:
        """Whether all cards have a value that needs no library, and no infinite one."""
        plain = (len(card) == CARD and VALUE.fullmatch(card, 8) for card in self.cards.values())
        return all(plain) and not {math.inf, -math.inf} & set(map(_value, self.cards.values()))

    def __getitem__(self, name: str) -> Any:
        return _value(self.cards[name])

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a keyword, or the default.

        Parameters
        ----------
        name : str
            The keyword.
        default : object
            The result without such a card.
        """
        return _value(self.cards[name]) if name in self.cards else default


def _value(card):
    found = VALUE.fullmatch(card, 8) if len(card) == CARD else None
    if not found:
        from astropy.io import fits

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fits.Header.fromstring(card)[0]
    kind = str(found.lastgroup)
    text = found[kind].decode()
    if kind == "text":
        return text.replace("''", "'").rstrip()
    if kind == "bool":
        return text == "T"
    return int(text) if kind == "int" else float(text.replace("D", "E"))


class Table:
    """A table; one that is not plain is read by astropy when its columns are used.

    Parameters
    ----------
    header : Header
        Its header.
    name : str
        Its name, in upper case.
    content : memoryview
        Its rows.
    other : callable
        Returns the same table of astropy.
    is_table : bool
        Whether it is a table; another HDU has no columns.
    """

    def __init__(
        self,
        header: Any,
        name: str,
        content: memoryview,
        other: Callable[[], Any],
        is_table: bool = True,
    ) -> None:
        self.header, self.name = header, name
        self.content, self.other, self.is_table = content, other, is_table

    @cached_property
    def fields(self) -> "dict[str, tuple[str, str | None]] | None":
        """Name of a column → its type and unit; None if the table is not plain."""
        header, found = self.header, dict[str, tuple[str, str | None]]()
        size = [header.get(key) for key in ("BITPIX", "NAXIS", "PCOUNT", "GCOUNT")]
        if size != [8, 2, 0, 1] or any(map(NOT_PLAIN.fullmatch, header.cards)):
            return None
        for number in range(1, header.get("TFIELDS", 0) + 1):
            name, form, unit = (header.get(f"T{key}{number}") for key in ("TYPE", "FORM", "UNIT"))
            match = FORM.fullmatch(form) if isinstance(form, str) else None
            if not (isinstance(name, str) and name and match):
                return None
            count = int(match[1] or 1)
            if not count or not isinstance(unit, str | None) or name in found:
                return None
            kind = f"S{count}" if match[2] == "A" else TYPES[match[2]]
            found[name] = (kind if match[2] == "A" or count == 1 else f"({count},){kind}"), unit
        width = np.dtype([(name, kind) for name, (kind, _) in found.items()]).itemsize
        sizes = header.get("NAXIS1"), header.get("NAXIS2", -1) * width
        return found if sizes == (width, len(self.content)) else None

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        if not self.is_table:
            return []
        return list(self.other().columns.names if self.fields is None else self.fields)

    def unit(self, name: str) -> str | None:
        """The unit of a column, None without one."""
        return self.other().columns[name].unit if self.fields is None else self.fields[name][1]

    def field(self, name: str) -> np.ndarray:
        """The values of a column as they are in the file; texts are without blanks at the end."""
        if self.fields is None:
            return self.other().data.field(name)
        values = self._rows[name]
        return np.strings.rstrip(values).astype(str) if values.dtype.kind == "S" else values

    @cached_property
    def _rows(self):
        row = np.dtype([(name, kind) for name, (kind, _) in (self.fields or {}).items()])
        return np.frombuffer(self.content, row, self.header["NAXIS2"])
