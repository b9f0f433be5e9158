"""A reader of GADF stores on astropy alone: counts and times of all runs, by the definitions."""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

__all__ = ["read_store"]


def read_store(folder, edges):
    """Counts in (energy, fov_lon, fov_lat), livetime and ontime of all runs of a store, s.

    ``edges`` are those of the three axes, TeV and deg.
    """
    path, total = Path(folder) / "hdu-index.fits.gz", [0, 0.0, 0.0]
    index = Table.read(path, hdu=1)
    index.rename_columns(index.colnames, [name.upper() for name in index.colnames])
    base = Path(index.meta.get("BASE_DIR", path.parent))
    for row in index[[str(kind).strip() == "events" for kind in index["HDU_TYPE"]]]:
        file_dir = "" if np.ma.is_masked(row["FILE_DIR"]) else str(row["FILE_DIR"]).strip()
        with fits.open(base / file_dir / str(row["FILE_NAME"]).strip()) as file:
            total = [a + b for a, b in zip(total, _run(file, edges), strict=True)]
    return total


def _run(file, edges):
    events, header = file["EVENTS"].data, file["EVENTS"].header
    good = _union(np.stack([file["GTI"].data["START"], file["GTI"].data["STOP"]], axis=1))
    inside = np.any([(events["TIME"] >= a) & (events["TIME"] <= b) for a, b in good], axis=0)
    events, ontime = events[inside], np.diff(good).sum()
    zero = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale="tt")
    site = (header["GEOLON"] * u.deg, header["GEOLAT"] * u.deg, header["ALTITUDE"] * u.m)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = EarthLocation.from_geodetic(*site)
        frame = AltAz(obstime=zero + events["TIME"] * u.s, location=place)
        sky = SkyCoord(events["RA"] * u.deg, events["DEC"] * u.deg).transform_to(frame)
        if header["OBS_MODE"] == "DRIFT":
            centre = AltAz(header["AZ_PNT"] * u.deg, header["ALT_PNT"] * u.deg)
        else:
            pointing = SkyCoord(header["RA_PNT"] * u.deg, header["DEC_PNT"] * u.deg)
            centre = pointing.transform_to(frame)
    here = SkyCoord(sky.az, sky.alt).transform_to(
        SkyOffsetFrame(origin=SkyCoord(centre.az, centre.alt))
    )
    # The longitude of astropy increases with azimuth, fov_lon decreases.
    values = events["ENERGY"], -here.lon.deg, here.lat.deg
    counts = np.histogramdd(np.stack(values, axis=1).astype(float), edges)[0]
    return counts, ontime * header["DEADC"], ontime


def _union(intervals):
    joined = []
    for start, stop in sorted(intervals.tolist()):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(stop, joined[-1][1])
        else:
            joined.append([start, stop])
    return np.array(joined)
