"""What a cube looks like: images at a few energies, spectra, and radial profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simbg.io.cubes import read_model
from simbg.io.safe_files import new_file

__all__ = ["cube_figure", "plot_file", "save_figure"]

N_IMAGES = 4
N_RINGS = 12
# Where 2015 looked; a smaller field is looked at half-way to its corner.
OFF_AXIS = 2.0
# Okabe & Ito: told apart by all eyes, and by line style and marker without colours.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#333333")
MARKERS, STYLES = "os^D", ("-", "--", "-.", ":")
RATE = "rate / (s$^{-1}$ MeV$^{-1}$ sr$^{-1}$)"
NO_RATE = "#c8c8c8"
# The same figure has the same bytes: no dates and no versions inside.
METADATA = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def plot_file(path, out=None, overwrite=False):
    """Draw a background file of any kind.

    Parameters
    ----------
    path : path-like
        What `simbg.io.cubes.read_model` reads: BKG_3D, BKG_2D, 2015's table or image.
    out : path-like, optional
        PNG or PDF, by its ending; default: a PNG in the working directory, named as the file.
    overwrite : bool

    Returns
    -------
    out : Path
    """
    path = Path(path)
    out = Path(path.name.removesuffix(".gz")).with_suffix(".png") if out is None else Path(out)
    if out.suffix.lower() not in METADATA:
        raise ValueError(f"{out}: got a name in {out.suffix!r}, expected .png or .pdf")
    figure = cube_figure(read_model(path), path.name)
    with new_file(out, overwrite) as temporary:
        save_figure(figure, temporary)
    return out


def save_figure(figure, path, dpi=120):
    """Write a figure as PNG or PDF, the same bytes every time."""
    kind = Path(path).suffix.lower()
    figure.savefig(path, dpi=dpi, format=kind[1:], metadata=METADATA[kind])


def cube_figure(cube, title=""):
    """Images at up to four energies, spectra at three places, radial profiles of the images.

    Parameters
    ----------
    cube : BackgroundCube
    title : str

    Returns
    -------
    figure : Figure
    """
    chosen = choose_energies(cube)
    # A layout of its own: to fit one takes twice as long as to draw.
    figure = Figure(figsize=(15, 7.8))
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{describe(cube)}".strip(), parse_math=False, y=0.985)
    top = figure.add_gridspec(
        1, N_IMAGES, left=0.045, right=0.95, bottom=0.545, top=0.9, wspace=0.6
    )
    for place, k in zip(top, chosen, strict=False):
        _image(figure.add_subplot(place), cube, k)
    bottom = figure.add_gridspec(1, 2, left=0.055, right=0.985, bottom=0.07, top=0.45, wspace=0.13)
    _spectra(figure.add_subplot(bottom[0]), cube)
    _profiles(figure.add_subplot(bottom[1]), cube, chosen)
    return figure


def describe(cube):
    """Number of bins, alignment, clock and integral, in words."""
    clock = {"livetime": "livetime", "ontime": "observation time"}[cube.clock]
    number = " × ".join(map(str, cube.axes.shape))
    return (
        f"{number} bins (energy, fov_lon, fov_lat), {cube.axes.align}, per second of {clock}; "
        f"{cube.total:.4g} s⁻¹ in all"
    )


def choose_energies(cube):
    """Numbers of energy bins to show: evenly spread over those that hold anything, no ends."""
    lit = np.flatnonzero(cube.spectrum > 0)
    if not lit.size:
        return np.array([0])
    places = np.linspace(0, lit.size - 1, N_IMAGES + 2)[1:-1]
    return lit[np.unique(np.round(places).astype(int))]


def radial_profile(cube, k):
    """Mean rate in rings round the centre at one energy.

    Parameters
    ----------
    cube : BackgroundCube
    k : int
        Number of the energy bin.

    Returns
    -------
    edges : ndarray, shape (n_ring + 1,)
        deg, out to the farthest corner.
    rate, error : ndarray, shape (n_ring,)
        Averages over solid angle of the pixels with a rate whose centres lie in the ring; NaN
        where there are none. The error is NaN where the cube has none.
    """
    axes, rate = cube.axes, cube.rate[k]
    pixel = max(np.diff(axes.fov_lon).max(), np.diff(axes.fov_lat).max())
    widest = axes.offset.max() + 0.5 * pixel
    # Rings of less than a pixel would be empty by chance.
    edges = np.linspace(0, widest, int(np.clip(widest / pixel, 1, N_RINGS)) + 1)
    known = np.isfinite(rate)
    weight = np.where(known, axes.solid_angle, 0.0)
    error = np.full(rate.shape, np.nan) if cube.rate_error is None else cube.rate_error[k]

    def in_rings(values):
        values = np.where(weight > 0, values, 0.0).ravel()
        return np.histogram(axes.offset.ravel(), edges, weights=values)[0]

    total = in_rings(weight)
    total[total == 0] = np.nan
    return edges, in_rings(rate * weight) / total, np.sqrt(in_rings((error * weight) ** 2)) / total


def _image(axis, cube, k):
    axes, image = cube.axes, cube.rate[k]
    finite = image[np.isfinite(image)]
    low, top = min(finite.min(initial=0.0), 0.0), finite.max(initial=0.0)
    mesh = axis.pcolormesh(
        axes.fov_lon,
        axes.fov_lat,
        np.ma.masked_invalid(image.T),
        vmin=low,
        vmax=top if top > low else 1.0,
        cmap="viridis",
        rasterized=True,
    )
    axis.set_facecolor(NO_RATE)
    bar = axis.figure.colorbar(mesh, ax=axis, label=RATE, fraction=0.046, pad=0.03)
    bar.formatter.set_powerlimits((0, 0))
    bar.formatter.set_useMathText(True)
    axis.set_title(_span(axes, k), loc="left")
    axis.set(xlabel="fov_lon / deg", ylabel="fov_lat / deg", aspect="equal")


def _spectra(axis, cube):
    axes = cube.axes
    places = [(0.0, 0.0), tuple(_off_axis(edges) for edges in (axes.fov_lon, axes.fov_lat))]
    for number, place in enumerate(places):
        i, j = (
            _bin(edges, x) for edges, x in zip((axes.fov_lon, axes.fov_lat), place, strict=True)
        )
        error = None if cube.rate_error is None else cube.rate_error[:, i, j]
        label = "at ({:.3g}, {:.3g}) deg".format(*place)
        _points(axis, axes.energy, cube.rate[:, i, j], error, number, label)
    known = np.isfinite(cube.rate)
    volume = np.where(known, axes.volume, 0.0).sum(axis=(1, 2))
    mean = np.divide(cube.spectrum, volume, out=np.full(volume.shape, np.nan), where=volume > 0)
    error = None
    if cube.rate_error is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(known, cube.rate_error * axes.volume, 0.0)
            error = np.sqrt(np.sum(part**2, axis=(1, 2))) / volume
    _points(axis, axes.energy, mean, error, 2, "mean over the field")
    # Without any rate there are no logarithms to scale.
    scale = "log" if any((line.get_ydata() > 0).any() for line in axis.lines) else "linear"
    axis.set(xscale="log", yscale=scale, xlim=axes.energy[[0, -1]])
    axis.set(xlabel="energy / TeV", ylabel=RATE, title="spectra")
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)


def _profiles(axis, cube, chosen):
    for number, k in enumerate(chosen):
        edges, rate, error = radial_profile(cube, k)
        solid = np.where(np.isfinite(cube.rate[k]), cube.axes.solid_angle, 0.0).sum()
        mean = np.nansum(cube.rate[k] * cube.axes.solid_angle) / solid if solid else 0.0
        if not mean > 0:
            continue
        error = None if cube.rate_error is None else error / mean
        _points(axis, edges, rate / mean, error, number, _span(cube.axes, k))
    axis.axhline(1, color="#777777", lw=1)
    axis.set(
        xlabel="offset from the centre / deg",
        ylabel="rate / mean over the field",
        title="radial profiles",
        xlim=(0, None),
        ylim=(0, None),
    )
    if axis.get_legend_handles_labels()[1]:
        axis.legend(frameon=False)
    axis.grid(alpha=0.3)


def _points(axis, edges, values, error, number, label):
    """Averages over bins: a step over each, a marker in the middle, an error where known."""
    style = {"color": COLORS[number], "ls": STYLES[number]}
    energies = edges[0] > 0
    middle = np.sqrt(edges[1:] * edges[:-1]) if energies else 0.5 * (edges[1:] + edges[:-1])
    # A scale of logarithms has no place for a zero.
    drawn = values > 0 if energies else np.isfinite(values)
    axis.stairs(np.where(drawn, values, np.nan), edges, baseline=None, **style)
    axis.errorbar(
        middle[drawn],
        values[drawn],
        None if error is None else error[drawn],
        fmt=MARKERS[number],
        color=COLORS[number],
        ms=5,
        mfc="white",
        ls="none",
        label=label,
    )


def _off_axis(edges):
    return OFF_AXIS if edges[0] <= OFF_AXIS < edges[-1] else 0.5 * edges[-1]


def _span(axes, k):
    return f"{axes.energy[k]:.3g} to {axes.energy[k + 1]:.3g} TeV"


def _bin(edges, value):
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, edges.size - 2))
