"""Check, before any work is done, that a command can write where the user wants."""

import fcntl
import os
import re
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ser_lightning.errors import InputError, printable
from ser_lightning.output import STANDARD_OUTPUT, Output, expand_user

LINKS = 40  # maximum number of symbolic links followed, as in Linux


def check_output(name: str, *, formats: Sequence[str], default: str) -> Output:
    """Check, before any work is done, that a target can be written, and determine how.

    ``-`` is standard output. Devices, named pipes and the targets of symbolic links are written through; a regular file
    is replaced atomically. Missing parent folders are created on writing.

    Args:
        name: name given by the user
        formats: supported suffixes, such as ``(".csv", ".json")``
        default: format of targets without a suffix: standard output, devices and pipes

    Raises:
        InputError: the target is a folder, cannot be created or written, or has an unsupported suffix

    """
    printed = printable(name) or "''"
    if name == STANDARD_OUTPUT:
        return _check_descriptor(1, "standard output", default)
    if not name or "\0" in name:
        endings = _join_with_or(formats)
        raise InputError(f"{printed} is not a file name; give one that ends in {endings}, or - for standard output")
    return check_path(expand_user(name), formats=formats, default=default, printed=printed)


def check_path(name: str | Path, *, formats: Sequence[str], default: str, printed: str | None = None) -> Output:
    """Check a path like :func:`check_output`, but without a special meaning of ``-`` and ``~``.

    Args:
        name: the path
        formats: supported suffixes
        default: format of targets without a suffix
        printed: name for messages; ``None`` for the path

    Raises:
        InputError: the target is a folder, cannot be created or written, or has an unsupported suffix

    """
    path, name, endings = Path(name), str(name), _join_with_or(formats)
    printed = printable(name) if printed is None else printed
    status = _status(path, printed)
    if name.endswith("/") or (status is not None and stat.S_ISDIR(status.st_mode)):
        raise InputError(f"{printed} is a folder; give a file in it that ends in {endings}")
    descriptor = _find_descriptor(path)
    if descriptor is not None:
        return _check_descriptor(descriptor, printed, _format(path, formats) or default)
    if status is not None and stat.S_ISSOCK(status.st_mode):
        raise InputError(f"{printed} is a socket; give a file that ends in {endings}, a pipe, or -")
    if status is not None and not os.access(path, os.W_OK):
        raise InputError(f"{printed} cannot be written: you have no write permission; give another output")
    if status is not None and not stat.S_ISREG(status.st_mode):
        file_format = _format(path, formats) or default
        return Output(name=printed, format=file_format, path=path, descriptor=None, replaced=False)
    real = Path(os.path.realpath(path))
    ending = _format(path, formats) or (_format(real, formats) if path.is_symlink() else None)
    if ending is None:
        has = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise InputError(f"{printed} {printable(has)}; give a file that ends in {endings}")
    _check_writable(real, printed)
    return Output(name=printed, format=ending, path=real, descriptor=None, replaced=True)


def check_folder(name: str) -> Path:
    """Check that files can be written to a folder, which is created with the first file; return its path.

    Raises:
        InputError: the path is not a folder, or cannot be created or written

    """
    printed = printable(name) or "''"
    if name == STANDARD_OUTPUT:
        raise InputError("- is standard output, and several files are written; give a folder")
    if not name or "\0" in name:
        raise InputError(f"{printed} is not a folder name; give one")
    path = Path(expand_user(name))
    status = _status(path, printed)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{printed} is not a folder, but several files are written; give a folder")
    _check_writable(Path(os.path.realpath(path)) / "file", printed)
    return path


def _join_with_or(formats: Sequence[str]) -> str:
    return " or ".join([", ".join(formats[:-1])] * bool(formats[:-1]) + [formats[-1]])


def _format(path: Path, formats: Sequence[str]) -> str | None:
    suffix = path.suffix.lower()
    return suffix if suffix in formats else None


def _status(path: Path, printed: str) -> os.stat_result | None:
    """Return the status of the file at a path, following links; ``None`` if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:  # a cycle of links, a name that is too long, or a file in place of a folder
        raise InputError(f"{printed} cannot be written: {error.strerror}; give another output") from error


def _find_descriptor(path: Path) -> int | None:
    """Return the file descriptor that a path refers to, such as 1 for ``/dev/stdout`` or a link to it."""
    for _ in range(LINKS):
        name = os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow the link
        standard = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}.get(name)
        match = re.fullmatch(rf"/(?:dev|proc/(?:self|thread-self|{os.getpid()}))/fd/(\d+)", name)
        if standard is not None or match:
            return standard if match is None else int(match[1])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _check_descriptor(descriptor: int, printed: str, format: str) -> Output:  # noqa: A002
    if descriptor == 1 and sys.stdout is None:  # standard output was closed at startup, and 1 may be any file by now
        raise InputError(f"{printed} is closed; give a file to write to")
    try:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise InputError(f"{printed} is closed; give a file to write to") from error
    if mode == os.O_RDONLY:
        raise InputError(f"{printed} is open for reading only; give a file to write to")
    return Output(name=printed, format=format, path=None, descriptor=descriptor, replaced=False)


def _check_writable(path: Path, printed: str) -> None:
    """Create and remove a file beside a path, and its missing parent folders, to test whether it can be written.

    Permissions are not sufficient: root has them everywhere, but cannot write to a read-only disk or ``/proc``.
    """
    created: list[Path] = []
    folder = path.parent
    missing = [parent for parent in (folder, *folder.parents) if not os.path.lexists(parent)]
    try:
        for parent in reversed(missing):
            parent.mkdir()
            created.append(parent)
        descriptor, temporary = tempfile.mkstemp(prefix=".ser", dir=folder)
        os.close(descriptor)
        Path(temporary).unlink()
    except OSError as error:
        what = f"no file can be created in {printable(folder)}"
        raise InputError(f"{printed} cannot be written: {what} ({error.strerror}); give another output") from error
    finally:
        for parent in reversed(created):
            with suppress(OSError):
                parent.rmdir()
