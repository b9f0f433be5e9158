"""A method in a process of its own: it may crash, hang, peek or write, and the bench goes on.

The process gets a copy of the store. Files that it opens through Python are audited: those of
the store, of Python and its packages, of the method's own package and of the system are its
business, any other is not; neither are the modules that know the truth.
"""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.errors import in_one_line
from simbg.io.cubes import read_model
from simbg.parallel import interruptible

__all__ = ["TIMEOUT", "Isolated", "knows_truth", "run_command", "run_method"]

TIMEOUT = 600.0  # s
# Packages and modules that know the truth, and so may not be loaded beside a method.
KNOWS_TRUTH = (
    "simbg.truth",
    "simbg.simulation",
    "simbg.fixtures",
    *(f"simbg.validation.{name}" for name in ("suite", "leaderboard", "challenge", "conformance")),
)
SYSTEM = tuple(
    f"/{name}/"
    for name in (
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "nix",
        "opt",
        "proc",
        "run",
        "sbin",
        "sys",
        "usr",
    )
)
# What Python writes beside code, and what says which packages there are.
PACKAGING = ("/__pycache__/", ".dist-info/", ".egg-info/")
# Run by a small process, since one counts the memory of the process that started it for its own.
LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
facts = {"code": code, "seconds": time.perf_counter() - start, "megabytes": peak}
json.dump(facts, open(sys.argv[1], "w"))
"""
LAST_WORDS = 10_000  # bytes
ARRAYS = ("rate", "rate_error", "counts", "livetime", "ontime")


@dataclass(frozen=True, eq=False)
class Isolated:
    """What came of a method.

    Parameters
    ----------
    cube : BackgroundCube or None
        None if there is a reason.
    reason : str
        Why there is no cube that counts, in one line.
    seconds, megabytes : float
        Wall time of its process, and the peak memory of that or of its largest child.
    threshold_bin : str
        What the method says it does with the bin of a threshold.
    known : dict of str to str
        What the method says of itself: metric → why it fails.
    """

    cube: BackgroundCube | None
    reason: str = ""
    seconds: float = np.nan
    megabytes: float = np.nan
    threshold_bin: str = "drop"
    known: dict = field(default_factory=dict)

    def __post_init__(self):
        # A name of a file that is no text, or a terminal's command, would end a report.
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in self.reason)
        object.__setattr__(self, "reason", shown)


def knows_truth(module):
    """Whether a module, by its full name, knows the truth."""
    return any(module == name or module.startswith(f"{name}.") for name in KNOWS_TRUTH)


def run_method(method, store, axes=None, regions=(), timeout=TIMEOUT):
    """Rebuild the cube of a store with a method.

    Parameters
    ----------
    method : str
        As `simbg.reconstruction.registry.find_method` takes it.
    store : path-like
        A GADF store; the method sees a copy.
    axes : Axes, optional
        Default: those that the method prefers, or 2015's.
    regions : sequence of Region
        What is excluded.
    timeout : float
        s

    Returns
    -------
    isolated : Isolated
    """
    path = [entry or os.getcwd() for entry in sys.path]
    with _workplace(store) as place:
        request = {"method": method, "axes": axes, "regions": tuple(regions), "path": path}
        (place.folder / "request").write_bytes(pickle.dumps(request))
        done = place.run([sys.executable, "-m", __spec__.name, str(place.folder)], timeout)
        if done.reason:
            return done
        answer = place.folder / "answer.npz"
        if not answer.is_file():
            return replace(done, reason=f"ended without a result{place.last_words}")
        try:
            return _read(answer, done)
        except Exception as error:
            # It may write there, or the disk be full: whatever is in it, the bench goes on.
            return replace(done, reason=f"ended without a result: {in_one_line(error)}")


def run_command(template, store, timeout=TIMEOUT):
    """Rebuild the cube of a store with a command, which is no shell's.

    Parameters
    ----------
    template : str
        {store} is the folder of a GADF store, with regions.reg where something is to be excluded,
        and {output} the BKG_3D or BKG_2D file to write; {regions} is that regions.reg.
    store, timeout
        See `run_method`.

    Returns
    -------
    isolated : Isolated
    """
    with _workplace(store) as place:
        output = place.folder / "output.fits"
        names = {"store": place.store, "output": output, "regions": place.store / "regions.reg"}
        try:
            words = [word.format(**names) for word in shlex.split(template)]
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"command: got {template!r} ({error}), expected {{store}} and {{output}} in it, "
                "and {{{{ for a brace"
            ) from None
        done = place.run(words, timeout)
        if done.reason:
            return done
        try:
            return replace(done, cube=read_model(output, inside=True))
        except (ValueError, OSError) as error:
            return replace(done, reason=f"wrote no cube: {in_one_line(error)}{place.last_words}")


class _workplace:
    """A folder with a copy of a store, which is gone afterwards."""

    def __init__(self, store):
        self.original = Path(store)

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="simbg-"))
        self.store = self.folder / "store"
        shutil.copytree(self.original, self.store)
        (self.folder / "tmp").mkdir()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, words, timeout):
        """Run it to its end or to the time-out; whether it crashed or wrote to its store."""
        facts, words_to_say = self.folder / "facts", self.folder / "stderr"
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(facts), *words]
        start = time.perf_counter()
        with words_to_say.open("wb") as err:
            process = subprocess.Popen(
                launch,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp"), "MPLBACKEND": "agg"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )
            try:
                with interruptible():
                    process.wait(timeout)
            except subprocess.TimeoutExpired:
                return Isolated(None, f"took more than {timeout:g} s", time.perf_counter() - start)
            finally:
                # Whatever it started ends with it.
                _kill(process)
        if not self.store.is_dir():
            seconds = time.perf_counter() - start
            return Isolated(None, "wrote to its input: it is gone", seconds)
        if not facts.is_file():
            return Isolated(None, f"cannot be started{self.last_words}")
        told = json.loads(facts.read_text())
        done = Isolated(None, "", told["seconds"], told["megabytes"])
        if told["code"]:
            return replace(done, reason=f"{_ending(told['code'])}{self.last_words}")
        if changed := _differ(self.original, self.store):
            return replace(done, reason=f"wrote to its input: {changed}")
        return done

    @property
    def last_words(self):
        """The last line of its standard error, to follow a reason."""
        try:
            with (self.folder / "stderr").open("rb") as file:
                file.seek(-min(LAST_WORDS, file.seek(0, os.SEEK_END)), os.SEEK_END)
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""  # it took that away, too
        said = [" ".join(line.split()) for line in lines if line.strip()]
        return f": {said[-1][:300]}" if said else ""


def _kill(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code):
    if code < 0:
        # Real-time signals have numbers alone.
        names = {sign.value: sign.name for sign in signal.Signals}
        return f"was ended by {names.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"


def _differ(before, after):
    """The first file that is not as it was; None if all are."""
    old, new = _digest(before), _digest(after)
    changed = old.items() ^ new.items()
    return min((name for name, _ in changed), default=None)


def _digest(folder):
    """What each file holds, and what else there is: links, pipes and folders."""
    return {
        str(path.relative_to(folder)): crc32(path.read_bytes()) if _is_plain(path) else None
        for path in Path(folder).rglob("*")
    }


def _is_plain(path):
    return path.is_file() and not path.is_symlink()


def _read(path, done):
    # numpy leaves what is no archive open.
    with path.open("rb") as stream, np.load(stream) as file:
        told = json.loads(str(file["told"]))
        if told["reason"]:
            return replace(done, reason=told["reason"])
        arrays = {name: file[name] for name in ARRAYS if name in file}
        axes = Axes(file["energy"], file["fov_lon"], file["fov_lat"], told["align"])
    cube = BackgroundCube(axes, **arrays, clock=told["clock"])
    return replace(done, cube=cube, threshold_bin=told["threshold_bin"], known=told["known"])


# In the process of the method ---------------------------------------------------------------


def main(folder):
    """Do what the request asks for, and write what came of it."""
    folder = Path(folder)
    request = pickle.loads((folder / "request").read_bytes())
    sys.path[:] = request["path"]
    watch = _Watch(folder, request["method"])
    arrays, told = {}, {"reason": ""}
    try:
        cube, method = _reconstruct(request, folder / "store")
        axes = cube.axes
        arrays = {name: getattr(cube, name) for name in ARRAYS}
        arrays |= {name: getattr(axes, name) for name in ("energy", "fov_lon", "fov_lat")}
        told |= {"align": axes.align, "clock": cube.clock}
        told["threshold_bin"] = getattr(method, "threshold_bin", "drop")
        told["known"] = dict(getattr(method, "known", {}))
    except (Exception, SystemExit) as error:
        told["reason"] = in_one_line(error)
    watch.on = False
    if watch.seen:
        told["reason"] = f"peeked: {watch.seen[0]}"
    arrays = {name: values for name, values in arrays.items() if values is not None}
    np.savez(folder / "answer.npz", told=json.dumps(told), **arrays)


def _reconstruct(request, store):
    from simbg.models.selection import open_store
    from simbg.reconstruction.registry import axes_for, check_cube, find_method

    opened = open_store(store)
    observations = [
        replace(run, excluded=request["regions"]) for run in opened.observations(opened.table)
    ]
    method = find_method(request["method"])
    axes = request["axes"]
    if axes is None:
        axes = axes_for(method, observations)
    return check_cube(method.reconstruct(observations, axes), axes), method


class _Watch:
    """Audits the files and modules that a method opens."""

    def __init__(self, folder, method):
        self.on, self.seen = True, []
        names = ("simbg", _package(method))
        paths = [Path(entry) / name for entry in sys.path for name in names]
        paths += [entry for entry in sys.path if "site-packages" in entry]
        paths += _places(_package(method))
        paths += [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), folder]
        self.folders = {f"{os.path.realpath(path)}/" for path in paths}
        self.home = f"{os.path.realpath(os.path.expanduser('~'))}/."
        if any(knows_truth(name) for name in sys.modules):
            raise RuntimeError("a module that knows the truth is loaded")
        sys.addaudithook(self)

    def __call__(self, event, about):
        if not self.on:
            return
        if event == "import" and knows_truth(about[0]):
            self.seen.append(f"it loads {about[0]}, which knows the truth")
        elif event == "open" and isinstance(about[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(about[0]))
            code = path.endswith((".py", ".pyc", ".so", ".pth"))
            code |= any(part in path for part in PACKAGING)
            if not (code or path.startswith((*SYSTEM, *self.folders, self.home))):
                self.seen.append(f"it opens {path}, outside of its store")


def _places(package):
    """Where a package is, also if no folder of ``sys.path`` holds it: installed editable."""
    with suppress(ImportError, ValueError):
        if spec := find_spec(package):
            return list(spec.submodule_search_locations or ())
    return []


def _package(method):
    """The name of a method's own package, which may hold data."""
    named = entry_points(group="simbg.reconstructors", name=method)
    module = next((entry.value for entry in named), method).partition(":")[0]
    return module.partition(".")[0]


if __name__ == "__main__":
    main(sys.argv[1])
