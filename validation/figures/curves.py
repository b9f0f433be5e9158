"""Mean rates against energy and offset: points, steps, ratios and power laws."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.markers import CARETUP

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.figures import style
from simbg.validation.metrics.fits import fit_index

__all__ = []

# Radius and centres of the circles of spectra, deg. The centres are those of 2015.
RADIUS = 0.75
POSITIONS = ((0.0, 0.0), (2.0, 2.0))
# Largest number of rings of a profile.
N_RINGS = 12


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean rates over bins of energy (TeV) or of offset (deg); NaN where there is none.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
        Edges of the bins, TeV or deg.
    rate : ndarray, shape (n,)
        Mean rate, s-1 MeV-1 sr-1.
    error : ndarray, shape (n,)
        Standard error of the rate; NaN if it is not known.
    reference : ndarray, shape (n,), optional
        Rate that is the reference, s-1 MeV-1 sr-1.
    """

    edges: np.ndarray
    rate: np.ndarray
    error: np.ndarray | float = np.nan
    reference: np.ndarray = field(default_factory=lambda: np.array(np.nan))

    @property
    def middle(self) -> np.ndarray:
        """Centre of each bin: geometric for energies, which are positive."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.sqrt(low * high) if low[0] > 0 else 0.5 * (low + high)

    @property
    def shown(self) -> np.ndarray:
        """Bins that can be drawn; spectra have logarithmic scales."""
        return self.rate > 0 if self.edges[0] > 0 else np.isfinite(self.rate)

    @property
    def ratio(self) -> np.ndarray:
        """Rate over reference; NaN without reference."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.reference > 0, self.rate / self.reference, np.nan)


def circle(axes: Axes, position: Sequence[float], radius: float = RADIUS) -> np.ndarray:
    """The pixels in a circle around a position (deg), or the nearest pixel."""
    away = np.hypot(axes.fov_lon_center[:, None] - position[0], axes.fov_lat_center - position[1])
    return away <= max(radius, away.min())


def circle_text(position: Sequence[float]) -> str:
    """The circle of a spectrum, in words."""
    return "within {:g} deg of ({:.3g}, {:.3g}) deg".format(RADIUS, *position)


def rings(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Rings around the centre, out to the farthest corner.

    Parameters
    ----------
    axes : Axes
        Axes of the cube.

    Returns
    -------
    edges : ndarray, shape (n + 1,)
        Edges, deg.
    masks : ndarray of bool, shape (n, n_fov_lon, n_fov_lat)
        Pixels of each ring.
    """
    pixel = max(np.diff(axes.fov_lon).max(), np.diff(axes.fov_lat).max())
    widest = axes.offset.max() + 0.5 * pixel
    # Rings that are narrower than a pixel could be empty.
    edges = np.linspace(0, widest, int(np.clip(widest / pixel, 1, N_RINGS)) + 1)
    return edges, np.array([(axes.offset >= a) & (axes.offset < b) for a, b in pairwise(edges)])


def sums(values: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Sums over the pixels of each mask, shape (n_energy, n_mask)."""
    return np.einsum("kij,mij->km", values, masks)


def mean(values: np.ndarray, weights: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Sums of values over sums of weights; NaN where the weights are 0."""
    top, bottom = sums(values, masks), sums(weights, masks)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def mean_rate(
    cube: BackgroundCube, masks: np.ndarray, used: Any = True
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over solid angle of the rate and its standard error.

    Parameters
    ----------
    cube : BackgroundCube
        The rate.
    masks : ndarray, shape (n_mask, n_fov_lon, n_fov_lat)
        Pixels of each mean.
    used : ndarray, shape (n_energy, n_fov_lon, n_fov_lat), optional
        Bins that are used; by default all with a rate.

    Returns
    -------
    rate, error : ndarray, shape (n_energy, n_mask)
        s-1 MeV-1 sr-1; the error is NaN if the cube has none.
    """
    weight = np.where(np.isfinite(cube.rate) & used, cube.axes.volume, 0.0)
    error = np.nan if cube.rate_error is None else cube.rate_error
    terms = cube.rate * weight, (error * weight) ** 2
    rate, square = (mean(np.where(weight > 0, x, 0.0), weight, masks) for x in terms)
    return rate, np.sqrt(square / sums(weight, masks))


def draw_points(axes: Any, curve: Curve, number: int, name: str) -> None:
    """Draw points in the middle of the bins, with errors if they are known."""
    shown = curve.shown
    error = _bars(np.broadcast_to(curve.error, shown.shape)[shown])
    look = style.points(number) | {"label": style.label(name)}
    axes.errorbar(curve.middle[shown], curve.rate[shown], error, **look)


def draw_spectra(
    figure: Figure,
    box: tuple[float, ...],
    curves: Mapping[str, Curve],
    reference: str,
    title: str,
    spread: np.ndarray | None = None,
    laws: bool = False,
) -> None:
    """Draw spectra as points, the reference of the first one as steps, and the ratios below.

    Parameters
    ----------
    figure : Figure
        Gets the axes.
    box : tuple of float
        Left, bottom, width and height, inches.
    curves : mapping of str to Curve
        Spectra by name.
    reference : str
        Name of the reference.
    title : str
        Title of the spectra.
    spread : ndarray, optional
        See `draw_ratios`.
    laws : bool
        Whether power laws are drawn.
    """
    left, bottom, width, height = box
    ratio = style.add_axes(figure, left, bottom, width, 0.22 * height)
    top = style.add_axes(figure, left, bottom + 0.245 * height, width, 0.755 * height, sharex=ratio)
    first = next(iter(curves.values()))
    look = {"baseline": None, "color": style.INK, "lw": 1.2, "label": reference}
    top.stairs(first.reference, first.edges, **look)
    for number, (name, curve) in enumerate(curves.items()):
        draw_points(top, curve, number, name)
    if laws:
        _draw_power_laws(top, first)
    draw_ratios(ratio, curves.values(), spread)
    style.set_log(ratio, "x", plain=True)
    set_rates(top, first.reference)
    top.tick_params(labelbottom=False)
    top.set(ylabel=style.RATE, title=title)
    top.legend()
    ratio.set(xlabel="energy / TeV", ylabel=f"ratio to {reference}", xlim=first.edges[[0, -1]])


def draw_ratios(axes: Any, curves: Iterable[Curve], spread: np.ndarray | None = None) -> None:
    """Draw ratios of curves to their references, on a scale that shows all of them and the band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Gets the ratios.
    curves : iterable of Curve
        The curves.
    spread : ndarray, shape (n,), optional
        Half width of a band around 1, in the bins of the first curve.
    """
    curves = list(curves)
    drawn = np.concatenate([curve.ratio for curve in curves])
    size, least = np.abs(drawn[np.isfinite(drawn)] - 1), 0.0
    if spread is not None:
        band = curves[0].middle, 1 - spread, 1 + spread
        axes.fill_between(*band, color=style.GREY, alpha=0.3, lw=0)
        least = 2 * np.nanmin(spread, initial=1)
    axes.axhline(1, color=style.INK, lw=0.8)
    edge = 1 + np.clip(1.15 * max(size.max(initial=0), least), 0.01, 1.0)
    # Large ratios, such as a million, need a logarithmic scale.
    if np.count_nonzero((drawn > 3) | ((drawn > 0) & (drawn < 1 / 3))) > size.size / 2:
        style.set_log(axes, "y")
        edge = np.inf
    else:
        axes.set_ylim(2 - edge, edge)
    for number, curve in enumerate(curves):
        with np.errstate(divide="ignore", invalid="ignore"):
            error = _bars(curve.error / curve.reference)
        axes.errorbar(curve.middle, curve.ratio, error, **style.points(number))
        beyond = curve.middle[curve.ratio > edge]
        if beyond.size:
            arrow = style.look(number) | {"marker": CARETUP, "ls": "none", "ms": 5}
            axes.plot(beyond, np.full(beyond.size, edge), **arrow)


def set_rates(axes: Any, *rates: np.ndarray) -> None:
    """Set a logarithmic scale of rates that ends above a small constant, such as 2015's 1e-10."""
    positive = np.concatenate([np.empty(0), *(rate[rate > 0] for rate in rates)])
    # Without a positive rate there is no logarithmic scale.
    if positive.size:
        style.set_log(axes, "y")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], positive.min() / 30))


def _bars(error):
    return error if np.isfinite(error).any() else None


def _draw_power_laws(axes, curve):
    """Power laws of the reference's index Γ and of 2015's, Γ − 1, through the rate at 1 TeV."""
    filled = np.flatnonzero(curve.reference > 0)
    # There is no power law below a threshold and above the last event.
    if filled.size < 2:
        return
    inside = slice(filled[0], filled[-1] + 1)
    edges, energy = curve.edges[filled[0] : filled[-1] + 2], curve.middle[inside]
    rate = np.nan_to_num(curve.reference[inside])
    counts = rate * np.diff(edges)
    index, _ = fit_index(counts / counts.sum(), edges)
    k = np.where(rate > 0, np.abs(np.log(energy)), np.inf).argmin()
    for power, line, name in ((index, "--", "Γ"), (index - 1, ":", "Γ − 1")):
        law, text = rate[k] * (energy / energy[k]) ** -power, f"{name} = {power:.2f}"
        axes.plot(energy, law, line, color=style.GREY, lw=1.2, label=text)
