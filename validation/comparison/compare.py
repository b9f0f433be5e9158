"""Comparing two cubes, or two folders of models, the first being the reference.

With counts in the second cube every difference has a standard error and the
verdict a false-alarm rate; without, nothing is random and a stated margin decides. Cubes over
other bins are compared on common ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from simbg.io.cubes import read_cube
from simbg.io.safe_files import finite_or_none
from simbg.validation.comparison.conventions import find_fault
from simbg.validation.comparison.measures import (
    bin_by_bin,
    common_bins,
    find_problems,
    fitted_index,
    is_measured,
    make_pair,
    mean_angle,
    noise_factor,
    norm_ratio,
    same_clock,
    scale_factor,
    scaled,
    width_ratio,
    widths,
)
from simbg.validation.comparison.rebinning import Incomparable, common_binning
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.shapes import CENTER

__all__ = ["TESTED", "Comparison", "Missing", "compare", "compare_paths"]

# Probability that two cubes of one truth are called different.
FALSE_ALARM_RATE = 1e-3
# Without counts: half of the 1 % background systematic that CTAO plans with.
MARGIN = 0.005
TESTED = {
    "norm": "norm",
    "index": "index over the field",
    "center_index": "central index",
    "width": "width",
    "fov_lon_mean": "mean fov_lon",
    "fov_lat_mean": "mean fov_lat",
    "count_deviance": "counts, bin by bin",
    "difference": "rms difference of bins",
}
OMNIBUS = ("count_deviance", "difference")
RELATIVE = ("norm", "index", "center_index", "width")
# What a normalisation leaves to compare; scaling each image leaves no spectrum.
SHAPES = {
    "none": ("index", "center_index", "width", "fov_lon_mean", "fov_lat_mean"),
    "cube": ("index", "center_index", "width", "fov_lon_mean", "fov_lat_mean"),
    "image": ("width", "fov_lon_mean", "fov_lat_mean"),
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two cubes have in common and where they differ.

    Parameters
    ----------
    name : str
    a, b : BackgroundCube
        ``a`` after normalisation.
    measures : dict of str to MetricValue
        Of b, with those of a as ideals.
    limits : dict of str to float
        Largest deviation from the ideal that passes for agreement.
    widths : ndarray, shape (n_energy, 4)
        Fitted width of a, of b, the error of each (deg).
    scatter : bool
        Whether the errors are statistical.
    problems : tuple of str
        What makes a cube unfit to compare, in part or as a whole.
    fault : str, optional
        The fault of convention without which the cubes agree. If it lies in the axes,
        everything else here is of cubes without it.
    binning : str
        How the cubes came to have the same bins if they had others; empty if they had not.
    approximate : bool
        Whether that was not exact: then statistical limits are wider by the margin, and counts
        are not tested bin by bin.
    """

    name: str
    a: object
    b: object
    measures: dict
    limits: dict
    widths: np.ndarray
    scatter: bool
    problems: tuple = ()
    fault: str | None = None
    binning: str = ""
    approximate: bool = False

    @property
    def causes(self):
        """Names of what differs, the most significant direction first."""
        return _causes(self.measures, self.limits)

    @property
    def agree(self):
        """Whether nothing differs."""
        return not self.causes and not self.problems and self.fault is None

    @property
    def verdict(self):
        """In words."""
        how = (
            f"false-alarm rate {FALSE_ALARM_RATE:g}"
            if self.scatter
            else f"no counts: margin {MARGIN:.1%}"
        )
        if self.approximate and self.scatter:
            how += f" and a margin of {MARGIN:.1%}, not bin by bin"
        if self.agree:
            counts = self.measures.get("count_deviance")
            limit = self.limits.get("count_deviance", math.inf)
            if counts is not None and counts.value < -limit:
                how += ", and better than chance, as cubes of the same events do"
            return f"the cubes agree ({how})"
        causes = [*self.problems, *(_cause(name, self.measures[name]) for name in self.causes)]
        causes = causes if self.fault is None else [self.fault, *causes]
        return f"the cubes differ ({how}): " + "; ".join(causes)

    @property
    def text(self):
        """Verdict and numbers, a line each."""
        lines = [f"{self.name}: {self.verdict}"]
        if self.binning:
            lines.append(f"  {self.binning}")
        for name, measure in self.measures.items():
            error = (
                f" ± {measure.error:.5f}" if self.scatter and math.isfinite(measure.error) else ""
            )
            mark = "≠" if name in self.causes else " "
            lines.append(
                f"  {mark} {TESTED[name]:24s} B {measure.value:.5f}{error}  "
                f"A {measure.ideal:.5f} {measure.unit}".rstrip()
            )
        return "\n".join(lines)

    def to_dict(self):
        """Plain numbers, None where there is none."""
        measures = {
            name: {
                "value": measure.value,
                "error": measure.error,
                "reference": measure.ideal,
                "limit": self.limits.get(name),
                "unit": measure.unit,
            }
            for name, measure in self.measures.items()
        }
        columns = "energy_min", "energy_max", "a", "b", "a_error", "b_error"
        energy = self.a.axes.energy
        rows = np.column_stack([energy[:-1], energy[1:], self.widths]).tolist()
        return finite_or_none(
            {
                "name": self.name,
                "agree": self.agree,
                "verdict": self.verdict,
                "fault": self.fault,
                "binning": self.binning,
                "problems": self.problems,
                "differs_in": self.causes,
                "measures": measures,
                "widths": [dict(zip(columns, row, strict=True)) for row in rows],
            }
        )


@dataclass(frozen=True)
class Missing:
    """A group that could not be compared, and why."""

    name: str
    reason: str
    agree = False

    @property
    def text(self):
        """In words."""
        return f"{self.name}: {self.reason}"

    def to_dict(self):
        """Plain values."""
        return {"name": self.name, "agree": False, "verdict": self.reason}


def compare(a, b, normalize="none", name="A, B"):
    """Compare cube b with the reference a.

    Parameters
    ----------
    a, b : BackgroundCube
        If a holds whole numbers of counts it is taken for a measurement, and its own
        noise is allowed for. Over other axes, they are brought to common ones.
    normalize : {"none", "cube", "image"}
        Scale a to the integral of b: not, as a whole, or each energy image.
    name : str

    Returns
    -------
    comparison : Comparison

    Raises
    ------
    ValueError
        If the axes have nothing in common (Incomparable), or the normalisation is unknown.
    """
    if normalize not in SHAPES:
        raise ValueError(f"normalize: got {normalize!r}, expected one of {tuple(SHAPES)}")
    judge = partial(_judged, normalize=normalize, name=name)
    if a.axes.same_as(b.axes):
        return _with_fault(a, b, judge)
    if fault := find_fault(a, b, None, judge):
        return replace(fault.found, fault=fault.text)
    try:
        common = common_binning(a, b)
    except Incomparable as error:
        raise Incomparable(f"{name}: {error}") from error
    judge = partial(judge, approximate=common.measured)
    return replace(_with_fault(common.a, common.b, judge), binning=common.text)


def _with_fault(a, b, judge):
    """The comparison over the same axes, and the fault of convention if one explains it."""
    found = judge(a, b)
    if found.agree or found.problems:
        return found
    fault = find_fault(a, b, found, judge)
    return replace(found, fault=fault.text) if fault else found


def _judged(a, b, normalize, name, hopeful=False, approximate=None):
    """The comparison over the same axes; ``hopeful`` ends it with None at a first difference.

    Parameters
    ----------
    approximate : tuple of bool, optional
        Which was made from counts, if bins can no longer be compared one by one.
    """
    a, b = same_clock(a, b)
    problems, hopeless = find_problems(a, b)
    loose = approximate is not None
    if hopeless:
        nothing = np.full((a.axes.shape[0], 4), np.nan)
        return Comparison(name, a, b, {}, {}, nothing, False, problems, approximate=loose)
    a, b = common_bins(a, b)
    measured = approximate or [is_measured(cube) for cube in (a, b)]
    pair = _at_equal_norms(a, b, *measured)
    noise = noise_factor(pair, a, *measured)
    scatter = any(measured)
    rate = FALSE_ALARM_RATE / (len(SHAPES[normalize]) + (normalize == "none") + 1)
    limits = partial(_limits, scatter=scatter, rate=rate, loose=loose)
    bins = bin_by_bin(a, b, normalize, *([False] * 2 if loose else measured))
    a = scaled(a, scale_factor(a, b, normalize))
    norm = {"norm": norm_ratio(a, b, pair)} if normalize == "none" else {}
    norm = {key: replace(m, error=m.error * noise) for key, m in norm.items()}
    if hopeful and _causes(norm | bins, limits(norm | bins)):
        return None
    fits = [widths(pair.true.axes, counts) for counts in (pair.expected, pair.predicted)]
    shapes = {
        "index": lambda: fitted_index(pair, True),
        "center_index": lambda: fitted_index(pair, pair.true.axes.offset < CENTER),
        "width": lambda: width_ratio(*fits),
        "fov_lon_mean": lambda: mean_angle(pair, pair.true.axes.fov_lon_center[:, None]),
        "fov_lat_mean": lambda: mean_angle(pair, pair.true.axes.fov_lat_center),
    }
    measures = {name: shapes[name]() for name in SHAPES[normalize]}
    measures = {key: replace(m, error=m.error * noise) for key, m in measures.items()}
    measures = norm | measures | bins
    table = np.array([(wa, wb, ea, eb) for (wa, ea), (wb, eb) in zip(*fits, strict=True)])
    found = Comparison(name, a, b, measures, limits(measures), table, scatter, problems)
    return replace(found, approximate=loose)


def _at_equal_norms(a, b, a_measured, b_measured):
    """Both at the norm of what was counted: a wrong one shrinks no error of a shape."""
    if a_measured and not b_measured:
        return make_pair(a, scaled(b, scale_factor(b, a, "cube")), a_measured, b_measured)
    return make_pair(scaled(a, scale_factor(a, b, "cube")), b, a_measured, b_measured)


def _limits(measures, scatter, rate, loose=False):
    """Largest deviations that pass, at a false-alarm rate each or by the margin; by both if loose.

    Then bins that scatter are not tested one by one: their counts are no longer Poisson's.
    """
    allowed = sigmas(rate) if scatter else 0.0
    margin = MARGIN if loose or not scatter else 0.0
    return {
        key: (allowed * m.error if scatter else 0.0)
        + margin * (abs(m.ideal) if key in RELATIVE else 1.0)
        for key, m in measures.items()
        if not (loose and scatter and key in OMNIBUS) and _is_testable(m, scatter)
    }


def _is_testable(measure, scatter):
    value, ideal = measure.value, measure.ideal
    # Without noise a fit that fails for one cube alone is a difference, too.
    if not scatter and math.isfinite(value) + math.isfinite(ideal) > 0:
        return True
    # Counts where none are expected are infinitely unlikely.
    return (math.isfinite(value) or value == math.inf) and math.isfinite(ideal + measure.error)


def _causes(measures, limits):
    """Names of what lies beyond its limit, the most significant direction first."""
    excess = {
        name: (m.value - m.ideal) / limits[name] for name, m in measures.items() if name in limits
    }
    # Counts that agree better than chance has it are no difference.
    excess = {name: x if name in OMNIBUS else abs(x) for name, x in excess.items()}
    found = [name for name, size in excess.items() if not size <= 1]
    # These say that something differs, the others what: it comes last.
    return sorted(found, key=lambda name: (name in OMNIBUS, -excess[name]))


def compare_paths(a, b, normalize="none"):
    """Compare two files, or the models of two folders group by group.

    Returns
    -------
    comparisons : list of Comparison or Missing
    """
    return list(_comparisons(Path(a), Path(b), normalize))


def _comparisons(a, b, normalize):
    if a.is_dir() != b.is_dir():
        raise ValueError(f"got {a} and {b}, expected two files or two folders")
    if not a.is_dir():
        yield compare(read_cube(a), read_cube(b), normalize, f"{a.name}, {b.name}")
        return
    in_a, in_b = _models(a), _models(b)
    for name in sorted(in_a.keys() | in_b.keys(), key=lambda n: (len(n), n)):
        if name not in in_a or name not in in_b:
            yield Missing(name, f"only in {a if name in in_a else b}")
            continue
        try:
            found = compare(read_cube(in_a[name]), read_cube(in_b[name]), normalize, name)
        except Incomparable as error:
            found = Missing(name, f"not compared, {str(error).removeprefix(f'{name}: ')}")
        yield found


def _models(folder):
    """Cube files of a folder by group: 2015's tables, or GADF's where there are none."""
    for ending in ("table", "gadf"):
        found = sorted(folder.glob(f"bg_cube_model_*_{ending}.fits*"))
        if found:
            return {path.name.split(f"_{ending}.")[0]: path for path in found}
    raise FileNotFoundError(f"{folder}: no bg_cube_model_*_table.fits.gz in it")


def _cause(name, measure):
    if name == "count_deviance":
        return f"{TESTED[name]} {measure.value:+.4g} σ"
    if name == "difference":
        return f"{TESTED[name]} {measure.value:.2%}"
    if name in KNOWN_RATIOS:
        ratio = measure.value / measure.ideal
        near = next((t for v, t in KNOWN_RATIOS[name] if abs(ratio / v - 1) < 0.02), "")
        return f"{TESTED[name]} × {ratio:.4g}{near}"
    return f"{TESTED[name]} {measure.value:.4g} for {measure.ideal:.4g} {measure.unit}".rstrip()


# Ratios that say where they come from.
KNOWN_RATIOS = {
    "width": (
        (math.sqrt(2), " (√2: exp(−r²/σ²) for exp(−r²/2σ²))"),
        (math.sqrt(0.5), " (1/√2: exp(−r²/2σ²) for exp(−r²/σ²))"),
    ),
    "norm": ((1e6, " (per TeV for per MeV)"), (1e-6, " (per MeV for per TeV)")),
}
