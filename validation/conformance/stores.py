"""Stores of the conformance checks: the same runs and events, with one change in each.

The effect of a change on a cube is then known, in most cases without noise. Effects of smoothing,
fits and rings of a method are the same in all of its cubes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from simbg.axes import Axes
from simbg.io.gadf.writer import GadfWriter
from simbg.io.region_files import write_regions
from simbg.observations.exposure import StackedCounts
from simbg.observations.observation import Events, good_time
from simbg.simulation.events import simulate_events
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenario import Scenario
from simbg.simulation.schedule import rows_of
from simbg.simulation.seeds import named_rng
from simbg.simulation.stores import REGIONS
from simbg.sky.regions import circle
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import GammaSource

__all__ = ["AXES", "VARIANTS", "expected_counts", "write_variant"]

# Three different lengths, and pixels of half a degree in both directions.
AXES = Axes(np.geomspace(0.2, 20, 6), np.linspace(-3, 3, 13), np.linspace(-2.5, 2.5, 11))
# The maximum is off the centre, so that flips and swaps change the field. Half of the events are
# inside the axes. The rate does not depend on the zenith angle.
TRUTH = GaussianTruth(
    index=2.5,
    event_rate=15.0,
    energy_range=(0.15, 40.0),
    sigma=(2.0, 3.0),
    peak=(0.6, -0.9),
    zenith_slope=0.0,
)
TARGET = 83.0, -30.0
PLAIN = Scenario(
    "conformance",
    truth=TRUTH,
    n_obs=6,
    alt_range=(75.0, 77.0),
    az_range=(0.0, 360.0),
    ontime=600.0,
    deadtime_fraction=(0.1, 0.4),
    energy_threshold=float(AXES.energy[0]),
    target=TARGET,
    wobble=0.0,
)
plain_runs = lru_cache(maxsize=2)(PLAIN.table)
# Events added to each run, uniform in energy (TeV), fov_lon and fov_lat (deg). All are in the
# fourth of five energy bins; a flip or a swap moves their centre by 1.4 deg or more.
N_CLUMP = 200
CLUMP = (4.0, 6.0), (2.0, 2.5), (-1.5, -0.5)
# Remaining fractions: of the livetime, of the events below a threshold, and of all events.
LIVE, BELOW, FEW = 0.5, 1 / 3, 0.01
# Time between good time intervals, s. During the long gaps, the field rotates by tens of deg.
GAP, LONG_GAP = 120.0, 1500.0
# A circle at the centre masks whole pixels. Another one beside it contains a bright source.
ASIDE = TARGET[0], TARGET[1] + 1.6
MASKS = circle(*TARGET, 0.8), circle(*ASIDE, 0.7)
SOURCES = (GammaSource("source", *ASIDE, flux=2e-9, energy_range=(0.2, 100.0)),)


@dataclass(frozen=True)
class Variant:
    """A store, defined by its difference from the plain one.

    Parameters
    ----------
    prepare : callable
        Function that changes the table of runs, in place, before events are drawn.
    change : callable
        Function of (run, its events, rng) that returns the events of the store.
    live_fraction : float
        Factor of the livetime that the store states.
    masked : bool
        Whether regions are excluded, of which one contains a source.
    spoil : callable
        Function that changes the files of the finished store.
    """

    prepare: Callable[[Table], None] = lambda runs: None
    change: Callable[..., Events] = lambda run, events, rng: events
    live_fraction: float = 1.0
    masked: bool = False
    spoil: Callable[[Path], None] = lambda store: None

    @property
    def regions(self) -> tuple[Any, ...]:
        """Excluded regions."""
        return MASKS if self.masked else ()

    def runs(self, seed: int) -> Table:
        """The table of runs from which events are drawn."""
        runs = plain_runs(seed).copy()
        self.prepare(runs)
        return runs


def _open_gaps(runs, gap=GAP):
    """Three good time intervals, ``gap`` s apart."""
    runs["N_GTI"], runs["GTI_GAP"] = 3, gap
    runs["TSTOP"] += 2 * gap


def _raise_threshold(runs):
    """Every second run has its threshold at the third energy edge."""
    runs["SAFE_ENERGY_LO"] = AXES.energy[np.where(runs["OBS_ID"] % 2, 2, 0)]


def _fill_gaps(run, events, rng):
    """The same number of additional events, between the good time intervals."""
    gti = good_time(run)
    first, last = gti[:-1, 1] + 1.0, gti[1:, 0] - 1.0
    gap = rng.integers(len(first), size=len(events))
    return _joined(events, replace(events, time=rng.uniform(first[gap], last[gap])))


def _add_clump(run, events, rng):
    energy, lon, lat = (rng.uniform(*ends, N_CLUMP) for ends in CLUMP)
    time = rng.uniform(run["TSTART"], run["TSTOP"], N_CLUMP)
    return _joined(events, Events(energy, lon, lat, time))


def _thin_below_threshold(run, events, rng):
    above = events.energy >= run["SAFE_ENERGY_LO"]
    return events.take(above | (rng.random(len(events)) < BELOW))


def _thin(run, events, rng):
    return events.take(rng.random(len(events)) < FEW)


def _joined(*parts):
    names = "energy", "fov_lon", "fov_lat", "time"
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    joined = Events(**columns)
    return joined.take(np.argsort(np.asarray(joined.time), kind="stable"))


def _empty_index(store):
    for path in store.glob("*-index*"):
        Table.read(path)[:0].write(path, overwrite=True)


def _truncate_run(store):
    path = sorted((store / "data").iterdir())[PLAIN.n_obs // 2]
    path.write_bytes(path.read_bytes()[:4000])


VARIANTS = {
    "plain": Variant(),
    "reversed": Variant(Table.reverse),
    "clump": Variant(change=_add_clump),
    "less alive": Variant(live_fraction=LIVE),
    "gaps": Variant(_open_gaps),
    "strays": Variant(_open_gaps, _fill_gaps),
    "thresholds": Variant(_raise_threshold, _thin_below_threshold),
    "masks": Variant(masked=True),
    "turning masks": Variant(partial(_open_gaps, gap=LONG_GAP), masked=True),
    "few events": Variant(change=_thin),
    "no runs": Variant(spoil=_empty_index),
    "broken file": Variant(spoil=_truncate_run),
}


def write_variant(folder: Path | str, seed: int, name: str) -> Path:
    """Write a store.

    Parameters
    ----------
    folder : path-like
        Folder in which a new folder with the store is made.
    seed : int
        Seed of the runs and events.
    name : str
        One of `VARIANTS`.

    Returns
    -------
    store : Path
        Folder of the store.
    """
    variant, store = VARIANTS[name], Path(folder) / name.replace(" ", "-")
    store.mkdir()
    writer, runs = GadfWriter(store, PLAIN.site), variant.runs(seed)
    stated = runs.copy()
    for column in ("LIVETIME", "DEADC"):
        stated[column] *= variant.live_fraction
    scenario = replace(PLAIN, sources=SOURCES if variant.masked else ())
    for run, row in zip(rows_of(runs), rows_of(stated), strict=True):
        rng = partial(named_rng, seed, PLAIN.name, run["OBS_ID"])
        events = simulate_events(scenario, run, rng())
        writer.write_run(row, variant.change(run, events, rng(1)))
    writer.write_index(stated)
    if variant.regions:
        write_regions(store / REGIONS, variant.regions)
    variant.spoil(store)
    return store


@lru_cache(maxsize=16)
def expected_counts(seed: int, axes: Axes, name: str = "plain") -> StackedCounts:
    """Exact expectation of the background of a store, outside its excluded regions.

    Parameters
    ----------
    seed : int
        Seed of the runs.
    axes : Axes
        Bins of the expectation.
    name : str
        One of `VARIANTS`.

    Returns
    -------
    stack : StackedCounts
        Counts and exposure.
    """
    scenario = replace(PLAIN, regions=VARIANTS[name].regions)
    return Experiment(scenario, VARIANTS[name].runs(seed), seed).expected(axes)
