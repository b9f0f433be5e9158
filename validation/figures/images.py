"""Images of energy slices of cubes: which energies, on which scale, with which colour bar."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, MaxNLocator

from simbg.validation.figures import style

__all__ = []

# Inches from an image to the next in its row, past its colour bar, and to the row above.
WIDE, GAP = 1.28, 0.4


@dataclass(frozen=True, eq=False)
class Panel:
    """One image of a row.

    Parameters
    ----------
    values : ndarray, shape (n_fov_lon, n_fov_lat)
        NaN where there is nothing to show, which is grey.
    title : str
    scale : dict
        Of colours, as `matplotlib.axes.Axes.imshow` has it.
    label : str
        Of the colour bar; no bar without it.
    """

    values: np.ndarray
    title: str
    scale: dict
    label: str = style.RATE


def rate_panels(a, b, names):
    """Images of two rates on one logarithmic scale, over three decades at most."""
    a, b = (np.where(image > 0, image, np.nan) for image in (a, b))
    filled = np.concatenate([image[np.isfinite(image)] for image in (a, b)])
    top = filled.max() if filled.size else 1.0
    norm = LogNorm(max(filled.min(initial=top), 1e-3 * top) * 0.99, top * 1.01)
    scale = {"norm": norm, "cmap": "viridis"}
    return Panel(a, names[0], scale, ""), Panel(b, names[1], scale)


def residual_panel(values, limit, names):
    """Relative residuals between red above zero and blue below."""
    label = f"{names[1]} / {names[0]} − 1"
    return Panel(values, "residual", {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}, label)


def pull_panel(values):
    """Residuals in standard errors."""
    return Panel(values, "pull", {"vmin": -4.0, "vmax": 4.0, "cmap": "RdBu_r"}, "pull / σ")


def residual_limit(values):
    """Common range of some images of relative residuals: 95 % of the pixels, at most 1."""
    sizes = np.abs(np.concatenate([image[np.isfinite(image)] for image in values] or [[]]))
    return float(np.clip(np.percentile(sizes, 95), 1e-3, 1.0)) if sizes.size else 1.0


def spread_bins(filled, number):
    """Numbers of at most so many energy bins, evenly spread over the filled ones, no ends."""
    filled = np.flatnonzero(filled)
    if not filled.size:
        return np.array([0])
    places = np.linspace(0, filled.size - 1, number + 2)[1:-1]
    return filled[np.unique(np.round(places).astype(int))]


def nearest_bins(axes, filled, energies):
    """Numbers of the filled energy bins nearest to some energies in TeV; each once."""
    filled = np.flatnonzero(filled)
    centers = np.log(axes.energy_center[filled])
    found = [filled[np.abs(centers - np.log(e)).argmin()] for e in energies if filled.size]
    return list(dict.fromkeys(int(k) for k in found))


def span_text(axes, k):
    """The edges of an energy bin."""
    return "{:.3g} to {:.3g} TeV".format(*axes.energy[k : k + 2])


def draw_rows(figure, axes, rows, bottom, size):
    """Images with their colour bars, a row an energy.

    Parameters
    ----------
    figure : Figure
    axes : Axes
        Of the cubes.
    rows : dict of str to sequence of Panel
        The highest first, by the text to their left.
    bottom, size : float
        Inches: of the lowest row, and of each image.
    """
    for level, (name, panels) in enumerate(reversed(rows.items())):
        left = 0.7
        for number, panel in enumerate(panels):
            box = left, bottom + level * (size + GAP), size, size
            place = _draw_panel(figure, axes, panel, box)
            place.tick_params(labelbottom=level == 0, labelleft=number == 0)
            if level == 0:
                place.set_xlabel("fov_lon / deg")
            if number == 0:
                place.set_ylabel(f"{name}\nfov_lat / deg".strip())
            if level == len(rows) - 1:
                place.set_title(panel.title)
            left += size + (WIDE if panel.label else 0.2)


def _draw_panel(figure, axes, panel, box):
    place = style.add_axes(figure, *box)
    place.set_facecolor("#8885")
    place.spines[["top", "right"]].set_visible(True)
    mesh = _draw_image(place, axes, panel)
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10]))
    if panel.label:
        left, bottom, width, height = box
        bar = style.add_axes(figure, left + width + 0.08, bottom, 0.1, height)
        _draw_bar(bar, mesh, panel)
    return place


def _draw_image(place, axes, panel):
    lon, lat = axes.fov_lon, axes.fov_lat
    if all(np.allclose(np.diff(edges), edges[1] - edges[0]) for edges in (lon, lat)):
        extent = lon[0], lon[-1], lat[0], lat[-1]
        more = {"origin": "lower", "interpolation": "none", "extent": extent, "aspect": "auto"}
        return place.imshow(panel.values.T, **more, **panel.scale)
    return place.pcolormesh(lon, lat, panel.values.T, rasterized=True, **panel.scale)


def _draw_bar(place, mesh, panel):
    rates = panel.label == style.RATE
    more = {} if rates else {"extend": "both", "extendfrac": 0.04}
    bar = place.figure.colorbar(mesh, cax=place, label=panel.label, **more)
    if rates:
        wide = "norm" in panel.scale and mesh.norm.vmax > 10 * mesh.norm.vmin
        bar.locator = LogLocator(subs=(1, 3)) if wide else MaxNLocator(4)
        bar.formatter = style.number_text
        bar.update_ticks()
        bar.minorticks_off()
    # As an image: in an SVG its 256 colours are as many rectangles.
    bar.solids.set_rasterized(True)
