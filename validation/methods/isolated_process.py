"""The process of an isolated method, run by ``python -m``: it reconstructs a store under audit."""

import json
import pickle
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.gadf.store import GadfStore
from simbg.reconstruction.contract import Reconstructor, axes_for, check_cube
from simbg.reconstruction.registry import find_method
from simbg.validation.methods.audit import Audit

__all__ = []

ANSWER = "answer.npz"
ARRAYS = ("rate", "rate_error", "counts", "livetime", "ontime")
EDGES = ("energy", "fov_lon", "fov_lat")


def main(folder: Path) -> None:
    """Reconstruct the store of a working folder according to its request, and write the answer.

    Parameters
    ----------
    folder : Path
        Holds the GADF store ``store`` and the file ``request``.
    """
    request = pickle.loads((folder / "request").read_bytes())
    sys.path[:] = request["path"]
    audit = Audit(folder, request["method"])
    arrays, facts = dict[str, Any](), dict[str, Any](reason="")
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
        facts["reason"] = f"forbidden access: {audit.violations[0]}"
    arrays = {name: values for name, values in arrays.items() if values is not None}
    np.savez(folder / ANSWER, facts=json.dumps(facts), **arrays)


def reconstruct(request: Mapping[str, Any], store: Path) -> tuple[BackgroundCube, Reconstructor]:
    """Reconstruct the cube of a store.

    Parameters
    ----------
    request : dict
        ``method``, ``axes`` and ``regions`` of `simbg.validation.methods.isolation.run_method`.
    store : Path
        A GADF store.

    Returns
    -------
    cube : BackgroundCube
        It keeps the contract of methods.
    method : Reconstructor
        The method.
    """
    opened, regions = GadfStore(store), request["regions"]
    observations = [replace(run, excluded=regions) for run in opened.observations(opened.table)]
    method = find_method(request["method"])
    axes = request["axes"]
    if axes is None:
        axes = axes_for(method, observations)
    return check_cube(method.reconstruct(observations, axes), axes), method


def read_answer(folder: Path) -> dict[str, Any]:
    """Read the answer that `main` wrote.

    Parameters
    ----------
    folder : Path
        The working folder.

    Returns
    -------
    answer : dict
        Fields of an `simbg.validation.methods.isolation.Attempt`: ``reason``, or ``cube`` and the
        properties of the method.
    """
    # numpy does not close a file that is not an archive.
    with (folder / ANSWER).open("rb") as stream, np.load(stream) as file:
        facts = json.loads(str(file["facts"]))
        if facts["reason"]:
            return {"reason": facts["reason"]}
        arrays = {name: file[name] for name in ARRAYS if name in file}
        axes = Axes(**{name: file[name] for name in EDGES}, align=facts.pop("align"))
    return facts | {"cube": BackgroundCube(axes, **arrays, clock=facts.pop("clock"))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
