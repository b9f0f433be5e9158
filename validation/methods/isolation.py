"""Isolation: a method or a command reconstructs a copy of a store in a separate process.

The method may crash, exceed its time limit, read other files or write to its input. In each of
these cases the `Attempt` contains a reason, and the validation continues.
"""

import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.cubes import read_model
from simbg.io.files.work_places import scratch_folder
from simbg.reconstruction.contract import check_cube
from simbg.validation.methods import isolated_process, supervisor
from simbg.validation.methods.library import import_path
from simbg.validation.methods.workplace import Workplace, last_line

__all__ = ["Attempt"]

TIMEOUT = 600.0  # s
STEP = 1.0  # s, between looks at the finished stores
MEMORY = 8.0  # GB
LOAD = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from simbg.reconstruction.registry import find_method
find_method(sys.argv[1])
"""
LOAD_TIMEOUT = 60.0  # s
LONGEST = 1_000_000  # bytes of the facts of a process


@dataclass(frozen=True, eq=False)
class Attempt:
    """An attempt of a method to reconstruct the cube of a store.

    Parameters
    ----------
    cube : BackgroundCube or None
        The cube; None if there is a reason.
    reason : str
        Why there is no valid cube, in one line.
    seconds, megabytes : float
        Wall time of the reconstruction, and the peak memory of its process or of the largest child.
    threshold_bin : str
        How the method treats the bin that contains an energy threshold.
    promises : dict of str to float
        What the method promises; see `simbg.reconstruction.contract.Reconstructor`.
    models : list of BackgroundCube
        Models of the single runs of the store, per livetime, if they were asked for.
    """

    cube: BackgroundCube | None
    reason: str = ""
    seconds: float = np.nan
    megabytes: float = np.nan
    threshold_bin: str = "drop"
    promises: dict[str, float] = field(default_factory=dict)
    models: list[BackgroundCube] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Control characters and invalid file names would damage a report.
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in self.reason)
        object.__setattr__(self, "reason", shown)


def check_method(method: str) -> None:
    """Check that a method can be loaded, in a separate process.

    Parameters
    ----------
    method : str
        Name, as `simbg.reconstruction.registry.find_method` takes it.

    Raises
    ------
    ValueError
        If it cannot be loaded. A method that takes more than 60 s to load is accepted.
    """
    with scratch_folder() as folder:
        path, environment = import_path(folder, method)
        words = [sys.executable, "-P", "-c", LOAD, method, json.dumps(path)]
        ended = run_process(words, folder, environment, LOAD_TIMEOUT)
        if ended and ended.code:
            reason = last_line(folder / "stderr").removeprefix(": ") if ended.code > 0 else ""
            reason = reason.removeprefix("ValueError: ")
            # The process ran in another folder than the user.
            reason = reason.replace(os.path.realpath(folder), os.getcwd())
            reason = reason or f"its process {ending(ended.code)}"
            start = "" if reason.startswith("method") else f"method {method!r} cannot be loaded: "
            raise ValueError(f"{start}{reason}")


def run_method(
    method: str,
    stores: Sequence[Path | str],
    axes: Axes | None = None,
    regions: Iterable[Any] = (),
    timeout: float = TIMEOUT,
    runs_of_group: int = 0,
    memory: float = MEMORY,
) -> list[Attempt]:
    """Reconstruct the cubes of stores with a method, in one process.

    Parameters
    ----------
    method : str
        Name, as `simbg.reconstruction.registry.find_method` takes it.
    stores : sequence of path-like
        GADF stores; the method gets a copy of each, one after the other.
    axes : Axes, optional
        By default the axes that the method prefers, or those of 2015.
    regions : sequence of Region
        Excluded regions.
    timeout : float
        Largest time for a store, s. After a store that takes longer, no other one is tried.
    runs_of_group : int
        Least number of runs in a zenith group for models of the runs of the first store, unless the
        method makes them in another way; 0 for no such models.
    memory : float
        Largest memory of a process, GB.

    Returns
    -------
    attempts : list of Attempt
        One for each store, with a cube or with the reason why there is none.
    """
    paths = [Path(store).absolute() for store in stores]
    with scratch_folder() as folder:
        path, environment = import_path(folder, method)
        request: dict[str, Any] = {"method": method, "path": path, "axes": axes}
        request |= {"regions": tuple(regions), "runs_of_group": runs_of_group}
        (folder / isolated_process.REQUEST).write_bytes(pickle.dumps(request | {"stores": paths}))
        words = [sys.executable, "-P", "-m", isolated_process.__name__, str(folder)]
        finished = partial(_n_facts, folder)
        ended = run_process(words, folder, environment, timeout, finished, memory)
        facts = _facts(folder)
        places = [Workplace(folder / str(number), path) for number, path in enumerate(paths)]
        attempts = [_attempt(*pair, axes) for pair in zip(places, facts, strict=False)]
        if ended:
            reason = f"{ending(ended.code)}{last_line(folder / 'stderr')}"
            return attempts + [Attempt(None, reason)] * (len(paths) - len(attempts))
        attempts.append(Attempt(None, f"took more than {timeout:g} s", timeout))
        rest = Attempt(None, f"not tried, since store {len(facts)} took more than {timeout:g} s")
        return attempts + [rest] * (len(paths) - len(attempts))


def _n_facts(folder):
    return len(_facts(folder))


def _facts(folder):
    """Facts on the finished stores of the process of a method."""
    path = folder / isolated_process.FACTS
    if not path.is_file():
        return []
    with path.open("rb") as file:
        lines = file.read(LONGEST).decode(errors="replace").split("\n")[:-1]
    return [_fact(line) for line in lines]


def _fact(line):
    """A line of facts. A method can write to their file as well."""
    with suppress(ValueError, RecursionError):
        fact = json.loads(line)
        if isinstance(fact, dict) and isinstance(fact.get("reason"), str):
            return {"reason": fact["reason"]}
        with suppress(KeyError, TypeError, AttributeError, OverflowError):
            numbers = {name: float(fact[name]) for name in ("seconds", "megabytes")}
            return numbers | {"code": int(fact["code"]), "change": str(fact.get("change", ""))}
    return {"reason": f"wrote {line[:40]!r} to the file of facts on its process"}


def _attempt(place, fact, axes):
    """The attempt at a store, from the facts and the answer of the process of a method."""
    if "reason" in fact:
        return Attempt(None, fact["reason"])
    attempt = Attempt(None, "", fact["seconds"], fact["megabytes"])
    try:
        if reason := failure(fact["code"], fact["change"], place):
            return replace(attempt, reason=reason)
        attempt = replace(attempt, **isolated_process.read_answer(place.folder))
        if attempt.cube:
            check_cube(attempt.cube, axes or attempt.cube.axes)
        return attempt
    except FileNotFoundError:
        return replace(attempt, cube=None, reason=f"ended without a result{place.last_words}")
    except Exception as error:
        # Any error is possible: the method can change the file of its result, and the disk can be
        # full.
        reason = f"ended without a result: {in_one_line(error)}"
        return replace(attempt, cube=None, reason=reason)


def run_command(
    template: str, store: Path | str, timeout: float = TIMEOUT, memory: float = MEMORY
) -> Attempt:
    """Reconstruct the cube of a store with a command. It is run without a shell.

    Parameters
    ----------
    template : str
        The command. {store} is replaced by the folder of a GADF store, which has a regions.reg if
        regions are excluded; {regions} by the path of this regions.reg; {output} by the path of
        the BKG_3D or BKG_2D file to write.
    store : path-like
        A GADF store; the command gets a copy.
    timeout : float
        Largest time, s.
    memory : float
        Largest memory of a process, GB.

    Returns
    -------
    attempt : Attempt
        With a cube, or with the reason why there is none.

    Raises
    ------
    ValueError
        If the template has other names in braces.
    """
    with scratch_folder() as folder:
        place = Workplace(folder, Path(store))
        place.prepare()
        output = place.folder / "output.fits"
        names = {"store": place.store, "output": output, "regions": place.store / "regions.reg"}
        try:
            words = [word.format(**names) for word in shlex.split(template)]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"command: got {template!r} ({error}), expected no other braces than {{store}}, "
                "{output} and {regions}, and {{ for a brace"
            ) from None
        attempt = _launch(words, place, timeout, memory)
        if attempt.reason:
            return attempt
        try:
            cube = read_model(output, inside=True)
        except (ValueError, OSError) as error:
            reason = f"wrote no cube: {in_one_line(error)}{place.last_words}"
            return replace(attempt, reason=reason)
        try:
            return replace(attempt, cube=check_cube(cube, cube.axes))
        except ValueError as error:
            return replace(attempt, reason=in_one_line(error))


def _launch(words, place, timeout, memory):
    """Run a command; an attempt without a cube, which has a reason if the command failed."""
    start = time.perf_counter()
    ended = run_process(words, place.folder, dict(os.environ), timeout, memory=memory)
    if ended is None:
        return Attempt(None, f"took more than {timeout:g} s", time.perf_counter() - start)
    reason = failure(ended.code, place.change, place)
    if np.isnan(ended.seconds) and ended.code >= 0:
        reason = f"cannot be started{place.last_words}"
    return Attempt(None, reason, ended.seconds, ended.megabytes)


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Parameters
    ----------
    code : int
        Its return code, as `subprocess` has it.
    seconds, megabytes : float
        Its time, and its peak memory or that of the largest child; NaN if they are unknown.
    """

    code: int
    seconds: float = np.nan
    megabytes: float = np.nan


def run_process(
    words: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    timeout: float,
    finished: Callable[[], int] = lambda: 0,
    memory: float = MEMORY,
) -> Ended | None:
    """Run a process in a folder until it ends or exceeds its time.

    Parameters
    ----------
    words : sequence of str
        The command.
    folder : Path
        Its working folder, which gets a file ``stderr``.
    environment : dict of str to str
        Its environment; TMPDIR and the backend of matplotlib are set here.
    timeout : float
        Largest time between two finished pieces of work, s.
    finished : callable
        The number of finished pieces of work.
    memory : float
        Largest memory of each process, GB.

    Returns
    -------
    ended : Ended or None
        How it ended; None if the process exceeded its time. Processes that it started are ended.
    """
    environment = environment | {"TMPDIR": str(folder / "tmp"), "MPLBACKEND": "agg"}
    (folder / "tmp").mkdir(exist_ok=True)
    before = supervisor.child_processes()

    def orphans():
        """Processes that it left behind, if it killed its supervisor."""
        return {pid for pid in supervisor.child_processes() - before if _is_apart(pid)}

    supervisor.adopt_orphans(True)
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, str(int(memory * 1e9)), *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    with process:
        try:
            code = _wait(process, timeout, finished)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            supervisor.end_processes(orphans)
            supervisor.adopt_orphans(False)
        return None if code is None else _ended(process, code)


def _is_apart(pid):
    """Whether a process has another session than this one, so that no other thread started it."""
    with suppress(OSError):
        return os.getsid(pid) != os.getsid(0)
    return False


def _ended(process, code):
    """What the supervisor says of a process; if it says nothing, it was ended as well."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    fact = _fact((process.stdout.read(LONGEST) or b"").decode(errors="replace") or "{}")
    if not code and "code" in fact:
        return Ended(fact["code"], fact["seconds"], fact["megabytes"])
    return Ended(code)


def _wait(process, timeout, finished):
    """The exit code of a process; None if it exceeds its time."""
    done, end = 0, time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(STEP, left))
        if (now := finished()) > done:
            done, end = now, time.monotonic() + timeout
    return None


def failure(code: int, change: str, place: Workplace) -> str:
    """Why a process made no valid cube; empty if there is no such reason.

    Parameters
    ----------
    code : int
        Its return code, as `subprocess` has it.
    change : str
        The file of its store that it changed.
    place : Workplace
        Where it ran.
    """
    if change:
        return f"wrote to its input: {change}"
    return f"{ending(code)}{place.last_words}" if code else ""


def ending(code: int) -> str:
    """How a process ended, from the return code of `subprocess`."""
    if code < 0:
        # Real-time signals have a number but no name.
        names = {sign.value: sign.name for sign in signal.Signals}
        return f"was ended by {names.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"
