"""Background cubes in files of any format: which format a file has, and whose code reads it.

Arrays in memory are (energy, fov_lon, fov_lat). See FORMATS.md beside this file.
"""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.io.bkg_2d import read_bkg_2d
from simbg.io.bkg_3d import bkg_3d_hdus, read_bkg_3d
from simbg.io.cube_2015 import image_hdus, read_image, read_table, table_hdus
from simbg.io.safe_files import expanded, open_fits, write_fits
from simbg.io.tables import find_rate, has_unknown_order
from simbg.radial import RadialModel

__all__ = ["is_radial", "read_cube", "read_model", "read_pair", "write_cube"]

log = logging.getLogger(__name__)

FORMATS = {"gadf": bkg_3d_hdus, "table": table_hdus, "image": image_hdus}


def write_cube(
    path: Path | str,
    cube: BackgroundCube,
    format: str = "gadf",
    energy_unit: str = "MeV",
    overwrite: bool = False,
    nodes: BackgroundCube | None = None,
) -> None:
    """Write a cube; a name in .gz is compressed.

    Parameters
    ----------
    path : path-like
        The file to write.
    cube : BackgroundCube
        The cube to write; its rate is converted to the clock of the format.
    format : {"gadf", "table", "image"}
        "gadf": BKG_3D, per observation time, with a SUPPLEMENT of errors, counts and
        exposure; "table": 2015's COUNTS, LIVETIME and BACKGROUND; "image": 2015's image
        of the rate for DS9. The 2015 formats are per livetime.
    energy_unit : {"MeV", "TeV"}
        Unit of energy in the rate, for the formats of 2015.
    overwrite : bool
        Replace a file that is there.
    nodes : BackgroundCube, optional
        For "gadf": rates at the centres of its bins, which gammapy reads instead of those of
        ``cube``; see `simbg.models.interpolation.nodes`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from simbg.axes import edition2015_axes
    >>> from simbg.cube import BackgroundCube
    >>> axes = edition2015_axes()
    >>> full = np.ones(axes.shape)
    >>> cube = BackgroundCube(axes, 1e-6 * full, livetime=900 * full, ontime=1000 * full)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("gadf", "table", "image"):
    ...         write_cube(f"{folder}/{name}.fits.gz", cube, name)
    ...     again = read_cube(f"{folder}/gadf.fits.gz")
    >>> again.clock, float(again.per("livetime").rate[0, 0, 0])
    ('ontime', 1e-06)
    """
    if format not in FORMATS:
        raise ValueError(f"format: got {format!r}, expected one of {', '.join(sorted(FORMATS))}")
    more = {} if nodes is None else {"nodes": nodes}
    write_fits(expanded(path), FORMATS[format](cube, energy_unit, **more), overwrite)


def read_cube(path: Path | str) -> BackgroundCube:
    """Read a cube of any of the three formats.

    Parameters
    ----------
    path : path-like
        FITS, compressed or not.

    Returns
    -------
    cube : BackgroundCube
        Rate in s-1 MeV-1 sr-1; with counts and livetime where the file has them.

    Raises
    ------
    ValueError
        If the file holds none of the formats, or not as they should be.
    """

    def refuse(hdu, column):
        raise ValueError(
            f"{path}: got a BKG_2D, expected a cube; simbg.CubeTruth.read (simbg truth --from) "
            "reads it"
        )

    return _read(path, refuse)


def read_model(path: Path | str, inside: bool = False) -> BackgroundCube:
    """The cube of any background file: a BKG_2D, or what `read_cube` reads.

    Parameters
    ----------
    path : path-like
        FITS, compressed or not.
    inside : bool
        A BKG_2D, see `simbg.io.bkg_2d.read_bkg_2d`, becomes a cube over the square inside its
        last ring, and not over the square around it.
    """
    return _read(path, partial(read_bkg_2d, inside=inside))


def read_pair(a: Path | str, b: Path | str) -> tuple[BackgroundCube, BackgroundCube]:
    """Two background files to compare.

    Parameters
    ----------
    a, b : path-like
        FITS, compressed or not. If only one is a BKG_2D, and the energies are the same, its rings
        are averaged in the pixels of the other cube, without the pixels beyond the last ring.
    """
    a_radial, b_radial = (is_radial(path) for path in (a, b))
    if a_radial == b_radial:
        return read_model(a), read_model(b)
    radial, other = (a, b) if a_radial else (b, a)
    rings, cube = RadialModel.read(radial), read_model(other)
    if cube.axes.energy.size == rings.energy.size and np.allclose(cube.axes.energy, rings.energy):
        averages = rings.cube(cube.axes)
        cube = _within(cube, np.isfinite(averages.rate).any(axis=0))
    else:
        averages = read_model(radial, inside=True)
    return (averages, cube) if a_radial else (cube, averages)


def _within(cube, pixels):
    """A cube without rate, counts and exposure in other pixels."""
    names = ("counts", "livetime", "ontime")
    arrays: dict[str, Any] = {name: getattr(cube, name) for name in names}
    kept = {name: np.where(pixels, v, 0) for name, v in arrays.items() if v is not None}
    return replace(cube, rate=np.where(pixels, cube.rate, np.nan), **kept)


def is_radial(path: Path | str) -> bool:
    """Whether a background file is a BKG_2D, with rates in rings.

    Parameters
    ----------
    path : path-like
        FITS, compressed or not.
    """
    with open_fits(expanded(path)) as file:
        found = find_rate(file)
        return found is not None and "THETA_LO" in found[0].columns.names


def _read(path, read_radial):
    with open_fits(expanded(path)) as file:
        if found := find_rate(file):
            is_radial = "THETA_LO" in found[0].columns.names
            if has_unknown_order(*found):
                log.warning(
                    "%s: %s: the axes have the same number of bins, and there is no keyword CREF: "
                    "their order is not known; the order of GADF is assumed (ENERG fastest)",
                    *(path, found[1]),
                )
            return read_radial(*found) if is_radial else read_bkg_3d(file, *found)
        if "BACKGROUND" in file:
            return read_table(file)
        if "EBOUNDS" in file:
            return read_image(file)
        names = [hdu.name for hdu in file]
        raise ValueError(
            f"{path}: got HDUs {names}, expected a BKG_3D, or a table or image of 2015"
        )
