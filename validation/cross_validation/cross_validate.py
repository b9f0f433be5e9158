"""Cross-validation of models of real runs, by run.

The truth of real data is not known. Therefore a model made of other runs predicts the counts of the
runs that were left out, outside of masked sources. The deviance and the significances measure the
agreement.
"""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes, Binning, choose_axes
from simbg.io.safe_files import finite_or_none, new_directory
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.reconstruction.contract import check_cube
from simbg.reconstruction.matching import MatchedRuns
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import ZenithGroups, fit_runs
from simbg.validation.cross_validation.flux import HeldOutFlux, flux_of_held_out, part_of_run
from simbg.validation.cross_validation.held_out import (
    MIN_COUNTS,
    HeldOut,
    hold_out_all,
    middle_of,
)
from simbg.validation.cross_validation.published import PUBLISHED, PublishedModels
from simbg.validation.impact.instrument import Instrument

__all__ = ["FILES", "CrossValidation", "check_method", "compare_methods", "cross_validate"]

log = logging.getLogger(__name__)

# Pixels of 0.25 deg, in which a run of 10,000 events has some counts.
AXES = Axes(np.geomspace(0.1, 100, 13), np.linspace(-2.5, 2.5, 21), np.linspace(-2.5, 2.5, 21))
N_FOLDS, SPLITS = 5, ("run", "night")
# Accepted deviation of the width of the significances from 1, to which three standard errors are
# added. It is an additional scatter of the pixels of a run by 1/3 of Poisson's.
WIDTH_MARGIN, SIGMAS = 0.05, 3.0
# With a larger margin nothing is decided by agreement.
WIDEST_MARGIN = 0.5
# Ends of the names of methods that make models of zenith groups, or of runs that match.
BY_GROUPS, MATCHED = ":groups", ":match"
# Fields of a run that are not numbers.
ARRAYS = ("significances", "images")
FILES = (r"crossval\.(json|md|png)",)
TABLE = """\
| {store}, {method}, {n_folds} folds by {split} | |
|---|---|
| runs in the models / held-out runs | {n_runs} / {n_held_out} |
| skipped runs, which could not be read | {n_skipped} |
| runs without events or prediction | {n_left_out} |
| events of held-out runs | {n_events} |
| norm: mean | {norm_mean:.3f} |
| norm: scatter (Poisson, intrinsic) | {norm_scatter:.3f} ({norm_scatter_poisson:.3f}, \
{norm_scatter_intrinsic:.3f}) |
| deviance per event | {deviance_per_event:.4f} |
| deviance z of images | {image_z_mean:+.2f} ± {image_z_width:.2f} |
| deviance z of spectra | {spectrum_z_mean:+.2f} ± {spectrum_z_width:.2f} |
| significance of {n_pixels} pixels: mean, width | {significance} |

{verdict}"""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All held-out runs and their summary.

    Parameters
    ----------
    store : str
        Path of the store.
    method : str
        Name of the method.
    runs : tuple of HeldOut
        The held-out runs.
    n_runs : int
        Number of runs in the models.
    n_skipped : int
        Number of runs that could not be read.
    left_out : tuple of int
        OBS_ID of runs without events or prediction.
    split : str
        "run" or "night", what the folds are made of.
    flux : HeldOutFlux, optional
        What the models do to the flux of a source.
    """

    store: str
    method: str
    runs: tuple[HeldOut, ...]
    n_runs: int
    n_skipped: int = 0
    left_out: tuple[int, ...] = ()
    split: str = "run"
    flux: HeldOutFlux | None = None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Numbers of all runs, as plain values."""
        norm, error, image, spectrum = (
            np.array([getattr(run, name) for run in self.runs])
            for name in ("norm", "norm_error", "image_z", "spectrum_z")
        )
        total = sum(run.n_events for run in self.runs)
        pixels = np.concatenate([run.significances for run in self.runs])
        scatter = _width(norm)
        numbers = {
            "n_runs": self.n_runs,
            "n_skipped": self.n_skipped,
            "n_held_out": len(self.runs),
            "n_left_out": len(self.left_out),
            "n_events": int(total),
            "deviance_per_event": sum(run.deviance for run in self.runs) / total,
            "norm_mean": norm.mean(),
            "log_norm_scatter": _width(np.log(norm)),
            "norm_scatter": scatter,
            "norm_scatter_poisson": np.sqrt(np.mean(error**2)),
            "norm_scatter_intrinsic": np.sqrt(max(scatter**2 - np.mean(error**2), 0)),
            "image_z_mean": image.mean(),
            "image_z_width": _width(image),
            "spectrum_z_mean": spectrum.mean(),
            "spectrum_z_width": _width(spectrum),
            "n_pixels": pixels.size,
            "significance_mean": pixels.mean() if pixels.size else np.nan,
            "significance_width": pixels.std() if pixels.size else np.nan,
        }
        return {k: v if k.startswith("n_") else float(v) for k, v in numbers.items()}

    @property
    def agree(self) -> bool | None:
        """Whether the width of the significances of held-out runs is 1 within `margin`.

        None if this is undecided: if there are so few pixels that the margin is above 50 %.
        """
        width = self.summary["significance_width"]
        if abs(width - 1) > self.margin:
            return False
        return None if self.margin > WIDEST_MARGIN else bool(np.isfinite(width))

    @property
    def margin(self) -> float:
        """5 % and three standard errors of the width."""
        return WIDTH_MARGIN + SIGMAS / np.sqrt(2 * max(self.summary["n_pixels"], 1))

    @property
    def text(self) -> str:
        """The table, in Markdown."""
        n_pixels, mean, width = (
            self.summary[key] for key in ("n_pixels", "significance_mean", "significance_width")
        )
        names = {"store": self.store, "method": self.method, "n_folds": N_FOLDS}
        names["split"] = self.split
        significance = f"{mean:+.3f}, {width:.3f}" if n_pixels else "–"
        return TABLE.format(
            **self.summary, **names, significance=significance, verdict=self.verdict
        )

    @property
    def verdict(self) -> str:
        """Whether shapes of held-out runs agree with the models, and how far norms are off."""
        n_pixels, width = self.summary["n_pixels"], self.summary["significance_width"]
        reason = (
            f"the significances of their pixels have a width of {width:.3f}, expected 1 ± "
            f"{self.margin:.1%}"
        )
        if self.agree is None:
            reason = (
                f"{n_pixels} pixels have {MIN_COUNTS:g} or more expected counts: too few; use "
                "larger bins (--energy, --fov) or more runs"
            )
        found = {True: "agrees", False: "differs from the models", None: "is undecided"}
        return (
            f"the shape of held-out runs {found[self.agree]}, with a norm for each run: {reason}; "
            f"the norm of a run {self._norm}" + (f"; {self.flux.text}" if self.flux else "")
        )

    @property
    def _norm(self):
        """How far the norms of runs are from their predictions, in words."""
        numbers = self.summary
        mean, scatter = numbers["norm_mean"] - 1, numbers["norm_scatter_intrinsic"]
        text = f"is off by {scatter:.0%}, besides the scatter of the counts"
        error = numbers["norm_scatter"] / np.sqrt(max(numbers["n_held_out"], 1))
        return text + (f", and by {mean:+.0%} on average" if abs(mean) > SIGMAS * error else "")

    def write(self, out: Path | str, picture: bytes | None = None) -> None:
        """Write the table, the numbers of each run and a figure.

        Parameters
        ----------
        out : path-like
            Folder, whose earlier files are replaced.
        picture : bytes, optional
            The figure as PNG.
        """
        runs = [{k: v for k, v in asdict(r).items() if k not in ARRAYS} for r in self.runs]
        flux = asdict(self.flux) if self.flux else None
        document = {"method": self.method, "summary": self.summary, "flux": flux, "runs": runs}
        record = finite_or_none(document)
        with new_directory(out, True, FILES) as folder:
            (folder / "crossval.md").write_text(self.text + "\n", encoding="utf-8")
            (folder / "crossval.json").write_text(json.dumps(record, indent=1) + "\n")
            if picture is not None:
                (folder / "crossval.png").write_bytes(picture)


def _width(values):
    return values.std(ddof=1) if values.size > 1 else np.nan


def cross_validate(
    store: Path | str,
    selection: Selection,
    method: str = "histogram",
    executor: Executor | None = None,
    axes: Binning = None,
    split: str = "run",
) -> CrossValidation:
    """Cross-validate one method; see `compare_methods`.

    Parameters
    ----------
    store : path-like
        A GADF store.
    selection : Selection
        The runs, groups and masks.
    method : str
        Name of the method.
    executor : concurrent.futures.Executor, optional
        Runs folds in parallel.
    axes : Axes or callable, optional
        Axes of the models, or a function that changes the default.
    split : {"run", "night"}
        Whether runs of a night may be in different folds.
    """
    return compare_methods(store, selection, [method], executor, axes, split)[0]


def compare_methods(
    store: Path | str,
    selection: Selection,
    methods: Sequence[str],
    executor: Executor | None = None,
    axes: Binning = None,
    split: str = "run",
) -> list[CrossValidation]:
    """Make models of four fifths of the runs in turn, and predict the other runs.

    The model of a run is that of the method, or interpolated between zenith groups of the
    selection. Known sources are masked.

    Parameters
    ----------
    store : path-like
        A GADF store.
    selection : Selection
        The runs, groups and masks.
    methods : sequence of str
        Names of methods; with ``:groups`` a method that models runs itself makes models of zenith
        groups; with ``:match`` a method makes a model of the runs most like each run.
        "published": the models that the store contains.
    executor : concurrent.futures.Executor, optional
        Runs folds in parallel.
    axes : Axes or callable, optional
        Axes of the models, or a function that changes the default: 12 bins from 0.1 to 100 TeV and
        20 × 20 pixels of 0.25 deg.
    split : {"run", "night"}
        Whether runs of a night may be in different folds.

    Returns
    -------
    list of CrossValidation
        One for each method, in the bins for which all methods have a rate; the same for any
        executor.

    Raises
    ------
    ValueError
        If the store has too few runs, no run with events and a prediction, or covariates that no
        method uses.
    """
    if selection.covariates and not any(map(_uses_covariates, methods)):
        raise ValueError(
            f"covariate {selection.covariates[0]} (--covariate): got the methods "
            f"{', '.join(methods)}, which use no covariates, expected spline or spline:match, or "
            "another one that models runs itself"
        )
    opened = open_store(store, "gadf")
    runs = runs_of(opened, selection, executor)
    observations = [runs.observations[i] for i in np.flatnonzero(runs.group_id >= 0)]
    axes = choose_axes(axes, lambda: AXES)
    folds = _folds(store, observations, split)
    models = [_models_by(name, opened, runs.groups, axes) for name in methods]
    job = partial(_fold, observations, folds, models, axes)
    done = list((executor.map if executor else map)(job, range(N_FOLDS)))
    tested = sorted((run for fold, _ in done for run in fold), key=lambda run: run[0])
    left_out = tuple(number for number, held_out in tested if None in held_out)
    for obs_id in left_out:
        log.warning("run %d is not used: it has no events, or no predicted counts", obs_id)
    good = [held_out for _, held_out in tested if None not in held_out]
    if not good:
        raise ValueError(f"{store}: got no run with events and a model, expected at least 1")
    numbers = len(observations), runs.n_skipped, left_out
    instrument = _instrument(opened, observations)
    totals = np.sum([total for _, total in done], axis=0)
    fluxes = [flux_of_held_out(axes, total, instrument) for total in totals]
    return [
        CrossValidation(str(store), name, tuple(column), *numbers, split, flux)
        for name, column, flux in zip(methods, zip(*good, strict=True), fluxes, strict=True)
    ]


def _instrument(store, observations):
    """The instrument of the first run, or that of the simulation."""
    place = store.hdu_index.place(observations[0].obs_id, "aeff")
    return Instrument.first_of([place[0]] if place else [])


def _folds(store, observations, split):
    """The fold of each run. Similar zenith angles are in different folds."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected {' or '.join(SPLITS)}")
    units = list(range(len(observations)))
    if split == "night":
        units = [_night(run.read()) for run in observations]
    altitude = {
        unit: np.mean([run.alt for run, u in zip(observations, units, strict=True) if u == unit])
        for unit in sorted(set(units))
    }
    if len(altitude) < N_FOLDS:
        raise ValueError(
            f"{store}: got {len(altitude)} {split}s, expected {N_FOLDS} or more for as many folds"
        )
    order = sorted(altitude, key=altitude.__getitem__)
    fold = {unit: number % N_FOLDS for number, unit in enumerate(order)}
    return [fold[unit] for unit in units]


def _night(run):
    """Number of the night: days from noon to noon."""
    site = getattr(run.load().pointing, "site", None)
    middle = middle_of(run)
    if site is None or not np.isfinite(middle):
        raise ValueError(
            f"run {run.obs_id}: got no time or site, expected both for folds of nights"
        )
    return int(np.floor(middle + site.lon / 360 - 0.5))


def check_method(name: str) -> None:
    """Raise an error if there is no such method.

    Parameters
    ----------
    name : str
        As in `compare_methods`.
    """
    if name != PUBLISHED:
        find_method(_plain(name))


def _plain(name):
    """The name of a method without the way in which it makes models of runs."""
    return name.removesuffix(MATCHED if name.endswith(MATCHED) else BY_GROUPS)


def _uses_covariates(name):
    """Whether the covariates of runs can change the models of a method."""
    if name == PUBLISHED or name.endswith(BY_GROUPS):
        return False
    return name.endswith(MATCHED) or hasattr(find_method(name), "fit")


def _models_by(name, store, groups, axes):
    """A function that makes the models of runs from some runs."""
    if name == PUBLISHED:
        return partial(_given, PublishedModels(store, axes))
    plain = find_method(_plain(name))
    if name.endswith(MATCHED):
        return partial(_fitted, MatchedRuns(plain), axes, groups)
    if name.endswith(BY_GROUPS):
        return partial(_by_groups, ZenithGroups(plain, groups), axes)
    return partial(_fitted, plain, axes, groups)


def _given(models, _):
    return models


def _by_groups(method, axes, runs):
    return method.fit(runs, axes)


def _fitted(method, axes, groups, runs):
    return fit_runs(method, runs, axes, groups)


def _fold(observations, folds, models, axes, fold):
    """OBS_ID of each run of a fold, and its `HeldOut` for each method; sums for each method."""
    inside = [run for run, number in zip(observations, folds, strict=True) if number != fold]
    made = [make(inside) for make in models]
    found, total = [], np.zeros((len(models), 3, *axes.shape))
    for run, number in zip(observations, folds, strict=True):
        if number == fold:
            run = run.read()
            cubes = [check_cube(one.at(run), axes).per("livetime") for one in made]
            held_out = hold_out_all(cubes, run, fold)
            found.append((run.obs_id, held_out))
            tested = [one for one in held_out if one is not None]
            if len(tested) == len(cubes):
                for sums, cube, one in zip(total, cubes, tested, strict=True):
                    sums += part_of_run(cube, run, one.norm)
    return found, total
