"""Backgrounds for observations of gammapy, from models in memory or in files."""

from collections.abc import Sequence
from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from simbg.cube import BackgroundCube
from simbg.io.cubes import read_model
from simbg.io.gammapy_objects import is_of_gammapy
from simbg.models.interpolation.nodes import at_nodes
from simbg.models.per_run import file_name, scaled_to_run
from simbg.models.run_norm import RunNorm
from simbg.observations.observation import Observation

__all__ = ["attach"]

# Without a fit.
NO_NORM = RunNorm(1.0, np.inf, 0, 0.0)


def attach(
    theirs: Sequence[Any], ours: Sequence[Observation], models: Any, norm: bool, fill: bool
) -> Any:
    """Copies of observations of gammapy with their backgrounds; see `simbg.attach`.

    Parameters
    ----------
    theirs : sequence of gammapy.data.Observation
        The observations.
    ours : sequence of Observation
        The same observations for simbg, with excluded regions.
    models : BackgroundCube, dict, path-like, or object with ``at(observation)``
        The models.
    norm : bool
        Whether models of runs are scaled to the events of each observation.
    fill : bool
        Whether cubes are prepared for the interpolation of gammapy.
    """
    from gammapy.data import Observations

    found = []
    for their, our in zip(theirs, ours, strict=True):
        model = _model_of(models, our, norm)
        if fill and isinstance(model, BackgroundCube):
            model = at_nodes(model)
        background = model.to_gammapy() if hasattr(model, "to_gammapy") else model
        found.append(_with_background(their, background))
    return Observations(found)


def _model_of(models, observation, norm):
    """The model of an observation."""
    if isinstance(models, str | PathLike):
        return read_model(Path(models) / file_name(observation.obs_id))
    if isinstance(models, dict):
        if observation.obs_id not in models:
            raise ValueError(
                f"attach: got models of {len(models)} observations and none of "
                f"{observation.obs_id}, expected one of each"
            )
        models = models[observation.obs_id]
    elif hasattr(models, "at"):
        return scaled_to_run(models.at(observation), observation, None if norm else NO_NORM)[0]
    if not (hasattr(models, "to_gammapy") or is_of_gammapy(models)):
        raise ValueError(
            f"attach: got models of type {type(models).__name__}, expected a BackgroundCube, a "
            "dict of these, a folder of --per-run, or an object with at(observation)"
        )
    return models


def _with_background(observation, background):
    """A copy of an observation of gammapy with a background."""
    result = copy(observation)
    meta = observation.meta
    if meta is not None and meta.optional:
        # gammapy takes any background of an old file of H.E.S.S., which it recognises by these
        # keywords, for one with the reversed frame.
        kept = {k: v for k, v in meta.optional.items() if k not in ("CREATOR", "HDUVERS")}
        result._meta = meta.model_copy(update={"optional": kept})
    result.bkg = background
    return result
