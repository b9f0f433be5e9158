"""Sums over a store by astropy alone, and what differs from them in the models of the store.

It follows the definitions of simbg/io/FORMATS.md: runs of obs-index, files of hdu-index, events in
the union of the GTIs; ONTIME of the index if it is that of the GTIs, and LIVETIME of the index.
"""

import contextlib
import gzip
import io
import re
import warnings

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

__all__ = ["store_sums"]

TYPES = ("events", "gti")
# Columns that are used; others may have any unit.
COLUMNS = {"ENERGY", "TIME", "RA", "DEC", "DETX", "DETY", "START", "STOP"}


def store_sums(store, place, name, out):
    """What differs between the groups in the output of a command and the sums; None if nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = _hess_runs(store) if "hess" in name else _runs(store)
        found = [line.split() for line in out.splitlines() if line.startswith("group")]
        if name in ("obs-ids", "regions") or name.startswith("table"):
            # Which runs are near a source is not the question here.
            used = _read(place / "out/bg_observation_table_grouped.fits.gz")["OBS_ID"].tolist()
            if name == "obs-ids":
                text = (place / "ids.txt").read_text().replace(",", " ")
                if set(used) != {int(word) for word in text.split()}:
                    return f"runs {used} of {text!r}"
            runs = [run for run in runs if run[-1] in used]
        livetime = sum(run[1] for run in runs)
        if (n_runs := sum(int(words[2]) for words in found)) != len(runs):
            return f"{n_runs} runs, expected {len(runs)}"
        hours = sum(float(words[6]) for words in found)
        if abs(hours - livetime / 3600) > 0.051 * max(1, len(found)):
            return f"{hours} h, expected {livetime / 3600:.2f} h"
        return _cube_sums(place, runs, "mask" in name)


def _cube_sums(place, runs, masked):
    """Compare the counts and the livetime in the files with the sums."""
    counts = ontime = 0.0
    livetime = 0.0
    for path in (place / "out").glob("bg_cube_model_group*_gadf.fits.gz"):
        with fits.open(path) as file:
            more = file["SUPPLEMENT"].data[0]
            counts += float(np.nansum(more["COUNTS"]))
            livetime += float(np.nanmax(more["LIVETIME"]))
            ontime += float(np.nanmax(more["ONTIME"]))
            energy = np.append(file[1].data["ENERG_LO"][0], file[1].data["ENERG_HI"][0][-1])
            wide = float(file[1].data["DETX_HI"][0][-1])
    if masked:
        return None
    expected = sum(_inside(run, energy, wide) for run in runs)
    if counts != expected:
        return f"{counts:.0f} counts in the cubes, expected {expected}"
    # A run has no livetime in bins below its threshold, and a part in the bin that contains it.
    total = sum(run[1] for run in runs if run[5] * (1 - 1e-9) <= energy[-2])
    whole = not any(energy[-2] < run[5] * (1 - 1e-9) < energy[-1] for run in runs)
    if whole and abs(livetime - total) > 1e-6 * total + 0.5:
        return f"livetime {livetime:.3f} s in the cubes, expected {total:.3f} s"
    return None


def _inside(run, energy, wide):
    """Number of events in the bins, which have their lower edge, above the threshold."""
    _, _, energies, lon, lat, threshold, _ = run
    low = max(energy[0], threshold * (1 - 1e-9))
    good = (energies >= low) & (energies < energy[-1])
    good &= (lon >= -wide) & (lon < wide) & (lat >= -wide) & (lat < wide)
    return int(good.sum())


def _read(path, hdu=1):
    table = Table.read(path, hdu=hdu)
    table.rename_columns(table.colnames, [name.upper() for name in table.colnames])
    return table


def _runs(store):
    """Number of events, livetime, energies, lon, lat, threshold of each run."""
    index, rows = _read(store / "hdu-index.fits.gz"), _read(store / "obs-index.fits.gz")
    return [_run(store, index, row) for row in rows]


def _run(store, index, row):
    files = {}
    for line in index[index["OBS_ID"] == row["OBS_ID"]]:
        kind = str(line["HDU_TYPE"]).strip().lower()
        where = store / str(line["FILE_DIR"]).strip() / str(line["FILE_NAME"]).strip()
        place = where, str(line["HDU_NAME"]).strip()
        if kind in TYPES and files.get(kind, place) != place:
            raise ValueError(f"two {kind} of run {row['OBS_ID']}")
        files[kind] = place
    events, header = _hdu(*files["events"])
    gti = _hdu(*files["gti"])[0] if "gti" in files else None
    good = _union(gti, header)
    time = _values(events, "TIME", "s")
    after = np.searchsorted(good[:, 0], time + 1e-3, side="right") - 1
    inside = (after >= 0) & (time <= good[after, 1] + 1e-3)
    energies = _values(events, "ENERGY", "TeV")[inside]
    lon, lat = _places(events, header, row, time, inside)
    ontime = float(np.diff(good).sum())
    known = {**_clocks(header), **_clocks(row)}
    if "LIVETIME" not in known and "ONTIME" in known:
        known["LIVETIME"] = known["DEADC"] * known["ONTIME"]
    if "ONTIME" not in known:
        known["ONTIME"] = known["LIVETIME"] / known["DEADC"] if "DEADC" in known else ontime
    livetime = known["LIVETIME"]
    if abs(ontime - known["ONTIME"]) > len(good):
        livetime = ontime * known.get("DEADC", livetime / known["ONTIME"])
    if "SAFE_ENERGY_LO" in row.colnames:
        threshold = _number(row, "SAFE_ENERGY_LO", "TeV")
    else:
        threshold = float(_hdu(*files["aeff"])[1].get("LO_THRES", 0)) if "aeff" in files else 0.0
    return int(inside.sum()), livetime, energies, lon, lat, threshold, int(row["OBS_ID"])


def _clocks(values):
    """ONTIME, LIVETIME and DEADC of a header or of a row."""
    names = values.colnames if hasattr(values, "colnames") else values
    units = {"ONTIME": "s", "LIVETIME": "s", "DEADC": ""}
    here = [name for name in units if name in names and not isinstance(values[name], str)]
    found = {name: _number(values, name, units[name]) for name in here}
    return {name: value for name, value in found.items() if value == value}


def _hess_runs(store):
    """The same of a store in the scheme of 2015."""
    return [_hess_run(store, int(row["OBS_ID"])) for row in _read(store / "runinfo.fits")]


def _hess_run(store, run):
    low = 200 * (run // 200)
    folder = store / f"run{low:06d}-{low + 199:06d}" / f"run{run:06d}"
    with _open(folder / f"hess_events_{run:06d}.fits.gz") as file:
        events, header = _table(file[1]), _header(file[1])
    area = gzip.decompress((folder / f"hess_aeff_2d_{run:06d}.fits.gz").read_bytes())
    threshold = float(re.search(rb"LO_THRES= *([^ /]+)", area)[1])
    units = (("ENERGY", str(header.get("EUNIT", "TeV"))), ("DETX", "deg"), ("DETY", "deg"))
    energies, lon, lat = (
        _values(events, name, "TeV" if name == "ENERGY" else "deg", unit) for name, unit in units
    )
    livetime = float(header["LIVETIME"])
    return len(events), livetime, energies, lon, lat, threshold, run


def _hdu(path, name):
    with _open(path) as file:
        same = [hdu for hdu in file if hdu.name.upper() == name.upper()]
        if len(same) != 1:
            raise ValueError(f"{len(same)} HDUs {name}")
        return _table(same[0]), _header(same[0])


def _open(path):
    """A file whose first header, which is not used, may be damaged."""
    content = gzip.decompress(path.read_bytes())
    first = fits.PrimaryHDU().header.tostring().encode()
    used = content[:9] != b"SIMPLE  =" or len(content) < 2 * len(first)
    return fits.open(io.BytesIO(content if used else first + content[len(first) :]))


def _table(hdu):
    """The columns that are used."""
    table = Table()
    for place, column in enumerate(hdu.columns):
        if (name := column.name.upper()) in COLUMNS:
            table[name] = hdu.data.field(place)
            table[name].unit = u.Unit(column.unit) if column.unit else None
    return table


def _header(hdu):
    """The cards that have a value."""
    header = fits.Header()
    for card in hdu.header.cards:
        with contextlib.suppress(fits.VerifyError, ValueError):
            header[card.keyword] = card.value
    return header


def _values(table, name, unit, default=None):
    column = next(table[c] for c in table.colnames if c.upper() == name)
    if np.ndim(column) != 1 or column.dtype.kind not in "iuf":
        raise ValueError(f"{name} is no number")
    return np.asarray(
        u.Quantity(
            column.filled(np.nan) if hasattr(column, "filled") else column,
            column.unit or default or unit,
        ).to_value(unit),
        float,
    )


def _number(row, name, unit):
    value = row[name]
    if np.ma.is_masked(value):  # NaN in the file
        return np.nan
    got = row.table[name].unit if unit and hasattr(row, "table") else None
    return float(u.Quantity(value, got or unit).to_value(unit)) if unit else float(value)


def _union(gti, header):
    if gti is None:
        return np.array([[header["TSTART"], header["TSTOP"]]], float)
    pairs = np.stack([_values(gti, name, "s") for name in ("START", "STOP")], axis=1)
    joined = []
    for start, stop in sorted(pairs.tolist()):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(stop, joined[-1][1])
        else:
            joined.append([start, stop])
    return np.array(joined)


def _places(events, header, row, time, inside):
    """Positions in the field of view, ALTAZ-aligned, by the coordinates of astropy."""
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame
    from astropy.time import Time

    zero = Time(
        header["MJDREFI"],
        header["MJDREFF"],
        format="mjd",
        scale=str(header.get("TIMESYS", "TT")).lower(),
    )
    site = EarthLocation.from_geodetic(header["GEOLON"], header["GEOLAT"], header["ALTITUDE"])
    frame = AltAz(obstime=zero + time[inside] * u.s, location=site)
    sky = SkyCoord(
        _values(events, "RA", "deg")[inside] * u.deg, _values(events, "DEC", "deg")[inside] * u.deg
    ).transform_to(frame)
    centre = SkyCoord(
        *(
            _number(header if name in header else row, name, "deg")
            for name in ("RA_PNT", "DEC_PNT")
        ),
        unit="deg",
    ).transform_to(frame)
    here = SkyCoord(sky.az, sky.alt).transform_to(
        SkyOffsetFrame(origin=SkyCoord(centre.az, centre.alt))
    )
    # The longitude of astropy increases with azimuth, fov_lon decreases.
    return -here.lon.wrap_at(180 * u.deg).deg, here.lat.deg
