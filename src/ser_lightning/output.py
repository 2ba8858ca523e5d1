"""Write files atomically without replacing special files, such as devices and pipes."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ser_lightning.atomic import write_atomically
from ser_lightning.errors import NO_SPACE, InputError

STANDARD_OUTPUT = "-"


def expand_user(name: str) -> str:
    """Expand a leading ``~`` like the shell, unless a file of exactly that name exists."""
    return name if os.path.lexists(name) else os.path.expanduser(name)  # noqa: PTH111 - keeps "./" and "//" as given


class ClosedPipeError(Exception):
    """Raised if the reader of a pipe has closed it."""


class Output:
    """An output target that has been checked; see :func:`~ser_lightning.output_checks.check_output`.

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
        """True if the target is standard output, where messages would mix with the data."""
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
        unwritten = memoryview(content)
        while unwritten:
            unwritten = unwritten[os.write(self.descriptor, unwritten) :]

    def flush(self) -> None:
        pass


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


def json_lines(rows: Sequence[dict[str, Any]]) -> str:
    r"""Return rows as JSON Lines, one object per line.

    >>> json_lines([{"a": 1}, {"a": 2}])
    '{"a": 1}\n{"a": 2}\n'
    """
    import json

    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
