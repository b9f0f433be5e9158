"""Elementary functions that are the same on every machine: correctly rounded.

IEEE 754 fixes the result of +, −, ×, ÷ and √. It does not fix that of exp, log and powers, nor
of sums of products, which BLAS and fused instructions round otherwise. What must not depend on
them is made of these functions, or is rounded so coarsely that no last bit matters, see
`simbg.fixtures.repack`.
"""

from decimal import Context, Decimal

import numpy as np

__all__ = ["geomspace"]

# 30 digits: that a double is then rounded the wrong way has a probability of 1e-13.
CONTEXT = Context(prec=30)


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


def _each(function, values):
    values = np.asarray(values, float)
    flat = [float(function(Decimal(x))) for x in values.ravel().tolist()]
    return np.array(flat).reshape(values.shape)
