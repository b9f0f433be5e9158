"""The record of runs and events: the same for any order and number of workers, and compared."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import simbg
from simbg.cube import BackgroundCube
from simbg.observations.stacked_counts import EventRecord
from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.registry import find_method

AXES = simbg.Axes.regular(energy=(0.1, 50, 4), fov=(3, 6))


class Bare:
    """A method that reads events, and returns a rate with times and nothing else."""

    name = "bare"

    def reconstruct(self, observations, axes):
        cube = Histogram().reconstruct(observations[::-1], axes)
        return BackgroundCube(axes, cube.rate, None, None, cube.livetime, cube.ontime)


@pytest.fixture(scope="module")
def runs():
    return simbg.simulate("night", seed=1, n_obs=4).observations()


def test_any_order_and_any_workers_give_the_same_record(runs):
    """Of each run, the number of all its events, also of those outside of the axes."""
    record = reconstruct(Histogram(), runs, AXES).made_from
    assert_array_equal(record.obs_id, sorted(run.obs_id for run in runs))
    events = {run.obs_id: len(run.load()) for run in runs}
    assert_array_equal(record.n_events, [events[int(number)] for number in record.obs_id])
    with ProcessPoolExecutor(2) as executor:
        others = [
            reconstruct(Histogram(), runs[::-1], AXES),
            reconstruct(Histogram(executor), runs, AXES),
            reconstruct(find_method("michi"), runs, AXES),
            reconstruct(Bare(), runs, AXES),
        ]
    assert {cube.made_from.total for cube in others} == {record.total}


def test_runs_in_common_have_the_same_events(runs):
    """Another seed gives other events with the same numbers of runs."""
    record = reconstruct(Histogram(), runs, AXES).made_from
    part = reconstruct(Histogram(), runs[1:], AXES).made_from
    assert_array_equal(record.common(part), part.obs_id)
    other = simbg.simulate("night", seed=2, n_obs=4).observations()
    other = reconstruct(Histogram(), other, AXES).made_from
    assert_array_equal(other.obs_id, record.obs_id)
    assert record.common(other).size == 0
    assert other.total != record.total != part.total


def test_a_random_draw_has_no_events(runs):
    """A part of a cube, and a cube with another rate, are made from the same events."""
    stack = simbg.stack_observations(runs, AXES)
    assert stack.with_counts(stack.counts).made_from is None
    assert stack.times(2).made_from is None
    cube = Histogram().estimate(stack)
    assert cube[1:3].made_from is stack.made_from
    assert replace(cube, rate=2 * cube.rate).made_from is stack.made_from


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\).*\(1,\)"):
        EventRecord(np.array([1, 2]), np.array([1, 2]), np.array([1]))
