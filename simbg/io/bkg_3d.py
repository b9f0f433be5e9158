"""Reading and writing of GADF's BKG_3D, with a table SUPPLEMENT that only simbg uses.

The columns of both tables are (fov_lat, fov_lon, energy) and are transposed here.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from simbg import __version__
from simbg.cube import BackgroundCube
from simbg.errors import check_version
from simbg.io import tables

if TYPE_CHECKING:
    from gammapy.irf import Background3D

__all__ = ["to_gammapy"]

# Version of the format of SUPPLEMENT (keyword FORMAT). Files without this keyword have version 1.
VERSION = 1

# Keywords that are read back, in files of simbg.
META = "METHOD", "N_OBS", "N_EVENTS", "GROUP_ID", "OBS_ID", "ZENITH"
# Column, attribute and unit of the other arrays in files of simbg.
SUPPLEMENT = (
    ("BKG_ERR", "rate_error", tables.RATE_UNIT),
    ("COUNTS", "counts", ""),
    ("LIVETIME", "livetime", "s"),
    ("ONTIME", "ontime", "s"),
)


def bkg_3d_hdus(cube: BackgroundCube, energy_unit: str) -> list[fits.BinTableHDU]:
    """The HDUs of a file: BKG_3D with the rate per observation time, and SUPPLEMENT.

    Parameters
    ----------
    cube : BackgroundCube
        Its rate is converted to the rate per observation time.
    energy_unit : str
        Not used: the unit of GADF is fixed.
    """
    cube = cube.per("ontime")
    data = cube.rate
    # The rate is 0 below all thresholds, and NaN in bins that are always masked.
    known = np.isfinite(data).any(axis=(1, 2))
    if known.any():
        data = np.where((np.cumsum(known) > 0)[:, None, None], data, 0.0)
    header = {
        **tables.GADF_BKG,
        "HDUCLAS4": "BKG_3D",
        "FOVALIGN": cube.axes.align,
        "CREF7": "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)",
        "CREATOR": f"simbg {__version__}",
    }
    header |= {key: value for key, value in cube.meta.items() if len(key) <= 8}
    columns = [*tables.cube_edge_columns(cube.axes), ("BKG", data.T, tables.RATE_UNIT)]
    more = [
        (name, values.T, unit)
        for name, attribute, unit in SUPPLEMENT
        if (values := getattr(cube, attribute)) is not None
    ]
    hdus = [tables.one_row_hdu("BACKGROUND", columns, header)]
    version = {"FORMAT": (VERSION, "version of this table's format")}
    return [*hdus, tables.one_row_hdu("SUPPLEMENT", more, version)] if more else hdus


def to_gammapy(cube: BackgroundCube) -> "Background3D":
    """The cube as a gammapy object; see `BackgroundCube.to_gammapy`."""
    try:
        from gammapy.irf import Background3D
    except ImportError as error:
        raise ImportError(
            f"to_gammapy: gammapy cannot be imported ({error}); use `pip install simbg[gammapy]`"
        ) from error
    hdus = fits.HDUList([fits.PrimaryHDU(), *bkg_3d_hdus(cube, "MeV")])
    return Background3D.from_hdulist(hdus, hdu="BACKGROUND")


def read_bkg_3d(file: fits.HDUList, hdu: fits.BinTableHDU, column: str) -> BackgroundCube:
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
    axes = tables.read_axes(hdu, str(hdu.header.get("FOVALIGN", "ALTAZ")).strip().upper())
    lengths = dict(zip(("ENERG", "DETX", "DETY"), axes.shape, strict=True))
    rate = tables.read_rate(hdu, column, lengths)
    ours = str(hdu.header.get("CREATOR", "")).startswith("simbg")
    meta = {key: hdu.header[key] for key in META if ours and key in hdu.header}
    cube = BackgroundCube(axes, rate, clock="ontime", meta=meta)
    if "SUPPLEMENT" not in file:
        return cube
    hdu = file["SUPPLEMENT"]
    check_version(hdu.header.get("FORMAT", 1), VERSION, "SUPPLEMENT")
    more: dict[str, Any] = {
        attribute: tables.read_array(hdu, name, 3).T
        for name, attribute, _ in SUPPLEMENT
        if name in hdu.columns.names
    }
    # In BKG_3D the rate is 0 at energies without exposure.
    known = (more["ontime"] > 0) | (rate != 0) if "ontime" in more else True
    return replace(cube, rate=np.where(known, rate, np.nan), **more)
