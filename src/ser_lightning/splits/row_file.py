"""Rows of numbers in a temporary file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError


class RowFile:
    """Rows of numbers in a temporary file, so that memory does not grow with their number.

    Args:
        columns: number of columns
        dtype: type of the numbers

    Raises:
        InputError: there is no temporary folder

    """

    def __init__(self, columns: int, dtype: npt.DTypeLike) -> None:
        self.columns, self.dtype = columns, np.dtype(dtype)
        with _explained():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "RowFile":
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the file; rows that were returned stay valid."""
        with suppress(OSError):  # closing writes what a full disk refused before
            self._file.close()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Append one or more rows, (columns,) or (rows, columns).

        Raises:
            InputError: the temporary folder has no room

        """
        with _explained():
            self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
            self._file.flush()

    def rows(self) -> npt.NDArray[Any]:
        """Return all rows (rows, columns), mapped from the file."""
        if self._file.tell() == 0:  # an empty file cannot be mapped
            return np.empty((0, self.columns), self.dtype)
        mapped = np.memmap(self._file, dtype=self.dtype, mode="r")
        return mapped.view(np.ndarray).reshape(-1, self.columns)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error of the operating system into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"a temporary file cannot be written ({error.strerror}); set TMPDIR to a writable folder with more space"
        ) from None
