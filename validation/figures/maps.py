"""Images of one method in one scenario: true and rebuilt, residuals and pulls."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from simbg.validation.figures.style import RATE, new_figure, number_text, styled

__all__ = ["energy_bins", "maps_figure", "residual_limit"]

# TeV
ENERGIES = (0.3, 3.0)
PULL_LIMIT = 4.0
# Of ticks in a decade, the fewest first.
FACTORS = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 7),
    *(np.arange(1, 10, s) for s in (0.5, 0.1)),
)
# Inches: from the left, the size of an image, from row to row, below.
COLUMNS, SIZE, STEP, BELOW = (0.7, 2.72, 5.75, 8.6), 1.8, 2.15, 0.55


def energy_bins(pair, energies=ENERGIES):
    """The bins nearest to some energies that expect events; each once."""
    exposed = np.flatnonzero(pair.expected.sum(axis=(1, 2)) > 0)
    centers = np.log(pair.true.axes.energy_center[exposed])
    found = [exposed[np.abs(centers - np.log(e)).argmin()] for e in energies if exposed.size]
    return list(dict.fromkeys(int(k) for k in found))


def residual_limit(pairs):
    """Common range of the residuals of some pairs: 95 % of the bins of their images, 1 at most."""
    sizes = [np.abs(_residual(pair, k)) for pair in pairs for k in energy_bins(pair)]
    sizes = np.concatenate([size[np.isfinite(size)] for size in sizes] or [[]])
    return float(np.clip(np.percentile(sizes, 95), 0.01, 1.0)) if sizes.size else 1.0


@styled
def maps_figure(pair, limit):
    """True and rebuilt images, relative residuals and pulls, a row an energy.

    Parameters
    ----------
    pair : CubePair
    limit : float
        Largest relative residual of the scale.
    """
    bins = energy_bins(pair)
    figure = new_figure(11.2, STEP * len(bins) + 0.7)
    for row, k in enumerate(bins):
        bottom = BELOW + STEP * (len(bins) - 1 - row)
        _map_row(figure, pair, k, limit, bottom, first=row == 0, last=row == len(bins) - 1)
    return figure


def _map_row(figure, pair, k, limit, bottom, first, last):
    """Four images with their colour bars, in inches from the left."""
    axes, true = pair.true.axes, pair.true.rate[k]
    rebuilt = pair.reco.per("livetime").rate[k]
    used = pair.used[k]
    images = [np.where(used & (image > 0), image, np.nan) for image in (true, rebuilt)]
    filled = np.concatenate([image[np.isfinite(image)] for image in images])
    top = filled.max() if filled.size else 1.0
    norm = LogNorm(max(filled.min(initial=top), 1e-3 * top) * 0.99, top * 1.01)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = (pair.predicted - pair.expected)[k] / np.sqrt(pair.true_variance[k])
    shown = (
        (images[0], "true", {"norm": norm, "cmap": "viridis"}, None),
        (images[1], "rebuilt", {"norm": norm, "cmap": "viridis"}, RATE),
        (_residual(pair, k), "residual", _diverging(limit), "rebuilt / true − 1"),
        (np.where(used, pull, np.nan), "pull", _diverging(PULL_LIMIT), "pull / σ"),
    )
    for left, (image, title, scale, label) in zip(COLUMNS, shown, strict=True):
        place = _add(figure, left, bottom, SIZE)
        place.set_facecolor("#8885")
        mesh = _image(place, axes, image, scale)
        if first:
            place.set_title(title)
        place.set_xlabel("fov_lon / deg" if last else None)
        place.tick_params(labelbottom=last, labelleft=left < 1)
        for axis in (place.xaxis, place.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10]))
        if label:
            _bar(figure, left + SIZE + 0.08, bottom, mesh, label, scale)
        if left < 1:
            span = "{:.2g}–{:.2g} TeV".format(*axes.energy[k : k + 2])
            place.set_ylabel(f"{span}\nfov_lat / deg")


def _image(place, axes, values, scale):
    lon, lat = axes.fov_lon, axes.fov_lat
    if all(np.allclose(np.diff(edges), edges[1] - edges[0]) for edges in (lon, lat)):
        extent = lon[0], lon[-1], lat[0], lat[-1]
        more = {"origin": "lower", "interpolation": "none", "extent": extent, "aspect": "auto"}
        return place.imshow(values.T, **more, **scale)
    return place.pcolormesh(lon, lat, values.T, rasterized=True, **scale)


def _add(figure, left, bottom, width, height=SIZE):
    size = figure.get_size_inches()
    place = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    place.spines[["top", "right"]].set_visible(True)
    return place


def _bar(figure, left, bottom, mesh, label, scale):
    place = _add(figure, left, bottom, 0.1)
    if "norm" in scale:
        bar = figure.colorbar(mesh, cax=place)
        place.yaxis.set_major_locator(FixedLocator(_few(scale["norm"].vmin, scale["norm"].vmax)))
        place.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number_text(x)))
        place.yaxis.set_minor_locator(NullLocator())
    else:
        bar = figure.colorbar(mesh, cax=place, extend="both", extendfrac=0.04)
    bar.set_label(label)
    # As an image: in an SVG its 256 colours are as many rectangles.
    bar.solids.set_rasterized(True)


def _few(low, high):
    """Round numbers between two, three of them or more where that can be."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    for factors in FACTORS:
        ticks = np.outer(decades, factors).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if ticks.size > 2:
            break
    return ticks


def _diverging(limit):
    return {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}


def _residual(pair, k):
    expected, predicted = pair.expected[k], pair.predicted[k]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, predicted / expected - 1, np.nan)
