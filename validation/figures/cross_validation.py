"""Figures of a cross-validation: predictions of held-out runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simbg.validation.figures import style

__all__ = ["crossval_figure", "residual_figure"]

# Least expected counts of a pixel of a residual image, of all runs; others are added up.
MIN_COUNTS = 10.0


@style.styled
def crossval_figure(runs: Sequence[Any]) -> Figure:
    """Norms against zenith angle, azimuth and date, deviances, and significances of pixels.

    Parameters
    ----------
    runs : sequence of HeldOut
        The held-out runs.

    Returns
    -------
    figure : Figure
        With five panels.
    """
    figure = style.new_figure(11, 7.0)
    columns = 0.65, 4.3, 7.95
    first, second, third = (style.add_axes(figure, x, 3.9, 2.9, 2.75) for x in columns)
    left, right = (style.add_axes(figure, x, 0.5, 2.9, 2.75) for x in columns[:2])
    xlabels = {"zenith": "zenith angle / deg", "azimuth": "azimuth / deg", "mjd": "date / MJD"}
    for axes, (name, label) in zip((first, second, third), xlabels.items(), strict=True):
        numbers = [[getattr(run, n) for run in runs] for n in (name, "norm", "norm_error")]
        axes.errorbar(*numbers, **style.points(0))
        axes.axhline(1, color=style.GREY, lw=1)
        axes.set(xlabel=label, ylabel="events / predicted", title="norm of each run")
    for name, color in (("image", style.BLUE), ("spectrum", style.ORANGE)):
        values = [getattr(run, f"{name}_z") for run in runs]
        left.hist(values, 15, histtype="step", color=color, label=f"{name} of a run")
    left.set(xlabel="deviance z", ylabel="runs", title="with a norm for each run")
    left.legend()
    _draw_significances(right, np.concatenate([run.significances for run in runs]))
    return figure


def _draw_significances(axes, pixels):
    bins, look = np.linspace(-5, 5, 41), {"color": style.BLUE, "alpha": 0.75}
    if pixels.size:
        axes.hist(np.clip(pixels, -5, 5), bins, density=True, **look)
    style.draw_normal(axes)
    axes.set(xlabel="significance of a pixel", ylabel="density", ylim=(1e-5, 1))
    style.set_log(axes, "y")
    title = f"mean {pixels.mean():+.3f}, width {pixels.std():.3f}" if pixels.size else "no pixels"
    axes.set_title(title)
    axes.legend()


@style.styled
def residual_figure(runs: Sequence[Any]) -> Figure:
    """Residuals of all runs in the camera, in bands of energy: (observed − predicted) / √predicted.

    Parameters
    ----------
    runs : sequence of HeldOut
        The held-out runs; observed and predicted counts of pixels are added.

    Returns
    -------
    figure : Figure
        With a panel for each band, from low to high energies.
    """
    figure = style.new_figure(11, 3.4)
    observed, predicted = np.sum([run.images for run in runs], axis=0)
    for band, (n, m) in enumerate(zip(observed, predicted, strict=True)):
        axes = style.add_axes(figure, 0.5 + 2.6 * band, 0.5, 2.1, 2.1)
        step = 1
        while step < len(m) and m.sum() < MIN_COUNTS * m.size / step**2:
            step += 1
        n, m = (_rebinned(values, step) for values in (n, m))
        residual = np.divide(n - m, np.sqrt(m), out=np.full(m.shape, np.nan), where=m > 0)
        image = axes.imshow(residual.T, origin="lower", cmap="RdBu_r", vmin=-4, vmax=4)
        rms = np.sqrt(np.nanmean(residual**2)) if np.isfinite(residual).any() else np.nan
        axes.set_title(f"band {band + 1} of {len(observed)}: rms {rms:.2f}")
        axes.set(xlabel="fov_lon pixel", ylabel="fov_lat pixel")
    figure.colorbar(image, ax=figure.axes, label="residual / σ", fraction=0.02)
    return figure


def _rebinned(values, step):
    first = [np.arange(0, n, step) for n in values.shape]
    return np.add.reduceat(np.add.reduceat(values, first[0], axis=0), first[1], axis=1)
