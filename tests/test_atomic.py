import os
from pathlib import Path

import pytest

from ser_lightning.atomic import remove_leftovers, write_atomically


def test_a_file_is_complete_or_as_it_was(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with write_atomically(path) as file:
        file.write("one\n")
    with pytest.raises(KeyError), write_atomically(path) as file:
        file.write("half")
        raise KeyError
    assert path.read_text() == "one\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_nothing_is_seen_before_the_end(tmp_path):
    path = tmp_path / "a.bin"
    with write_atomically(path, "wb") as file:
        file.write(b"x")
        assert not path.exists()
    assert path.read_bytes() == b"x"
    assert path.stat().st_mode & 0o044  # readable by others, as any file one writes


def test_the_file_before_is_kept_under_another_name(tmp_path):
    path, before = tmp_path / "last", tmp_path / "before"
    for content in "abc":
        with write_atomically(path, keep=before) as file:
            file.write(content)
            if content != "a":
                assert path.read_text() == chr(ord(content) - 1)
    assert (path.read_text(), before.read_text()) == ("c", "b")
    assert {p.name for p in tmp_path.iterdir()} == {"last", "before"}


def test_the_file_before_is_kept_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(link, target):
        raise PermissionError(1, "Operation not permitted", str(link))  # as on FAT

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for content in "ab":
        with write_atomically(tmp_path / "last", keep=tmp_path / "before") as file:
            file.write(content)
    assert ((tmp_path / "last").read_text(), (tmp_path / "before").read_text()) == ("b", "a")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.x1y2.tmp", "deep/.b.ckpt.tmp", "a.tmp", ".lock", "deep/b.ckpt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {"deep", "a.tmp", ".lock", "b.ckpt"}


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("there", "not there yet"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / "folder" / name)
        (tmp_path / "folder" / "there").write_text("before")
        with write_atomically(link) as file:
            file.write("new")
        assert link.is_symlink()
        assert (tmp_path / "folder" / name).read_text() == "new"


def test_the_longest_name_that_there_can_be_is_written(tmp_path):
    name = 254 * "a"
    with write_atomically(tmp_path / name) as file:
        file.write("new")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with write_atomically(tmp_path / "a.txt") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_the_umask_is_never_changed(tmp_path, monkeypatch):
    """It belongs to the whole process: another thread would create its files with it."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"umask({mask:o})"))
    with write_atomically(tmp_path / "a.txt") as file:
        file.write("x")
