"""Comparing two cubes, or two folders of models, the first being the reference.

With counts in the second cube every difference has a standard error and the
verdict a false-alarm rate; without, nothing is random and a stated margin decides.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simbg.io.cubes import read_cube
from simbg.io.files import new_directory, new_file
from validation.metrics import CENTER, METRICS, Measure, Pair
from validation.statistics import fit_index, fit_width, sigmas, two_sample_z

__all__ = ["Comparison", "Missing", "compare", "compare_paths"]

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
# An image with fewer counts has no width worth fitting.
WIDTH_COUNTS = 50.0
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
    measures : dict of str to Measure
        Of b, with those of a as ideals.
    limits : dict of str to float
        Largest deviation from the ideal that passes for agreement.
    widths : ndarray, shape (n_energy, 4)
        Fitted width of a, of b, the error of each (deg).
    scatter : bool
        Whether the errors are statistical.
    problems : tuple of str
        What makes a cube unfit to compare, in part or as a whole.
    """

    name: str
    a: object
    b: object
    measures: dict
    limits: dict
    widths: np.ndarray
    scatter: bool
    problems: tuple = ()

    @property
    def causes(self):
        """Names of what differs, the most significant direction first."""
        excess = {
            name: (measure.value - measure.ideal) / self.limits[name]
            for name, measure in self.measures.items()
            if name in self.limits
        }
        # Counts that agree better than chance has it are no difference.
        excess = {name: x if name in OMNIBUS else abs(x) for name, x in excess.items()}
        found = [name for name, size in excess.items() if not size <= 1]
        # These say that something differs, the others what: it comes last.
        return sorted(found, key=lambda name: (name in OMNIBUS, -excess[name]))

    @property
    def agree(self):
        """Whether nothing differs."""
        return not self.causes and not self.problems

    @property
    def verdict(self):
        """In words."""
        how = (
            f"false-alarm rate {FALSE_ALARM_RATE:g}"
            if self.scatter
            else f"no counts: margin {MARGIN:.1%}"
        )
        if self.agree:
            return f"the cubes agree ({how})"
        causes = [*self.problems, *(_cause(name, self.measures[name]) for name in self.causes)]
        return f"the cubes differ ({how}): " + "; ".join(causes)

    @property
    def text(self):
        """Verdict and numbers, a line each."""
        lines = [f"{self.name}: {self.verdict}"]
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
                "value": _plain(measure.value),
                "error": _plain(measure.error),
                "reference": _plain(measure.ideal),
                "limit": _plain(self.limits.get(name, math.nan)),
                "unit": measure.unit,
            }
            for name, measure in self.measures.items()
        }
        per_energy = [
            dict(
                zip(
                    ("energy_min", "energy_max", "a", "b", "a_error", "b_error"),
                    map(_plain, row),
                    strict=True,
                )
            )
            for row in zip(
                self.a.axes.energy[:-1], self.a.axes.energy[1:], *self.widths.T, strict=True
            )
        ]
        return {
            "name": self.name,
            "agree": self.agree,
            "verdict": self.verdict,
            "problems": list(self.problems),
            "differs_in": self.causes,
            "measures": measures,
            "widths": per_energy,
        }


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
        Over the same axes. If a holds whole numbers of counts it is taken for a
        measurement, and its own noise is allowed for.
    normalize : {"none", "cube", "image"}
        Scale a to the integral of b: not, as a whole, or each energy image.
    name : str

    Returns
    -------
    comparison : Comparison

    Raises
    ------
    ValueError
        If the axes differ or the normalisation is unknown.
    """
    if normalize not in SHAPES:
        raise ValueError(f"normalize: got {normalize!r}, expected one of {tuple(SHAPES)}")
    if not a.axes.same_as(b.axes):
        raise ValueError(
            f"{name}: got axes of {a.axes.shape} and {b.axes.shape} bins, expected the same edges"
        )
    a, b = _same_clock(a, b)
    problems, hopeless = _problems(a, b)
    if hopeless:
        nothing = np.full((a.axes.shape[0], 4), np.nan)
        return Comparison(name, a, b, {}, {}, nothing, False, problems)
    a, b = _common(a, b)
    measured = [_is_measured(cube) for cube in (a, b)]
    # Shapes are compared at equal norms, that of what was counted: a wrong one shrinks no error.
    pair = (
        _pair(a, _scaled(b, _factor(b, a, "cube")), *measured)
        if measured == [True, False]
        else _pair(_scaled(a, _factor(a, b, "cube")), b, *measured)
    )
    noise = _noise(pair, a, *measured)
    bins = _bin_by_bin(a, b, normalize, *measured)
    a = _scaled(a, _factor(a, b, normalize))
    fits = [widths(pair.true.axes, counts) for counts in (pair.expected, pair.predicted)]
    shapes = {
        "index": lambda: _index(pair, True),
        "center_index": lambda: _index(pair, pair.true.axes.offset < CENTER),
        "width": lambda: _width(*fits),
        "fov_lon_mean": lambda: _mean(pair, pair.true.axes.fov_lon_center[:, None]),
        "fov_lat_mean": lambda: _mean(pair, pair.true.axes.fov_lat_center),
    }
    measures = {name: shapes[name]() for name in SHAPES[normalize]}
    if normalize == "none":
        measures = {"norm": _norm(a, b, pair), **measures}
    measures = {key: replace(m, error=m.error * noise) for key, m in measures.items()} | bins
    scatter = any(measured)
    rate = FALSE_ALARM_RATE / len(measures)
    limits = {
        key: sigmas(rate) * m.error
        if scatter
        else MARGIN * (abs(m.ideal) if key in RELATIVE else 1.0)
        for key, m in measures.items()
        if (math.isfinite(m.value + m.ideal) and math.isfinite(m.error))
        # Without noise a fit that fails for one cube alone is a difference, too.
        or (not scatter and math.isfinite(m.value) + math.isfinite(m.ideal) > 0)
    }
    table = np.array([(wa, wb, ea, eb) for (wa, ea), (wb, eb) in zip(*fits, strict=True)])
    return Comparison(name, a, b, measures, limits, table, scatter, problems)


def compare_paths(a, b, normalize="none", out=None, json_path=None, overwrite=False):
    """Compare two files, or the models of two folders group by group.

    Returns
    -------
    comparisons : list of Comparison or Missing
    """
    comparisons = list(_comparisons(Path(a), Path(b), normalize))
    if out is not None:
        from validation.plots import compare_figure

        with new_directory(out, overwrite, (r"[^/]+\.png",)) as folder:
            for comparison in comparisons:
                if isinstance(comparison, Comparison):
                    figure = compare_figure(comparison.a, comparison.b, title=comparison.name)
                    label = Path(comparison.name.split(",")[0]).name.split(".")[0]
                    figure.savefig(folder / f"{label}.png", dpi=110)
    if json_path is not None:
        content = {"comparisons": [comparison.to_dict() for comparison in comparisons]}
        with new_file(json_path, overwrite) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")
    return comparisons


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
        cubes = read_cube(in_a[name]), read_cube(in_b[name])
        if cubes[0].axes.same_as(cubes[1].axes):
            yield compare(*cubes, normalize, name)
        else:
            shapes = " and ".join(str(cube.axes.shape) for cube in cubes)
            yield Missing(name, f"not compared, binned differently: {shapes}")


def _models(folder):
    """Cube files of a folder by group: 2015's tables, or GADF's where there are none."""
    for ending in ("table", "gadf"):
        found = sorted(folder.glob(f"bg_cube_model_*_{ending}.fits*"))
        if found:
            return {path.name.split(f"_{ending}.")[0]: path for path in found}
    raise FileNotFoundError(f"{folder}: no bg_cube_model_*_table.fits.gz in it")


def _problems(a, b):
    """What is missing or impossible in either cube, in words, and whether that ends it all."""
    found, hopeless = [], False
    for label, cube in (("A", a), ("B", b)):
        exposed = np.ones(cube.axes.shape, bool) if cube.livetime is None else cube.livetime > 0
        missing = np.count_nonzero(exposed & ~np.isfinite(cube.rate))
        negative = np.count_nonzero(cube.rate < 0)
        if missing:
            found.append(f"{label} has no rate in {missing} of {exposed.sum()} bins with exposure")
        if negative:
            found.append(f"{label} has negative rates in {negative} bins")
        if not cube.total > 0:
            found.append(f"{label} is empty")
            hopeless = True
    common = np.isfinite(a.rate) & np.isfinite(b.rate)
    if not (np.any(a.rate[common] > 0) and np.any(b.rate[common] > 0)):
        found.append("no bin holds a rate in both")
        hopeless = True
    return tuple(found), hopeless


def _common(a, b):
    """Both with neither rate, counts nor exposure in bins of which one knows nothing."""
    used = np.isfinite(a.rate) & np.isfinite(b.rate)
    for cube in (a, b):
        used &= True if cube.livetime is None else cube.livetime > 0

    def cut(cube):
        known = {name: getattr(cube, name) for name in ("counts", "livetime", "ontime")}
        known = {name: np.where(used, v, 0) for name, v in known.items() if v is not None}
        return replace(cube, rate=np.where(used, cube.rate, np.nan), **known)

    return cut(a), cut(b)


def _same_clock(a, b):
    """Both per livetime where that is known, else as they are if that is the same."""
    if a.clock == b.clock:
        return a, b
    known = [cube for cube in (a, b) if cube.livetime is not None and cube.ontime is not None]
    if not known:
        raise ValueError(
            f"got a cube per {a.clock} and one per {b.clock}, and no dead time to convert with"
        )
    return (a.per(b.clock), b) if known[0] is a else (a, b.per(a.clock))


def widths(axes, counts):
    """Fitted width and error in deg, energy by energy; NaN where counts are too few."""
    return [
        fit_width(image, axes.fov_lon, axes.fov_lat)
        if image.sum() >= WIDTH_COUNTS
        else (np.nan,) * 2
        for image in counts
    ]


def _index(pair, pixels):
    """Fitted index of both; the error is the reference's."""
    axes, livetime = pair.true.axes, pair.true.livetime.max(axis=(1, 2))
    rebuilt, true = (
        fit_index((counts * pixels).sum(axis=(1, 2)), axes.energy, livetime)
        for counts in (pair.predicted, pair.expected)
    )
    return Measure(rebuilt[0], true[1], true[0])


def _width(true, rebuilt):
    """Ratio of fitted widths, averaged over energies as their errors say."""
    pairs = [
        (b / a, e / a) for (a, e), (b, _) in zip(true, rebuilt, strict=True) if np.isfinite(a + b)
    ]
    if not pairs:
        return Measure(np.nan, np.nan, 1.0)
    ratio, error = np.array(pairs).T
    weight = error**-2.0
    return Measure(
        float(np.exp(np.average(np.log(ratio), weights=weight))), weight.sum() ** -0.5, 1.0
    )


def _mean(pair, angle):
    """Mean angle of the events: a gradient, a shift, a flip or a swap moves it."""
    expected, predicted = pair.expected, pair.predicted
    ideal = np.sum(expected * angle) / expected.sum()
    value = np.sum(predicted * angle) / predicted.sum()
    error = np.sqrt(np.sum(expected * (angle - ideal) ** 2)) / expected.sum()
    return Measure(float(value), float(error), float(ideal), "deg")


def _factor(a, b, normalize):
    """What a is multiplied with, shape (n_energy, 1, 1)."""
    if normalize == "none":
        return np.ones((a.axes.shape[0], 1, 1))
    totals = [
        cube.spectrum if normalize == "image" else np.full(a.axes.shape[0], cube.total)
        for cube in (a, b)
    ]
    factor = np.divide(totals[1], totals[0], out=np.ones_like(totals[0]), where=totals[0] > 0)
    return factor[:, None, None]


def _scaled(cube, factor):
    return replace(cube, rate=cube.rate * factor, rate_error=None)


def _bin_by_bin(a, b, normalize, a_measured, b_measured):
    """One test of all bins, for differences that have no direction."""
    if a_measured and b_measured:
        exposures = a.livetime, b.livetime * _factor(a, b, normalize)
        total = exposures[0] + exposures[1]
        share = np.divide(exposures[1], total, out=np.zeros_like(total), where=total > 0)
        return {"count_deviance": Measure(two_sample_z(a.counts, b.counts, share), 1.0, 0.0, "σ")}
    if a_measured:  # Then b is the truth that a's counts are held against.
        a, b = b, a
    a = _scaled(a, _factor(a, b, normalize))
    if not (a_measured or b_measured):
        pair = _pair(a, b, False, False)
        q = METRICS["lost_information"](pair).value
        return {"difference": Measure(float(np.sqrt(q / pair.expected.sum())), math.nan, 0.0)}
    return {"count_deviance": METRICS["count_deviance"](_pair(a, b, False, True))}


def _is_measured(cube):
    """Whether the cube was made from counted events: whole numbers, and an exposure."""
    if cube.counts is None or cube.livetime is None or not cube.counts.sum() > 0:
        return False
    return not np.any(cube.counts != np.round(cube.counts))


def _pair(a, b, a_measured, b_measured):
    """a as the truth at the exposure of the measured cube; without one, at a million events."""
    if a_measured or b_measured:
        exposure = (b if b_measured else a).livetime
    else:
        exposure = np.full(a.axes.shape, 1e6 / max(a.total, 1e-300))
    used = np.isfinite(a.rate) & (exposure > 0)
    expected = np.where(used, a.event_rate, 0.0) * exposure
    exposure = np.where(used, exposure, 0.0)
    # Pair works per livetime; both cubes share a clock, so its name does not matter here.
    true = replace(a, counts=expected, livetime=exposure, clock="livetime")
    return Pair(true, replace(b, clock="livetime"))


def _norm(a, b, pair):
    """Ratio of the integrals over common bins, with the error of the counts behind it."""
    used = pair.used
    ratio = b.event_rate[used].sum() / a.event_rate[used].sum()
    return Measure(float(ratio), float(ratio / np.sqrt(pair.expected.sum())), 1.0)


def _noise(pair, a, a_measured, b_measured):
    """Factor on errors at the exposure of `_pair`: both cubes' counts scatter, or one's."""
    if not (a_measured and b_measured):
        return 1.0
    return float(np.sqrt(1 + pair.expected.sum() / a.counts.sum()))


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


def _plain(value):
    return float(value) if math.isfinite(value) else None
