"""Pieces of runs: the same division, order and sum for any executor, also if a worker dies."""

import os
import signal
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simbg.axes import Axes
from simbg.observations.exposure import stack_observations
from simbg.observations.observation import Events, Observation
from simbg.parallel.executors import workers
from simbg.parallel.pieces import added_up, in_pieces
from simbg.reconstruction.contract import reconstruct, reconstruct_groups
from simbg.reconstruction.spline.method import Spline

AXES = Axes([0.1, 0.3, 1.0, 4.0, 20.0], [-3.0, -2.0, 0.5, 2.0], [-1.0, 0.0, 0.7, 2.0, 4.0])


def runs(number):
    """Runs with thresholds in and between bins; their sums of times depend on the order."""
    for obs_id in range(1, number + 1):
        rng = np.random.default_rng(obs_id)
        columns = np.exp(rng.uniform(-3, 3.5, 50)), *rng.uniform(-3, 3, (2, 50))
        livetime, threshold = rng.uniform(900, 1700), rng.uniform(0, 0.6)
        times = {"livetime": livetime, "ontime": 1.1 * livetime, "energy_threshold": threshold}
        yield Observation.in_memory(Events(*columns), obs_id=obs_id, **times)


def same(a, b):
    """Whether two stacks have the same bytes."""
    names = "counts", "livetime", "ontime", "run_counts", "partial_exposure", "counts_above"
    same = [getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in names]
    return all(same) and a.made_from.total == b.made_from.total


def numbers(piece):
    return [run["OBS_ID"] for run in piece]


@pytest.mark.parametrize("number", [1, 64, 65, 130, 5000])
def test_pieces_are_all_runs_in_order(number):
    rows = [{"OBS_ID": obs_id} for obs_id in range(number)]
    pieces = list(in_pieces(numbers, rows))
    assert [n for piece in pieces for n in piece] == list(range(number))
    assert max(map(len, pieces)) <= 64
    # Up to 64 runs are pieces of their own, so that there is work for many processes.
    assert len(pieces) >= min(number, 33)


@pytest.mark.parametrize("number", [1, 2, 64, 65, 4096, 5000])
def test_a_sum_has_all_terms_in_order(number):
    terms = ([n] for n in range(number))
    assert added_up(terms, lambda a, b: a + b) == list(range(number))


def test_sums_of_sums_have_few_roundings():
    """1e5 times 0.1: a sum in one go is wrong by 2e-12, relative."""
    assert_allclose(added_up([0.1] * 100_000, float.__add__), 1e4, rtol=2e-14)


def test_the_sum_is_that_of_all_runs_for_any_number_of_processes():
    chosen = list(runs(150))
    alone = stack_observations(chosen, AXES, "partial")
    for jobs in (2, 3):
        with workers(jobs) as executor:
            assert same(stack_observations(chosen, AXES, "partial", executor), alone)
    counts = sum(stack_observations([run], AXES, "partial").counts for run in chosen)
    assert_array_equal(alone.counts, counts)
    assert alone.run_counts.sum() == counts.sum()
    above = sum(run.livetime for run in chosen)
    assert_allclose(alone.livetime[2:], above, rtol=1e-13)
    assert alone.made_from.obs_id.tolist() == list(range(1, 151))


def _load(folder, obs_id, deaths):
    """Events of a run, the reading of which ends some processes."""
    tries = len(os.listdir(folder))
    if obs_id == 70 and tries < deaths:
        Path(folder, str(tries)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return next(runs(1)).load()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("deaths", [1, 3, 99])
def test_pieces_of_a_dead_worker_are_done_again(tmp_path, deaths):
    chosen = [replace(run, load=partial(_load, tmp_path, run.obs_id, deaths)) for run in runs(130)]
    with workers(2) as executor:
        if deaths == 99:
            # The piece is to blame: its runs are named.
            with pytest.raises(BrokenExecutor, match="runs 70 to 72"):
                stack_observations(chosen, AXES, "partial", executor)
            return
        stack = stack_observations(chosen, AXES, "partial", executor)
    assert len(os.listdir(tmp_path)) == deaths
    assert same(stack, stack_observations(chosen, AXES, "partial"))


def test_fits_of_groups_in_workers_are_those_of_each_group(caplog):
    """Also their warnings: these groups have few events."""
    axes = Axes([12.0, 15.0, 20.0], AXES.fov_lon, AXES.fov_lat)
    groups = {number: (list(runs(1 + number)), axes) for number in range(3)}
    alone = [reconstruct(Spline(), *group) for group in groups.values()]
    warnings = list(caplog.messages)
    assert warnings
    caplog.clear()
    with workers(2) as executor:
        cubes = list(reconstruct_groups(Spline(), groups, executor))
    assert caplog.messages == warnings
    for cube, expected in zip(cubes, alone, strict=True):
        for name in ("rate", "rate_error", "counts", "livetime"):
            assert getattr(cube, name).tobytes() == getattr(expected, name).tobytes()
        assert cube.meta == expected.meta
        assert cube.made_from.total == expected.made_from.total
