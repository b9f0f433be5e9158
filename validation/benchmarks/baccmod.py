"""simbg beside BAccMod's 3D grid: time, memory and accuracy with masked regions, on one store.

40 runs follow one field through its culmination, pointed off it by turns. Each tool reads the
store and the regions and writes its model, in a process of its own, on the same axes. It measures
and does not gate. It needs gammapy and BAccMod, in an environment of their own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import click
import numpy as np
from astropy import units as u
from astropy.coordinates import spherical_to_cartesian
from astropy.utils import iers

from simbg.axes import Axes
from simbg.io.cubes import read_cube
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import MJDREF
from simbg.parallel import workers
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.scenarios import HESS_SITE, Scenario
from simbg.simulation.schedule import make_observation_table
from simbg.sky.pointing import Tracking
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.sources import offset_by
from simbg.validation.benchmarks.speed import CORES

__all__ = ["Equal", "benchmark", "measure"]

ONTIME, DEADC, N_EVENTS = 1680.0, 0.9, 12_500  # s, and events of a run
FIELD, WOBBLE = (95.0, -29.0), 0.6  # deg
# s since MJDREF: it culminates at 23:15 UTC on 2012-12-20, 6 deg from the zenith; 3.3 h before
# and after that it is 45 deg from the zenith.
CULMINATION, HOURS, SIDEREAL_DAY = 93741288.0, 3.3, 86164.0905
REGIONS = ((95.0, -29.0, 0.4), (96.2, -28.4, 0.5))  # RA, Dec, radius in deg
EDGES = np.linspace(-3.0, 3.0, 25)
AXES = Axes(np.geomspace(0.1, 100.0, 13), EDGES, EDGES)
# The rate is the same at all zenith angles: one model of all runs is then true for each of them.
# The peak lies off the centre, so that no flip and no swap goes unseen.
TRUTH = GaussianTruth(event_rate=N_EVENTS / (DEADC * ONTIME), zenith_slope=0.0, peak=(0.3, -0.5))
# Workers of each, and how often it is taken: the median of what is quick.
TOOLS = {"BAccMod": (1, 1), "BAccMod, coarse": (1, 1)}
TOOLS |= {f"simbg, --jobs {n}": (n, 5) for n in (CORES, 1)}
# By default it takes a step in time for each 0.16 pixels of its masks that the field turns (0.5
# was meant, but it counts π times too many); ten times coarser it is as good.
COARSE = {"max_fraction_pixel_rotation_fov": 5.0}
TARGET = 150.0  # times faster
PROCESSES = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
# What the table shows of a tool: heading and format.
COLUMNS = {
    "seconds": ("time s", ".2f"),  # without imports, as the next
    "cpu_seconds": ("CPU s", ".2f"),  # of all workers
    "megabytes": ("MB", ".0f"),  # peak, each worker as the largest
    # Model over truth if its seconds are these; GADF's are of ontime. 0.2 % are noise.
    "norm_ontime": ("ontime", ".4f"),
    "norm_livetime": ("livetime", ".4f"),
    "clock": ("per s of", "s"),
    # The one that fits; by it, in bins of 10 or more events, and in those that regions touch.
    "mean": ("mean z", ".3f"),
    "chi2": ("χ²/n", ".3f"),
    "touched_mean": ("touched", ".3f"),
    "touched_chi2": ("χ²/n", ".3f"),
    # Of touched pixels, rms, a part of the whole exposure; one event at a border makes 0.0001.
    "exposure_error": ("exp. err.", ".5f"),
    "not_finite": ("no rate", "d"),
}


class Equal(Histogram):
    """`histogram` over the axes that both tools are given."""

    def default_axes(self, observations):
        """The same whatever the observations."""
        return AXES


def measure(folder, n_runs):
    """What each tool takes in an empty folder, and how far its model is from the truth."""
    table = make_table(n_runs)
    Experiment(Scenario("", truth=TRUTH), table, 0).write(folder / "store")
    circles = "".join(f"circle({ra}, {dec}, {radius}d)\n" for ra, dec, radius in REGIONS)
    (folder / "regions.reg").write_text("icrs\n" + circles)
    taken = {}
    for name, (jobs, times) in TOOLS.items():
        words = "-m", __spec__.name, "--tool", name, str(folder / name), str(jobs)
        run = partial(subprocess.check_output, [sys.executable, *words])
        costs = [json.loads(run()) for _ in range(times)]
        taken[name] = {key: median(cost[key] for cost in costs) for key in costs[0]}
    # After the last process was started: one counts the memory of its parent for its own.
    kept = kept_fraction(table)
    outside = read_cube(_model(folder / name)).counts.sum(axis=0)
    for name, costs in taken.items():
        rate = read_cube(_model(folder / name)).rate
        yield {"name": name, **costs, **_accuracy(rate, kept, outside, n_runs)}


def make_table(n_runs):
    """Runs about one field, evenly in time, on one night after the other."""
    how = {"ontime": ONTIME, "deadtime_fraction": 1 - DEADC}
    table = make_observation_table(n_runs, np.random.default_rng(0), HESS_SITE, **how)
    runs = np.arange(n_runs)
    middle = CULMINATION + SIDEREAL_DAY * (np.linspace(-HOURS, HOURS, n_runs) / 24 + runs % 10)
    ra, dec = offset_by(*FIELD, 90.0 * (runs % 4), np.full(n_runs, WOBBLE))
    tracks = (Tracking(*pointing, HESS_SITE, MJDREF) for pointing in zip(ra, dec, strict=True))
    alt, az = np.hstack([t.altaz(middle[[i]]) for i, t in enumerate(tracks)])
    columns = {"RA_PNT": ra, "DEC_PNT": dec, "ALT_PNT": alt, "AZ_PNT": az, "ZEN_PNT": 90 - alt}
    columns |= {"TSTART": middle - ONTIME / 2, "TSTOP": middle + ONTIME / 2}
    for name in columns:
        table[name][:] = columns[name]
    table["SAFE_ENERGY_LO"] = np.full(n_runs, AXES.energy[0]) * u.TeV
    return table


def kept_fraction(table, step=10.0, n_points=10):
    """Share of each pixel's exposure outside of the regions, by brute force.

    At points in time every ``step`` s, and at ``n_points`` ² points a pixel that move from one
    to the next: not the raster that BAccMod's masks have, whose error it would share.
    """
    n, fine = EDGES.size - 1, (EDGES.size - 1) * n_points
    width = (EDGES[-1] - EDGES[0]) / fine
    lon, lat = np.meshgrid(*2 * (EDGES[0] + width * (np.arange(fine) + 0.5),), indexing="ij")
    points, kept = _unit(lon, lat), np.zeros(lon.shape)
    for row in table:
        tracking = Tracking(row["RA_PNT"], row["DEC_PNT"], HESS_SITE, MJDREF)
        seconds = row["TSTART"] + np.arange(0.5 * step, ONTIME, step)
        # We move the regions instead, by less than a point's width, in golden steps.
        shifts = width * (np.outer((0.7549, 0.5698), np.arange(seconds.size)) % 1 - 0.5)
        centers = [
            (_unit(*(tracking.sky_to_fov(ra, dec, seconds) + shifts)), np.cos(np.deg2rad(radius)))
            for ra, dec, radius in REGIONS
        ]
        for k in range(seconds.size):
            kept += np.all([points @ center[k] < cosine for center, cosine in centers], axis=0)
    return kept.reshape(n, n_points, n, n_points).mean(axis=(1, 3)) / (len(table) * seconds.size)


def _unit(lon, lat):
    return np.stack(spherical_to_cartesian(1.0, *np.deg2rad([lat, lon])), axis=-1)


def _accuracy(rate, kept, outside, n_runs):
    """The columns that are about a model; a pull's variance is that of the events outside."""
    expected = TRUTH.integrate(AXES) * n_runs * ONTIME * DEADC
    many = (expected * kept >= 10) & np.isfinite(rate)
    seconds = {"ontime": n_runs * ONTIME, "livetime": n_runs * ONTIME * DEADC}
    events = {clock: rate * AXES.volume * time for clock, time in seconds.items()}
    norms = {clock: n[many].sum() / expected[many].sum() for clock, n in events.items()}
    clock = min(norms, key=lambda clock: abs(norms[clock] - 1))
    pulls = (events[clock] - expected) / np.sqrt(expected / np.fmax(kept, 1e-9))
    facts = {"clock": clock, "not_finite": int((~np.isfinite(rate)).sum())}
    facts |= {f"norm_{name}": float(norm) for name, norm in norms.items()}
    for kind, bins in (("", many), ("touched_", many & (kept < 1))):
        mean, chi2 = float(pulls[bins].mean()), float((pulls[bins] ** 2).mean())
        facts |= {f"{kind}n": int(bins.sum()), f"{kind}mean": mean, f"{kind}chi2": chi2}
    # What is left of a pixel's events, over what the tool makes of them, is its exposure.
    image = events[clock].sum(axis=0)
    error = (outside / np.where(image > 0, image, np.nan) - kept)[kept < 1]
    return facts | {"exposure_error": float(np.sqrt(np.nanmean(error**2)))}


def _model(out):
    return out / "bg_cube_model_group0_gadf.fits.gz"


def run_simbg(folder, out, jobs):
    """What `simbg reconstruct --exclude none --exclude FILE --sources mask` does, in one group."""
    exclude = "none", str(folder / "regions.reg")
    selection = Selection(None, exclude, Groups((0, 90), (-90, 270)), sources="mask")
    method = "simbg.validation.benchmarks.baccmod:Equal"
    with workers(jobs) as executor:
        reconstruct_store(folder / "store", out, "gadf", method, selection, True, executor)


def run_baccmod(folder, out, **settings):
    """What its readme says: one model of all runs."""
    from baccmod import Grid3DAcceptanceMapCreator
    from gammapy.data import DataStore
    from gammapy.maps import MapAxis
    from regions import Regions

    store = DataStore.from_dir(folder / "store")
    energy = MapAxis.from_energy_edges(AXES.energy * u.TeV, name="energy")
    offset = MapAxis.from_edges(EDGES[EDGES >= 0] * u.deg, name="offset")
    settings["exclude_regions"] = list(Regions.read(folder / "regions.reg", format="ds9"))
    creator = Grid3DAcceptanceMapCreator(energy, offset, **settings)
    model = creator.create_acceptance_model(store.get_observations(required_irf="all-optional"))
    out.mkdir()
    model.to_table_hdu().writeto(_model(out))


def _costs(tool, out, jobs):
    """The columns that are about a process, measured in it."""
    run = partial(run_simbg, jobs=jobs)
    if tool.startswith("BAccMod"):
        import baccmod  # noqa: F401, and gammapy with it, before the clock runs

        run = partial(run_baccmod, **(COARSE if "coarse" in tool else {}))
    start, cpu = time.perf_counter(), -_cpu_seconds()
    # A time-out of the network would count as its time.
    with iers.conf.set_temp("auto_download", False):
        run(out.parent, out)
    costs = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu + _cpu_seconds()}
    own, children = (resource.getrusage(who).ru_maxrss for who in PROCESSES)
    peak = (own + jobs * children) / (1e6 if sys.platform == "darwin" else 1e3)
    return costs | {"megabytes": peak}


def _cpu_seconds():
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, PROCESSES))


@click.command()
@click.option("--runs", default=40, show_default=True, help="Runs of 12,500 events in the store.")
@click.option("--json", "json_", type=click.Path(), help="Write the results to this file, too.")
@click.option("--tool", hidden=True, nargs=3, type=(str, Path, int))
def benchmark(runs, json_, tool):
    """Print what BAccMod and simbg take for a masked model, and how near it comes to the truth."""
    if tool:
        click.echo(json.dumps(_costs(*tool)))
        return
    click.echo(f"{'':17s}" + "".join(f"{head:>10s}" for head, _ in COLUMNS.values()))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for result in measure(Path(folder), runs):
            results.append(result)
            values = (f"{result[key]:{form}}" for key, (_, form) in COLUMNS.items())
            click.echo(f"{result['name']:17s}" + "".join(f"{value:>10s}" for value in values))
    click.echo(f"{result['n']} bins, of which regions touch {result['touched_n']}")
    foreign, coarse, ours = (r["seconds"] for r in results[:3])
    faster = f"{foreign / ours:.0f} times faster than BAccMod, {coarse / ours:.0f} than coarse"
    click.echo(f"{faster}; ≥ {TARGET:g}: {'yes' if foreign >= TARGET * ours else 'no'}")
    if json_:
        Path(json_).write_text(json.dumps({"runs": runs, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    benchmark()
