"""What commands of the suite print, and what an interrupt says of the files they write."""

from functools import wraps
from pathlib import Path

import click

__all__ = []


def say(line):
    """Print a line, unless standard output is for JSON or for nothing."""
    params = click.get_current_context().params
    if not (params["quiet"] or params["json_"]):
        click.echo(line)


def names_files_kept(command):
    """For a command that writes files into its folder ``out``: an interrupt says which it wrote."""

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
    """The files in a folder: relative name, and when and as what each was written."""
    found = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    return {(path.relative_to(folder).as_posix(), s.st_mtime_ns, s.st_ino) for path, s in found}
