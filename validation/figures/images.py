"""Images of energy bins of cubes, with their scales and colour bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from simbg.axes import Axes
from simbg.validation.figures import style

__all__ = []

# Distance of two images in a row with a colour bar between them, and of two rows, inches.
WIDE, GAP = 1.28, 0.4
# Ratios that differ by less are equal.
ROUNDING = 1e-9
# Pulls below this have nearly the colour of 0.
PALE = 0.5
# Factor between two rates from which on a common scale shows nothing of the smaller one.
FAR = 5.0


@dataclass(frozen=True, eq=False)
class Panel:
    """One image of a row.

    Parameters
    ----------
    values : ndarray, shape (n_fov_lon, n_fov_lat)
        The image; NaN is shown in grey.
    title : str
        Title above the image.
    scale : dict
        Options of `matplotlib.axes.Axes.imshow` for the colours.
    label : str
        Label of the colour bar. Without a label, no colour bar is drawn.
    text : str
        Text instead of an image, where it would have a single colour.
    """

    values: np.ndarray
    title: str
    scale: dict[str, Any]
    label: str = style.RATE
    text: str = ""


def rate_panels(a: np.ndarray, b: np.ndarray, names: Sequence[str]) -> tuple[Panel, Panel]:
    """Images of two rates on a common logarithmic scale of at most three decades.

    If they differ by a large factor, the second one is scaled to the first, as its title says.
    """
    a, b = (np.where(image > 0, image, np.nan) for image in (a, b))
    factor = 1.0
    if np.isfinite(a).any() and np.isfinite(b).any():
        factor = float(np.nanmedian(a) / np.nanmedian(b))
    if not 1 / FAR < factor < FAR:
        b, names = factor * b, (names[0], f"{names[1]} × {factor:.3g}")
    filled = np.concatenate([image[np.isfinite(image)] for image in (a, b)])
    top = filled.max() if filled.size else 1.0
    norm = LogNorm(max(filled.min(initial=top), 1e-3 * top) * 0.99, top * 1.01)
    scale = {"norm": norm, "cmap": "viridis"}
    return Panel(a, names[0], scale, ""), Panel(b, names[1], scale)


def residual_panel(values: np.ndarray, limit: float, names: Sequence[str]) -> Panel:
    """Image of relative residuals, red if positive and blue if negative."""
    label = f"{names[1]} / {names[0]} − 1"
    return Panel(values, "residual", {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}, label)


def difference_panel(ratio: np.ndarray, names: Sequence[str]) -> Panel:
    """Image of a ratio of two images, without the common factor of most of its pixels.

    If the ratio of all pixels is nearly the same, an image of it would have a single colour.

    Parameters
    ----------
    ratio : ndarray, shape (n_fov_lon, n_fov_lat)
        Other image over reference; NaN or infinite where there is none.
    names : sequence of str
        Names of reference and other.

    Returns
    -------
    panel : Panel
        Relative residuals. Their label states the factor, if it is taken out.
    """
    used = ratio[np.isfinite(ratio) & (ratio > 0)]
    factor = float(np.median(used)) if used.size else 1.0
    spread = float(np.percentile(np.abs(used / factor - 1), 68)) if used.size else 0.0
    if abs(factor - 1) < max(spread, ROUNDING):
        panel = residual_panel(ratio - 1, residual_limit([ratio - 1]), names)
        return replace(panel, text="no difference" if spread < ROUNDING else "")
    relative = np.where(np.isfinite(ratio), ratio / factor - 1, np.nan)
    panel = residual_panel(relative, residual_limit([relative]), names)
    label = f"{names[1]} / ({factor:.3g} × {names[0]}) − 1"
    text = f"{names[1]} = {factor:.6g} × {names[0]}\nin all pixels" if spread < ROUNDING else ""
    return replace(panel, title=f"residual, after × {factor:.3g}", label=label, text=text)


def pull_panel(values: np.ndarray) -> Panel:
    """Image of residuals in standard errors; words instead if all of them are near 0."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    text, scale = "", {"vmin": -4.0, "vmax": 4.0, "cmap": "RdBu_r"}
    if 0 < largest < PALE:
        values, text = np.where(np.isfinite(values), 0.0, np.nan), f"within ±{largest:.2g} σ"
    return Panel(values, "pull", scale, "pull / σ", text)


def residual_limit(values: Sequence[np.ndarray]) -> float:
    """Common range of images of relative residuals: that of 95 % of the pixels, at most 1."""
    sizes = np.abs(np.concatenate([np.empty(0), *(image[np.isfinite(image)] for image in values)]))
    return float(np.clip(np.percentile(sizes, 95), 1e-3, 1.0)) if sizes.size else 1.0


def spread_bins(filled: np.ndarray, number: int) -> np.ndarray:
    """At most ``number`` energy bins, evenly spread over the filled ones, without both ends."""
    filled = np.flatnonzero(filled)
    if not filled.size:
        return np.array([0])
    indices = np.linspace(0, filled.size - 1, number + 2)[1:-1]
    return filled[np.unique(np.round(indices).astype(int))]


def nearest_bins(axes: Axes, filled: np.ndarray, energies: Iterable[float]) -> list[int]:
    """The filled energy bins that are nearest to some energies (TeV), without repetitions."""
    filled = np.flatnonzero(filled)
    centers = np.log(axes.energy_center[filled])
    nearest = [filled[np.abs(centers - np.log(e)).argmin()] for e in energies if filled.size]
    return list(dict.fromkeys(int(k) for k in nearest))


def span_text(axes: Axes, k: int) -> str:
    """The edges of an energy bin, in words."""
    return "{:.3g} to {:.3g} TeV".format(*axes.energy[k : k + 2])


def draw_rows(
    figure: Figure, axes: Axes, rows: Mapping[str, Sequence[Panel]], bottom: float, size: float
) -> None:
    """Draw images with their colour bars, one row for each energy.

    Parameters
    ----------
    figure : Figure
        The figure in which the images are drawn.
    axes : Axes
        Axes of the cubes.
    rows : mapping of str to sequence of Panel
        Images by the text to their left, the highest row first.
    bottom, size : float
        Bottom of the lowest row, and size of each image, inches.
    """
    for level, (name, panels) in enumerate(reversed(list(rows.items()))):
        left = 0.7
        for number, panel in enumerate(panels):
            box = left, bottom + level * (size + GAP), size, size
            panel_axes = _draw_panel(figure, axes, panel, box)
            panel_axes.tick_params(labelbottom=level == 0, labelleft=number == 0)
            if level == 0:
                panel_axes.set_xlabel("fov_lon / deg")
            if number == 0:
                panel_axes.set_ylabel(f"{name}\nfov_lat / deg".strip())
            if level == len(rows) - 1:
                panel_axes.set_title(panel.title)
            left += size + (WIDE if panel.label else 0.2)


def _draw_panel(figure, axes, panel, box):
    panel_axes = style.add_axes(figure, *box)
    panel_axes.set_facecolor("#8885")
    panel_axes.spines[["top", "right"]].set_visible(True)
    mesh = _draw_image(panel_axes, axes, panel)
    if panel.text:
        where = {"transform": panel_axes.transAxes, "ha": "center", "va": "center"}
        panel_axes.text(0.5, 0.5, panel.text, color="#16181d", **where)
    for axis in (panel_axes.xaxis, panel_axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10]))
    if panel.label:
        left, bottom, width, height = box
        bar = style.add_axes(figure, left + width + 0.08, bottom, 0.1, height)
        draw_bar(bar, mesh, panel)
    return panel_axes


def _draw_image(panel_axes, axes, panel):
    lon, lat = axes.fov_lon, axes.fov_lat
    if all(np.allclose(np.diff(edges), edges[1] - edges[0]) for edges in (lon, lat)):
        extent = lon[0], lon[-1], lat[0], lat[-1]
        more = {"origin": "lower", "interpolation": "none", "extent": extent, "aspect": "auto"}
        return panel_axes.imshow(panel.values.T, **more, **panel.scale)
    return panel_axes.pcolormesh(lon, lat, panel.values.T, rasterized=True, **panel.scale)


def draw_bar(bar_axes: Any, mesh: Any, panel: Panel) -> None:
    """Draw the colour bar of an image."""
    rates = panel.label == style.RATE
    more: dict[str, Any] = {} if rates else {"extend": "both", "extendfrac": 0.04}
    bar = bar_axes.figure.colorbar(mesh, cax=bar_axes, label=panel.label, **more)
    if rates:
        wide = "norm" in panel.scale and mesh.norm.vmax > 10 * mesh.norm.vmin
        bar.locator = LogLocator(subs=(1, 3)) if wide else MaxNLocator(4)
        bar.formatter = style.number_text
        bar.update_ticks()
        bar.minorticks_off()
    # Drawn as an image; otherwise an SVG contains a rectangle for each of its 256 colours.
    bar.solids.set_rasterized(True)
