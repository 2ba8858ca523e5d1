import os
from pathlib import Path

import pytest

from ser_lightning.atomic import remove_leftovers, write_atomically


def test_failed_write_keeps_the_previous_file(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with write_atomically(path) as file:
        file.write("one\n")
    with pytest.raises(KeyError), write_atomically(path) as file:
        file.write("half")
        raise KeyError
    assert path.read_text() == "one\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_file_appears_only_after_the_write(tmp_path):
    path = tmp_path / "a.bin"
    with write_atomically(path, "wb") as file:
        file.write(b"x")
        assert not path.exists()
    assert path.read_bytes() == b"x"
    assert path.stat().st_mode & 0o044  # readable by others, like any other new file


def test_keep_saves_the_previous_file(tmp_path):
    path, before = tmp_path / "last", tmp_path / "before"
    for content in "abc":
        with write_atomically(path, keep=before) as file:
            file.write(content)
            if content != "a":
                assert path.read_text() == chr(ord(content) - 1)
    assert (path.read_text(), before.read_text()) == ("c", "b")
    assert {p.name for p in tmp_path.iterdir()} == {"last", "before"}


def test_keep_works_without_hard_links(tmp_path, monkeypatch):
    def refuse(link, target):
        raise PermissionError(1, "Operation not permitted", str(link))  # as on FAT

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for content in "ab":
        with write_atomically(tmp_path / "last", keep=tmp_path / "before") as file:
            file.write(content)
    assert ((tmp_path / "last").read_text(), (tmp_path / "before").read_text()) == ("b", "a")


def test_remove_leftovers_removes_only_temporary_files(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.x1y2.tmp", "deep/.b.ckpt.tmp", "a.tmp", ".lock", "deep/b.ckpt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {"deep", "a.tmp", ".lock", "b.ckpt"}


def test_symlink_is_kept_and_its_target_written(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("there", "not there yet"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / "folder" / name)
        (tmp_path / "folder" / "there").write_text("before")
        with write_atomically(link) as file:
            file.write("new")
        assert link.is_symlink()
        assert (tmp_path / "folder" / name).read_text() == "new"


def test_very_long_file_name_is_written(tmp_path):
    name = 254 * "a"
    with write_atomically(tmp_path / name) as file:
        file.write("new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_file_mode_respects_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with write_atomically(tmp_path / "a.txt") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_umask_is_not_changed(tmp_path, monkeypatch):
    """The umask is shared by all threads of the process, so changing it would affect files of other threads."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"umask({mask:o})"))
    with write_atomically(tmp_path / "a.txt") as file:
        file.write("x")
