"""Cross-validation of models of real runs, by run.

The truth of real data is not known. Therefore a model made of other runs predicts the counts of
runs without a known source. The deviance and the significances measure the agreement.
"""

import json
import logging
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes, Binning, choose_axes
from simbg.io.safe_files import finite_or_none, new_directory
from simbg.models.known_sources import known_sources
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.reconstruction.contract import check_cube
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs
from simbg.validation.cross_validation.held_out import MIN_COUNTS, HeldOut, hold_out

__all__ = ["FILES", "cross_validate"]

log = logging.getLogger(__name__)

# Pixels of 0.25 deg, in which a run of 10,000 events has some counts.
AXES = Axes(np.geomspace(0.1, 100, 13), np.linspace(-2.5, 2.5, 21), np.linspace(-2.5, 2.5, 21))
N_FOLDS = 5
# Accepted deviation of the width of the significances from 1, to which three standard errors are
# added. It is an additional scatter of the pixels of a run by 1/3 of Poisson's.
WIDTH_MARGIN, SIGMAS = 0.05, 3.0
# With a larger margin nothing is decided by agreement.
WIDEST_MARGIN = 0.5
FILES = (r"crossval\.(json|md|png)",)
TABLE = """\
| {store}, {method}, {n_folds} folds by run | |
|---|---|
| runs in the models / held-out runs | {n_runs} / {n_held_out} |
| skipped runs, which could not be read | {n_skipped} |
| source-free runs without events or prediction | {n_left_out} |
| events of held-out runs | {n_events} |
| norm: mean | {norm_mean:.3f} |
| norm: scatter (Poisson, intrinsic) | {norm_scatter:.3f} ({norm_scatter_poisson:.3f}, \
{norm_scatter_intrinsic:.3f}) |
| deviance z of images | {image_z_mean:+.2f} ± {image_z_width:.2f} |
| deviance z of spectra | {spectrum_z_mean:+.2f} ± {spectrum_z_width:.2f} |
| significance of {n_pixels} pixels: mean, width | {significance} |

the shape of held-out runs {verdict}, with a norm for each run: {reason}; the norm of a run \
{norm}"""


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
        OBS_ID of source-free runs without events or prediction.
    """

    store: str
    method: str
    runs: tuple[HeldOut, ...]
    n_runs: int
    n_skipped: int = 0
    left_out: tuple[int, ...] = ()

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Numbers of all runs, as plain values."""
        norm, error, image, spectrum = (
            np.array([getattr(run, name) for run in self.runs])
            for name in ("norm", "norm_error", "image_z", "spectrum_z")
        )
        pixels = np.concatenate([run.significances for run in self.runs])
        scatter = _width(norm)
        numbers = {
            "n_runs": self.n_runs,
            "n_skipped": self.n_skipped,
            "n_held_out": len(self.runs),
            "n_left_out": len(self.left_out),
            "n_events": int(sum(run.n_events for run in self.runs)),
            "norm_mean": norm.mean(),
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
        names = {"store": self.store, "method": self.method, "n_folds": N_FOLDS}
        n_pixels, mean, width = (
            self.summary[key] for key in ("n_pixels", "significance_mean", "significance_width")
        )
        reason = (
            f"the significances of their pixels have a width of {width:.3f}, expected 1 ± "
            f"{self.margin:.1%}"
        )
        if self.agree is None:
            reason = (
                f"{n_pixels} pixels have {MIN_COUNTS:g} or more expected counts: too few; use "
                "larger bins (--energy, --fov) or more runs"
            )
        verdict = {True: "agrees", False: "differs from the models", None: "is undecided"}
        return TABLE.format(
            **self.summary,
            **names,
            significance=f"{mean:+.3f}, {width:.3f}" if n_pixels else "–",
            verdict=verdict[self.agree],
            reason=reason,
            norm=self._norm,
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
        runs = [{k: v for k, v in asdict(r).items() if k != "significances"} for r in self.runs]
        record = finite_or_none({"method": self.method, "summary": self.summary, "runs": runs})
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
) -> CrossValidation:
    """Make models of four fifths of the runs in turn, and predict the other source-free runs.

    The model of a run is that of the method, or interpolated between zenith groups of the
    selection. Runs near known sources are used for the models only, with the masks of the
    selection.

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
        Axes of the models, or a function that changes the default: 12 bins from 0.1 to 100 TeV and
        20 × 20 pixels of 0.25 deg.

    Returns
    -------
    result : CrossValidation
        The same for any executor.

    Raises
    ------
    ValueError
        If the store has too few runs, or no source-free run with events and a prediction.
    """
    runs = runs_of(open_store(store, "gadf"), selection)
    observations = [runs.observations[i] for i in np.flatnonzero(runs.group_id >= 0)]
    if len(observations) < N_FOLDS:
        raise ValueError(f"{store}: got {len(observations)} runs, expected {N_FOLDS} or more")
    sources = known_sources(selection.without_images, max_sources=selection.max_sources)
    far = sources.near([run.ra for run in observations], [run.dec for run in observations]) < 0
    free = {observations[i].obs_id for i in np.flatnonzero(far)}
    if not free:
        raise ValueError(f"{store}: got no run far from known sources, expected at least 1")
    axes = choose_axes(axes, lambda: AXES)
    job = partial(_fold, observations, free, find_method(method), runs.groups, axes)
    folds = (executor.map if executor else map)(job, range(N_FOLDS))
    held_out = sorted((run for fold in folds for run in fold), key=lambda run: run.obs_id)
    left_out = tuple(sorted(free - {run.obs_id for run in held_out}))
    for obs_id in left_out:
        log.warning("run %d is not used: it has no events, or no predicted counts", obs_id)
    if not held_out:
        raise ValueError(
            f"{store}: got no source-free run with events and a model, expected at least 1"
        )
    numbers = len(observations), runs.n_skipped, left_out
    return CrossValidation(str(store), method, tuple(held_out), *numbers)


def _fold(observations, free, method, groups, axes, fold):
    """Source-free runs of one fold, with the models of the other folds."""
    # Runs of similar zenith angles are in different folds, so that each fold has the whole range.
    fold_runs = sorted(observations, key=lambda run: run.alt)[fold::N_FOLDS]
    ids = {run.obs_id for run in fold_runs}
    models = fit_runs(method, [run for run in observations if run.obs_id not in ids], axes, groups)
    tested = [run for run in fold_runs if run.obs_id in free]
    cubes = (check_cube(models.at(run), axes).per("livetime") for run in tested)
    held_out = (hold_out(cube, run, fold) for cube, run in zip(cubes, tested, strict=True))
    return [run for run in held_out if run is not None]
