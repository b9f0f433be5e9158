"""The figures of the whole suite: convergence, exclusion response, self-check, leaderboard."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simbg.validation.figures import style

__all__ = ["leaderboard_figure"]


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
