"""Writing GADF's BKG_2D: a rate over energy and the offset from the pointing."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from simbg import __version__
from simbg.io.columns import one_row_hdu
from simbg.io.cubes import GADF_BKG
from simbg.io.files import write_fits

__all__ = ["write_bkg_2d"]


def write_bkg_2d(path, energy, offset, rate, meta=None, overwrite=False):
    """Write a BKG_2D file; a name in .gz is compressed.

    Parameters
    ----------
    path : path-like
    energy : array_like, shape (n_energy + 1,)
        Edges in TeV.
    offset : array_like, shape (n_ring + 1,)
        Edges in deg.
    rate : array_like, shape (n_energy, n_ring)
        s-1 MeV-1 sr-1, per second of observation time, as GADF has it: livetime rates times
        livetime ÷ ontime.
    meta : dict, optional
        More keywords.
    overwrite : bool

    Raises
    ------
    ValueError
        If the shape of the rate does not fit the edges.
    """
    energy, offset, rate = (np.asarray(values, float) for values in (energy, offset, rate))
    if rate.shape != (expected := (energy.size - 1, offset.size - 1)):
        raise ValueError(f"rate: got shape {rate.shape}, expected {expected}")
    columns = [
        (f"{name}_{end}", edges[part], unit)
        for name, edges, unit in (("ENERG", energy, "TeV"), ("THETA", offset, "deg"))
        for end, part in (("LO", slice(None, -1)), ("HI", slice(1, None)))
    ]
    header = {
        **GADF_BKG,
        "HDUCLAS4": "BKG_2D",
        "CREF5": "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)",
        "CREATOR": f"simbg {__version__}",
        **(meta or {}),
    }
    # FITS counts axes from the fastest: its (ENERG, THETA) is (THETA, ENERG) here.
    hdu = one_row_hdu("BACKGROUND", [*columns, ("BKG", rate.T, "s-1 MeV-1 sr-1")], header)
    write_fits(path, [fits.PrimaryHDU(), hdu], overwrite)
