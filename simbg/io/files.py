"""Writing files so that nothing is lost, half-written, or different the next time."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tempfile
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["new_directory", "new_file", "open_fits", "write_fits"]


@contextmanager
def new_file(path, overwrite=False):
    """A temporary path that becomes ``path`` if all goes well, and vanishes if not.

    Raises
    ------
    FileExistsError
        If ``path`` is there and ``overwrite`` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory to write {path.name} to")
    # One part of the name stays: its ending says what format to write.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix="-" + path.name)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def new_directory(path, overwrite=False, ours=()):
    """A temporary directory that becomes ``path`` if all goes well, and vanishes if not.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Replace what is there, if nothing but our own files is.
    ours : sequence of str
        Regular expressions that match the relative paths of the files we write.

    Raises
    ------
    FileExistsError
        If ``path`` is there and may not be replaced.
    """
    path = Path(os.path.abspath(path))
    exists = path.exists()
    if exists and not (path.is_dir() and not any(path.iterdir())):
        _check_replaceable(path, overwrite, ours)
    parent = next(p for p in path.parents if p.is_dir())
    made = [p for p in path.parents if not p.exists()]
    temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{path.name}-"))
    try:
        os.chmod(temporary, 0o777 & ~_umask())
        yield temporary
        path.parent.mkdir(parents=True, exist_ok=True)
        if exists:
            old = Path(tempfile.mkdtemp(dir=parent, prefix=f".{path.name}-old-"))
            os.replace(path, old / "was")
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_fits(path, hdus, overwrite=False):
    """Write an HDU list; with a name in .gz, compressed, and the same bytes every time."""
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    content = buffer.getvalue()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=4, mtime=0)
    with new_file(path, overwrite) as temporary:
        temporary.write_bytes(content)


@contextmanager
def open_fits(path):
    """An open HDU list; whatever is wrong with the file is one ValueError that names it."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            # A file that ends early is only warned of; what follows would be noise.
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            with fits.open(path, memmap=False) as hdus:
                yield hdus
    except (OSError, EOFError, zlib.error, AstropyUserWarning, fits.VerifyError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: not a readable FITS file ({reason[0]})") from error


def _check_replaceable(path, overwrite, ours):
    if not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    if not path.is_dir():
        raise FileExistsError(f"{path} is a file; expected a directory or nothing")
    for file in sorted(p for p in path.rglob("*") if not p.is_dir()):
        name = file.relative_to(path).as_posix()
        if not any(re.fullmatch(pattern, name) for pattern in ours):
            raise FileExistsError(f"{path} holds {name}, which is none of ours: not replaced")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
