"""FITS files rewritten so that their bytes do not depend on the machine that makes them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from astropy.io import fits

from simbg.io.files import open_fits
from simbg.portable import DECIMALS, rounded

__all__ = ["packed", "repack"]

# Edges of bins are exact as they are: `simbg.portable.geomspace` and even steps.
EXACT = ("_LO", "_HI")
# gzip's own, without time, name and system.
GZIP_HEADER = b"\x1f\x8b\x08" + 6 * b"\0" + b"\xff"


def repack(path, exact=False):
    """Round all numbers of a FITS file, and pack it so that any zlib makes the same of it.

    Edges of bins stay as they are, and so do headers, but for the version in ``CREATOR``.

    Parameters
    ----------
    path : path-like
        Rewritten in place; packed if it ends in .gz.
    exact : bool
        Round nothing: all numbers have the same bits everywhere as they are.

    Raises
    ------
    ValueError
        If a number cannot be rounded safely, see `simbg.portable.rounded`.
    """
    path, buffer = Path(path), io.BytesIO()
    with open_fits(path) as file:
        for hdu in file:
            if "CREATOR" in hdu.header:
                hdu.header["CREATOR"] = "simbg"
            if isinstance(hdu, fits.BinTableHDU) and not exact:
                _round_columns(hdu)
        file.writeto(buffer)
    content = buffer.getvalue()
    path.write_bytes(packed(content) if path.suffix == ".gz" else content)


def packed(content):
    """Bytes in gzip's format, in which runs of a byte are shortened and nothing else.

    How far to look for other repetitions is what implementations of zlib differ in: zlib and
    zlib-ng pack runs alike, and all else differently.

    Examples
    --------
    >>> import gzip
    >>> content = b"FITS" + 2876 * b" "
    >>> len(packed(content)), gzip.decompress(packed(content)) == content
    (44, True)
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    body = deflate.compress(content) + deflate.flush()
    return GZIP_HEADER + body + struct.pack("<LL", zlib.crc32(content), len(content))


def _round_columns(hdu):
    for column in hdu.columns:
        values = hdu.data[column.name]
        if values.dtype.kind == "f" and not column.name.endswith(EXACT):
            values[...] = rounded(values, column.unit if column.unit in DECIMALS else "")
