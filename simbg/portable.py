"""Elementary functions that give the same result on every machine: correctly rounded.

IEEE 754 defines the results of +, −, ×, ÷ and √. It does not define those of exp, log and powers,
nor those of sums of products, which BLAS and fused instructions round differently. Results that
must be the same on every machine use the functions of this module, or are rounded to so few digits
that the last bits do not matter, see `simbg.fixtures.repack`.
"""

from decimal import Context, Decimal

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["geomspace"]

# With 30 digits the probability that a double is rounded to the wrong side is 1e-13.
CONTEXT = Context(prec=30)


def exp(values: ArrayLike) -> np.ndarray:
    """The exponential, correctly rounded; any shape.

    Examples
    --------
    >>> float(exp(-1.0))
    0.36787944117144233
    """
    return _each(lambda x: x.exp(CONTEXT), values)


def log(values: ArrayLike) -> np.ndarray:
    """The natural logarithm of positive numbers, correctly rounded; any shape."""
    return _each(lambda x: x.ln(CONTEXT), values)


def power(values: ArrayLike, exponent: float) -> np.ndarray:
    """Positive numbers to a power, correctly rounded; any shape."""
    decimal = Decimal(float(exponent))
    return _each(lambda x: CONTEXT.power(x, decimal), values)


def geomspace(start: float, stop: float, number: int) -> np.ndarray:
    """As `numpy.geomspace`, with each number correctly rounded.

    Examples
    --------
    >>> geomspace(0.1, 100, 4)
    array([  0.1,   1. ,  10. , 100. ])
    """
    # The decimal number as it is printed: 0.1, and not the exact value of the double.
    low, high = (Decimal(repr(float(x))) for x in (start, stop))
    ratio = CONTEXT.divide(high, low)
    fractions = [CONTEXT.divide(Decimal(k), Decimal(number - 1)) for k in range(number)]
    return np.array([float(CONTEXT.multiply(low, CONTEXT.power(ratio, x))) for x in fractions])


def _each(function, values):
    values = np.asarray(values, float)
    flat = [float(function(Decimal(x))) for x in values.ravel().tolist()]
    return np.array(flat).reshape(values.shape)
