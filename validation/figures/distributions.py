"""Distributions of all methods of one scenario: pulls, counts, and what stated errors cover."""

from __future__ import annotations

import numpy as np
from scipy import special

from simbg.validation.figures.style import GREY, INK, label, look, new_figure, styled
from simbg.validation.metrics.bins import MIN_COUNTS, pit_values, pulls
from simbg.validation.metrics.poisson import poisson_coverage

__all__ = ["coverage_figure", "pit_figure", "pull_figure"]

# Numbers of stated errors at which coverage is shown.
SIGMAS = np.arange(0.5, 3.01, 0.25)


@styled
def pull_figure(pairs):
    """Histograms of pulls with the normal that they should follow."""
    figure, axes = _small()
    edges = np.linspace(-5, 5, 41)
    for number, (method, pair) in enumerate(pairs.items()):
        values, _ = pulls(pair)
        if values.size:
            name = label(f"{method}: {values.mean():+.2f}, {values.std():.2f}")
            clipped = np.clip(values, -5, 5)
            axes.hist(clipped, edges, density=True, label=name, **_step(number))
    x = np.linspace(-5, 5, 200)
    axes.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=INK, lw=1, label="N(0, 1)")
    axes.set(
        xlabel="pull: (rebuilt − true) / true error",
        ylabel="density",
        title=f"bins that expect {MIN_COUNTS:g} counts or more",
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
        counts, edges = np.histogram(values, n_bins, (0, 1))
        density = counts * n_bins / values.size
        axes.stairs(density, edges, label=label(methods), **_step(number, False))
    if n:
        spread = 2 * np.sqrt(n_bins / n)
        axes.axhspan(1 - spread, 1 + spread, color=GREY, alpha=0.25, lw=0, label="uniform, ± 2 σ")
    axes.set(xlabel="probability of fewer counts, under the truth", ylabel="density", xlim=(0, 1))
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
            axes.errorbar(SIGMAS + shift, 100 * share, 100 * spread, label=label(method), **style)
    expected = next(iter(pairs.values())).expected
    expected = expected[expected >= MIN_COUNTS]
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


def _coverage(pair):
    """Share of rich bins covered less the normal's, and its standard error, a number each."""
    variance, rich = pair.stated_variance, pair.expected >= MIN_COUNTS
    if variance is None or not rich.any():
        return None, None
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(pair.predicted - pair.expected)[rich] / np.sqrt(variance[rich])
    share = np.array([(away <= c).mean() for c in SIGMAS])
    return share - _normal(SIGMAS), np.sqrt(_normal(SIGMAS) * (1 - _normal(SIGMAS)) / away.size)


def _normal(sigmas):
    return special.erf(sigmas / np.sqrt(2))


def _small():
    figure = new_figure(4.4, 3.3)
    return figure, figure.add_axes((0.145, 0.145, 0.83, 0.77))


def _step(number, histogram=True):
    kind = {"histtype": "step"} if histogram else {"baseline": None}
    return {"color": look(number)["color"], "lw": 1.3, "ls": ("-", "--", "-.")[number % 3], **kind}


def _legend(axes, title=None):
    if not axes.get_legend_handles_labels()[0]:
        return
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
