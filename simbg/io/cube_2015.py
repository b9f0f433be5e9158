"""2015's cube files, a table and an image for DS9: reading and writing.

Their arrays are (energy, fov_lat, fov_lon) and are transposed here; rates are per livetime.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from simbg.axes import MEV_PER_TEV, Axes
from simbg.cube import BackgroundCube
from simbg.io import tables
from simbg.io.files.plain_output import NewHdu, image, one_row, rows

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = []

UNIT = {"MeV": "1 / (s sr MeV)", "TeV": "1 / (s sr TeV)"}
# The rate in MeV-1, times this, is that in the other unit.
SCALE = {"MeV": 1.0, "TeV": MEV_PER_TEV}
# HDU, column and attribute.
HDUS = (
    ("COUNTS", "COUNTS", "counts"),
    ("LIVETIME", "LIVETIME", "livetime"),
    ("BACKGROUND", "Bgd", "rate"),
)


def table_hdus(cube: BackgroundCube, energy_unit: str) -> list[NewHdu]:
    """The HDUs of 2015's table file of a cube; ``energy_unit`` of the rate is MeV or TeV."""
    cube = cube.per("livetime")
    rate = cube.rate * SCALE[energy_unit]
    arrays = (cube.counts, ""), (cube.livetime, "s"), (rate, UNIT[energy_unit])
    edges = tables.cube_edge_columns(cube.axes)
    return [
        one_row(extension, [*edges, (name, values.swapaxes(1, 2), unit)])
        for (extension, name, _), (values, unit) in zip(HDUS, arrays, strict=True)
        if values is not None
    ]


def read_table(file: "fits.HDUList") -> BackgroundCube:
    """The cube of 2015's table file, an open HDU list."""
    hdu = file["BACKGROUND"]
    names = hdu.columns.names if hasattr(hdu, "columns") else None
    if names is None or "Bgd" not in names:
        got = "an image" if names is None else f"columns {names}"
        raise ValueError(
            f"BACKGROUND: got {got}, expected a table with a column BKG (GADF) or Bgd (2015); "
            "a map of the sky is not a background model in the field of view"
        )
    arrays: dict[str, Any] = {
        attribute: tables.read_array(file[extension], name, 3).swapaxes(1, 2)
        for extension, name, attribute in HDUS
        if extension in file
    }
    arrays["rate"] *= tables.rate_factor(hdu, "Bgd")
    tables.check_rates(arrays["rate"], "BACKGROUND: Bgd")
    return BackgroundCube(tables.read_axes(hdu, "ALTAZ"), **arrays)


def image_hdus(cube: BackgroundCube, energy_unit: str) -> list[NewHdu]:
    """The HDUs of 2015's image of the rate; ``energy_unit`` of the rate is MeV or TeV."""
    cube = cube.per("livetime")
    field = []
    for name, edges in (("DETX", cube.axes.fov_lon), ("DETY", cube.axes.fov_lat)):
        step = (edges[-1] - edges[0]) / (edges.size - 1)
        if not _even(edges):
            raise ValueError(f"{name} bins are not evenly spaced: no linear WCS can describe them")
        field.append((name, "deg", 0.5, edges[0], step))
    energy = cube.axes.energy_center
    step = (energy[-1] - energy[0]) / max(energy.size - 1, 1) or np.diff(cube.axes.energy)[0]
    # The name and the unit are those of 2015, and no linear axis is right for them in between.
    header = dict[str, Any]()
    _describe(header, [*field, ("ENERG", "TeV", 1.0, energy[0], step)])
    if _even(log_edges := np.log(cube.axes.energy)):
        step = energy[0] * (log_edges[-1] - log_edges[0]) / energy.size
        header["WCSNAMEA"] = "LOGARITHMIC"
        _describe(header, [*field, ("ENER-LOG", "TeV", 1.0, energy[0], step)], "A")
    header["DATAUNIT"] = UNIT[energy_unit]
    pixels = image(cube.rate.swapaxes(1, 2) * SCALE[energy_unit], header)
    return [pixels, rows("EBOUNDS", [("ENERGY", cube.axes.energy, "TeV")])]


def read_image(file: "fits.HDUList") -> BackgroundCube:
    """The cube of 2015's image, an open HDU list."""
    (pixels, header), bounds = (file[0].data, file[0].header), file["EBOUNDS"]
    edges = []
    for i in (1, 2):
        if (unit := str(header.get(f"CUNIT{i}", "deg")).strip()) != "deg":
            raise ValueError(f"CUNIT{i}: got {unit}, expected deg")
        number = np.arange(header[f"NAXIS{i}"] + 1) + 0.5
        edges.append(header[f"CRVAL{i}"] + (number - header[f"CRPIX{i}"]) * header[f"CDELT{i}"])
    energy = tables.column(bounds, "ENERGY", "TeV", positive=True)
    rate = np.array(pixels, float).swapaxes(1, 2)
    rate *= tables.factor(header["DATAUNIT"], tables.RATE_UNIT)
    tables.check_rates(rate, "image")
    return BackgroundCube(Axes(energy, *edges), rate)


def _describe(header, axes, key=""):
    """Say what the axes are: name, unit, a pixel, its value, and the step of each."""
    for number, values in enumerate(axes, 1):
        for word, value in zip(("CTYPE", "CUNIT", "CRPIX", "CRVAL", "CDELT"), values, strict=True):
            header[f"{word}{number}{key}"] = value


def _even(edges):
    """Whether edges are evenly spaced."""
    steps = np.diff(edges)
    return np.allclose(steps, steps.mean(), rtol=1e-6, atol=0)
