"""Files elsewhere: ``https://``, ``s3://`` and other addresses that fsspec knows, kept in a cache.

The options of a server, such as its address or anonymous access, are those of the configuration of
fsspec (``FSSPEC_S3_ANON=true``, ``~/.config/fsspec``) and of the server's own tools
(``AWS_ENDPOINT_URL``, ``~/.aws``).
"""

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from simbg.errors import in_one_line
from simbg.io.files.contents import LARGEST
from simbg.io.files.work_places import scratch_folder

__all__ = ["RemotePath", "as_path", "is_remote", "remote_directory"]

ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://[^/]*")
# s, to reach a server, and to wait for the next part of a file.
CONNECT, READ = 4, 60
# Of a request that failed; the libraries wait between them.
TRIES = 2
READ_ONLY = ("http", "https")


def is_remote(path: Any) -> bool:
    """Whether a path is the address of a server."""
    return isinstance(path, RemotePath) or (isinstance(path, str) and bool(ADDRESS.match(path)))


def as_path(path: Any) -> "Path | RemotePath":
    """A path, or an address, as an object with the same operators."""
    if isinstance(path, RemotePath):
        return path
    return RemotePath(path) if is_remote(path) else Path(path)


class RemotePath(os.PathLike):
    """An address of a file or folder, with those methods of `pathlib.Path` that stores use.

    As a path of this machine (`os.fspath`) it is that of a copy in the cache, which is downloaded
    if there is none or if it is not the newest.

    Parameters
    ----------
    url : str
        The address.

    Examples
    --------
    >>> store = RemotePath("s3://archive/stores/1")
    >>> store / "data/run.fits", (store / ".." / "2").name, store.parent
    (s3://archive/stores/1/data/run.fits, '2', s3://archive/stores)
    """

    def __init__(self, url: str) -> None:
        found = ADDRESS.match(url)
        if not found:
            raise ValueError(f"{url}: expected an address such as https://server/store")
        self.server, self.protocol = found[0], found[1].lower()
        path = posixpath.normpath("/" + url[found.end() :].lstrip("/"))
        self.path = "" if path == "/" else path

    def __str__(self) -> str:
        return self.server + self.path

    __repr__ = __str__

    def __truediv__(self, name: Any) -> "RemotePath":
        # The path of a file of the store stays on its server, whatever the index says.
        text = str(name)
        return RemotePath(self.server + (text if text.startswith("/") else f"{self.path}/{text}"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple:
        return RemotePath, (str(self),)

    def __fspath__(self) -> str:
        return _copy(str(self))

    @property
    def name(self) -> str:
        """The last part of the path.

        Examples
        --------
        >>> RemotePath("https://server/store").name
        'store'
        """
        return posixpath.basename(self.path)

    @property
    def parent(self) -> "RemotePath":
        """The folder.

        Examples
        --------
        >>> RemotePath("https://server/store/data").parent
        https://server/store
        """
        return RemotePath(self.server + posixpath.dirname(self.path))

    def with_name(self, name: str) -> "RemotePath":
        """The same folder with another name.

        Examples
        --------
        >>> RemotePath("https://server/store/a").with_name("b")
        https://server/store/b
        """
        return self.parent / name

    def is_file(self) -> bool:
        """Whether there is such a file; it is copied into the cache."""
        try:
            return os.path.isfile(os.fspath(self))
        except FileNotFoundError:
            return False


@cache  # during a command a file stays as it is
def _copy(url):
    """Path of the copy of a file in the cache of fsspec."""
    with _one_line(url):
        target = _file_system(RemotePath(url))
        size = target.info(url).get("size")
        if size is not None and size > LARGEST:
            raise ValueError(f"got a file of {size} bytes, expected {LARGEST} or less")
        import fsspec

        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = os.path.join(home, "simbg", "remote")
        options = {"cache_storage": folder, "check_files": True}
        cached = fsspec.filesystem("filecache", fs=target, **options)
        with cached.open(url, "rb") as file:
            return file.name


def _file_system(address):
    """The file system of an address, in this process; it fails soon without a server."""
    import fsspec

    options: dict[str, Any] = {}
    if address.protocol in READ_ONLY:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
        options["client_kwargs"] = {"timeout": timeout}
    elif address.protocol in ("s3", "s3a"):
        config = {"connect_timeout": CONNECT, "read_timeout": READ, "retries": {"max_attempts": 1}}
        options["config_kwargs"] = config
    system = fsspec.filesystem(address.protocol, **options)
    if hasattr(system, "retries"):
        system.retries = TRIES
    return system


@contextmanager
def _one_line(url):
    """Errors of servers and libraries in one line, with the address."""
    try:
        yield
    except FileNotFoundError as error:
        # fsspec reports any failure of an HTTP server so.
        cause = error.__cause__
        if cause is None or getattr(cause, "status", None) == 404:
            raise FileNotFoundError(f"{url}: no such file") from None
        raise OSError(f"{url}: cannot be used ({in_one_line(cause)})") from error
    except ImportError as error:
        raise ValueError(
            f"{url}: got {in_one_line(error)}, expected a library for this kind of address; "
            "use `pip install '.[remote]'` in a clone of simbg"
        ) from error
    except ValueError as error:
        raise ValueError(f"{url}: {in_one_line(error).removeprefix('ValueError: ')}") from error
    except Exception as error:  # each server and library has its own
        raise OSError(f"{url}: cannot be used ({in_one_line(error)})") from error


@contextmanager
def remote_directory(url: str, overwrite: bool, patterns: Sequence[str]) -> Iterator[Path]:
    """A temporary directory whose files are put to an address at the end.

    They are put one after the other; if one cannot be put, those before it are removed.

    Parameters
    ----------
    url : str
        The address of a folder.
    overwrite : bool
        Whether to replace what is there, if all its files match ``patterns``.
    patterns : sequence of str
        Regular expressions that match the relative paths of the files of simbg.

    Yields
    ------
    Path
        The temporary directory.

    Raises
    ------
    FileExistsError
        If there are files that may not be replaced.
    OSError
        If the server cannot be used.
    """
    address = RemotePath(url)
    if address.protocol in READ_ONLY:
        raise ValueError(
            f"{url}: got an address that cannot be written, expected a folder or s3://"
        )
    with _one_line(url):
        from fsspec.core import url_to_fs

        system = _file_system(address)
        root = url_to_fs(str(address))[1].rstrip("/")
        old = [name.removeprefix(root + "/") for name in system.find(root)]
    if old and not overwrite:
        raise FileExistsError(f"{url} exists; use --overwrite (overwrite=True) to replace it")
    if foreign := [n for n in old if not any(re.fullmatch(p, n) for p in patterns)]:
        raise FileExistsError(
            f"{url}: got {foreign[0]}, which was not written by this command, expected only files "
            "that it replaces; use another folder"
        )
    with scratch_folder() as folder:
        yield folder
        with _one_line(url):
            _put(system, folder, root, old)


def _put(system, folder, root, old):
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    done = list[str]()
    try:
        for name in names:
            system.put_file(str(folder / name), f"{root}/{name}")
            done.append(name)
    except BaseException:
        for name in set(done) - set(old):
            system.rm_file(f"{root}/{name}")
        raise
    for name in set(old) - set(names):
        system.rm_file(f"{root}/{name}")
