"""Workplace: the folder in which a method reconstructs a copy of one store."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

__all__ = []

LAST_BYTES = 10_000  # of the standard error, which are searched for its last line


@dataclass(frozen=True)
class Workplace:
    """A working folder with a copy of a store.

    Parameters
    ----------
    folder, original : Path
        The working folder, and the store that is copied.
    """

    folder: Path
    original: Path

    def prepare(self) -> None:
        """Make the folder, the copy of the store, and a folder for temporary files."""
        self.temporary.mkdir(parents=True)
        shutil.copytree(self.original, self.store)

    @property
    def store(self) -> Path:
        """The copy of the store."""
        return self.folder / "store"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""
        return self.folder / "tmp"

    @property
    def stderr(self) -> Path:
        """The file with the standard error."""
        return self.folder / "stderr"

    @property
    def change(self) -> str:
        """The first file that differs between the store and its copy; empty if none does."""
        if not self.store.is_dir():
            return "the store was removed"
        # Sizes first: a method can replace a file by an endless one.
        for look in (size, checksum):
            changed = contents(self.original, look) ^ contents(self.store, look)
            if changed:
                return min(name for name, _ in changed)
        return ""

    def remove_store(self) -> None:
        """Remove the copy of the store; files of a method may be protected from removal."""
        shutil.rmtree(self.store, ignore_errors=True)

    @property
    def last_words(self) -> str:
        """The last line of the standard error, with a colon before it."""
        return last_line(self.stderr)


def last_line(path: Path) -> str:
    """The last line of a file, with a colon before it; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(-min(LAST_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            text = file.read().decode(errors="replace")
    except OSError:
        return ""  # removed by the method
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def contents(folder: Path, look: Callable[[Path], int]) -> set[tuple[str, int | None]]:
    """Name and a number of each file in a folder; None for links, pipes and folders."""
    return {
        (
            str(path.relative_to(folder)),
            look(path) if path.is_file() and not path.is_symlink() else None,
        )
        for path in folder.rglob("*")
    }


def size(path: Path) -> int:
    """Size of a file, bytes."""
    return path.stat().st_size


def checksum(path: Path) -> int:
    """Checksum of a file."""
    return crc32(path.read_bytes())
