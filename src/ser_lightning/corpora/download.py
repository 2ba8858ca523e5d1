"""Resumable downloads and safe extraction of archives."""

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
"""Called with the number of bytes received and the total number."""

_CHUNK = 1 << 16


class _DroppedError(Exception):
    """A temporary failure of the server or the network, after which a retry may succeed."""


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
    """Download a file of known size and checksum.

    The bytes are written to ``<path>.part``, from which an interrupted download resumes, so that ``path`` is either
    complete and verified or absent. An existing ``path`` is verified and not downloaded again.

    Args:
        url: an http or https address
        path: the file to write; its folder is created
        size: size of the file, bytes
        md5: MD5 of the file, in hexadecimal; it detects damage, not tampering
        progress: called with the bytes done and the total as the bytes arrive
        timeout: seconds without any byte after which a connection counts as failed
        attempts: number of consecutive failed connections after which the download fails; a connection that brought at
            least 1 % of the file restarts the count
        backoff: seconds to wait before the second connection, doubled before each further one up to 30

    Raises:
        InputError: the address is invalid, the download fails, the content does not match, or the folder is not
            writable

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
    # urlopen() would also follow a redirect to FTP.
    opener = request.OpenerDirector()
    ways = (request.ProxyHandler, request.UnknownHandler, request.HTTPHandler, request.HTTPSHandler)
    answers = (request.HTTPDefaultErrorHandler, request.HTTPRedirectHandler, request.HTTPErrorProcessor)
    for handler in (*ways, *answers):
        opener.add_handler(handler())
    ask = request.Request(url, headers={"User-Agent": "ser-lightning"})  # noqa: S310 (checked by _check_url)
    if have:
        ask.add_header("Range", f"bytes={have}-")
    try:
        response = opener.open(ask, timeout=timeout)
    except HTTPError as error:
        error.close()
        answer = f"the server answers {error.code} {error.reason}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # the partial file does not fit the server's file
        elif error.code < 500 and error.code not in (408, 429):  # 408: timeout, 429: too many requests
            raise InputError(f"{url}: {answer}; download it by hand, or try again later") from error
        raise _DroppedError(answer) from error
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(f"no connection: {getattr(error, 'reason', error)}") from error
    assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 (for mypy)
    return response


def _receive(url: str, part: Path, *, have: int, size: int, progress: Progress | None, timeout: float) -> None:
    """Append the bytes of one connection to ``part``."""
    with _connect(url, part, have=have, timeout=timeout) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server ignores the range and sends the whole file
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise _DroppedError("the server sends another range than was asked for")
        # Check before overwriting: the login page of a public network must not replace a good partial file.
        if response.length is not None and have + response.length != size:
            offer = f"the server offers {have + response.length} bytes, expected {size}"
            raise InputError(f"{url}: {offer}; open the address in a browser to see what it sends")
        with part.open("ab" if have else "wb") as file:
            while have < size:
                try:
                    chunk = response.read1(min(_CHUNK, size - have))  # read() loses its bytes on a timeout
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
    """Return the folder into which :func:`extract` first unpacks.

    It is left behind only if the process is killed or if moving its entries to ``folder`` fails.

    Args:
        folder: final folder of the entries; if it has content, the staging folder is inside it and thus on the same
            disk, otherwise it is beside it

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
    """Unpack a ZIP archive; entries appear in ``folder`` only after the whole archive was unpacked.

    Existing entries with the same content are left as they are.

    Args:
        archive: the ZIP file
        folder: destination of its entries; created if absent
        max_bytes: maximum number of unpacked bytes in total
        max_ratio: maximum number of unpacked bytes per compressed byte of a member; 64 KiB per member are always
            allowed
        progress: called with the bytes done and the total as the bytes are written

    Raises:
        InputError: the archive is damaged, encrypted, larger than the limits or contains unsafe paths, or the folder
            holds an entry of the same name with different content

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
        # From here on a failure keeps the staging folder, as a sign that entries may be missing.
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
                # Mode "x" makes a duplicate name an error.
                with file.open(member) as source, target.open("xb") as sink:
                    while chunk := source.read(_CHUNK):
                        # Count the bytes, because the sizes in the header cannot be trusted.
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
    name = member.orig_filename  # the stored name; ``filename`` is cut at the first zero byte
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
    """Show a progress bar with the text ``label`` on standard error, and yield the function that updates it."""
    columns = (label, bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
