"""Small reference files for unit tests: responses, an event list, and a store of three runs."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import write_bkg_2d
from simbg.io.cubes import write_cube
from simbg.io.gadf_write import write_events
from simbg.io.repack import repack
from simbg.portable import geomspace, rounded
from simbg.rings import ring_average
from simbg.scenarios import Scenario
from simbg.simulate import named_rng, rows_of, simulate_events, write_dataset
from simbg.truth import GaussianTruth

__all__ = ["BKG_2D", "BKG_3D", "EVENTS", "RUNS", "SMALL", "STORE", "write_small"]

BKG_2D, EVENTS, STORE = "bkg_2d.fits.gz", "events.fits.gz", "store"
# Peaks off the centre, and in the two files on other sides of it.
BKG_3D = {
    "bkg_3d_altaz.fits.gz": ("ALTAZ", (0.6, -0.4)),
    "bkg_3d_radec.fits.gz": ("RADEC", (-0.3, 0.8)),
}
# Where files are, relative to the folder of all small ones, as regular expressions.
SMALL = (
    *(name.replace(".", r"\.") for name in (BKG_2D, EVENTS, *BKG_3D)),
    r"store/(hdu|obs)-index\.fits\.gz",
    r"store/data/simbg_obs_\d{6}\.fits\.gz",
)
# About a hundred events a run. The first three runs are the store, the fourth the event list.
RUNS = Scenario(
    "fixtures",
    "Small reference files",
    "Few events, and a peak off the centre.",
    truth=GaussianTruth(index=2.7, event_rate=0.06, sigma=(1.5, 2.5), peak=(0.6, -0.4)),
    n_obs=4,
    alt_range=(50.0, 70.0),
    ontime=1800.0,
    target=(83.0, -40.0),
)
N_STORE = 3
ZENITH = 20.0  # deg, of the responses
OFFSETS = (0.0, 0.5, 1.0, 1.5, 2.25, 3.0)  # deg, one ring more than energies


def write_small(folder, seed):
    """Write all small files; the same seed makes the same bytes.

    Parameters
    ----------
    folder : Path
        It is there and empty.
    seed : int
    """
    alive = 1 - RUNS.deadtime_fraction
    meta = {"DEADC": alive, "ZEN_PNT": ZENITH}
    rings = ring_average(replace(RUNS.truth, peak=(0.0, 0.0)), energies(), OFFSETS, ZENITH)
    write_bkg_2d(folder / BKG_2D, energies(), OFFSETS, alive * rings, meta)
    for name, (align, peak) in BKG_3D.items():
        # Three different lengths, and no edge where the mirrored axis has one.
        axes = Axes(energies(), np.linspace(-2, 2.5, 7), np.linspace(-3, 2, 6), align)
        rate = replace(RUNS.truth, peak=peak).cube(axes, ZENITH).rate
        write_cube(folder / name, BackgroundCube(axes, alive * rate, clock="ontime", meta=meta))
    _write_runs(folder, seed)
    for path in folder.rglob("*.gz"):
        repack(path)


def energies():
    """Four bins of 0.1 to 100 TeV."""
    return geomspace(0.1, 100, 5)


def _write_runs(folder, seed):
    table = RUNS.table(seed)
    for column in table.itercols():
        if column.dtype.kind == "f":
            # Before anything is made of them: what they are in headers and in events agrees.
            column[:] = rounded(column, str(column.unit or ""))
    about = RUNS.truth, table[:N_STORE], RUNS.site, seed, RUNS.name
    write_dataset(folder / STORE, *about)
    row = rows_of(table)[N_STORE]
    rng = named_rng(seed, RUNS.name, row["OBS_ID"], 0)
    write_events(folder, row, simulate_events(RUNS.truth, row, rng), RUNS.site)
    (written,) = (folder / "data").iterdir()
    os.replace(written, folder / EVENTS)
    (folder / "data").rmdir()
