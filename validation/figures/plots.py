"""Figures: one function each, which returns the Figure."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from simbg.validation.figures.style import BLUE, GREEN, GREY, ORANGE
from simbg.validation.metrics.fits import fit_index

__all__ = [
    "compare_figure",
    "crossval_figure",
    "leaderboard_figure",
]

ENERGIES = (0.3, 3.0)
POSITIONS = ((0.0, 0.0), (2.0, 2.0))
# As high as the image.
BAR = {"fraction": 0.046, "pad": 0.04}
RATE = "rate / (s$^{-1}$ MeV$^{-1}$ sr$^{-1}$)"


def compare_figure(a, b, labels=("A", "B"), title="", error=None):
    """2015's figure with a row of residuals: images at two energies, spectra at two places.

    Parameters
    ----------
    a, b : BackgroundCube
        Reference and other, over the same axes.
    labels : tuple of str
    title : str
    error : ndarray, optional
        Standard error of b's rate; with it residuals are pulls, without they are b / a − 1.
    """
    # A layout of its own: to fit one takes twice as long as to draw.
    figure = _figure(13, 10, title, layout="none")
    place = {"left": 0.055, "right": 0.985, "bottom": 0.055, "wspace": 0.58, "hspace": 0.34}
    grid = figure.subplots(3, 3, gridspec_kw=place | {"top": 0.93 if title else 0.965})
    for column, energy in enumerate(ENERGIES):
        k = _lit_bin(a, b, energy)
        _images(grid[:, column], a, b, k, labels, error)
    for row, place in enumerate(POSITIONS):
        _spectra(grid[row, 2], a, b, place, labels)
    _ratios(grid[2, 2], a, b, labels)
    return figure


def crossval_figure(result, title=""):
    """Norms against zenith, deviances, and significances of pixels of held-out runs."""
    figure = _figure(11, 3.6, title)
    left, middle, right = figure.subplots(1, 3)
    zenith, norm, error = (
        np.array([getattr(run, name) for run in result.runs])
        for name in ("zenith", "norm", "norm_error")
    )
    left.errorbar(zenith, norm, error, fmt="o", color=BLUE, ms=4, mfc="none")
    left.axhline(1, color=GREY, lw=1)
    left.set(xlabel="zenith / deg", ylabel="events / predicted", title="norm of each run")
    for name, color in (("image_z", BLUE), ("spectrum_z", ORANGE)):
        values = [getattr(run, name) for run in result.runs]
        middle.hist(values, 15, histtype="step", color=color, label=name.replace("_z", "s"))
    middle.set(xlabel="deviance z", ylabel="runs", title="after the norm")
    middle.legend(frameon=False)
    pixels = np.concatenate([run.significances for run in result.runs])
    right.hist(np.clip(pixels, -5, 5), np.linspace(-5, 5, 41), density=True, color=BLUE, alpha=0.75)
    x = np.linspace(-5, 5, 200)
    right.semilogy(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=ORANGE, label="N(0, 1)")
    right.set(xlabel="significance of a pixel", ylabel="density", ylim=(1e-5, 1))
    right.set_title(f"mean {pixels.mean():+.3f}, width {pixels.std():.3f}")
    right.legend(frameon=False)
    return figure


def leaderboard_figure(points, title=""):
    """Noise cost against floor, a point a scenario and a marker a method.

    Parameters
    ----------
    points : dict
        Method → list of (floor, limit, noise cost): relative rms bias, and parameters. A floor that
        is below its limit stands at that, open and with an arrow; without a limit, as from two
        stores, only what is above 0 is shown.
    """
    figure, drawn = _figure(8.0, 4.6, title), False
    axis = figure.subplots()
    axis.axvline(1, color=GREY, lw=1, ls=":")
    where = {"transform": axis.get_xaxis_transform(), "va": "top", "fontsize": "small"}
    axis.text(1.05, 0.99, "right of this: never 1 %", color=GREY, **where)
    colors = (BLUE, ORANGE, GREEN, GREY, "#CC79A7", "#E69F00")
    for number, (method, values) in enumerate(points.items()):
        floor, limit, cost = np.array(values).T
        seen = (floor > 0) & ~(floor <= limit)
        bound = ~seen & (limit > 0)
        drawn |= bool(np.any(seen | bound))
        style = {"color": colors[number % 6], "marker": "os^vDPX"[number % 7], "ls": "none"}
        style |= {"ms": 5, "alpha": 0.8}
        arrow = {"arrowstyle": "->", "color": style["color"]}
        axis.plot(100 * floor[seen], cost[seen], label=method, **style)
        axis.plot(100 * limit[bound], cost[bound], mfc="none", **style)
        for x, y in zip(100 * limit[bound], cost[bound], strict=True):
            axis.annotate("", (x / 1.35, y), (x, y), arrowprops=arrow)
    # Nothing has no logarithm.
    scale = "log" if drawn else "linear"
    axis.set(xlabel="floor: relative rms bias of the rate / %", xscale=scale, yscale=scale)
    axis.set_ylabel("noise cost p$_\\mathrm{eff}$")
    axis.margins(0.1)
    if points:
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _figure(width, height, title, layout="constrained"):
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title)
    return figure


def _bin(edges, value):
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, edges.size - 2))


def _lit_bin(a, b, energy):
    """The bin nearest to an energy in which either cube holds a rate, if there is one."""
    lit = np.flatnonzero(np.any((a.rate > 0) | (b.rate > 0), axis=(1, 2)))
    k = _bin(a.axes.energy, energy)
    return int(lit[np.abs(lit - k).argmin()]) if lit.size else k


def _images(axes, a, b, k, labels, error):
    images = [np.where(cube.rate[k] > 0, cube.rate[k], np.nan) for cube in (a, b)]
    filled = np.concatenate([image[np.isfinite(image)] for image in images])
    top = filled.max() if filled.size else 1.0
    low = filled.min() if filled.size else 0.1
    norm = LogNorm(max(low, 1e-3 * top) * 0.99, top * 1.01)
    span = "{:.2g}–{:.2g} TeV".format(*a.axes.energy[k : k + 2])
    for axis, image, label in zip(axes, images, labels, strict=False):
        mesh = axis.pcolormesh(a.axes.fov_lon, a.axes.fov_lat, image.T, norm=norm, cmap="viridis")
        axis.set_title(f"{label}, {span}")
        ticks = LogLocator(subs=(1, 3))
        bar = axis.figure.colorbar(mesh, ax=axis, label=RATE, ticks=ticks, format="%.0e", **BAR)
        bar.minorticks_off()
    difference, label, limit = _residual(a, b, k, error)
    mesh = axes[2].pcolormesh(
        a.axes.fov_lon, a.axes.fov_lat, difference.T, vmin=-limit, vmax=limit, cmap="RdBu_r"
    )
    axes[2].set_title(f"residual, {span}")
    axes[2].figure.colorbar(mesh, ax=axes[2], label=label, **BAR)
    for axis in axes:
        axis.set(xlabel="fov_lon / deg", ylabel="fov_lat / deg", aspect="equal")


def _residual(a, b, k, error):
    with np.errstate(divide="ignore", invalid="ignore"):
        if error is not None:
            return (b.rate[k] - a.rate[k]) / error[k], "pull", 4.0
        ratio = b.rate[k] / a.rate[k] - 1
    sizes = np.abs(ratio[np.isfinite(ratio)])
    size = float(np.percentile(sizes, 95)) if sizes.size else 0.0
    return ratio, "B / A − 1", max(size, 1e-3)


def _spectra(axis, a, b, place, labels):
    i, j = (
        _bin(edges, x) for edges, x in zip((a.axes.fov_lon, a.axes.fov_lat), place, strict=True)
    )
    energy = a.axes.energy_center
    for cube, color, marker, label in zip((a, b), (BLUE, ORANGE), ("-", "o"), labels, strict=True):
        rate = np.where(cube.rate[:, i, j] > 0, cube.rate[:, i, j], np.nan)
        axis.loglog(energy, rate, marker, color=color, ms=4, mfc="none", label=label)
        known = np.pad(np.isfinite(rate), 1)
        alone = known[1:-1] & ~known[2:] & ~known[:-2]
        if marker == "-" and alone.any():
            # A line shows no point that has no neighbour.
            axis.loglog(energy[alone], rate[alone], "_", color=color, ms=9)
    _power_laws(axis, a, i, j)
    axis.set(xlabel="energy / TeV", ylabel=RATE, title="at ({:g}, {:g}) deg".format(*place))
    axis.legend(frameon=False, fontsize="small")


def _power_laws(axis, a, i, j):
    """Lines of the fitted index and, as in 2015, of one less, through the reference at 1 TeV."""
    rate = np.nan_to_num(a.rate[:, i, j])
    lit = np.flatnonzero(rate > 0)
    # Below a threshold and above the last event there is no power law.
    if lit.size < 2:
        return
    edges, rate = a.axes.energy[lit[0] : lit[-1] + 2], rate[lit[0] : lit[-1] + 1]
    energy = np.sqrt(edges[1:] * edges[:-1])
    counts = rate * np.diff(edges)
    index, _ = fit_index(counts / counts.sum(), edges)
    k = lit[np.abs(lit - _bin(a.axes.energy, 1.0)).argmin()] - lit[0]
    for power, style, name in ((index, "--", "Γ"), (index - 1, ":", "Γ − 1")):
        line = rate[k] * (energy / energy[k]) ** -power
        axis.loglog(energy, line, style, color=GREY, lw=1, label=f"{name} = {power:.2f}")


def _ratios(axis, a, b, labels):
    energy = a.axes.energy_center
    for place, color, marker in zip(POSITIONS, (GREEN, BLUE), "os", strict=True):
        i, j = (_bin(e, x) for e, x in zip((a.axes.fov_lon, a.axes.fov_lat), place, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(b.rate[:, i, j] > 0, b.rate[:, i, j] / a.rate[:, i, j], np.nan)
        axis.semilogx(
            energy, ratio, marker, color=color, mfc="none", label="({:g}, {:g}) deg".format(*place)
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        axis.semilogx(energy, b.spectrum / a.spectrum, "-", color=ORANGE, label="whole field")
    axis.axhline(1, color=GREY, lw=1)
    drawn = np.concatenate([line.get_ydata() for line in axis.lines])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if drawn.max() > 3 or drawn.min() < 1 / 3:
        axis.set_yscale("log")
    else:
        axis.set_ylim(0, 2)
    axis.set(xlabel="energy / TeV", ylabel=f"{labels[1]} / {labels[0]}", title="ratio")
    axis.legend(frameon=False, fontsize="small")
