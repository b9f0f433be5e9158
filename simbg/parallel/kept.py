"""Results of pieces that are kept in a folder, so that an interrupted job can continue.

A result belongs to a digest of the versions, the options and the runs of its piece, and of the
names, sizes and times of the files that they read. A piece with another digest is done again.
"""

import io
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from typing import Any

from simbg.parallel.clusters import versions

__all__ = ["digest_of", "keeping"]

KEPT: ContextVar["Kept | None"] = ContextVar("KEPT", default=None)
DIGEST = 32  # bytes


@contextmanager
def keeping(folder: Path | None) -> Iterator[None]:
    """Keep the results of all pieces of runs in a folder, and use those that are in it.

    Parameters
    ----------
    folder : Path or None
        A folder of this user alone, since its files are pickled; None: keep nothing.
    """
    token = KEPT.set(None if folder is None else Kept(folder))
    try:
        yield
    finally:
        KEPT.reset(token)


class Kept:
    """Results in a folder, one file each.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def results(
        self, job: Callable, pieces: Sequence[list], work: Callable[[Sequence[list]], Iterator]
    ) -> Iterator:
        """Results of pieces in order; those that are not in the folder are computed and kept.

        Parameters
        ----------
        job : callable
            The function of a piece.
        pieces : sequence of list
            Its arguments.
        work : callable
            Returns the results of some pieces.
        """
        # All before the first piece is done, which may change what is pickled.
        paths = [self.folder / digest_of(job, list(piece)) for piece in pieces]
        found = [self._is_whole(path) for path in paths]
        there = zip(pieces, found, strict=True)
        fresh = work([piece for piece, is_found in there if not is_found])
        for path, is_found in zip(paths, found, strict=True):
            if is_found:
                yield pickle.loads(path.read_bytes()[DIGEST:])
            else:
                yield self._keep(path, next(fresh))

    def _is_whole(self, path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        return _checksum(content[DIGEST:]) == content[:DIGEST]

    def _keep(self, path, result):
        content = pickle.dumps(result)
        temporary = path.with_name(f"{path.name}.part")
        try:
            temporary.write_bytes(_checksum(content) + content)
        except OSError as error:  # on a full disk it has no name
            temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.folder)) from error
        os.replace(temporary, path)
        return result


def _checksum(content):
    return blake2b(content, digest_size=DIGEST).digest()


class Pickler(pickle.Pickler):
    """A pickle in which each file has its size and the time of its last change."""

    def persistent_id(self, obj: Any) -> Any:
        """Path, size and time of a file; None for other objects, which are pickled as they are."""
        if not isinstance(obj, Path):
            return None
        if not obj.is_file():
            return str(obj)
        status = obj.stat()
        return str(obj.absolute()), status.st_size, status.st_mtime_ns


def digest_of(*what: Any) -> str:
    """Digest of the versions and of some objects that can be pickled.

    Parameters
    ----------
    *what : object
        The objects. Of a file that a path names, size and time count, too.
    """
    buffer = io.BytesIO()
    Pickler(buffer, protocol=5).dump((versions(), what))
    return _checksum(buffer.getvalue()).hex()
