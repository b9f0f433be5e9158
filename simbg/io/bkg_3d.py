"""Reading and writing of GADF's BKG_3D, with further tables that only simbg uses.

The columns of the tables are (fov_lat, fov_lon, energy) and are transposed here.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simbg import __version__
from simbg.covariance import RateCovariance
from simbg.cube import ARRAYS, BackgroundCube
from simbg.errors import check_version
from simbg.io import tables
from simbg.io.files.plain_output import NewHdu, one_row, rows, to_bytes
from simbg.observations.stacked_counts import EventRecord

if TYPE_CHECKING:
    from astropy.io import fits
    from gammapy.irf import Background3D

__all__ = ["REVERSED", "to_gammapy"]

# FOVALIGN of files of RADEC-aligned cubes in which DETX increases with increasing right ascension;
# a name of gammapy. In memory such cubes are as others. A cube is written so if its meta says so.
REVERSED = "REVERSE_LON_RADEC"

# Version of the format of the tables of simbg (keyword FORMAT); without this keyword it is 1.
VERSION = 1
VERSION_CARD = {"FORMAT": (VERSION, "version of this table's format")}

# Table and column of the mean rates of bins, in a file whose BKG_3D has rates at nodes.
MEANS = "RATE"
NODES = ("NODES", "BKG: rates at bin centres; means: table RATE")
COMMENT = (
    "BKG has rates at the centres of bins, chosen so that gammapy's interpolation (ln rate, linear "
    "in ln ENERG, DETX and DETY) gives the integrals over the bins of the table RATE."
)

# Column and attribute of the table RUNS, and the version of its format.
RUNS = {"OBS_ID": "obs_id", "N_EVENTS": "n_events", "DIGEST": "digest"}
RUNS_VERSION = 1
# Keywords that are read back, in files of simbg.
META = (
    *("METHOD", "N_OBS", "N_EVENTS", "GROUP_ID", "OBS_ID", "ZENITH"),
    *("N_EFF", "N_ITER", "CONVERGE", "N_SHARP", "N_LOCAL", "N_EXTRAP", "E_EXTRAP", "FIT"),
    *("RUN_SIG", "COVARS", "ZEN_HELD", "MATCHED"),
)
# Column, attribute and unit of the other arrays in files of simbg.
SUPPLEMENT = (
    ("BKG_ERR", "rate_error", tables.RATE_UNIT),
    ("COUNTS", "counts", ""),
    ("LIVETIME", "livetime", "s"),
    ("ONTIME", "ontime", "s"),
)
# Largest number of these: larger ones, in s, are no exposures, and their sums may be no numbers.
LONGEST = 1e15
# Columns, attributes and dimensions of a COVARIANCE.
COVARIANCE = (
    ("ENERGY", "energy", 2),
    ("SPACE", "space", 3),
    ("FACTOR", "factor", 3),
    ("OWN", "own", 3),
    ("SHARE", "share", 3),
)


def bkg_3d_hdus(
    cube: BackgroundCube, energy_unit: str = "MeV", nodes: BackgroundCube | None = None
) -> list[NewHdu]:
    """The HDUs of a file: BKG_3D with the rate per observation time, and the tables of simbg.

    Parameters
    ----------
    cube : BackgroundCube
        Its rate is converted to the rate per observation time.
    energy_unit : str
        Not used: the unit of GADF is fixed.
    nodes : BackgroundCube, optional
        Rates at the centres of its bins, which are then those of BKG_3D; those of ``cube`` are in
        the table RATE.
    """
    cube = cube.per("ontime")
    if cube.meta.get("FOVALIGN") == REVERSED:
        cube = _with_reversed_lon(cube)
        nodes = None if nodes is None else _with_reversed_lon(nodes)
    header: dict[str, Any] = {
        **tables.GADF_BKG,
        "HDUCLAS4": "BKG_3D",
        "FOVALIGN": cube.axes.align,
        "CREF7": "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)",
        "CREATOR": f"simbg {__version__}",
    }
    shown = cube if nodes is None else nodes
    header |= {key: value for key, value in shown.meta.items() if len(key) <= 8}
    if nodes is not None:
        header |= {"BKG_AT": NODES, "COMMENT": COMMENT}
    hdus = [_rate_hdu("BACKGROUND", "BKG", shown, header)]
    if nodes is not None:
        hdus.append(_rate_hdu(MEANS, MEANS, cube, VERSION_CARD))
    more = [
        (name, values.T, unit)
        for name, attribute, unit in SUPPLEMENT
        if (values := getattr(cube, attribute)) is not None
    ]
    if more:
        hdus.append(one_row("SUPPLEMENT", more, VERSION_CARD))
    hdus += _error_hdus(cube)
    return hdus if cube.made_from is None else [*hdus, _runs_hdu(cube.made_from)]


def _rate_hdu(name, column, cube, header):
    """A table of edges and rates."""
    data = cube.rate
    # The rate is 0 below all thresholds, and NaN in bins that are always masked.
    known = np.isfinite(data).any(axis=(1, 2))
    if known.any():
        data = np.where((np.cumsum(known) > 0)[:, None, None], data, 0.0)
    columns = [*tables.cube_edge_columns(cube.axes), (column, data.T, tables.RATE_UNIT)]
    return one_row(name, columns, header)


def _error_hdus(cube):
    """ERROR and EXTRAPOLATED of a cube with extrapolated bins, and a COVARIANCE for each part."""
    if cube.extrapolated is not None:
        edges = tables.cube_edge_columns(cube.axes)
        if cube.rate_error is not None:
            column = ("ERROR", cube.rate_error.T, tables.RATE_UNIT)
            yield one_row("ERROR", [*edges, column], VERSION_CARD)
        column = ("EXTRAPOLATED", cube.extrapolated.T, "")
        yield one_row("EXTRAPOLATED", [*edges, column], VERSION_CARD)
    for number, part in enumerate(cube.covariance, 1):
        # Seven digits are enough for an error; this is the largest array of the file.
        part = replace(part, factor=part.factor.astype(np.float32))
        columns = [
            (name, values.T, "")
            for name, attribute, _ in COVARIANCE
            if (values := getattr(part, attribute)) is not None
        ]
        header = VERSION_CARD | {"EXTVER": (number, "number of the part of the rate")}
        yield one_row("COVARIANCE", columns, header)


def _runs_hdu(record):
    """The table of the runs that a cube was made from: 24 bytes a run."""
    columns = [
        (name, np.asarray(getattr(record, attribute), np.int64), None)
        for name, attribute in RUNS.items()
    ]
    header = {
        "FORMAT": (RUNS_VERSION, "version of this table's format"),
        "DIGEST": (record.total, "checksum of all runs and events"),
    }
    return rows("RUNS", columns, header)


def _read_runs(file):
    """The record of the runs of an open file; None if it has none."""
    if "RUNS" not in file:
        return None
    hdu = file["RUNS"]
    check_version(hdu.header.get("FORMAT", 1), RUNS_VERSION, "RUNS")
    if missing := RUNS.keys() - set(hdu.columns.names):
        raise ValueError(f"RUNS: got columns {hdu.columns.names}, expected {sorted(missing)}")
    record = EventRecord(*(np.array(hdu.data[name], int) for name in RUNS))
    if (got := str(hdu.header.get("DIGEST", ""))) != record.total:
        raise ValueError(f"RUNS: got DIGEST {got!r}, expected that of the rows, {record.total}")
    return record


def to_gammapy(cube: BackgroundCube) -> "Background3D":
    """The cube as a gammapy object; see `BackgroundCube.to_gammapy`."""
    try:
        from gammapy.irf import Background3D
    except ImportError as error:
        raise ImportError(
            f"to_gammapy: gammapy cannot be imported ({error}); "
            "use `pip install '.[gammapy]'` in a clone of simbg"
        ) from error
    from astropy.io import fits

    hdus = fits.HDUList.fromstring(to_bytes(bkg_3d_hdus(cube, "MeV")))
    return Background3D.from_hdulist(hdus, hdu="BACKGROUND")


def read_bkg_3d(file: "fits.HDUList", hdu: "fits.BinTableHDU", column: str) -> BackgroundCube:
    """The BKG_3D of a table, with the file's SUPPLEMENT if there is one, as a cube per ontime.

    Parameters
    ----------
    file : HDUList
        The open file.
    hdu : BinTableHDU
        Its table of rates.
    column : str
        Name of the column of rates.
    """
    align = str(hdu.header.get("FOVALIGN", "ALTAZ")).strip().upper()
    cube = _read_as_written(file, hdu, column, "RADEC" if align == REVERSED else align)
    return _with_reversed_lon(cube) if align == REVERSED else cube


def _read_as_written(file, hdu, column, align):
    """The cube of a file with fov_lon as DETX."""
    ours = str(hdu.header.get("CREATOR", "")).startswith("simbg")
    meta = {key: hdu.header[key] for key in META if ours and key in hdu.header}
    if ours and MEANS in file:
        hdu, column = file[MEANS], MEANS
        check_version(hdu.header.get("FORMAT", 1), VERSION, MEANS)
    axes = tables.read_axes(hdu, align)
    lengths = dict(zip(("ENERG", "DETX", "DETY"), axes.shape, strict=True))
    rate = tables.read_rate(hdu, column, lengths)
    cube = BackgroundCube(axes, rate, clock="ontime", meta=meta)
    if ours:
        cube = replace(cube, extrapolated=_extrapolated(file), covariance=_covariance(file))
        cube = replace(cube, made_from=_read_runs(file))
    if "SUPPLEMENT" not in file:
        return cube
    more = read_supplement(file["SUPPLEMENT"], 3)
    # In BKG_3D the rate is 0 at energies without exposure.
    known = (more["ontime"] > 0) | (rate != 0) if "ontime" in more else True
    return replace(cube, rate=np.where(known, rate, np.nan), **more)


def read_supplement(hdu: "fits.BinTableHDU", n_axes: int) -> dict[str, Any]:
    """The arrays of a SUPPLEMENT by the names of their attributes; energy is the first axis.

    Parameters
    ----------
    hdu : BinTableHDU
        The table.
    n_axes : int
        Number of axes of the rate.

    Raises
    ------
    ValueError
        If counts or exposures are negative, not finite or too large, or errors are negative.
    """
    check_version(hdu.header.get("FORMAT", 1), VERSION, hdu.name)
    arrays = {}
    for name, attribute, _ in SUPPLEMENT:
        if name in hdu.columns.names:
            values = arrays[attribute] = tables.read_array(hdu, name, n_axes).T
            error = attribute == "rate_error"
            largest = tables.LARGEST_RATE if error else LONGEST
            good = (values >= 0) & (values <= largest) | error & np.isnan(values)
            if not good.all():
                raise ValueError(
                    f"{hdu.name}: {name}: got {np.sum(~good)} of {good.size} values such as "
                    f"{values[~good][0]}, expected 0 to {largest:g}"
                )
    return arrays


def _with_reversed_lon(cube):
    """The cube with the opposite sign of fov_lon."""
    arrays = {
        name: np.ascontiguousarray(values[:, ::-1])
        for name in ARRAYS
        if (values := getattr(cube, name)) is not None
    }
    covariance = tuple(
        replace(
            part,
            space=part.space[::-1],
            own=None if part.own is None else part.own[:, ::-1],
            share=None if part.share is None else part.share[:, ::-1],
        )
        for part in cube.covariance
    )
    axes = replace(cube.axes, fov_lon=-cube.axes.fov_lon[::-1])
    return replace(cube, axes=axes, covariance=covariance, **arrays)


def _extrapolated(file):
    """The mask of a file, or None."""
    if "EXTRAPOLATED" not in file:
        return None
    hdu = file["EXTRAPOLATED"]
    check_version(hdu.header.get("FORMAT", 1), VERSION, "EXTRAPOLATED")
    return tables.read_array(hdu, "EXTRAPOLATED", 3).T > 0


def _covariance(file):
    """The parts of a file's covariance, without any if it has no COVARIANCE."""
    parts = []
    for hdu in file:
        if hdu.name == "COVARIANCE":
            check_version(hdu.header.get("FORMAT", 1), VERSION, "COVARIANCE")
            arrays = {
                attribute: tables.read_array(hdu, name, ndim).T
                for name, attribute, ndim in COVARIANCE
                if name in hdu.columns.names
            }
            parts.append(RateCovariance(**arrays))
    return tuple(parts)
