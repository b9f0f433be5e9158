#!/usr/bin/env python3
"""A tool that knows only the data format: a GADF store in, a BKG_2D file out.

python mytool.py STORE OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

ENERGY = np.geomspace(0.1, 100, 13)  # TeV
OFFSET = np.append(np.arange(0, 4, 0.25), [4, 4.5, 5, 6])  # deg


def rate_of(store):
    """Rate of all runs over energy and offset, per observation time, s-1 MeV-1 sr-1."""
    counts, ontime = np.zeros((ENERGY.size - 1, OFFSET.size - 1)), np.zeros(ENERGY.size - 1)
    index = Table.read(store / "hdu-index.fits.gz")
    files = {row["OBS_ID"]: row for row in index if row["HDU_TYPE"].strip() == "events"}
    runs = Table.read(store / "obs-index.fits.gz")
    if not len(runs):
        sys.exit("mytool: got no runs, expected some")
    for run in runs:
        file = files[run["OBS_ID"]]
        path = store / file["FILE_DIR"].strip() / file["FILE_NAME"].strip()
        events = in_good_time(Table.read(path, hdu="EVENTS"), Table.read(path, hdu="GTI"))
        pointing = SkyCoord(run["RA_PNT"], run["DEC_PNT"], unit="deg")
        offset = SkyCoord(events["RA"], events["DEC"], unit="deg").separation(pointing).deg
        # Bins wholly above the run's threshold.
        bins = ENERGY[:-1] >= run["SAFE_ENERGY_LO"] * (1 - 1e-9)
        counts[bins] += np.histogram2d(events["ENERGY"], offset, (ENERGY, OFFSET))[0][bins]
        ontime[bins] += run["ONTIME"]
    solid_angle = -2 * np.pi * np.diff(np.cos(np.radians(OFFSET)))
    volume = 1e6 * np.diff(ENERGY)[:, None] * solid_angle
    return counts / volume / np.where(ontime > 0, ontime, np.inf)[:, None]


def in_good_time(events, gti):
    """Events of a run between the start and the stop of one of its intervals."""
    time = np.asarray(events["TIME"])[:, None]
    return events[np.any((time >= gti["START"]) & (time <= gti["STOP"]), axis=1)]


def write_bkg_2d(path, rate):
    """As the data formats for gamma-ray astronomy have it: irfs/full_enclosure/bkg."""
    table = Table(
        {
            "ENERG_LO": ENERGY[None, :-1] * u.TeV,
            "ENERG_HI": ENERGY[None, 1:] * u.TeV,
            "THETA_LO": OFFSET[None, :-1] * u.deg,
            "THETA_HI": OFFSET[None, 1:] * u.deg,
            "BKG": rate.T[None] * u.Unit("s-1 MeV-1 sr-1"),
        },
        meta={
            "EXTNAME": "BACKGROUND",
            "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
            "HDUVERS": "0.3",
            "HDUCLASS": "GADF",
            "HDUCLAS1": "RESPONSE",
            "HDUCLAS2": "BKG",
            "HDUCLAS3": "FULL-ENCLOSURE",
            "HDUCLAS4": "BKG_2D",
        },
    )
    table.write(path)


if __name__ == "__main__":
    store, output = map(Path, sys.argv[1:])
    if (store / "regions.reg").exists():
        sys.exit("mytool: got regions to exclude, expected none: it cannot mask")
    write_bkg_2d(output, rate_of(store))
