"""The figure of a cross-validation: predictions of held-out runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simbg.validation.figures import style

__all__ = ["crossval_figure"]


@style.styled
def crossval_figure(runs: Sequence[Any]) -> Figure:
    """Norms against zenith angle, deviances, and significances of pixels of held-out runs.

    Parameters
    ----------
    runs : sequence of HeldOut
        The held-out runs.

    Returns
    -------
    figure : Figure
        With three panels.
    """
    figure = style.new_figure(11, 3.6)
    columns = 0.65, 4.3, 7.95
    left, middle, right = (style.add_axes(figure, x, 0.5, 2.9, 2.75) for x in columns)
    numbers = [[getattr(run, name) for run in runs] for name in ("zenith", "norm", "norm_error")]
    left.errorbar(*numbers, **style.points(0))
    left.axhline(1, color=style.GREY, lw=1)
    left.set(xlabel="zenith angle / deg", ylabel="events / predicted", title="norm of each run")
    for name, color in (("image", style.BLUE), ("spectrum", style.ORANGE)):
        values = [getattr(run, f"{name}_z") for run in runs]
        middle.hist(values, 15, histtype="step", color=color, label=f"{name} of a run")
    middle.set(xlabel="deviance z", ylabel="runs", title="with a norm for each run")
    middle.legend()
    pixels = np.concatenate([run.significances for run in runs])
    bins, look = np.linspace(-5, 5, 41), {"color": style.BLUE, "alpha": 0.75}
    if pixels.size:
        right.hist(np.clip(pixels, -5, 5), bins, density=True, **look)
    style.draw_normal(right)
    right.set(xlabel="significance of a pixel", ylabel="density", ylim=(1e-5, 1))
    style.set_log(right, "y")
    title = f"mean {pixels.mean():+.3f}, width {pixels.std():.3f}" if pixels.size else "no pixels"
    right.set_title(title)
    right.legend()
    return figure
