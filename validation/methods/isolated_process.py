"""The process of an isolated method, run by ``python -m``: it rebuilds a store under audit."""

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.gadf_reader import GadfStore
from simbg.reconstruction.contract import axes_for, check_cube
from simbg.reconstruction.registry import find_method
from simbg.validation.methods.audit import Audit

__all__ = []

ANSWER = "answer.npz"
ARRAYS = ("rate", "rate_error", "counts", "livetime", "ontime")
EDGES = ("energy", "fov_lon", "fov_lat")


def main(folder):
    """Rebuild the store of a working folder as its request says, and write the answer.

    Parameters
    ----------
    folder : Path
        Holds the GADF store ``store`` and the file ``request``.
    """
    request = pickle.loads((folder / "request").read_bytes())
    sys.path[:] = request["path"]
    audit = Audit(folder, request["method"])
    arrays, facts = {}, {"reason": ""}
    try:
        cube, method = reconstruct(request, folder / "store")
        arrays = {name: getattr(cube, name) for name in ARRAYS}
        arrays |= {name: getattr(cube.axes, name) for name in EDGES}
        facts |= {"align": cube.axes.align, "clock": cube.clock}
        facts["threshold_bin"] = getattr(method, "threshold_bin", "drop")
        facts["known"] = dict(getattr(method, "known", {}))
    except (Exception, SystemExit) as error:
        facts["reason"] = in_one_line(error)
    audit.active = False
    if audit.violations:
        facts["reason"] = f"peeked: {audit.violations[0]}"
    arrays = {name: values for name, values in arrays.items() if values is not None}
    np.savez(folder / ANSWER, facts=json.dumps(facts), **arrays)


def reconstruct(request, store):
    """The cube of a store, and the method that made it."""
    opened, regions = GadfStore(store), request["regions"]
    observations = [replace(run, excluded=regions) for run in opened.observations(opened.table)]
    method = find_method(request["method"])
    axes = request["axes"]
    if axes is None:
        axes = axes_for(method, observations)
    return check_cube(method.reconstruct(observations, axes), axes), method


def read_answer(folder):
    """What `main` wrote: cube or reason, and what the method says of itself, by name."""
    # numpy leaves what is no archive open.
    with (folder / ANSWER).open("rb") as stream, np.load(stream) as file:
        facts = json.loads(str(file["facts"]))
        if facts["reason"]:
            return {"reason": facts["reason"]}
        arrays = {name: file[name] for name in ARRAYS if name in file}
        axes = Axes(*(file[name] for name in EDGES), facts.pop("align"))
    return facts | {"cube": BackgroundCube(axes, **arrays, clock=facts.pop("clock"))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
