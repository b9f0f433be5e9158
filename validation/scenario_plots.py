"""Figures of one scenario: images of a method, and all methods side by side in spectra,
profiles and distributions.

All show counts over exposure of the same bins, true and rebuilt, and with them what
counting alone allows: a band of one standard error of the expected counts.
"""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from scipy import special

from validation.drawing import GREY, INK, look, new_figure, number_text, set_log, styled
from validation.metrics import RICH, pit_values, pulls
from validation.statistics import fit_index, poisson_coverage

__all__ = [
    "coverage_figure",
    "energy_bins",
    "maps_figure",
    "pit_figure",
    "pull_figure",
    "radial_figure",
    "residual_limit",
    "spectrum_figure",
]

RATE = "rate / (s⁻¹ MeV⁻¹ sr⁻¹)"
# TeV; of the images, and of the profiles.
ENERGIES, PROFILE_ENERGIES = (0.3, 3.0), (0.3, 3.0, 30.0)
# deg; spectra are those of a circle, profiles of rings.
RADIUS, RING = 0.75, 0.5
PULL_LIMIT = 4.0
# Numbers of stated errors at which coverage is shown.
SIGMAS = np.arange(0.5, 3.01, 0.25)


def energy_bins(pair, energies=ENERGIES):
    """The bins nearest to some energies that expect events; each once."""
    exposed = np.flatnonzero(pair.expected.sum(axis=(1, 2)) > 0)
    centers = np.log(pair.true.axes.energy_center[exposed])
    found = [exposed[np.abs(centers - np.log(e)).argmin()] for e in energies if exposed.size]
    return list(dict.fromkeys(int(k) for k in found))


def residual_limit(pairs):
    """Common range of the residuals of some pairs: 95 % of the bins of their images, 1 at most."""
    sizes = [np.abs(_residual(pair, k)) for pair in pairs for k in energy_bins(pair)]
    sizes = np.concatenate([size[np.isfinite(size)] for size in sizes] or [[]])
    return float(np.clip(np.percentile(sizes, 95), 0.01, 1.0)) if sizes.size else 1.0


@styled
def maps_figure(pair, limit):
    """True and rebuilt images, relative residuals and pulls, a row an energy.

    Parameters
    ----------
    pair : Pair
    limit : float
        Largest relative residual of the scale.
    """
    bins = energy_bins(pair)
    height = 2.15 * len(bins) + 0.7
    figure = new_figure(11.1, height)
    for row, k in enumerate(bins):
        bottom = 0.55 + 2.15 * (len(bins) - 1 - row)
        _map_row(figure, pair, k, limit, bottom, first=row == 0, last=row == len(bins) - 1)
    return figure


@styled
def spectrum_figure(pairs, place, story=False):
    """Mean rate within a circle against energy, and its ratio to the true one.

    Parameters
    ----------
    pairs : dict of str to Pair
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
        top.plot(x, np.where(rebuilt > 0, rebuilt, np.nan), label=method, **style)
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
    bins = energy_bins(first, PROFILE_ENERGIES)
    figure = new_figure(4.4, 4.7)
    grid = figure.subplots(
        1 + len(bins), 1, sharex=True, height_ratios=(len(bins), *[1] * len(bins))
    )
    figure.subplots_adjust(left=0.19, right=0.86, bottom=0.105, top=0.94, hspace=0.12)
    top = grid[0]
    for k, ratio in zip(bins, grid[1:], strict=True):
        offset, true, _, expected = _profile(first, k)
        top.plot(offset, true, color=INK, lw=1.2)
        label = f"{first.true.axes.energy_center[k]:.2g} TeV"
        where = (offset[-1], true[-1]), (7, -3)
        top.annotate(label, *where, textcoords="offset points", annotation_clip=False)
        for number, (method, pair) in enumerate(pairs.items()):
            same = energy_bins(pair, (first.true.axes.energy_center[k],))[0]
            x, own, rebuilt, _ = _profile(pair, same)
            style = {**look(number), "ls": "none", "ms": 4.5, "mfc": "none", "label": method}
            top.plot(x, np.where(rebuilt > 0, rebuilt, np.nan), **style)
            ratio.plot(x, rebuilt / own, **style)
        _band(ratio, offset, expected)
        ratio.set_ylabel(label, fontsize=8)
    _set_rates(top)
    top.set(ylabel=RATE, title="rings round the centre; below: rebuilt / true")
    grid[-1].set(xlabel="offset / deg")
    figure.align_ylabels()
    return figure


@styled
def pull_figure(pairs):
    """Histograms of pulls with the normal that they should follow."""
    figure, axes = _small()
    edges = np.linspace(-5, 5, 41)
    for number, (method, pair) in enumerate(pairs.items()):
        values, _ = pulls(pair)
        if values.size:
            label = f"{method}: {values.mean():+.2f}, {values.std():.2f}"
            axes.hist(
                np.clip(values, -5, 5), edges, density=True, label=label, **_step(number)
            )
    x = np.linspace(-5, 5, 200)
    axes.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=INK, lw=1, label="N(0, 1)")
    axes.set(
        xlabel="pull: (rebuilt − true) / true error",
        ylabel="density",
        title=f"bins that expect {RICH:g} counts or more",
    )
    _legend(axes, "mean, width")
    return figure


@styled
def pit_figure(pairs):
    """Histograms of the probability integral transform, which is uniform if the truth is true."""
    figure, axes = _small()
    n_bins, n = 20, 0
    for number, (methods, values) in enumerate(_alike(pairs, pit_values)):
        n = max(n, values.size)
        density = np.histogram(values, n_bins, (0, 1))[0] * n_bins / values.size
        axes.stairs(density, np.linspace(0, 1, n_bins + 1), label=methods, **_step(number, False))
    if n:
        spread = 2 * np.sqrt(n_bins / n)
        axes.axhspan(1 - spread, 1 + spread, color=GREY, alpha=0.25, lw=0, label="uniform, ± 2 σ")
    axes.set(
        xlabel="probability of fewer counts, under the truth", ylabel="density", xlim=(0, 1)
    )
    axes.set_title("counts of all bins that expect 0.01 or more")
    _legend(axes)
    return figure


@styled
def coverage_figure(pairs):
    """Share of bins whose stated error times a number covers the truth, less the normal's share."""
    figure, axes = _small()
    for number, (method, pair) in enumerate(pairs.items()):
        share, spread = _coverage(pair)
        if share is not None:
            shift = 0.02 * (number - (len(pairs) - 1) / 2)
            style = {**look(number), "ls": "none", "ms": 4.5, "mfc": "none", "elinewidth": 1}
            axes.errorbar(SIGMAS + shift, 100 * share, 100 * spread, label=method, **style)
    expected = next(iter(pairs.values())).expected
    expected = expected[expected >= RICH]
    if expected.size:
        exact = [poisson_coverage(expected, c).mean() for c in SIGMAS] - _normal(SIGMAS)
        axes.plot(SIGMAS, 100 * exact, color=INK, lw=1, ls="--", label="√n errors, exactly")
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(
        xlabel="number of stated errors",
        ylabel="covered less normal / percentage points",
        title="of bins that expect 10 counts or more",
    )
    _legend(axes)
    return figure


def _map_row(figure, pair, k, limit, bottom, first, last):
    """Four images with their colour bars, in inches from the left."""
    axes, true = pair.true.axes, pair.true.rate[k]
    rebuilt = pair.reco.per("livetime").rate[k]
    used = pair.used[k]
    images = [np.where(used & (image > 0), image, np.nan) for image in (true, rebuilt)]
    filled = np.concatenate([image[np.isfinite(image)] for image in images])
    top = filled.max() if filled.size else 1.0
    norm = LogNorm(max(filled.min(initial=top), 1e-3 * top) * 0.99, top * 1.01)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = (pair.predicted - pair.expected)[k] / np.sqrt(pair.true_variance[k])
    shown = (
        (0.7, images[0], "true", {"norm": norm, "cmap": "viridis"}, None),
        (2.65, images[1], "rebuilt", {"norm": norm, "cmap": "viridis"}, RATE),
        (5.7, _residual(pair, k), "residual", _diverging(limit), "rebuilt / true − 1"),
        (8.55, np.where(used, pull, np.nan), "pull", _diverging(PULL_LIMIT), "pull / σ"),
    )
    for left, image, title, scale, label in shown:
        place = _add(figure, left, bottom, 1.8)
        place.set_facecolor("#8885")
        mesh = _image(place, axes, image, scale)
        if first:
            place.set_title(title)
        place.set_xlabel("fov_lon / deg" if last else None)
        place.tick_params(labelbottom=last, labelleft=left < 1)
        for axis in (place.xaxis, place.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10]))
        if label:
            _bar(figure, left + 1.88, bottom, mesh, label, scale)
        if left < 1:
            span = "{:.2g}–{:.2g} TeV".format(*axes.energy[k : k + 2])
            place.set_ylabel(f"{span}\nfov_lat / deg")


def _image(place, axes, values, scale):
    lon, lat = axes.fov_lon, axes.fov_lat
    if all(np.allclose(np.diff(edges), edges[1] - edges[0]) for edges in (lon, lat)):
        extent = lon[0], lon[-1], lat[0], lat[-1]
        more = {"origin": "lower", "interpolation": "none", "extent": extent, "aspect": "auto"}
        return place.imshow(values.T, **more, **scale)
    return place.pcolormesh(lon, lat, values.T, rasterized=True, **scale)


def _add(figure, left, bottom, width, height=1.8):
    size = figure.get_size_inches()
    place = figure.add_axes(
        (left / size[0], bottom / size[1], width / size[0], height / size[1])
    )
    place.spines[["top", "right"]].set_visible(True)
    return place


def _bar(figure, left, bottom, mesh, label, scale):
    place = _add(figure, left, bottom, 0.1)
    if "norm" in scale:
        bar = figure.colorbar(mesh, cax=place)
        decades = np.log10(scale["norm"].vmax / scale["norm"].vmin)
        place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1,)))
        place.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number_text(x)))
        place.yaxis.set_minor_locator(NullLocator())
    else:
        bar = figure.colorbar(mesh, cax=place, extend="both", extendfrac=0.04)
    bar.set_label(label)
    # As an image: in an SVG its 256 colours are as many rectangles.
    bar.solids.set_rasterized(True)


def _diverging(limit):
    return {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}


def _residual(pair, k):
    expected, predicted = pair.expected[k], pair.predicted[k]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, predicted / expected - 1, np.nan)


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
    away = np.hypot(
        axes.fov_lon_center[:, None] - place[0], axes.fov_lat_center[None] - place[1]
    )
    # The nearest pixel at least.
    mask = away <= max(RADIUS, away.min())
    return axes.energy_center, *_mean_rates(pair, [mask])


def _profile(pair, k):
    axes = pair.true.axes
    edge = min(abs(e) for edges in (axes.fov_lon, axes.fov_lat) for e in (edges[0], edges[-1]))
    # The last ring ends inside of the field.
    edges = np.linspace(0, edge, max(int(edge / RING), 2) + 1)
    masks = [(axes.offset >= a) & (axes.offset < b) for a, b in zip(edges, edges[1:], strict=False)]
    rates = _mean_rates(pair, masks, k)
    filled = np.array([mask.any() for mask in masks])
    return (edges[:-1] + edges[1:])[filled] / 2, *(values[filled] for values in rates)


def _coverage(pair):
    """Share of rich bins covered less the normal's, and its standard error, a number each."""
    variance, rich = pair.stated_variance, pair.expected >= RICH
    if variance is None or not rich.any():
        return None, None
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(pair.predicted - pair.expected)[rich] / np.sqrt(variance[rich])
    share = np.array([(away <= c).mean() for c in SIGMAS])
    return share - _normal(SIGMAS), np.sqrt(_normal(SIGMAS) * (1 - _normal(SIGMAS)) / away.size)


def _normal(sigmas):
    return special.erf(sigmas / np.sqrt(2))


def _power_laws(axes, pair, place):
    """2015's index Γc is that of counts per logarithmic bin; the rate's is one more."""
    energy, true, _, _ = _spectrum(pair, place)
    counts = np.nan_to_num(true) * np.diff(pair.true.axes.energy)
    index, _ = fit_index(counts / counts.sum(), pair.true.axes.energy)
    k = int(np.abs(np.log(energy)).argmin())
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


def _set_rates(axes):
    """Rates that are zero but for a floor, as 2015's 1e-10 a TeV, do not decide the scale."""
    set_log(axes, "y")
    true = np.concatenate([line.get_ydata() for line in axes.lines if line.get_color() == INK])
    if np.isfinite(true).any():
        axes.set_ylim(bottom=max(axes.get_ylim()[0], np.nanmin(true) / 30))


def _with_ratio():
    figure = new_figure(4.4, 4.7)
    top, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    figure.subplots_adjust(left=0.19, right=0.97, bottom=0.105, top=0.94, hspace=0.06)
    ratio.set_ylabel("rebuilt / true")
    return figure, top, ratio


def _small():
    figure = new_figure(4.4, 3.3)
    return figure, figure.add_axes((0.145, 0.145, 0.83, 0.77))


def _step(number, histogram=True):
    kind = {"histtype": "step"} if histogram else {"baseline": None}
    return {"color": look(number)["color"], "lw": 1.3, "ls": ("-", "--", "-.")[number % 3], **kind}


def _legend(axes, title=None):
    axes.set_ylim(top=axes.get_ylim()[1] + 0.35 * np.ptp(axes.get_ylim()))
    axes.legend(title=title, title_fontsize=8, alignment="left", loc="upper left")


def _alike(pairs, function):
    """Methods whose values are the same, named together."""
    found = []
    for method, pair in pairs.items():
        values = function(pair)
        if not values.size:
            continue
        for methods, other in found:
            if np.array_equal(values, other):
                methods.append(method)
                break
        else:
            found.append(([method], values))
    return [(", ".join(methods), values) for methods, values in found]
