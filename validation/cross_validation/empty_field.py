"""An empty field: the scatter of pixels of runs from which a cube was not made."""

import math
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.validation.cross_validation.held_out import hold_out

__all__ = ["significance_width"]

# Number of runs of another replicate, and size of the pixels, deg.
N_RUNS, PIXEL = 20, 0.65


def significance_width(experiment: Any, cube: BackgroundCube) -> dict[str, float]:
    """Width of the significances of held-out runs, if the field is empty.

    Parameters
    ----------
    experiment : Experiment
        Gives the runs; its events are independent of the cube.
    cube : BackgroundCube
        The model.

    Returns
    -------
    values : dict of str to float
        The width and its error; empty if the scenario ignores an effect or has too few counts.
    """
    if experiment.scenario.ignored:
        return {}
    runs = experiment.observations()[:N_RUNS]
    coarse = _coarse(cube.per("livetime"))
    held_out = [run for run in (hold_out(coarse, run) for run in runs) if run is not None]
    values = np.concatenate([np.zeros(0), *(run.significances for run in held_out)])
    if values.size < 2:
        return {}
    width, error = float(values.std()), float(values.std()) / math.sqrt(2 * values.size)
    return {"significance_width": width, "significance_width_error": error}


def _coarse(cube):
    """The cube in larger pixels: means weighted with solid angle, without unknown bins."""
    axes, field = cube.axes, (cube.axes.fov_lon, cube.axes.fov_lat)
    steps = (max(1, round(PIXEL / np.diff(edges).mean())) for edges in field)
    first = [np.arange(0, edges.size - 1, step) for edges, step in zip(field, steps, strict=True)]
    known = np.isfinite(cube.rate)
    weight = np.where(known, axes.solid_angle, 0.0)
    rate = _summed(np.where(known, cube.rate, 0.0) * weight, first)
    weight = _summed(weight, first)
    rate = np.divide(rate, weight, out=np.full(rate.shape, np.nan), where=weight > 0)
    lon, lat = (np.append(edges[i], edges[-1]) for edges, i in zip(field, first, strict=True))
    return BackgroundCube(Axes(axes.energy, lon, lat), rate)


def _summed(values, first):
    return np.add.reduceat(np.add.reduceat(values, first[0], axis=1), first[1], axis=2)
