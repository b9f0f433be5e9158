"""The figure of two cubes: images at two energies with their residuals, spectra with ratios."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from simbg.cube import BackgroundCube
from simbg.validation.figures import curves, images, style

__all__ = ["compare_figure", "pair_2015_figure"]

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
            residual = images.difference_panel(b / a, labels)
    return *images.rate_panels(a, b, labels), residual


@style.styled
def pair_2015_figure(a: BackgroundCube, b: BackgroundCube) -> Figure:
    """The spectra of the pair of 2015 at the centre, in counts per logarithmic bin and as a rate.

    Parameters
    ----------
    a, b : BackgroundCube
        The true and the reconstructed cube.

    Returns
    -------
    figure : Figure
        Two panels, with the power laws of index 1.5 and 2.5.
    """
    figure = style.new_figure(9.6, 3.6)
    energy = a.axes.energy_center
    at_1_tev = np.abs(np.log(energy)).argmin()
    masks = curves.circle(a.axes, curves.POSITIONS[0])[None]
    rates = {n: curves.mean_rate(c, masks)[0][:, 0] for n, c in (("A", a), ("B", b))}
    kinds = ("E × rate: counts per logarithmic energy bin", 1, 1.5), ("rate", 0, 2.5)
    for number, (title, power, index) in enumerate(kinds):
        axes = style.add_axes(figure, 0.8 + 4.8 * number, 0.5, 3.8, 2.75)
        law = (energy / energy[at_1_tev]) ** -index
        name = f"index {index:g}{', as 2015 says' if power else ''}"
        axes.plot(energy, law, color=style.INK, lw=1.2, label=name)
        for column, (label, rate) in enumerate(rates.items()):
            values = rate / rate[at_1_tev] * (energy / energy[at_1_tev]) ** power
            axes.plot(energy, values, **style.points(column), label=label)
        style.set_log(axes, "x", plain=True)
        style.set_log(axes, "y")
        axes.set(title=title, xlabel="energy / TeV", ylabel="relative to 1 TeV")
        axes.legend()
    return figure
