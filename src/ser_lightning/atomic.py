"""Files that are either complete or absent."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

TEMPORARY = ".tmp"
LONGEST = 200  # bytes of a name that has room, in the 255 of most file systems, for what makes it temporary


@contextmanager
def write_atomically(path: str | Path, mode: str = "w", *, keep: str | Path | None = None) -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path``; on a clean exit sync it and rename it to ``path``, and sync the folder.

    A reader sees the old file or the new one, never a part, and after a power cut too. If the block raises, the
    temporary file is removed and ``path`` stays as it was; a killed process leaves a temporary file behind, which
    :func:`remove_leftovers` removes.

    Args:
        path: the file to be written; its folder is made. A symbolic link stays, and what it leads to is written
        mode: ``"w"`` (UTF-8 text, newlines untranslated) or ``"wb"``
        keep: a name in the same folder that the file now at ``path``, if there is one, goes on by

    """
    path = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    prefix = f".{path.name}." if len(os.fsencode(path.name)) <= LONGEST else "."
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, suffix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes 0600
        if keep is not None and path.exists():
            _keep(path, Path(keep))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name, whatever had that name before."""
    link = name.with_name(f".{name.name}{TEMPORARY}")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # a file system without hard links: for a moment there is only the second name
        path.replace(name)
    else:
        link.replace(name)
        link.unlink(missing_ok=True)  # where both were one file already, replacing does nothing


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left anywhere under a folder."""
    for path in Path(folder).rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def remove_empty_folders(folder: Path, *, below: Path) -> None:
    """Remove a folder and the folders that it is in, as long as they are empty and below another one."""
    while folder != below and below in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass  # removed before
        except OSError:  # there is something in it, or another process was first
            return
        folder = folder.parent


def sync(path: str | Path) -> None:
    """Have what was written to a file, or renamed in a folder, survive a power cut."""
    if os.name != "posix":  # only there can a folder be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
