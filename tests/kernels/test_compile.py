"""Tests of the compilation of the C kernels."""

import shutil

import pytest

from ser_lightning.errors import InputError
from ser_lightning.kernels.compile import FOLDER, compiled


@pytest.fixture
def folder(tmp_path):
    for source in FOLDER.glob("*.[ch]"):
        shutil.copy(source, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_kernels_are_recompiled_only_when_a_source_changes(folder):
    first = compiled(folder)
    made = first.stat().st_mtime_ns
    assert compiled(folder) == first
    assert first.stat().st_mtime_ns == made
    (folder / "pitch.c").write_text((folder / "pitch.c").read_text() + "\n/* another */\n")
    second = compiled(folder)
    assert list(folder.glob("*.so")) == [second] != [first]
    assert not list(folder.glob(".kernels.*"))


def test_compiler_failures_raise_input_error(folder, monkeypatch):
    (folder / "pitch.c").write_text("this is no C\n")
    with pytest.raises(InputError, match=r"cannot compile the kernels: .*pitch\.c:1.*error.*; a C compiler is needed"):
        compiled(folder)
    monkeypatch.setenv("CC", "no-such-compiler -x")
    with pytest.raises(InputError, match=r"cannot be compiled: .*no-such-compiler.*CC names another than cc"):
        compiled(folder)
    assert not list(folder.glob("*.so"))
