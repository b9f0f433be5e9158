"""Events of one run: background drawn in the field of view, and gamma rays drawn on the sky."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simbg.observations.observation import Events, good_time, pointing_of
from simbg.simulation.scenario import Scenario
from simbg.simulation.seeds import named_rng

__all__ = ["simulate_events"]


def simulate_run(scenario: Scenario, seed: int, replicate: int, row: Mapping[str, Any]) -> Events:
    """Events of a run, from its own random stream; see `simulate_events`."""
    return simulate_events(scenario, row, named_rng(seed, scenario.name, row["OBS_ID"], replicate))


def simulate_events(scenario: Scenario, row: Mapping[str, Any], rng: np.random.Generator) -> Events:
    """Events of one run: a Poisson number, with exact positions, energies and times.

    Parameters
    ----------
    scenario : Scenario
        Its truth, sources and site are used.
    row : mapping
        A run, as returned by `simbg.simulation.schedule.rows_of`. If it has ``TRUE_NORM`` and
        ``TRUE_DRIFT``, these are the run's factor on the background and its relative change per
        hour.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    Events
        In order of time.

    Raises
    ------
    ValueError
        If the change of the rate makes it negative.
    """
    gti, livetime = good_time(row), float(row["LIVETIME"])
    factor, pointing = BackgroundFactor(row, gti), pointing_of(row, scenario.site)
    background = scenario.truth.draw(livetime * factor.largest, float(row["ZEN_PNT"]), rng)
    time = _random_times(len(background[0]), gti, rng)
    energy, lon, lat = background
    events = Events(energy, lon, lat, time, gti=gti, pointing=pointing)
    if factor.slope:
        accepted = rng.random(time.size) * factor.largest < factor.at(time)
        events, time = events.take(accepted), time[accepted]
    if not scenario.sources:
        return events
    columns = [(events.energy, events.fov_lon, events.fov_lat, time)]
    for source in scenario.sources:
        energy, ra, dec = source.draw(livetime, rng)
        time = _random_times(energy.size, gti, rng)
        lon, lat = pointing.sky_to_fov(ra, dec, time)
        columns.append((energy, lon, lat, time))
    energy, lon, lat, time = map(np.concatenate, zip(*columns, strict=True))
    events = Events(energy, lon, lat, time, gti=gti, pointing=pointing)
    return events.take(np.argsort(time, kind="stable"))


class BackgroundFactor:
    """Factor on the background during a run: norm · (1 + slope · (time since mid-run in hours))."""

    def __init__(self, row: Mapping[str, Any], gti: np.ndarray) -> None:
        self.norm, self.slope = row.get("TRUE_NORM", 1.0), row.get("TRUE_DRIFT", 0.0)
        self.middle = 0.5 * (gti[0, 0] + gti[-1, 1])
        ends = self.at(np.array([gti[0, 0], gti[-1, 1]]))
        self.largest = float(ends.max()) if self.slope else self.norm
        if ends.min() < 0:
            raise ValueError(
                f"TRUE_DRIFT: got {self.slope} / h, which makes the rate negative during the run, "
                "expected a smaller change"
            )

    def at(self, time: np.ndarray) -> np.ndarray:
        """The factor at times in s since `MJDREF`."""
        return self.norm * (1 + self.slope / 3600 * (time - self.middle))

    def mean(self, gti: np.ndarray) -> float:
        """Mean factor over good time intervals, shape (n, 2), s."""
        length = np.diff(gti)[:, 0]
        return float(np.average(self.at(gti.mean(axis=1)), weights=length))


def times_at(fraction: np.ndarray, gti: np.ndarray) -> np.ndarray:
    """Times (s since `MJDREF`) at which these fractions of the good time have passed."""
    length = np.diff(gti)[:, 0]
    start = np.cumsum(length) - length
    good = fraction * length.sum()
    which = np.searchsorted(start, good, side="right") - 1
    return gti[which, 0] + good - start[which]


def _random_times(n_events, gti, rng):
    """Ordered uniform times within the good time intervals, s."""
    # Differences of ordered uniform times are exponential, so no sort is needed.
    gaps = np.cumsum(rng.standard_exponential(n_events + 1))
    return times_at(gaps[:-1] / gaps[-1], gti)
