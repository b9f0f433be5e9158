"""Output of the suite's commands: printed lines, and report folders."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import click

from simbg.cli.console import echo
from simbg.io.files.work_places import complete
from simbg.io.safe_files import check_directory, is_ours, new_content

__all__ = []

# Files in a folder of pictures.
PICTURES = (r"[^/]+\.(png|pdf)",)


def say(line: str, styled: bool = False) -> None:
    """Print a line, unless the user chose --json or --quiet.

    Parameters
    ----------
    line : str
        The line.
    styled : bool
        Whether it has colours of `click.style`, and no control characters else.
    """
    params = click.get_current_context().params
    if not (params["quiet"] or params.get("json_")):
        echo(line, styled=styled)


def check_report(out: str, names: Sequence[str], overwrite: bool) -> None:
    """Refuse a report folder that holds files that simbg did not write.

    Parameters
    ----------
    out : path-like
        The folder; it is made if it does not exist.
    names : sequence of str
        Files of the report. The first one tells whether they are of an earlier report, which is
        replaced. A name without a dot is a folder of pictures.
    overwrite : bool
        Write the report in any case, except for a folder of pictures that holds other files.

    Raises
    ------
    OSError
        If simbg did not write the existing files, or the folder cannot be made.
    """
    if Path(out).is_dir():
        complete(Path(out))
    for name in (name for name in names if "." not in name):
        check_directory(Path(out, name), True, PICTURES)
    there = [path for name in names if (path := Path(out, name)).exists()]
    # reports/example.png is in the repository.
    files = [p for p in Path(out).glob("*") if p.is_file() and p.name != "example.png"]
    if not any(map(is_ours, files)):
        there += files
    if there and not overwrite and not (there[0].name == names[0] and is_ours(there[0])):
        raise FileExistsError(
            f"{there[0]} was not written by simbg; use --overwrite to write the report all the "
            "same, or --out for another folder"
        )
    Path(out).mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out}: cannot be written, expected another folder with --out")


@contextmanager
def new_report(out: str, names: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary folder, whose content replaces that of an earlier report, all at once.

    Parameters
    ----------
    out : path-like
        The folder of the report.
    names : sequence of str
        Files and folders of a report. Those that the new one does not have are removed.
    """
    with new_content(Path(out), names) as folder:
        yield folder


def names_files_kept(command: Callable[..., int]) -> Callable[..., int]:
    """Decorate a command: an interrupt names the files that it wrote to its folder ``out``."""

    @wraps(command)
    def wrapped(**options):
        out = Path(options["out"])
        was_there, before = out.is_dir(), _files(out)
        try:
            return command(**options)
        except KeyboardInterrupt:
            new = sorted(name for name, *_ in _files(out) - before)
            if not new and not was_there and out.is_dir():
                out.rmdir()
            said = f"kept {', '.join(new)} in {out}" if new else f"{out} is as it was"
            raise KeyboardInterrupt(said) from None

    return wrapped


def _files(folder):
    """The files in a folder: relative name → inode and time of the last change."""
    found = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    return {(path.relative_to(folder).as_posix(), s.st_mtime_ns, s.st_ino) for path, s in found}
