"""Functions whose results do not depend on the machine."""

import math

import numpy as np
from numpy.testing import assert_allclose

from simbg import portable


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
