"""The figure of the leaderboard: noise cost against floor."""

import numpy as np

from simbg.validation.figures import style

__all__ = ["leaderboard_figure"]


@style.styled
def leaderboard_figure(scores):
    """Noise cost against floor, a point a scenario and a marker a method.

    A floor that is below its limit, two standard errors, stands at that, open and with an arrow;
    without a limit, as from two stores, only what is above 0 is shown.

    Parameters
    ----------
    scores : dict of str to list of Score
        By method.
    """
    figure, drawn = style.new_figure(8.0, 4.6), False
    axes = style.add_axes(figure, 0.7, 0.55, 5.3, 3.85)
    axes.axvline(1, color=style.GREY, lw=1, ls=":")
    where = {"transform": axes.get_xaxis_transform(), "va": "top"}
    axes.text(1.05, 0.99, "right of this: never 1 %", color=style.GREY, **where)
    for number, (method, values) in enumerate(scores.items()):
        columns = [(s.accuracy, s.noise_cost, s.floor, s.floor_error) for s in values]
        accuracy, cost, floor, error = np.array(columns).T
        # Relative, as the accuracy: √(b / N), and N = E[Q] / accuracy².
        scale = 100 * accuracy / np.sqrt(cost + floor)
        floor, limit = scale * np.sqrt(np.maximum(floor, 0)), scale * np.sqrt(2 * error)
        seen = (floor > 0) & ~(floor <= limit)
        bound = ~seen & (limit > 0)
        drawn |= bool(np.any(seen | bound))
        look = {**style.look(number), "ls": "none", "ms": 5, "alpha": 0.8}
        axes.plot(floor[seen], cost[seen], label=style.label(method), **look)
        axes.plot(limit[bound], cost[bound], mfc="none", **look)
        for x, y in zip(limit[bound], cost[bound], strict=True):
            arrow = {"arrowstyle": "->", "color": look["color"]}
            axes.annotate("", (x / 1.35, y), (x, y), arrowprops=arrow)
    # Nothing has no logarithm.
    for which in "xy" if drawn else "":
        style.set_log(axes, which, plain=True)
    axes.set(xlabel="floor: relative rms bias of the rate / %", ylabel="noise cost p_eff")
    axes.margins(0.1)
    if scores:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
