"""The stores of the conformance suite: the same runs and events, with one thing changed in each.

What a change must do to a rebuilt cube is then known, most of it without any noise, and
whatever a method does besides (smoothing, fits, rings) is in both cubes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from astropy.table import Table

from simbg.axes import Axes
from simbg.io.gadf_writer import GadfWriter
from simbg.io.region_files import write_regions
from simbg.observations.observation import Events, good_time
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenarios import HESS_SITE, Scenario
from simbg.simulation.schedule import make_observation_table
from simbg.simulation.simulate import REGIONS, named_rng, rows_of, simulate_events
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource

__all__ = ["AXES", "CLUMP", "FEW", "LIVE", "PLACE", "TRIALS", "expected", "write_trial"]

# Three different lengths, and pixels of half a degree in both directions.
AXES = Axes(np.geomspace(0.2, 20, 6), np.linspace(-3, 3, 13), np.linspace(-2.5, 2.5, 11))
# The peak lies off the centre: no flip and no swap is the same. Half of the events lie within
# the axes. No run differs from another by its zenith angle.
TRUTH = GaussianTruth(
    index=2.5,
    event_rate=15.0,
    energy_range=(0.15, 40.0),
    sigma=(2.0, 3.0),
    peak=(0.6, -0.9),
    zenith_slope=0.0,
)
N_RUNS, ONTIME = 6, 600.0  # s
DEAD = 0.1, 0.4
TARGET = 83.0, -30.0
# Events added to each run in one bin: energy (TeV), fov_lon and fov_lat (deg), each uniform. Their
# middle is 1.4 deg or more from where any flip or swap would have it, and in the last bin but one.
CLUMP = 200
PLACE = (4.0, 6.0), (2.0, 2.5), (-1.5, -0.5)
# What is left of the livetime, of events below a threshold, and of all.
LIVE, BELOW, FEW = 0.5, 1 / 3, 0.01
# s between good time intervals; in the long ones the field turns by tens of deg.
GAP, LONG = 120.0, 1500.0
# A circle at the centre hides pixels wholly. Another lies aside, with a bright source in it.
ASIDE = TARGET[0], TARGET[1] + 1.6
MASKS = circle(*TARGET, 0.8), circle(*ASIDE, 0.7)
SOURCES = (GammaSource("source", *ASIDE, flux=2e-9, energy_range=(0.2, 100.0)),)


@dataclass(frozen=True)
class Trial:
    """A store.

    Parameters
    ----------
    before, after : callable
        (row) → row before its events are drawn; (row, events, rng) → row, events afterwards.
    sources, regions : tuple
    order : int
        1, or −1 if the last run comes first.
    empty : bool
        Whether its index lists no run.
    cut : bool
        Whether the file of a run ends early.
    """

    before: Callable = lambda row: row
    after: Callable = lambda row, events, rng: (row, events)
    sources: tuple = ()
    regions: tuple = ()
    order: int = 1
    empty: bool = False
    cut: bool = False


def _with_gaps(row, gap=GAP):
    """Three good time intervals, ``gap`` s apart."""
    return row | {"N_GTI": 3, "GTI_GAP": gap, "TSTOP": row["TSTOP"] + 2 * gap}


def _with_strays(row, events, rng):
    """As many events again, in the gaps between."""
    gti = good_time(row)
    first, last = gti[:-1, 1] + 1.0, gti[1:, 0] - 1.0
    gap = rng.integers(len(first), size=len(events))
    strays = replace(events, time=rng.uniform(first[gap], last[gap]))
    return row, _joined(events, strays)


def _with_clump(row, events, rng):
    energy, lon, lat = (rng.uniform(*ends, CLUMP) for ends in PLACE)
    time = rng.uniform(row["TSTART"], row["TSTOP"], CLUMP)
    return row, _joined(events, Events(energy, lon, lat, time))


def _less_alive(row, events, rng):
    return row | {name: LIVE * row[name] for name in ("LIVETIME", "DEADC")}, events


def _high_threshold(row):
    """Every other run has one at the third edge in energy."""
    edge = AXES.energy[2 if row["OBS_ID"] % 2 else 0]
    return row | {"SAFE_ENERGY_LO": float(edge)}


def _thinned(row, events, rng):
    """A part of what lies below the threshold."""
    kept = events.energy >= row["SAFE_ENERGY_LO"]
    return row, events.take(kept | (rng.random(len(events)) < BELOW))


def _few(row, events, rng):
    return row, events.take(rng.random(len(events)) < FEW)


def _joined(one, other):
    names = ("energy", "fov_lon", "fov_lat", "time")
    parts = ([getattr(events, name) for events in (one, other)] for name in names)
    joined = Events(*map(np.concatenate, parts))
    return joined.take(np.argsort(joined.time, kind="stable"))


TRIALS = {
    "plain": Trial(),
    "reversed": Trial(order=-1),
    "clump": Trial(after=_with_clump),
    "less alive": Trial(after=_less_alive),
    "gaps": Trial(before=_with_gaps),
    "strays": Trial(before=_with_gaps, after=_with_strays),
    "thresholds": Trial(before=_high_threshold, after=_thinned),
    "masks": Trial(sources=SOURCES, regions=MASKS),
    "turning masks": Trial(partial(_with_gaps, gap=LONG), sources=SOURCES, regions=MASKS),
    "few events": Trial(after=_few),
    "no runs": Trial(empty=True),
    "broken file": Trial(cut=True),
}


def write_trial(folder, seed, name):
    """Write the store of a trial.

    Parameters
    ----------
    folder : path-like
        The store becomes a folder of its own there.
    seed : int
    name : str
        One of `TRIALS`.

    Returns
    -------
    store : Path
    """
    trial, store = TRIALS[name], Path(folder) / name.replace(" ", "-")
    (store / "data").mkdir(parents=True)
    writer, table = GadfWriter(store, HESS_SITE), _runs(seed)[:: trial.order]
    rows = []
    for row in map(trial.before, rows_of(table)):
        rng = partial(named_rng, seed, "conformance")
        events = simulate_events(TRUTH, row, rng(row["OBS_ID"]), trial.sources, HESS_SITE)
        row, events = trial.after(row, events, rng(row["OBS_ID"], 1))
        writer.write_run(row, events)
        rows.append(row)
    writer.write_index(_with_rows(table, rows))
    for path in store.glob("*-index*") if trial.empty else ():
        Table.read(path)[:0].write(path, overwrite=True)
    if trial.regions:
        write_regions(store / REGIONS, trial.regions)
    if trial.cut:
        path = sorted((store / "data").iterdir())[N_RUNS // 2]
        path.write_bytes(path.read_bytes()[:4000])
    return store


@lru_cache(maxsize=16)
def expected(seed, axes, name="plain"):
    """Exact expectation of what a trial's background leaves in each bin, at its exposure.

    Returns
    -------
    stack : StackedCounts
    """
    table = _runs(seed)
    table = _with_rows(table, list(map(TRIALS[name].before, rows_of(table))))
    scenario = Scenario("conformance", truth=TRUTH, regions=TRIALS[name].regions)
    return Experiment(scenario, table, seed).expected(axes)


def _runs(seed):
    how = {"ontime": ONTIME, "deadtime_fraction": DEAD, "alt_range": (75.0, 77.0)}
    rng = named_rng(seed, "conformance runs")
    table = make_observation_table(N_RUNS, rng, HESS_SITE, target=TARGET, **how)
    table["SAFE_ENERGY_LO"] = np.full(N_RUNS, AXES.energy[0])
    return table


def _with_rows(table, rows):
    """The table with what its rows have become."""
    new = Table({name: [row[name] for row in rows] for name in rows[0]})
    for name in table.colnames:
        new[name].unit = table[name].unit
    return new
