"""What is written is there as a whole or not at all, and what is read is whole."""

import gzip
import io
import os
import shutil
import signal
import tracemalloc
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.faults import interrupted_at_step, killed_at_step, without_exchange

from simbg.io.files.work_places import check_finished
from simbg.io.safe_files import (
    new_content,
    new_directory,
    new_file,
    open_fits,
    open_tables,
    write_fits,
)
from simbg.parallel.executors import workers
from simbg.parallel.interrupts import interrupts_noted

OURS = (r"data/run\d+\.txt", r"index\.txt")


class Interrupted(BaseException):
    """Ctrl-C, or whatever else ends things."""


class Destructor:
    """Interrupted where nobody can catch it."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def tree(folder):
    """Every path below a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in Path(folder).rglob("*")
    }


def fill(folder, text="new"):
    (folder / "data").mkdir()
    (folder / "data" / "run1.txt").write_text(text)
    (folder / "index.txt").write_text(text)


def fail_after(write, what, error):
    write(what)
    raise error


FILLED = {"data": None, "data/run1.txt": "new", "index.txt": "new"}


def inside(name, content):
    return {name: None} | {f"{name}/{path}": text for path, text in content.items()}


def test_new_directory_appears_at_the_end(tmp_path):
    with new_directory(tmp_path / "a" / "b") as folder:
        fill(folder)
        assert not (tmp_path / "a").exists()
    assert tree(tmp_path / "a") == inside("b", FILLED)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_new_directory_has_usual_permissions(tmp_path):
    with new_directory(tmp_path / "out") as folder:
        fill(folder)
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual.txt").write_text("")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode
    with new_file(tmp_path / "new.txt") as path:
        path.write_text("")
    assert (tmp_path / "new.txt").stat().st_mode == (tmp_path / "usual.txt").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("there", ["nothing", "parent", "empty", "full"])
def test_whatever_fails_leaves_all_as_it_was(tmp_path, error, there):
    out = tmp_path / "parent" / "out"
    if there != "nothing":
        (out.parent if there == "parent" else out).mkdir(parents=True)
    if there == "full":
        fill(out, "old")
    before = tree(tmp_path)
    with pytest.raises(error), new_directory(out, True, OURS) as folder:
        fail_after(fill, folder, error)
    assert tree(tmp_path) == before


def test_full_directory_needs_overwrite(tmp_path):
    fill(tmp_path, "old")
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="--overwrite"), new_directory(tmp_path, False, OURS):
        pytest.fail("must not get here")
    assert tree(tmp_path) == before


def test_overwrite_replaces_all_of_ours(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    fill(out, "old")
    (out / "data" / "run2.txt").write_text("old")
    with new_directory(out, True, OURS) as folder:
        fill(folder)
    assert tree(tmp_path) == inside("out", FILLED)


def test_empty_directory_is_filled_and_stays_the_same_one(tmp_path):
    """It may be a mount point, or where the user stands."""
    before = tmp_path.stat().st_ino
    with new_directory(tmp_path) as folder:
        fill(folder)
    assert tree(tmp_path) == FILLED
    assert tmp_path.stat().st_ino == before


@pytest.mark.parametrize("there", [True, False])
def test_link_to_a_directory_stays_a_link(tmp_path, there):
    if there:
        (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with new_directory(tmp_path / "link") as folder:
        fill(folder)
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "real") == FILLED


@pytest.mark.parametrize("foreign", ["notes.txt", "data/run.txt", "data/deep/run1.txt", "link"])
def test_foreign_files_are_never_replaced(tmp_path, foreign):
    out = tmp_path / "out"
    out.mkdir()
    fill(out, "old")
    (out / foreign).parent.mkdir(exist_ok=True)
    if foreign == "link":
        (out / foreign).symlink_to(tmp_path, target_is_directory=True)
    else:
        (out / foreign).write_text("mine")
    with (
        pytest.raises(FileExistsError, match=foreign),
        new_directory(out, True, OURS),
    ):
        pytest.fail("must not get here")
    assert (out / "index.txt").read_text() == "old"


@pytest.mark.parametrize("place", ["file", "file/out", "file/deep/out"])
def test_a_file_in_the_way(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="/file,"), new_directory(tmp_path / place):
        pytest.fail("must not get here")
    assert tree(tmp_path) == {"file": "mine"}


def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied", "/a/temporary/name")


def refuse_later(n):
    """os.replace that fails at the n-th call, once."""
    real, calls = os.replace, []

    def replace(*args):
        calls.append(args)
        if len(calls) == n:
            refuse()
        return real(*args)

    return replace


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("module", "name"), [(os, "mkdir"), (os, "replace")])
def test_system_refuses(tmp_path, monkeypatch, module, name, there):
    out = tmp_path / "deep" / "out"
    if there:
        out.mkdir(parents=True)
    before = tree(tmp_path)
    monkeypatch.setattr(module, name, refuse)
    message = r"deep/out: .*Permission denied"
    with pytest.raises(PermissionError, match=message), new_directory(out) as folder:
        fill(folder)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_system_refuses_midway_through_replacing(tmp_path, monkeypatch, n):
    out = tmp_path / "out"
    out.mkdir()
    fill(out, "old")
    before = tree(tmp_path)
    monkeypatch.setattr(os, "replace", refuse_later(n))
    with (
        without_exchange(),
        pytest.raises(PermissionError),
        new_directory(out, True, OURS) as folder,
    ):
        fill(folder)
    assert tree(tmp_path) == before


def state(folder):
    """The tree without hidden places of unfinished output."""
    return {name: text for name, text in tree(folder).items() if ".simbg-" not in name}


def is_refused(folder):
    """Whether a reader is told that the folder is a mixture."""
    try:
        check_finished(folder)
    except ValueError:
        return True
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.parametrize(
    ("there", "how"),
    [("nothing", "exchange"), ("empty", "renames"), ("full", "exchange"), ("full", "renames")],
)
def test_killed_at_each_step_of_a_directory(tmp_path, there, how):
    """Old or new is whole, or readers are told; the next run succeeds and nothing is left."""
    old = {"data": None, "data/run1.txt": "old", "data/run2.txt": "old", "index.txt": "old"}
    before = {"nothing": {}, "empty": inside("out", {}), "full": inside("out", old)}[there]

    def write(text="new"):
        system = without_exchange() if how == "renames" else nullcontext()
        with system, new_directory(tmp_path / "out", True, OURS) as folder:
            fill(folder, text)

    n_mixed = n_old = 0
    for step in count():
        for path, text in before.items():
            place = tmp_path / path
            place.mkdir() if text is None else place.write_text(text)
        killed = killed_at_step(step, write)
        after, mixed = state(tmp_path), (tmp_path / "out").is_dir() and is_refused(tmp_path / "out")
        assert after in (before, inside("out", FILLED)) or mixed
        n_mixed, n_old = n_mixed + mixed, n_old + (after == before)
        write("newer")
        newer = dict.fromkeys(["data/run1.txt", "index.txt"], "newer")
        assert tree(tmp_path) == inside("out", FILLED | newer)
        shutil.rmtree(tmp_path / "out")
        if not killed:
            break
    assert step > 5
    assert n_old > 3
    # An exchange of folders has no moment in between.
    assert (n_mixed > 0) == (there == "empty" or (how == "renames" and there == "full"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_killed_replacement_is_completed(tmp_path):
    """Among files of others, so that folders cannot be exchanged."""

    def write(text="new"):
        with new_content(tmp_path / "out") as folder:
            fill(folder, text)

    n_mixed, notes = 0, {"out": None, "out/notes": "mine"}
    for step in count():
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes").write_text("mine")
        write("old")
        old = tree(tmp_path)
        killed = killed_at_step(step, write)
        n_mixed += state(tmp_path) not in (old, inside("out", FILLED) | notes)
        with suppress(ValueError), new_content(tmp_path / "out"):
            raise ValueError
        assert tree(tmp_path) in (old, inside("out", FILLED) | notes)
        shutil.rmtree(tmp_path / "out")
        if not killed:
            break
    assert n_mixed == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_killed_at_each_step_of_a_file(tmp_path):
    def write(text="new"):
        with new_file(tmp_path / "a.txt", True) as path:
            path.write_text(text)

    for step in count():
        (tmp_path / "a.txt").write_text("old")
        killed = killed_at_step(step, write)
        assert (tmp_path / "a.txt").read_text() in ("old", "new")
        write("newer")
        assert tree(tmp_path) == {"a.txt": "newer"}
        if not killed:
            break
    assert step > 2


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("how", ["exchange", "renames", "file"])
def test_interrupted_at_each_step(tmp_path, how):
    """Old or new is whole, and nothing else is there, also if the removal is interrupted."""
    before, out = signal.signal(signal.SIGINT, signal.default_int_handler), tmp_path / "out"

    def write():
        system = without_exchange() if how == "renames" else nullcontext()
        if how == "file":
            with interrupts_noted(), new_file(out, True) as path:
                path.write_text("new")
        else:
            with interrupts_noted(), system, new_directory(out, True, OURS) as folder:
                fill(folder)

    def put(text):
        out.write_text(text) if how == "file" else (out.mkdir(), fill(out, text))
        return tree(tmp_path)

    try:
        new = put("new")
        for step in count():
            shutil.rmtree(out, ignore_errors=True)
            out.unlink(missing_ok=True)
            old = put("old")
            interrupted = interrupted_at_step(step, write)
            assert tree(tmp_path) in (old, new)
            if not interrupted:
                break
        assert step > (2 if how == "file" else 8)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("new", [new_file, new_directory])
def test_two_writers_at_the_same_time(tmp_path, new):
    """Neither takes the unfinished output of the other for that of a dead process."""
    inside = "" if new is new_file else "a"
    with new(tmp_path / "out") as first:
        (first / inside).write_text("first")
        with suppress(ValueError), new(tmp_path / "out") as second:
            assert second != first
            fail_after((second / inside).write_text, "second", ValueError("no"))
        assert (first / inside).read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_new_content_replaces_its_files_together_and_leaves_others(tmp_path):
    fill(tmp_path, "old")
    (tmp_path / "notes").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="x"), new_content(tmp_path) as folder:
        fail_after(fill, folder, ValueError("x"))
    assert tree(tmp_path) == before
    with new_content(tmp_path) as folder:
        fill(folder)
    assert tree(tmp_path) == FILLED | {"notes": "mine"}


def test_new_file(tmp_path):
    with new_file(tmp_path / "a.fits.gz") as path:
        assert path.name.endswith("a.fits.gz")
        path.write_text("new")
    assert tree(tmp_path) == {"a.fits.gz": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_new_file_that_fails(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), new_file(tmp_path / "a", overwrite=True) as path:
        fail_after(path.write_text, "half", error)
    assert tree(tmp_path) == {"a": "old"}


@pytest.mark.parametrize(
    ("name", "overwrite", "error"),
    [
        ("there", False, FileExistsError),
        ("folder", True, FileExistsError),
        ("none/a", True, FileNotFoundError),
        ("there/a", True, FileNotFoundError),
    ],
)
def test_new_file_that_cannot_be(tmp_path, name, overwrite, error):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error), new_file(tmp_path / name, overwrite):
        pytest.fail("must not get here")
    assert tree(tmp_path) == {"there": "mine", "folder": None}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    """A pipe stands for a device, which root could take from the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="pipe"), new_file(tmp_path / "pipe", True):
        pytest.fail("must not get here")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(("module", "name"), [(os, "open"), (os, "replace")])
def test_system_refuses_a_file(tmp_path, monkeypatch, module, name):
    monkeypatch.setattr(module, name, refuse)
    message = r"a\.fits: .*Permission denied"
    with pytest.raises(PermissionError, match=message), new_file(tmp_path / "a.fits") as path:
        path.write_text("new")
    assert tree(tmp_path) == {}


@pytest.fixture
def hdus():
    rng = np.random.default_rng(0)
    columns = [fits.Column("X", "D", array=rng.random(2000))]
    return [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="TABLE")]


def test_compressed_file_is_the_plain_one_and_the_same_every_time(tmp_path, hdus):
    for name in ("a.fits", "a.fits.gz", "b.fits.gz"):
        write_fits(tmp_path / name, hdus)
    content = [(tmp_path / name).read_bytes() for name in ("a.fits", "a.fits.gz", "b.fits.gz")]
    assert gzip.decompress(content[1]) == content[0]
    assert content[1] == content[2]


def test_plain_file_may_be_called_gz(tmp_path, hdus):
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    (tmp_path / "a.fits").rename(tmp_path / "a.fits.gz")
    with open_fits(tmp_path / "a.fits.gz") as file:
        assert len(file["TABLE"].data) == 2000


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
def test_cut_anywhere(tmp_path, hdus, name):
    """Between two HDUs a cut file is a whole one with less in it; anywhere else it is an error."""
    write_fits(tmp_path / name, hdus)
    content = (tmp_path / name).read_bytes()
    for cut in {*range(0, len(content), len(content) // 50), len(content) - 1} - {2880}:
        (tmp_path / name).write_bytes(content[:cut])
        with (
            pytest.raises(ValueError, match=name),
            open_fits(tmp_path / name) as file,
        ):
            file["TABLE"].data["X"].sum()


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8bnot", b"text\n" * 1000])
@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
def test_garbage(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.fits"), open_fits(tmp_path / name):
        pytest.fail("must not get here")


def test_a_small_file_that_becomes_huge(tmp_path, hdus):
    """The sizes in its header are right: 1 GB of zeros that gzip makes 1 MB of."""
    image = fits.ImageHDU(np.zeros((1, 1), np.uint8))
    image.header["NAXIS1"] = 1 << 30
    header = fits.PrimaryHDU().header.tostring() + image.header.tostring()
    block = gzip.compress(bytes(1 << 24), 1)
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(header.encode()) + block * 64)
    tracemalloc.start()
    with pytest.raises(ValueError, match="larger"), open_fits(tmp_path / "a.fits.gz"):
        pytest.fail("must not get here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 600e6


def test_a_compressed_image_that_becomes_huge(tmp_path):
    image = fits.CompImageHDU(np.zeros((100, 100), np.uint8))
    image.writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    at = content.index(b"ZNAXIS1 =")
    (tmp_path / "a.fits").write_bytes(
        content[:at] + b"ZNAXIS1 =           1000000000".ljust(80) + content[at + 80 :]
    )
    with pytest.raises(ValueError, match=r"a\.fits"), open_fits(tmp_path / "a.fits") as file:
        file[1].data.sum()


@pytest.mark.parametrize("name", ["BITPIX", "NAXIS1", "NAXIS2"])
def test_a_card_without_which_astropy_reads_nothing(tmp_path, name):
    """Also of an HDU that is not used."""
    table = fits.BinTableHDU(np.zeros(3, [("X", float)]))
    fits.HDUList([fits.PrimaryHDU(), table, table]).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    at = content.rindex(f"{name:8s}=".encode())
    content = content[:at] + b" " * 80 + content[at + 80 :]
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(KeyError, match=name):
        fits.open(io.BytesIO(content), lazy_load_hdus=False)
    with pytest.raises(ValueError, match=rf"HDU 2: {name}"), open_tables(tmp_path / "a.fits"):
        pytest.fail("must not get here")


@pytest.mark.parametrize("path", ["none.fits", "folder"])
def test_no_file(tmp_path, path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match=path), open_fits(tmp_path / path):
        pytest.fail("must not get here")


def test_errors_while_open_name_the_file_once(tmp_path, hdus):
    write_fits(tmp_path / "a.fits", hdus)
    with (
        pytest.raises(ValueError, match=r"a\.fits: .*NONE"),
        open_fits(tmp_path / "a.fits") as file,
    ):
        file["NONE"]
    message = f"{tmp_path / 'a.fits'}: got this, expected that"
    with pytest.raises(ValueError, match=f"^{message}$"), open_fits(tmp_path / "a.fits"):
        raise ValueError(message)


@pytest.mark.parametrize("name", ["mkdir", "open"])
def test_an_interrupt_just_after_something_was_made(tmp_path, monkeypatch, name):
    """It is there, and nobody was told its name: it goes all the same."""
    real = getattr(os, name)

    def make(*args, **kwargs):
        real(*args, **kwargs)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, name, make)
    place = new_directory if name == "mkdir" else new_file
    with pytest.raises(KeyboardInterrupt), place(tmp_path / "out"):
        pytest.fail("must not get here")
    assert tree(tmp_path) == {}


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("new", [new_file, new_directory])
def test_interrupt_that_a_destructor_swallows_leaves_nothing(tmp_path, new):
    after, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)

    def write():
        with workers(1), new(tmp_path / "out"):
            Destructor()
            after.append("still here")

    try:
        with pytest.raises(KeyboardInterrupt):
            write()
    finally:
        signal.signal(signal.SIGINT, before)
    assert after
    assert not list(tmp_path.iterdir())
