"""Reading and writing files: complete files only, and the same bytes each time."""

import io
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbg.io.files.contents import check_fits_sizes, fits_parts, packed, read_bytes
from simbg.io.files.remote import is_remote, remote_directory
from simbg.io.files.work_places import (
    check_finished,
    complete,
    content_of,
    exchangeable,
    kept_folder,
    put_in_place,
    work_file,
    work_folder,
)
from simbg.parallel.interrupts import end_interrupted_workers, heed_interrupts

if TYPE_CHECKING:
    from astropy.io import fits

    from simbg.io.files.plain_tables import Table

__all__ = [
    "check_apart",
    "check_directory",
    "expanded",
    "finite_or_none",
    "is_ours",
    "kept_parts",
    "names_beside",
    "new_content",
    "new_directory",
    "new_file",
    "open_fits",
    "open_tables",
    "write_fits",
]

# A page or a JSON file of simbg has one of these among its first bytes.
MARKS, HEAD = (b"<title>simbg ", b'"simbg":'), 2000
# Warnings of astropy that mean that a part of the file is missing.
DAMAGE = (
    "File may have been truncated",
    "Error validating header",
    "There may be extra bytes",
    "Unexpected extra padding",
)


def expanded(path: Path | str) -> Path:
    """A path with ``~`` and ``$NAME`` replaced, as a shell does."""
    return Path(os.path.expandvars(os.path.expanduser(path)))


@contextmanager
def new_file(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path that is renamed to ``path`` at the end, or removed if there is an error.

    Parameters
    ----------
    path : path-like
        The file to write.
    overwrite : bool
        Whether to replace an existing file.

    Yields
    ------
    Path
        The temporary path, with the same ending.

    Raises
    ------
    OSError
        If ``path`` exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    exists = os.path.lexists(path)  # also a link to nothing
    if exists and not path.is_file():
        # A device must not be replaced either: root would remove it from the system.
        raise FileExistsError(
            f"{path}: got a path that is not a regular file, expected a file name"
        )
    if exists and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite (overwrite=True) to replace it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory, expected one for {path.name}")
    with _work(path, work_file, path.parent, path.name) as temporary:
        try:
            yield temporary
        except OSError as error:
            # On a full disk, writing fails without the name of the file.
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        heed_interrupts()
        with _named(path):
            os.replace(temporary, path)


@contextmanager
def new_directory(
    path: Path | str, overwrite: bool = False, patterns: Sequence[str] = ()
) -> Iterator[Path]:
    """A temporary directory whose content replaces that of ``path`` at the end.

    If there is an error, it is removed, and ``path`` is unchanged.

    Parameters
    ----------
    path : path-like
        The directory to write, or its address, such as ``s3://bucket/models``.
    overwrite : bool
        Whether to replace the content of ``path``, if all its files match ``patterns``.
    patterns : sequence of str
        Regular expressions that match the relative paths of the files of simbg.

    Yields
    ------
    Path
        The temporary directory.

    Raises
    ------
    OSError
        If ``path`` exists and may not be replaced, or cannot be written.
    """
    if is_remote(path):
        with remote_directory(str(path), overwrite, patterns) as new:
            yield new
            heed_interrupts()
        return
    existing = check_directory(path, overwrite, patterns)
    path = _real(path)
    if existing != path:
        with _work(path, work_folder, existing, path.name) as work:
            yield (new := _new(work))
            heed_interrupts()
            with _named(path):
                _move(new, path)
        return
    # An empty folder stays the same one.
    with new_content(path, [old.name for old in content_of(path)]) as new:
        yield new


@contextmanager
def new_content(path: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary directory whose content is put into a directory at the end, all at once.

    If there is an error, it is removed, and ``path`` is unchanged. See
    `simbg.io.files.work_places.put_in_place`.

    Parameters
    ----------
    path : Path
        A directory that exists.
    names : sequence of str
        Files and folders in ``path`` that are removed, besides those with the same names.

    Yields
    ------
    Path
        The temporary directory.
    """
    path = _real(path)
    complete(path)
    # Its parent may be read-only, or on another disk.
    beside = bool(content_of(path)) and exchangeable(path)
    with _work(path, work_folder, path.parent if beside else path, path.name) as work:
        yield (new := _new(work))
        heed_interrupts()
        gone = sorted({*os.listdir(new), *names})
        old = [there for name in gone if os.path.lexists(there := path / name)]
        with _named(path):
            put_in_place(new, path, old)


@contextmanager
def kept_parts(path: Path | str, resume: bool) -> Iterator[Path | None]:
    """A hidden folder beside an output for its finished parts, which stays after an interrupt.

    Parameters
    ----------
    path : path-like
        The output. Folders in which it lies are made.
    resume : bool
        Whether finished parts are kept. If not, what an interrupted job has kept is removed.

    Yields
    ------
    Path or None
        The folder; None if nothing is kept.

    Raises
    ------
    ValueError
        If parts of an output on a server are to be kept.
    """
    if is_remote(path):
        if resume:
            raise ValueError(f"{path}: got an address, expected a folder for --resume")
        yield None
        return
    path = _real(path)
    with ExitStack() as stack:
        with _named(path):
            if resume:
                path.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(kept_folder(path.parent, path.name, resume))
        yield folder


@contextmanager
def _work(path, kind, folder, name):
    """A work place for a path, which is removed after the workers that write to it have ended."""
    with ExitStack() as stack:
        with _named(path):
            work = stack.enter_context(kind(folder, name))
        stack.callback(end_interrupted_workers)
        yield work


def _new(work):
    (new := work / "new").mkdir()
    return new


def check_directory(
    path: Path | str, overwrite: bool = False, patterns: Sequence[str] = ()
) -> Path:
    """Refuse a directory that `new_directory` would refuse.

    Parameters
    ----------
    path : path-like
        The directory to write.
    overwrite : bool
        Whether to replace the content of ``path``, if all its files match ``patterns``.
    patterns : sequence of str
        Regular expressions that match the relative paths of the files of simbg.

    Returns
    -------
    Path
        The directory, or the first of its parents that exists.

    Raises
    ------
    OSError
        If ``path`` exists and may not be replaced, or cannot be written.
    """
    path = _real(path)
    existing = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{path}: got the file {existing}, expected a directory or nothing"
        )
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{path}: cannot be written ({existing} is read-only)")
    if existing == path:
        complete(path)
        if content := content_of(path):
            _check_replaceable(path, content, overwrite, patterns)
    return existing


def check_apart(output: Path | str | None, *inputs: Path | str | None, around: bool = True) -> None:
    """Refuse an output that is an input, lies in one, or contains one. Links are followed.

    Parameters
    ----------
    output : path-like or None
        Path to write; None is accepted.
    *inputs : path-like or None
        Paths to read; None is ignored.
    around : bool
        Whether to refuse an output that contains an input, too.

    Raises
    ------
    ValueError
        With both paths.
    """
    for path in inputs:
        if output is None or path is None:
            continue
        if is_remote(output) or is_remote(path):
            if str(output).rstrip("/") == str(path).rstrip("/"):
                raise ValueError(f"{output} is {path}, expected another address")
            continue
        out, given = _real(expanded(output)), _real(expanded(path))
        relation = "is" if out == given else "lies in" if given in out.parents else ""
        if not relation and around and out in given.parents:
            relation = "contains"
        if relation:
            raise ValueError(f"{output} {relation} {path}, expected a path outside of it")


def is_ours(path: Path | str) -> bool:
    """Whether simbg wrote a page or a JSON file.

    Parameters
    ----------
    path : path-like
        The file; one that cannot be read is not of simbg.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return any(mark in head for mark in MARKS)


def finite_or_none(value: Any) -> Any:
    """A value for JSON, in which NaN and infinity are replaced by None.

    Parameters
    ----------
    value : object
        Any value that `json.dumps` accepts; lists and dictionaries are searched.

    Returns
    -------
    object
        The same value without NaN and infinity; tuples become lists.

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


def write_fits(path: Path | str, hdus: Sequence[Any], overwrite: bool = False) -> None:
    """Write HDUs to a file, after an empty primary HDU if the first one is a table.

    They are all `simbg.io.files.plain_output.NewHdu`, or all of astropy.

    A file with a name in .gz is compressed; its bytes are the same each time.
    """
    from simbg.io.files.plain_output import NewHdu, to_bytes

    ours = all(isinstance(hdu, NewHdu) for hdu in hdus)
    content = to_bytes(hdus) if ours else _bytes_of_astropy(hdus)
    if str(path).endswith(".gz"):
        content = packed(content)
    with new_file(path, overwrite) as temporary:
        temporary.write_bytes(content)


def _bytes_of_astropy(hdus):
    from astropy.io import fits

    if not isinstance(hdus[0], fits.PrimaryHDU):
        hdus = [fits.PrimaryHDU(), *hdus]
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


@contextmanager
def open_fits(path: Path | str) -> "Iterator[fits.HDUList]":
    """Open an HDU list; any error of the file becomes one ValueError with its name.

    This includes errors while the file is used, because some damaged headers and tables raise
    errors only then.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or its content is not as expected.
    """
    with _readable(path) as content, _opened(content) as hdus:
        yield hdus


@contextmanager
def open_tables(path: Path | str) -> "Iterator[list[Table]]":
    """Open the tables of a file as `open_fits` does, in a tenth of the time if they are plain.

    Yields
    ------
    list of Table
        All HDUs, in order; see `simbg.io.files.plain_tables`.
    """
    from simbg.io.files.plain_tables import tables_of

    with _readable(path) as content:
        yield tables_of(content, fits_parts(content), partial(_opened, content))


@contextmanager
def _readable(path):
    """The content of a file; errors while it is used name the file."""
    if not Path(path).is_file():
        got = "got a folder, expected a file" if Path(path).is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {got}")
    check_finished(Path(path).parent)
    try:
        with warnings.catch_warnings():
            # Read the whole file now: checksums are at the end, and truncation removes the end.
            yield read_bytes(path)
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        if isinstance(error, ValueError):
            raise ValueError(f"{path}: {error}") from error
        reason = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        reason = reason.partition(". If this ")[0]  # astropy continues with advice
        raise ValueError(f"{path}: got {reason}, expected a readable FITS file") from error


def _opened(content):
    """The HDU list of astropy; the caller restores the filters of warnings."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    warnings.simplefilter("ignore", AstropyWarning)
    for message in DAMAGE:
        warnings.filterwarnings("error", message, AstropyWarning)
    check_fits_sizes(content)
    return fits.open(io.BytesIO(content), lazy_load_hdus=False)


def names_beside(path: Path) -> list[str]:
    """Names in the folder of a path, for suggestions; none if there is no such folder."""
    return sorted(os.listdir(path.parent)) if path.parent.is_dir() else []


def _real(path: Path | str) -> Path:
    """The path without links; a link to itself remains, for which `Path.resolve` may raise."""
    return Path(os.path.realpath(path))


def _check_replaceable(path, content, overwrite, patterns):
    if not overwrite:
        raise FileExistsError(
            f"{path} exists; use --overwrite (overwrite=True) to replace its content"
        )
    files = (file for one in content for file in (one, *one.rglob("*")))
    for file in sorted(p for p in files if p.is_symlink() or not p.is_dir()):
        name = file.relative_to(path).as_posix()
        if not any(re.fullmatch(pattern, name) for pattern in patterns):
            raise FileExistsError(
                f"{path}: got {name}, which was not written by this command, expected only files "
                "that it replaces; use another folder"
            )


def _move(new, path):
    """Move a directory to a path; parent directories that it creates are removed on failure."""
    created = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, path)
    except BaseException:
        for parent in created:
            if parent.is_dir():
                parent.rmdir()
        raise


@contextmanager
def _named(path):
    """Replace the temporary path in the message of an OSError by the path that the user gave."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"{path}: cannot be written ({error.strerror or error})") from error
