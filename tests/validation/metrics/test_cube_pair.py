"""Cubes that can be measured, and those that cannot."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.histogram import Histogram
from simbg.validation.metrics.cube_pair import CubePair, check_rates, with_exposure

AXES = Axes(np.geomspace(0.1, 10, 5), np.linspace(-3, 3, 9), np.linspace(-2, 3, 8))
LIVETIME = np.full(AXES.shape, 1500.0)
STACK = StackedCounts(AXES, np.ones(AXES.shape), LIVETIME, 1.1 * LIVETIME, 1, 0, 0)
TRUE = Histogram().estimate(STACK)


def test_other_axes_are_refused():
    other = replace(AXES, energy=AXES.energy[1:])
    shorter = BackgroundCube(other, TRUE.rate[1:], livetime=LIVETIME[1:])
    with pytest.raises(ValueError, match=r"got \(3, 8, 7\) bins, expected .*\(4, 8, 7\)"):
        CubePair(TRUE, shorter)


def test_exposure_of_a_cube_that_does_not_say_it():
    bare = BackgroundCube(AXES, TRUE.rate)
    found = with_exposure(bare, STACK)
    assert_array_equal(found.livetime, LIVETIME)
    own = replace(bare, livetime=2 * LIVETIME, ontime=3 * LIVETIME)
    assert with_exposure(own, STACK) is own
    foreign = with_exposure(own, STACK, own=False)
    assert_array_equal(foreign.livetime, LIVETIME)
    sky = replace(bare, axes=replace(AXES, align="RADEC"))
    with pytest.raises(ValueError, match="got a cube aligned with RADEC, expected ALTAZ"):
        with_exposure(sky, STACK)


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (replace(TRUE, livetime=None), "without livetime"),
        (replace(TRUE, livetime=0 * LIVETIME), "without livetime"),
        (replace(TRUE, livetime=2 * LIVETIME), "3000 s"),
        (replace(TRUE, rate=-TRUE.rate), "got 224 of 224 rates"),
        (replace(TRUE, rate=1e200 * TRUE.rate), "got 224 of 224 rates"),
        (replace(TRUE, rate=np.where(AXES.offset > 3, np.nan, TRUE.rate)), "got 32 of 224 rates"),
    ],
    ids=["none", "zero", "too long", "negative", "beyond reason", "holes"],
)
def test_cubes_that_hide_are_refused(cube, message):
    check_rates(TRUE, TRUE)
    with pytest.raises(ValueError, match=message):
        check_rates(cube, TRUE)
