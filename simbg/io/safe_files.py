"""Opening and writing files so that nothing is lost, half-written, or different the next time."""

import gzip
import io
import math
import os
import re
import secrets
import shutil
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from simbg.parallel import heed_interrupts

__all__ = ["finite_or_none", "new_directory", "new_file", "open_fits", "write_fits"]

GZIP = b"\x1f\x8b"
# What astropy only warns of, and what means that a part of the file is not there.
DAMAGE = (
    "File may have been truncated",
    "Error validating header",
    "There may be extra bytes",
    "Unexpected extra padding",
)


@contextmanager
def new_file(path, overwrite=False):
    """A temporary path that becomes ``path`` if all goes well, and vanishes if not.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    OSError
        If ``path`` is there and may not be replaced, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        # Nor a device: to replace one, as root, would take it from the whole machine.
        raise FileExistsError(f"{path} is no regular file, expected the name of a file to write")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory to write {path.name} to")
    # One part of the name stays: its ending says what format to write. It is known before there is
    # anything of that name: an interrupt may come at any moment.
    temporary = path.parent / f".{secrets.token_hex(8)}-{path.name}"
    try:
        with _named(path):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        heed_interrupts()
        with _named(path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path, overwrite=False, ours=()):
    """A temporary directory whose content becomes that of ``path`` if all goes well.

    If not, it vanishes, and what was there stays as it was.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Replace what is there, if nothing but our own files is.
    ours : sequence of str
        Regular expressions that match the relative paths of the files we write.

    Raises
    ------
    OSError
        If ``path`` is there and may not be replaced, or cannot be written.
    """
    path = Path(path).resolve()
    there = path if path.exists() else next(p for p in path.parents if p.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{path}: {there} is a file, expected a directory or nothing")
    if there == path and any(path.iterdir()):
        _check_replaceable(path, overwrite, ours)
    # Inside of a directory that is there: its parent need not be ours, nor the same disk.
    temporary = there / f".simbg-{secrets.token_hex(8)}"
    try:
        with _named(path):
            os.mkdir(temporary, 0o700)
        new = temporary / "new"
        new.mkdir()
        yield new
        heed_interrupts()
        with _named(path):
            _replace_content(path, temporary) if there == path else _move(new, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def finite_or_none(value):
    """A value for JSON, which has no NaN and no infinity: None in their place.

    Parameters
    ----------
    value : object
        Any that `json.dumps` takes; lists and dictionaries are searched.

    Examples
    --------
    >>> finite_or_none({"bias": 0.1, "errors": [float("nan"), 2]})
    {'bias': 0.1, 'errors': [None, 2]}
    """
    if isinstance(value, dict):
        return {key: finite_or_none(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_fits(path, hdus, overwrite=False):
    """Write HDUs, after an empty primary one if the first is a table.

    With a name in .gz they are compressed, and the bytes are the same every time.
    """
    if not isinstance(hdus[0], fits.PrimaryHDU):
        hdus = [fits.PrimaryHDU(), *hdus]
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    content = buffer.getvalue()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=4, mtime=0)
    with new_file(path, overwrite) as temporary:
        temporary.write_bytes(content)


@contextmanager
def open_fits(path):
    """An open HDU list; whatever is wrong with the file is one ValueError that names it.

    That holds for what is done with the file while it is open, too: a header or a
    table that is damaged shows only when it is used.
    """
    if not Path(path).is_file():
        found = "got a folder, expected a file" if Path(path).is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {found}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            for message in DAMAGE:
                warnings.filterwarnings("error", message, AstropyWarning)
            # All of it, at once: a checksum is at the end, and so is what a cut takes away.
            content = Path(path).read_bytes()
            if content.startswith(GZIP):
                content = gzip.decompress(content)
            with fits.open(io.BytesIO(content), lazy_load_hdus=False) as hdus:
                yield hdus
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        if isinstance(error, ValueError):
            raise ValueError(f"{path}: {error}") from error
        reason = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{path}: not a readable FITS file of its kind ({reason})") from error


def _check_replaceable(path, overwrite, ours):
    if not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    for file in sorted(p for p in path.rglob("*") if p.is_symlink() or not p.is_dir()):
        name = file.relative_to(path).as_posix()
        if not any(re.fullmatch(pattern, name) for pattern in ours):
            raise FileExistsError(f"{path} holds {name}, which is none of ours: not replaced")


def _move(new, path):
    """Move a directory to a path; of parents that it makes none stay if it fails."""
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, path)
    except BaseException:
        for parent in made:
            if parent.is_dir():
                parent.rmdir()
        raise


def _replace_content(path, temporary):
    """Put what is in ``temporary/new`` in the place of all else in ``path``."""
    new, old = temporary / "new", temporary / "old"
    old.mkdir()
    moves = [(p, old / p.name) for p in path.iterdir() if p != temporary]
    moves += [(p, path / p.name) for p in new.iterdir()]
    with ExitStack() as undo:
        for source, target in moves:
            os.replace(source, target)
            undo.callback(os.replace, target, source)
        undo.pop_all()


@contextmanager
def _named(path):
    """Errors of the system name the path that the user gave, not a temporary one."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"{path}: cannot be written ({error.strerror or error})") from error
