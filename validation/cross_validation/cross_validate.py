"""Models of real runs, held against runs that they have not seen: cross-validation by run.

Where there is no truth, runs without a source are the judge: a model made of other
runs predicts their counts, and deviance and significances say how well.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
from scipy import special

from simbg.axes import Axes
from simbg.io.safe_files import new_directory
from simbg.models.known_sources import known_sources, near_source
from simbg.models.run_norm import predicted_counts
from simbg.models.runs import open_store, runs_of
from simbg.reconstruction.contract import check_cube
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs
from simbg.validation.metrics.poisson import deviance, deviance_moments

__all__ = ["AXES", "CrossValidation", "HeldOut", "cross_validate", "write_crossval"]

log = logging.getLogger(__name__)

# Bins in which a run of 10,000 events has some counts: pixels of a quarter of a degree.
AXES = Axes(np.geomspace(0.1, 100, 13), np.linspace(-2.5, 2.5, 21), np.linspace(-2.5, 2.5, 21))
N_FOLDS = 5
# Significances are about normal in pixels that expect this many counts or more.
RICH = 5.0
# A width of the significances that passes for 1: pixels then scatter by a third more than Poisson
# at most, run by run. That of few pixels is not known as well: three standard errors are added.
WIDTH_MARGIN, SIGMAS = 0.05, 3.0
FILES = (r"crossval\.(json|md|png)",)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One run against the model of the others.

    Parameters
    ----------
    obs_id, fold : int
    zenith : float
        deg
    n_events, predicted : float
        Counted, and predicted before the norm of the run.
    norm, norm_error : float
        Their ratio, and its error from the counts alone.
    image_z, spectrum_z : float
        Standardised deviance of the image and of the spectrum after the norm.
    significances : ndarray
        Of the image's pixels with 5 expected counts or more, after the norm.
    """

    obs_id: int
    fold: int
    zenith: float
    n_events: int
    predicted: float
    norm: float
    norm_error: float
    image_z: float
    spectrum_z: float
    significances: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All held-out runs, and what they say together."""

    store: str
    method: str
    runs: tuple[HeldOut, ...]
    n_runs: int
    n_skipped: int = 0
    left_out: tuple[int, ...] = ()  # source-free runs without events, or without a model

    @property
    def summary(self):
        """Numbers of the whole: plain floats."""
        norm, error, image, spectrum = (
            np.array([getattr(run, name) for run in self.runs])
            for name in ("norm", "norm_error", "image_z", "spectrum_z")
        )
        all_pixels = np.concatenate([run.significances for run in self.runs])
        scatter = norm.std(ddof=1) if norm.size > 1 else np.nan
        return {
            "n_runs": self.n_runs,
            "n_skipped": self.n_skipped,
            "n_held_out": len(self.runs),
            "n_left_out": len(self.left_out),
            "n_events": int(sum(run.n_events for run in self.runs)),
            "norm_mean": float(norm.mean()),
            "norm_scatter": float(scatter),
            "norm_scatter_poisson": float(np.sqrt(np.mean(error**2))),
            "norm_scatter_intrinsic": float(np.sqrt(max(scatter**2 - np.mean(error**2), 0))),
            "image_z_mean": float(image.mean()),
            "image_z_width": float(image.std(ddof=1)) if image.size > 1 else np.nan,
            "spectrum_z_mean": float(spectrum.mean()),
            "spectrum_z_width": float(spectrum.std(ddof=1)) if spectrum.size > 1 else np.nan,
            "n_pixels": all_pixels.size,
            "significance_mean": float(all_pixels.mean()) if all_pixels.size else np.nan,
            "significance_width": float(all_pixels.std()) if all_pixels.size else np.nan,
        }

    @property
    def agree(self):
        """Whether significances of held-out runs are as wide as a normal, to `margin`."""
        return abs(self.summary["significance_width"] - 1) <= self.margin

    @property
    def margin(self):
        """5 %, and three standard errors of the width."""
        return WIDTH_MARGIN + SIGMAS / np.sqrt(2 * max(self.summary["n_pixels"], 1))

    @property
    def text(self):
        """The table, in Markdown."""
        s = self.summary
        rows = (
            ("runs in the models / held out", f"{s['n_runs']} / {s['n_held_out']}"),
            ("runs skipped, as they could not be read", f"{s['n_skipped']}"),
            ("source-free runs without events or a model", f"{s['n_left_out']}"),
            ("events held out", f"{s['n_events']}"),
            ("norm: mean", f"{s['norm_mean']:.3f}"),
            (
                "norm: scatter (Poisson, intrinsic)",
                "{norm_scatter:.3f} ({norm_scatter_poisson:.3f}, "
                "{norm_scatter_intrinsic:.3f})".format(**s),
            ),
            ("deviance z of images", f"{s['image_z_mean']:+.2f} ± {s['image_z_width']:.2f}"),
            ("deviance z of spectra", f"{s['spectrum_z_mean']:+.2f} ± {s['spectrum_z_width']:.2f}"),
            (
                f"significance of {s['n_pixels']} pixels: mean, width",
                f"{s['significance_mean']:+.3f}, {s['significance_width']:.3f}",
            ),
        )
        words = "agree" if self.agree else "differ"
        lines = [f"| {name} | {value} |" for name, value in rows]
        head = [f"| {self.store}, {self.method}, {N_FOLDS} folds by run | |", "|---|---|"]
        verdict = (
            f"predicted and observed counts {words}, at the norm of each run: the significances of "
            f"held-out pixels have a width of {s['significance_width']:.3f}, expected 1 to "
            f"{self.margin:.1%}"
        )
        return "\n".join([*head, *lines, "", verdict])


def cross_validate(store, selection, method="histogram", scheme="auto", axes=AXES, executor=None):
    """Make models of four fifths of the runs, in turn, and predict the source-free others.

    The model of a run is the method's own, or interpolated between zenith groups of the selection.
    Runs near known sources take part in the models only, with regions masked if the selection
    says so.

    Parameters
    ----------
    store : path-like
        A GADF store.
    selection : Selection
    method : str
    scheme : str
    axes : Axes
    executor : concurrent.futures.Executor, optional

    Returns
    -------
    result : CrossValidation
        The same for any executor.
    """
    found = runs_of(open_store(store, scheme), selection)
    observations = [found.observations[i] for i in np.flatnonzero(found.group_id >= 0)]
    if len(observations) < N_FOLDS:
        raise ValueError(f"{store}: got {len(observations)} runs, expected {N_FOLDS} or more")
    sources = known_sources(selection.exclude, limit=selection.limit)
    free = near_source(*([o.ra for o in observations], [o.dec for o in observations]), sources) < 0
    if not free.any():
        raise ValueError(f"{store}: got no run far from known sources, expected 1 to hold out")
    # Neighbours in zenith go to different folds, so that each fold has the whole range.
    rank = np.argsort(np.argsort([o.alt for o in observations], kind="stable"), kind="stable")
    job = partial(
        _fold, observations, free, rank % N_FOLDS, find_method(method), axes, found.groups
    )
    folds = (executor.map if executor else map)(job, range(N_FOLDS))
    runs = sorted((run for fold in folds for run in fold), key=lambda run: run.obs_id)
    judged = {run.obs_id for run in runs}
    left_out = tuple(o.obs_id for o, alone in zip(observations, free, strict=True) if alone)
    left_out = tuple(obs_id for obs_id in left_out if obs_id not in judged)
    for obs_id in left_out:
        log.warning("run %d is not judged: it has no events, or nothing is predicted", obs_id)
    if not runs:
        raise ValueError(f"{store}: got no source-free run with events and a model, expected 1")
    about = len(observations), found.n_skipped, left_out
    return CrossValidation(str(store), method, tuple(runs), *about)


def _fold(observations, free, fold_of, method, axes, groups, fold):
    """Source-free runs of one fold against models of the other folds."""
    others = [observations[i] for i in np.flatnonzero(fold_of != fold)]
    models, judged = fit_runs(method, others, axes, groups), []
    for i in np.flatnonzero(free & (fold_of == fold)):
        cube = check_cube(models.at(observations[i]), axes).per("livetime")
        with suppress(NothingToCompareError):
            judged.append(held_out(cube, observations[i], fold))
    return judged


class NothingToCompareError(ValueError):
    """A run without events, or of which nothing is predicted."""


def held_out(cube, observation, fold=0):
    """Hold a run against a model, which has not seen it."""
    axes, events = cube.axes, observation.events()
    predicted = predicted_counts(cube, observation, events)
    known = np.isfinite(predicted)
    predicted = np.where(known, predicted, 0.0)
    counts = np.where(known, axes.fill(events.energy, events.fov_lon, events.fov_lat), 0)
    variance = np.zeros(axes.shape)
    if cube.rate_error is not None:
        np.divide(cube.rate_error, cube.rate, out=variance, where=known & (cube.rate > 0))
        variance = (variance * predicted) ** 2
    n, total = int(counts.sum()), float(predicted.sum())
    if not (n and total):
        raise NothingToCompareError(
            f"run {observation.obs_id}: got {n} events for {total:.1f} predicted"
        )
    norm = n / total
    sums = [
        [values.sum(axis=axis) for values in (counts, norm * predicted, norm**2 * variance)]
        for axis in (0, (1, 2))
    ]
    image, spectrum = sums
    return HeldOut(
        observation.obs_id,
        fold,
        90 - observation.alt,
        n,
        total,
        norm,
        np.sqrt(n) / total,
        _deviance_z(*image),
        _deviance_z(*spectrum),
        _significances(*image, np.random.default_rng(observation.obs_id)),
    )


def _deviance_z(counts, expected, variance):
    """Standardised deviance; a model's own variance adds to that of the counts."""
    used = expected > 0
    counts, expected, variance = counts[used], expected[used], variance[used]
    mean, spread = deviance_moments(expected)
    more = 1 + variance / expected
    excess = deviance(counts, expected).sum() - (mean * more).sum()
    return float(excess / np.sqrt((spread * more**2).sum()))


def _significances(counts, expected, variance, rng):
    """Deviations of rich pixels as those of a normal, in units of counts' and model's scatter.

    Counts are discrete: uniform in the probability of each, which makes a Poisson number of any
    mean a normal.
    """
    rich = expected >= RICH
    counts, expected, variance = counts[rich], expected[rich], variance[rich]
    below = np.where(counts > 0, special.pdtr(np.maximum(counts - 1, 0), expected), 0.0)
    share = below + rng.random(counts.size) * (special.pdtr(counts, expected) - below)
    normal = special.ndtri(np.clip(share, 1e-15, 1 - 1e-15))
    return normal / np.sqrt(1 + variance / expected)


def write_crossval(result, out, picture=None, overwrite=True):
    """Write the table, the numbers of each run and the figure, a PNG if any, into a folder."""
    with new_directory(out, overwrite, FILES) as folder:
        (folder / "crossval.md").write_text(result.text + "\n", encoding="utf-8")
        runs = [
            {k: v for k, v in asdict(run).items() if k != "significances"} for run in result.runs
        ]
        record = {"method": result.method, "summary": result.summary, "runs": runs}
        (folder / "crossval.json").write_text(json.dumps(record, indent=1) + "\n")
        if picture is not None:
            (folder / "crossval.png").write_bytes(picture)
