"""The figure of two cubes: images at two energies with their residuals, spectra with ratios."""

from __future__ import annotations

import numpy as np

from simbg.validation.figures import curves, images, style

__all__ = ["compare_figure"]

# TeV
ENERGIES = (0.3, 3.0)


@style.styled
def compare_figure(a, b, labels=("A", "B"), title="", error=None):
    """Images of two cubes and of what differs, a row an energy; below, spectra with their ratios.

    Parameters
    ----------
    a, b : BackgroundCube
        Reference and other, over the same axes.
    labels : tuple of str
    title : str
    error : ndarray, optional
        Standard error of b's rate; with it residuals are pulls, without they are b / a − 1.
    """
    filled = np.any((a.rate > 0) | (b.rate > 0), axis=(1, 2))
    bins = images.nearest_bins(a.axes, filled, ENERGIES) or [0]
    figure = style.new_figure(10.4, 4.5 + 2.75 * len(bins), title)
    for row, k in enumerate(reversed(bins)):
        panels = _panels(a.rate[k], b.rate[k], labels, None if error is None else error[k])
        place = 4.2 + 2.75 * row, 2.3, images.span_text(a.axes, k), row == 0
        images.draw_row(figure, a.axes, panels, *place)
    titles = [*map(curves.circle_text, curves.PLACES), "whole field"]
    masks = [curves.circle(a.axes, place) for place in curves.PLACES]
    masks = np.array([*masks, np.full(a.axes.shape[1:], True)])
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    (reference, _), (rate, errors) = (curves.mean_rate(cube, masks, used) for cube in (a, b))
    for number, text in enumerate(titles):
        own = None if errors is None else errors[:, number]
        shown = np.where(reference[:, number] > 0, reference[:, number], np.nan)
        spectra = {labels[1]: curves.Curve(a.axes.energy, rate[:, number], own, shown)}
        box = 0.85 + 3.35 * number, 0.5, 2.5, 2.9
        curves.draw_spectra(figure, box, spectra, labels, text, laws=True)
    return figure


def _panels(a, b, labels, error):
    """Images of both and of what differs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if error is not None:
            residual = images.pull_panel((b - a) / error)
        else:
            ratio = b / a - 1
            residual = images.residual_panel(ratio, images.residual_limit([ratio]), labels)
    return *images.rate_panels(a, b, labels), residual
