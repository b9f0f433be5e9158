"""Runs that match a run: nearest in zenith angle, azimuth and covariates."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose

from simbg.axes import Axes
from simbg.observations.observation import Events, Observation
from simbg.reconstruction.histogram import Histogram
from simbg.reconstruction.matching import MatchedRuns

AXES = Axes([0.1, 1, 10], [-2, 0, 2], [-1, 0, 1])


def run_at(number, alt, az, efficiency=0.8, n_events=0):
    events = Events(np.full(n_events, 2.0), np.full(n_events, 0.5), np.full(n_events, 0.5))
    covariates = {"MUONEFF": efficiency}
    angles = {"alt": alt, "az": az, "covariates": covariates}
    return Observation.in_memory(events, obs_id=number, livetime=100.0, ontime=110.0, **angles)


def chosen(runs, wanted, n_runs):
    models = MatchedRuns(Histogram(), n_runs).fit(runs, AXES)
    return [run.obs_id for run in models.matches(wanted)]


def test_the_nearest_zenith_angle_azimuth_and_efficiency():
    runs = [run_at(1, 60, 180), run_at(2, 40, 180), run_at(3, 60, 10), run_at(4, 61, 180)]
    assert chosen(runs, run_at(9, 60, 180), 2) == [1, 4]
    assert chosen(runs, run_at(9, 60, 350), 1) == [3]
    assert chosen(runs, run_at(9, 41, 180), 1) == [2]
    # Near the zenith the azimuth does not matter, and 359 deg is near 1 deg.
    runs = [run_at(1, 89.5, 0), run_at(2, 80, 180)]
    assert chosen(runs, run_at(9, 89.5, 180), 1) == [1]
    runs = [run_at(1, 45, 359), run_at(2, 45, 90)]
    assert chosen(runs, run_at(9, 45, 1), 1) == [1]


def test_an_efficiency_decides_between_equal_pointings():
    runs = [run_at(1, 60, 180, 0.6), run_at(2, 60, 180, 1.0), run_at(3, 60, 180, 0.7)]
    assert chosen(runs, run_at(9, 60, 180, 0.95), 1) == [2]
    assert chosen(runs, run_at(9, 60, 180, 0.64), 2) == [1, 3]


def test_the_cube_is_that_of_the_matched_runs():
    runs = [run_at(1, 60, 180, n_events=5), run_at(2, 60, 180, n_events=9), run_at(3, 20, 0, 1, 99)]
    models = MatchedRuns(Histogram(), 2).fit(runs, AXES)
    cube = models.at(replace(run_at(9, 61, 179), livetime=50.0))
    assert_allclose(cube.rate, Histogram().reconstruct(runs[:2], AXES).rate, rtol=1e-12)
    assert cube.livetime.max() == 50.0
    assert cube.meta["MATCHED"] == "1, 2"


def test_fewer_runs_than_wanted_are_all_used():
    assert chosen([run_at(1, 60, 180)], run_at(9, 30, 0), 10) == [1]
