"""The figures of the whole suite: overview, convergence, masks, leaderboard, defects."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT

from simbg.validation.figures import style

__all__ = ["leaderboard_figure"]

# Smallest bias that the overview shows, %.
LEAST = 0.02


@style.styled
def overview_figure(
    rows: Mapping[str, Mapping[str, Any]],
    history: Collection[str] = (),
    planned: Collection[str] = (),
) -> Figure:
    """Bias and accuracy of each method in each scenario, against the largest allowed bias.

    Parameters
    ----------
    rows : mapping of str to mapping of str to sequence of Result
        Scenario → method → results "bias" and "accuracy".
    history : collection of str
        Methods that are drawn in grey: those that are shown for their history.
    planned : collection of str
        Scenarios in which each method must be biased; they have an asterisk.

    Returns
    -------
    figure : Figure
        On a logarithmic scale, with a row for each scenario.
    """
    height = 0.27 * len(rows)
    figure = style.new_figure(5.4, height + 1.35)
    axes = style.add_axes(figure, 1.3, 0.5, 3.95, height)
    methods = list(dict.fromkeys(method for row in rows.values() for method in row))
    methods.sort(key=lambda method: method in history)
    limits = {bias.limit for row in rows.values() for bias, _ in row.values()}
    for row, (_, found) in enumerate(rows.items()):
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color=style.GREY, alpha=0.12, lw=0)
        several = [method for method in methods if method in found]
        for n, method in enumerate(several):
            height = row + 0.66 * ((n + 0.5) / len(several) - 0.5)
            look = style.look(methods.index(method)) | {"ls": "none", "ms": 4.5}
            if method in history:
                look["color"] = style.GREY
            _draw_bias(axes, height, found[method], look)
    for limit in (one for one in limits if np.isfinite(one)):
        axes.axvline(limit, color=style.INK, lw=1, ls="--")
        axes.axvline(2 * limit, color=style.INK, lw=0.7, ls=":")
        where = {"xytext": (0, 3), "textcoords": "offset points", "va": "bottom", "ha": "center"}
        axes.annotate(f"allowed bias {limit:g} %", (limit, -0.5), fontsize=8, **where)
    style.set_log(axes, "x", plain=True)
    axes.set(xlabel="% of the rate, rms over all bins", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(left=LEAST)
    names = [style.label(name) + " *" * (name in planned) for name in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    _draw_key(figure, axes, methods, history)
    return figure


def _draw_bias(axes, height, results, look):
    """A filled marker for the bias with a line to its upper limit; an open one for the accuracy."""
    bias, accuracy = results
    low = max(bias.value, LEAST)
    if np.isfinite(bias.upper):
        axes.plot([low, max(bias.upper, low)], [height, height], color=look["color"], lw=1.2)
    marker = look["marker"] if bias.value >= LEAST else CARETLEFT
    axes.plot(low, height, **look | {"marker": marker}, clip_on=False)
    if accuracy is not None:
        axes.plot(accuracy.value, height, **look | {"mfc": "none"})


def _draw_key(figure, axes, methods, history):
    """What colours and markers mean, above the axes."""
    handles = []
    for number, method in enumerate(methods):
        look = style.look(number) | {"ls": "none", "ms": 4.5}
        if method in history:
            look["color"] = style.GREY
        name = f"{method} (2015)" if method in history else method
        handles.append(Line2D([], [], **look, label=style.label(name)))
    filled, opened = {"color": style.INK, "marker": "o", "ms": 4.5}, {"mfc": "none", "ls": "none"}
    kinds = [
        Line2D([], [], **filled, lw=1.2, label="bias, with its upper limit"),
        Line2D([], [], **filled, **opened, label="accuracy: bias and noise"),
    ]
    where = {"loc": "upper left", "borderaxespad": 0.2, "handletextpad": 0.3, "columnspacing": 1}
    top = figure.get_size_inches()[1]
    for n, row in enumerate((handles, kinds)):
        place = (0.02, 1 - (0.04 + 0.2 * n) / top)
        figure.legend(handles=row, ncols=len(row), bbox_to_anchor=place, **where)


@style.styled
def convergence_figure(curves: Iterable[Any], numbers: Mapping[str, int]) -> Figure:
    """Relative accuracy of the rate against exposure, with a line for each method.

    Parameters
    ----------
    curves : iterable of Convergence
        One for each method.
    numbers : mapping of str to int
        Numbers of the methods, for their colours and markers.

    Returns
    -------
    figure : Figure
        On logarithmic scales.
    """
    figure, axes = style.small_figure()
    curves = list(curves)
    for c in curves:
        error = 0.5 * c.accuracy * np.array(c.loss_error) / c.loss
        look = style.points(numbers[c.method])
        name = style.label(f"{c.method}, exponent {c.exponent:.2f}")
        axes.errorbar(c.hours, c.accuracy, error, label=name, **look)
        cost, floor = c.fit
        hours = np.geomspace(c.hours[0], c.hours[-1], 100)
        events = hours * c.events[0] / c.hours[0]
        axes.plot(hours, np.sqrt(cost / events + floor), ":", color=look["color"], lw=1.2)
    for c in curves[:1]:
        if c.limit is not None:
            name = style.label(f"fit of the {c.n_parameters} true parameters")
            axes.plot(c.hours, c.limit, color=style.INK, lw=1.2, label=name)
    axes.axhline(0.01, color=style.INK, lw=0.8, ls="--")
    for which in "xy":
        style.set_log(axes, which, plain=True)
    axes.set(xlabel="livetime / h", ylabel="relative rms error of the rate")
    axes.legend()
    return figure


@style.styled
def response_figure(response: Any) -> Figure:
    """Bias of the rate against the radius of the mask of a source, for some fluxes."""
    figure, axes = style.small_figure()
    for number, flux in enumerate(response.fluxes):
        biases = {"near the source": (response.sector, "-"), "all pixels": (response.total, ":")}
        for name, (bias, line) in biases.items():
            look = style.points(number) | {"ls": line, "label": f"{flux:g} Crab, {name}"}
            axes.plot(response.radii, flux * np.array(bias), **look)
    axes.axhline(0.002, color=style.INK, lw=0.8, ls="--")
    axes.set(xlabel="radius of the mask / deg", ylabel="relative bias of the rate")
    axes.set_title(f"point spread function {response.psf:g} deg; dashed: 0.2 %")
    axes.set_yscale("symlog", linthresh=1e-4)
    axes.yaxis.set_major_formatter(style.number_text)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")
    return figure


@style.styled
def self_check_figure(detections: Sequence[Any], probes: Sequence[str]) -> Figure:
    """Answers to each question for each defect at its full size, and the smallest detected sizes.

    Parameters
    ----------
    detections : sequence of Detection
        One for each defect.
    probes : sequence of str
        Names of the questions.

    Returns
    -------
    figure : Figure
        A matrix of normal deviates, and bars of sizes over those that an optimal test detects.
    """
    height = 0.24 * len(detections) + 1.9
    figure = style.new_figure(11, height)
    margins = {"left": 0.15, "right": 0.97, "bottom": 1.25 / height, "top": 1 - 0.35 / height}
    left, right = figure.subplots(1, 2, width_ratios=(1, 1), sharey=True)
    figure.subplots_adjust(**margins, wspace=0.18)
    sizes = np.abs(np.nan_to_num([one.pulls for one in detections], posinf=1e9, neginf=1e9))
    mesh = left.imshow(np.clip(sizes, 0, 12), cmap="Blues", aspect="auto", vmin=0, vmax=12)
    left.set_xticks(range(len(probes)), probes, rotation=60, ha="right", rotation_mode="anchor")
    left.set_yticks(range(len(detections)), [one.name for one in detections])
    left.set(title="significance at full size, in σ", ylabel="defect")
    for (i, j), value in np.ndenumerate(sizes):
        if value >= 4:
            text = f"{value:.0f}" if value < 1000 else ">999"
            color = "w" if value > 7 else "k"
            left.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    bar: Any = figure.colorbar(mesh, ax=left, extend="max", fraction=0.03, pad=0.02)
    bar.solids.set_rasterized(True)
    right.barh(
        range(len(detections)), np.nan_to_num([one.ratio for one in detections]), color=style.BLUE
    )
    right.axvline(1, color=style.GREY, lw=1)
    right.axvline(2, color=style.ORANGE, lw=1, ls="--")
    right.set(
        xlabel="smallest detected size / size for an optimal test", title="no bar: no optimal test"
    )
    return figure


@style.styled
def leaderboard_figure(scores: Mapping[str, Sequence[Any]]) -> Figure:
    """Noise cost against floor, with a point for each scenario and a marker for each method.

    A floor that is less than two standard errors above 0 is drawn as an upper limit, with an open
    marker and an arrow. Floors without an error, as of two stores, are drawn if they are positive.

    Parameters
    ----------
    scores : mapping of str to sequence of Score
        Scores by method.

    Returns
    -------
    figure : Figure
        On logarithmic scales.
    """
    figure, drawn = style.new_figure(8.0, 4.6), False
    axes = style.add_axes(figure, 0.7, 0.55, 5.3, 3.85)
    axes.axvline(1, color=style.GREY, lw=1, ls=":")
    where = {"transform": axes.get_xaxis_transform(), "va": "top"}
    axes.text(1.05, 0.99, "right of this line: never 1 %", color=style.GREY, **where)
    for number, (method, values) in enumerate(scores.items()):
        columns = [(s.accuracy, s.noise_cost, s.floor, s.floor_error) for s in values]
        accuracy, cost, floor, error = np.array(columns).T
        # The relative floor √(b / N), where N = E[Q] / accuracy².
        scale = 100 * accuracy / np.sqrt(cost + floor)
        floor, limit = scale * np.sqrt(np.maximum(floor, 0)), scale * np.sqrt(2 * error)
        significant = (floor > 0) & ~(floor <= limit)
        bound = ~significant & (limit > 0)
        drawn |= bool(np.any(significant | bound))
        look = {**style.look(number), "ls": "none", "ms": 5, "alpha": 0.8}
        axes.plot(floor[significant], cost[significant], label=style.label(method), **look)
        axes.plot(limit[bound], cost[bound], mfc="none", **look)
        for x, y in zip(limit[bound], cost[bound], strict=True):
            arrow = {"arrowstyle": "->", "color": look["color"]}
            axes.annotate("", (x / 1.35, y), (x, y), arrowprops=arrow)
    # Without points there is no logarithmic scale.
    for which in "xy" if drawn else "":
        style.set_log(axes, which, plain=True)
    axes.set(xlabel="floor: relative rms bias of the rate / %", ylabel="noise cost p_eff")
    axes.margins(0.1)
    if scores:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
