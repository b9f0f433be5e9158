"""Methods that do what a method may not, and some that may, for tests of the suite.

They stand apart from the tests, which know the truth.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from simbg.axes import Axes, edition2015_axes
from simbg.reconstruction.histogram import Histogram

AXES = Axes(np.geomspace(0.1, 80, 6), np.linspace(-4, 4, 11), np.linspace(-3, 3, 8))


class Foreign:
    """Its own binning, no ``estimate``: as another library's adapter has it."""

    name = "foreign"

    def default_axes(self, observations):
        return AXES

    def reconstruct(self, observations, axes):
        return self.spoil(Histogram().reconstruct(observations, axes))

    def spoil(self, cube):
        return cube


class Renamed(Foreign):
    """Raw counts under another name, in the common bins."""

    name = "renamed"
    default_axes = None


class Separable:
    """A rate alone, without a class of ours: one spectrum times one image. It cannot mask."""

    name = "separable"

    def reconstruct(self, observations, axes):
        if any(run.excluded for run in observations):
            raise ValueError("separable: got regions to exclude, expected none: it cannot mask")
        edges = axes.energy, axes.fov_lon, axes.fov_lat
        counts, livetime = np.zeros(axes.shape), np.zeros(axes.shape[0])
        for run in observations:
            events = run.events()
            # A run counts in the bins wholly above its threshold.
            bins = axes.energy[:-1] >= run.energy_threshold * (1 - 1e-9)
            points = events.energy, events.fov_lon, events.fov_lat
            counts[bins] += np.histogramdd(np.transpose(points), edges)[0][bins]
            livetime[bins] += run.livetime
        spectrum = counts.sum(axis=(1, 2)) / np.where(livetime > 0, livetime, np.nan)
        image = counts.sum(axis=0) / counts.sum()
        return SimpleNamespace(rate=spectrum[:, None, None] * image / axes.volume)


class Raises(Foreign):
    def spoil(self, cube):
        raise RuntimeError("no such\nthing")


class Exits(Foreign):
    def spoil(self, cube):
        sys.exit(3)


class NotANumber(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=np.full(cube.axes.shape, np.nan))


class OneNotANumber(Foreign):
    def spoil(self, cube):
        rate = cube.rate.copy()
        rate[1, 2, 3] = np.nan
        return replace(cube, rate=rate)


class Infinite(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=cube.rate + np.inf)


class Huge(Foreign):
    """Finite, but not its square."""

    def spoil(self, cube):
        return replace(cube, rate=cube.rate + 1e300)


class Negative(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=-cube.rate)


class OtherAxes(Foreign):
    def spoil(self, cube):
        return replace(cube, axes=replace(cube.axes, fov_lon=cube.axes.fov_lon + 0.1))


class Narrow(Foreign):
    """One bin, in which few events are."""

    def default_axes(self, observations):
        return Axes([1.0, 2.0], [-1.0, 1.0], [-1.0, 1.0])


class WrongShape(Foreign):
    def spoil(self, cube):
        return replace(cube, rate=cube.rate[:, :-1])


class ZeroLivetime(Foreign):
    def spoil(self, cube):
        return replace(cube, livetime=0 * cube.livetime)


class NoCube(Foreign):
    def spoil(self, cube):
        return None


class Array(Foreign):
    def spoil(self, cube):
        return cube.rate


class NeedsArguments(Foreign):
    def __init__(self, argument):
        pass


class Louder(Renamed):
    def spoil(self, cube):
        return replace(cube, rate=1.2 * cube.rate, counts=None)


class Tunable(Foreign):
    """A factor that a test changes, over the axes of 2015."""

    factor, default_axes = 1.0, None

    def spoil(self, cube):
        return replace(cube, rate=self.factor * cube.rate, counts=None)


class Structural(Foreign):
    """Returns no class of ours: a Quantity of the other clock, and nothing else."""

    def spoil(self, cube):
        from astropy import units as u

        rate = cube.per("ontime").rate * u.Unit("s-1 MeV-1 sr-1")
        return SimpleNamespace(rate=rate.to("s-1 TeV-1 sr-1"), clock="ontime")


class Peeks(Foreign):
    def spoil(self, cube):
        (Path(os.environ["SIMBG_TEST_SECRET"]) / "answer.txt").read_text()
        return cube


class LooksForTheTruth(Foreign):
    def spoil(self, cube):
        import simbg.simulation.library  # noqa: F401

        return cube


class Writes(Foreign):
    def reconstruct(self, observations, axes):
        next(Path(observations[0].store).rglob("simbg_obs_*")).write_bytes(b"gone")
        return SimpleNamespace(rate=np.ones(axes.shape))


class Crashes(Foreign):
    def spoil(self, cube):
        os.kill(os.getpid(), signal.SIGSEGV)


class Answers(Foreign):
    """Writes the answer itself, and no archive."""

    def reconstruct(self, observations, axes):
        (Path(observations[0].store).parent / "answer.npz").write_bytes(b"PK\x03\x04")
        os._exit(0)


class Nonsense(Foreign):
    """Writes to the file between its process and the suite, and ends that process."""

    lines = b'{"code": "x"}\n'

    def reconstruct(self, observations, axes):
        facts = Path(observations[0].store).parent.parent / "facts"
        facts.write_bytes(self.lines)
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)


class DeepNonsense(Nonsense):
    lines = b"[" * 100_000 + b"\n"


class OddReason(Nonsense):
    lines = b'{"reason": {}}\n'


class EndsAllParents(Foreign):
    """Its own process, and the one that watches over it."""

    def reconstruct(self, observations, axes):
        subprocess.Popen(["sleep", "567"], start_new_session=True)
        above = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
        for pid in (int(above), os.getppid()):
            os.kill(pid, signal.SIGKILL)
        time.sleep(600)


class Hungry(Foreign):
    def reconstruct(self, observations, axes):
        np.ones(200_000_000)
        return super().reconstruct(observations, axes)


class Unprintable(Foreign):
    def spoil(self, cube):
        raise RuntimeError("no \udcff, \x1b[31mred")


class Masked(Foreign):
    """No rate where nothing was seen: what is behind the mask is nonsense."""

    def spoil(self, cube):
        seen = cube.counts > 0
        return SimpleNamespace(rate=np.ma.masked_array(np.where(seen, cube.rate, 1e9), ~seen))


class MaskedCube(Masked):
    def spoil(self, cube):
        return replace(cube, rate=super().spoil(cube).rate)


class OtherUnit(Foreign):
    """Of a rate in our own class."""

    def spoil(self, cube):
        from astropy import units as u

        return replace(cube, rate=(cube.rate * u.Unit("s-1 MeV-1 sr-1")).to("s-1 TeV-1 sr-1"))


class Complex(Foreign):
    def spoil(self, cube):
        return SimpleNamespace(rate=cube.rate + 1j)


class NeedsRuns(Foreign):
    """Works in one scenario and not in another."""

    def reconstruct(self, observations, axes):
        if len(observations) < 2:
            raise RuntimeError(f"got {len(observations)} runs, expected 2")
        return super().reconstruct(observations, axes)


class Uneven(Foreign):
    """Raises an error for one run, crashes with three, hangs with four; and remembers."""

    stores = 0

    def reconstruct(self, observations, axes):
        Uneven.stores += 1
        if Uneven.stores > 1:
            raise RuntimeError("this process has reconstructed another store")
        runs = len(observations)
        if runs == 1:
            raise RuntimeError("one run")
        if runs == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if runs == 4:
            time.sleep(600)
        return super().reconstruct(observations, axes)


class Cheats(Foreign):
    """A cheat for each number of runs. What it finds is the reason of its error."""

    def reconstruct(self, observations, axes):
        cheats = self.imports, self.child, self.parents, self.without_audit
        raise RuntimeError(f"found {cheats[len(observations) - 1]()}")

    def imports(self):
        with suppress(ImportError):
            from simbg.simulation.library import SCENARIOS

            return list(SCENARIOS)

    def child(self, *options):
        code = "from simbg.simulation.library import SCENARIOS; print(*SCENARIOS)"
        words = [sys.executable, *options, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.stdout.split() or done.stderr.strip().split("\n")[-1]

    def parents(self):
        """Command lines of all processes above this one."""
        pid, found = os.getppid(), []
        while pid > 1:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return found

    def without_audit(self):
        """All of the above, and a process that does not use the import path of this one."""
        for each in gc.get_objects():
            if type(each).__name__ == "Audit":
                each.active = False
        found = {"imports": self.imports(), "child": self.child(), "parents": self.parents()}
        found |= {"environment": dict(os.environ), "path": sys.path, "folder": os.getcwd()}
        found["own path"] = self.child("-I")
        return json.dumps(found)


NO_METHOD = 3


class OneBin(Foreign):
    """Four large pixels and five energies."""

    def default_axes(self, observations):
        return Axes(np.geomspace(0.1, 80, 6), np.linspace(-4, 4, 3), np.linspace(-4, 4, 3))


class Within(Foreign):
    """The inner pixels of the common bins, and more energies."""

    def default_axes(self, observations):
        axes = edition2015_axes(len(observations))
        return replace(axes, fov_lon=axes.fov_lon[3:-3], fov_lat=axes.fov_lat[3:-3])


class LongClock(Renamed):
    """A rate per observation time, with observation times that are 10 % too long."""

    def spoil(self, cube):
        cube = replace(cube, ontime=1.1 * cube.ontime)
        return cube.per("ontime")


class OtherCounts(Renamed):
    """Twice the counts, with the right rate."""

    def spoil(self, cube):
        return replace(cube, counts=2 * cube.counts)
