"""Check where a command writes to before any work, and write files atomically without replacing special files."""

import fcntl
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import NO_SPACE, InputError, printable

STANDARD_OUTPUT = "-"
LINKS = 40  # maximum number of symbolic links followed, as in Linux


class ClosedPipeError(Exception):
    """Raised if the reader of a pipe has closed it."""


def expand_user(name: str) -> str:
    """Expand a leading ``~`` like the shell, unless a file of exactly that name exists."""
    return name if os.path.lexists(name) else os.path.expanduser(name)  # noqa: PTH111 - keeps "./" and "//" as given


class Output:
    """An output target that has been checked; see :func:`check_output`.

    Args:
        name: the name as given, in printable form
        format: suffix that determines the file format, such as ``.csv``
        path: resolved path of a regular file, or path of a device or pipe; ``None`` for an open file descriptor
        descriptor: number of an open file descriptor, such as 1 for standard output
        replaced: whether the target is a regular file, which is replaced atomically

    """

    def __init__(self, *, name: str, format: str, path: Path | None, descriptor: int | None, replaced: bool) -> None:  # noqa: A002
        self.name = name
        self.format = format
        self.path = path
        self.descriptor = descriptor
        self.replaced = replaced

    @property
    def is_standard_output(self) -> bool:
        """Whether the target is standard output, where messages would mix with the data."""
        return self.descriptor == 1

    def check_differs(self, paths: Sequence[str | Path]) -> None:
        """Check that the target is not one of the input files.

        Raises:
            InputError: a path is the same file as the target

        """
        for path in paths if self.replaced else ():
            with suppress(OSError):
                if self.path is not None and os.path.samefile(path, self.path):  # noqa: PTH121 - Path.samefile is the same
                    raise InputError(f"{self.name} is an input too; give another output, so that it is not overwritten")

    @contextmanager
    def open(self) -> Iterator["Sink"]:
        """Open the target for writing.

        A regular file is replaced when the block ends without an error and is unchanged otherwise. Other targets are
        written immediately.

        Raises:
            InputError: the target cannot be written, or the disk is full
            ClosedPipeError: the reader has closed the pipe

        """
        manager = self._file()
        with self._errors():
            file = manager.__enter__()
        try:
            yield Sink(file, self)
        except BaseException:
            manager.__exit__(*sys.exc_info())
            raise
        with self._errors():
            manager.__exit__(None, None, None)

    def write(self, content: str | bytes) -> None:
        """Write the complete content in one call."""
        with self.open() as sink:
            sink.write(content)

    def _file(self) -> AbstractContextManager[IO[bytes]]:
        if self.descriptor == 1:
            return _standard_output()
        if self.descriptor is not None:
            return _stream(os.dup(self.descriptor))
        path = Path() if self.path is None else self.path
        return write_atomically(path, "wb") if self.replaced else _stream(path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert an OSError to an error that names the target."""
        try:
            yield
        except BrokenPipeError as error:
            raise ClosedPipeError(self.name) from error
        except OSError as error:
            remedy = "free some space and start again" if error.errno in NO_SPACE else "give another output"
            raise InputError(f"{self.name} cannot be written: {error.strerror}; {remedy}") from error


class Sink:
    """Unbuffered writer of an output; text is encoded as UTF-8.

    Args:
        file: binary file to write to
        output: the target, for messages

    """

    def __init__(self, file: IO[bytes], output: Output) -> None:
        self.file = file
        self.output = output

    def write(self, content: str | bytes) -> None:
        """Write text or bytes and flush them."""
        with self.output._errors():
            self.file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
            self.file.flush()


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    flush_standard_output()
    yield sys.stdout.buffer


@contextmanager
def _stream(target: Path | int) -> Iterator[IO[bytes]]:
    """Open a device, a pipe or a file descriptor for unbuffered writing."""
    descriptor = os.open(target, os.O_WRONLY) if isinstance(target, Path) else target
    try:
        yield _Unbuffered(descriptor)  # type: ignore[misc]
    finally:
        os.close(descriptor)


class _Unbuffered:
    """Unbuffered binary writer to a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def flush(self) -> None:
        pass


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
        found = _format(path, formats) or default
        return Output(name=printed, format=found, path=path, descriptor=None, replaced=False)
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


def flush_standard_output() -> None:
    """Flush standard output, if there is one."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_standard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter does not fail on it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def describe(error: OSError) -> str | None:
    """Return an OSError as one line with a remedy, or ``None`` if neither its path nor its cause is known."""
    if error.filename is not None:
        return f"{printable(str(error.filename))}: {error.strerror}; check the path and its permissions"
    if error.errno in NO_SPACE:  # errors of a write call carry no file name
        return f"cannot write: {error.strerror}; free some space and start again"
    return None


def json_lines(rows: Sequence[dict[str, Any]]) -> str:
    r"""Return rows as JSON Lines, one object per line.

    >>> json_lines([{"a": 1}, {"a": 2}])
    '{"a": 1}\n{"a": 2}\n'
    """
    import json

    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
