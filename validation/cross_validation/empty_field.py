"""An empty field: whether pixels of runs that a cube has not seen scatter as they should."""

import math

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.cross_validation.held_out import hold_out

__all__ = ["significance_width"]

# It is seen by so many runs of another replicate, in pixels of about this size.
N_RUNS, PIXEL = 20, 0.65


def significance_width(experiment, cube):
    """Width of the significances of held-out runs, if the field is empty, and its error."""
    if experiment.scenario.ignored:
        return {}
    runs = experiment.observations()[:N_RUNS]
    coarse = _coarse(cube.per("livetime"))
    held_out = [run for run in (hold_out(coarse, run) for run in runs) if run is not None]
    values = np.concatenate([np.zeros(0), *(run.significances for run in held_out)])
    if values.size < 2:
        return {}
    width = float(values.std())
    error = width / math.sqrt(2 * values.size)
    return {"significance_width": width, "significance_width_error": error}


def _coarse(cube):
    """The cube over larger pixels: means of what is known, weighted with solid angle."""
    axes, edges = cube.axes, []
    for name in ("fov_lon", "fov_lat"):
        values = getattr(axes, name)
        step = max(1, round(PIXEL / np.diff(values).mean()))
        edges.append(np.arange(0, values.size - 1, step))
    known = np.isfinite(cube.rate)
    weight = np.where(known, axes.solid_angle, 0.0)
    rate = _summed(np.where(known, cube.rate, 0.0) * weight, edges)
    weight = _summed(weight, edges)
    rate = np.divide(rate, weight, out=np.full(rate.shape, np.nan), where=weight > 0)
    new = [
        np.append(getattr(axes, name)[first], getattr(axes, name)[-1])
        for name, first in zip(("fov_lon", "fov_lat"), edges, strict=True)
    ]
    return BackgroundCube(Axes(axes.energy, *new), rate)


def _summed(values, edges):
    return np.add.reduceat(np.add.reduceat(values, edges[0], axis=1), edges[1], axis=2)
