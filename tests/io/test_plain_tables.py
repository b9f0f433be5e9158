"""Tables read from bytes are those that astropy reads, also from damaged files."""

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from simbg.io.safe_files import open_fits, open_tables

NAMES = ("EXTNAME", "OBS_ID", "TSTART", "LONG", "QUOTE", "FLAG", "SMALL", "TUNIT2", "ABSENT")


def write(path, columns=(), cards=()):
    """A file with a table of two rows, further columns and cards, and a table of an array."""
    values = [
        fits.Column("EVENT_ID", "K", array=[1, 2**60]),
        fits.Column("TIME", "1D", "s", array=[0.1, np.nan]),
        fits.Column("Energy", "E", "TeV", array=[0.1, 2]),
        fits.Column("NAME", "5A", array=["a b ", ""]),
        *columns,
    ]
    hdu = fits.BinTableHDU.from_columns(values, name="events")
    hdu.header["OBS_ID"] = (20136, "number / of the run")
    hdu.header["TSTART"] = 333778852.184
    hdu.header["SMALL"] = -1.5e-12
    hdu.header["QUOTE"] = "it's / not"
    hdu.header["FLAG"] = True
    for card in cards:
        hdu.header.append(card)
    array = fits.Column("EFFAREA", "6E", dim="(3,2)", array=np.arange(6.0).reshape(1, 2, 3))
    other = fits.BinTableHDU.from_columns([array], name="AEFF")
    fits.HDUList([fits.PrimaryHDU(), hdu, other]).writeto(path, output_verify="ignore")


def read(opened, path):
    """Names, values of keywords and columns of all HDUs, or that there is an error."""
    ours = opened is open_tables
    try:
        with warnings.catch_warnings(), opened(path) as file:
            found = []
            for hdu in file:
                found.append((hdu.name, [repr(hdu.header.get(name)) for name in NAMES]))
                names = hdu.names if ours else getattr(getattr(hdu, "columns", None), "names", [])
                for name in names:
                    unit = hdu.unit(name) if ours else hdu.columns[name].unit
                    values = hdu.field(name) if ours else hdu.data.field(name)
                    found.append((name, unit or None, np.asarray(values).tolist()))
            return repr(found)
    except ValueError as error:
        return "error" if "\n" not in str(error) else str(error)


COLUMNS = {
    "none": [],
    "bool": [fits.Column("B", "L", array=[True, False])],
    "scaled": [fits.Column("S", "E", bscale=2.0, bzero=10.0, array=[14.0, 20.0])],
    "unsigned": [fits.Column("U", "J", bzero=2**31, array=np.array([1, 2], np.uint32))],
    "vector": [fits.Column("V", "3E", array=[[1, 2, 3], [4, 5, 6]])],
    "variable": [fits.Column("P", "PD()", array=np.array([[1.0], [2.0, 3.0]], object))],
    "null": [fits.Column("N", "J", null=-1, array=[-1, 5])],
    "text": [fits.Column("T", "20A", array=["", " x "])],
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns(kind, tmp_path):
    write(tmp_path / "a.fits", COLUMNS[kind])
    expected = read(open_fits, tmp_path / "a.fits")
    assert "20136" in expected
    assert read(open_tables, tmp_path / "a.fits") == expected


@pytest.mark.parametrize(
    "card",
    [
        "LONG    = (1.0, 2.0)",
        "LONG    =",
        "LONG    =5",
        "LONG    =   1.5d3",
        "LONG    =   1E5 / no point",
        "LONG    =  -.5 / no digit",
        "LONG    =   007",
        "LONG    = ''",
        "LONG    = ' a'",
        "LONG    = 'not closed",
        "LONG no value",
        "long    = 5",
        "OBS_ID  = 5",
        "HIERARCH A.LONG.NAME = 5",
        "COMMENT   a / comment = of no value",
    ],
)
def test_cards(card, tmp_path):
    write(tmp_path / "a.fits", cards=[("LONG", "here")])
    content = (tmp_path / "a.fits").read_bytes()
    at = content.index(b"LONG ")
    (tmp_path / "a.fits").write_bytes(content[:at] + card.ljust(80).encode() + content[at + 80 :])
    expected = read(open_fits, tmp_path / "a.fits")
    assert read(open_tables, tmp_path / "a.fits") == expected


def test_a_long_text(tmp_path):
    write(tmp_path / "a.fits", cards=[("LONG", "x" * 150, "in several cards")])
    expected = read(open_fits, tmp_path / "a.fits")
    assert "x" * 150 in expected
    assert read(open_tables, tmp_path / "a.fits") == expected


def test_damaged_files(tmp_path):
    """One byte of a header is replaced; both readers give the same values, or an error."""
    write(tmp_path / "a.fits")
    whole, rng, outcomes = (tmp_path / "a.fits").read_bytes(), np.random.default_rng(0), []
    filled = [at for at in range(3 * 2880) if whole[at] != 32 and at % 80 < 30]
    for at in rng.choice(filled, 150):
        bad = bytearray(whole)
        bad[at] = rng.choice(list(b" 09AE='/.-\xff\n" + bytes([whole[at] ^ 1])))
        (tmp_path / "b.fits").write_bytes(bad)
        expected = read(open_fits, tmp_path / "b.fits")
        assert read(open_tables, tmp_path / "b.fits") == expected, at
        outcomes.append(expected == "error")
    assert 0.05 < np.mean(outcomes) < 0.9


@pytest.mark.parametrize("cut", [1, 100, 2880, 3000])
def test_the_end_is_missing(cut, tmp_path):
    write(tmp_path / "a.fits")
    (tmp_path / "b.fits").write_bytes((tmp_path / "a.fits").read_bytes()[:-cut])
    assert read(open_fits, tmp_path / "b.fits") == read(open_tables, tmp_path / "b.fits") == "error"


def test_gzip_and_the_table_of_astropy(tmp_path):
    table = Table({"OBS_ID": [3, 1], "FILE": ["a", "bc"]}, meta={"BASE_DIR": "x"})
    table.write(tmp_path / "a.fits")
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    with open_tables(tmp_path / "a.fits.gz") as (_, hdu):
        assert hdu.header["BASE_DIR"] == "x"
        for name in table.colnames:
            np.testing.assert_array_equal(hdu.field(name), table[name])
