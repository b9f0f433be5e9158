"""UT1 and the position of the pole: the IERS table that comes with astropy, read in milliseconds.

The values are those of `astropy.utils.iers.IERS_A`, to the last bit. astropy needs half a second
for the 20,000 rows of the table, of which a run needs two.
"""

import functools
from typing import Any

import erfa
import numpy as np
from astropy_iers_data import IERS_A_FILE

__all__ = []

# First and last byte of each value in a row, from 1, as in the description of finals2000A.all.
BYTES = {
    "mjd": (8, 15),
    "x_a": (19, 27),
    "y_a": (38, 46),
    "ut1_a": (59, 68),
    "x_b": (135, 144),
    "y_b": (145, 154),
    "ut1_b": (155, 165),
}
BLANK = b" " * 10


@functools.cache
def table() -> tuple[np.ndarray, np.ndarray]:
    """The days of the table, MJD, and its rows as bytes, until the last day with a prediction."""
    with open(IERS_A_FILE, "rb") as file:
        content = file.read()
    width = content.index(b"\n") + 1
    names, places = zip(*BYTES.items(), strict=True)
    row = np.dtype(
        {
            "names": names,
            "formats": [f"S{last - first + 1}" for first, last in places],
            "offsets": [first - 1 for first, _ in places],
            "itemsize": width,
        }
    )
    rows: Any = np.frombuffer(content, row)
    rows = rows[(rows["ut1_a"] != BLANK[:10]) & (rows["x_a"] != BLANK[:9])]
    return rows["mjd"].astype(float), rows


def orientation(utc1: float, utc2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UT1 - UTC, s, and the pole's x and y, rad; outside of the table those at its ends.

    Parameters
    ----------
    utc1, utc2 : float, ndarray
        Times, the two parts of the Julian date in UTC.

    Notes
    -----
    Linear between days. Values of Bulletin B have priority over those of Bulletin A. A leap second
    is a step at the second of two days.
    """
    days, _ = table()
    day = np.floor(utc1 - erfa.DJM0 + utc2)
    time = utc1 - (erfa.DJM0 + day) + utc2
    index = np.searchsorted(days, day, side="right")
    after = np.clip(index, 1, days.size - 1)
    first, second = _values(after - 1), _values(after)
    change = second - first
    change[0] -= np.round(change[0])
    part = (day - days[after - 1] + time) / (days[after] - days[after - 1])
    values = first + part * change
    values[:, index == 0] = _values([0])
    values[:, index == days.size] = _values([-1])
    ut1_utc, x, y = values
    return ut1_utc, x * erfa.DAS2R, y * erfa.DAS2R


def _values(which):
    """UT1 - UTC, s, and the pole's x and y, arcsec, of rows of the table, (3, n)."""
    rows = table()[1][which]
    ut1, x, y = (_numbers(rows[f"{name}_a"]) for name in ("ut1", "x", "y"))
    ut1_b, x_b, y_b = (_numbers(rows[f"{name}_b"]) for name in ("ut1", "x", "y"))
    no_pole = np.isnan(x_b) | np.isnan(y_b)
    return np.stack(
        [
            np.where(np.isnan(ut1_b), ut1, ut1_b),
            np.where(no_pole, x, x_b),
            np.where(no_pole, y, y_b),
        ]
    )


def _numbers(texts):
    return np.array([float(text) if text.strip() else np.nan for text in texts.tolist()])
