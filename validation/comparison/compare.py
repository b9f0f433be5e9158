"""Comparison of two cubes, of which the first is the reference.

If one of them has counts or errors, every difference has a standard error, and the verdict has a
false-alarm rate. Noise that is smaller than that of raw counts is not a difference. Without counts
and errors there is no noise, and differences up to a fixed margin are accepted.
Cubes with different bins are compared in common bins.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

import numpy as np
from scipy import special

from simbg.cube import BackgroundCube
from simbg.io.safe_files import finite_or_none
from simbg.observations.store import Store
from simbg.validation.comparison import matched_cubes
from simbg.validation.comparison.conventions import find_fault
from simbg.validation.comparison.measures import MEASURES, fit_widths
from simbg.validation.comparison.problems import against_store, common_events, contradictions
from simbg.validation.comparison.rate_tests import Direction, RateDifference
from simbg.validation.comparison.rebinning import Incomparable, common_binning
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import MetricValue, in_sigma, percent, rounded
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.questions.directions import sidak

__all__ = ["Comparison", "compare"]

# Probability that two cubes of the same truth are found to differ.
FALSE_ALARM_RATE = 1e-3
# Margin without counts: half of the 1 % systematic error of the background that CTAO plans with.
MARGIN = 0.005
# Measures that are tested with each normalisation: scaling each image removes the spectrum.
FIELD = "width", "fov_lon_mean", "fov_lat_mean"
ALL = "index", "center_index", *FIELD
SHAPES = {"none": ALL, "cube": ALL, "image": FIELD}
# Tests of bins: counts, rates, directions, and the largest difference of a bin.
BIN_TESTS = "count_deviance", "rate_deviance", "directions", "largest_bin"
# Keys of `Comparison.to_dict`: of the comparison, of a measure, and of the table of widths.
FACTS = "name", "agree", "verdict", "pvalue", "fault", "binning", "problems", "notes", "differs_in"
NUMBERS = "value", "error", "reference", "limit", "unit"
NUMBERS_OF = attrgetter("value", "error", "ideal", "limit", "unit")
COLUMNS = "energy_min", "energy_max", "a", "b", "a_error", "b_error"
# Directions of which a measure tells as well.
SAME = {
    "norm": "norm",
    "index": "index",
    "width": "width",
    "gradient along fov_lon": "fov_lon_mean",
    "gradient along fov_lat": "fov_lat_mean",
}
# Ratios with a known cause.
KNOWN_RATIOS = {
    "width": (
        (math.sqrt(2), " (√2: exp(−r²/σ²) for exp(−r²/2σ²))"),
        (math.sqrt(0.5), " (1/√2: exp(−r²/2σ²) for exp(−r²/σ²))"),
    ),
    "norm": ((1e6, " (per TeV for per MeV)"), (1e-6, " (per MeV for per TeV)")),
}


def compare(
    a: BackgroundCube,
    b: BackgroundCube,
    normalize: str = "none",
    name: str = "A, B",
    store: Store | None = None,
) -> "Comparison":
    """Compare cube b with the reference a.

    Parameters
    ----------
    a, b : BackgroundCube
        The reference and the other cube. A cube with integer counts is treated as a measurement
        with noise. Cubes with different axes are converted to common bins.
    normalize : {"none", "cube", "image"}
        Whether a is scaled to the integral of b: not at all, as a whole, or in each energy bin.
    name : str
        Name of the comparison in reports.
    store : Store, optional
        The data store of the runs. The exposures of cubes that state their runs are checked.

    Returns
    -------
    comparison : Comparison
        Measures, verdict, and the fault of convention that explains a difference.

    Raises
    ------
    ValueError
        If the axes have no common range (Incomparable), or if the normalisation is unknown.
    """
    if normalize not in SHAPES:
        raise ValueError(f"normalize: got {normalize!r}, expected one of {', '.join(SHAPES)}")
    compare_matched = partial(_compare_same_axes, name=name, normalize=normalize)
    found, notes = contradictions(a, b), common_events(a, b)
    if store is not None:
        found += (*against_store(a, "A", store), *against_store(b, "B", store))
    if not a.axes.same_as(b.axes):
        if without_fault := find_fault(a, b, compare_matched, None):
            return replace(without_fault, notes=notes)
        try:
            a, b, text, interpolated = common_binning(a, b)
        except Incomparable as error:
            raise Incomparable(f"{name}: {error}") from error
        compare_matched = partial(compare_matched, interpolated=interpolated, binning=text)
    comparison = compare_matched(a, b)
    # Counts over common bins may be those expected for the rate: the original cubes are checked.
    problems = tuple(dict.fromkeys((*comparison.problems, *found)))
    comparison = replace(comparison, problems=problems, notes=notes)
    if comparison.agree or not comparison.comparable:
        return comparison
    without_fault = find_fault(a, b, compare_matched, comparison)
    return replace(comparison, fault=without_fault.fault) if without_fault else comparison


def _compare_same_axes(a, b, **options):
    a, b = matched_cubes.same_clock(a, b)
    problems, comparable = matched_cubes.find_problems(a, b)
    problems += contradictions(a, b)
    if comparable:
        a, b = matched_cubes.common_bins(a, b)
    return Comparison(reference=a, b=b, problems=problems, comparable=comparable, **options)


@dataclass(frozen=True)
class Difference(MetricValue):
    """The value of b, the ideal value, which is that of a, and the largest accepted deviation.

    Parameters
    ----------
    limit : float, optional
        None if the measure is not tested.
    """

    limit: float | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of two cubes over the same bins.

    Parameters
    ----------
    name : str
        Name of the comparison in reports.
    reference, b : BackgroundCube
        The cubes in common bins, with the same clock.
    normalize : {"none", "cube", "image"}
        See `compare`.
    problems : tuple of str
        Defects of a cube that prevent the comparison, in part or as a whole.
    comparable : bool
        Whether any part can be compared.
    interpolated : tuple of bool, optional
        Which cubes were made from counts, if the common bins are approximate. Then statistical
        limits are wider by the margin, and counts are not tested bin by bin.
    binning : str
        How the common bins were made, in words; empty if both cubes have the same axes.
    notes : tuple of str
        What a reader must know about the test, such as events that both cubes have in common.
    fault : str, optional
        The fault of convention; without this fault, the cubes agree. If it is in the axes, the
        other fields describe the cubes without the fault.

    Attributes
    ----------
    a : BackgroundCube
        The reference after normalisation.
    statistical : bool
        Whether errors are statistical.
    measures : dict of str to Difference
        Values of b, with those of a as ideal values.
    widths : ndarray, shape (n_energy, 4)
        Fitted width of a and of b, and the error of each, deg.
    """

    name: str
    reference: BackgroundCube
    b: BackgroundCube
    normalize: str
    problems: tuple[str, ...]
    comparable: bool
    interpolated: tuple[bool, bool] | None = None
    binning: str = ""
    notes: tuple[str, ...] = ()
    fault: str | None = None

    def __repr__(self):
        return self.text

    @cached_property
    def a(self) -> BackgroundCube:
        if not self.comparable:
            return self.reference
        return matched_cubes.normalized(self.reference, self.b, self.normalize)

    @cached_property
    def counted(self) -> tuple[bool, bool]:
        """Which of reference and b were made from counts."""
        a, b = self.reference, self.b
        return self.interpolated or (matched_cubes.is_counted(a), matched_cubes.is_counted(b))

    @cached_property
    def rates(self) -> RateDifference:
        """Difference of the rates, with their noise."""
        return RateDifference.of(self.reference, self.b, self.normalize)

    @property
    def statistical(self) -> bool:
        if not self.comparable:
            return False
        return any(self.counted) or self.rates.a.noisy or self.rates.b.noisy

    @property
    def _timed(self):
        """Whether the noise of sums of bins is known: it follows from counts, not from errors."""
        return any(self.counted) and (self.interpolated is not None or self.rates.timed)

    @cached_property
    def pair(self) -> CubePair:
        """Counts of both cubes at the norm of the measured one, with the reference as truth."""
        cubes = matched_cubes.at_equal_norms(self.reference, self.b, self.counted)
        return matched_cubes.count_pair(*cubes, self.counted)

    @cached_property
    def widths(self) -> np.ndarray:
        unknown = np.full((self.b.axes.shape[0], 4), np.nan)
        return fit_widths(self.pair) if self.comparable else unknown

    @cached_property
    def _quick_measures(self):
        """Norm and difference of bins, which need neither a fit nor directions."""
        names = ("norm",) if self.normalize == "none" else ()
        if not self._by_bins:
            return self._differences(*names, "difference")
        smooth = self.rates.a.smooth or self.rates.b.smooth
        bins = ["count_deviance", "rate_deviance"][: 1 + smooth] if any(self.counted) else []
        return self._differences(*names, *bins, "largest_bin")

    @property
    def _by_bins(self):
        """Whether the noise of single bins is known."""
        return self.comparable and self.statistical and not self.interpolated

    @cached_property
    def measures(self) -> dict[str, Difference]:
        measures = self._quick_measures | self._differences(*SHAPES[self.normalize])
        if self._by_bins and self._timed:
            measures |= self._differences("directions")
        return {name: measures[name] for name in MEASURES if name in measures}

    def _differences(self, *names):
        if not self.comparable:
            return {}
        noise = 1.0
        if all(self.counted):
            # The counts of the reference fluctuate as well.
            noise = math.sqrt(
                1 + self.pair.expected.sum() / np.sum(np.asarray(self.reference.counts))
            )
        if self.statistical and not self._timed:
            noise = math.nan
        elif self.statistical and not self.interpolated:
            noise *= math.sqrt(self.rates.mean_factor)
        differences = {}
        for measure in (MEASURES[name] for name in names):
            b = measure(self)
            error = b.error * noise if measure.shows_bias else b.error
            limit = self._limit(measure, b.value, error, b.ideal)
            differences[measure.name] = Difference(b.value, error, b.ideal, b.unit, limit)
        return differences

    def _limit(self, measure, value, error, ideal):
        # Without noise, a fit that fails for only one of both cubes is a difference.
        tested = math.isfinite(value) or math.isfinite(ideal)
        if self.statistical:
            # Counts where none are expected have the probability 0.
            known = (math.isfinite(value) or value == math.inf) and math.isfinite(ideal + error)
            # Interpolated counts do not have a Poisson distribution.
            tested = known and (measure.shows_bias or not self.interpolated)
        if not tested:
            return None
        # Scatter is tested on one side: less than expected is not a difference.
        level = FALSE_ALARM_RATE / self._tests * (1 if measure.shows_bias else 2)
        allowed = sigmas(level) * error if self.statistical else 0.0
        margin = MARGIN if self.interpolated or not self.statistical else 0.0
        return allowed + margin * (abs(ideal) if measure.relative else 1.0)

    @cached_property
    def differs_in(self) -> list[str]:
        """Names of the measures that differ, the most significant first."""
        return _beyond_limits(self.measures)

    @cached_property
    def agree(self) -> bool:
        """Whether no measure differs and no problem or fault was found."""
        if self.problems or self.fault is not None:
            return False
        return not (_beyond_limits(self._quick_measures) or self.differs_in)

    @property
    def _tests(self):
        return len(SHAPES[self.normalize]) + (self.normalize == "none") + len(BIN_TESTS)

    @property
    def pvalue(self) -> float:
        """Largest probability of a difference like this if both cubes have the same expectation.

        It is 1 − (1 − p)ⁿ for the smallest p of n tests. NaN without noise, and for approximate
        common bins.
        """
        if not self._timed or self.interpolated:
            return math.nan
        logs = [0.0]
        for name, m in self.measures.items():
            if m.limit is not None:
                bias = MEASURES[name].shows_bias
                pull = abs(m.pull) if bias else m.pull
                logs.append(float(special.log_ndtr(-pull)) + bias * math.log(2))
        return math.exp(sidak(min(min(logs), 0.0), self._tests))

    @property
    def directions(self) -> list[Direction]:
        """Named directions along which the rates differ."""
        return self.rates.directions[1] if "directions" in self.measures else []

    @cached_property
    def shape_agrees(self) -> bool:
        """Whether the cubes agree after A is scaled to the integral of B."""
        if self.normalize != "none" or not self.comparable or self.problems:
            return False
        return replace(self, normalize="cube", fault=None).agree

    @property
    def draws(self) -> str:
        """How many draws of the noise there are, in words."""
        if not self.statistical:
            return ""
        noisy = self.counted if self.interpolated else (self.rates.a.noisy, self.rates.b.noisy)
        return "from one cube each" if all(noisy) else "from one cube"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, without its reasons."""
        if self.agree:
            return "the cubes agree"
        if self.norm_only:
            return f"the shape agrees, but the norm differs by {self.norm_only}"
        return "the cubes differ"

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        test = f"no counts: margin {MARGIN:.1%}"
        if self.statistical:
            test = f"{self.draws}, false-alarm rate {FALSE_ALARM_RATE:g}"
            if self.interpolated:
                test += f" and a margin of {MARGIN:.1%}, not bin by bin"
            elif not self._timed:
                test += ", single bins only: the noise of their sums is not known without counts"
        if not self.agree:
            causes = [] if self.fault is None else [self.fault]
            causes += [*self.problems, *self._causes()]
            if self.norm_only:
                causes = [_cause("norm", self.measures["norm"])]
            return f"{self.sentence} ({test}): " + "; ".join([*causes, *self.notes])
        counts = self.measures.get("count_deviance")
        if not self.notes and counts and counts.limit and counts.value < -counts.limit:
            test += "; the agreement is closer than noise allows, as for cubes of the same events"
        return "; ".join([f"{self.sentence} ({test})", *self.notes])

    @cached_property
    def norm_only(self) -> str:
        """Difference of the norm in words, if nothing else differs; otherwise empty."""
        if self.fault is not None or "norm" not in self.differs_in or not self.shape_agrees:
            return ""
        norm = self.measures["norm"]
        size = norm.value / norm.ideal - 1
        known = self.statistical and math.isfinite(norm.error)
        return percent(size, norm.error / norm.ideal) if known else f"{size:+.2%}"

    def _causes(self):
        """Measures that differ, in words; directions that no other measure tells of."""
        for name in self.differs_in:
            if name != "directions":
                yield _cause(name, self.measures[name])
                continue
            named = [d for d in self.directions if SAME.get(d.name) not in self.differs_in]
            yield from map(str, named)
        if "largest_bin" in self.differs_in:
            k, i, j = self.rates.largest[1]
            axes = self.b.axes
            yield (
                f"largest in the bin at {axes.energy[k]:.3g} to {axes.energy[k + 1]:.3g} TeV, "
                f"fov_lon {axes.fov_lon_center[i]:+.2f} deg, "
                f"fov_lat {axes.fov_lat_center[j]:+.2f} deg"
            )

    @property
    def text(self) -> str:
        """Verdict and numbers, one line each."""
        lines = [f"{self.name}: {self.verdict}"]
        if math.isfinite(self.pvalue):
            pvalue = f"{self.pvalue:.2g}" if self.pvalue > 1e-100 else "1e-100"
            lines.append(f"  probability of such a difference by chance: at most {pvalue}")
        if self.binning:
            lines.append(f"  {self.binning}")
        for name, m in self.measures.items():
            mark = "≠" if name in self.differs_in else " "
            title = f"  {mark} {MEASURES[name].title:24s}"
            unit = "" if name in BIN_TESTS else m.unit
            lines.append(f"{title} {self._numbers(name, m)} {unit}".rstrip())
        return "\n".join(lines)

    def _numbers(self, name, measure):
        """The values of B and A, and the error of their difference."""
        if name in BIN_TESTS:
            return self.significance(name)
        error = measure.error if self.statistical else math.nan
        value, ideal = (rounded(x, error) for x in (measure.value, measure.ideal))
        if math.isfinite(error) and error > 0:
            value += f" ± {error:.2g}"
        return f"B {value}  A {ideal}"

    def significance(self, name: str) -> str:
        """The result of a test of bins in words, in σ where this has a meaning.

        Parameters
        ----------
        name : str
            One of the measures in σ.

        Notes
        -----
        The bins of a smooth cube are correlated, and their noise is at most that of raw counts. A
        deviate far below 0 says no more than this; the difference itself is stated in %.
        """
        measure = self.measures[name]
        words = f"{in_sigma(measure.value)} σ"
        if measure.limit is not None and measure.value < -measure.limit:
            words = "closer than noise" if name == "count_deviance" else "within the noise"
        if name == "rate_deviance" and np.isfinite(self.rates.rms).all():
            words += ", {:.2%} rms; noise is at most {:.2%}".format(*self.rates.rms)
        return words

    def to_dict(self) -> dict[str, Any]:
        """Verdict and numbers as plain values; None where a number is not known."""
        energy = self.b.axes.energy
        rows = np.column_stack([energy[:-1], energy[1:], self.widths]).tolist()
        content = {name: getattr(self, name) for name in FACTS}
        numbers = {name: NUMBERS_OF(measure) for name, measure in self.measures.items()}
        content["measures"] = {k: dict(zip(NUMBERS, v, strict=True)) for k, v in numbers.items()}
        content["widths"] = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        return finite_or_none(content)


def _beyond_limits(measures):
    tested = {name: m for name, m in measures.items() if m.limit is not None}
    excess = {name: (m.value - m.ideal) / m.limit for name, m in tested.items()}
    # An agreement closer than noise allows is not a difference.
    excess = {name: abs(x) if MEASURES[name].shows_bias else x for name, x in excess.items()}
    names = [name for name, x in excess.items() if not x <= 1]
    return sorted(names, key=lambda name: (not MEASURES[name].shows_bias, -excess[name]))


def _cause(name, measure):
    """The measure that differs and its value, in words."""
    title, value, ideal = MEASURES[name].title, measure.value, measure.ideal
    if name in BIN_TESTS:
        return f"{title} {in_sigma(value)} σ"
    if name == "difference":
        return f"{title} {value:.2%}"
    if name in KNOWN_RATIOS:
        ratio = value / ideal
        near = next((text for r, text in KNOWN_RATIOS[name] if abs(ratio / r - 1) < 0.02), "")
        return f"{title} × {ratio:.4g}{near}"
    return f"{title} {value:.4g} for {ideal:.4g} {measure.unit}".rstrip()
