"""The figures of one scenario: images of a method; spectra and distributions of all methods."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy import special

from simbg.validation.figures import curves, images, style
from simbg.validation.metrics.bins import pit_values
from simbg.validation.metrics.cube_pair import MIN_COUNTS, CubePair
from simbg.validation.metrics.poisson import poisson_coverage

__all__ = ["map_figures", "scenario_figures"]

# Energies of images and of profiles, TeV.
MAP_ENERGIES, PROFILE_ENERGIES = (0.3, 3.0), (0.3, 3.0, 30.0)
# Numbers of stated errors at which coverage is shown.
SIGMAS = np.arange(0.5, 3.01, 0.25)


def map_figures(
    pairs: Mapping[str, CubePair], shown: Iterable[str]
) -> Iterator[tuple[str, Figure]]:
    """True and reconstructed images, relative residuals and pulls of some methods.

    Parameters
    ----------
    pairs : mapping of str to CubePair
        Cubes of all methods of the scenario.
    shown : iterable of str
        Methods to draw.

    Returns
    -------
    figures : iterator of (str, Figure)
        Method and figure, with one row for each energy. The residuals of a method have a common
        scale: in that of raw counts those of a smooth rate would have a single colour.
    """
    return ((method, _map_figure(pairs[method])) for method in shown)


def scenario_figures(
    pairs: Mapping[str, CubePair], laws: bool = False, every: bool = True
) -> dict[str, Figure]:
    """Spectra, profiles, pulls, and coverage of all methods of a scenario.

    Parameters
    ----------
    pairs : mapping of str to CubePair
        Cubes by method.
    laws : bool
        Whether power laws of the true index and of that of 2015 are drawn.
    every : bool
        Whether the spectrum off axis and the distribution of the counts are drawn as well.

    Returns
    -------
    figures : dict of str to Figure
        By content: center, radial, off-axis, pulls, coverage, pit.
    """
    figures = {
        "center": _spectrum_figure(pairs, curves.POSITIONS[0], laws),
        "radial": _radial_figure(pairs),
    }
    if every:
        figures["off-axis"] = _spectrum_figure(pairs, curves.POSITIONS[1], laws)
    figures |= {"pulls": _pull_figure(pairs), "coverage": _coverage_figure(pairs)}
    return figures | ({"pit": _pit_figure(pairs)} if every else {})


@style.styled
def _map_figure(pair):
    axes, names = pair.true.axes, ("true", "reconstructed")
    limit = images.residual_limit([_residual(pair, k) for k in _bins(pair, MAP_ENERGIES)])
    rows: dict[str, Sequence[images.Panel]] = {}
    for k in _bins(pair, MAP_ENERGIES):
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = (pair.predicted - pair.expected)[k] / np.sqrt(pair.true_variance[k])
        shown = pair.true.rate[k], pair.reco.per("livetime").rate[k], pull
        true, reconstructed, pull = (np.where(pair.used[k], image, np.nan) for image in shown)
        rows[images.span_text(axes, k)] = (
            *images.rate_panels(true, reconstructed, names),
            images.residual_panel(_residual(pair, k), limit, names),
            images.pull_panel(pull),
        )
    figure = style.new_figure(11.4, 2.2 * len(rows) + 0.65)
    images.draw_rows(figure, axes, rows, bottom=0.55, size=1.8)
    return figure


@style.styled
def _spectrum_figure(pairs, position, laws):
    """Mean rate within a circle against energy, and its ratio to the true one."""
    spectra, spreads = {}, []
    for method, pair in pairs.items():
        masks = curves.circle(pair.true.axes, position)[None]
        true, reconstructed, spread = (values[:, 0] for values in _mean_rates(pair, masks))
        spectra[method] = curves.Curve(pair.true.axes.energy, reconstructed, reference=true)
        spreads.append(spread)
    figure = style.new_figure(4.4, 4.7)
    box = 0.85, 0.5, 3.4, 3.9
    curves.draw_spectra(
        figure, box, spectra, "true", curves.circle_text(position), spreads[0], laws
    )
    return figure


@style.styled
def _radial_figure(pairs):
    """Mean rate in rings of offset at some energies, and the ratios to the true rate."""
    first = next(iter(pairs.values())).true.axes
    bins = _bins(next(iter(pairs.values())), PROFILE_ENERGIES)
    figure = style.new_figure(4.4, 4.7)
    heights = max(len(bins), 1), *[1] * len(bins)
    grid = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.19, right=0.86, bottom=0.105, top=0.94, hspace=0.12)
    top, references = grid[0], []
    for k, ratio in zip(bins, grid[1:], strict=True):
        profiles, spreads = [], []
        for number, (method, pair) in enumerate(pairs.items()):
            edges, masks = curves.rings(pair.true.axes)
            same = _bins(pair, first.energy_center[k : k + 1])[0]
            true, reconstructed, spread = (values[same] for values in _mean_rates(pair, masks))
            profiles.append(curves.Curve(edges, reconstructed, reference=true))
            spreads.append(spread)
            curves.draw_points(top, profiles[-1], number, method)
        curves.draw_ratios(ratio, profiles, spreads[0])
        edges, true = profiles[0].edges, profiles[0].reference
        top.stairs(true, edges, baseline=None, color=style.INK, lw=1.2)
        energy, last = f"{first.energy_center[k]:.2g} TeV", np.flatnonzero(true > 0)[-1]
        where = (edges[last + 1], true[last]), (4, -3)
        top.annotate(energy, *where, textcoords="offset points", annotation_clip=False)
        ratio.set_ylabel(energy, fontsize=8)
        references.append(true)
    curves.set_rates(top, *references)
    top.set(ylabel=style.RATE, title="rings around the centre; below: reconstructed / true")
    grid[-1].set(xlabel="offset / deg")
    for axes in grid:
        axes.yaxis.set_label_coords(-0.17, 0.5)
    return figure


@style.styled
def _pull_figure(pairs):
    """Histograms of pulls, and the normal distribution of ideal pulls."""
    figure, axes = style.small_figure()
    for number, (method, pair) in enumerate(pairs.items()):
        if (values := pair.pulls).size:
            name = style.label(f"{method}: {values.mean():+.2f}, {values.std():.2f}")
            _draw_density(axes, np.clip(values, -5, 5), np.linspace(-5, 5, 41), number, name)
    style.draw_normal(axes)
    axes.set(xlabel="pull: (reconstructed − true) / true error", ylabel="density")
    axes.set_title(f"bins that expect {MIN_COUNTS:g} counts or more")
    _draw_legend(axes, "mean, width")
    return figure


@style.styled
def _pit_figure(pairs):
    """Histograms of the probability integral transform, which is ideally uniform."""
    figure, axes = style.small_figure()
    # Methods with the same values have a common label.
    alike: dict[bytes, tuple[np.ndarray, list[str]]] = {}
    for method, pair in pairs.items():
        if (values := pit_values(pair)).size:
            alike.setdefault(values.tobytes(), (values, []))[1].append(method)
    edges = np.linspace(0, 1, 21)
    for number, (values, methods) in enumerate(alike.values()):
        _draw_density(axes, values, edges, number, style.label(", ".join(methods)))
    if alike:
        spread = 2 * np.sqrt(20 / max(values.size for values, _ in alike.values()))
        look = {"color": style.GREY, "alpha": 0.25, "lw": 0}
        axes.axhspan(1 - spread, 1 + spread, label="uniform, ± 2 σ", **look)
    axes.set(xlabel="probability of fewer counts, by the truth", ylabel="density", xlim=(0, 1))
    axes.set_title("counts of all bins that expect 0.01 or more")
    _draw_legend(axes)
    return figure


@style.styled
def _coverage_figure(pairs):
    """Coverage of a number of stated errors, less that of a normal distribution."""
    figure, axes = style.small_figure()
    normal = special.erf(SIGMAS / np.sqrt(2))
    for number, (method, pair) in enumerate(pairs.items()):
        variance, used = pair.stated_variance, pair.expected >= MIN_COUNTS
        if variance is not None and used.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                away = np.abs(pair.predicted - pair.expected)[used] / np.sqrt(variance[used])
            covered = np.array([(away <= sigmas).mean() for sigmas in SIGMAS]) - normal
            error = np.sqrt(normal * (1 - normal) / away.size)
            x = SIGMAS + 0.02 * (number - (len(pairs) - 1) / 2)
            look = {**style.points(number), "label": style.label(method), "elinewidth": 1}
            axes.errorbar(x, 100 * covered, 100 * error, **look)
    expected = next(iter(pairs.values())).expected
    expected = expected[expected >= MIN_COUNTS]
    if expected.size:
        exact = [poisson_coverage(expected, sigmas).mean() for sigmas in SIGMAS] - normal
        axes.plot(SIGMAS, 100 * exact, color=style.INK, lw=1, ls="--", label="√n errors, exactly")
    axes.axhline(0, color=style.INK, lw=0.8)
    axes.set(xlabel="number of stated errors", ylabel="coverage − normal / percentage points")
    axes.set_title(f"of bins that expect {MIN_COUNTS:g} counts or more")
    _draw_legend(axes)
    return figure


def _bins(pair, energies):
    """Energy bins that expect events, nearest to these in TeV."""
    return images.nearest_bins(pair.true.axes, pair.expected.sum(axis=(1, 2)) > 0, energies)


def _residual(pair, k):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pair.expected[k] > 0, pair.predicted[k] / pair.expected[k] - 1, np.nan)


def _mean_rates(pair, masks):
    """True and reconstructed rates, and the relative standard error of the expected counts.

    Each has the shape (n_energy, n_mask).
    """
    expected = curves.sums(pair.expected, masks)
    true, reconstructed = (
        curves.mean(n, pair.exposure, masks) for n in (pair.expected, pair.predicted)
    )
    with np.errstate(divide="ignore"):
        return (
            *(np.where(expected > 0, x, np.nan) for x in (true, reconstructed, expected**-0.5)),
        )


def _draw_density(axes, values, edges, number, name):
    density, _ = np.histogram(values, edges, density=True)
    look = {"color": style.look(number)["color"], "ls": ("-", "--", "-.")[number % 3], "lw": 1.3}
    axes.stairs(density, edges, baseline=None, label=name, **look)


def _draw_legend(axes, title=None):
    """A legend above the data, if there are any."""
    if axes.get_legend_handles_labels()[0]:
        axes.set_ylim(top=axes.get_ylim()[1] + 0.35 * np.ptp(axes.get_ylim()))
        columns = 1 if title else 2
        look = {"title_fontsize": 8, "alignment": "left", "ncols": columns}
        axes.legend(title=title, loc="upper left", **look)
