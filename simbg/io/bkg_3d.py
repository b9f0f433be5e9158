"""GADF's BKG_3D, a rate over energy and two angles, with our SUPPLEMENT: reading and writing.

The columns of both tables are (fov_lat, fov_lon, energy) and are transposed here.
"""

from dataclasses import replace

import numpy as np

from simbg import __version__
from simbg.cube import BackgroundCube
from simbg.io import tables

__all__ = []

# Column, attribute and unit of what our files hold besides the rate.
SUPPLEMENT = (
    ("BKG_ERR", "rate_error", tables.RATE_UNIT),
    ("COUNTS", "counts", ""),
    ("LIVETIME", "livetime", "s"),
    ("ONTIME", "ontime", "s"),
)


def bkg_3d_hdus(cube, energy_unit):
    """The HDUs of a file: the rate per observation time, and what BKG_3D has no place for.

    Parameters
    ----------
    cube : BackgroundCube
    energy_unit : str
        Of no effect: GADF's unit is fixed.
    """
    cube = cube.per("ontime")
    data = cube.rate
    # Energies below all thresholds are 0; what masks hide is no rate that anybody may use.
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
    return [*hdus, tables.one_row_hdu("SUPPLEMENT", more)] if more else hdus


def read_bkg_3d(file, hdu, column):
    """The BKG_3D of a table, with the file's SUPPLEMENT if there is one, as a cube per ontime.

    Parameters
    ----------
    file : HDUList
    hdu : BinTableHDU
    column : str
        Name of the column of rates.
    """
    axes = tables.read_axes(hdu, str(hdu.header.get("FOVALIGN", "ALTAZ")).strip().upper())
    lengths = dict(zip(("ENERG", "DETX", "DETY"), axes.shape, strict=True))
    rate = tables.read_rate(hdu, column, lengths)
    cube = BackgroundCube(axes, rate, clock="ontime")
    if "SUPPLEMENT" not in file:
        return cube
    hdu = file["SUPPLEMENT"]
    more = {
        attribute: tables.read_array(hdu, name, 3).T
        for name, attribute, _ in SUPPLEMENT
        if name in hdu.columns.names
    }
    # BKG_3D says 0 at energies of which nothing is known.
    known = (more["ontime"] > 0) | (rate != 0) if "ontime" in more else True
    return replace(cube, rate=np.where(known, rate, np.nan), **more)
