"""Spectra and radial profiles of all methods of one scenario, true and rebuilt.

Counts over exposure of the same bins, and with them what counting alone allows: a
band of one standard error of the expected counts.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.markers import CARETUP

from simbg.validation.figures.maps import energy_bins
from simbg.validation.figures.style import GREY, INK, RATE, label, look, new_figure, set_log, styled
from simbg.validation.metrics.fits import fit_index

__all__ = ["radial_figure", "spectrum_figure"]

# TeV, of the profiles.
ENERGIES = (0.3, 3.0, 30.0)
# deg; spectra are those of a circle, profiles of rings.
RADIUS, RING = 0.75, 0.5


@styled
def spectrum_figure(pairs, place, story=False):
    """Mean rate within a circle against energy, and its ratio to the true one.

    Parameters
    ----------
    pairs : dict of str to CubePair
        By method.
    place : tuple of float
        Its centre: fov_lon, fov_lat in deg.
    story : bool
        Draw the power laws of 2015's index Γc and of Γc + 1.
    """
    figure, top, ratio = _with_ratio()
    first = next(iter(pairs.values()))
    energy, true, _, expected = _spectrum(first, place)
    top.plot(energy, true, color=INK, lw=1.2, label="true")
    for number, (method, pair) in enumerate(pairs.items()):
        x, own, rebuilt, _ = _spectrum(pair, place)
        style = {**look(number), "ls": "none", "ms": 4.5, "mfc": "none"}
        top.plot(x, np.where(rebuilt > 0, rebuilt, np.nan), label=label(method), **style)
        ratio.plot(x, rebuilt / own, **style)
    if story:
        _power_laws(top, first, place)
    _band(ratio, energy, expected)
    for axes in (top, ratio):
        set_log(axes, "x", plain=True)
    _set_rates(top)
    top.set(ylabel=RATE, title="within {:g} deg of ({:g}, {:g}) deg".format(RADIUS, *place))
    top.legend()
    ratio.set(xlabel="energy / TeV")
    return figure


@styled
def radial_figure(pairs):
    """Mean rate in rings of offset at some energies, and their ratios to the true ones."""
    first = next(iter(pairs.values()))
    bins = energy_bins(first, ENERGIES)
    figure = new_figure(4.4, 4.7)
    heights = max(len(bins), 1), *[1] * len(bins)
    grid = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.19, right=0.86, bottom=0.105, top=0.94, hspace=0.12)
    top = grid[0]
    for k, ratio in zip(bins, grid[1:], strict=True):
        offset, true, _, expected = _profile(first, k)
        top.plot(offset, true, color=INK, lw=1.2)
        energy = f"{first.true.axes.energy_center[k]:.2g} TeV"
        where = (offset[-1], true[-1]), (7, -3)
        top.annotate(energy, *where, textcoords="offset points", annotation_clip=False)
        for number, (method, pair) in enumerate(pairs.items()):
            same = energy_bins(pair, (first.true.axes.energy_center[k],))[0]
            x, own, rebuilt, _ = _profile(pair, same)
            style = {**look(number), "ls": "none", "ms": 4.5, "mfc": "none", "label": label(method)}
            top.plot(x, np.where(rebuilt > 0, rebuilt, np.nan), **style)
            ratio.plot(x, rebuilt / own, **style)
        _band(ratio, offset, expected)
        ratio.set_ylabel(energy, fontsize=8)
    _set_rates(top)
    top.set(ylabel=RATE, title="rings round the centre; below: rebuilt / true")
    grid[-1].set(xlabel="offset / deg")
    for axes in grid:
        axes.yaxis.set_label_coords(-0.17, 0.5)
    return figure


def _mean_rates(pair, masks, k=slice(None)):
    """True and rebuilt rate and expected counts of some pixels: counts over exposure."""
    sums = [
        np.array([(values[k] * mask).sum(axis=(-2, -1)) for mask in masks])
        for values in (pair.expected, pair.predicted, pair.exposure)
    ]
    expected, predicted, exposure = (total.squeeze() for total in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = [np.where(exposure > 0, c / exposure, np.nan) for c in (expected, predicted)]
    return *(np.where(expected > 0, rate, np.nan) for rate in rates), expected


def _spectrum(pair, place):
    axes = pair.true.axes
    away = np.hypot(axes.fov_lon_center[:, None] - place[0], axes.fov_lat_center[None] - place[1])
    # The nearest pixel at least.
    mask = away <= max(RADIUS, away.min())
    return axes.energy_center, *_mean_rates(pair, [mask])


def _profile(pair, k):
    axes = pair.true.axes
    edge = min(abs(e) for edges in (axes.fov_lon, axes.fov_lat) for e in (edges[0], edges[-1]))
    # The last ring ends inside of the field.
    edges = np.linspace(0, edge, max(int(edge / RING), 2) + 1)
    masks = [(axes.offset >= a) & (axes.offset < b) for a, b in pairwise(edges)]
    rates = _mean_rates(pair, masks, k)
    filled = np.array([mask.any() for mask in masks])
    return (edges[:-1] + edges[1:])[filled] / 2, *(values[filled] for values in rates)


def _power_laws(axes, pair, place):
    """2015's index Γc is that of counts per logarithmic bin; the rate's is one more."""
    energy, true, _, _ = _spectrum(pair, place)
    counts = np.nan_to_num(true) * np.diff(pair.true.axes.energy)
    if not counts.any():
        return
    index, _ = fit_index(counts / counts.sum(), pair.true.axes.energy)
    k = int(np.where(counts > 0, np.abs(np.log(energy)), np.inf).argmin())
    for power, style, name in ((index - 1, ":", "Γc"), (index, "--", "Γc + 1")):
        line = true[k] * (energy / energy[k]) ** -power
        axes.plot(energy, line, style, color=GREY, lw=1.2, label=f"{name} = {power:.2f}")


def _band(axes, x, expected):
    """One standard error of counting about a ratio of 1; limits that keep the band in sight."""
    with np.errstate(divide="ignore"):
        error = np.where(expected > 0, expected**-0.5, np.nan)
    axes.fill_between(x, 1 - error, 1 + error, color=GREY, alpha=0.3, lw=0)
    axes.axhline(1, color=INK, lw=0.8)
    drawn = np.concatenate([line.get_ydata() for line in axes.lines[:-1]] or [[1.0]])
    away = np.abs(drawn[np.isfinite(drawn)] - 1)
    limit = np.clip(1.15 * max(away.max(initial=0), 2 * np.nanmin(error, initial=1)), 0.01, 1.0)
    axes.set_ylim(1 - limit, 1 + limit)
    for line in axes.lines[:-1]:
        place, ratio = line.get_data()
        beyond = ratio > 1 + limit
        if beyond.any():
            edge = np.full(beyond.sum(), 1 + limit)
            style = {"ls": "none", "marker": CARETUP, "ms": 5, "color": line.get_color()}
            axes.plot(place[beyond], edge, **style)


def _set_rates(axes):
    """Rates that are zero but for a floor, as 2015's 1e-10 a TeV, do not decide the scale."""
    set_log(axes, "y")
    true = [line.get_ydata() for line in axes.lines if line.get_color() == INK]
    if np.isfinite(true).any():
        axes.set_ylim(bottom=max(axes.get_ylim()[0], np.nanmin(true) / 30))


def _with_ratio():
    figure = new_figure(4.4, 4.7)
    top, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.19, right=0.97, bottom=0.105, top=0.94, hspace=0.06)
    ratio.set_ylabel("rebuilt / true")
    return figure, top, ratio
