"""GADF's BKG_2D, a rate over energy and the offset from the pointing: reading and writing."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from simbg import __version__
from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_brief
from simbg.io import tables
from simbg.io.bkg_3d import META, SUPPLEMENT, VERSION, read_supplement
from simbg.io.files.plain_output import one_row, to_bytes
from simbg.io.safe_files import expanded, open_fits, write_fits
from simbg.quantities import in_unit
from simbg.radial import RadialModel, averages_in_pixels

if TYPE_CHECKING:
    from astropy.io import fits
    from gammapy.irf import Background2D

__all__ = ["radial_to_gammapy", "read_radial", "write_bkg_2d", "write_radial"]

# Pixels are half as wide as the narrowest ring; their least and largest number along a side.
PIXELS = 64, 160


def write_bkg_2d(
    path: Path | str,
    energy: ArrayLike,
    offset: ArrayLike,
    rate: ArrayLike,
    meta: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a BKG_2D file; a name in .gz is compressed. `simbg.io.cubes.read_model` reads it.

    Parameters
    ----------
    path : path-like
        The file to write.
    energy : array_like or Quantity, shape (n_energy + 1,)
        Edges; bare numbers are in TeV.
    offset : array_like or Quantity, shape (n_ring + 1,)
        Edges; bare numbers are in deg.
    rate : array_like or Quantity, shape (n_energy, n_ring)
        Bare numbers are in s-1 MeV-1 sr-1, per second of observation time, as GADF has it:
        livetime rates times livetime ÷ ontime.
    meta : dict, optional
        More keywords.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ValueError
        If the shape of the rate does not fit the edges.
    """
    energies, offsets, rates = (
        np.asarray(in_unit(values, unit, name), float)
        for values, unit, name in (
            (energy, "TeV", "energy"),
            (offset, "deg", "offset"),
            (rate, tables.RATE_UNIT, "rate"),
        )
    )
    if rates.shape != (expected := (energies.size - 1, offsets.size - 1)):
        raise ValueError(f"rate: got shape {rates.shape}, expected {expected}")
    write_fits(path, [_hdu(energies, offsets, rates, meta or {})], overwrite)


def _hdu(energy, offset, rate, meta):
    # FITS counts axes from the fastest: its (ENERG, THETA) is (THETA, ENERG) here.
    columns = [
        *tables.edge_columns(("ENERG", energy, "TeV"), ("THETA", offset, "deg")),
        ("BKG", rate.T, tables.RATE_UNIT),
    ]
    header = {
        **tables.GADF_BKG,
        "HDUCLAS4": "BKG_2D",
        "CREF5": "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)",
        "CREATOR": f"simbg {__version__}",
        **meta,
    }
    return one_row("BACKGROUND", columns, header)


def _radial_hdus(model):
    """The HDUs of a radial model: BKG_2D per observation time, and SUPPLEMENT."""
    model = model.per("ontime")
    meta = {key: value for key, value in model.meta.items() if len(key) <= 8}
    # As in BKG_3D, the rate is 0 below all thresholds, and NaN in rings that are always masked.
    known = np.isfinite(model.rate).any(axis=1)
    below = (np.cumsum(known) == 0) & known.any()
    rate = np.where(below[:, None], 0.0, model.rate)
    more = [
        (name, values.T, unit)
        for name, attribute, unit in SUPPLEMENT
        if (values := getattr(model, attribute)) is not None
    ]
    hdus = [_hdu(model.energy, model.offset, rate, meta)]
    return [*hdus, one_row("SUPPLEMENT", more, {"FORMAT": VERSION})] if more else hdus


def write_radial(path: Path | str, model: RadialModel, overwrite: bool = False) -> None:
    """Write a radial model; see `RadialModel.write`."""
    write_fits(expanded(path), _radial_hdus(model), overwrite)


def radial_to_gammapy(model: RadialModel) -> "Background2D":
    """A radial model as an object of gammapy; see `RadialModel.to_gammapy`."""
    try:
        from gammapy.irf import Background2D
    except ImportError as error:
        raise ImportError(
            f"to_gammapy: gammapy cannot be imported ({error}); "
            "use `pip install '.[gammapy]'` in a clone of simbg"
        ) from error
    from astropy.io import fits

    hdus = fits.HDUList.fromstring(to_bytes(_radial_hdus(model)))
    return Background2D.from_hdulist(hdus, hdu="BACKGROUND")


def read_radial(path: Path | str) -> RadialModel:
    """Read a BKG_2D file; see `RadialModel.read`."""
    with open_fits(expanded(path)) as file:
        found = tables.find_rate(file)
        if not found or "THETA_LO" not in found[0].columns.names:
            got = f"got {'another model' if found else [hdu.name for hdu in file]}"
            raise ValueError(f"{got}, expected a BKG_2D (columns THETA_LO, THETA_HI and BKG)")
        hdu, column = found
        energy, offset, rate = _read_rings(hdu, column)
        ours = str(hdu.header.get("CREATOR", "")).startswith("simbg")
        meta = {key: hdu.header[key] for key in META if ours and key in hdu.header}
        model = RadialModel(energy, offset, rate, clock="ontime", meta=meta)
        if "SUPPLEMENT" not in file:
            return model
        more = read_supplement(file["SUPPLEMENT"], 2)
        known = (more["ontime"] > 0) | (rate != 0) if "ontime" in more else True
        return replace(model, rate=np.where(known, rate, np.nan), **more)


def read_bkg_2d(hdu: "fits.BinTableHDU", column: str, inside: bool = False) -> BackgroundCube:
    """The BKG_2D of a table as a cube over a square grid.

    Each ring has one rate, constant between its edges; outside of the last ring the rate is 0.
    A pixel has the average of the rates at 16 × 16 points in it, evenly spread in solid angle;
    pixels are half as wide as the narrowest ring, 64 to 160 on a side. So the whole is kept to
    0.1 %.

    Parameters
    ----------
    hdu : BinTableHDU
        The table of rates.
    column : str
        Name of the column of rates.
    inside : bool
        Take the square inside of the last ring, of which the file says everything, in place
        of that around it.

    Returns
    -------
    cube : BackgroundCube
        Per ontime, as GADF has it; ALTAZ. Unknown rates, NaN, are 0.

    Raises
    ------
    ValueError
        If the table is not as it should be.
    """
    energy, offset, rate = _read_rings(hdu, column)
    return cube_of_rings(energy, offset, rate, inside)


def _read_rings(hdu, column):
    """Edges in energy and offset, and rates."""
    energy, offset = tables.read_edges(hdu, "ENERG", "TeV"), tables.read_edges(hdu, "THETA", "deg")
    if offset[0] < 0 or offset[-1] > 180 or not np.all(np.diff(offset) > 0):
        got = f"THETA edges: got {in_brief(offset)}"
        raise ValueError(f"{got}, expected deg from 0 to 180 at most, increasing")
    lengths = {"ENERG": energy.size - 1, "THETA": offset.size - 1}
    return energy, offset, tables.read_rate(hdu, column, lengths)


def cube_of_rings(
    energy: np.ndarray, offset: np.ndarray, rate: np.ndarray, inside: bool = False
) -> BackgroundCube:
    """A rate in rings as a cube over a square grid; see `read_bkg_2d`.

    Parameters
    ----------
    energy, offset : ndarray
        Edges, TeV and deg.
    rate : ndarray, shape (n_energy, n_ring)
        s-1 MeV-1 sr-1, per second of ontime; NaN is 0.
    inside : bool
        Take the square inside of the last ring.
    """
    # On the sphere the corners of a square are nearer than on a plane.
    widest = offset[-1] / np.sqrt(2) if inside else offset[-1]
    number = int(np.clip(np.ceil(4 * widest / np.diff(offset).min()), *PIXELS))
    angle = np.linspace(-widest, widest, number + 1)
    axes = Axes(energy, angle, angle)
    # Outside of the rings the rate is 0.
    profiles = np.pad(np.nan_to_num(rate), ((0, 0), (0, 1)))
    return BackgroundCube(axes, averages_in_pixels(axes, offset, profiles), clock="ontime")
