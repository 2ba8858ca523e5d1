"""Downloads that can be interrupted, and archives that can do no harm."""

import filecmp
import hashlib
import http.client
import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from rich import progress as bars
from rich.console import Console

from ser_lightning.errors import InputError

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_CHUNK = 1 << 16


class _DroppedError(Exception):
    """The server or the network failed in a way that may pass."""


def download(
    url: str,
    path: str | Path,
    *,
    size: int,
    md5: str,
    progress: Progress | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    backoff: float = 1.0,
) -> None:
    """Download a file of known size and checksum; ``path`` is complete and verified, or absent.

    The bytes go to ``<path>.part``, from which an interrupted download goes on. A ``path`` that is there
    already is verified, and nothing is downloaded.

    Args:
        url: an http or https address
        path: the file to be written; its folder is made
        size: bytes of the file
        md5: MD5 of the file, in hexadecimal; a check against damage and not against malice
        progress: called as the bytes arrive
        timeout: seconds without any byte after which a connection counts as dropped
        attempts: connections in a row that may fail; one that brought 1 % of the file starts the count anew
        backoff: seconds before the second connection, twice as many before each further one, 30 at most

    Raises:
        InputError: the address, the server, the content or the folder is not as it must be

    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    _check_url(url)
    try:
        if path.exists():
            _verify(path, size=size, md5=md5, remedy="delete it to download it again")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        while (have := _size(part)) != size:
            if have > size:
                part.unlink()
                continue
            try:
                _receive(url, part, have=have, size=size, progress=progress, timeout=timeout)
            except _DroppedError as error:
                now = _size(part)
                failures = 1 if now - have >= max(1, size // 100) else failures + 1
                if failures >= attempts:
                    state = f"{now} of {size} bytes are in {part}"
                    raise InputError(f"{url}: {error}; {state}; run it again to go on from there") from error
                time.sleep(min(30.0, backoff * 2 ** (failures - 1)))
        try:
            _verify(part, size=size, md5=md5, remedy="removed; run it again, or download it by hand")
        except InputError:
            part.unlink()
            raise
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise InputError(f"{url!r}: expected an http or https address")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _verify(path: Path, *, size: int, md5: str, remedy: str) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if (_size(path), got) != (size, md5):
        found = f"got {_size(path)} bytes, MD5 {got}"
        raise InputError(f"{path}: expected {size} bytes, MD5 {md5}; {found}; {remedy}")


def _connect(url: str, part: Path, *, have: int, timeout: float) -> http.client.HTTPResponse:
    # Not urlopen(), which follows a redirection to ftp.
    opener = request.OpenerDirector()
    ways = (request.ProxyHandler, request.UnknownHandler, request.HTTPHandler, request.HTTPSHandler)
    answers = (request.HTTPDefaultErrorHandler, request.HTTPRedirectHandler, request.HTTPErrorProcessor)
    for handler in (*ways, *answers):
        opener.add_handler(handler())
    ask = request.Request(url, headers={"User-Agent": "ser-lightning"})  # noqa: S310 (_check_url has seen it)
    if have:
        ask.add_header("Range", f"bytes={have}-")
    try:
        response = opener.open(ask, timeout=timeout)
    except HTTPError as error:
        error.close()
        answer = f"the server answers {error.code} {error.reason}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # it is no beginning of the server's file
        elif error.code < 500 and error.code not in (408, 429):  # time-out, too many requests
            raise InputError(f"{url}: {answer}; download it by hand, or try again later") from error
        raise _DroppedError(answer) from error
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(f"no connection: {getattr(error, 'reason', error)}") from error
    assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 (for mypy)
    return response


def _receive(url: str, part: Path, *, have: int, size: int, progress: Progress | None, timeout: float) -> None:
    """Append to ``part`` what one connection brings."""
    with _connect(url, part, have=have, timeout=timeout) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server does not know ranges and sends all of it
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise _DroppedError("the server sends another range than was asked for")
        # Before anything is overwritten: the log-in page of a hotel network is no reason to lose a good part.
        if response.length is not None and have + response.length != size:
            offer = f"the server offers {have + response.length} bytes, expected {size}"
            raise InputError(f"{url}: {offer}; open the address in a browser to see what it sends")
        with part.open("ab" if have else "wb") as file:
            while have < size:
                try:
                    chunk = response.read1(min(_CHUNK, size - have))  # read() forgets its bytes at a time-out
                except (OSError, http.client.HTTPException) as error:
                    raise _DroppedError(f"the connection broke ({error or type(error).__name__})") from error
                if not chunk:
                    raise _DroppedError("the connection was closed too early")
                have += file.write(chunk)
                if progress:
                    progress(have, size)
            file.flush()
            os.fsync(file.fileno())


def staging(folder: Path) -> Path:
    """Name the folder in which :func:`extract` unpacks; only a kill leaves it behind.

    Args:
        folder: where the entries are to be; the stage is in it, so on its disk, unless it is absent or empty

    """
    full = folder.is_dir() and any(folder.iterdir())
    return folder / ".unpacking" if full else folder.with_name(f".{folder.name}.unpacking")


def extract(
    archive: str | Path,
    folder: str | Path,
    *,
    max_bytes: int,
    max_ratio: float,
    progress: Progress | None = None,
) -> None:
    """Unpack a ZIP archive; its entries appear in ``folder`` only after all of it was unpacked.

    An entry that is there already with the same content is left as it is.

    Args:
        archive: the ZIP file
        folder: where its entries are to be; made if absent
        max_bytes: most bytes to unpack in all
        max_ratio: most bytes to unpack from one compressed byte of a member; its first 64 KiB are free
        progress: called as the bytes are written

    Raises:
        InputError: the archive is damaged, encrypted, larger than the limits or would write elsewhere, or the
            folder holds an entry of the same name with another content

    """
    archive, folder = Path(archive), Path(folder)
    try:
        stage = staging(folder)
        try:
            if stage.exists():
                shutil.rmtree(stage)
            stage.mkdir(parents=True)
            _unpack(archive, stage, max_bytes=max_bytes, max_ratio=max_ratio, progress=progress)
            if stage.parent != folder:
                if folder.exists():
                    folder.rmdir()
                stage.rename(folder)
                return
            for entry in stage.iterdir():
                if (folder / entry.name).exists() and not _same(entry, folder / entry.name):
                    raise InputError(f"{folder / entry.name}: in the way of {archive}; move it elsewhere")
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        # From here on the stage is kept at any failure, as the sign that entries may lack.
        for entry in sorted(stage.iterdir()):
            if not (folder / entry.name).exists():
                entry.rename(folder / entry.name)
        shutil.rmtree(stage)
    except OSError as error:
        raise InputError(f"{archive}: cannot be unpacked into {folder}: {error}") from error


def _unpack(archive: Path, stage: Path, *, max_bytes: int, max_ratio: float, progress: Progress | None) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            for member in members:
                if reason := _danger(member):
                    raise InputError(f"{archive}: refused, because {member.orig_filename!r} {reason}")
            total, done = sum(member.file_size for member in members), 0
            for member in members:
                target = stage / member.filename
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                most = max(_CHUNK, max_ratio * member.compress_size)
                # "x": a name that comes twice is an error.
                with file.open(member) as source, target.open("xb") as sink:
                    while chunk := source.read(_CHUNK):
                        # Counted, because the sizes in the header are the word of whoever made the archive.
                        done += sink.write(chunk)
                        if done > max_bytes:
                            raise InputError(f"{archive}: refused, because it is over {max_bytes} bytes")
                        if sink.tell() > most:
                            what = f"{member.orig_filename!r} unpacks to over {max_ratio} times its size"
                            raise InputError(f"{archive}: refused, because {what}")
                        if progress:
                            progress(done, total)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{archive}: damaged, or no ZIP archive ({error}); get it again") from error


def _danger(member: zipfile.ZipInfo) -> str | None:
    name = member.orig_filename  # what the archive says; ``filename`` is cut at the first zero byte
    parts = PurePosixPath(name).parts
    method = member.compress_type
    kind = stat.S_IFMT(member.external_attr >> 16)
    dangers = {
        "has an absolute path": PureWindowsPath(name).anchor,
        "has a backslash or a zero byte in its path": set("\\\0") & set(name),
        "leads out of the archive": ".." in parts or not parts,
        "is a link or a device": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "is encrypted": member.flag_bits & 1,
        "is neither stored nor deflated": method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
    }
    return next((reason for reason, found in dangers.items() if found), None)


def _same(one: Path, other: Path) -> bool:
    if one.is_file() or other.is_file():
        return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
    names = {path.name for path in one.iterdir()}
    return names == {path.name for path in other.iterdir()} and all(_same(one / n, other / n) for n in names)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a bar with ``label``, what is being done, on standard error."""
    columns = (label, bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
