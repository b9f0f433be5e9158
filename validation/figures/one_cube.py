"""The figure of one model, a cube or rings: images at a few energies, spectra, and profiles."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simbg.cube import BackgroundCube
from simbg.io.cubes import is_radial, read_model
from simbg.io.safe_files import check_apart, expanded, new_file
from simbg.radial import RadialModel
from simbg.validation.figures import curves, images, style

__all__ = ["cube_figure", "plot_file", "radial_figure", "save_figure"]

log = logging.getLogger(__name__)

CLOCKS = {"livetime": "livetime", "ontime": "observation time"}
# Number of rings whose spectra are drawn.
N_SPECTRA = 4


def plot_file(path: Path | str, out: Path | str | None = None, overwrite: bool = False) -> Path:
    """Draw a background file of any format.

    Parameters
    ----------
    path : path-like
        A file that `simbg.io.cubes.read_model` reads: BKG_3D, BKG_2D, or table or image of 2015.
    out : path-like, optional
        A PNG or PDF, by its ending; by default a PNG in the working directory, with the name of
        the file.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    out : Path
        The figure.

    Raises
    ------
    ValueError
        If ``out`` has another ending, or is the file itself.
    """
    name = Path(path).name
    picture = Path(name.removesuffix(".gz")).with_suffix(".png") if out is None else Path(out)
    _check_picture(picture, path)  # before the file is read
    model: Any = RadialModel.read(path) if is_radial(path) else read_model(path)
    if negative := int(np.count_nonzero(model.rate < 0)):
        log.warning("%s: %d bins have negative rates", path, negative)
    draw = radial_figure if isinstance(model, RadialModel) else cube_figure
    save_figure(draw(model, name), picture, overwrite)
    return picture


def save_figure(figure: Figure, path: Path | str, overwrite: bool = False) -> None:
    """Write a figure as PNG or PDF, by the ending of ``path``."""
    path = expanded(path)
    kind = _check_ending(path)
    with new_file(path, overwrite) as temporary:
        temporary.write_bytes(style.encode(figure, kind))


def _check_picture(path, *inputs):
    """Refuse a picture of another kind, or one that is an input."""
    _check_ending(Path(path))
    check_apart(path, *inputs)


def _check_ending(path):
    if (kind := path.suffix.lower()) not in (".png", ".pdf"):
        raise ValueError(f"{path}: got the ending {path.suffix!r}, expected .png or .pdf")
    return kind[1:]


@style.styled
def cube_figure(cube: BackgroundCube, title: str = "") -> Figure:
    """Images at up to four energies, spectra at three positions, radial profiles of the images.

    Parameters
    ----------
    cube : BackgroundCube
        The cube.
    title : str
        Title of the figure.

    Returns
    -------
    figure : Figure
        Outside pyplot.
    """
    figure = style.new_figure(13.8, 7.2, f"{title}\n{_describe(cube)}".strip())
    bins = {images.span_text(cube.axes, k): k for k in images.spread_bins(cube.spectrum > 0, 4)}
    panels = [images.Panel(cube.rate[k], span, _scale(cube.rate[k])) for span, k in bins.items()]
    images.draw_rows(figure, cube.axes, {"": panels}, bottom=4.2, size=2.05)
    _draw_spectra(style.add_axes(figure, 0.75, 0.5, 5.9, 2.9), cube)
    _draw_profiles(style.add_axes(figure, 7.5, 0.5, 5.9, 2.9), cube, bins)
    return figure


@style.styled
def radial_figure(model: RadialModel, title: str = "") -> Figure:
    """Rings at up to four energies, the spectrum of some rings, radial profiles of the images.

    Parameters
    ----------
    model : RadialModel
        The model, a BKG_2D.
    title : str
        Title of the figure.

    Returns
    -------
    figure : Figure
        Outside pyplot.
    """
    text = f"{' × '.join(map(str, model.shape))} bins (energy, offset), per second of "
    text += f"{CLOCKS[model.clock]}; {np.nansum(model.spectrum):.4g} s⁻¹ in all"
    figure = style.new_figure(13.8, 7.2, f"{title}\n{text}".strip())
    filled = images.spread_bins(model.spectrum > 0, 4)
    bins = {"{:.3g} to {:.3g} TeV".format(*model.energy[k : k + 2]): int(k) for k in filled}
    for number, (span, k) in enumerate(bins.items()):
        _draw_rings(figure, 0.7 + 3.33 * number, model, k, span)
    spectra = style.add_axes(figure, 0.75, 0.5, 5.9, 2.9)
    error = np.full(model.shape, np.nan) if model.rate_error is None else model.rate_error
    rings = np.unique(np.linspace(0, model.shape[1] - 1, N_SPECTRA).astype(int))
    for number, ring in enumerate(rings):
        name = "{:.3g} to {:.3g} deg".format(*model.offset[ring : ring + 2])
        _draw(
            spectra, curves.Curve(model.energy, model.rate[:, ring], error[:, ring]), number, name
        )
    _set_spectra(spectra, model.energy, model.rate[:, rings])
    profiles = style.add_axes(figure, 7.5, 0.5, 5.9, 2.9)
    field = model.spectrum / np.where(np.isfinite(model.rate), model.volume, 0).sum(axis=1)
    for number, (name, k) in enumerate(bins.items()):
        if field[k] > 0:
            rate, spread = model.rate[k] / field[k], error[k] / field[k]
            _draw(profiles, curves.Curve(model.offset, rate, spread), number, name)
    _set_profiles(profiles)
    return figure


def _draw_rings(figure, left, model, k, span):
    """An energy bin of a radial model: each ring in its colour."""
    axes = style.add_axes(figure, left, 4.2, 2.05, 2.05)
    angle = np.linspace(0, 2 * np.pi, 181)
    x, y = (np.outer(model.offset, f(angle)) for f in (np.cos, np.sin))
    rates = np.repeat(model.rate[k][:, None], angle.size - 1, axis=1)
    mesh = axes.pcolormesh(x, y, np.ma.masked_invalid(rates), rasterized=True, **_scale(rates))
    edge = model.offset[-1]
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), xlabel="fov_lon / deg", title=span)
    if left < 1:
        axes.set_ylabel("fov_lat / deg")
    bar = style.add_axes(figure, left + 2.13, 4.2, 0.1, 2.05)
    images.draw_bar(bar, mesh, images.Panel(rates, span, _scale(rates)))


def _describe(cube):
    """Number of bins, alignment, clock and integral, in words."""
    bins = f"{' × '.join(map(str, cube.axes.shape))} bins (energy, fov_lon, fov_lat)"
    clock = CLOCKS[cube.clock]
    return f"{bins}, {cube.axes.align}, per second of {clock}; {cube.total:.4g} s⁻¹ in all"


def _scale(image):
    """A scale from zero, or from the lowest rate if that is negative."""
    finite = image[np.isfinite(image)]
    low, top = finite.min(initial=0.0), finite.max(initial=0.0)
    return {"vmin": low, "vmax": top if top > low else 1.0, "cmap": "viridis"}


def _draw_spectra(axes, cube):
    positions = [_inside(cube.axes, position) for position in curves.POSITIONS]
    masks = [curves.circle(cube.axes, position) for position in positions]
    rate, error = curves.mean_rate(cube, np.array([*masks, np.full(cube.axes.shape[1:], True)]))
    for number, name in enumerate([*map(curves.circle_text, positions), "whole field"]):
        _draw(axes, curves.Curve(cube.axes.energy, rate[:, number], error[:, number]), number, name)
    _set_spectra(axes, cube.axes.energy, rate)


def _set_spectra(axes, energy, rate):
    style.set_log(axes, "x", plain=True)
    curves.set_rates(axes, rate)
    axes.set(xlim=energy[[0, -1]], xlabel="energy / TeV", ylabel=style.RATE)
    axes.set_title("spectra")


def _inside(axes, position):
    """The position, or half of the distance to the corner of a field that does not reach it."""
    pairs = zip(position, (axes.fov_lon, axes.fov_lat), strict=True)
    return [x if edges[0] <= x < edges[-1] else edges[-1] / 2 for x, edges in pairs]


def _draw_profiles(axes, cube, bins):
    edges, masks = curves.rings(cube.axes)
    rate, error = curves.mean_rate(cube, masks)
    field, _ = curves.mean_rate(cube, np.full((1, *cube.axes.shape[1:]), True))
    for number, (name, k) in enumerate(bins.items()):
        if field[k] > 0:
            _draw(axes, curves.Curve(edges, rate[k] / field[k], error[k] / field[k]), number, name)
    _set_profiles(axes)


def _set_profiles(axes):
    axes.axhline(1, color=style.GREY, lw=1)
    axes.set(xlabel="offset / deg", ylabel="rate / mean over the field", title="radial profiles")
    axes.set(xlim=(0, None), ylim=(0, None))


def _draw(axes, curve, number, name):
    """Averages over bins: a step over each bin, and a point with its error in the middle."""
    # Without a rate there is nothing to draw, and no name in the legend.
    if not curve.shown.any():
        return
    steps, color = np.where(curve.shown, curve.rate, np.nan), style.look(number)["color"]
    axes.stairs(steps, curve.edges, baseline=None, color=color, lw=0.8)
    curves.draw_points(axes, curve, number, name)
    axes.legend()
    axes.grid(alpha=0.3)
