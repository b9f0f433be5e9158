"""Events of one run: background drawn in the camera, and gamma rays drawn on the sky."""

import numpy as np

from simbg.observations.observation import Events, good_time, pointing_of
from simbg.simulation.seeds import named_rng

__all__ = ["simulate_events"]


def simulate_run(scenario, seed, replicate, row):
    """Events of a run, from the random stream that belongs to it; see `simulate_events`."""
    return simulate_events(scenario, row, named_rng(seed, scenario.name, row["OBS_ID"], replicate))


def simulate_events(scenario, row, rng):
    """Events of one run: a Poisson number, at exact positions, energies and times.

    Parameters
    ----------
    scenario : Scenario
        Its truth, sources and site.
    row : mapping
        A run, as `simbg.simulation.schedule.rows_of` has it. ``TRUE_NORM`` and ``TRUE_DRIFT`` in
        it, where they are, are the run's factor on the background and its relative change per
        hour.
    rng : numpy.random.Generator

    Returns
    -------
    events : Events
        In order of time.
    """
    gti, livetime = good_time(row), float(row["LIVETIME"])
    factor, pointing = BackgroundFactor(row, gti), pointing_of(row, scenario.site)
    background = scenario.truth.draw(livetime * factor.largest, float(row["ZEN_PNT"]), rng)
    time = _random_times(len(background[0]), gti, rng)
    events = Events(*background, time, gti=gti, pointing=pointing)
    if factor.slope:
        events = events.take(rng.random(time.size) * factor.largest < factor.at(time))
    if not scenario.sources:
        return events
    columns = [[events.energy, events.fov_lon, events.fov_lat, events.time]]
    for source in scenario.sources:
        energy, ra, dec = source.draw(livetime, rng)
        time = _random_times(energy.size, gti, rng)
        columns.append([energy, *pointing.sky_to_fov(ra, dec, time), time])
    merged = map(np.concatenate, zip(*columns, strict=True))
    events = Events(*merged, gti=gti, pointing=pointing)
    return events.take(np.argsort(events.time, kind="stable"))


class BackgroundFactor:
    """The background's factor during a run: norm · (1 + slope · (hours since its middle))."""

    def __init__(self, row, gti):
        self.norm, self.slope = row.get("TRUE_NORM", 1.0), row.get("TRUE_DRIFT", 0.0)
        self.middle = 0.5 * (gti[0, 0] + gti[-1, 1])
        ends = self.at(np.array([gti[0, 0], gti[-1, 1]]))
        self.largest = float(ends.max()) if self.slope else self.norm
        if ends.min() < 0:
            raise ValueError(f"TRUE_DRIFT: got {self.slope} / h, which makes a negative rate")

    def at(self, time):
        """The factor at times in s since `MJDREF`."""
        return self.norm * (1 + self.slope / 3600 * (time - self.middle))

    def mean(self, gti):
        """The mean over good time intervals, shape (n, 2)."""
        length = np.diff(gti)[:, 0]
        return float(np.average(self.at(gti.mean(axis=1)), weights=length))


def times_at(share, gti):
    """Times (s since `MJDREF`) at which these shares of the good time have passed."""
    length = np.diff(gti)[:, 0]
    start = np.cumsum(length) - length
    good = share * length.sum()
    which = np.searchsorted(start, good, side="right") - 1
    return gti[which, 0] + good - start[which]


def _random_times(n_events, gti, rng):
    """Ordered uniform times inside of the good time intervals."""
    # Gaps between ordered uniform times are exponential: ordered without a sort.
    gaps = np.cumsum(rng.standard_exponential(n_events + 1))
    return times_at(gaps[:-1] / gaps[-1], gti)
