"""Mutations of files: bytes, header cards, columns, values in JSON, words in text."""

import gzip
import io
import json
import warnings

import numpy as np
from astropy.io import fits
from astropy.table import Table

__all__ = ["mutated"]

CARDS = (
    *("NaN", "-1", "0", "1", "1e400", "99999999999999999999", "-32", "1.2.3", "0x10", "'TT"),
    *("'x'", "''", "T", "(1.0, 2.0)", "1e-300", "2147483648", "'1'", "", "1D2", "'\x1b[31m'"),
)
NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e30, 1e308, 720.5, 2.0)
VALUES = (None, True, -1, 0, 1e308, 10**400, 2**70, "", "x", "1", [], {}, [[]], [None], {"a": 1})
WORDS = ("nan", "-1", "1e999", "x", "", "99999", "(", ")", ",", "\u2028", "\x00", "0", "1d", '"')


def mutated(content, name, rng):
    """Another content of a file, and the name of what was done."""
    packed = content[:2] == b"\x1f\x8b"
    if packed and rng.random() < 0.1:
        return _bytes(content, rng), "compressed bytes"
    plain = gzip.decompress(content) if packed else content
    if plain.startswith(b"SIMPLE"):
        kind = rng.choice(["bytes", "card", "column"], p=[0.3, 0.35, 0.35])
        change = {"bytes": _bytes, "card": _card, "column": _column}[kind]
    elif "json" in name:
        kind, change = ("json", _json) if rng.random() < 0.8 else ("bytes", _bytes)
    else:
        kind, change = ("words", _words) if rng.random() < 0.6 else ("bytes", _bytes)
    plain = change(plain, rng)
    return (gzip.compress(plain, 1) if packed else plain), str(kind)


def _bytes(content, rng):
    """Flipped bits, or a part that is missing, there twice, zero or random."""
    data = bytearray(content)
    if not data:
        return b"x"
    for _ in range(int(rng.integers(1, 4))):
        at, n = int(rng.integers(len(data))), int(2 ** rng.uniform(0, 12))
        match int(rng.integers(7)):
            case 0 | 1 | 2:
                # Headers and the first rows are a small part of a file.
                at = at if rng.random() < 0.3 else at % 12000 % len(data)
                data[at] ^= 1 << int(rng.integers(8))
            case 3:
                del data[at:]
            case 4:
                del data[at : at + n]
            case 5:
                data[at:at] = data[at : at + n]
            case 6:
                data[at : at + n] = bytes(min(n, len(data) - at))
        if not data:
            break
    return bytes(data)


def _card(content, rng):
    """A card with another value, without it, or twice."""
    data, cards = bytearray(content), []
    start = 0
    while (end := content.find(b"END" + b" " * 77, start)) >= 0:
        block = (end + 80 + 2879) // 2880 * 2880
        head = max(content.rfind(b"SIMPLE  =", start, end), content.rfind(b"XTENSION=", start, end))
        cards += range(head, end, 80) if head >= 0 else ()
        start = block
    at = int(rng.choice(cards))
    old = bytes(data[at : at + 80])
    match int(rng.integers(6)):
        case 0:
            data[at : at + 80] = b" " * 80
        case 1:
            other = int(rng.choice(cards))
            data[other : other + 80] = old
        case _:
            value = str(rng.choice(CARDS))
            data[at : at + 80] = old[:10] + f"{value:>20s}".encode()[:70].ljust(70)
    return bytes(data)


def _column(content, rng):
    """A column with other values, type, shape, unit or name; other rows; another order of HDUs."""
    with warnings.catch_warnings(), fits.open(io.BytesIO(content)) as file:
        warnings.simplefilter("ignore")
        hdus = [hdu.copy() for hdu in file]
        tables = [n for n, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
        if not tables:
            return _card(content, rng)
        number = int(rng.choice(tables))
        action = int(rng.integers(10))
        if action == 0:
            hdus.append(hdus[number])
        elif action == 1:
            del hdus[number]
        else:
            hdus[number] = _changed_table(hdus[number], rng, action)
        out = io.BytesIO()
        fits.HDUList(hdus).writeto(out, output_verify="ignore")
        return out.getvalue()


def _changed_table(hdu, rng, action):
    table = Table(hdu.data)
    keep = {k: v for k, v in hdu.header.items() if k not in table.meta and _is_free(k)}
    name = str(rng.choice(table.colnames)) if table.colnames else ""
    if not name:
        return hdu
    values = table[name]
    if action == 2:
        del table[name]
    elif action == 3:
        table.rename_column(name, rng.choice([name.lower(), "X", f"{name}_X"]))
    elif action == 4:
        table[name].unit = str(rng.choice(["m", "deg", "s", "TeV", "GeV", "rad", "h", ""])) or None
    elif action == 5 and len(table):
        rows = rng.integers(len(table), size=int(rng.integers(0, len(table) + 3)))
        table = table[np.sort(rows)]
    elif action == 6:
        shape = (len(table), *values.shape[1:])
        kinds = (complex, bool, "U3", np.int16, np.float32, np.int64, "U200")
        kind = kinds[int(rng.integers(len(kinds)))]
        if values.dtype.kind in "iufb" and str(kind)[0] != "U":
            with np.errstate(all="ignore"):
                table[name] = np.asarray(values).astype(kind)
        else:
            table[name] = np.ones(shape, kind)
    elif action == 7:
        table[name] = np.stack([np.asarray(values)] * 2, axis=-1)
    elif len(table) and values.dtype.kind in "iuf":
        data = np.array(values)
        flat = data.reshape(-1)
        which = rng.integers(flat.size, size=1 if rng.random() < 0.6 else flat.size)
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        with np.errstate(all="ignore"):
            flat[which] = np.array(number).astype(data.dtype)
        table[name] = data
    elif len(table):
        row = int(rng.integers(len(table)))
        table[name][row] = table[name][int(rng.integers(len(table)))] if rng.random() < 0.5 else "x"
    new = fits.table_to_hdu(table)
    for key, value in keep.items():
        new.header[key] = value
    for column in hdu.columns:
        if column.unit and column.name in new.columns.names and action != 4:
            new.columns[column.name].unit = column.unit
    new.name = hdu.name
    return new


def _is_free(keyword):
    """Whether a keyword does not describe the structure of a table."""
    structure = ("XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "TTYPE", "TFORM")
    other = ("TUNIT", "TDIM", "TNULL", "TDISP", "EXTNAME", "COMMENT", "HISTORY", "")
    return keyword != "" and not keyword.startswith((*structure, *other[:-1]))


def _json(content, rng):
    """Another value somewhere in the JSON of a line, or deep nesting."""
    if rng.random() < 0.02:
        return b"[" * 100_000
    lines = content.decode().splitlines()
    whole = len(lines) > 1 and lines[0].strip() in ("{", "[")
    texts = [content.decode()] if whole else lines
    at = int(rng.integers(len(texts)))
    root = [json.loads(texts[at])]
    place, key = root, 0
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.85:
        place = place[key]
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[int(rng.integers(len(keys)))]
    match int(rng.integers(5)):
        case 0 if isinstance(place, dict):
            del place[key]
        case 1 if isinstance(place, dict):
            place["other"] = place.pop(key)
        case _:
            place[key] = VALUES[int(rng.integers(len(VALUES)))]
    texts[at] = json.dumps(root[0]) if root else ""
    return "\n".join(texts).encode()


def _words(content, rng):
    """A word is another one, missing, or there twice; or a line is."""
    text = content.decode(errors="replace")
    parts = text.splitlines(keepends=True) if rng.random() < 0.3 else _split(text)
    if not parts:
        return str(rng.choice(WORDS)).encode()
    at = int(rng.integers(len(parts)))
    match int(rng.integers(4)):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, parts[int(rng.integers(len(parts)))])
        case _:
            parts[at] = str(rng.choice(WORDS))
    return "".join(parts).encode()


def _split(text):
    """Words, and what is between them."""
    parts, word = [], ""
    for c in text:
        if word and c.isalnum() != word[-1].isalnum():
            parts.append(word)
            word = ""
        word += c
    return [*parts, word] if word else parts
