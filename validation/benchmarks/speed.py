"""Speed and memory, each beside a plain version that an astronomer would write, in one run.

It measures and does not gate: speeds depend on the machine, ratios hardly do.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from timeit import timeit

import click
import numpy as np
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers

from simbg.axes import edition2015_axes
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import MJDREF
from simbg.parallel import workers
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.scenario import HESS_SITE, Scenario
from simbg.simulation.stores import REGIONS
from simbg.sky.pointing import Tracking
from simbg.truth.gaussian import GaussianTruth

__all__ = ["Figure", "benchmark", "measure"]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
N_RUNS, N_EVENTS = 200, 10_000  # of the store
AXES = edition2015_axes()
TRUTH = GaussianTruth(event_rate=N_EVENTS / 1500.0, zenith_slope=0.0)
SCENARIO = Scenario("benchmark", "", "", TRUTH, N_RUNS, (45.0, 90.0), (0.0, 360.0), 1500.0, 0.0)
# Two masks that overlap and turn through the field.
MASKED = replace(SCENARIOS["source"], sources=())
LOCATION = EarthLocation(HESS_SITE.lon * u.deg, HESS_SITE.lat * u.deg, HESS_SITE.height * u.m)


@dataclass(frozen=True)
class Figure:
    """One measurement, that of the plain version (None: there is none), and what we aim for.

    A speed (per s) is better when it is larger, all else when it is smaller.
    """

    name: str
    unit: str
    value: float
    plain: float | None
    target: float

    @property
    def _sign(self):
        return 1 if self.unit.endswith("/s") else -1

    @property
    def ratio(self):
        """How many times better than the plain version."""
        return None if self.plain is None else (self.value / self.plain) ** self._sign

    @property
    def reached(self):
        """Whether the value is at the target or better."""
        return self._sign * self.value >= self._sign * self.target

    @property
    def text(self):
        """A line of the table."""
        plain, ratio = ("" if x is None else f"{x:.3g}" for x in (self.plain, self.ratio))
        line = f"{self.name:36s} {self.value:8.3g} {plain:>8s} {self.unit:9s} {ratio:>8s}  "
        target = f"{'≥' if self._sign > 0 else '≤'} {self.target:g}"
        return f"{line}{target:6s} {'yes' if self.reached else 'no'}"


def measure(folder):
    """All figures, one by one: medians, of 3 for the store and of 5 in memory.

    Parameters
    ----------
    folder : Path
        Empty, for the store.
    """
    # Memory first: a process that is started counts that of its parent for its own.
    store, n_plain = folder / "store0", 5
    simulating = [_seconds(_simulate, folder / f"store{i}") for i in range(3)]
    few, many = (_peak_memory(store, n) for n in (N_RUNS // 10, N_RUNS))
    rebuilding = [_seconds(_rebuild, store, folder / f"models{i}") for i in range(3)]
    plain = N_RUNS / n_plain * _seconds(_plain_rebuild, store, n_plain)
    once, again = median(simulating), median(rebuilding)
    yield Figure("store simulated and rebuilt", "s", once + again, None, 8.0)
    yield Figure(f"   rebuilt; plain: {n_plain} runs, scaled", "s", again, plain, 4.0)
    yield Figure(f"peak memory, {N_RUNS} runs", "MB", many, None, 500.0)
    yield Figure(f"   in that of {N_RUNS // 10} runs", "", many / few, None, 1.1)
    masked = folder / "masked"
    _simulate(masked, MASKED)
    few, many = (_peak_memory(masked, n) for n in (N_RUNS // 10, N_RUNS))
    half, whole = (
        median(_seconds(_rebuild, masked, folder / f"masked{n}-{i}", n) for i in range(3))
        for n in (N_RUNS // 2, N_RUNS)
    )
    yield Figure("store rebuilt behind turning masks", "s", whole, None, 8.0)
    yield Figure("   in the time for half of the runs", "", whole / half, None, 2.1)
    yield Figure(f"   peak memory in that of {N_RUNS // 10} runs", "", many / few, None, 1.1)
    rng = np.random.default_rng(0)
    events = TRUTH.sample(4_000_000, rng)
    place = partial(_placed, Tracking(30.0, -25.0, HESS_SITE, MJDREF).sky_to_fov)
    plain_place = partial(_placed, partial(_plain_to_fov, 30.0, -25.0))
    for name, target, n_ours, function, n_theirs, other in (
        ("sampling, a core", 10.0, 4_000_000, TRUTH.sample, 1_000_000, _plain_sample),
        ("filling, a core", 50.0, 4_000_000, lambda e: AXES.fill(*e), 1_000_000, _plain_fill),
        ("RA, Dec into the field, a core", 3.0, 2_000_000, place, 20_000, plain_place),
    ):
        speeds = []
        for n, work in ((n_ours, function), (n_theirs, other)):
            arguments = (n, rng) if name.startswith("sampling") else ([x[:n] for x in events],)
            work(*arguments)
            speeds.append(1e-6 * n / median(_seconds(work, *arguments) for _ in range(5)))
        yield Figure(name, "million/s", *speeds, target)


def _simulate(outdir, scenario=SCENARIO):
    with workers() as executor:
        Experiment.of(scenario, 0, N_RUNS).write(outdir, executor=executor)


def _rebuild(store, outdir, n_runs=N_RUNS):
    """What `simbg reconstruct --exclude none` does, in one group, with the regions it finds."""
    regions = [path for path in [Path(store, REGIONS)] if path.is_file()]
    selection = Selection(
        tuple(range(1, n_runs + 1)),
        ("none", *regions),
        Groups((0, 90), (-90, 270)),
        sources="mask" if regions else "drop",
    )
    with workers() as executor:
        reconstruct_store(store, outdir, "gadf", "histogram", selection, executor=executor)


def _peak_memory(store, n_runs):
    """Most memory (MB) of a process that rebuilds runs and its workers, each as the largest."""
    command = [
        sys.executable,
        "-m",
        "simbg.validation.benchmarks.speed",
        "--peak-of",
        store,
        "--runs",
        n_runs,
    ]
    return float(subprocess.check_output([str(word) for word in command]))


def _placed(place, events):
    return place(30 + events[1], -25 + events[2], events[0] * 17.0)


def _plain_sample(n, rng, k=1 - TRUTH.index):
    low, high = (e**k for e in TRUTH.energy_range)
    energy = (low + rng.random(n) * (high - low)) ** (1 / k)
    return energy, *(rng.normal(0, TRUTH.width(energy)) for _ in range(2))


def _plain_fill(events):
    return np.histogramdd(events, (AXES.energy, AXES.fov_lon, AXES.fov_lat))[0]


def _plain_to_fov(ra_pnt, dec_pnt, ra, dec, seconds):
    when = Time(MJDREF, format="mjd", scale="tt") + seconds * u.s
    with iers.conf.set_temp("auto_download", False):
        frame = AltAz(obstime=when, location=LOCATION)
        pointing = SkyCoord(ra_pnt * u.deg, dec_pnt * u.deg).transform_to(frame)
        seen = SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame)
        offset = seen.transform_to(pointing.skyoffset_frame())
    return -offset.lon.wrap_at("180d").deg, offset.lat.deg


def _plain_rebuild(store, n_runs):
    counts = 0.0
    for path in sorted((store / "data").iterdir())[:n_runs]:
        run = Table.read(path, hdu="EVENTS")
        energy, *place = (np.asarray(run[name]) for name in ("ENERGY", "RA", "DEC", "TIME"))
        fov = _plain_to_fov(run.meta["RA_PNT"], run.meta["DEC_PNT"], *place)
        counts = counts + _plain_fill((energy, *fov))


def _seconds(function, *arguments):
    return timeit(partial(function, *arguments), number=1)


@click.command()
@click.option("--json", "json_", type=click.Path(), help="Write the figures to this file, too.")
@click.option("--peak-of", hidden=True)
@click.option("--runs", type=int, hidden=True)
def benchmark(json_, peak_of, runs):
    """Print speeds and memory, each beside a plain version's, and whether it is on target."""
    with tempfile.TemporaryDirectory() as folder:
        if peak_of:
            _rebuild(Path(peak_of), Path(folder) / "models", runs)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            click.echo((own + CORES * child) / (1e6 if sys.platform == "darwin" else 1e3))
            return
        head = "ours", "plain", "", "ratio"
        click.echo("{:36s} {:>8s} {:>8s} {:9s} {:>8s}  target".format(f"{CORES} cores", *head))
        figures = []
        for f in measure(Path(folder)):
            figures.append(asdict(f) | {"ratio": f.ratio, "reached": f.reached})
            click.echo(f.text)
    if json_:
        Path(json_).write_text(json.dumps({"cores": CORES, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    benchmark()
