"""Numbers and files that do not depend on the machine."""

import gzip
import math

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from simbg import portable
from simbg.fixtures.repack import packed, repack
from simbg.io.cubes import read_cube, write_cube
from simbg.portable import rounded


def test_functions_are_those_of_math():
    """To one unit in the last place, which is what libm promises."""
    values = np.random.default_rng(0).uniform(0.01, 50, 200)
    for ours, theirs in (
        (portable.exp(-values), [math.exp(-x) for x in values]),
        (portable.log(values), [math.log(x) for x in values]),
        (portable.power(values, -1.7), [x**-1.7 for x in values]),
    ):
        assert_allclose(ours, theirs, rtol=2.3e-16, atol=0)
    assert portable.exp(np.zeros((2, 3, 4))).shape == (2, 3, 4)


def test_exp_is_correctly_rounded():
    """e = 2.718281828459045 23536…; the next doubles are 4.4e-16 away."""
    assert portable.exp(1.0) == 2.718281828459045
    assert portable.exp(-1e6) == 0.0


def test_even_steps_in_the_logarithm():
    edges = portable.geomspace(0.1, 80, 21)
    assert (edges[0], edges[-1]) == (0.1, 80.0)
    assert_allclose(edges, np.geomspace(0.1, 80, 21), rtol=1e-15)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1 / 3, "", 0.3333333),
        (-2e9 / 3, "", -666666700.0),
        (0.0, "", 0.0),
        (-1e-9, "deg", 0.0),
        (83.12345678, "deg", 83.123457),
        (1.5e8 + 1 / 3, "s", 150000000.33),
    ],
)
def test_rounding(value, unit, expected):
    (found,) = rounded([value], unit)
    assert found == expected
    assert not np.signbit(found) or expected < 0
    # What is rounded stays as it is.
    assert_array_equal(rounded([found], unit), [found])


@pytest.mark.parametrize(
    ("value", "unit"), [(1.0000005, ""), (10.0000005, "deg"), (1e8 + 0.005, "s")]
)
def test_number_that_might_round_either_way_is_refused(value, unit):
    with pytest.raises(ValueError, match=r"got 1 of 2 numbers as .*expected none so near"):
        rounded([1.0, value], unit)
    # A little further it is safe, on the side where it lies.
    step = {"": 1e-6, "deg": 1e-6, "s": 1e-2}[unit]
    low, high = (rounded([value + side * 1e-3 * step], unit)[0] for side in (-1, 1))
    assert high - low == pytest.approx(step, rel=1e-3)


def test_missing_number_stays():
    assert_array_equal(rounded([np.nan, 2.0]), [np.nan, 2.0])


def test_packing_is_gzip_without_a_name_or_time():
    content = bytes(range(256)) * 300 + 70_000 * b"\0"
    for each in (content, b"", b"F"):
        assert gzip.decompress(packed(each)) == each
    assert packed(content)[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    # Runs are shortened, the repetition of 256 bytes is not looked for.
    assert 256 * 300 < len(packed(content)) < 256 * 300 + 1000


@pytest.mark.parametrize("name", ["cube.fits", "cube.fits.gz"])
def test_repacked_file_is_the_same_but_rounded(tmp_path, cube, name):
    write_cube(tmp_path / "before.fits", cube)
    write_cube(tmp_path / name, cube)
    repack(tmp_path / name)
    with fits.open(tmp_path / "before.fits") as old, fits.open(tmp_path / name) as new:
        new.verify("exception")
        assert [hdu.name for hdu in old] == [hdu.name for hdu in new]
        for before, after in zip(old[1:], new[1:], strict=True):
            differ = fits.HeaderDiff(before.header, after.header, ignore_keywords=["CREATOR"])
            assert differ.identical, differ.report()
            assert after.header.get("CREATOR", "simbg") == "simbg"
            for column in before.columns.names:
                values = before.data[column]
                expected = values if column.endswith(("_LO", "_HI")) else rounded(values)
                assert_array_equal(after.data[column], expected)
    assert np.any(read_cube(tmp_path / name).rate != cube.per("ontime").rate)


def test_exact_file_is_packed_only(tmp_path, cube):
    for name in ("a.fits.gz", "b.fits.gz"):
        write_cube(tmp_path / name, cube, "table")
    repack(tmp_path / "b.fits.gz", exact=True)
    a, b = ((tmp_path / name).read_bytes() for name in ("a.fits.gz", "b.fits.gz"))
    assert a != b
    assert gzip.decompress(a) == gzip.decompress(b)
