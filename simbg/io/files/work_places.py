"""Hidden files and folders for unfinished output, and how they replace what is there.

The name follows from that of the output, and a lock (flock) belongs to the process that writes.
What a dead process left has no lock; the next run with the same output uses or removes it.
"""

import ctypes
import errno
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

__all__ = [
    "check_finished",
    "complete",
    "content_of",
    "exchangeable",
    "kept_folder",
    "put_in_place",
    "scratch_folder",
    "work_file",
    "work_folder",
]

PREFIX, SCRATCH, KEPT = ".simbg-", "simbg-work-", ".simbg_resume-"
# A file that exists while the content of a folder is replaced piece by piece; it has their names.
UNFINISHED = f"{PREFIX}unfinished"
LONGEST = 200  # bytes of an output's name in that of its work place, which may have 255
PLACES = 100  # processes that write to the same output at the same time
# Errors of a system that cannot exchange two folders: not known, not on this file system, not here.
NO_EXCHANGE = {
    *(errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EBUSY, errno.EXDEV, errno.EPERM),
    errno.EACCES,
}
RENAME_EXCHANGE, AT_FDCWD = 2, -100


@contextmanager
def work_folder(folder: Path, name: str) -> Iterator[Path]:
    """An empty hidden folder with a lock, which is removed at the end.

    Parameters
    ----------
    folder : Path
        Where it is made.
    name : str
        Name of the output.
    """
    with _locked(folder, name, _private, _empty) as path, _removed(_remove, path):
        yield path


@contextmanager
def work_file(folder: Path, name: str) -> Iterator[Path]:
    """An empty hidden file with a lock and the same ending, which is removed if it is not renamed.

    Parameters
    ----------
    folder : Path
        Where it is made.
    name : str
        Name of the output.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY

    def make(path):
        os.close(os.open(path, flags, 0o666))

    with _locked(folder, name, make, lambda path: os.truncate(path, 0)) as path:
        inode = os.lstat(path).st_ino

        def unlink(path):
            # After it is renamed, another process may use the name.
            with suppress(FileNotFoundError):
                if os.lstat(path).st_ino == inode or not _is_locked(path):
                    os.unlink(path)

        with _removed(unlink, path):
            yield path


@contextmanager
def kept_folder(folder: Path, name: str, resume: bool) -> Iterator[Path | None]:
    """A hidden folder for partial results of an output, which is removed when it is finished.

    Parameters
    ----------
    folder : Path
        Where it is made.
    name : str
        Name of the output.
    resume : bool
        Whether partial results are kept. If not, those of a dead process are removed.

    Yields
    ------
    Path or None
        The folder, with a lock; None if nothing is kept.
    """
    path = _place(folder, name, KEPT)
    if not resume:
        with suppress(OSError):
            if path.exists() and not _is_locked(path):
                _remove_at_once(path, name)
        yield None
        return
    _made(_private, path)
    handle = _lock(path)
    if handle is None or path.lstat().st_uid != os.geteuid():
        raise OSError(errno.EEXIST, f"another process or user uses {path.name}")
    try:
        yield path
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished parts are kept, and --resume continues") from None
    else:
        _remove_at_once(path, name)
    finally:
        with suppress(OSError):
            path.rmdir()  # nothing was finished
        if handle >= 0:
            os.close(handle)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files with a lock, which is removed at the end.

    Those of dead processes are removed at the start.
    """
    parent = Path(tempfile.gettempdir())
    for path in parent.glob(f"{SCRATCH}*"):
        _discard(path)
    name = secrets.token_hex(8)
    with _locked(parent, name, _private, _empty, SCRATCH) as path, _removed(_remove, path):
        yield path


@contextmanager
def _removed(remove, path):
    """Remove a path at the end, in a second attempt if an interrupt ends the first."""
    with ExitStack() as stack:
        for _ in range(2):
            stack.callback(remove, path)
        yield


def _remove(folder):
    # Files of a method may be protected from removal.
    shutil.rmtree(folder, ignore_errors=True)


def _remove_at_once(path, name):
    """Remove partial results of an output; if the process is killed, all or none remain."""
    with work_folder(path.parent, name) as work:
        os.replace(path, work / KEPT)


def content_of(folder: Path) -> list[Path]:
    """All files and folders in a folder, without those of unfinished output.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith(PREFIX))


def check_finished(folder: Path) -> None:
    """Refuse a folder whose content is a mixture, because a process ended while it replaced it.

    Parameters
    ----------
    folder : Path
        A folder that is read.

    Raises
    ------
    ValueError
        If it is such a folder.
    """
    if os.path.exists(os.path.join(folder, UNFINISHED)):
        raise ValueError(
            f"{folder}: got {UNFINISHED}, since a process ended while it replaced the files, "
            "expected a finished folder; the next command that writes to it completes it"
        )


def exchangeable(folder: Path) -> bool:
    """Whether another folder may take the place of this one.

    Parameters
    ----------
    folder : Path
        The folder. Not a mount point, nor where the process stands, nor of another owner.
    """
    here, parent = folder.stat(), folder.parent
    return (
        os.access(parent, os.W_OK)
        and not _is_mount(folder)
        and folder not in (cwd := Path(os.path.realpath(os.curdir)), *cwd.parents)
        and (here.st_uid, here.st_gid) == (os.geteuid(), os.getegid())
        and not here.st_mode & stat.S_ISGID
    )


def put_in_place(new: Path, folder: Path, old: list[Path]) -> None:
    """Replace files and folders by those in a new folder, on the same file system.

    If these are the whole content of the folder, both folders are exchanged in one step, where
    the system can do so. Otherwise all pieces are moved, indexes last. Errors are undone. If the
    process is killed, the file `UNFINISHED` remains, which readers refuse (`check_finished`).

    Parameters
    ----------
    new : Path
        The new folder, inside of a folder of `work_folder`.
    folder : Path
        The folder.
    old : list of Path
        The files and folders in it that are replaced or removed.
    """
    if new.parent.parent == folder.parent and set(old) == set(content_of(folder)):
        try:
            _exchange(new, folder)
            return
        except OSError as error:
            if error.errno not in NO_EXCHANGE:
                raise
    gone = new.parent / "old"
    gone.mkdir()
    names = {"old": [path.name for path in old], "new": [path.name for path in new.iterdir()]}
    marker = folder / UNFINISHED
    with _removed(lambda path: path.unlink(missing_ok=True), marker):
        temporary = new.parent / UNFINISHED
        temporary.write_text(json.dumps(names | {"work": str(new.parent)}))
        os.replace(temporary, marker)
        with ExitStack() as undo:
            for source, target in _moves(names, new.parent, folder):
                # Before the move: an interrupt can come just after it.
                undo.callback(_move_back, source, target)
                os.replace(source, target)
            undo.pop_all()


def complete(folder: Path) -> None:
    """Complete the replacement of the content of a folder if the process that did it was killed.

    Unfinished output of dead processes beside and in the folder is removed.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    marker = folder / UNFINISHED
    with suppress(OSError, ValueError, KeyError, TypeError):
        names = json.loads(marker.read_text())
        work = Path(names["work"])
        if _is_locked(work):
            return
        for source, target in _moves(names, work, folder):
            # An old piece that left already has the name of a new one that came.
            done = target.parent == work / "old" and os.path.lexists(target)
            if os.path.lexists(source) and not done:
                os.replace(source, target)
        shutil.rmtree(work, ignore_errors=True)
    marker.unlink(missing_ok=True)
    for place in (folder, folder.parent):
        _discard(_place(place, folder.name))


def _moves(names, work, folder):
    """Pairs of paths: first old pieces leave, indexes first; then new ones come, indexes last."""

    def is_index(name):
        return "index" in name

    for name in sorted(names["old"], key=is_index, reverse=True):
        yield folder / name, work / "old" / name
    for name in sorted(names["new"], key=is_index):
        yield work / "new" / name, folder / name


def _move_back(source, target):
    if not os.path.lexists(source) and os.path.lexists(target):
        os.replace(target, source)


def _exchange(a, b):
    """Exchange two folders in one step.

    Raises
    ------
    OSError
        If the system cannot do so.
    """
    sys.audit("simbg.exchange", str(a), str(b))
    mode = b.stat().st_mode
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    os.chmod(a, stat.S_IMODE(mode))
    if rename(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _is_mount(folder):
    """Whether a folder is a mount point; a folder of the same disk may be mounted, too."""
    if os.path.ismount(folder):
        return True
    with suppress(OSError):
        text = Path("/proc/self/mountinfo").read_text(errors="replace")
        return str(folder).replace(" ", "\\040") in {row.split()[4] for row in text.splitlines()}
    return False


@contextmanager
def _locked(
    folder: Path, name: str, make: Callable, clear: Callable, prefix: str = PREFIX
) -> Iterator[Path]:
    """A path that is locked by this process; by default a hidden one beside or in an output."""
    for number in range(PLACES):
        path = _place(folder, name, f"{prefix}{number}-" if number else prefix)
        with ExitStack() as stack:
            try:
                exists = not _made(make, path)
                handle = _lock(path)
            except BaseException:
                _discard(path)
                raise
            if handle is None or (exists and handle < 0):
                continue
            if handle >= 0:
                stack.callback(os.close, handle)
            if exists:
                clear(path)
            yield path
            return
    raise OSError(errno.EEXIST, f"{PLACES} other processes write to it")


def _place(folder, name, prefix=PREFIX):
    # The ending of the name stays the same, since it selects the format.
    return folder / f"{prefix}{os.fsdecode(os.fsencode(name)[-LONGEST:])}"


def _private(path):
    os.mkdir(path, 0o700)


def _made(make, path):
    try:
        make(path)
    except FileExistsError:
        return False
    return True


def _lock(path):
    """A file descriptor with a lock on a path; None if another process has it; -1 without locks."""
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except ImportError:
        return -1
    except OSError:
        return None
    with ExitStack() as stack:
        stack.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError:  # a file system without locks
            return -1
        # The process that had it before may have renamed or removed it.
        if not _is_ours(os.fstat(handle), path):
            return None
        stack.pop_all()
        return handle


def _is_ours(status, path):
    """Whether an open file or folder has this path, no other one, and the owner of this process."""
    with suppress(FileNotFoundError):
        one = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink < 2)
        return one and status.st_uid == os.geteuid() and status.st_ino == os.lstat(path).st_ino
    return False


def _is_locked(path):
    """Whether a process has the lock of a path, or may have it."""
    handle = _lock(path)
    if handle is None or handle < 0:
        return path.exists()
    os.close(handle)
    return False


def _discard(path):
    """Remove a path that this process may just have made, unless another process has its lock."""
    with suppress(OSError):
        if not _is_locked(path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _empty(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
