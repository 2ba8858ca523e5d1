"""Output files of commands: checked before any work, replaced atomically, special files written in place."""

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ser_lightning.errors import InputError
from ser_lightning.output import ClosedPipeError, Output
from ser_lightning.output_checks import check_folder, check_output
from tests.zoo import LAUNCHER

CSV, JSON = ".csv", ".json"


def check(name: str | Path) -> Output:
    return check_output(str(name), formats=(CSV, JSON), default=CSV)


@pytest.mark.parametrize(
    "name", ["o.csv", "O.CSV", "2026.csv", "a b (1).csv", "録音.csv", f"{240 * 'a'}.csv", "=.csv", "new/folder/o.csv"]
)
def test_regular_file_with_any_name_is_written(tmp_path, name):
    output = check(tmp_path / name)
    assert list(tmp_path.iterdir()) == []  # the check creates no file
    output.write("a\n")
    assert (tmp_path / name).read_text() == "a\n"
    assert list((tmp_path / name).parent.iterdir()) == [tmp_path / name]


def test_regular_file_is_replaced_only_when_complete(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("before")
    with pytest.raises(RuntimeError), check(path).open() as sink:
        sink.write("half")
        raise RuntimeError
    assert path.read_text() == "before"
    with check(path).open() as sink:
        sink.write("one,")
        assert path.read_text() == "before"
        sink.write("two")
    assert path.read_text() == "one,two"


@pytest.mark.parametrize(("name", "format_"), [("o.csv", CSV), ("o.json", JSON), ("o.JSON", JSON)])
def test_format_follows_the_file_extension(tmp_path, name, format_):
    assert check(tmp_path / name).format == format_


@pytest.mark.parametrize("name", ["o.txt", "o", "o.csv.gz", ".csv"])
def test_unknown_file_extension_raises(tmp_path, name):
    with pytest.raises(InputError, match=r"\.csv or \.json") as refused:
        check(tmp_path / name)
    assert name in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_symlink_is_kept_and_its_target_written(tmp_path):
    target, link, chain = tmp_path / "target.csv", tmp_path / "link.csv", tmp_path / "latest"
    target.write_text("before")
    link.symlink_to(target.name)
    chain.symlink_to(link)  # no file extension: that of the target counts
    for path, text in ((link, "one"), (chain, "two")):
        assert check(path).format == CSV
        check(path).write(text)
        assert path.is_symlink()
        assert target.read_text() == text
    dangling = tmp_path / "dangling.csv"
    dangling.symlink_to(tmp_path / "later" / "new.csv")
    check(dangling).write("three")
    assert dangling.is_symlink()
    assert (tmp_path / "later" / "new.csv").read_text() == "three"
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match=r"loop\.csv cannot be written"):
        check(loop)


def test_named_pipe_is_written_and_kept(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        output, read = check(path), []
        reader = threading.Thread(target=lambda read=read: read.append(pipe.read_text()))
        reader.start()
        output.write("through")
        reader.join()
        assert read == ["through"]
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()


def test_pipe_closed_by_its_reader_raises(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_RDONLY)))
    reader.start()
    with pytest.raises(ClosedPipeError), check(pipe).open() as sink:
        reader.join()
        sink.write("nobody reads this")


def test_devices_are_written_and_kept():
    for name in ("/dev/null", "/dev/full"):
        output = check(name)
        assert (output.replaced, output.format) == (False, CSV)
        assert stat.S_ISCHR(Path(name).stat().st_mode)
    check("/dev/null").write("gone")
    with pytest.raises(InputError, match="/dev/full cannot be written: No space left on device"):
        check("/dev/full").write("too much")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


PROGRAM = """
import sys
from ser_lightning.output_checks import check_output
print("before")
check_output(sys.argv[1], formats=(".csv",), default=".csv").write("data\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "{link}"])
def test_stdout_is_written_in_order_even_if_redirected(tmp_path, name):
    """``ser-predict ... -o /dev/stdout > file`` must write to the open file and not replace it."""
    link, file = tmp_path / "out", tmp_path / "file.txt"
    link.symlink_to("/dev/stdout")
    with file.open("w") as out:
        inode = file.stat().st_ino
        words = [sys.executable, "-c", PROGRAM, name.format(link=link)]
        subprocess.run(words, stdout=out, check=True)
        out.write("the shell's\n")
    assert file.stat().st_ino == inode
    assert file.read_text() == "before\ndata\nafter\nthe shell's\n"
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "before\ndata\nafter\n"
    assert link.is_symlink()


def test_open_file_descriptor_is_written(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        check(f"/dev/fd/{file.fileno()}").write("a")
        check(f"/proc/self/fd/{file.fileno()}").write("b")
    assert (tmp_path / "x").read_text() == "ab"
    with (tmp_path / "x").open("rb") as file, pytest.raises(InputError, match="open for reading only"):
        check(f"/dev/fd/{file.fileno()}")
    with pytest.raises(InputError, match="/dev/fd/987 is closed"):
        check("/dev/fd/987")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{tmp}", "{tmp} is a folder"),
        ("{tmp}/", "is a folder"),
        ("{tmp}/none/", "is a folder"),
        ("/proc/x.csv", "/proc/x.csv cannot be written"),
        ("/proc/a/b/x.csv", "/proc/a/b/x.csv cannot be written"),
        ("{tmp}/file/x.csv", "{tmp}/file/x.csv cannot be written"),
        ("{tmp}/" + 300 * "a" + ".csv", "cannot be written: File name too long"),
        ("", "not a file name"),
        ("a\0.csv", "not a file name"),
        ("{tmp}/socket", "is a socket"),
    ],
)
def test_unwritable_path_raises_with_its_name(tmp_path, name, message):
    (tmp_path / "file").write_text("a file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError) as refused:
            check(name.format(tmp=tmp_path))
    assert message.format(tmp=tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before


def test_read_only_folder_or_file_raises(tmp_path):
    """Run without root's capability to write everything."""
    (tmp_path / "folder").mkdir(mode=0o555)
    (tmp_path / "file.csv").write_text("precious")
    (tmp_path / "file.csv").chmod(0o444)
    code = """
import os, sys
from ser_lightning.errors import InputError
from ser_lightning.output_checks import check_folder, check_output
for name in sys.argv[1:]:
    try:
        check_output(name, formats=(".csv",), default=".csv") if name.endswith(".csv") else check_folder(name)
        print("accepted")
    except InputError as error:
        print(error)
"""
    names = [str(tmp_path / name) for name in ("folder/o.csv", "file.csv", "new.csv", "folder")]
    words = [sys.executable, "-c", LAUNCHER, tmp_path / "peak", sys.executable, "-c", code, *names]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    folder, file, new, several = done.stdout.splitlines()
    assert f"{names[0]} cannot be written" in folder
    assert f"{names[1]} cannot be written" in file
    assert new == "accepted"
    assert f"{tmp_path}/folder cannot be written" in several
    assert (tmp_path / "file.csv").read_text() == "precious"


def test_tilde_is_expanded_to_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    check("~/o.csv").write("home")
    assert (tmp_path / "o.csv").read_text() == "home"
    Path("~").mkdir()
    check("~/o.csv").write("a folder of that name")  # no file ~/o.csv exists in that folder
    assert (tmp_path / "o.csv").read_text() == "a folder of that name"
    assert check_folder("~/features") == tmp_path / "features"


def test_lone_surrogates_are_written_as_escapes(tmp_path):
    check(tmp_path / "o.csv").write("caf\udce9")
    assert (tmp_path / "o.csv").read_bytes() == b"caf\\udce9"


def test_closed_stdout_raises():
    code = (
        f"import os, subprocess, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', {PROGRAM!r}, '-'])"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "standard output is closed; give a file" in done.stderr
