"""FITS tables and images, written to the last byte as astropy does, in a tenth of its time."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["NewHdu", "image", "one_row", "rows", "to_bytes"]

BLOCK, CARD = 2880, 80
KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
COMMENTS = ("COMMENT", "HISTORY")  # they have no value
FORMS = {"i8": "K", "i4": "J", "i2": "I", "u1": "B", "f8": "D", "f4": "E"}
LARGEST = 20  # characters of a number

# Name, values and unit of a column.
Column = tuple[str, Any, str | None]


class NewHdu:
    """An HDU to write.

    Parameters
    ----------
    cards : dict
        Keyword → value and comment, in order.
    data : sequence of ndarray
        The data, big-endian, one after the other.
    header : mapping, Header or iterable of pairs
        More keywords: keyword → value, or value and comment.
    """

    def __init__(
        self, cards: dict[str, tuple[Any, str]], data: Sequence[np.ndarray], header: Any = ()
    ) -> None:
        self.cards, self.data = cards, data
        for key, value in header.items() if hasattr(header, "items") else header:
            name = key.upper() if KEYWORD.fullmatch(key.upper()) else key
            comment = self.cards.get(name, (None, ""))[1]
            self.cards[name] = value if isinstance(value, tuple) else (value, comment)

    @property
    def content(self) -> bytes:
        """Header and data, in whole blocks."""
        cards = "".join(_card(name, *value) for name, value in self.cards.items())
        header = f"{cards}{'END':{CARD}}".encode("ascii")
        data = b"".join(part.tobytes() for part in self.data)
        return _padded(header, b" ") + _padded(data, b"\0")


def _padded(content, filler):
    return content + filler * (-len(content) % BLOCK)


def to_bytes(hdus: Sequence[NewHdu]) -> bytes:
    """The bytes of a file; an empty image is put before a table.

    Parameters
    ----------
    hdus : sequence of NewHdu
        The HDUs.
    """
    empty = [] if "SIMPLE" in hdus[0].cards else [image(None)]
    return b"".join(hdu.content for hdu in (*empty, *hdus))


def image(values: np.ndarray | None, header: Any = ()) -> NewHdu:
    """The first HDU of a file: an image of float, or an empty one.

    Parameters
    ----------
    values : ndarray or None
        The pixels.
    header : mapping
        More keywords.
    """
    data = [] if values is None else [np.asarray(values, ">f8")]
    shape = data[0].shape if data else ()
    cards = {
        "SIMPLE": (True, "conforms to FITS standard"),
        "BITPIX": (-64 if data else 8, "array data type"),
        "NAXIS": (len(shape), "number of array dimensions"),
        **{f"NAXIS{n}": (size, "") for n, size in enumerate(shape[::-1], 1)},
        "EXTEND": (True, ""),
    }
    return NewHdu(cards, data, header)


def one_row(name: str, columns: Iterable[Column], header: Any = ()) -> NewHdu:
    """A table with one row, of arrays of any shape: of single precision, or all others of double.

    Parameters
    ----------
    name : str
        Its name.
    columns : iterable of (str, array_like, str)
        Names, values and units of columns.
    header : mapping
        More keywords.
    """
    arrays, fields = [], []
    for label, values, unit in columns:
        single = getattr(values, "dtype", None) == np.float32
        array = np.asarray(values, ">f4" if single else ">f8", order="C")
        dim = str(array.shape[::-1]).replace(" ", "") if array.ndim > 1 else None
        fields.append((label, f"{array.size}{'E' if single else 'D'}", unit or None, dim))
        arrays.append(array)
    return NewHdu(_table(name, fields, sum(array.nbytes for array in arrays), 1), arrays, header)


def rows(name: str | None, columns: Iterable[Column], header: Any = ()) -> NewHdu:
    """A table of numbers and texts, one of each column in a row.

    Parameters
    ----------
    name : str or None
        Its name.
    columns : iterable of (str, array_like, str)
        Names, values and units of columns.
    header : mapping
        More keywords.
    """
    arrays, fields = dict[str, np.ndarray](), []
    for label, values, unit in columns:
        array = np.asarray(values)
        if array.dtype.kind == "U":
            array = np.strings.rstrip(array).astype(f"S{array.dtype.itemsize // 4}")
        kind = array.dtype.str[1:]
        form = f"{kind[1:]}A" if kind[0] == "S" else FORMS[kind]
        fields.append((label, form, unit or None, None))
        arrays[label] = array
    row = np.dtype([(label, array.dtype.newbyteorder(">")) for label, array in arrays.items()])
    table = np.empty(len(next(iter(arrays.values()), ())), row)
    for label, array in arrays.items():
        table[label] = array
    return NewHdu(_table(name, fields, row.itemsize, table.size), [table], header)


def _table(name, fields, width, number):
    """The cards that describe a table."""
    cards = {
        "XTENSION": ("BINTABLE", "binary table extension"),
        "BITPIX": (8, "array data type"),
        "NAXIS": (2, "number of array dimensions"),
        "NAXIS1": (width, "length of dimension 1"),
        "NAXIS2": (number, "length of dimension 2"),
        "PCOUNT": (0, "number of group parameters"),
        "GCOUNT": (1, "number of groups"),
        "TFIELDS": (len(fields), "number of table fields"),
    }
    for place, field in enumerate(fields, 1):
        for key, value in zip(("TTYPE", "TFORM", "TUNIT", "TDIM"), field, strict=True):
            if value is not None:
                cards[f"{key}{place}"] = value, ""
    return cards | ({"EXTNAME": (name, "extension name")} if name else {})


def _card(name, value, comment=""):
    """The text of a card; what is not plain is written by astropy, which may refuse it."""
    text = _text(value)
    card = f"{name:8}= {text}" + (f" / {comment}" if comment else "")
    plain = text and len(card) <= CARD and card.isascii() and card.isprintable()
    if plain and KEYWORD.fullmatch(name) and name not in COMMENTS:
        return card.ljust(CARD)
    from astropy.io import fits

    header = fits.Header()
    header[name] = (value, comment)
    return header.tostring(endcard=False, padding=False)


def _text(value):
    """A value in a card, or an empty text for one that is not plain."""
    if isinstance(value, bool | np.bool_):
        return f"{'T' if value else 'F':>20}"
    if isinstance(value, int | np.integer) or (isinstance(value, float) and math.isfinite(value)):
        text = str(value).replace("e", "E")
        return f"{text:>20}" if len(text) <= LARGEST else ""
    if isinstance(value, str):
        text = value.rstrip().replace("'", "''")
        return (f"'{text:8}'" if text else "''").ljust(20)
    return ""
