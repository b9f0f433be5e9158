"""Cube files: 2015's table and image, and GADF's BKG_3D.

In memory arrays are (energy, fov_lon, fov_lat). 2015's tables and images are
(energy, dety, detx) and turned round here. See FORMATS.md beside this file.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from astropy import units as u
from astropy.io import fits

from simbg import __version__
from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube
from simbg.io.columns import one_row_hdu
from simbg.io.files import open_fits, write_fits

__all__ = ["FORMATS", "read_cube", "write_cube"]

AXES = ("ENERG", "DETX", "DETY")
UNITS = {"ENERG": "TeV", "DETX": "deg", "DETY": "deg"}
# GADF's name, and that of CTA's first data challenge.
RATE_COLUMNS = {"BKG", "BGD"}
RATE_UNIT = u.Unit("s-1 MeV-1 sr-1")
UNIT_2015 = {"MeV": "1 / (s sr MeV)", "TeV": "1 / (s sr TeV)"}
HDUS_2015 = (
    ("COUNTS", "COUNTS", "counts"),
    ("LIVETIME", "LIVETIME", "livetime"),
    ("BACKGROUND", "Bgd", "rate"),
)
GADF_BKG = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
    "HDUVERS": "0.3",
    "HDUCLAS1": "RESPONSE",
    "HDUCLAS2": "BKG",
    "HDUCLAS3": "FULL-ENCLOSURE",
}
# Column, attribute and unit of what stands beside BKG_3D in our files.
SUPPLEMENT = (
    ("BKG_ERR", "rate_error", "s-1 MeV-1 sr-1"),
    ("COUNTS", "counts", ""),
    ("LIVETIME", "livetime", "s"),
    ("ONTIME", "ontime", "s"),
)


def write_cube(path, cube, format="gadf", energy_unit="MeV", overwrite=False):
    """Write a cube; a name in .gz is compressed.

    Parameters
    ----------
    path : path-like
    cube : BackgroundCube
    format : {"gadf", "table", "image"}
        "gadf": BKG_3D, per observation time, with a SUPPLEMENT of errors, counts and
        exposure; "table": 2015's COUNTS, LIVETIME and BACKGROUND; "image": 2015's image
        of the rate for DS9. The 2015 formats are per livetime.
    energy_unit : {"MeV", "TeV"}
        Of the rate, in the 2015 formats.
    overwrite : bool

    Examples
    --------
    >>> import tempfile
    >>> from simbg.axes import edition2015_axes
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
        for hdu in file:
            columns = hdu.columns.names if isinstance(hdu, fits.BinTableHDU) else ()
            for name in RATE_COLUMNS & set(columns):
                if "THETA_LO" in columns:
                    raise ValueError(
                        f"{path}: got a BKG_2D, expected a cube; simbg truth --from makes one"
                    )
                return _with_supplement(_from_gadf(hdu, name), file)
        if "BACKGROUND" in names:
            return _from_table(file)
        if "EBOUNDS" in names:
            return _from_image(file)
        raise ValueError(f"{path}: got HDUs {names}, expected a BKG_3D, or 2015's table or image")


def _to_gadf(cube, energy_unit):
    """BKG_3D: rate per observation time, with FOVALIGN and the axis order (E, X, Y) said."""
    data = cube.per("ontime").rate
    # Energies below all thresholds are 0; what masks hide is no rate that anybody may use.
    known = np.isfinite(data).any(axis=(1, 2))
    if known.any():
        data = np.where((np.cumsum(known) > 0)[:, None, None], data, 0.0)
    # FITS counts axes from the fastest: its (E, X, Y) is (Y, X, E) here.
    columns = [*_edge_columns(cube.axes), ("BKG", data.transpose(2, 1, 0), "s-1 MeV-1 sr-1")]
    header = {
        **GADF_BKG,
        "HDUCLAS4": "BKG_3D",
        "FOVALIGN": cube.axes.align,
        "CREF7": "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)",
        "CREATOR": f"simbg {__version__}",
    }
    header |= {key: value for key, value in cube.meta.items() if len(key) <= 8}
    return [fits.PrimaryHDU(), one_row_hdu("BACKGROUND", columns, header), *_supplement(cube)]


def _supplement(cube):
    """What BKG_3D has no place for, in an HDU of our own and in the same order of axes."""
    cube = cube.per("ontime")
    columns = [
        (name, values.transpose(2, 1, 0), unit)
        for name, attribute, unit in SUPPLEMENT
        if (values := getattr(cube, attribute)) is not None
    ]
    return [one_row_hdu("SUPPLEMENT", columns)] if columns else []


def _with_supplement(cube, file):
    if "SUPPLEMENT" not in file:
        return cube
    hdu = file["SUPPLEMENT"]
    more = {
        attribute: _in_row(hdu, name).transpose(2, 1, 0)
        for name, attribute, _ in SUPPLEMENT
        if name in hdu.columns.names
    }
    # BKG_3D says 0 at energies of which nothing is known.
    known = (more["ontime"] > 0) | (cube.rate != 0) if "ontime" in more else True
    rate = np.where(known, cube.rate, np.nan)
    return replace(cube, rate=rate, **more)


def _from_gadf(hdu, name):
    axes = _axes(hdu, str(hdu.header.get("FOVALIGN", "ALTAZ")).strip().upper())
    data = _in_row(hdu, name)
    length = dict(zip(AXES, axes.shape, strict=True))
    said = re.findall("(ENERG|DETX|DETY)_LO", str(hdu.header.get(_cref(hdu, name), "")))
    # Fastest first: as the file says, or else as GADF recommends, or as older files are.
    for order in (said, AXES, (*AXES[1:], AXES[0])):
        slowest_first = list(order)[::-1]
        if set(order) == set(AXES) and data.shape == tuple(length[a] for a in slowest_first):
            data = data.transpose([slowest_first.index(axis) for axis in AXES])
            return BackgroundCube(axes, data * _in_rate_unit(hdu, name), clock="ontime")
    raise ValueError(f"{name} of shape {data.shape}, expected {axes.shape[::-1]}")


def _in_row(hdu, name):
    """The array in the one row of a table; a single value comes without its dimensions."""
    data = np.array(hdu.data[name][0], float)
    return data if data.ndim else data.reshape(1, 1, 1)


def _cref(hdu, name):
    return f"CREF{hdu.columns.names.index(name) + 1}"


def _in_rate_unit(hdu, name):
    """Factor to our unit. More than one slash, as in CTA's 1/s/MeV/sr, is read from the left."""
    first, *others = (hdu.columns[name].unit or "").replace(" ", "").split("/")
    if len(others) < 2:
        return u.Unit(hdu.columns[name].unit or "").to(RATE_UNIT)
    return (u.Unit(first) / np.prod([u.Unit(other) for other in others])).to(RATE_UNIT)


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
        columns = [*_edge_columns(cube.axes), (name, values.transpose(0, 2, 1), unit)]
        hdus.append(one_row_hdu(extension, columns))
    return hdus


def _from_table(file):
    arrays = {}
    for extension, name, attribute in HDUS_2015:
        if extension in file:
            hdu = file[extension]
            arrays[attribute] = _in_row(hdu, name).transpose(0, 2, 1)
    hdu = file["BACKGROUND"]
    arrays["rate"] *= _in_rate_unit(hdu, "Bgd")
    return BackgroundCube(_axes(hdu, "ALTAZ"), **arrays)


def _to_image(cube, energy_unit):
    cube = cube.per("livetime")
    scale = MEV_PER_TEV if energy_unit == "TeV" else 1.0
    image = fits.PrimaryHDU(cube.rate.transpose(0, 2, 1) * scale)
    field = []
    for name, edges in (("DETX", cube.axes.fov_lon), ("DETY", cube.axes.fov_lat)):
        step = (edges[-1] - edges[0]) / (edges.size - 1)
        if not _even(edges):
            raise ValueError(f"{name} bins are not evenly spaced: no linear WCS can describe them")
        field.append((name, "deg", 0.5, edges[0], step))
    energy = cube.axes.energy_center
    step = (energy[-1] - energy[0]) / max(energy.size - 1, 1) or np.diff(cube.axes.energy)[0]
    # The name and the unit are those of 2015, and no linear axis is right for them in between.
    _describe(image.header, [*field, ("ENERG", "TeV", 1.0, energy[0], step)])
    if _even(log_edges := np.log(cube.axes.energy)):
        step = energy[0] * (log_edges[-1] - log_edges[0]) / energy.size
        image.header["WCSNAMEA"] = "LOGARITHMIC"
        _describe(image.header, [*field, ("ENER-LOG", "TeV", 1.0, energy[0], step)], "A")
    image.header["DATAUNIT"] = UNIT_2015[energy_unit]
    bounds = fits.BinTableHDU.from_columns(
        [fits.Column("ENERGY", "D", unit="TeV", array=cube.axes.energy)], name="EBOUNDS"
    )
    return [image, bounds]


def _describe(header, axes, key=""):
    """Say what the axes are: name, unit, a pixel, its value, and the step of each."""
    for number, values in enumerate(axes, 1):
        for word, value in zip(("CTYPE", "CUNIT", "CRPIX", "CRVAL", "CDELT"), values, strict=True):
            header[f"{word}{number}{key}"] = value


def _even(edges):
    """Whether edges are evenly spaced."""
    steps = np.diff(edges)
    return np.allclose(steps, steps.mean(), rtol=1e-6, atol=0)


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
    edges = dict(zip(AXES[1:] + AXES[:1], (axes.fov_lon, axes.fov_lat, axes.energy), strict=True))
    return [
        (f"{name}_{end}", values[part], UNITS[name])
        for name, values in edges.items()
        for end, part in (("LO", slice(None, -1)), ("HI", slice(1, None)))
    ]


def _axes(hdu, align):
    edges = []
    for name in AXES:
        low, high = (
            np.atleast_1d(np.array(hdu.data[f"{name}_{end}"][0], float))
            * u.Unit(hdu.columns[f"{name}_{end}"].unit or UNITS[name]).to(UNITS[name])
            for end in ("LO", "HI")
        )
        edges.append(np.append(low, high[-1]))
    return Axes(*edges, align=align)
