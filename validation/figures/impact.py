"""Figures of the impact of background models on an analysis."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from simbg.validation.figures import style
from simbg.validation.impact.flux import FluxErrors
from simbg.validation.impact.impact import FIELD, THRESHOLD, Impact

__all__ = ["flux_figure", "impact_figure"]

# Livetimes, h.
TIMES = np.geomspace(0.5, 500, 100)
PERCENT = 100.0
# Lines are labelled together if their logarithms differ by less.
NEAR = 0.15


@style.styled
def flux_figure(fluxes: Mapping[str, FluxErrors]) -> Figure:
    """Error of the flux of a source against livetime, for each method.

    Parameters
    ----------
    fluxes : mapping of str to FluxErrors
        Name of the method → its flux errors.

    Returns
    -------
    figure : Figure
        On logarithmic scales.
    """
    figure, axes = style.small_figure()
    best = min(fluxes.values(), key=lambda flux: flux.value)
    statistical = [PERCENT * best.statistical(hours) for hours in TIMES]
    axes.plot(TIMES, statistical, color=style.INK, lw=1.8)
    axes.text(TIMES[4], 1.1 * statistical[4], "statistical error", va="bottom", color=style.INK)
    names: dict[float, list[str]] = {}
    for number, (method, flux) in enumerate(fluxes.items()):
        color, value, error = (
            style.look(number)["color"],
            PERCENT * flux.value,
            PERCENT * flux.error,
        )
        if not value > 0:  # the axis is logarithmic
            continue
        axes.axhline(value, color=color, lw=1.6)
        if np.isfinite(error):
            ends = max(value - error, 1e-3 * value), value + error
            axes.axhspan(*ends, color=color, alpha=0.15, lw=0)
        # Lines that coincide have one label.
        near = next((one for one in names if abs(np.log(one / value)) < NEAR), value)
        names.setdefault(near, []).append(f"{method} {value:.2g} %")
    for value, labels in names.items():
        text = "background: " + ", ".join(labels)
        # On the side that is farther from the line of the statistical error.
        crossing = TIMES[np.abs(np.log(np.array(statistical) / value)).argmin()]
        early = crossing < np.sqrt(TIMES[0] * TIMES[-1])
        x, side = (0.98, "right") if early else (0.02, "left")
        where = {"transform": axes.get_yaxis_transform(), "ha": side, "va": "bottom"}
        axes.text(x, 1.06 * value, text, fontsize="small", **where)
    for which in "xy":
        style.set_log(axes, which, plain=True)
    highest = max([*statistical, *names])
    axes.set(
        xlim=(TIMES[0], TIMES[-1]),
        ylim=(None, 2 * highest),
        xlabel="livetime of the analysis / h",
        ylabel=f"error of the flux / % Crab ({best.source.name})",
    )
    return figure


@style.styled
def impact_figure(impact: Impact, hours: float, title: str = "") -> Figure:
    """Flux errors and false sources against livetime, and the map of the mean significance.

    Parameters
    ----------
    impact : Impact
        What a model does to an analysis.
    hours : float
        Livetime of the map, h. With data instead of a truth the map is that of the data.
    title : str
        Title of the figure.

    Returns
    -------
    figure : Figure
        Three panels; two for data, whose noise makes peaks of its own.
    """
    figure = style.new_figure(9.2 if impact.observed else 13.9, 4.15, title)
    curves = style.add_axes(figure, 0.8, 0.6, 3.6, 2.9)
    for number, source in enumerate(impact.sources):
        place, color = impact.worst(source), style.points(number)["color"]
        flux = place.flux
        value = PERCENT * abs(flux.bias)
        curves.axhline(value, color=color, lw=1.4, label=source.name)
        if impact.observed:
            noise = PERCENT * flux.noise / np.sqrt(impact.observed)
            ends = max(value - noise, 1e-3 * value), value + noise
            curves.axhspan(*ends, color=color, alpha=0.15, lw=0)
        curves.plot(TIMES, PERCENT * flux.error / np.sqrt(TIMES), "--", color=color, lw=1.0)
    for which in "xy":
        style.set_log(curves, which, plain=True)
    label = "flux error / % Crab (dashed: statistical)"
    curves.set(xlim=(TIMES[0], TIMES[-1]), xlabel="livetime / h", ylabel=label)
    curves.legend()
    shown = impact.maps[-1]
    image = style.add_axes(figure, 5.2, 0.6, 2.9, 2.9)
    hours = impact.observed or hours
    mean = shown.mean * np.sqrt(hours)
    limit = max(float(np.nanmax(np.abs(mean))), 0.1)
    lon, lat = shown.axes.fov_lon, shown.axes.fov_lat
    colors = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    mesh = image.pcolormesh(lon, lat, mean.T, rasterized=True, **colors)
    image.set(xlabel="fov_lon / deg", ylabel="fov_lat / deg", aspect="equal")
    what = "significance in the data" if impact.observed else "mean significance"
    image.set_title(f"{what}, {hours:.3g} h, {shown.source.name}")
    figure.colorbar(mesh, cax=style.add_axes(figure, 8.25, 0.6, 0.12, 2.9), label="σ")
    if not impact.observed:
        _draw_false_sources(style.add_axes(figure, 10.3, 0.6, 3.3, 2.9), impact)
    return figure


def _draw_false_sources(axes, impact):
    """Expected number of false sources against livetime, with the model and by chance."""
    times = TIMES[::10]
    rows = [impact.false_sources(hours) for hours in times]
    for number, columns in enumerate(zip(*rows, strict=True)):
        color, (source, *_) = style.points(number)["color"], columns[0]
        axes.plot(times, [n for _, n, _ in columns], color=color, lw=1.4, label=source.name)
        axes.plot(times, [n for _, _, n in columns], "--", color=color, lw=1.0)
    for which in "xy":
        style.set_log(axes, which, plain=True)
    label = f"false sources > {THRESHOLD:g} σ, r < {FIELD:g} deg (dashed: chance)"
    axes.set(xlabel="livetime / h", ylabel=label)
    axes.legend()
