"""The process of an isolated method, run by ``python -m``: it reconstructs stores under audit.

It loads the method once. Each store is reconstructed by a fork of this process, which has a copy of
this store only. Therefore a cube does not depend on stores that were reconstructed before it.
"""

import json
import os
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.gadf.store import GadfStore
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.reconstruction.contract import Reconstructor, axes_for, check_cube
from simbg.reconstruction.registry import find_method
from simbg.reconstruction.zenith_groups import fit_runs
from simbg.validation.methods.audit import Audit
from simbg.validation.methods.workplace import Workplace

__all__ = []

REQUEST, FACTS, ANSWER = "request", "facts", "answer.npz"
ARRAYS = ("rate", "rate_error", "counts", "livetime", "ontime")
EDGES = ("energy", "fov_lon", "fov_lat")
# Rates and errors of the models of all runs.
RUNS = ("runs_rate", "runs_error")
LARGEST = 2e9  # bytes of the arrays of an answer


def main(folder: Path) -> None:
    """Reconstruct stores according to a request, and write an answer for each of them.

    Parameters
    ----------
    folder : Path
        Contains the file ``request``. It gets the file ``facts``, with one line for each store, and
        a `Workplace` for each store, with the answer.
    """
    request = pickle.loads((folder / REQUEST).read_bytes())
    (folder / REQUEST).unlink()
    sys.path[:] = request["path"]
    audit, reason = Audit(folder, request["method"]), ""
    try:
        method = find_method(request["method"])
    except ValueError as error:
        reason = audit.reason or str(error)
    for number, store in enumerate(request["stores"]):
        place = Workplace(folder / str(number), store)
        audit.active = False
        place.prepare()
        fact = {"reason": reason} if reason else in_fork(place, method, request, audit)
        request["runs_of_group"] = 0  # models of runs are made of the first store only
        # Open for this line only: a fork would inherit the file.
        with (folder / FACTS).open("a") as facts:
            facts.write(json.dumps(fact) + "\n")


def in_fork(
    place: Workplace, method: Reconstructor, request: Mapping[str, Any], audit: Audit
) -> dict[str, Any]:
    """Reconstruct a store in a fork of this process.

    Parameters
    ----------
    place : Workplace
        The store.
    method : Reconstructor
        The method.
    request : dict
        ``axes``, ``regions`` and ``runs_of_group`` of
        `simbg.validation.methods.isolation.run_method`.
    audit : Audit
        The audit of this process.

    Returns
    -------
    fact : dict
        ``code`` of the process, its ``seconds`` and ``megabytes``, and ``change`` of the store.
    """
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other threads, which libraries may have started
        pid = os.fork()
    if pid == 0:
        try:
            _answer(place, method, request, audit)
            os._exit(0)
        except BaseException as error:
            print(in_one_line(error), file=sys.stderr, flush=True)
        finally:
            os._exit(1)
    _, status, used = os.wait4(pid, 0)
    fact = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.perf_counter() - start,
        "megabytes": used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "change": place.change,
    }
    place.remove_store()
    return fact


def _answer(place, method, request, audit):
    """Reconstruct a store in this process, and write the answer."""
    os.chdir(place.folder)
    with place.stderr.open("wb") as stderr:
        os.dup2(stderr.fileno(), sys.stderr.fileno())
    os.environ["TMPDIR"], tempfile.tempdir = str(place.temporary), None
    audit.folder, audit.active = place.folder, True
    arrays, facts = dict[str, Any](), dict[str, Any](reason="")
    try:
        observations = _observations(place.store, request["regions"])
        cube = reconstruct(observations, method, request["axes"])
        arrays = {name: getattr(cube, name) for name in ARRAYS}
        arrays |= {name: getattr(cube.axes, name) for name in EDGES}
        facts |= {"align": cube.axes.align, "clock": cube.clock}
        facts["threshold_bin"] = getattr(method, "threshold_bin", "drop")
        promises = getattr(method, "promises", {})
        facts["promises"] = {name: float(value) for name, value in promises.items()}
        if request["runs_of_group"]:
            groups = Groups.by_exposure(observations, "runs", request["runs_of_group"])
            models = fit_runs(method, observations, cube.axes, groups)
            arrays |= _models_of_runs([models.at(observation) for observation in observations])
    except (Exception, SystemExit) as error:
        facts["reason"] = in_one_line(error)
    audit.active = False
    facts["reason"] = audit.reason or facts["reason"]
    arrays = {name: values for name, values in arrays.items() if values is not None}
    np.savez(place.folder / ANSWER, facts=json.dumps(facts), **arrays)


def _observations(store, regions):
    opened = GadfStore(store)
    return [replace(run, excluded=regions) for run in opened.observations(opened.table)]


def _models_of_runs(cubes):
    """Rates and errors of the models of all runs, per livetime."""
    cubes = [cube.per("livetime") for cube in cubes]
    arrays = {RUNS[0]: np.array([cube.rate for cube in cubes])}
    if all(cube.rate_error is not None for cube in cubes):
        arrays[RUNS[1]] = np.array([cube.rate_error for cube in cubes])
    return arrays


def reconstruct(
    observations: Sequence[Observation], method: Reconstructor, axes: Axes | None
) -> BackgroundCube:
    """Reconstruct the cube of some observations.

    Parameters
    ----------
    observations : sequence of Observation
        The observations of a store.
    method : Reconstructor
        The method.
    axes : Axes or None
        Axes of the cube; None for those that the method prefers.

    Returns
    -------
    cube : BackgroundCube
        It keeps the contract of methods.
    """
    if axes is None:
        axes = axes_for(method, observations)
    return check_cube(method.reconstruct(observations, axes), axes, observations)


def read_answer(folder: Path) -> dict[str, Any]:
    """Read the answer that `main` wrote.

    Parameters
    ----------
    folder : Path
        The folder of the workplace.

    Returns
    -------
    answer : dict
        Fields of an `simbg.validation.methods.isolation.Attempt`: ``reason``, or ``cube`` and the
        properties of the method.
    """
    # numpy does not close a file that is not an archive.
    with (folder / ANSWER).open("rb") as stream, np.load(stream) as file:
        if (size := sum(part.file_size for part in file.zip.infolist())) > LARGEST:
            raise ValueError(f"got an answer of {size} bytes, expected {LARGEST:.0f} or less")
        facts = json.loads(str(file["facts"]))
        if facts["reason"]:
            return {"reason": str(facts["reason"])}
        facts["threshold_bin"] = str(facts["threshold_bin"])
        facts["promises"] = {str(k): float(v) for k, v in facts["promises"].items()}
        arrays = {name: file[name] for name in ARRAYS if name in file}
        axes = Axes(**{name: file[name] for name in EDGES}, align=facts.pop("align"))
        if RUNS[0] in file:
            errors = file[RUNS[1]] if RUNS[1] in file else [None] * len(file[RUNS[0]])
            pairs = zip(file[RUNS[0]], errors, strict=True)
            facts["models"] = [BackgroundCube(axes, rate, error) for rate, error in pairs]
    return facts | {"cube": BackgroundCube(axes, **arrays, clock=facts.pop("clock"))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
