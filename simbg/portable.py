"""Numbers that are the same on every machine: correctly rounded, or rounded coarsely.

IEEE 754 fixes the result of +, −, ×, ÷ and √. It does not fix that of exp, log and powers, nor
of sums of products, which BLAS and fused instructions round otherwise. So what must not depend
on them is made of functions that are correctly rounded, or is rounded so coarsely that no last
bit matters.
"""

from __future__ import annotations

from decimal import Context, Decimal

import numpy as np

__all__ = ["exp", "geomspace", "log", "power", "rounded"]

# 30 digits: that a double is then rounded the wrong way has a probability of 1e-13.
CONTEXT = Context(prec=30)
DIGITS = 7
# Decimals of numbers in these units: 0.0036 arcsec, and 10 ms in times of 1e8 s.
DECIMALS = {"deg": 6, "s": 2}
# What machines may differ by: 45 to 90 units in the last place, 0.4 µas in directions, whose
# errors are absolute.
DOUBT, DOUBT_OF = 5e-14, {"deg": 1e-10, "s": 1e-6}


def exp(values):
    """The exponential, correctly rounded; any shape.

    Examples
    --------
    >>> float(exp(-1.0))
    0.36787944117144233
    """
    return _each(lambda x: x.exp(CONTEXT), values)


def log(values):
    """The natural logarithm of positive numbers, correctly rounded; any shape."""
    return _each(lambda x: x.ln(CONTEXT), values)


def power(values, exponent):
    """Positive numbers to a power, correctly rounded; any shape."""
    exponent = Decimal(float(exponent))
    return _each(lambda x: CONTEXT.power(x, exponent), values)


def geomspace(start, stop, number):
    """As `numpy.geomspace`, each number correctly rounded.

    Examples
    --------
    >>> geomspace(0.1, 100, 4)
    array([  0.1,   1. ,  10. , 100. ])
    """
    # The numbers as they are written: 0.1, and not the double next to it.
    low, high = (Decimal(repr(float(x))) for x in (start, stop))
    ratio = CONTEXT.divide(high, low)
    shares = [CONTEXT.divide(Decimal(k), Decimal(number - 1)) for k in range(number)]
    return np.array([float(CONTEXT.multiply(low, CONTEXT.power(ratio, x))) for x in shares])


def rounded(values, unit=""):
    """Numbers rounded to 7 significant digits; deg to 6 decimals, s to 2.

    Parameters
    ----------
    values : array_like of float
    unit : str

    Returns
    -------
    values : ndarray of float

    Raises
    ------
    ValueError
        If a number lies so near to where rounding turns over that another machine might
        round it to the other side.

    Examples
    --------
    >>> rounded([1 / 3, 2e6 / 3])
    array([3.333333e-01, 6.666667e+05])
    """
    values = np.asarray(values, float)
    doubt = DOUBT_OF.get(unit, DOUBT * np.abs(values))
    low, high = (_round(values + side * doubt, DECIMALS.get(unit)) for side in (-1, 1))
    turning = (low != high) & np.isfinite(values)
    if turning.any():
        raise ValueError(
            f"rounding: got {turning.sum()} of {values.size} numbers as {values[turning][0]!r}, "
            f"expected none so near to where {unit or 'the 7th digit'} turns over"
        )
    return low


def _each(function, values):
    values = np.asarray(values, float)
    flat = [float(function(Decimal(x))) for x in values.ravel().tolist()]
    return np.array(flat).reshape(values.shape)


def _round(values, decimals):
    form = f".{DIGITS - 1}e" if decimals is None else f".{decimals}f"
    # + 0.0: no −0, which has other bytes.
    flat = [float(format(x, form)) + 0.0 for x in np.ravel(values).tolist()]
    return np.array(flat).reshape(np.shape(values))
