"""The field of view, rotated and mirrored: that of the other alignment."""

import numpy as np
from numpy.testing import assert_allclose
from support.cubes import SQUARE, at_centers, at_places, both_fields

from simbg.validation.comparison.fields.rotation import rotate_field


def test_a_turned_field_is_that_of_the_other_alignment():
    """Either way, by the same angle; by another it is not."""
    lon, lat, q = both_fields()
    altaz, radec = at_centers(axes=SQUARE), at_places(lon, lat)
    for one, other in ((altaz, radec), (radec, altaz)):
        rate = rotate_field(one, q).rate
        used = np.isfinite(rate)
        # Corners, and pixels that come from outside of the outermost centres.
        assert 0.6 < used.mean() < 0.95
        # A cubic spline of ln rate, on pixels of 0.5 deg; worst next to the border.
        assert_allclose(rate[used], other.rate[used], rtol=1e-3)
        wrong = rotate_field(one, -q).rate
        assert not np.allclose(wrong[used], other.rate[used], rtol=0.1, equal_nan=True)
