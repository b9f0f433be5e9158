"""Isolation: a method or a command reconstructs a copy of a store in a separate process.

The method may crash, exceed its time limit, read other files or write to its input. In each of
these cases the `Attempt` contains a reason, and the validation continues.
"""

import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.cubes import read_model
from simbg.parallel import interruptible
from simbg.validation.methods import isolated_process

__all__ = ["Attempt"]

TIMEOUT = 600.0  # s
# A small process starts that of the method. Otherwise the peak memory of the method would include
# that of the parent process.
LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
facts = {"code": code, "seconds": time.perf_counter() - start, "megabytes": peak}
json.dump(facts, open(sys.argv[1], "w"))
"""
LOAD = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from simbg.reconstruction.registry import find_method
find_method(sys.argv[1])
"""
LOAD_TIMEOUT = 60.0  # s
LAST_BYTES = 10_000  # of the standard error, which are searched for its last line


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
        Wall time of the process, and the peak memory of the process or of its largest child.
    threshold_bin : str
        How the method treats the bin that contains an energy threshold.
    known : dict of str to str
        Known failures that the method declares: metric → reason.
    """

    cube: BackgroundCube | None
    reason: str = ""
    seconds: float = np.nan
    megabytes: float = np.nan
    threshold_bin: str = "drop"
    known: dict[str, str] = field(default_factory=dict)

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
    path = json.dumps([entry or os.getcwd() for entry in sys.path])
    words = [sys.executable, "-c", LOAD, method, path]
    with (
        tempfile.TemporaryDirectory(prefix="simbg-") as folder,
        suppress(subprocess.TimeoutExpired),
    ):
        done = subprocess.run(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOAD_TIMEOUT,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1].removeprefix("ValueError: ") if lines and done.returncode > 0 else ""
            # The process ran in another folder than the user.
            reason = reason.replace(os.path.realpath(folder), os.getcwd())
            reason = reason or f"its process {ending(done.returncode)}"
            start = "" if reason.startswith("method") else f"method {method!r} cannot be loaded: "
            raise ValueError(f"{start}{reason}")


def run_method(
    method: str,
    store: Path | str,
    axes: Axes | None = None,
    regions: Iterable[Any] = (),
    timeout: float = TIMEOUT,
) -> Attempt:
    """Reconstruct the cube of a store with a method.

    Parameters
    ----------
    method : str
        Name, as `simbg.reconstruction.registry.find_method` takes it.
    store : path-like
        A GADF store; the method gets a copy.
    axes : Axes, optional
        By default the axes that the method prefers, or those of 2015.
    regions : sequence of Region
        Excluded regions.
    timeout : float
        Largest time, s.

    Returns
    -------
    attempt : Attempt
        With a cube, or with the reason why there is none.
    """
    path = [entry or os.getcwd() for entry in sys.path]
    request = {"method": method, "axes": axes, "regions": tuple(regions), "path": path}
    with workplace(store) as place:
        (place.folder / "request").write_bytes(pickle.dumps(request))
        words = [sys.executable, "-m", isolated_process.__name__, str(place.folder)]
        attempt = place.run(words, timeout)
        if attempt.reason:
            return attempt
        if not (place.folder / isolated_process.ANSWER).is_file():
            return replace(attempt, reason=f"ended without a result{place.last_words}")
        try:
            return replace(attempt, **isolated_process.read_answer(place.folder))
        except Exception as error:
            # Any error is possible: the method can change the file of its result, and the disk can
            # be full.
            return replace(attempt, reason=f"ended without a result: {in_one_line(error)}")


def run_command(template: str, store: Path | str, timeout: float = TIMEOUT) -> Attempt:
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

    Returns
    -------
    attempt : Attempt
        With a cube, or with the reason why there is none.

    Raises
    ------
    ValueError
        If the template has other names in braces.
    """
    with workplace(store) as place:
        output = place.folder / "output.fits"
        names = {"store": place.store, "output": output, "regions": place.store / "regions.reg"}
        try:
            words = [word.format(**names) for word in shlex.split(template)]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"command: got {template!r} ({error}), expected no other braces than {{store}}, "
                "{output} and {regions}, and {{ for a brace"
            ) from None
        attempt = place.run(words, timeout)
        if attempt.reason:
            return attempt
        try:
            return replace(attempt, cube=read_model(output, inside=True))
        except (ValueError, OSError) as error:
            reason = f"wrote no cube: {in_one_line(error)}{place.last_words}"
            return replace(attempt, reason=reason)


@contextmanager
def workplace(store: Path | str) -> Iterator["Workplace"]:
    """Context with a `Workplace` in a new folder, which is removed afterwards."""
    # Files of a method may be protected from removal.
    with tempfile.TemporaryDirectory(prefix="simbg-", ignore_cleanup_errors=True) as folder:
        place = Workplace(Path(folder), Path(store))
        shutil.copytree(place.original, place.store)
        (place.folder / "tmp").mkdir()
        yield place


@dataclass(frozen=True)
class Workplace:
    """A working folder with a copy of a store.

    Parameters
    ----------
    folder, original : Path
        The working folder, and the store that is copied.
    """

    folder: Path
    original: Path

    @property
    def store(self) -> Path:
        """The copy of the store."""
        return self.folder / "store"

    @property
    def stderr(self) -> Path:
        """The file with the standard error."""
        return self.folder / "stderr"

    def run(self, words: Sequence[str], timeout: float) -> Attempt:
        """Run a process until it ends or exceeds its time.

        Parameters
        ----------
        words : sequence of str
            The command.
        timeout : float
            Largest time, s.

        Returns
        -------
        attempt : Attempt
            Without a cube. It has a reason if the process failed, exceeded its time, or changed
            the store.
        """
        path, start = self.folder / "facts", time.perf_counter()
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(path), *words]
        with self.stderr.open("wb") as stderr:
            process = subprocess.Popen(
                launch,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp"), "MPLBACKEND": "agg"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                with interruptible():
                    process.wait(timeout)
            except subprocess.TimeoutExpired:
                return Attempt(None, f"took more than {timeout:g} s", time.perf_counter() - start)
            finally:
                # Processes that the method started are ended as well.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if not self.store.is_dir():
            reason = "wrote to its input: the store was removed"
            return Attempt(None, reason, time.perf_counter() - start)
        if not path.is_file():
            return Attempt(None, f"cannot be started{self.last_words}")
        facts = json.loads(path.read_text())
        reason = f"{ending(facts['code'])}{self.last_words}" if facts["code"] else ""
        if not reason and (changed := first_change(self.original, self.store)):
            reason = f"wrote to its input: {changed}"
        return Attempt(None, reason, facts["seconds"], facts["megabytes"])

    @property
    def last_words(self) -> str:
        """The last line of the standard error, with a colon before it."""
        try:
            with self.stderr.open("rb") as file:
                file.seek(-min(LAST_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
                text = file.read().decode(errors="replace")
        except OSError:
            return ""  # removed by the method
        lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
        return f": {lines[-1][:300]}" if lines else ""


def ending(code: int) -> str:
    """How a process ended, from the return code of `subprocess`."""
    if code < 0:
        # Real-time signals have a number but no name.
        names = {sign.value: sign.name for sign in signal.Signals}
        return f"was ended by {names.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"


def first_change(before: Path, after: Path) -> str | None:
    """The first file that differs between two folders; None if all are the same."""
    changed = contents(before).items() ^ contents(after).items()
    return min((name for name, _ in changed), default=None)


def contents(folder: Path) -> dict[str, int | None]:
    """Checksum of each file; None for links, pipes and folders."""
    return {
        str(path.relative_to(folder)): (
            crc32(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
        )
        for path in folder.rglob("*")
    }
