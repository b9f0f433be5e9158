"""Observations: impossible ones are refused, and events are read when they are asked for."""

import numpy as np
import pytest
from astropy.time import Time

from simbg.observations.observation import MJDREF, Events, Observation


def test_time_zero_is_that_of_2015():
    assert Time(MJDREF, format="mjd", scale="tt").utc.isot == "2010-01-01T00:00:00.000"


@pytest.mark.parametrize(("livetime", "ontime"), [(0, 10), (11, 10), (-1, 10), (np.nan, 10)])
def test_impossible_livetime(livetime, ontime):
    events = Events(*np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"run 7: got livetime .* expected 0 < livetime ≤ ontime"):
        Observation.in_memory(events, obs_id=7, livetime=livetime, ontime=ontime)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, np.inf])
def test_impossible_threshold(threshold):
    with pytest.raises(ValueError, match=r"run 7: got energy threshold .* TeV, expected 0 or more"):
        Observation(7, list, 9.0, 10.0, energy_threshold=threshold)


def test_observation_reads_its_events_when_asked():
    calls = []
    observation = Observation(1, lambda: calls.append(1) or "events", 9.0, 10.0)
    assert not calls
    assert observation.events() == "events"
    assert observation.events() == "events"
    assert len(calls) == 2
