"""Download of a corpus from a local server that misbehaves, and its extraction."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ser_lightning.corpora.definition import Archive
from ser_lightning.corpora.definitions import DEFINITIONS
from ser_lightning.corpora.download import RETRIES, STAGING, fetch_archive
from ser_lightning.corpora.published import PublishedCorpus
from ser_lightning.errors import InputError


def make_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("folder/a.wav", hashlib.shake_256(b"a").digest(200_000))
        file.writestr("b.wav", b"more")
    return buffer.getvalue()


CONTENT = make_archive()
SIZE = len(CONTENT)


class Server(ThreadingHTTPServer):
    """Serve ``content``, taking the misbehavior of each request from ``script``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.script: list[str] = []
        self.ranges: list[str | None] = []  # the Range header of each request

    @property
    def archive(self) -> Archive:
        md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        return Archive(url=f"http://127.0.0.1:{self.server_port}/corpus.zip?download=1", size=SIZE, md5=md5)

    def handle_error(self, *_: object) -> None:
        """Ignore errors of connections that the tests break."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5

    def log_message(self, *_: object) -> None:
        """Do not log requests to the terminal."""

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        act = self.server.script.pop(0) if self.server.script else "serve"
        content = self.server.content
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and act != "no range" else 0
        if act.isdigit():
            self.send_error(int(act))
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: int(act.removeprefix("drop after "))] if act.startswith("drop after ") else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with Server() as running:
        # A short poll interval keeps the shutdown after each test fast.
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".fetch.lock")


def check(root: Path) -> None:
    assert names(root) == ["b.wav", "folder"]
    assert (root / "folder" / "a.wav").read_bytes() == hashlib.shake_256(b"a").digest(200_000)


def test_archive_is_downloaded_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        fetch_archive(server.archive, tmp_path / "new", title="RAVDESS")
        check(tmp_path / "new")
    assert server.ranges == [None]
    out, err = capsys.readouterr()
    assert out == ""
    assert "RAVDESS: downloading" in err


@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        (["drop after 70000"], [None, "bytes=65536-"]),
        (["drop after 70000", "drop after 70000"], [None, "bytes=65536-", "bytes=131072-"]),
        (["drop after 70000", "no range"], [None, "bytes=65536-"]),
        (["500", "503"], [None, None, None]),
        (["429"], [None, None]),
    ],
)
def test_download_recovers_and_resumes(server: Server, tmp_path: Path, script: list[str], ranges: list) -> None:
    server.script = script
    fetch_archive(server.archive, tmp_path, title="x")
    check(tmp_path)
    assert server.ranges == ranges


@pytest.mark.parametrize(("part", "ranges"), [(SIZE - 1000, [f"bytes={SIZE - 1000}-"]), (SIZE, [])])
def test_partial_file_of_a_killed_download_is_used(server: Server, tmp_path: Path, part: int, ranges: list) -> None:
    (tmp_path / "corpus.zip.part").write_bytes(CONTENT[:part])
    fetch_archive(server.archive, tmp_path, title="x")
    check(tmp_path)
    assert server.ranges == ranges


def test_archive_in_the_folder_is_verified_and_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.zip").write_bytes(CONTENT)
    fetch_archive(server.archive, tmp_path, title="x")
    check(tmp_path)
    assert server.ranges == []


@pytest.mark.parametrize(("act", "requests"), [("500", RETRIES + 1), ("404", 1), ("403", 1)])
def test_failed_download_names_the_address_and_the_remedy(
    server: Server, tmp_path: Path, act: str, requests: int
) -> None:
    server.script = [act] * 20
    with pytest.raises(InputError, match=rf"{act}.*run the command again to resume"):
        fetch_archive(server.archive, tmp_path, title="x")
    assert len(server.ranges) == requests
    assert names(tmp_path) == []


def test_wrong_content_is_not_unpacked(server: Server, tmp_path: Path) -> None:
    server.content = bytes(SIZE)
    with pytest.raises(InputError, match="corpus.zip"):
        fetch_archive(server.archive, tmp_path, title="x")
    assert names(tmp_path) == []


def test_login_page_does_not_replace_a_partial_file(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    server.script = ["no range"] * 20
    (tmp_path / "corpus.zip.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match=rf"offers 26 bytes, expected {SIZE}"):
        fetch_archive(server.archive, tmp_path, title="x")
    assert (tmp_path / "corpus.zip.part").read_bytes() == CONTENT[:1000]


def test_interrupted_extraction_is_completed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.zip").write_bytes(CONTENT)
    (tmp_path / "b.wav").write_bytes(b"more")
    (tmp_path / STAGING).mkdir()
    fetch_archive(server.archive, tmp_path, title="x")
    check(tmp_path)


def test_concurrent_fetches_download_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch_archive(server.archive, tmp_path, title="x"), range(4)))
    check(tmp_path)
    assert len(server.ranges) == 1


def test_unwritable_root_raises_input_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{tmp_path}/file: "):
        fetch_archive(server.archive, tmp_path / "file", title="x")


def corpus(name: str, root: Path | None, *, download: bool) -> PublishedCorpus:
    values = {"on_problem": "error", "follow_links": False, "downmix": "mean", "merge": None}
    return PublishedCorpus(name=name, root=root, download=download, **values)


def test_fetch_of_a_corpus(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = DEFINITIONS["ravdess"].archive
    assert (published.name, published.size) == ("Audio_Speech_Actors_01-24.zip", 208468073)
    monkeypatch.setitem(DEFINITIONS, "ravdess", replace(DEFINITIONS["ravdess"], archive=server.archive))
    corpus("ravdess", tmp_path, download=False).fetch()
    assert names(tmp_path) == []
    corpus("ravdess", tmp_path, download=True).fetch()
    check(tmp_path)
    with pytest.raises(InputError, match=r"corpus\.root=<folder> or set RAVDESS_ROOT"):
        corpus("ravdess", None, download=True).fetch()
    with pytest.raises(InputError, match=r"EMOVO has no free archive"):
        corpus("emovo", tmp_path, download=True).fetch()
