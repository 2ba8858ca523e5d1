import pytest

from ser_lightning.atomic import write_atomically


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
