"""Contents of files, in limited memory: sizes are checked before memory is taken."""

import gzip
import json
import re
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from simbg.errors import in_brief, in_one_line

__all__ = [
    "FitsPart",
    "check_fits_sizes",
    "fits_parts",
    "from_json",
    "packed",
    "read_bytes",
    "read_text",
]

GZIP = b"\x1f\x8b"
# A header of gzip without time, name and system.
GZIP_HEADER = GZIP + b"\x08" + 6 * b"\0" + b"\xff"
# Bytes of a file, and of a text; and of a compressed file that may become much larger.
LARGEST, LARGEST_TEXT, EXPANDED = 4 << 30, 64 << 20, 256 << 20
# A compressed file may be this many times larger without compression, whatever its size.
RATIO = 20
BLOCK, CARD = 2880, 80
END = re.compile(rb"END {77}")
INTEGER = re.compile(rb"= *([+-]?\d{1,18}) *(?:/.*)?$", re.DOTALL)
# Cards that tell the size of an HDU, with their least and largest values.
CARDS = {
    b"NAXIS": (0, 999),
    b"PCOUNT": (0, LARGEST),
    b"GCOUNT": (1, LARGEST),
    b"TFIELDS": (0, 999),
    b"ZNAXIS": (0, 999),
}
BITS = (8, 16, 32, 64, -32, -64)
AXIS = re.compile(rb"Z?NAXIS\d{1,3}")
DIGITS = 300  # of an integer in JSON; with more, it is larger than any float


def read_bytes(path: Path | str, most: int = LARGEST) -> bytes:
    """The content of a file; that of a compressed one is decompressed.

    Parameters
    ----------
    path : path-like
        A regular file.
    most : int
        Largest size, bytes.

    Raises
    ------
    ValueError
        If it is larger, or a compressed file becomes much larger.
    BadGzipFile, EOFError
        If a compressed file is damaged.
    """
    with open(path, "rb") as file:
        content = file.read(2)
        size = Path(path).stat().st_size
        if size > most:
            raise ValueError(f"got a file of {size} bytes, expected {most} or less")
        content += file.read()
    if not content.startswith(GZIP):
        return content
    return _decompressed(content, min(most, max(EXPANDED, RATIO * len(content))))


def _decompressed(content, most):
    """The content of all members of a file in gzip's format."""
    parts, left = list[bytes](), most
    while content:
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(stream.decompress(content, left + 1))
        except zlib.error as error:
            raise gzip.BadGzipFile(f"damaged compressed data ({error})") from error
        left -= len(parts[-1])
        if left < 0:
            raise ValueError(
                f"got a compressed file that becomes larger than {most} bytes, expected less; "
                "decompress it if it is right"
            )
        if not stream.eof:
            raise EOFError("compressed data that end too early")
        # Zeros may follow the last member.
        content = stream.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def packed(content: bytes) -> bytes:
    """A content in gzip's format, in which only repetitions of single bytes are compressed.

    The implementations zlib and zlib-ng compress such repetitions in the same way, and all other
    repetitions differently. The digits of measured numbers hardly contain others: files are 4 to
    11 % larger than with all repetitions, and are written 2.5 times faster.

    Parameters
    ----------
    content : bytes
        The content of a file.

    Examples
    --------
    >>> gzip.decompress(packed(b"SIMPLE  =                    T"))
    b'SIMPLE  =                    T'
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    body = deflate.compress(content) + deflate.flush()
    return GZIP_HEADER + body + struct.pack("<LL", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def read_text(path: Path | str) -> str:
    """The text of a file in UTF-8, compressed or not.

    Parameters
    ----------
    path : path-like
        A regular file.

    Raises
    ------
    ValueError
        If it is no text, damaged, or very large.
    """
    try:
        return read_bytes(path, LARGEST_TEXT).decode()
    except (ValueError, gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path}: got {in_one_line(error)}, expected a text") from error


def from_json(text: str | bytes) -> Any:
    """The value of a text in JSON.

    Parameters
    ----------
    text : str or bytes
        The text.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, or has an integer with hundreds of digits.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("got deeply nested JSON, expected a few levels") from None


def _integer(digits):
    if len(digits) > DIGITS:
        raise ValueError(f"got the number {in_brief(digits)}, expected {DIGITS} digits or less")
    return int(digits)


class FitsPart(NamedTuple):
    """Where an HDU is in a file.

    Parameters
    ----------
    start, data, end : int
        Bytes before its header, its data, and the next HDU.
    size : int
        Bytes of its data.
    """

    start: int
    data: int
    end: int
    size: int


def check_fits_sizes(content: bytes) -> None:
    """Check that the sizes in the headers of a FITS file are those of its content; `fits_parts`.

    Parameters
    ----------
    content : bytes
        The file.
    """
    fits_parts(content)


def fits_parts(content: bytes) -> list[FitsPart]:
    """The HDUs of a FITS file, whose sizes are those of its content.

    Libraries take as much memory as a header asks for, or read for hours.

    Parameters
    ----------
    content : bytes
        The file. What is no FITS file passes: libraries recognise it.

    Returns
    -------
    list of FitsPart
        The HDUs, up to the first one without an end of its header.

    Raises
    ------
    ValueError
        If a size is no number, negative, or larger than the file.
    """
    start, parts = 0, list[FitsPart]()
    while start < len(content):
        end = next((m.end() for m in END.finditer(content, start) if _aligned(m, start)), None)
        if end is None:
            break
        try:
            size = _size(content[start:end], len(content))
        except ValueError as error:
            raise ValueError(f"HDU {len(parts)}: {error}") from None
        data = _whole_blocks(end, start) + start
        if size > len(content) - data:
            raise ValueError(
                f"HDU {len(parts)}: got data of {size} bytes (NAXIS1, NAXIS2, ...), expected "
                f"{len(content) - data} or less in a readable FITS file"
            )
        parts.append(FitsPart(start, data, data + _whole_blocks(size), size))
        start = parts[-1].end
    return parts


def _aligned(match, start):
    return (match.start() - start) % CARD == 0


def _whole_blocks(end, start=0):
    return -(-(end - start) // BLOCK) * BLOCK


def _size(header, available):
    """Bytes of the data of an HDU."""
    cards = [header[at : at + CARD] for at in range(0, len(header), CARD)]
    if not cards[0].startswith((b"SIMPLE  =", b"XTENSION=")):
        return 0
    values: dict[bytes, int] = {}
    for card in cards:
        name = card[:8].rstrip()
        if name in CARDS or name in (b"BITPIX", b"ZBITPIX") or AXIS.fullmatch(name):
            values.setdefault(name, _number(name, card))
    axes = [b"NAXIS%d" % number for number in range(1, values.get(b"NAXIS", 0) + 1)]
    if missing := {b"BITPIX", b"NAXIS", *axes} - values.keys():
        name = min(missing).decode()
        raise ValueError(f"{name}: got no such card, expected one in a readable FITS file")
    data = _product(values, b"NAXIS")
    image = _product(values, b"ZNAXIS") * _bytes(values, b"Z")
    if image > max(EXPANDED, RATIO * available):
        raise ValueError(f"got a compressed image of {image} bytes, expected less")
    groups = values.get(b"GCOUNT", 1) * (values.get(b"PCOUNT", 0) + data)
    return groups * _bytes(values, b"") if values.get(b"NAXIS") else 0


def _number(name, card):
    low, high = CARDS.get(name, (0, LARGEST))
    found = INTEGER.match(card, 8)
    value = int(found[1]) if found else None
    bits = name.endswith(b"BITPIX")
    if value is None or (value not in BITS if bits else not low <= value <= high):
        expected = "one of 8, 16, 32, 64, -32, -64" if bits else f"{low} to {high}"
        got = card[9:].partition(b"/")[0].strip().decode(errors="replace")
        raise ValueError(
            f"{name.decode()}: got {got}, expected a number, {expected}, in a readable FITS file"
        )
    return value


def _product(values, name):
    """Number of pixels; 0 without axes."""
    axes = [values.get(name + str(n).encode(), 0) for n in range(1, values.get(name, 0) + 1)]
    # The first axis of random groups is 0.
    return prod(axes[1:] if axes[:1] == [0] and len(axes) > 1 else axes) if axes else 0


def _bytes(values, prefix):
    return abs(values.get(prefix + b"BITPIX", 8)) // 8
