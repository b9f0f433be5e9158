"""An interrupted job continues: same bytes, only what is missing is done, nothing is mixed."""

import errno
import os
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from support.faults import killed_at_step
from support.stores import make_store

from simbg.axes import Axes
from simbg.io.gadf.writer import GadfWriter
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection
from simbg.truth.gaussian import GaussianTruth

N_RUNS = 70
AXES = Axes.regular(energy=(0.2, 50, 4), fov=(3, 8))


class Counting:
    """An executor that counts pieces, and is interrupted after some of them."""

    def __init__(self, most=10**9):
        self.done, self.most = 0, most

    def map(self, job, pieces):
        for piece in pieces:
            if self.done == self.most:
                raise KeyboardInterrupt
            self.done += 1
            yield job(piece)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment, and its store."""
    folder = tmp_path_factory.mktemp("resume") / "store"
    few = {"truth": GaussianTruth(event_rate=0.02)}
    places = {"alt_range": (75, 80), "az_range": (100, 120)}
    return make_store(folder, n_obs=N_RUNS, **places, **few), folder


@pytest.fixture
def store(made, tmp_path):
    """A copy of the store to spoil."""
    return shutil.copytree(made[1], tmp_path / "store")


def models(store, executor=None, axes=AXES, resume=True, name="models"):
    """Number of pieces that were done, and the files."""
    executor, out = executor or Counting(), store.with_name(name)
    selection = Selection(exclude=("none",))
    arguments = {"method": "histogram", "axes": axes, "resume": resume, "overwrite": True}
    reconstruct_store(store, out, selection=selection, executor=executor, **arguments)
    return executor.done, {path.name: path.read_bytes() for path in out.iterdir()}


def kept(store):
    """Files of finished parts."""
    return [file for file in store.parent.glob(".simbg_resume-*/*") if file.is_file()]


def interrupted(store, most, **arguments):
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        models(store, Counting(most), **arguments)


def test_a_job_continues_with_what_is_missing(store):
    n_pieces, expected = models(store, resume=False, name="alone")
    assert n_pieces == 35
    interrupted(store, 20)
    assert len(kept(store)) == 20
    interrupted(store, 10)
    assert len(kept(store)) == 30
    assert models(store) == (5, expected)
    assert kept(store) == []
    assert sorted(os.listdir(store.parent)) == ["alone", "models", "store"]


def test_what_does_not_belong_to_the_job_is_done_again(store):
    _, expected = models(store, resume=False, name="alone")
    interrupted(store, 20)
    other = Axes.regular(energy=(0.2, 50, 5), fov=(3, 8))
    interrupted(store, 3, axes=other)
    # A file that was read has changed, and two of the parts are damaged.
    os.utime(store / "data" / "simbg_obs_000001.fits.gz", ns=(0, 10**18))
    first, second, *_ = sorted(kept(store), key=lambda path: path.stat().st_mtime_ns)[5:]
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    assert models(store) == (35 - 20 + 3, expected)


def test_without_resume_nothing_is_kept_or_used(store):
    interrupted(store, 20)
    n_pieces, _ = models(store, resume=False)
    assert n_pieces == 35
    assert kept(store) == []
    assert [path.name for path in store.parent.iterdir() if path.name[0] == "."] == []


def test_parts_of_another_process_are_not_touched(store):
    class Second(Counting):
        def map(self, job, pieces):
            with pytest.raises(OSError, match="another process"):
                models(store)
            return super().map(job, pieces)

    assert models(store, Second())[0] == 35


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_a_simulation_continues(made, tmp_path, seed):
    """With the same bytes; the runs of another seed are not mixed with them."""
    experiment, store = made
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        replace(experiment, seed=seed).write(out, executor=Counting(20), resume=True)
    assert not out.exists()
    executor = Counting()
    experiment.write(out, executor=executor, resume=True)
    assert executor.done == 35 - 20 * (seed == 0)
    assert content(out) == content(store)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.parametrize("resume", [True, False])
def test_a_simulation_whose_runs_are_finished_is_killed(tmp_path, monkeypatch, resume):
    """At each step from there, also of one that starts anew: later, no run is missing."""
    alone, out = tmp_path / "alone", tmp_path / "out"
    experiment = make_store(alone, n_obs=1, truth=GaussianTruth(event_rate=0.02))
    with monkeypatch.context() as patch:
        patch.setattr(GadfWriter, "write_index", fail("full"))
        with pytest.raises(OSError, match="full"):
            experiment.write(out, resume=True)
    (parts,) = tmp_path.glob(".simbg_resume-*")
    saved = shutil.move(parts, tmp_path / "saved")
    # Kept parts are removed in the first steps if they are not used.
    for step in count() if resume else range(12):
        shutil.copytree(saved, parts)
        killed = killed_at_step(step, lambda: experiment.write(out, resume=resume))
        experiment.write(out, overwrite=True, resume=True)
        assert content(out) == content(alone)
        assert sorted(os.listdir(tmp_path)) == ["alone", "out", "saved"]
        shutil.rmtree(out)
        if not killed:
            break
    assert step > 10


def fail(text):
    def raises(*_):
        raise OSError(errno.ENOSPC, text)

    return raises


def test_a_full_disk_ends_the_job_and_what_is_kept_is_used(store, monkeypatch):
    _, expected = models(store, resume=False, name="alone")
    write, written = Path.write_bytes, []

    def full(path, content):
        if path.name.endswith(".part"):
            written.append(path)
            if len(written) > 5:
                write(path, content[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="simbg_resume") as error:
            models(store)
    assert error.value.errno == errno.ENOSPC
    assert len(kept(store)) == 5
    assert models(store) == (30, expected)
