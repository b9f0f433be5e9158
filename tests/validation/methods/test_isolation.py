"""A method in a process of its own: whatever it does is a reason, and nothing is left behind."""

import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from support.odd_methods import AXES, Masked, MaskedCube, OtherUnit

from simbg.io.cubes import write_cube
from simbg.io.gadf.store import GadfStore
from simbg.reconstruction.contract import check_cube
from simbg.reconstruction.histogram import Histogram
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.sky.regions import circle
from simbg.validation.methods.candidates import Candidate

NIGHT = replace(SCENARIOS["night"], n_obs=2, ontime=600.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolated") / "store"
    Experiment.of(NIGHT, 3).write(folder)
    return folder


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob("simbg-*"))


def attempt(name, store, regions=(), axes=None, **how):
    """What becomes of one of the odd methods, in a process of its own."""
    candidate = Candidate(f"support.odd_methods:{name}", **how)
    return candidate.reconstruct(store, replace(NIGHT, regions=regions), axes)


def in_memory(method, store, regions=(), axes=AXES):
    opened = GadfStore(store)
    runs = [replace(run, excluded=regions) for run in opened.observations(opened.table)]
    return check_cube(method.reconstruct(runs, axes), axes)


def test_the_same_cube_as_in_memory(store):
    """With masked regions, over axes that are asked for."""
    how = (circle(80.0, -30.0, 60.0),), replace(AXES, fov_lon=AXES.fov_lon * 0.7)
    done, expected = attempt("Foreign", store, *how), in_memory(Histogram(), store, *how)
    assert done.reason == ""
    for name in ("rate", "rate_error", "counts", "livetime", "ontime"):
        assert_array_equal(getattr(done.cube, name), getattr(expected, name))
    assert done.cube.axes.same_as(how[1])
    assert done.threshold_bin == "drop"


def test_what_looks_like_a_cube_is_one(store):
    """A Quantity in another unit, by the other clock, in no class of ours, over its own axes."""
    done = attempt("Structural", store)
    assert done.reason == ""
    assert done.cube.clock == "ontime"
    assert done.cube.axes.same_as(AXES)
    expected = in_memory(Histogram(), store)
    assert_allclose(done.cube.rate, expected.per("ontime").rate, rtol=1e-12)


@pytest.mark.parametrize("method", [Masked(), MaskedCube()])
def test_what_is_masked_is_no_number(store, method):
    expected = in_memory(Histogram(), store)
    assert 0 < np.count_nonzero(expected.counts) < expected.counts.size
    rate = np.where(expected.counts > 0, expected.rate, np.nan)
    assert_array_equal(in_memory(method, store).rate, rate)


def test_units_of_our_own_class(store):
    expected = in_memory(Histogram(), store)
    assert_allclose(in_memory(OtherUnit(), store).rate, expected.rate, rtol=1e-12)


def test_stores_one_after_the_other(tmp_path):
    """Each has its own cube or reason, whatever becomes of the others; a hang ends the work."""
    stores, short = [], replace(NIGHT, ontime=20.0)
    for number, n_obs in enumerate((1, 2, 3, 2, 4, 2)):
        stores.append(tmp_path / f"store-{number}")
        replace(Experiment.of(short, 3, n_obs), replicate=number).write(stores[-1])
    candidate = Candidate("support.odd_methods:Uneven", timeout=10)
    done = candidate.reconstruct_all(stores, NIGHT)
    assert [attempt.reason for attempt in done] == [
        "RuntimeError: one run",
        "",
        "was ended by SIGSEGV",
        "",
        "took more than 10 s",
        "not tried, since store 4 took more than 10 s",
    ]
    for number in (1, 3):
        assert_array_equal(done[number].cube.rate, in_memory(Histogram(), stores[number]).rate)
        assert done[number].megabytes > 10
    assert np.any(done[1].cube.rate != done[3].cube.rate)


METHODS = {
    "LooksForTheTruth": "forbidden access: it loads simbg.simulation.library",
    "Writes": "wrote to its input: data/simbg_obs_",
    "Exits": "SystemExit: 3",
    "Answers": "ended without a result: BadZipFile",
    "Unprintable": "RuntimeError: no \N{REPLACEMENT CHARACTER}, \N{REPLACEMENT CHARACTER}[31mred",
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_fail(store, name):
    """Whatever a method does, its input is as it was."""
    before = contents(store)
    done = attempt(name, store)
    assert contents(store) == before
    assert done.cube is None
    assert done.reason.startswith(METHODS[name])
    assert "\n" not in done.reason
    assert 0 < done.seconds < 60
    assert done.megabytes > 10


def test_a_file_outside_of_the_store(store, tmp_path, monkeypatch):
    (tmp_path / "answer.txt").write_text("2.7")
    monkeypatch.setenv("SIMBG_TEST_SECRET", str(tmp_path))
    done = attempt("Peeks", store)
    assert done.reason == f"forbidden access: it opens {tmp_path}/answer.txt, outside its store"


FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "elsewhere":
            folder = {folder!r}
            return spec_from_file_location(
                name, folder + "/__init__.py", submodule_search_locations=[folder]
            )

sys.meta_path.append(Finder)
"""
WITH_DATA = """
from pathlib import Path
from support.odd_methods import Foreign

class Method(Foreign):
    def spoil(self, cube):
        Path(__file__).with_name("data.txt").read_text()
        return cube
"""


def test_a_package_that_is_installed_editable_reads_its_data(store, tmp_path, monkeypatch):
    """As setuptools does it: by a finder, so that no folder of sys.path holds the package."""
    package, start = tmp_path / "src", tmp_path / "start"
    package.mkdir()
    start.mkdir()
    (start / "sitecustomize.py").write_text(FINDER.format(folder=str(package)))
    (package / "__init__.py").write_text(WITH_DATA)
    (package / "data.txt").write_text("1")
    monkeypatch.setenv("PYTHONPATH", str(start))
    assert Candidate("elsewhere:Method").reconstruct(store, NIGHT).reason == ""


BESIDE = """
import sys
class Method:
    name = "beside"
    def reconstruct(self, observations, axes):
        import simbg
        raise RuntimeError(f"{simbg.__file__} {sys.path}")
"""


def test_a_method_beside_a_checkout_of_simbg(store, tmp_path, monkeypatch):
    """Its module is found, and the checkout is not."""
    checkout = tmp_path / "checkout"
    (checkout / "simbg").mkdir(parents=True)
    (checkout / "simbg" / "__init__.py").write_text("raise RuntimeError('another simbg')")
    (checkout / "pyproject.toml").touch()
    (checkout / "beside.py").write_text(BESIDE)
    monkeypatch.syspath_prepend(str(checkout))
    reason = Candidate("beside:Method").reconstruct(store, NIGHT).reason
    assert reason.startswith("RuntimeError: ")
    assert "library/simbg/__init__.py" in reason
    assert str(checkout) not in reason


STARTS_AND_HANGS = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", __file__])
time.sleep(600)
"""


def test_time_out_ends_all_that_was_started(store, tmp_path):
    (tmp_path / "hangs.py").write_text(STARTS_AND_HANGS)
    start = time.monotonic()
    command = Candidate.command(
        f"{sys.executable} {tmp_path}/hangs.py {{output}} {{store}}", timeout=3
    )
    done = command.reconstruct(store, NIGHT)
    # It and what it started sleep for 600 s.
    assert time.monotonic() - start < 60
    assert done.reason == "took more than 3 s"
    # No such process is left, as far as the system shows them: one that is killed takes a moment.
    deadline = time.monotonic() + 10
    while left := processes_with(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_with(word):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [entry] * (str(word).encode() in entry.read_bytes())
    return found


LEAVES = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", __file__],
                 start_new_session=True, env={})
"""


def test_what_a_command_leaves_behind_ends_with_it(store, tmp_path):
    """Also in a session of its own, where no signal to the group arrives."""
    (tmp_path / "leaves.py").write_text(LEAVES)
    template = f"{sys.executable} {tmp_path}/leaves.py {{output}} {{store}}"
    done = Candidate.command(template).reconstruct(store, NIGHT)
    assert done.reason.startswith("wrote no cube")
    assert processes_with(tmp_path / "leaves.py") == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_command_ends_with_whoever_started_it(store, tmp_path):
    """Nobody is left to end it after SIGKILL. Its files are removed when simbg is used again."""
    (tmp_path / "hangs.py").write_text(STARTS_AND_HANGS)
    template = f"{sys.executable} {tmp_path}/hangs.py {{output}} {{store}}"
    pid = os.fork()
    if pid == 0:
        try:
            Candidate.command(template).reconstruct(store, NIGHT)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    while len(processes_with(tmp_path / "hangs.py")) < 3:  # its supervisor is one of them
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 10
    while left := processes_with(tmp_path / "hangs.py"):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert list(tmp_path.glob("simbg-*"))
    Candidate.command("true {store} {output}").reconstruct(store, NIGHT)
    assert not list(tmp_path.glob("simbg-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_a_method_that_ends_all_processes_above_it(store):
    done = attempt("EndsAllParents", store)
    assert done.reason.startswith("was ended by SIGKILL")
    assert processes_with("567") == []


@pytest.mark.parametrize("name", ["Nonsense", "DeepNonsense", "OddReason"])
def test_nonsense_between_processes_is_a_reason(store, name):
    done = attempt(name, store)
    assert done.cube is None
    assert "file of facts" in done.reason


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit may be ignored")
def test_limit_of_memory(store):
    assert attempt("Hungry", store, memory=4.0).reason == ""
    assert "MemoryError" in attempt("Hungry", store, memory=1.0).reason
    code = "x = b'x' * 1_000_000_000"
    command = f'{sys.executable} -c "{code}" {{store}} {{output}}'
    done = Candidate.command(command, memory=0.5).reconstruct(store, NIGHT)
    assert done.reason == "ended with exit code 1: MemoryError"


def test_memory_is_that_of_the_process(store):
    """100 MB that it takes show, and those of this process do not."""
    mine = np.ones(30_000_000)
    templates = (
        f"{sys.executable} -c '{code}' {{output}} {{store}}" for code in ("1", 'b"x" * 100_000_000')
    )
    plain, hungry = (Candidate.command(t).reconstruct(store, NIGHT).megabytes for t in templates)
    assert mine.nbytes == 2.4e8
    assert plain < 100
    assert 85 < hungry - plain < 115


def test_command_writes_a_file(store, tmp_path, cube):
    write_cube(tmp_path / "model.fits", cube)
    done = Candidate.command(f"sh -c 'cp {tmp_path}/model.fits {{output}}' {{store}}").reconstruct(
        store, NIGHT
    )
    assert done.reason == ""
    assert_allclose(done.cube.rate, cube.per("ontime").rate, rtol=1e-12)


def test_command_that_writes_infinite_rates(store, tmp_path, cube):
    """The reason has their number and the first bin: the second fov_lat, last in the file."""
    write_cube(tmp_path / "model.fits", cube)
    with fits.open(tmp_path / "model.fits", mode="update") as file:
        file[1].data["BKG"][0, 1] = np.inf
    template = f"sh -c 'cp {tmp_path}/model.fits {{output}}' {{store}}"
    done = Candidate.command(template).reconstruct(store, NIGHT)
    assert done.cube is None
    assert f"{cube.rate[..., 0].size} of {cube.rate.size} infinite rates" in done.reason
    assert "(0, 0, 1)" in done.reason


COMMANDS = {
    "no_such_command {store} {output}": "cannot be started: FileNotFoundError",
    "true {store} {output}": "wrote no cube: FileNotFoundError",
    "cp {store}/obs-index.fits.gz {output}": "wrote no cube: ValueError",
    "false {output} {store}": "ended with exit code 1",
    "sh -c 'echo hm >&2; kill -9 $$' {output} {store}": "was ended by SIGKILL: hm",
    "touch {store}/more {output}": "wrote to its input: more",
    "sh -c 'ln -s /dev/zero {store}/zero' {output}": "wrote to its input: zero",
    "sh -c 'rm -r {store}' {output}": "wrote to its input: the store",
    "sh -c 'rm -r ../$(basename $PWD)' {output} {store}": "wrote to its input: the store",
    "sh -c 'kill -9 $PPID; sleep 600' {output} {store}": "was ended by SIGKILL",
    # A signal that has no name.
    "sh -c 'kill -40 $$' {output} {store}": "was ended by signal 40",
    # More than anybody reads, and then it ends.
    "sh -c 'yes | head -c 1000000 >&2; echo last words >&2; exit 3' {output} {store}": (
        "ended with exit code 3: last words"
    ),
}


@pytest.mark.parametrize("template", COMMANDS)
def test_commands_that_fail(store, template):
    done = Candidate.command(template).reconstruct(store, NIGHT)
    assert done.cube is None
    assert done.reason.startswith(COMMANDS[template])


def test_template_with_other_names(store):
    with pytest.raises(ValueError, match=r"command: got .*'stor'"):
        Candidate.command(f"{sys.executable} {{stor}} {{store}} {{output}}").reconstruct(
            store, NIGHT
        )


def test_module_that_is_not_found(tmp_path, monkeypatch):
    """The message names the folder of the user."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"no_such_module.*{tmp_path}"):
        Candidate("no_such_module:Mine").check()
