"""Counts and exposure of many runs: thresholds, dead times, processes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes, edition2015_axes
from simbg.observations.exposure import stack_observations, stacks_remembered
from simbg.observations.observation import Events, Observation
from simbg.observations.threshold import first_bin
from simbg.parallel.executors import workers

# TeV: below the axes, on an edge, on another, inside of bins, above all.
THRESHOLDS = (0.0, 0.1, 0.3, 0.35, 0.9999, 5.0, 19.0, 50.0)
AXES = Axes([0.1, 0.3, 1.0, 4.0, 20.0], [-3.0, -2.0, 0.5, 2.0], [-1.0, 0.0, 0.7, 2.0, 4.0])


def runs(thresholds=THRESHOLDS, n_events=500):
    """Runs of which no two have the same threshold, livetime, dead time or events."""
    for number, threshold in enumerate(thresholds):
        rng = np.random.default_rng(number)
        n = n_events + number
        columns = np.exp(rng.uniform(-3, 3.5, n)), rng.uniform(-4, 3, n), rng.uniform(-2, 5, n)
        livetime = 1000.0 + 7 * number
        yield Observation.in_memory(
            Events(*columns),
            obs_id=number,
            livetime=livetime,
            ontime=livetime * (1.1 + 0.01 * number),
            energy_threshold=threshold,
        )


def by_hand(partial_bin):
    """The same in loops over runs and bins: what a threshold means, spelt out."""
    counts, livetime, ontime = (np.zeros(AXES.shape) for _ in range(3))
    for run in runs():
        events = run.events()
        for i, (low, high) in enumerate(zip(AXES.energy[:-1], AXES.energy[1:], strict=True)):
            if not (high > run.energy_threshold if partial_bin else low >= run.energy_threshold):
                continue
            keep = (events.energy >= low) & (events.energy < high)
            keep &= events.energy >= run.energy_threshold
            columns = events.fov_lon[keep], events.fov_lat[keep]
            counts[i] += np.histogram2d(*columns, (AXES.fov_lon, AXES.fov_lat))[0]
            livetime[i] += run.livetime
            ontime[i] += run.ontime
    return counts, livetime, ontime


@pytest.mark.parametrize(("threshold_bin", "partial_bin"), [("drop", False), ("whole", True)])
def test_stack_is_the_sum_of_its_runs(threshold_bin, partial_bin):
    stack = stack_observations(runs(), AXES, threshold_bin)
    counts, livetime, ontime = by_hand(partial_bin)
    assert_array_equal(stack.counts, counts)
    assert stack.counts.dtype == np.int64
    # A sum of eight numbers in another order.
    assert_allclose(stack.livetime, livetime, rtol=1e-14)
    assert_allclose(stack.ontime, ontime, rtol=1e-14)
    assert stack.n_obs == len(THRESHOLDS)
    assert stack.n_events == sum(len(run.events()) for run in runs())
    assert stack.n_selected == counts.sum() < stack.n_events


def test_control_thresholds_matter():
    """The two treatments of a threshold bin differ, but where no run's threshold lies inside."""
    strict, loose = by_hand(False), by_hand(True)
    more = (loose[1] > strict[1])[:, 0, 0]
    assert_array_equal(more, [False, True, False, True])
    assert loose[0].sum() > strict[0].sum()


@pytest.mark.parametrize(
    ("threshold", "strict", "partial"),
    [
        (0.0, 0, 0),
        (0.1, 0, 0),
        (0.2, 1, 0),
        (0.3, 1, 1),
        # As close to an edge as rounding leaves it (say, from a float32 or GeV) is on it.
        (0.3 * (1 + 1e-12), 1, 1),
        (0.3 * (1 - 1e-12), 1, 1),
        (0.3 * (1 + 1e-6), 2, 1),
        (19.0, 4, 3),
        (20.0, 4, 4),
        (99.0, 4, 4),
    ],
)
def test_first_bin(threshold, strict, partial):
    assert first_bin(AXES, threshold, False) == strict
    assert first_bin(AXES, threshold, True) == partial


def test_stack_does_not_depend_on_processes():
    """To the last bit: integers, and times that are added in the order of the runs."""
    axes = edition2015_axes(len(THRESHOLDS))
    alone = stack_observations(runs(), axes)
    with workers(2) as executor:
        together = stack_observations(runs(), axes, executor=executor)
    for name in ("counts", "livetime", "ontime"):
        assert_array_equal(getattr(together, name), getattr(alone, name))
    assert together.n_events == alone.n_events


def test_no_run_is_no_exposure():
    stack = stack_observations([], AXES)
    assert stack.n_obs == 0
    assert not stack.livetime.any()
    assert not stack.counts.any()


def test_events_are_read_once_and_let_go():
    """One run at a time is in memory."""
    alive, most = 0, 0

    class Counted(Events):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def load(run):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        events = run.events()
        return Counted(events.energy, events.fov_lon, events.fov_lat)

    many = list(runs([0.1] * 20, n_events=10))
    lazy = [replace(run, load=lambda run=run: load(run)) for run in many]
    stack_observations(lazy, AXES)
    assert most == 1
    assert alive == 0


def test_the_same_observations_are_added_up_once():
    """In a context that remembers stacks; other bins, rules and observations are other stacks."""
    loads = []
    many = [
        replace(run, load=lambda run=run: loads.append(run.obs_id) or run.events())
        for run in runs([0.1] * 3, n_events=10)
    ]
    fewer = replace(AXES, energy=AXES.energy[1:])
    with stacks_remembered():
        first = stack_observations(many, AXES, "whole")
        once = len(loads)
        assert stack_observations(tuple(many), AXES, "whole") is first
        assert len(loads) == once
        for other in ((many[:2], AXES, "whole"), (many, fewer, "whole"), (many, AXES, "drop")):
            before = len(loads)
            assert_array_equal(stack_observations(*other).counts.shape, other[1].shape)
            assert len(loads) > before
    before = len(loads)
    again = stack_observations(many, AXES, "whole")
    assert len(loads) == before + once
    assert_array_equal(again.counts, first.counts)


def test_radec_axes_are_refused():
    axes = replace(AXES, align="RADEC")
    with pytest.raises(ValueError, match=r"RADEC.*ALTAZ"):
        stack_observations(runs(), axes)
