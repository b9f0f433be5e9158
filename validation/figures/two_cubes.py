"""The figure of two cubes: images at two energies with their residuals, spectra with ratios."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from simbg.cube import BackgroundCube
from simbg.validation.figures import curves, images, style

__all__ = ["compare_figure"]

# Energies of the images, TeV.
ENERGIES = (0.3, 3.0)


@style.styled
def compare_figure(
    a: BackgroundCube,
    b: BackgroundCube,
    labels: Sequence[str] = ("A", "B"),
    title: str = "",
    error: np.ndarray | None = None,
) -> Figure:
    """Images and residuals of two cubes, with a row for each energy; below, spectra and ratios.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference and the other cube, over the same axes.
    labels : sequence of str
        Their names.
    title : str
        Title of the figure.
    error : ndarray, shape of the axes, optional
        Standard error of the rate of b. With it residuals are pulls, without it b / a − 1.

    Returns
    -------
    figure : Figure
        Outside pyplot.
    """
    filled = np.any((a.rate > 0) | (b.rate > 0), axis=(1, 2))
    bins = images.nearest_bins(a.axes, filled, ENERGIES) or [0]
    rows = {images.span_text(a.axes, k): _panels(a, b, k, labels, error) for k in bins}
    figure = style.new_figure(10.4, 4.5 + 2.7 * len(rows), title)
    images.draw_rows(figure, a.axes, rows, bottom=4.2, size=2.3)
    titles = [*map(curves.circle_text, curves.POSITIONS), "whole field"]
    circles = [curves.circle(a.axes, position) for position in curves.POSITIONS]
    masks = np.array([*circles, np.full(a.axes.shape[1:], True)])
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    (reference, _), (rate, errors) = (curves.mean_rate(cube, masks, used) for cube in (a, b))
    for n, text in enumerate(titles):
        shown = np.where(reference[:, n] > 0, reference[:, n], np.nan)
        curve = curves.Curve(a.axes.energy, rate[:, n], errors[:, n], shown)
        box = 0.85 + 3.35 * n, 0.5, 2.5, 2.9
        curves.draw_spectra(figure, box, {labels[1]: curve}, labels[0], text, laws=True)
    return figure


def _panels(a, b, k, labels, error):
    """Images of both cubes and of their residuals, at one energy."""
    a, b = a.rate[k], b.rate[k]
    with np.errstate(divide="ignore", invalid="ignore"):
        if error is not None:
            residual = images.pull_panel((b - a) / error[k])
        else:
            residual = images.residual_panel(b / a - 1, images.residual_limit([b / a - 1]), labels)
    return *images.rate_panels(a, b, labels), residual
