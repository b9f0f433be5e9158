"""The impact of a background model: biases of fluxes at many places, and false sources."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.impact.expectation import Expectation
from simbg.validation.impact.false_sources import SignificanceMap
from simbg.validation.impact.fit import FluxError
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import Template, TestSource

__all__ = [
    "ENERGY",
    "FIELD",
    "HOURS",
    "SOURCES",
    "THRESHOLD",
    "Impact",
    "Place",
    "measure_impact",
    "places",
]

# Energy range of the analysis, TeV; its livetime, h; and the sources that it looks for.
ENERGY, HOURS = (0.5, 10.0), 50.0
SOURCES = tuple(TestSource(size) for size in (0.0, 0.25, 0.5, 1.0))
# Energy bands of flux points, TeV.
BANDS = ((0.5, 1.0), (1.0, 3.0), (3.0, 10.0))
# Offsets of the places of sources from the centre of the field, deg, and their number on a circle.
OFFSETS, N_AZIMUTH = (0.5, 1.0, 1.5), 8
# Threshold of false sources, σ, and the radius in which they are counted, deg.
THRESHOLD, FIELD = 5.0, 2.0
# Longer livetimes are not stated, h.
LONGEST = 10000
# Livetimes for which numbers of false sources are listed, h.
TIMES = (1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 500.0)
# Errors of the data by which the largest of all places is above 0: by chance in 6 % of 24 places.
CLEAR = 3.0
# Columns of the table of sources, after the source.
COLUMNS = "error", "rms", "statistical", "equal", "stated"
# Largest size of the extended source for which false sources and flux points are calculated, deg.
EXTENDED = 0.5


@dataclass(frozen=True)
class Place:
    """The fitted flux of a source that is not there, at one place.

    Parameters
    ----------
    source : TestSource
        The source.
    lon, lat : float
        Position in the field of view, deg.
    flux : FluxError
        Bias and statistical error.
    scatter : float
        Standard deviation of the bias by the errors that the model states, Crab; NaN without.
    """

    source: TestSource
    lon: float
    lat: float
    flux: FluxError
    scatter: float = float("nan")

    @property
    def offset(self) -> float:
        """Distance from the centre of the field, deg."""
        return float(np.hypot(self.lon, self.lat))

    def to_dict(self, hours: float) -> dict[str, Any]:
        """Numbers for JSON.

        Parameters
        ----------
        hours : float
            Livetime, h.
        """
        flux = self.flux
        return {
            "source": self.source.name,
            "fov_lon": round(self.lon, 6),
            "fov_lat": round(self.lat, 6),
            "bias_crab": flux.bias,
            "scatter_crab": self.scatter,
            "noise_crab_in_one_hour": flux.noise,
            "statistical_error_crab": flux.error / np.sqrt(hours),
            "sqrt_ts": flux.pull * np.sqrt(hours),
            "hours_until_bias_is_statistical_error": flux.hours,
            "background_norm": flux.norm,
            "background_tilt": flux.tilt,
        }


@dataclass(frozen=True, eq=False)
class Impact:
    """What the error of a model does to an analysis.

    Parameters
    ----------
    places : tuple of Place
        All sources at all places.
    bands : tuple of tuple
        ((low, high), Place) for flux points at the worst place: ends of their bins, TeV.
    maps : tuple of SignificanceMap
        For a point source, and for an extended one.
    instrument : Instrument
        Effective area and point spread function.
    energy : tuple of float
        The energy range that the bins cover, TeV.
    empty : float
        Fraction of the true counts in bins where the model is empty.
    observed : float, optional
        Livetime of the data that are used instead of a truth, h. Biases then have the statistical
        error of this livetime.
    """

    places: tuple[Place, ...]
    bands: tuple[tuple[tuple[float, float], Place], ...]
    maps: tuple[SignificanceMap, ...]
    instrument: Instrument
    energy: tuple[float, float]
    empty: float
    observed: float | None = None

    def of(self, source: TestSource, within: float = np.inf) -> tuple[Place, ...]:
        """Places of a source.

        Parameters
        ----------
        source : TestSource
            One of the sources.
        within : float
            Largest offset, deg.
        """
        close = within * (1 + 1e-9)
        return tuple(p for p in self.places if p.source == source and p.offset <= close)

    def worst(self, source: TestSource, within: float = np.inf) -> Place:
        """The place with the largest bias of the flux.

        Parameters
        ----------
        source : TestSource
            One of the sources.
        within : float
            Largest offset, deg.

        Raises
        ------
        ValueError
            If the source has no place.
        """
        known = [p for p in self.of(source, within) if np.isfinite(p.flux.bias)]
        if not known:
            raise ValueError(f"{source.name}: got no place with exposure, expected one or more")
        return max(known, key=lambda p: abs(p.flux.bias))

    def rms(self, source: TestSource, within: float = np.inf) -> float:
        """Root mean square over places of the bias of the flux, Crab.

        Parameters
        ----------
        source : TestSource
            One of the sources.
        within : float
            Largest offset, deg.
        """
        biases = np.array([p.flux.bias for p in self.of(source, within)])
        return float(np.sqrt(np.nanmean(biases**2)))

    @property
    def sources(self) -> tuple[TestSource, ...]:
        """The sources, in the order of the places."""
        return tuple(dict.fromkeys(place.source for place in self.places))

    def false_sources(
        self, hours: float = HOURS, threshold: float = THRESHOLD, radius: float = FIELD
    ) -> list[tuple[TestSource, float, float]]:
        """Expected numbers of false sources.

        Parameters
        ----------
        hours : float
            Livetime, h.
        threshold : float
            In standard deviations.
        radius : float
            Radius of the field, deg.

        Returns
        -------
        numbers : list of (TestSource, float, float)
            With the model, and with a perfect model.
        """
        rows = []
        for one in self.maps:
            perfect = replace(one, mean=0.0 * one.mean)
            number, chance = (m.expected(threshold, hours, radius) for m in (one, perfect))
            rows.append((one.source, number, chance))
        return rows

    def sentence(self) -> str:
        """The impact on the extended source for which false sources are counted, in a sentence."""
        source = self.maps[-1].source
        flux, number = self.worst(source).flux, len(self.of(source))
        within = max(place.offset for place in self.of(source))
        what = f"the flux of a source ({source.name})"
        size = f"{flux.bias:+.2%}{self._noise(flux)} of the Crab nebula"
        where = f"of {number} places within {within:.3g} deg"
        if self.observed and abs(flux.bias) * np.sqrt(self.observed) < CLEAR * flux.noise:
            return f"the data show no error of {what}; the largest {where} is {size}"
        equal = f"larger until {flux.hours:.3g} h of livetime"
        if not flux.hours < LONGEST:
            equal = f"larger up to {LONGEST:,d} h"
        return f"{what} is wrong by {size} at the worst {where}; the statistical error is {equal}"

    def rows(self, hours: float = HOURS) -> list[dict[str, str]]:
        """A row of a table for each source, with numbers as texts.

        Parameters
        ----------
        hours : float
            Livetime of the analysis, h.

        Returns
        -------
        rows : list of dict
            ``source``; at its worst place ``error``, ``statistical`` error, hours until both are
            ``equal``, the error that the model has ``stated``, and the ``place``; ``rms`` of all.
        """
        return [self._row(source, hours) for source in self.sources]

    def _row(self, source, hours):
        place = self.worst(source)
        flux = place.flux
        return {
            "source": source.name,
            "error": f"{flux.bias:+.2%}{self._noise(flux)}",
            "rms": f"{self.rms(source):.2%}",
            "statistical": f"{flux.error / np.sqrt(hours):.2%}",
            "equal": f"{flux.hours:.3g} h" if flux.hours < LONGEST else f"> {LONGEST:g} h",
            "stated": "–" if np.isnan(place.scatter) else f"± {place.scatter:.2%}",
            "place": f"({place.lon:+.2f}, {place.lat:+.2f}) deg",
        }

    def flux_points(self) -> list[tuple[str, str, str]]:
        """Of each energy band: its ends, the source, and the flux error, as texts."""
        return [
            (
                f"{first:.3g} to {last:.3g} TeV",
                place.source.name,
                f"{place.flux.bias:+.2%}{self._noise(place.flux)}",
            )
            for (first, last), place in self.bands
        ]

    def lines(self, hours: float = HOURS) -> list[str]:
        """The impact in words: a table of the worst places, flux points, and false sources.

        Parameters
        ----------
        hours : float
            Livetime of the analysis, h.
        """
        low, high = self.energy
        sentence = self.sentence()
        lines = [sentence[0].upper() + sentence[1:]]
        lines.append(f"instrument: {self.instrument.origin}; {low:.3g} to {high:.3g} TeV")
        if self.observed:
            lines.append(f"reference: {self.observed:.3g} h of data, with their statistical error")
        if self.empty:
            lines.append(f"the model is empty in bins with {self.empty:.2%} of the counts")
        head = "flux error", "rms", f"stat. error {hours:g} h", "equal after", "stated"
        lines.append(f"{'source':18s}" + "".join(f"{text:>20s}" for text in head))
        for row in self.rows(hours):
            cells = "".join(f"{row[name]:>20s}" for name in COLUMNS)
            lines.append(f"{row['source']:18s}{cells}")
        lines.append("in units of the Crab, at the worst place; rms: over all places")
        lines += [f"flux point {band}, {name}: {text}" for band, name, text in self.flux_points()]
        if not self.observed:
            lines += [
                f"false sources above {THRESHOLD:g} σ in {hours:g} h within {FIELD:g} deg, "
                f"{source.name}: {number:.2g} (by chance {chance:.2g})"
                for source, number, chance in self.false_sources(hours)
            ]
        return lines

    def _noise(self, flux):
        """The statistical error of the data, if there is no truth."""
        return f" ± {flux.noise / np.sqrt(self.observed):.2%}" if self.observed else ""

    def to_dict(self, hours: float = HOURS) -> dict[str, Any]:
        """Numbers for JSON.

        Parameters
        ----------
        hours : float
            Livetime, h.
        """
        times = [] if self.observed else sorted({*TIMES, hours})
        false = [
            {"source": source.name, "hours": time, "model": number, "chance": chance}
            for time in times
            for source, number, chance in self.false_sources(time)
        ]
        bands = [{"energy_tev": list(band)} | place.to_dict(hours) for band, place in self.bands]
        return {
            "instrument": self.instrument.origin,
            "energy_tev": list(self.energy),
            "hours": hours,
            "hours_of_data": self.observed,
            "empty_bins": self.empty,
            "places": [place.to_dict(hours) for place in self.places],
            "flux_points": bands,
            "false_sources": {"threshold": THRESHOLD, "radius": FIELD, "numbers": false},
        }


def places(
    axes: Axes, offsets: Sequence[float] = OFFSETS, n_azimuth: int = N_AZIMUTH
) -> list[tuple[float, float]]:
    """Places in the field, on circles around its centre.

    Parameters
    ----------
    axes : Axes
        Places outside of them are left out.
    offsets : sequence of float
        Radii of the circles, deg.
    n_azimuth : int
        Number of places on each circle.

    Returns
    -------
    places : list of (float, float)
        fov_lon and fov_lat, deg.

    Examples
    --------
    >>> len(places(Axes.regular(energy=(0.5, 10, 4), fov=(2, 20))))
    24
    """
    angle = 2 * np.pi * np.arange(n_azimuth) / n_azimuth
    found = [(r * np.cos(a), r * np.sin(a)) for r in offsets for a in angle]
    edges = axes.fov_lon, axes.fov_lat
    inside = [all(e[0] < x < e[-1] for e, x in zip(edges, p, strict=True)) for p in found]
    return [(float(x), float(y)) for (x, y), good in zip(found, inside, strict=True) if good]


def measure_impact(
    true: BackgroundCube,
    model: BackgroundCube,
    instrument: Instrument | None = None,
    sources: Sequence[TestSource] = SOURCES,
    energy: tuple[float, float] = ENERGY,
    tilted: bool = False,
    exposure: np.ndarray | None = None,
    observed: float | None = None,
    radii: Sequence[float] = OFFSETS,
) -> Impact:
    """What a model does to an analysis of an empty field.

    Parameters
    ----------
    true, model : BackgroundCube
        Cubes with the same bins.
    instrument : Instrument, optional
        By default that of the simulation.
    sources : sequence of TestSource
        Sources that the analysis looks for.
    energy : tuple of float
        Energy range of the analysis, TeV; bins whose centre is inside are used.
    tilted : bool
        Whether the index of the background is free as well as its norm.
    exposure : ndarray, shape of the axes, optional
        Exposure of each bin in relation to one hour.
    observed : float, optional
        Livetime of the data, h, if ``true`` is the cube of observed events.
    radii : sequence of float
        Offsets of the places, deg.

    Returns
    -------
    impact : Impact
        Biases at all places.

    Raises
    ------
    ValueError
        If the bins differ, no bin is in the energy range, or the field has no place for a source.

    Examples
    --------
    >>> from simbg.truth.gaussian import GaussianTruth
    >>> axes = Axes.regular(energy=(0.5, 10, 4), fov=(2.5, 20))
    >>> true = GaussianTruth().cube(axes, livetime=3600)
    >>> model = replace(true, rate=1.1 * true.rate)  # a wrong norm, which is fitted
    >>> impact = measure_impact(true, model)
    >>> abs(round(impact.worst(SOURCES[2]).flux.bias, 6))
    0.0
    """
    data = Expectation.of(true, model, exposure).between(*energy)
    axes, instrument = data.true.axes, instrument or Instrument.simulated()
    fit, where = data.fit(tilted), places(axes, radii)
    if not where:
        widest = max(np.abs(edge).max() for edge in axes.edges[1:])
        got = f"got a field that ends {widest:.3g} deg from its centre"
        raise ValueError(f"places of sources: {got}, expected more than {min(radii):g} deg")
    found = tuple(
        _place(fit, data.model, source, place, instrument, observed)
        for source in sources
        for place in where
    )
    if not any(np.isfinite(place.flux.bias) for place in found):
        raise ValueError("got no place with background and effective area, expected one or more")
    small, large = min(sources, key=lambda one: one.size), max(sources, key=_closeness)
    maps = tuple(
        SignificanceMap.of(axes, fit.true, fit.model, source, instrument, observed is not None)
        for source in dict.fromkeys((small, large))
    )
    lost = float(fit.true[fit.model <= 0].sum() / fit.true.sum())
    ends = float(axes.energy[0]), float(axes.energy[-1])
    impact = Impact(found, (), maps, instrument, ends, lost, observed)
    worst, bands = impact.worst(large), []
    for band in BANDS:
        if data.bins(*band).size:
            part, where_ = data.between(*band), (worst.lon, worst.lat)
            edges = part.true.axes.energy
            ends = float(edges[0]), float(edges[-1])
            place = _place(part.fit(tilted), part.model, large, where_, instrument, observed)
            bands.append((ends, place))
    return replace(impact, bands=tuple(bands))


def _closeness(source):
    """Larger for extended sources of up to 0.5 deg: there the false sources are counted."""
    return source.size if source.size <= EXTENDED else -source.size


def _place(fit, model, source, place, instrument, observed):
    """A source at a place, with the scatter that the errors of the model state."""
    lon, lat = place
    template = Template.of(source, fit.axes, lon, lat, instrument)
    flux = fit.of_observed(template) if observed else fit.of(template)
    scatter = np.nan
    if model.rate_error is not None and np.isfinite(flux.bias):
        rate = np.nan_to_num(model.rate)
        weight = np.divide(flux.response, rate, out=np.zeros_like(rate), where=rate > 0)
        scatter = model.error_of_sum(weight)
    return Place(source, lon, lat, flux, scatter)
