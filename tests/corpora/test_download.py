import hashlib
import io
import socket
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_lightning.corpora.download import download, extract, progress_bar, staging
from ser_lightning.corpora.ravdess import ARCHIVE, Ravdess
from ser_lightning.errors import InputError

CONTENT = bytes(range(256)) * 800  # three chunks and a remainder
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SIZE = len(CONTENT)


class Server(ThreadingHTTPServer):
    """Serve ``content``, taking the misbehavior of each request from ``script``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.script: list[str] = []
        self.ranges: list[str | None] = []  # the Range header of each request
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/corpus.zip"

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
        elif act == "hang":
            self.server.released.wait(5)
        elif act == "slam":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif act.startswith("go to "):
            self.send_response(302)
            self.send_header("Location", act.removeprefix("go to "))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif start >= len(content):
            self.send_error(416)
        else:
            self.send_response(206 if start else 200)
            if start:
                first = start + 1 if act == "wrong range" else start
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            body = content[start:]
            if act != "no length":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if act.startswith("drop after "):
                body = body[: int(act.removeprefix("drop after "))]
            self.wfile.write(body[:100_000] if act == "stall" else body)
            if act == "stall":
                self.wfile.flush()
                self.server.released.wait(5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        # A short poll interval keeps the shutdown after each test fast.
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


def get(server: Server, path: Path, **kwargs: object) -> None:
    settings = {"size": SIZE, "md5": MD5, "timeout": 2.0, "attempts": 3, "backoff": 0.001}
    download(server.url, path, **(settings | kwargs))  # type: ignore[arg-type]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


# ---------------------------------------------------------------------- download


def test_download(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = tmp_path / "new" / "corpus.zip"
    get(server, path, progress=lambda done, total: calls.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert listing(path.parent) == ["corpus.zip"]
    assert calls == sorted(calls)
    assert calls[-1] == (SIZE, SIZE)
    assert len(calls) > 2


def test_existing_file_is_verified_instead_of_downloaded(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "corpus.zip"
    path.write_bytes(CONTENT)
    get(server, path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=rf"zip: expected {SIZE} bytes.*got {SIZE - 1} bytes.*delete it"):
        get(server, path)
    assert path.exists()
    assert server.ranges == []


@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        (["drop after 70000"], [None, "bytes=70000-"]),
        (["drop after 70000", "drop after 70000"], [None, "bytes=70000-", "bytes=140000-"]),
        (["drop after 70000", "no range"], [None, "bytes=70000-"]),
        (["drop after 70000", "wrong range"], [None, "bytes=70000-", None]),
        (["drop after 70000", "416"], [None, "bytes=70000-", None]),
        (["stall"], [None, "bytes=100000-"]),
        (["hang"], [None, None]),
        (["slam"], [None, None]),
        (["500", "503"], [None, None, None]),
        (["429"], [None, None]),
        (["no length"], [None]),
        (["go to /elsewhere"], [None, None]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_download_recovers_from_server_errors(
    server: Server, tmp_path: Path, script: list[str], ranges: list[str | None]
) -> None:
    server.script = script
    # Use a short timeout only where the test waits for it: on a busy machine even a working server can be slow.
    get(server, tmp_path / "corpus.zip", timeout=0.2 if script[0] in ("hang", "stall") else 5.0)
    assert (tmp_path / "corpus.zip").read_bytes() == CONTENT
    assert server.ranges == ranges


def test_partial_download_is_resumed(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path / "corpus.zip").write_bytes(CONTENT[:1000])
    get(server, tmp_path / "corpus.zip")
    assert (tmp_path / "corpus.zip").read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_complete_part_file_needs_no_request(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path / "corpus.zip").write_bytes(CONTENT)
    get(server, tmp_path / "corpus.zip")
    assert (tmp_path / "corpus.zip").read_bytes() == CONTENT
    assert server.ranges == []


def test_oversized_part_file_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path / "corpus.zip").write_bytes(CONTENT + b"x")
    get(server, tmp_path / "corpus.zip")
    assert (tmp_path / "corpus.zip").read_bytes() == CONTENT
    assert server.ranges == [None]


@pytest.mark.parametrize("act", ["500", "slam", "drop after 100", "416"])
def test_number_of_attempts_is_limited(server: Server, tmp_path: Path, act: str) -> None:
    server.script = [act] * 20
    with pytest.raises(InputError, match=rf"{server.url}: .*of {SIZE} bytes are in .*\.part; run it again"):
        get(server, tmp_path / "corpus.zip")
    assert len(server.ranges) == 3
    assert not (tmp_path / "corpus.zip").exists()


def test_attempts_with_progress_are_not_limited(server: Server, tmp_path: Path) -> None:
    server.script = ["drop after 20000"] * 9
    get(server, tmp_path / "corpus.zip")
    assert len(server.ranges) == 10


@pytest.mark.parametrize("status", ["403", "404", "410"])
def test_client_errors_are_not_retried(server: Server, tmp_path: Path, status: str) -> None:
    server.script = [status]
    with pytest.raises(InputError, match=rf"{server.url}: the server answers {status} "):
        get(server, tmp_path / "corpus.zip")
    assert len(server.ranges) == 1


def test_refused_connection_raises_input_error(server: Server, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(InputError, match=r"no connection: .*refused"):
            download(url, tmp_path / "a", size=1, md5=MD5, attempts=2, backoff=0.001)


def test_download_with_wrong_checksum_is_removed(server: Server, tmp_path: Path) -> None:
    server.content = bytes(SIZE)
    got = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    with pytest.raises(InputError, match=rf"\.part: expected .*{MD5}; got .*{got}; removed; run it again"):
        get(server, tmp_path / "corpus.zip")
    assert listing(tmp_path) == []


@pytest.mark.parametrize("content", [b"<html>please log in</html>", CONTENT + b"more"])
def test_wrong_size_from_server_keeps_part_file(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    server.script = ["no range"]
    part = part_of(tmp_path / "corpus.zip")
    part.write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match=rf"the server offers {len(content)} bytes, expected {SIZE}"):
        get(server, tmp_path / "corpus.zip")
    assert part.read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "data:,a",
        "/etc/passwd",
        "",
        "http://",
        "http://[",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nX: y",
    ],
)
def test_invalid_urls_raise_input_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="expected an http or https address"):
        download(url, tmp_path / "a", size=1, md5=MD5)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1:1/a"])
def test_redirects_to_other_schemes_are_not_followed(server: Server, tmp_path: Path, target: str) -> None:
    server.script = [f"go to {target}"] * 3
    with pytest.raises(InputError, match=r"unknown url type|not allowed|answers 302"):
        get(server, tmp_path / "corpus.zip")


def test_unwritable_folder_raises_input_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"corpus\.zip: cannot be written: "):
        get(server, tmp_path / "file" / "corpus.zip")


# ---------------------------------------------------------------------- extract

FILES = {
    "Actor_01/a.wav": b"a" * 100_000,
    "Actor_02/b.wav": hashlib.shake_256(b"").digest(100_000),
    "notes.txt": b"n",
}


def pack(path: Path, files: dict[str, bytes], **attributes: object) -> Path:
    """Write a ZIP archive; ``attributes`` are set on each member's ZipInfo."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.filename = name  # the constructor cuts names at a zero byte
            member.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(member, key, value)
            file.writestr(member, content)
    return path


def unpack(archive: Path, folder: Path, **limits: object) -> None:
    extract(archive, folder, **({"max_bytes": 10**6, "max_ratio": 1000} | limits))  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("state", ["absent", "empty", "full"])
def test_extract(tmp_path: Path, state: str) -> None:
    archive = pack(tmp_path / "a.zip", {"empty/": b""} | FILES)
    folder = tmp_path / "deep" / "out"
    before = {"mine.txt": b"mine"} if state == "full" else {}
    if state != "absent":
        folder.mkdir(parents=True)
    for name, content in before.items():
        (folder / name).write_bytes(content)
    calls: list[tuple[int, int]] = []
    unpack(archive, folder, progress=lambda done, total: calls.append((done, total)))
    assert tree(folder) == FILES | before
    assert (folder / "empty").is_dir()
    assert calls == sorted(calls)
    assert calls[-1] == (200_001, 200_001)
    assert listing(folder.parent) == ["out"]


def test_extracted_files_appear_only_when_complete(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", FILES)
    for folder, expected in ((tmp_path / "absent", None), (tmp_path / "full", {"mine"})):
        if expected:
            folder.mkdir()
            (folder / "mine").write_bytes(b"")

        def look(*_: int, folder: Path = folder, expected: set[str] | None = expected) -> None:
            visible = {p.name for p in folder.iterdir() if p.name[0] != "."} if folder.exists() else None
            assert visible == expected

        unpack(archive, folder, progress=look)


def test_interrupted_extraction_leaves_no_files(tmp_path: Path) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    archive = pack(tmp_path / "a.zip", FILES)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out", progress=interrupt)
    assert listing(tmp_path) == ["a.zip"]


def test_killed_extraction_is_completed(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", FILES)
    folder = tmp_path / "out"
    unpack(archive, folder)
    (folder / "Actor_02" / "b.wav").unlink()
    (folder / "Actor_02").rmdir()
    stage = staging(folder)
    stage.mkdir()
    (stage / "stale").write_bytes(b"")
    unpack(archive, folder)
    assert tree(folder) == FILES


@pytest.mark.parametrize("name", ["Actor_01", "notes.txt"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_extraction_never_overwrites_existing_files(tmp_path: Path, name: str, as_folder: bool) -> None:
    archive = pack(tmp_path / "a.zip", FILES)
    mine = tmp_path / "out" / name / ("mine" if as_folder else "")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=rf"{name}: in the way of .*a\.zip; move it"):
        unpack(archive, tmp_path / "out")
    assert list(tree(tmp_path / "out").values()) == [b"mine"]
    assert not staging(tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/a", "has an absolute path"),
        ("C:/a", "has an absolute path"),
        ("C:a", "has an absolute path"),
        ("//server/share/a", "has an absolute path"),
        ("\\a", "has an absolute path"),
        ("a\\..\\b", "has a backslash or a zero byte in its path"),
        ("../a", "leads out of the archive"),
        ("a/../../b", "leads out of the archive"),
        ("..", "leads out of the archive"),
        (".", "leads out of the archive"),
    ],
)
def test_members_outside_target_folder_are_rejected(tmp_path: Path, name: str, reason: str) -> None:
    refuse(tmp_path, pack(tmp_path / "a.zip", {"good": b"good", name: b"x"}), reason)


def refuse(tmp_path: Path, archive: Path, reason: str, **limits: object) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=rf"a\.zip: .*{reason}"):
        unpack(archive, tmp_path / "out", **limits)
    assert set(tmp_path.rglob("*")) == before
    assert not Path("/etc/a").exists()


def test_zero_byte_in_member_name_is_rejected(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"good.wav~.exe": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"~", b"\0"))
    refuse(tmp_path, archive, "has a backslash or a zero byte in its path")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_link_and_device_members_are_rejected(tmp_path: Path, kind: int) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"/etc/passwd"}, external_attr=(kind | 0o644) << 16)
    refuse(tmp_path, archive, "is a link or a device")


def test_unsupported_compression_is_rejected(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"a"}, compress_type=zipfile.ZIP_LZMA)
    refuse(tmp_path, archive, "is neither stored nor deflated")


def test_encrypted_members_are_rejected(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"a"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flags in the local header and in the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refuse(tmp_path, archive, "is encrypted")


def test_size_and_ratio_limits_are_enforced(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a": bytes(500_000), "b": bytes(500_000)})
    unpack(archive, tmp_path / "fits", max_bytes=1_000_000, max_ratio=1100)
    refuse(tmp_path, archive, "it is over 999999 bytes", max_bytes=999_999, max_ratio=1100)
    refuse(tmp_path, archive, "'a' unpacks to over 100 times its size", max_ratio=100)
    small = pack(tmp_path / "b.zip", {"silence": bytes(60_000)})
    unpack(small, tmp_path / "small", max_ratio=1)


def test_size_in_archive_directory_is_not_trusted(tmp_path: Path) -> None:
    """The directory claims 10 bytes but the content has 500,000, which must never reach the disk."""
    archive = pack(tmp_path / "a.zip", {"a": bytes(500_000)})
    lie = archive.read_bytes().replace((500_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive.write_bytes(lie)
    refuse(tmp_path, archive, "damaged, or no ZIP archive", max_bytes=1000)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(10)])
def test_invalid_archive_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refuse(tmp_path, tmp_path / "a.zip", "damaged, or no ZIP archive")


def test_missing_archive_and_name_clashes_raise_input_error(tmp_path: Path) -> None:
    refuse(tmp_path, tmp_path / "a.zip", "cannot be unpacked into .*No such file")
    refuse(tmp_path, pack(tmp_path / "a.zip", {"a": b"", "a/b": b""}), "cannot be unpacked into ")
    (tmp_path / "out").write_bytes(b"a file")
    refuse(tmp_path, tmp_path / "a.zip", "cannot be unpacked into ")


def archive_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("folder/a.wav", b"some content" * 20)
        file.writestr("b.wav", b"more")
    return buffer.getvalue()


GOOD = archive_bytes()


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_archives_are_rejected_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    content = bytearray(GOOD)
    for position, byte in damage:
        content[position] = byte
    (root / "a.zip").write_bytes(content)
    try:
        unpack(root / "a.zip", root / "out")
    except InputError:
        assert listing(root) == ["a.zip"]
    else:
        assert set(listing(root)) == {"a.zip", "out"}


# ---------------------------------------------------------------------- fetch


@pytest.fixture
def local(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ravdess]:
    """Return a function that makes a RAVDESS corpus with a small archive on the local server."""
    server.content = GOOD
    monkeypatch.setattr(Ravdess, "url", server.url)
    monkeypatch.setattr(Ravdess, "size", len(GOOD))
    monkeypatch.setattr(Ravdess, "md5", hashlib.md5(GOOD, usedforsecurity=False).hexdigest())

    def make(root: Path | None, *, allowed: bool = True) -> Ravdess:
        return Ravdess(root=root, on_problem="refuse", download=allowed, downmix="mean", merge=None)

    return make


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".fetch"))


def test_ravdess_url_size_and_md5_match_zenodo() -> None:
    assert Ravdess.url == f"https://zenodo.org/records/1188976/files/{ARCHIVE}?download=1"
    assert (Ravdess.size, Ravdess.md5) == (208468073, "bc696df654c87fed845eb13823edef8a")


def test_fetch(local: Callable[..., Ravdess], server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    for _ in range(2):  # the second call finds the audio
        local(tmp_path / "new").fetch(lambda done, total: calls.append((done, total)))
        assert names(tmp_path / "new") == ["b.wav", "folder"]
    assert len(server.ranges) == 1
    assert (len(GOOD), len(GOOD)) in calls  # the download
    assert calls[-1] == (244, 244)  # the extraction


def test_fetch_does_nothing_when_download_is_disabled(
    local: Callable[..., Ravdess], server: Server, tmp_path: Path
) -> None:
    local(tmp_path, allowed=False).fetch()
    local(None, allowed=False).fetch()
    assert listing(tmp_path) == []
    assert server.ranges == []


def test_fetch_requires_root(local: Callable[..., Ravdess]) -> None:
    with pytest.raises(InputError, match=r"give corpus\.root=<folder>"):
        local(None).fetch()


def test_fetch_uses_existing_archive(local: Callable[..., Ravdess], server: Server, tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(GOOD)
    local(tmp_path).fetch()
    assert names(tmp_path) == ["b.wav", "folder"]
    assert server.ranges == []


def test_fetch_rejects_archive_with_wrong_content(
    local: Callable[..., Ravdess], server: Server, tmp_path: Path
) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"wrong")
    with pytest.raises(InputError, match=rf"{ARCHIVE}: expected .*got 5 bytes.*delete it"):
        local(tmp_path).fetch()
    assert names(tmp_path) == [ARCHIVE]
    assert server.ranges == []


def test_fetch_completes_killed_extraction(local: Callable[..., Ravdess], tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(GOOD)
    (tmp_path / "b.wav").write_bytes(b"more")
    staging(tmp_path).mkdir()
    local(tmp_path).fetch()
    assert names(tmp_path) == ["b.wav", "folder"]


def test_concurrent_fetches_download_once(local: Callable[..., Ravdess], server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(local(tmp_path).fetch, lambda *_: None) for _ in range(4)]:
            done.result()
    assert names(tmp_path) == ["b.wav", "folder"]
    assert len(server.ranges) == 1


def test_fetch_into_existing_file_raises_input_error(local: Callable[..., Ravdess], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file: cannot be written: File exists; give another corpus\.root"):
        local(tmp_path / "file").fetch()


def test_fetch_shows_progress_bars(
    local: Callable[..., Ravdess], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local(tmp_path).fetch()
    out, err = capsys.readouterr()
    assert out == ""
    assert "RAVDESS: downloading" in err
    assert "RAVDESS: unpacking" in err


def test_progress_bar_shows_current_size(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("label") as progress:
        progress(500, 1000)
    assert "0.5/1.0 kB" in capsys.readouterr().err
