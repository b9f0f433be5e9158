"""The figure of the leaderboard: noise cost against bias floor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simbg.validation.figures import style

__all__ = ["leaderboard_figure"]


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
