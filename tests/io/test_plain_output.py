"""Files that are written without astropy have the bytes of those that it writes."""

import io
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from simbg.io.files.plain_output import image, one_row, rows, to_bytes

HEADER = {
    "TEXT": "a",
    "LONG": "x" * 100,
    "QUOTE": "it's",
    "BLANKS": "a  ",
    "EMPTY": "",
    "WHOLE": 5,
    "LARGE": 2**62,
    "NUMPY": np.int64(-3),
    "YES": True,
    "NO": np.bool_(False),
    "REAL": 0.1,
    "SMALL": -1.2345678901234567e-100,
    "SINGLE": np.float32(0.1),
    "ROUND": 1e22,
    "ZERO": -0.0,
    "REMARK": (1, "what it is"),
    "A_TEXT": ("s", f"{'with a comment up to the end of the card':.<47}"),
    "hierarch long_name": 3,
    "HISTORY": "what was done",
}


def written(hdus):
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def test_a_table_of_one_row():
    arrays = {
        "A": (np.arange(3.0), "TeV"),
        "B": (np.arange(24).reshape(2, 3, 4).swapaxes(0, 2), "s-1 MeV-1 sr-1"),
        "C": ([1.5], None),
        "D": (np.full((2, 2), np.nan), ""),
    }
    columns = []
    for name, (values, unit) in arrays.items():
        row = np.asarray(values, float, order="C")[None]
        dim = str(row.shape[:0:-1]).replace(" ", "") if row.ndim > 2 else None
        columns.append(fits.Column(name, f"{row.size}D", unit or None, dim=dim, array=row))
    hdu = fits.BinTableHDU.from_columns(columns, name="BACKGROUND")
    hdu.header.update(HEADER)
    ours = one_row("BACKGROUND", [(name, *value) for name, value in arrays.items()], HEADER)
    assert to_bytes([ours]) == written([fits.PrimaryHDU(), hdu])


@pytest.mark.parametrize("number", [0, 1, 1000])
def test_a_table_of_rows(number):
    rng = np.random.default_rng(0)
    table = QTable(
        {
            "OBS_ID": np.arange(number),
            "RUN": np.arange(number, dtype=np.int32),
            "RA": rng.random(number) * u.deg,
            "AREA": rng.random(number).astype(np.float32) * u.m**2,
            "NAME": np.array(["a", "bcd ", ""] * number, "U7")[:number],
        }
    )
    hdu = fits.table_to_hdu(table)
    hdu.name = "OBS_INDEX"
    hdu.header.update(HEADER)
    units = None, None, "deg", "m2", None
    columns = [
        (name, np.asarray(table[name]), unit)
        for name, unit in zip(table.colnames, units, strict=True)
    ]
    ours = to_bytes([rows("OBS_INDEX", columns, HEADER)])
    assert ours == written([fits.PrimaryHDU(), hdu])


def test_an_image():
    values = np.arange(24.0).reshape(2, 3, 4).swapaxes(1, 2)
    primary = fits.PrimaryHDU(values)
    primary.header.update(HEADER)
    bounds = fits.table_to_hdu(QTable({"ENERGY": [1.0, 2.0] * u.TeV}))
    bounds.name = "EBOUNDS"
    ours = [image(values, HEADER), rows("EBOUNDS", [("ENERGY", np.array([1.0, 2.0]), "TeV")])]
    assert to_bytes(ours) == written([primary, bounds])


@pytest.mark.parametrize("value", [np.nan, np.inf, "two\nlines", "é", [1, 2], object()])
def test_what_no_card_can_have(value):
    with pytest.raises(ValueError, match=r".") as ours:
        to_bytes([image(None, {"KEY": value})])
    with pytest.raises(type(ours.value), match=r"."):
        fits.Header()["KEY"] = value


def test_a_long_comment_is_cut_as_astropy_cuts_it():
    card = (1, "a comment " * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdu = fits.PrimaryHDU()
        hdu.header["KEY"] = card
        assert to_bytes([image(None, {"KEY": card})]) == written([hdu])
