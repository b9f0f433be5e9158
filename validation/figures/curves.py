"""Mean rates against energy and offset: points, steps, ratios and power laws."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.markers import CARETUP

from simbg.validation.figures import style
from simbg.validation.metrics.fits import fit_index

__all__ = []

# deg; a spectrum is that of a circle. The places are those where 2015 looked.
RADIUS = 0.75
PLACES = ((0.0, 0.0), (2.0, 2.0))
# Rings of a profile, at most.
N_RINGS = 12


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean rates over bins of energy in TeV or of offset in deg; NaN where there is none.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
    rate : ndarray, shape (n,)
        s-1 MeV-1 sr-1
    error : ndarray, shape (n,)
        Standard error of the rate; NaN if it is not known.
    reference : ndarray, shape (n,), optional
        What the rate is compared with.
    """

    edges: np.ndarray
    rate: np.ndarray
    error: np.ndarray | float = np.nan
    reference: np.ndarray | None = None

    @property
    def middle(self):
        """Of each bin: geometric for energies, which are above zero."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.sqrt(low * high) if low[0] > 0 else 0.5 * (low + high)

    @property
    def shown(self):
        """Which bins can be drawn: spectra have logarithmic scales."""
        return self.rate > 0 if self.edges[0] > 0 else np.isfinite(self.rate)

    @property
    def ratio(self):
        """Rate over reference."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.reference > 0, self.rate / self.reference, np.nan)


def circle(axes, place, radius=RADIUS):
    """The pixels in a circle round a place in deg, the nearest at least."""
    away = np.hypot(axes.fov_lon_center[:, None] - place[0], axes.fov_lat_center - place[1])
    return away <= max(radius, away.min())


def circle_text(place):
    """The circle of a spectrum, in words."""
    return "within {:g} deg of ({:.3g}, {:.3g}) deg".format(RADIUS, *place)


def rings(axes):
    """Edges in deg of rings round the centre, out to the farthest corner, and their pixels."""
    pixel = max(np.diff(axes.fov_lon).max(), np.diff(axes.fov_lat).max())
    widest = axes.offset.max() + 0.5 * pixel
    # Rings of less than a pixel would be empty by chance.
    edges = np.linspace(0, widest, int(np.clip(widest / pixel, 1, N_RINGS)) + 1)
    return edges, np.array([(axes.offset >= a) & (axes.offset < b) for a, b in pairwise(edges)])


def sums(values, masks):
    """Sums over the pixels of each mask, (n_energy, n_mask)."""
    return np.einsum("kij,mij->km", values, masks)


def mean(values, weights, masks):
    """Sums of values over those of weights; NaN where these are zero."""
    top, bottom = sums(values, masks), sums(weights, masks)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def mean_rate(cube, masks, used=True):
    """Mean over solid angle of the rate and of its standard error, (n_energy, n_mask).

    Parameters
    ----------
    cube : BackgroundCube
    masks : ndarray, shape (n_mask, n_fov_lon, n_fov_lat)
    used : ndarray, shape (n_energy, n_fov_lon, n_fov_lat), optional
        Bins to average over; by default all with a rate.

    Returns
    -------
    rate, error : ndarray
        The error is NaN if the cube has none.
    """
    weight = np.where(np.isfinite(cube.rate) & used, cube.axes.volume, 0.0)
    error = np.nan if cube.rate_error is None else cube.rate_error
    terms = cube.rate * weight, (error * weight) ** 2
    rate, square = (mean(np.where(weight > 0, x, 0.0), weight, masks) for x in terms)
    return rate, np.sqrt(square / sums(weight, masks))


def draw_points(axes, curve, number, name):
    """Points in the middle of bins, with errors where they are known."""
    shown = curve.shown
    error = _bars(np.broadcast_to(curve.error, shown.shape)[shown])
    look = style.points(number) | {"label": style.label(name)}
    axes.errorbar(curve.middle[shown], curve.rate[shown], error, **look)


def draw_spectra(figure, box, curves, names, title, spread=None, laws=False):
    """Spectra as points, the reference of the first as steps, and below the ratios.

    Parameters
    ----------
    figure : Figure
    box : tuple of float
        Left, bottom, width and height in inches.
    curves : dict of str to Curve
        By name.
    names : tuple of str
        Of the reference, and of all others together.
    title : str
    spread : ndarray, optional
        See `draw_ratios`.
    laws : bool
        Draw power laws, too.
    """
    left, bottom, width, height = box
    ratio = style.add_axes(figure, left, bottom, width, 0.22 * height)
    top = style.add_axes(figure, left, bottom + 0.245 * height, width, 0.755 * height, sharex=ratio)
    first = next(iter(curves.values()))
    look = {"baseline": None, "color": style.INK, "lw": 1.2, "label": names[0]}
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
    ratio.set(xlabel="energy / TeV", ylabel=f"{names[1]} / {names[0]}", xlim=first.edges[[0, -1]])


def draw_ratios(axes, curves, spread=None):
    """Ratios of curves to their references, on a scale that shows them and the band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : iterable of Curve
    spread : ndarray, optional
        Half width of a band about 1, over the bins of the first curve.
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
    # A ratio of a million is read on a scale of its own.
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


def set_rates(axes, *rates):
    """A logarithmic scale that rates of nothing but a floor, as 2015's 1e-10 a TeV, do not set."""
    positive = np.concatenate([rate[rate > 0] for rate in rates] or [[]])
    # Without any rate there are no logarithms to scale.
    if positive.size:
        style.set_log(axes, "y")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], positive.min() / 30))


def _bars(error):
    return error if np.isfinite(error).any() else None


def _draw_power_laws(axes, curve):
    """Lines of the reference's index Γ and of 2015's, of counts per logarithmic bin, from 1 TeV."""
    filled = np.flatnonzero(curve.reference > 0)
    # Below a threshold and above the last event there is no power law.
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
