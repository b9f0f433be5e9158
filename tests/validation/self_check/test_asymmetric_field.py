"""The field in which defects are planted has no symmetry."""

import numpy as np
from numpy.testing import assert_allclose

from simbg.validation.self_check.asymmetric_field import asymmetric_field


def test_nothing_mirrors_the_field():
    """Flips and rotations change what it expects, and three lengths differ."""
    field = asymmetric_field()
    assert len(set(field.axes.shape)) == 3
    image = field.expected.sum(axis=0)
    for other in (image[::-1], image[:, ::-1], image[::-1, ::-1]):
        assert np.sum((image - other) ** 2 / image) > 1000  # χ² at a million events
    assert_allclose(field.expected.sum(), 1e6)
