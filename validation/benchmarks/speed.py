"""Speed and memory, each compared with a plain version that an astronomer would write.

Measurements have no effect on a test: speeds depend on the machine, ratios only a little. Time and
memory of other methods are measured by the leaderboard.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import Any

import click
import numpy as np
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers

from simbg.axes import Axes, edition2015_axes
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import MJDREF
from simbg.parallel.executors import workers
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.simulation.scenario import HESS_SITE, Scenario
from simbg.simulation.stores import REGIONS
from simbg.sky.pointing import Tracking
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.benchmarks.archive import measure_archive
from simbg.validation.benchmarks.method_cost import method_cost

__all__ = []

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
N_RUNS, N_FEW, N_PLAIN, N_EVENTS = 200, 20, 5, 10_000  # runs of stores, events of each run
AXES = edition2015_axes()
TRUTH = GaussianTruth(event_rate=N_EVENTS / 1500.0, zenith_slope=0.0)
SCENARIO = Scenario("benchmark", "", "", TRUTH, N_RUNS, (45.0, 90.0), (0.0, 360.0), 1500.0, 0.0)
# Two masks that overlap and rotate with the field.
MASKED = replace(SCENARIOS["source"], sources=())
LOCATION = EarthLocation(HESS_SITE.lon * u.deg, HESS_SITE.lat * u.deg, HESS_SITE.height * u.m)
EDITION_2015 = Groups()
PROCESSES = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
# Bins, events, whether a part of the camera is defective, cubes; targets in s and MB.
SPLINE = (
    *(((20, 60, 60), events, False, 5, 1.5, 250.0) for events in (1e4, 1e6, 1e8)),
    ((20, 60, 60), 1e6, True, 5, 3.0, 250.0),
    ((40, 100, 100), 1e6, False, 5, 6.0, 600.0),
    ((80, 200, 200), 1e6, False, 1, 50.0, 2500.0),
)
LINE = "{:44s} {:>8s} {:>8s} {:9s} {:>8s}  {}"


def measure_stores(folder: Path) -> Iterator[tuple[Any, ...]]:
    """Measure stores in an empty folder; times are medians of 3.

    Parameters
    ----------
    folder : Path
        Gets the stores.

    Yields
    ------
    measurement : tuple
        Arguments of `_report`.
    """
    # The peak memory of a process includes that of its parent, which is still small here.
    store, masked = folder / "store0", folder / "masked"
    simulating = median(_seconds(_simulate, folder / f"store{i}") for i in range(3))
    few, many = (_peak_memory(store, n) for n in (N_FEW, N_RUNS))
    reconstructing = _reconstruction_time(store, N_RUNS)
    plain = N_RUNS / N_PLAIN * _seconds(_plain_reconstruct, store)
    yield ("store simulated, reconstructed", "s", simulating + reconstructing, None, 8.0)
    yield (f"   reconstructed; plain: {N_PLAIN} runs", "s", reconstructing, plain, 4.0)
    yield (f"peak memory, {N_RUNS} runs", "MB", many, None, 500.0)
    yield (f"   relative to {N_FEW} runs", "", many / few, None, 1.1)
    _simulate(masked, MASKED)
    few, many = (_peak_memory(masked, n) for n in (N_FEW, N_RUNS))
    half, whole = (_reconstruction_time(masked, n) for n in (N_RUNS // 2, N_RUNS))
    yield ("masked store reconstructed", "s", whole, None, 8.0)
    yield ("   relative to half of the runs", "", whole / half, None, 2.1)
    yield (f"   peak memory relative to {N_FEW} runs", "", many / few, None, 1.1)


def measure_commands(folder: Path) -> Iterator[tuple[Any, ...]]:
    """Measure processor times of small commands, as `measure_stores` does; medians of 5.

    Parameters
    ----------
    folder : Path
        Gets the stores.

    Yields
    ------
    measurement : tuple
        Arguments of `_report`; the plain version is ``import numpy``.
    """
    small = replace(SCENARIO, truth=replace(TRUTH, event_rate=0.1))
    for name, n_runs in (("few", 4), ("many", N_RUNS)):
        Experiment.of(small, 0, n_runs).write(folder / name)
    numpy = median(_processor_time("-c", "import numpy") for _ in range(5))
    models: tuple[str, ...] = ("--exclude", "none", "--method", "histogram", "--fov", "4:24")
    models += ("--energy", "0.1:80:12", "--group-by", "runs:4", "--overwrite", "--jobs", "1")
    for words in (
        ("--help",),
        ("check", folder / "few", "--jobs", "1"),
        ("reconstruct", folder / "few", folder / "models", *models),
    ):
        seconds = median(_processor_time("-m", "simbg", *words) for _ in range(5))
        yield (f"simbg {words[0]}, ÷ import numpy", "", seconds / numpy, None, 7.0)
    bright = replace(SCENARIO, truth=replace(TRUTH, event_rate=8.5))
    Experiment.of(bright, 0, 40).write(folder / "bright")
    bins = Axes.regular(energy=(0.1, 80, 12), fov=(4, 24))
    seconds = median(_models(folder / "bright", bins) for _ in range(5))
    yield ("models of 40 runs, 510,000 events", "s", seconds, None, 0.6)
    times = [median(_one_group(folder / name) for _ in range(5)) for name in ("few", "many")]
    overhead = 1e3 * (times[1] - times[0]) / (N_RUNS - 4)
    yield ("a run of 150 events in a reconstruction", "ms", overhead, None, 4.0)


def _processor_time(*words):
    """Seconds of the processor that Python needs for some arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _one_group(store):
    """Seconds of the processor for one model of a store."""
    return _models(store, None, Groups((0, 90), (-90, 270)))


def _models(store, axes, groups=EDITION_2015):
    """Seconds of the processor for models of a store, in this process."""
    start, selection = time.process_time(), Selection(exclude=("none",), groups=groups)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        reconstruct_store(store, models, "gadf", "histogram", selection, axes=axes)
    return time.process_time() - start


def measure_functions() -> Iterator[tuple[Any, ...]]:
    """Measure speeds in memory, on one core, as `measure_stores` does; medians of 5."""
    rng = np.random.default_rng(0)
    events = TRUTH.sample(4_000_000, rng)
    to_fov = partial(_to_fov, Tracking(30.0, -25.0, HESS_SITE, MJDREF).sky_to_fov)
    plain_to_fov = partial(_to_fov, partial(_plain_to_fov, 30.0, -25.0))
    functions: list[tuple[Any, ...]] = [
        ("sampling", 10.0, (4_000_000, TRUTH.sample), (1_000_000, _plain_sample)),
        ("filling", 50.0, (4_000_000, lambda e: AXES.fill(*e)), (1_000_000, _plain_fill)),
        ("RA, Dec to field of view", 3.0, (2_000_000, to_fov), (20_000, plain_to_fov)),
    ]
    for name, target, *versions in functions:
        speeds = []
        for n, work in versions:
            arguments = (n, rng) if name == "sampling" else ([x[:n] for x in events],)
            work(*arguments)
            speeds.append(1e-6 * n / median(_seconds(work, *arguments) for _ in range(5)))
        yield (f"{name}, one core", "million/s", *speeds, target)


def measure_spline() -> Iterator[tuple[Any, ...]]:
    """Measure CPU time and memory of `spline` by bins and events, as `measure_stores` does."""
    method = "spline"
    for shape, events, sharp, repeats, most_seconds, most_megabytes in SPLINE:
        seconds, megabytes = method_cost(method, shape, events, sharp, repeats)
        bins = "×".join(map(str, shape))
        name = f"spline, {bins}, {events:.0e} events" + ", sharp" * sharp
        yield (name, "s", seconds, None, most_seconds)
        yield ("   peak memory", "MB", megabytes, None, most_megabytes)


def _simulate(outdir, scenario=SCENARIO):
    with workers() as executor:
        Experiment.of(scenario, 0, N_RUNS).write(outdir, executor=executor)


def _reconstruct(store, n_runs):
    """Run `simbg reconstruct --exclude none` in one group, with the regions of the store."""
    regions, groups = list(store.glob(REGIONS)), Groups((0, 90), (-90, 270))
    runs, sources = tuple(range(1, n_runs + 1)), "mask" if regions else "drop"
    selection = Selection(runs, ("none", *regions), groups, sources=sources)
    with workers() as executor, tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        reconstruct_store(store, models, "gadf", "histogram", selection, executor=executor)


def _reconstruction_time(store, n_runs):
    return median(_seconds(_reconstruct, store, n_runs) for _ in range(3))


def _seconds(function, *arguments):
    return timeit(partial(function, *arguments), number=1)


def _peak_memory(store, n_runs):
    """Peak memory (MB) of a process that reconstructs runs, and of its workers."""
    words = sys.executable, "-m", __spec__.name, "--peak-of", str(store), str(n_runs)
    return float(subprocess.check_output(words))


def _to_fov(convert, events):
    return convert(30 + events[1], -25 + events[2], events[0] * 17.0)


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


def _plain_reconstruct(store):
    counts = 0.0
    for path in sorted((store / "data").iterdir())[:N_PLAIN]:
        run = Table.read(path, hdu="EVENTS")
        energy, *sky = (np.asarray(run[name]) for name in ("ENERGY", "RA", "DEC", "TIME"))
        fov = _plain_to_fov(run.meta["RA_PNT"], run.meta["DEC_PNT"], *sky)
        counts = counts + _plain_fill((energy, *fov))


def _report(name, unit, value, plain, target):
    """Print a measurement, that of the plain version (None if there is none), and the target.

    A speed (unit per s) should be large, everything else small.
    """
    speed = unit.endswith("/s")
    ratio = plain and (value / plain if speed else plain / value)
    reached = value >= target if speed else value <= target
    texts = ["" if number is None else f"{number:.3g}" for number in (value, plain, ratio)]
    goal = f"{'≥' if speed else '≤'} {target:<4g} {'yes' if reached else 'no'}"
    click.echo(LINE.format(name, *texts[:2], unit, texts[2], goal))
    facts = {"name": name, "unit": unit, "value": value, "plain": plain, "target": target}
    return facts | {"ratio": ratio, "reached": reached}


@click.command()
@click.option(
    "--json", "json_", type=click.Path(), help="Also write the measurements to this file."
)
@click.option("--peak-of", hidden=True, type=(Path, int))
def benchmark(json_: str | None, peak_of: tuple[Path, int] | None) -> None:
    """Print speeds and memory, the same of a plain version, and whether targets are reached."""
    if peak_of:
        _reconstruct(*peak_of)
        own, child = (resource.getrusage(who).ru_maxrss for who in PROCESSES)
        click.echo((own + CORES * child) / (1e6 if sys.platform == "darwin" else 1e3))
        return
    click.echo(LINE.format(f"{CORES} cores", "ours", "plain", "", "ratio", "target"))
    with tempfile.TemporaryDirectory() as folder:
        measurements = chain(
            measure_stores(Path(folder)),
            measure_commands(Path(folder)),
            measure_archive(),
            measure_functions(),
            measure_spline(),
        )
        figures = [_report(*measurement) for measurement in measurements]
    if json_:
        text = json.dumps({"cores": CORES, "figures": figures}, indent=2)
        Path(json_).write_text(text + "\n")


if __name__ == "__main__":
    benchmark()
