"""Stores and models behind a server: the same bytes as those of a folder."""

import functools
import http.server
import pickle
import sys
import threading
import time

import pytest
from support.stores import make_store

from simbg.io.files.remote import RemotePath
from simbg.models.pipeline import reconstruct_store
from simbg.models.runs import open_store
from simbg.models.selection import Selection

fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
pytest.importorskip("aiohttp", reason="needs the extra remote")

EVERYWHERE = Selection(exclude=("none",))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "store"
    make_store(folder, n_obs=2)
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; requests are noted and not printed."""

    seen: list = []  # noqa: RUF012

    def log_message(self, *args):
        self.seen.append((self.command, self.path))


@pytest.fixture
def server(folder):
    """The address of an HTTP server with the folder."""
    Handler.seen.clear()
    handler = functools.partial(Handler, directory=str(folder.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def models_of(store, outdir):
    reconstruct_store(store, outdir, method="histogram", selection=EVERYWHERE)
    return contents(outdir)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_http_gives_the_bytes_of_the_folder(folder, server, tmp_path):
    expected = models_of(folder, tmp_path / "a")
    assert models_of(f"{server}/store", tmp_path / "b") == expected
    loaded = [path for command, path in Handler.seen if command == "GET" and "/data/" in path]
    assert len(set(loaded)) == 2
    assert models_of(f"{server}/store/", tmp_path / "c") == expected
    again = [path for command, path in Handler.seen if command == "GET" and "/data/" in path]
    assert again == loaded  # they are in the cache


def test_what_is_not_there(folder, server):
    with pytest.raises(FileNotFoundError, match=f"{server}/none"):
        open_store(f"{server}/none")
    events = folder / "data" / "simbg_obs_000002.fits.gz"
    events.rename(events.with_name("away"))
    try:
        with pytest.raises(FileNotFoundError, match=f"{server}/store/data/{events.name}"):
            open_store(f"{server}/store")[1].events()
    finally:
        events.with_name("away").rename(events)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:9/store", OSError),
        ("nonsense://server/store", ValueError),
    ],
)
def test_no_server(url, error):
    start = time.monotonic()
    with pytest.raises(error, match=url) as caught:
        open_store(url)
    assert time.monotonic() - start < 10
    assert "\n" not in str(caught.value)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ValueError, match=r"\[remote\]"):
        open_store("https://server/store")


def test_no_output_to_http(folder, server):
    with pytest.raises(ValueError, match=f"{server}/out"):
        models_of(folder, f"{server}/out")


def test_paths():
    store = RemotePath("s3://bucket/a/store/")
    assert str(store / "../../../etc" / "x") == "s3://bucket/etc/x"
    assert str(store / "/etc/x") == "s3://bucket/etc/x"
    assert pickle.loads(pickle.dumps(store)) == store == RemotePath("s3://bucket/a//store")
    assert {store: 1}[store.parent / store.name] == 1


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """The address of a bucket of an S3 server."""
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("s3fs", reason="needs the extra remote")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    address, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("archive")
    yield "s3://archive"
    running.stop()


@pytest.mark.slow
def test_s3_gives_the_bytes_of_the_folder(folder, bucket, tmp_path, monkeypatch):
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.put(str(folder), "archive/store", recursive=True)
    expected = models_of(folder, tmp_path / "a")
    assert models_of(f"{bucket}/store", tmp_path / "b") == expected
    out, options = f"{bucket}/models", {"method": "histogram", "selection": EVERYWHERE}
    reconstruct_store(f"{bucket}/store", out, **options)
    system.invalidate_cache()
    found = {name.rpartition("/")[2]: system.cat_file(name) for name in system.find(out)}
    assert found == expected
    with pytest.raises(FileExistsError, match=out):
        reconstruct_store(folder, out, **options)
    reconstruct_store(folder, out, overwrite=True, **options)
    system.pipe_file("archive/models/notes.txt", b"mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        reconstruct_store(folder, out, overwrite=True, **options)
    with pytest.raises(FileNotFoundError, match=f"{bucket}/none"):
        open_store(f"{bucket}/none")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    type(system).clear_instance_cache()
    start = time.monotonic()
    with pytest.raises(OSError, match=rf"{bucket}/other.*[Cc]redentials") as caught:
        open_store(f"{bucket}/other")
    assert time.monotonic() - start < 10
    assert "\n" not in str(caught.value)
