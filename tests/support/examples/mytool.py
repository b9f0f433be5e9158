#!/usr/bin/env python3
"""A tool that knows only the data format: a GADF store in, a BKG_3D file out.

python mytool.py STORE OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers
from regions import Regions

ENERGY = np.geomspace(0.1, 80, 21)  # TeV
FOV = np.linspace(-4, 4, 61)  # deg, both axes
VOLUME = 1e6 * np.diff(ENERGY)[:, None, None] * np.radians(np.diff(FOV))[:, None]
VOLUME = VOLUME * np.diff(np.sin(np.radians(FOV)))  # MeV sr
# Points in the pixels, 3 x 3 in each, to know which part of a pixel a mask covers.
LON, LAT = np.meshgrid(*2 * [np.radians(FOV[0] + (np.arange(180) + 0.5) * 2 / 45)], indexing="ij")
POINTS = np.stack([np.cos(LAT) * np.cos(LON), np.cos(LAT) * np.sin(LON), np.sin(LAT)], axis=-1)


def rate_of(store):
    """Rate of all runs over energy, fov_lon and fov_lat, per observation time, s-1 MeV-1 sr-1."""
    masks = circles(store / "regions.reg")
    counts, exposure = np.zeros(VOLUME.shape), np.zeros(VOLUME.shape)
    index = Table.read(store / "hdu-index.fits.gz")
    files = {row["OBS_ID"]: row for row in index if row["HDU_TYPE"].strip() == "events"}
    runs = Table.read(store / "obs-index.fits.gz")
    if not len(runs):
        sys.exit("mytool: got no runs, expected some")
    for run in runs:
        file = files[run["OBS_ID"]]
        path = store / file["FILE_DIR"].strip() / file["FILE_NAME"].strip()
        events, good = Table.read(path, hdu="EVENTS"), Table.read(path, hdu="GTI")
        seconds = np.linspace(good["START"].min(), good["STOP"].max(), 100)
        axes = field_axes(run, events.meta, seconds)
        directions = unit_vectors(events["RA"], events["DEC"])
        keep = in_good_time(events["TIME"], good)
        for centre, radius in masks:
            keep &= directions @ centre < np.cos(radius)
        time, directions = np.asarray(events["TIME"])[keep], directions[keep]
        x, y, z = (
            sum(np.interp(time, seconds, axes[:, i, j]) * directions[:, j] for j in range(3))
            for i in range(3)
        )
        field = np.degrees([np.arctan2(y, x), np.arcsin(z)])
        bins = ENERGY[:-1] >= run["SAFE_ENERGY_LO"] * (1 - 1e-9)  # wholly above the threshold
        points = (events["ENERGY"][keep], *field)
        counts[bins] += np.histogramdd(points, (ENERGY, FOV, FOV))[0][bins]
        exposure[bins] += run["ONTIME"] * unmasked(axes[in_good_time(seconds, good)], masks)
    return counts / VOLUME / np.where(exposure > 0, exposure, np.nan)  # no exposure: no rate


def circles(path):
    """Centre (unit vector) and radius (rad) of each excluded region."""
    regions = Regions.read(path, format="ds9") if path.exists() else []
    return [(unit_vectors(r.center.ra, r.center.dec), r.radius.to_value("rad")) for r in regions]


def unit_vectors(ra, dec):
    ra, dec = (np.radians(np.asarray(angle, float)) for angle in (ra, dec))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def in_good_time(time, good):
    """Whether times are between the start and the stop of one of the intervals."""
    time = np.asarray(time)[:, None]
    return np.any((time >= good["START"]) & (time <= good["STOP"]), axis=1)


def field_axes(run, header, seconds):
    """Unit vectors in ICRS at these times: to the pointing, along fov_lon and along fov_lat."""
    zero = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale=header["TIMESYS"].lower())
    site = EarthLocation(
        header["GEOLON"] * u.deg, header["GEOLAT"] * u.deg, header["ALTITUDE"] * u.m
    )
    frame = AltAz(obstime=zero + seconds * u.s, location=site)
    if header.get("OBS_MODE") == "DRIFT":
        pointing = SkyCoord(run["AZ_PNT"], run["ALT_PNT"], unit="deg", frame=frame)
    else:
        pointing = SkyCoord(run["RA_PNT"], run["DEC_PNT"], unit="deg").transform_to(frame)
    above = pointing.directional_offset_by(0 * u.deg, 1 * u.deg)
    forward, above = (unit_vectors(place.icrs.ra, place.icrs.dec) for place in (pointing, above))
    # fov_lat increases with altitude, and fov_lon to the left, with decreasing azimuth.
    left = np.cross(above, forward)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    return np.stack([forward, left, np.cross(forward, left)], axis=1)


def unmasked(axes, masks):
    """Part of the time during which each pixel is outside of all masks."""
    seen = np.zeros(POINTS.shape[:2])
    for frame in axes:
        seen += np.all([POINTS @ (frame @ c) < np.cos(radius) for c, radius in masks], axis=0)
    return seen.reshape(60, 3, 60, 3).mean(axis=(1, 3)) / len(axes)


def write_bkg_3d(path, rate):
    """As the data formats for gamma-ray astronomy have it: irfs/full_enclosure/bkg."""
    edges = {"ENERG": ENERGY * u.TeV, "DETX": FOV * u.deg, "DETY": FOV * u.deg}
    columns = {f"{name}_LO": edge[None, :-1] for name, edge in edges.items()}
    columns |= {f"{name}_HI": edge[None, 1:] for name, edge in edges.items()}
    meta = {"EXTNAME": "BACKGROUND", "HDUCLASS": "GADF", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "BKG"}
    meta |= {"HDUVERS": "0.3", "HDUCLAS3": "FULL-ENCLOSURE", "HDUCLAS4": "BKG_3D"}
    meta |= {"HDUDOC": "https://gamma-astro-data-formats.readthedocs.io", "FOVALIGN": "ALTAZ"}
    columns["BKG"] = rate.T[None] * u.Unit("s-1 MeV-1 sr-1")
    Table(columns, meta=meta).write(path)


if __name__ == "__main__":
    iers.conf.auto_download, iers.conf.auto_max_age = False, None
    store, output = map(Path, sys.argv[1:])
    write_bkg_3d(output, rate_of(store))
