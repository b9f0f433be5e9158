"""Cube files: 2015's table and image, and GADF's BKG_3D.

In memory arrays are (energy, fov_lon, fov_lat). 2015's tables and images are
(energy, dety, detx) and turned round here. See FORMATS.md beside this file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits

from simbg import __version__
from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube
from simbg.io.files import open_fits, write_fits

__all__ = ["FORMATS", "read_cube", "write_cube"]

RATE_UNIT = u.Unit("s-1 MeV-1 sr-1")
UNIT_2015 = {"MeV": "1 / (s sr MeV)", "TeV": "1 / (s sr TeV)"}
HDUS_2015 = (
    ("COUNTS", "COUNTS", "counts"),
    ("LIVETIME", "LIVETIME", "livetime"),
    ("BACKGROUND", "Bgd", "rate"),
)


def write_cube(path, cube, format="gadf", energy_unit="MeV", overwrite=False):
    """Write a cube; a name in .gz is compressed.

    Parameters
    ----------
    path : path-like
    cube : BackgroundCube
    format : {"gadf", "table", "image"}
        "gadf": BKG_3D, per observation time; "table": 2015's COUNTS, LIVETIME and
        BACKGROUND; "image": 2015's image of the rate for DS9. The 2015 formats
        are per livetime.
    energy_unit : {"MeV", "TeV"}
        Of the rate, in the 2015 formats.
    overwrite : bool
    """
    if format not in FORMATS:
        raise ValueError(f"format: got {format!r}, expected one of {sorted(FORMATS)}")
    write_fits(path, FORMATS[format](cube, energy_unit), overwrite)


def read_cube(path):
    """Read a cube of any of the three formats.

    Returns
    -------
    cube : BackgroundCube
        Rate in s-1 MeV-1 sr-1; with counts and livetime where the file has them.

    Raises
    ------
    ValueError
        If the file holds none of the formats, or not as they should be.
    """
    with open_fits(path) as file:
        names = [hdu.name for hdu in file]
        try:
            for hdu in file[1:]:
                if "BKG" in hdu.columns.names and "DETX_LO" in hdu.columns.names:
                    return _from_gadf(hdu)
            if "BACKGROUND" in names:
                return _from_table(file)
            if "EBOUNDS" in names:
                return _from_image(file)
        except (KeyError, IndexError, TypeError, u.UnitsError, ValueError) as error:
            raise ValueError(f"{path}: not a readable background cube ({error})") from error
    raise ValueError(f"{path}: got HDUs {names}, expected BKG_3D, BACKGROUND or EBOUNDS")


def _to_gadf(cube, energy_unit):
    """BKG_3D: rate per observation time, with FOVALIGN and the axis order (E, X, Y) said."""
    if cube.ontime is not None and cube.livetime is not None:
        cube = cube.per("ontime")
    data = np.nan_to_num(cube.rate).transpose(2, 1, 0)  # FITS order (E, X, Y) is (Y, X, E) here
    columns = _edge_columns(cube.axes)
    columns.append(_column("BKG", data, "s-1 MeV-1 sr-1"))
    hdu = fits.BinTableHDU.from_columns(columns, name="BACKGROUND")
    hdu.header.update(
        {
            "HDUCLASS": "GADF",
            "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
            "HDUVERS": "0.3",
            "HDUCLAS1": "RESPONSE",
            "HDUCLAS2": "BKG",
            "HDUCLAS3": "FULL-ENCLOSURE",
            "HDUCLAS4": "BKG_3D",
            "FOVALIGN": cube.axes.align,
            "CREF7": "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)",
            "BKGCLOCK": (cube.clock, "what a second of BKG is"),
            "CREATOR": f"simbg {__version__}",
        }
    )
    hdu.header.update({key: value for key, value in cube.meta.items() if len(key) <= 8})
    return [fits.PrimaryHDU(), hdu]


def _from_gadf(hdu):
    axes = _axes(hdu, str(hdu.header.get("FOVALIGN", "ALTAZ")).strip().upper())
    data = np.array(hdu.data["BKG"][0], dtype=float)
    n_energy, n_lon, n_lat = axes.shape
    # The specification lets files have either order; where lengths tell them apart, they do.
    if (
        data.shape == (n_lat, n_lon, n_energy)
        and "(DETX" not in str(hdu.header.get("CREF7", ""))[:6]
    ):
        data = data.transpose(2, 1, 0)
    elif data.shape == (n_energy, n_lat, n_lon):
        data = data.transpose(0, 2, 1)
    else:
        raise ValueError(f"BKG of shape {data.shape}, expected {(n_lat, n_lon, n_energy)}")
    rate = data * u.Unit(hdu.columns["BKG"].unit or "").to(RATE_UNIT)
    return BackgroundCube(axes, rate, clock=str(hdu.header.get("BKGCLOCK", "ontime")))


def _to_table(cube, energy_unit):
    cube = cube.per("livetime")
    hdus = [fits.PrimaryHDU()]
    for extension, name, attribute in HDUS_2015:
        values = getattr(cube, attribute)
        if values is None:
            continue
        unit = {"counts": "", "livetime": "s"}.get(attribute, UNIT_2015[energy_unit])
        if attribute == "rate":
            values = values * (MEV_PER_TEV if energy_unit == "TeV" else 1.0)
        columns = [*_edge_columns(cube.axes), _column(name, values.transpose(0, 2, 1), unit)]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=extension))
    return hdus


def _from_table(file):
    arrays = {}
    for extension, name, attribute in HDUS_2015:
        if extension in file:
            hdu = file[extension]
            arrays[attribute] = np.array(hdu.data[name][0], dtype=float).transpose(0, 2, 1)
    hdu = file["BACKGROUND"]
    arrays["rate"] *= u.Unit(hdu.columns["Bgd"].unit).to(RATE_UNIT)
    return BackgroundCube(_axes(hdu, "ALTAZ"), **arrays)


def _to_image(cube, energy_unit):
    cube = cube.per("livetime")
    scale = MEV_PER_TEV if energy_unit == "TeV" else 1.0
    image = fits.PrimaryHDU(cube.rate.transpose(0, 2, 1) * scale)
    for i, (name, edges) in enumerate(
        (("DETX", cube.axes.fov_lon), ("DETY", cube.axes.fov_lat)), 1
    ):
        step = (edges[-1] - edges[0]) / (edges.size - 1)
        if not np.allclose(np.diff(edges), step, rtol=1e-6, atol=0):
            raise ValueError(f"{name} bins are not evenly spaced: no linear WCS can describe them")
        image.header.update(
            {
                f"CTYPE{i}": name,
                f"CUNIT{i}": "deg",
                f"CRPIX{i}": 0.5,
                f"CRVAL{i}": edges[0],
                f"CDELT{i}": step,
            }
        )
    image.header.update({"CTYPE3": "ENERG", "CUNIT3": "TeV", "DATAUNIT": UNIT_2015[energy_unit]})
    bounds = fits.BinTableHDU.from_columns(
        [fits.Column("ENERGY", "D", unit="TeV", array=cube.axes.energy)], name="EBOUNDS"
    )
    return [image, bounds]


def _from_image(file):
    image, bounds = file[0], file["EBOUNDS"]
    edges = []
    for i in (1, 2):
        header = image.header
        number = np.arange(header[f"NAXIS{i}"] + 1) + 0.5
        edges.append(header[f"CRVAL{i}"] + (number - header[f"CRPIX{i}"]) * header[f"CDELT{i}"])
    energy = np.array(bounds.data["ENERGY"], float) * u.Unit(bounds.columns["ENERGY"].unit).to(
        "TeV"
    )
    rate = np.array(image.data, float).transpose(0, 2, 1) * u.Unit(image.header["DATAUNIT"]).to(
        RATE_UNIT
    )
    return BackgroundCube(Axes(energy, *edges), rate)


FORMATS = {"gadf": _to_gadf, "table": _to_table, "image": _to_image}


def _edge_columns(axes):
    edges = (
        ("DETX", axes.fov_lon, "deg"),
        ("DETY", axes.fov_lat, "deg"),
        ("ENERG", axes.energy, "TeV"),
    )
    return [
        _column(f"{name}_{end}", values[part], unit)
        for name, values, unit in edges
        for end, part in (("LO", slice(None, -1)), ("HI", slice(1, None)))
    ]


def _column(name, values, unit):
    """A column of one row."""
    dim = "(" + ",".join(map(str, values.shape[::-1])) + ")" if values.ndim > 1 else None
    array = np.ascontiguousarray(values, dtype=float)[None]
    return fits.Column(name, f"{values.size}D", unit=unit or None, dim=dim, array=array)


def _axes(hdu, align):
    edges = []
    for name, unit in (("ENERG", "TeV"), ("DETX", "deg"), ("DETY", "deg")):
        low, high = (
            np.array(hdu.data[f"{name}_{end}"][0], float)
            * u.Unit(hdu.columns[f"{name}_{end}"].unit or unit).to(unit)
            for end in ("LO", "HI")
        )
        edges.append(np.append(low, high[-1]))
    return Axes(*edges, align=align)


def is_cube(path):
    """Whether a file's name is that of a cube of a set of models."""
    return Path(path).name.endswith(("_table.fits.gz", "_table.fits"))
