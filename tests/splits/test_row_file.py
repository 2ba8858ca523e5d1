"""Rows in a temporary file: they are returned as written, and a full disk is an error that says what to do."""

import errno
import os
import tempfile

import numpy as np
import pytest

from ser_lightning.errors import InputError
from ser_lightning.splits.row_file import RowFile


def test_rows_are_returned_in_order_and_outlive_the_file():
    with RowFile(3, np.float16) as file:
        assert file.rows().shape == (0, 3)
        file.append(np.array([1, 2, 3]))
        file.append(np.arange(6).reshape(2, 3))
        rows = file.rows()
    assert rows.dtype == np.float16
    assert rows.tolist() == [[1, 2, 3], [0, 1, 2], [3, 4, 5]]


def test_full_disk_is_an_input_error(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "wb"))  # noqa: SIM115, PTH123
    message = rf"cannot be written \({os.strerror(errno.ENOSPC)}\); set TMPDIR"
    with pytest.raises(InputError, match=message), RowFile(4, np.float32) as file:
        file.append(np.zeros(4))
